"""Frames of SZY206-2016 and SL/T 427-2021: ``68 L 68 C A5 AFN D… [PW 2] [Tp 5 or 7] CS 16``, checked and cut.

CS is a CRC-8 of polynomial E5h over C to the end of the auxiliary part. IEC 101 and Q/GDW 376.1 begin alike; the CRC
decides. Tp has 5 octets (second, minute, hour, day, delay) or 7 (with month and year): that which lets the body parse.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cityguard.decoders.ot import szy206_names as names

MOST = 260
"""Octets of a frame."""
_PROVINCES: Final = frozenset(
    bytes.fromhex("00 1112131415 212223 31323334353637 414243444546 5051525354 6162636465 71 8182 99")
)
_LEAST = 7
"""Octets from C to AFN."""
_HEAD = 11


def _table() -> bytes:
    found = bytearray()
    for value in range(256):
        for _ in range(8):
            value = (value << 1 ^ 0xE5 if value & 0x80 else value << 1) & 0xFF
        found.append(value)
    return bytes(found)


_CRC: Final = _table()


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame, all that the wire says; ``password`` never leaves the decoder."""

    up: bool
    split: bool
    left: int
    """DIVS, the count of frames of a split message; 0 = not split."""
    fcb: int
    type: int
    address: str
    """Ten hexadecimal digits as sent: region and number, or 00 and the number."""
    afn: int
    data: bytes
    password: str
    """Four digits; "" = none."""
    tp: bytes
    """Time and delay; empty = none."""
    crc_ok: bool
    length_ok: bool


NO_FRAME: Final = Frame(False, False, 0, 0, 0, "", -1, b"", "", b"", False, False)


def crc8(data: bytes | bytearray) -> int:
    """The check of a frame."""
    value = 0
    for octet in data:
        value = _CRC[value ^ octet]
    return value


def size(data: bytes | bytearray, at: int) -> int:
    """Octets of the frame at a place that has 68h: 0 = more is needed to tell, -1 = none begins here.

    Of a frame whose end is not where its length tells, the head alone, if it is sound.
    """
    have = len(data) - at
    if have < 3:
        return 0 if have < 2 or data[at + 1] >= _LEAST else -1
    told = data[at + 1]
    if told < _LEAST or data[at + 2] != 0x68:
        return -1
    if have < told + 5:
        return 0
    if data[at + told + 4] != 0x16:
        return _HEAD if is_sound(data, at) and _province(data, at) else -1
    return told + 5 if checked(data, at, told + 5) or is_sound(data, at) else -1


def checked(data: bytes | bytearray, at: int, many: int) -> bool:
    """Whether a frame's CRC is right."""
    return crc8(data[at + 3 : at + many - 2]) == data[at + many - 2]


def is_sound(data: bytes | bytearray, at: int) -> bool:
    """A head that may be one: a function there is, and a region in digits."""
    place = at + 4 + (data[at + 3] >> 6 & 1)
    part = data[place : place + 6]
    return len(part) == 6 and part[5] in names.FUNCTIONS and bytes(part[:3]).hex().isdigit()


def is_likely(data: bytes | bytearray, at: int) -> bool:
    """Whether a whole command of a wrong CRC stands at a place, by all that can be known of one beside it."""
    many = size(data, at)
    if many <= _HEAD or not is_sound(data, at) or not _province(data, at) or not data[at + 4]:
        return False
    frame = read(bytes(data[at : at + many]))
    if frame.up or frame.type or frame.afn not in names.DATA:
        return False
    return bool(frame.tp) and _fits(len(frame.data), frame.afn, up=False, kind=0)


def _province(data: bytes | bytearray, at: int) -> bool:
    """Whether the region begins with a code of GB/T 2260, or is the 00 of stations without one."""
    return data[at + 4 + (data[at + 3] >> 6 & 1)] in _PROVINCES


def read(data: bytes) -> Frame:
    """A frame as ``size`` cut it; never raises. What is no frame is ``NO_FRAME``."""
    if len(data) < _HEAD or data[0] != 0x68 or data[2] != 0x68:
        return NO_FRAME
    whole = len(data) == data[1] + 5
    control = data[3]
    split = bool(control & 0x40)
    place = 4 + split
    if len(data) < place + 6:
        return NO_FRAME
    up, afn = control >= 0x80, data[place + 5]
    rest = data[place + 6 : -2] if whole else b""
    said, password, tp = _parts(rest, afn, up=up, kind=control & 15)
    return Frame(
        up, split, data[4] if split else 0, control >> 4 & 3, control & 15, data[place : place + 5].hex().upper(), afn,
        said, password.hex().upper(), tp, whole and checked(data, 0, len(data)), whole,
    )  # fmt: skip


def _parts(rest: bytes, afn: int, *, up: bool, kind: int) -> tuple[bytes, bytes, bytes]:
    """Data, password and time of what follows AFN."""
    guarded = not up and afn in names.GUARDED
    if up and afn not in names.TIMED:
        return rest, b"", b""
    ways = _GUARDED if guarded else _OPEN
    if guarded and names.DATA.get(afn, (0, 1))[1]:
        ways = _UNITS
    for fits in (_fits, _any):
        for wide, secret in ways:
            left = len(rest) - wide - secret
            if left >= 0 and _is_time(rest[len(rest) - wide :]) and fits(left, afn, up=up, kind=kind):
                return rest[:left], rest[left : left + secret], rest[left + secret :]
    return rest, b"", b""


_GUARDED = ((5, 2), (7, 2), (5, 0), (7, 0), (0, 2), (0, 0))
"""Octets of time and password, the likeliest first."""
_UNITS = ((7, 2), (5, 2), (7, 0), (5, 0), (0, 2), (0, 0))
_OPEN = ((7, 0), (5, 0), (0, 0))


def _any(left: int, afn: int, *, up: bool, kind: int) -> bool:
    """Whatever is left."""
    return True


def _fits(left: int, afn: int, *, up: bool, kind: int) -> bool:
    """Whether so many octets of data can be those of the function."""
    if not up and afn in names.DATA:
        least, unit = names.DATA[afn]
        return left == least if not unit else left >= least + unit and (left - least) % unit == 0
    if not up:
        return afn in names.REPORTS and left in (0, 1)
    unit = names.UNITS.get(kind, 0)  # data, then two words of alarms and state
    return unit > 0 and left >= 4 and (left - 4) % unit == 0


def _is_time(raw: bytes) -> bool:
    """Second, minute, hour, day, of seven octets month and year too; the delay is any."""
    if not raw:
        return True
    text = raw[:-1].hex()
    if len(raw) not in (5, 7) or not text.isdigit():
        return False
    clock = text[:2] < "60" and text[2:4] < "60" and text[4:6] < "24" and "01" <= text[6:8] <= "31"
    return clock and (len(raw) == 5 or ("01" <= text[8:10] <= "12" and "15" <= text[10:12] <= "60"))
