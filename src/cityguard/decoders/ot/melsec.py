"""Mitsubishi MELSEC communication (SLMP, BAP-C3002; MC protocol 3E and 4E, binary and ASCII) to one row per frame.

``ot.function.code`` is the command; ``ot.address`` begins with the subcommand: ``0000:D100``. ``ot.unit_id`` is the
station. MELSOFT's own frames on ports 5560 to 5562 are told apart from them; their content is not published.
"""

from __future__ import annotations

import struct
from typing import Any

from cityguard.decoders.events import End, Talk
from cityguard.decoders.ot import melsec_devices as devices
from cityguard.decoders.ot.melsec_devices import Asked
from cityguard.decoders.protocol import Mark, Out, Protocol, Speaker
from cityguard.decoders.stream import Moment
from cityguard.decoders.wire.framed import Framed
from cityguard.decoders.wire.pairs import Pairs

PORTS = (5000, 5001, 5002, 5006, 5007, 5010, 1025, 1026, 1280, 1281, 4999)
MELSOFT = (5560, 5561, 5562)
MAX_FRAME = 4_096
MAX_WAITING = 65_536
"""Requests of a capture that wait for their responses."""

FUNCTIONS: dict[int, tuple[str, str | None]] = {
    0x0101: ("Read CPU Model", "read"),
    0x0205: ("Read Directory/File", "read"),
    0x0401: ("Batch Read", "read"),
    0x0403: ("Random Read", "read"),
    0x0406: ("Multiple Block Batch Read", "read"),
    0x041A: ("Array Label Read", "read"),
    0x041C: ("Label Random Read", "read"),
    0x0601: ("Intelligent Function Module Read", "read"),
    0x0613: ("Buffer Memory Read", "read"),
    0x0619: ("Loopback Test", "diagnostic"),
    0x0801: ("Monitor Registration", "read"),
    0x0802: ("Monitor", "read"),
    0x0E30: ("Node Search", "diagnostic"),
    0x0E31: ("IP Address Set", "program"),
    0x1001: ("Remote Run", "control"),
    0x1002: ("Remote Stop", "control"),
    0x1003: ("Remote Pause", "control"),
    0x1005: ("Remote Latch Clear", "control"),
    0x1006: ("Remote Reset", "control"),
    0x1401: ("Batch Write", "write"),
    0x1402: ("Random Write", "write"),
    0x1406: ("Multiple Block Batch Write", "write"),
    0x141A: ("Array Label Write", "write"),
    0x141B: ("Label Random Write", "write"),
    0x1601: ("Intelligent Function Module Write", "write"),
    0x1613: ("Buffer Memory Write", "write"),
    0x1617: ("Clear Error", "control"),
    0x1630: ("Remote Password Unlock", "control"),
    0x1631: ("Remote Password Lock", "control"),
    0x1810: ("Read Directory", "read"),
    0x1811: ("Search Directory", "read"),
    0x1820: ("New File", "program"),
    0x1822: ("Delete File", "program"),
    0x1824: ("Copy File", "program"),
    0x1825: ("Change File State", "program"),
    0x1826: ("Change File Date", "program"),
    0x1827: ("Open File", "program"),
    0x1828: ("Read File", "program"),
    0x1829: ("Write File", "program"),
    0x182A: ("Close File", "program"),
    0x2101: ("On-Demand", "read"),
}
_SUBHEADERS = {b"\x50\0": (False, 3), b"\xd0\0": (True, 3), b"\x54\0": (False, 4), b"\xd4\0": (True, 4)}
_ROUTE = struct.Struct("<BBHBH")
_MELSOFT = {0x57: "request", 0xD7: "response", 0x5A: "search", 0xDA: "found"}


class Melsec(Speaker):
    """Every MELSEC conversation of a capture."""

    def __init__(self, out: Out) -> None:
        super().__init__(out)
        self._pairs = Pairs[tuple[dict[str, Any], Asked]](MAX_WAITING)

    def stream(self, talk: Talk) -> Framed:
        return Framed(talk, _size, self._frame, MAX_FRAME)

    def datagram(self, data: bytes, talk: Talk, at: Moment) -> bool:
        if _is_melsoft(data, talk.source, talk.destination):
            self._melsoft(data, talk, at)
            return True
        size = _size(data, 0) if data else -1
        if not 0 < size <= len(data):
            return False
        self._frame(data[:size], talk, at)
        return True

    def _frame(self, data: bytes, talk: Talk, at: Moment) -> None:
        if data[0] in b"5D":
            plain = _binary(data)
            if plain is None:
                return
            data = plain
        answers, form = _SUBHEADERS[data[:2]]
        serial = int.from_bytes(data[2:4], "little") if form == 4 else None
        place = 6 if form == 4 else 2
        _, _, _, station, _ = _ROUTE.unpack_from(data, place)
        body = data[place + 7 :]
        fields: dict[str, Any] = {
            "ot.protocol": "melsec",
            "ot.unit_id": station,
            "ot.transaction_id": serial,
            "ot.message.type": "response" if answers else "request",
            "ot.is_request": not answers,
        }
        ends = (talk.destination, talk.source, serial) if answers else (talk.source, talk.destination, serial)
        if answers:
            named, asked = self._pairs.answer(ends) or ({"ot.function.name": "Response"}, Asked())
            fields |= named
            status = int.from_bytes(body[:2], "little")
            fields["ot.status"] = f"0x{status:04x}"
            if status:
                fields["ot.function.class"] = "error"
            elif fields.get("ot.function.code") == 0x0101:
                fields["ot.value"] = body[2:18].decode("latin-1").strip("\0 ") or None
            elif asked.reads:
                fields["ot.value"] = devices.answered(asked, body[2:])
        elif len(body) >= 6:
            command, sub = struct.unpack_from("<HH", body, 2)
            name, kind = FUNCTIONS.get(command, (f"Command 0x{command:04x}", None))
            asked = devices.request(command, sub, body[6:])
            known: dict[str, Any] = {"ot.function.code": command, "ot.function.name": name, "ot.function.class": kind}
            known |= {"ot.address": asked.address, "ot.quantity": asked.quantity}
            fields |= known | {"ot.value": asked.value}
            self._pairs.ask(ends, (known, asked))
        self.out.add("ot", at, talk, fields)

    def _melsoft(self, data: bytes, talk: Talk, at: Moment) -> None:
        kind = _MELSOFT[data[0]]
        self.out.add(
            "ot",
            at,
            talk,
            {
                "ot.protocol": "melsec",
                "ot.function.name": f"MELSOFT {kind}",
                "ot.function.class": "diagnostic" if kind in ("search", "found") else None,
                "ot.message.type": f"melsoft-{kind}",
                "ot.is_request": data[0] < 0x80,
                "event.flags": ["undecoded"],
            },
        )


def _binary(data: bytes) -> bytes | None:
    """An ASCII frame as the binary one that says the same; None where it is no hexadecimal text."""
    try:
        text = data.decode("ascii")
        head, response = text[:4], text[:1] == "D"
        form = 4 if head in ("5400", "D400") else 3
        place = 12 if form == 4 else 4
        serial = bytes.fromhex(text[4:8])[::-1] + b"\0\0" if form == 4 else b""
        network, pc, module, station = text[place : place + 2], text[place + 2 : place + 4], "", ""
        module, station = text[place + 4 : place + 8], text[place + 8 : place + 10]
        rest = text[place + 14 :]
        route = bytes.fromhex(network + pc) + bytes.fromhex(module)[::-1] + bytes.fromhex(station)
        words = 1 if response else 3
        fixed = b"".join(bytes.fromhex(rest[4 * at : 4 * at + 4])[::-1] for at in range(words))
        more = _ascii_body(rest[4 * words :]) if not response and fixed[4:6] in (b"\0\0", b"\1\0") else b""
    except (ValueError, UnicodeDecodeError):
        return None
    body = fixed + more
    return bytes.fromhex(head) + serial + route + len(body).to_bytes(2, "little") + body


def _ascii_body(text: str) -> bytes:
    """``D*000100`` and a count of four digits: device, number, points."""
    names = {f"{name:*<2}": code for code, name in devices.NAMES.items()}
    if len(text) < 12 or text[:2] not in names:
        return b""
    base = 16 if text[:2].rstrip("*") in devices.HEX else 10
    number, count = int(text[2:8], base), int(text[8:12], 16)
    return number.to_bytes(3, "little") + bytes((names[text[:2]],)) + count.to_bytes(2, "little")


def _is_melsoft(data: bytes, source: End, destination: End) -> bool:
    usual = source[2] in MELSOFT or destination[2] in MELSOFT
    if not usual or len(data) < 4:
        return False
    return data[0] in _MELSOFT and data[1] in (0, 1)


def _size(data: bytes | bytearray, at: int) -> int:
    """Bytes of the frame at a place: subheader, route, a length that leaves room for a command or an end code."""
    room = len(data) - at
    head = bytes(data[at : at + 2])
    if head in _SUBHEADERS or (room < 2 and head[0] in (0x50, 0xD0, 0x54, 0xD4)):
        place = 6 if head[0] in (0x54, 0xD4) else 2
        if room < place + 7:
            return 0
        _, pc, module, _, length = _ROUTE.unpack_from(data, at + place)
        known = pc in (0xFF, 0xFE, 0x7D, 0x7E) or 1 <= pc <= 120
        known &= 0x03D0 <= module <= 0x03E3 or module == 0x03FF or module < 0x200
        least = 2 if head[0] & 0x80 else 6
        return place + 7 + length if known and least <= length <= MAX_FRAME - 20 else -1
    text = bytes(data[at : at + 26])
    if text[:4] not in (b"5000", b"D000", b"5400", b"D400")[: 4 if room >= 4 else 0]:
        return 0 if room < 4 and text[:1] in (b"5", b"D") else -1
    place = 12 if text[1:2] == b"4" else 4
    if room < place + 14:
        return 0
    try:
        length = int(bytes(data[at + place + 10 : at + place + 14]), 16)
    except ValueError:
        return -1
    return place + 14 + length if length <= MAX_FRAME - 40 else -1


def starts(data: bytes, usual: bool) -> bool:
    """A whole frame of 3E or 4E; its command must be known where it is a request. MELSOFT frames on their ports."""
    if usual and len(data) >= 4 and data[0] in _MELSOFT and data[1] in (0, 1) and data[2:3] == b"\0":
        return True
    size = _size(data, 0) if data else -1
    if not 0 < size <= len(data) or (size != len(data) and not usual):
        return False
    if data[:2] == b"\x50\0":
        return int.from_bytes(data[11:13], "little") in FUNCTIONS
    if data[:2] == b"\x54\0":
        return int.from_bytes(data[15:17], "little") in FUNCTIONS
    return True


PROTOCOLS = (
    Protocol(
        "melsec",
        starts,
        Melsec,
        tcp=(*PORTS, *MELSOFT),
        udp=(*PORTS, *MELSOFT),
        marks=(Mark(b"\x50\0\0\xff"), Mark(b"\xd0\0\0\xff"), Mark(b"\x54\0"), Mark(b"500000FF"), Mark(b"D00000FF")),
    ),
)
