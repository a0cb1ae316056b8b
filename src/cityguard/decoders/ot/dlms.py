"""DLMS/COSEM (IEC 62056-46, -47, -5-3): HDLC frames and the TCP/UDP wrapper to one row per application unit.

``ot.function.code`` is the unit's tag; ``ot.address`` is class/OBIS/attribute, ``ot.unit_id`` the logical device.
Enciphered units give their tag alone. Frames that carry no unit (SNRM, UA, RR …) have a null code and their name.
"""

from __future__ import annotations

import struct
from typing import Any

from cityguard.decoders.events import Talk
from cityguard.decoders.protocol import Mark, Out, Protocol, Speaker
from cityguard.decoders.stream import Moment
from cityguard.decoders.wire import crc
from cityguard.decoders.wire.framed import Framed
from cityguard.decoders.wire.pairs import Pairs

PORTS = (4059, 4060)
MAX_FRAME = 4_096
MAX_WAITING = 65_536
"""Requests of a capture that wait for their responses."""

FUNCTIONS: dict[int, tuple[str, str | None]] = {
    0x01: ("Initiate Request", None),
    0x05: ("Read Request", "read"),
    0x06: ("Write Request", "write"),
    0x08: ("Initiate Response", None),
    0x0C: ("Read Response", "read"),
    0x0D: ("Write Response", "write"),
    0x0E: ("Confirmed Service Error", "error"),
    0x0F: ("Data Notification", "read"),
    0x16: ("Unconfirmed Write Request", "write"),
    0x18: ("Information Report Request", "read"),
    0x60: ("Association Request", None),
    0x61: ("Association Response", None),
    0x62: ("Release Request", None),
    0x63: ("Release Response", None),
    0xC0: ("Get Request", "read"),
    0xC1: ("Set Request", "write"),
    0xC2: ("Event Notification Request", "read"),
    0xC3: ("Action Request", "control"),
    0xC4: ("Get Response", "read"),
    0xC5: ("Set Response", "write"),
    0xC7: ("Action Response", "control"),
    0xC8: ("Global Get Request", "read"),
    0xC9: ("Global Set Request", "write"),
    0xCA: ("Global Event Notification Request", "read"),
    0xCB: ("Global Action Request", "control"),
    0xCC: ("Global Get Response", "read"),
    0xCD: ("Global Set Response", "write"),
    0xCF: ("Global Action Response", "control"),
    0xD0: ("Dedicated Get Request", "read"),
    0xD1: ("Dedicated Set Request", "write"),
    0xD3: ("Dedicated Action Request", "control"),
    0xD4: ("Dedicated Get Response", "read"),
    0xD5: ("Dedicated Set Response", "write"),
    0xD7: ("Dedicated Action Response", "control"),
    0xD8: ("Exception Response", "error"),
    0xDB: ("General Global Ciphering", None),
    0xDC: ("General Dedicated Ciphering", None),
    0xDD: ("General Ciphering", None),
    0xDF: ("General Signing", None),
    0xE0: ("General Block Transfer", None),
}
_ANSWERS = frozenset((0x08, 0x0C, 0x0D, 0x0E, 0x61, 0x63, 0xC4, 0xC5, 0xC7, 0xCC, 0xCD, 0xCF, 0xD4, 0xD5, 0xD7, 0xD8))
_PAIRED = {0xC4: 0xC0, 0xC5: 0xC1, 0xC7: 0xC3}
_CONTROLS = {0x93: "SNRM", 0x83: "SNRM", 0x73: "UA", 0x63: "UA", 0x53: "DISC", 0x43: "DISC", 0x1F: "DM", 0x97: "FRMR"}
_SECRET_ATTRIBUTES = frozenset(((15, 7), (19, 7), (19, 8), (19, 9), (44, 5), (45, 3), (46, 4)))
"""Class and attribute of passwords and PINs: association, local port, PPP, GPRS and SMTP setup (IEC 62056-6-2)."""
_SECRET_METHODS = frozenset(((12, 5), (12, 6), (12, 8), (15, 1), (15, 2), (64, 2), (64, 3)))
"""Class and method that change or prove a secret, or transfer keys: association SN and LN, security setup."""
_wrapper = struct.Struct(">HHHH").unpack_from


def _address(data: bytes, at: int) -> tuple[int, int]:
    """An HDLC address of one to four bytes, the last with its low bit set; the upper half is the logical device."""
    value = 0
    for width in range(1, 5):
        if at + width > len(data):
            break
        value = value << 7 | data[at + width - 1] >> 1
        if data[at + width - 1] & 1:
            return (value >> 7 if width == 2 else value >> 14 if width == 4 else value), width
    return 0, 0


def _what(unit: bytes) -> dict[str, Any]:
    """Attribute or method of a normal request: class, OBIS code, number, and what is set."""
    if len(unit) < 12 or unit[1] != 1:
        return {}
    kind = int.from_bytes(unit[3:5], "big")
    obis = f"{unit[5]}-{unit[6]}:{unit[7]}.{unit[8]}.{unit[9]}*{unit[10]}"
    found: dict[str, Any] = {"ot.address": f"{kind}/{obis}/{int.from_bytes(unit[11:12], 'big', signed=True)}"}
    if unit[0] in (0xC1, 0xC3) and len(unit) > 13 and not _is_secret(unit):
        found["ot.value"] = _simple(unit[13:])
    return found


def _is_secret(unit: bytes) -> bool:
    """Whether what a normal request sets, reads or hands over is a password or a key: it is never shown."""
    table = _SECRET_METHODS if unit[0] == 0xC3 else _SECRET_ATTRIBUTES
    return (int.from_bytes(unit[3:5], "big"), unit[11]) in table


def _simple(data: bytes) -> str | None:
    """A value of a simple type; others in hex."""
    tag, rest = data[0], data[1:]
    sizes = {3: 1, 15: 1, 16: 2, 17: 1, 18: 2, 5: 4, 6: 4, 20: 8, 21: 8, 22: 1}
    if tag in sizes and len(rest) >= sizes[tag]:
        return str(int.from_bytes(rest[: sizes[tag]], "big", signed=tag in (5, 15, 16, 20)))
    if tag in (9, 10) and rest and rest[0] < 0x80:
        raw = rest[1 : 1 + rest[0]]
        return (raw.decode("latin-1") if tag == 10 else raw.hex())[:64] or None
    return data[:32].hex()


class Dlms(Speaker):
    """Every DLMS conversation of a capture."""

    def __init__(self, out: Out) -> None:
        super().__init__(out)
        self._pairs = Pairs[tuple[str | None, bool]](MAX_WAITING)

    def stream(self, talk: Talk) -> Framed:
        return Framed(talk, _size, self._frame, MAX_FRAME)

    def datagram(self, data: bytes, talk: Talk, at: Moment) -> bool:
        place = 0
        while place < len(data):
            size = _size(data, place)
            if not 0 < size <= len(data) - place:
                break
            self._frame(data[place : place + size], talk, at)
            place += size
        return place > 0

    def _frame(self, data: bytes, talk: Talk, at: Moment) -> None:
        if data[0] == 0x7E:
            self._hdlc(data[1:-1], talk, at)
            return
        _, source, target, _ = _wrapper(data)
        unit = data[8:]
        self._unit(unit, source if unit and unit[0] in _ANSWERS else target, talk, at)

    def _hdlc(self, frame: bytes, talk: Talk, at: Moment) -> None:
        """Format, destination, source, control, then (behind a header check) LLC and an application unit."""
        target, wide = _address(frame, 2)
        source, more = _address(frame, 2 + wide)
        place = 2 + wide + more
        if not wide or not more or place >= len(frame):
            return
        control = frame[place]
        unit = frame[place + 3 : -2]
        if (control & 1 == 0 and unit[:2] == b"\xe6\xe6") or unit[:2] == b"\xe6\xe7":
            answers = unit[1] == 0xE7
            self._unit(unit[3:], source if answers else target, talk, at)
            return
        names = {1: "RR", 5: "RNR"}
        name = _CONTROLS.get(control) or names.get(control & 0x0F, "I" if control & 1 == 0 else f"U 0x{control:02x}")
        fields: dict[str, Any] = {
            "ot.protocol": "dlms",
            "ot.function.name": name,
            "ot.unit_id": target,
            "ot.message.type": name.split(" ")[0].lower(),
        }
        if control & 1 == 0:
            fields["event.flags"] = ["undecoded"]  # a later segment of a unit
        self.out.add("ot", at, talk, fields)

    def _unit(self, unit: bytes, device: int, talk: Talk, at: Moment) -> None:
        if not unit:
            return
        tag = unit[0]
        name, kind = FUNCTIONS.get(tag, (f"Tag 0x{tag:02x}", None))
        answers = tag in _ANSWERS
        fields: dict[str, Any] = {
            "ot.protocol": "dlms",
            "ot.function.code": tag,
            "ot.function.name": name,
            "ot.function.class": kind,
            "ot.unit_id": device,
            "ot.message.type": "response" if answers else "request",
            "ot.is_request": not answers,
        }
        if 0xC0 <= tag <= 0xC7 and len(unit) >= 3 and tag != 0xC2:
            number = unit[2] & 0x0F
            fields["ot.transaction_id"] = number
            if not answers:
                asked = _what(unit)
                fields |= asked
                known = asked.get("ot.address"), bool(asked) and _is_secret(unit)
                self._pairs.ask((talk.source, talk.destination, tag, number), known)
            else:
                key = (talk.destination, talk.source, _PAIRED.get(tag, 0), number)
                address, secret = self._pairs.answer(key) or (None, False)
                fields |= {"ot.address": address} | _result(tag, unit)
                if secret:
                    fields["ot.value"] = None
        self.out.add("ot", at, talk, fields)


def _result(tag: int, unit: bytes) -> dict[str, Any]:
    """The result of a normal response, and what was read."""
    if unit[1] != 1 or len(unit) < 4:
        return {}
    if tag == 0xC4 and unit[3] == 0:
        return {"ot.status": "0", "ot.value": _simple(unit[4:]) if len(unit) > 4 else None}
    code = unit[4] if tag == 0xC4 and len(unit) > 4 else unit[3]
    return {"ot.status": str(code)} | ({"ot.function.class": "error"} if code else {})


def _size(data: bytes | bytearray, at: int) -> int:
    """Bytes of the frame at a place: between two flags as the format field says, or behind a wrapper."""
    room = len(data) - at
    if data[at] == 0x7E:
        if room < 4:
            return 0
        if data[at + 1] & 0xF0 != 0xA0:
            return -1
        size = ((data[at + 1] & 7) << 8 | data[at + 2]) + 2
        if size < 9:
            return -1
        return size if room < size or data[at + size - 1] == 0x7E else -1
    if data[at] == 0 and room < 8:
        return 0 if room < 2 or data[at + 1] == 1 else -1
    if data[at] == 0 and data[at + 1] == 1:
        size = (data[at + 6] << 8 | data[at + 7]) + 8
        known = room < 9 or data[at + 8] in FUNCTIONS
        return size if 9 <= size <= MAX_FRAME and known else -1
    return -1


def starts(data: bytes, usual: bool) -> bool:
    """A whole HDLC frame with the right check on any port, a wrapper that fits on the usual ones."""
    size = _size(data, 0) if data else -1
    if not 0 < size <= len(data):
        return False
    if data[0] == 0x7E:
        return crc.x25(data[1 : size - 3]) == data[size - 3] | data[size - 2] << 8
    return usual


PROTOCOLS = (Protocol("dlms", starts, Dlms, tcp=PORTS, udp=PORTS, marks=(Mark(b"\x7e\xa0", 0, b"\xff\xf0"),)),)
