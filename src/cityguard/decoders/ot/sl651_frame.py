"""Frames of SL 651-2014 (6.2): found in a stream, checked and cut into head and body; HEX/BCD and ASCII alike.

HEX: 7E7E, addresses 6, password 2, function 1, direction and length 2, STX or SYN with its group of 3, body, end, CRC.
ASCII: SOH, the same in hexadecimal characters. The CRC is that of Modbus over all before it, high octet first.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import Final, NamedTuple

from cityguard.decoders.ot import sl651_names as names
from cityguard.decoders.wire import crc

START: Final = b"\x7e\x7e"
SOH: Final = 0x01
HEX_HEAD, ASCII_HEAD = 14, 24
"""Octets up to the one that begins the body, and this one."""
MAX_BODY = 4_095
MAX_FRAME = ASCII_HEAD + 6 + MAX_BODY + 5
SCAN = 1_024
"""Octets searched for the end of a frame whose length is wrong."""
MORE, NONE = 0, -1
_plain = Struct(">H8xBHB").unpack_from
_DIGITS = frozenset(b"0123456789abcdefABCDEF")
_UP, _DOWN = frozenset((names.ETX, names.ETB)), frozenset((names.ENQ, names.ACK, names.NAK, names.EOT, names.ESC))


class Head(NamedTuple):
    """What stands before the body."""

    ascii: bool
    up: bool
    centre: int
    station: str
    password: str
    code: int
    length: int
    multiple: bool
    """SYN: one packet of several."""

    @property
    def size(self) -> int:
        """Octets of the frame as its length tells; a SYN group is counted in the length."""
        return (ASCII_HEAD + 5 if self.ascii else HEX_HEAD + 3) + self.length


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame, all that the wire says; ``password`` never leaves the decoder."""

    encoding: str
    up: bool
    centre: int
    station: str
    password: str
    code: int
    length: int
    total: int
    """Packets of the message; 0 = it is whole in this one."""
    number: int
    body: bytes
    end: int
    crc_ok: bool
    length_ok: bool

    @property
    def ending(self) -> str:
        """Name of the control character that closes the body."""
        return names.ENDS.get(self.end, f"{self.end:02X}")


NO_FRAME: Final = Frame("hex", True, 0, "", "", -1, 0, 0, 0, b"", 0, False, False)


def head(data: bytes | bytearray, at: int) -> Head | None:
    """The head that stands at a place, whole; None where it is no sound one."""
    if data[at : at + 2] == START:
        return _head(data[at + 2 : at + HEX_HEAD], ascii=False)
    if data[at] != SOH or len(data) < at + ASCII_HEAD:
        return None
    text = bytes(data[at + 1 : at + ASCII_HEAD - 1])
    if not _DIGITS.issuperset(text):
        return None
    return _head(bytes.fromhex(text.decode()) + data[at + ASCII_HEAD - 1 : at + ASCII_HEAD], ascii=True)


def _head(raw: bytes | bytearray, *, ascii: bool) -> Head | None:
    if len(raw) < 12:
        return None
    way, begin, code = raw[9] >> 4, raw[11], raw[8]
    length = (raw[9] & 15) << 8 | raw[10]
    if way not in (0, 8) or begin not in (names.STX, names.SYN) or code < 0x2F or not length:
        return None
    centre, station = (raw[0], raw[1:6]) if way == 0 else (raw[5], raw[:5])
    return Head(
        ascii, way == 0, centre, station.hex().upper(), raw[6:8].hex().upper(), code, length, begin == names.SYN
    )


def begins(data: bytes | bytearray, at: int) -> bool:
    """Whether the octets from a place to the end can be the beginning of a head that is not whole yet."""
    rest = data[at : at + ASCII_HEAD]
    if rest[0] == SOH:
        return len(rest) < ASCII_HEAD and _DIGITS.issuperset(rest[1:-1]) and (len(rest) == 1 or rest[1] in _DIGITS)
    return len(rest) < HEX_HEAD and START.startswith(bytes(rest[:2]))


class Search:
    """How far the end of one frame was looked for, so that no octet is looked at again when more has come."""

    __slots__ = ("done", "heads", "place", "value")

    def __init__(self) -> None:
        self.place = self.done = 0
        """Octets in which no end is, and octets the check was made over."""
        self.value, self.heads = 0xFFFF, 1


def measure(data: bytes | bytearray, at: int, *, final: bool = False, search: Search | None = None) -> int:
    """Octets of the frame at a place.

    Args:
        data: what is at hand of a stream.
        at: the place, inside of it.
        final: nothing more will come.
        search: of the same frame, when less of it was at hand.

    Returns:
        ``MORE`` = its end cannot be told yet; ``NONE`` = no frame begins here.
    """
    one = head(data, at)
    if one is None:
        return MORE if not final and begins(data, at) else NONE
    size, have = one.size, len(data) - at
    if one.multiple and one.ascii and one.length == 0xFFF:
        return _search(data, at, one, MAX_FRAME, search or Search(), final=final)
    if have >= size:
        if checked(data, at, at + size, ascii=one.ascii):
            return size
        group = 6 if one.ascii else 3
        if one.multiple and have < size + group and not final:
            return MORE
        if one.multiple and have >= size + group and checked(data, at, at + size + group, ascii=one.ascii):
            return size + group  # some count the body without the group
        if _ends(data, at + size, one) and one.code in names.FUNCTIONS:
            return size
    elif not final:
        return MORE
    return _search(data, at, one, SCAN, search or Search(), final=final)


def plain(data: bytes, at: int) -> int:
    """Octets of an ordinary whole frame at a place: HEX/BCD, by itself, of a known function, its end where it belongs.

    Its check is not looked at: ``measure`` gives it the same size whether it is right or wrong. 0 = something else.
    """
    have = len(data) - at
    if have < HEX_HEAD + 8 + 3:
        return 0
    start, code, way, begin = _plain(data, at)
    size = (way & 0xFFF) + HEX_HEAD + 3
    if start != 0x7E7E or begin != names.STX or way & 0x7000 or not HEX_HEAD + 11 <= size <= have:
        return 0
    return size if code in names.FUNCTIONS and data[at + size - 3] in (_DOWN if way & 0x8000 else _UP) else 0


def _ends(data: bytes | bytearray, stop: int, one: Head) -> bool:
    return data[stop - (5 if one.ascii else 3)] in (_UP if one.up else _DOWN)


def _search(data: bytes | bytearray, at: int, one: Head, most: int, search: Search, *, final: bool) -> int:
    """The end of a frame whose length does not tell it: an end character with the check behind it."""
    stop = min(len(data), at + most)
    following = _next_head(data, at + search.heads, stop)
    search.heads = max(stop - at - HEX_HEAD, 1)
    if following >= 0:
        stop = following
    wide = 5 if one.ascii else 3
    first = at + max(search.place, ASCII_HEAD if one.ascii else HEX_HEAD)
    for place in range(first, stop - wide + 1):
        if data[place] not in names.ENDS:
            continue
        search.value, search.done = crc.arc(bytes(data[at + search.done : place + 1]), search.value), place + 1 - at
        if _check(data, place + 1, ascii=one.ascii) == search.value:
            return place + wide - at
    search.place = max(stop - wide + 1 - at, search.place)
    return MORE if not final and following < 0 and stop < at + most else NONE


def _next_head(data: bytes | bytearray, begin: int, stop: int) -> int:
    place = data.find(START, begin, stop)
    while place >= 0:
        if head(data, place) is not None:
            return place
        place = data.find(START, place + 1, stop)
    return -1


def _check(data: bytes | bytearray, at: int, *, ascii: bool) -> int:
    """The check that stands at a place; -1 = none."""
    if not ascii:
        return int.from_bytes(data[at : at + 2], "big")
    raw = bytes(data[at : at + 4])
    return int(raw, 16) if len(raw) == 4 and _DIGITS.issuperset(raw) else -1


def checked(data: bytes | bytearray, at: int, stop: int, *, ascii: bool) -> bool:
    """Whether the frame between two places ends as frames do, and its check fits."""
    wide = 4 if ascii else 2
    if data[stop - wide - 1] not in names.ENDS:
        return False
    return _check(data, stop - wide, ascii=ascii) == crc.arc(bytes(data[at : stop - wide]), 0xFFFF)


def read(data: bytes) -> Frame:
    """A frame as ``measure`` cut it; never raises. What is no frame is ``NO_FRAME``."""
    one = head(data, 0) if data else None
    wide, first = (4, ASCII_HEAD) if one and one.ascii else (2, HEX_HEAD)
    if one is None or len(data) < first + wide + 1:
        return NO_FRAME
    body, total, number = data[first : -wide - 1], 0, 0
    if one.multiple:
        group, body = (body[:6], body[6:]) if one.ascii else (body[:3], body[3:])
        told = int.from_bytes(group, "big") if not one.ascii else _number(group)
        total, number = told >> 12, told & 0xFFF
    fits = len(data) == one.size or (one.multiple and len(data) == one.size + (6 if one.ascii else 3))
    return Frame(
        "ascii" if one.ascii else "hex", one.up, one.centre, one.station, one.password, one.code, one.length,
        total, number, body, data[-wide - 1], checked(data, 0, len(data), ascii=one.ascii),
        fits or (one.ascii and one.multiple and one.length == 0xFFF),
    )  # fmt: skip


def _number(text: bytes) -> int:
    return int(text, 16) if text and _DIGITS.issuperset(text) else 0


def cut(data: bytes) -> Frame:
    """What is at hand of a frame whose end never came: its head, and the body as far as it goes."""
    one = head(data, 0) if data else None
    if one is None:
        return NO_FRAME
    body = data[ASCII_HEAD if one.ascii else HEX_HEAD :]
    return Frame(
        "ascii" if one.ascii else "hex", one.up, one.centre, one.station, one.password, one.code, one.length,
        0, 0, b"" if one.multiple else body, 0, False, False,
    )  # fmt: skip
