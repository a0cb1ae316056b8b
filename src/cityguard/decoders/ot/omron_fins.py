"""Omron FINS (manuals W227 and W342) over UDP and TCP to one row per command and response.

``ot.function.code`` is MRC * 256 + SRC; ``ot.address`` is memory area and word, ``82:100.0``; ``ot.unit_id`` is the
destination's (of a response the source's) FINS unit address.
"""

from __future__ import annotations

import json
import struct
from typing import Any

from cityguard.decoders.events import Talk
from cityguard.decoders.protocol import Mark, Protocol, Speaker
from cityguard.decoders.stream import Moment
from cityguard.decoders.wire.framed import Framed
from cityguard.decoders.wire.pairs import Pairs

PORT = 9600
MAX_FRAME = 65_536
MAX_WAITING = 65_536
"""Requests of a capture that wait for their responses."""
MAX_VALUES = 16

FUNCTIONS = {
    0x0101: ("Memory Area Read", "read"),
    0x0102: ("Memory Area Write", "write"),
    0x0103: ("Memory Area Fill", "write"),
    0x0104: ("Multiple Memory Area Read", "read"),
    0x0105: ("Memory Area Transfer", "write"),
    0x0201: ("Parameter Area Read", "read"),
    0x0202: ("Parameter Area Write", "program"),
    0x0203: ("Parameter Area Clear", "program"),
    0x0220: ("Data Link Table Read", "read"),
    0x0221: ("Data Link Table Write", "program"),
    0x0304: ("Program Area Protect", "program"),
    0x0305: ("Program Area Protect Clear", "program"),
    0x0306: ("Program Area Read", "program"),
    0x0307: ("Program Area Write", "program"),
    0x0308: ("Program Area Clear", "program"),
    0x0401: ("Run", "control"),
    0x0402: ("Stop", "control"),
    0x0403: ("Reset", "control"),
    0x0501: ("Controller Data Read", "read"),
    0x0502: ("Connection Data Read", "read"),
    0x0601: ("Controller Status Read", "diagnostic"),
    0x0602: ("Network Status Read", "diagnostic"),
    0x0603: ("Data Link Status Read", "diagnostic"),
    0x0620: ("Cycle Time Read", "diagnostic"),
    0x0701: ("Clock Read", "read"),
    0x0702: ("Clock Write", "write"),
    0x0801: ("Loop-Back Test", "diagnostic"),
    0x0802: ("Broadcast Test Results Read", "diagnostic"),
    0x0803: ("Broadcast Test Data Send", "diagnostic"),
    0x0920: ("Message Read | Message Clear | FAL/FALS Read", "read"),
    0x0C01: ("Access Right Acquire", "control"),
    0x0C02: ("Access Right Forced Acquire", "control"),
    0x0C03: ("Access Right Release", "control"),
    0x2101: ("Error Clear", "control"),
    0x2102: ("Error Log Read", "diagnostic"),
    0x2103: ("Error Log Clear", "control"),
    0x2140: ("FINS Write Access Log Read", "diagnostic"),
    0x2141: ("FINS Write Access Log Clear", "control"),
    0x2201: ("File Name Read", "read"),
    0x2202: ("Single File Read", "read"),
    0x2203: ("Single File Write", "program"),
    0x2204: ("Memory Card Format", "program"),
    0x2205: ("File Delete", "program"),
    0x2206: ("Volume Label Create or Delete", "program"),
    0x2207: ("File Copy", "program"),
    0x2208: ("File Name Change", "program"),
    0x2209: ("File Data Check", "read"),
    0x220A: ("Memory Area File Transfer", "program"),
    0x220B: ("Parameter Area File Transfer", "program"),
    0x220C: ("Program Area File Transfer", "program"),
    0x220F: ("File Memory Index Read", "read"),
    0x2210: ("File Memory Read", "read"),
    0x2211: ("File Memory Write", "program"),
    0x2215: ("Directory Create or Delete", "program"),
    0x2220: ("Memory Cassette Transfer", "program"),
    0x2301: ("Forced Set/Reset", "control"),
    0x2302: ("Forced Set/Reset Cancel", "control"),
    0x230A: ("Multiple Forced Status Read", "read"),
    0x2601: ("Name Set", "program"),
    0x2602: ("Name Delete", "program"),
    0x2603: ("Name Read", "read"),
    0x2801: ("Multiple Memory Area Write", "write"),
}
_BITS = frozenset(
    (
        *(0x00, 0x01, 0x03, 0x04, 0x05, 0x40, 0x41, 0x43, 0x44, 0x1B),  # CV series (W227)
        *(0x02, 0x06, 0x07, 0x09, 0x0A, 0x46, 0x49, 0x4A),  # DM, tasks, clocks, timers, EM; and forced
        *range(0x20, 0x34),  # EM banks 0 to F; CIO, work, holding, auxiliary
        *range(0x70, 0x74),  # CIO, work, holding, auxiliary with forced status
        *range(0xE0, 0xED),  # EM banks from 10
    )
)
"""Memory area codes whose items are bits and flags of one byte each (W342, 5-2-2)."""
_FORCED = frozenset((0xC0, 0xF0, 0xF1, 0xF2, 0xF3))
"""Words with their forced status: four bytes each, shown in hexadecimal."""
_LONG = 0xDC
"""Index registers: four bytes."""
_TCP = {0: "client_address", 1: "server_address", 2: "frame", 3: "error", 6: "confirm"}

_head = struct.Struct(">10BBB").unpack_from
_area = struct.Struct(">BHB").unpack_from
_tcp = struct.Struct(">4sIII").unpack_from


def _is_frame(data: bytes) -> bool:
    """A FINS header: bits of ICF that are fixed, a reserved byte of 0, a gateway count, networks below 128."""
    if len(data) < 12:
        return False
    icf, rsv, gct, dna, _, _, sna = data[:7]
    response = icf & 0x40 > 0
    return (
        icf & 0x3E == 0
        and rsv == 0
        and gct <= 7
        and dna <= 127
        and sna <= 127
        and (data[10] << 8 | data[11]) in FUNCTIONS
        and (not response or len(data) >= 14)
    )


def _address(body: bytes, at: int) -> tuple[str, int] | None:
    """Memory area address at a place as text, and its area code."""
    if at + 4 > len(body):
        return None
    area, word, bit = _area(body, at)
    return f"{area:02x}:{word}.{bit}", area


def _values(body: bytes, at: int, area: int, count: int) -> str | None:
    """Items of a memory area from a place on, comma separated, the first ``MAX_VALUES``; others are words."""
    form = "B" if area in _BITS else "I" if area in _FORCED or area == _LONG else "H"
    count = min(count, MAX_VALUES, (len(body) - at) // struct.calcsize(form))
    if count <= 0:
        return None
    found = struct.unpack_from(f">{count}{form}", body, at)
    return ",".join(f"0x{one:08x}" if area in _FORCED else str(one) for one in found)


def _command(code: int, body: bytes) -> dict[str, Any]:
    """What a command asks for: address, quantity, values written."""
    found: dict[str, Any] = {}
    if code in (0x0101, 0x0102, 0x0103):
        where = _address(body, 0)
        if where is None or len(body) < 6:
            return found
        count = int.from_bytes(body[4:6], "big")
        found = {"ot.address": where[0], "ot.quantity": count}
        if code != 0x0101:
            found["ot.value"] = _values(body, 6, where[1], 1 if code == 0x0103 else count)
    elif code == 0x0104:
        places = [where[0] for at in range(0, min(len(body) - 3, 4 * MAX_VALUES), 4) if (where := _address(body, at))]
        found = {"ot.address": ",".join(places) or None, "ot.quantity": len(body) // 4}
    elif code == 0x0105 and len(body) >= 10:
        source, target = _address(body, 0), _address(body, 4)
        if source and target:
            found = {"ot.address": f"{source[0]}>{target[0]}", "ot.quantity": int.from_bytes(body[8:10], "big")}
    elif code in (0x0201, 0x0202, 0x0203) and len(body) >= 6:
        area, word, count = struct.unpack_from(">HHH", body)
        found = {"ot.address": f"{area:04x}:{word}", "ot.quantity": count & 0x7FFF}
    elif code in (0x0304, 0x0305) and len(body) >= 11:  # what follows is the password
        first, last = struct.unpack_from(">II", body, 3)
        found = {"ot.address": f"program {int.from_bytes(body[:2], 'big')}:{first}-{last}"}
    elif code in (0x0306, 0x0307, 0x0308) and len(body) >= 6:
        found = {"ot.address": f"program {int.from_bytes(body[:2], 'big')}:{int.from_bytes(body[2:6], 'big')}"}
    elif code in (0x0401, 0x0402) and len(body) >= 2:
        mode = {1: "debug", 2: "monitor", 4: "run"}.get(body[2] if len(body) > 2 else -1)
        found = {"ot.address": f"program {int.from_bytes(body[:2], 'big')}", "ot.value": mode}
    elif code in (0x2101, 0x2301) and len(body) >= 2:
        found = {"ot.value": f"0x{int.from_bytes(body[:2], 'big'):04x}"}
        if code == 0x2301 and len(body) >= 8 and (where := _address(body, 4)):
            found = {"ot.address": where[0], "ot.quantity": int.from_bytes(body[:2], "big")}
            found["ot.value"] = f"0x{int.from_bytes(body[2:4], 'big'):04x}"
    elif code == 0x0702 and len(body) >= 5:
        found = {"ot.value": _clock(body)}
    elif code in (0x2202, 0x2203, 0x2205, 0x2208) and len(body) >= 14:
        name = body[4:16] if code == 0x2205 else body[2:14]  # a deletion counts its files first
        found = {"ot.address": name.decode("ascii", "replace").strip("\0 ") or None}
        if code == 0x2208:
            found["ot.value"] = body[14:26].decode("ascii", "replace").strip("\0 ") or None
    return found


def _clock(body: bytes) -> str | None:
    """BCD year (of 100), month, day, hour, minute and, where given, second."""
    text = body[:6].hex()
    if not text.isdigit():
        return None
    year = int(text[:2])
    second = f":{text[10:12]}" if len(text) >= 12 else ""
    return f"{1900 + year if year >= 90 else 2000 + year}-{text[2:4]}-{text[4:6]}T{text[6:8]}:{text[8:10]}{second}"


def _response(code: int, body: bytes, asked: dict[str, Any]) -> dict[str, Any]:
    """What a response brings; ``body`` begins after the response code."""
    if code == 0x0101:
        area = asked.get("ot.address") or "ff:"
        count = asked.get("ot.quantity")
        return {"ot.value": _values(body, 0, int(area[:2], 16), MAX_VALUES if count is None else count)}
    if code == 0x0501 and len(body) >= 20:
        return {"ot.value": body[:20].decode("ascii", "replace").strip("\0 ") or None}
    if code == 0x0601 and len(body) >= 2:
        mode = {0: "program", 1: "debug", 2: "monitor", 4: "run"}.get(body[1], f"0x{body[1]:02x}")
        return {"ot.value": f"{'run' if body[0] & 1 else 'stop'},{mode}"}
    if code == 0x0701:
        return {"ot.value": _clock(body)}
    return {}


class Fins(Speaker):
    """Every FINS conversation of a capture."""

    def __init__(self, out: Any) -> None:
        super().__init__(out)
        self._pairs = Pairs[dict[str, Any]](MAX_WAITING)

    def stream(self, talk: Talk) -> Framed:
        return Framed(talk, _size, self._framed, MAX_FRAME)

    def datagram(self, data: bytes, talk: Talk, at: Moment) -> bool:
        return self._frame(data, talk, at)

    def _framed(self, data: bytes, talk: Talk, at: Moment) -> None:
        _, _, command, error = _tcp(data)
        if command == 2:
            self._frame(data[16:], talk, at, error)
            return
        name = _TCP.get(command, f"command {command}")
        fields: dict[str, Any] = {
            "ot.protocol": "omron_fins",
            "ot.function.name": f"FINS/TCP {name}",
            "ot.message.type": name,
            "ot.value": ",".join(str(byte) for byte in data[16:24][3::4]) or None,
        }
        if error:
            fields |= {"ot.status": f"0x{error:08x}", "ot.function.class": "error"}
        self.out.add("ot", at, talk, fields)

    def _frame(self, data: bytes, talk: Talk, at: Moment, error: int = 0) -> bool:
        if len(data) < 12 or data[0] & 0x3E or data[1]:
            return False
        icf, _, gateways, dna, da1, da2, sna, sa1, sa2, sid, mrc, src = _head(data)
        code, answers = mrc << 8 | src, icf & 0x40 > 0
        name, kind = FUNCTIONS.get(code, (f"Command 0x{code:04x}", None))
        fields: dict[str, Any] = {
            "ot.protocol": "omron_fins",
            "ot.function.code": code,
            "ot.function.name": name,
            "ot.function.class": kind,
            "ot.unit_id": sa2 if answers else da2,
            "ot.message.type": "response" if answers else "command",
            "ot.transaction_id": sid,
            "ot.is_request": not answers,
            "event.fields": json.dumps(
                {"gateways": gateways, "source": f"{sna}.{sa1}.{sa2}", "destination": f"{dna}.{da1}.{da2}"}
            ),
        }
        source, destination = (talk.destination, talk.source) if answers else (talk.source, talk.destination)
        key = (source, destination, sid, code)
        if not answers:
            asked = _command(code, data[12:])
            fields |= asked
            if not icf & 1:  # a response is wanted
                self._pairs.ask(key, {name: asked.get(name) for name in ("ot.address", "ot.quantity")})
        else:
            asked = self._pairs.answer(key) or {}
            fields |= asked
            if len(data) >= 14:
                status = data[12] << 8 | data[13]
                fields["ot.status"] = f"0x{status:04x}"
                if status & 0x7F3F:  # the top bits tell of relays and of errors in the CPU's own state
                    fields["ot.function.class"] = "error"
                else:
                    fields |= _response(code, data[14:], asked)
        if error:
            fields |= {"ot.status": f"0x{error:08x}", "ot.function.class": "error"}
        self.out.add("ot", at, talk, fields)
        return True


def _size(data: bytes | bytearray, at: int) -> int:
    """Bytes of the FINS/TCP frame at a place (W342, 7-4)."""
    if data[at : at + 4] != b"FINS"[: len(data) - at]:
        return -1
    if len(data) - at < 16:
        return 0
    size = int.from_bytes(data[at + 4 : at + 8], "big") + 8
    return size if 16 <= size <= MAX_FRAME else -1


def starts(data: bytes, usual: bool) -> bool:
    """The four letters of FINS/TCP, or a FINS header on the usual port."""
    if data[:4] == b"FINS":
        return len(data) < 8 or 8 <= int.from_bytes(data[4:8], "big") < MAX_FRAME
    return usual and _is_frame(data)


PROTOCOLS = (Protocol("omron_fins", starts, Fins, tcp=(PORT,), udp=(PORT,), marks=(Mark(b"FINS\0\0"),)),)
