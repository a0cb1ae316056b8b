"""One frame of GB/T 20999-2017 (traffic signal controllers): what it says, in whichever form its maker chose.

``7E length(2) version(2) host controller(4) crossing serial type count {index length class object attribute element
value} CRC(2) 7D``. Implementations disagree on the polynomial and on whether the length counts the CRC; all four forms
are read. From public implementations, not from the text of the standard: which form it means is unconfirmed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from cityguard.decoders.wire import crc

START, END, ESCAPE = 0x7E, 0x7D, 0x5C
LEAST, MOST = 2 + 11 + 2 + 2, 4_096
MAX_ITEMS = 255
_HEAD = 13
_TABLE = crc.forward(0x1005)
_CONTENT = re.compile(rb"(?:[^\x5c\x7d\x7e]|\x5c.)*+", re.DOTALL)
"""What may stand between the marks, escapes with what they escape."""

TYPES: dict[int, tuple[str, str | None]] = {
    0x10: ("query", "read"),
    0x20: ("query_reply", "read"),
    0x21: ("query_error", "error"),
    0x30: ("set", "write"),
    0x40: ("set_reply", "write"),
    0x41: ("set_error", "error"),
    0x50: ("broadcast", "diagnostic"),
    0x60: ("trap", "diagnostic"),
    0x70: ("heartbeat", "diagnostic"),
    0x71: ("heartbeat_reply", "diagnostic"),
    0x80: ("heartbeat_reply", "diagnostic"),
}
ANSWERS = frozenset((0x20, 0x21, 0x40, 0x41, 0x71, 0x80))
POLYNOMIALS = {"1005": "poly 1005 init 0000", "1021": "poly 1021 init FFFF"}
COMMANDS = {0: "cancel", 1: "yellow_flash", 2: "all_red", 3: "lamps_on", 4: "lamps_off", 5: "restart"}
MODES = {0x31: "flash", 0x32: "all_red", 0x33: "off"}
STATUS = {0x10: "bad", 0x11: "length", 0x12: "overflow", 0x20: "read_only", 0x30: "absent", 0x50: "failed"}
_PROGRAMS, _CONTROLS = frozenset((2, 3, 7)), frozenset((17, 18))


@dataclass(frozen=True, slots=True)
class Item:
    """One data value."""

    index: int
    kind: int
    """Class."""
    object: int
    attribute: int
    element: int
    value: bytes

    @property
    def address(self) -> str:
        return f"{self.kind}.{self.object}.{self.attribute}.{self.element}"

    @property
    def text(self) -> str | None:
        """The value in hexadecimal, with the word of a command or a mode."""
        if not self.value:
            return None
        word = None
        if self.kind == 18 and self.object == 1:
            word = COMMANDS.get(self.value[0])
        elif self.kind == 17 and self.object == 4 and len(self.value) == 1:
            word = MODES.get(self.value[0])
        return f"{self.value.hex()} {word}" if word else self.value[:64].hex()


@dataclass(frozen=True, slots=True)
class Frame:
    """Everything a frame says."""

    version: tuple[int, int]
    host: int
    controller: str
    """8 hexadecimal digits."""
    crossing: int
    serial: int
    type: int
    items: tuple[Item, ...]
    variant: str | None
    """Which polynomial the check is right for (``POLYNOMIALS``); None = neither."""
    counts_check: bool | None
    """Whether the length counts the check; None = it is wrong either way."""

    @property
    def name(self) -> str:
        return TYPES[self.type][0]

    @property
    def kind(self) -> str | None:
        """The class; of a set that of the weightiest thing it sets."""
        plain = TYPES[self.type][1]
        if plain != "write":
            return plain
        classes = {one.kind for one in self.items}
        return "control" if classes & _CONTROLS else "program" if classes & _PROGRAMS else "write"


def _check(data: bytes) -> int:
    value = 0
    for octet in data:
        value = (value << 8 & 0xFF00) ^ _TABLE[value >> 8 ^ octet]
    return value


def variant(body: bytes) -> str | None:
    """Which polynomial makes the last two octets of what stands between the marks right."""
    told = body[-2] << 8 | body[-1]
    if _check(body[:-2]) == told:
        return "1005"
    return "1021" if crc.ccitt(body[:-2]) == told else None


def plain(raw: bytes) -> bytes:
    """What stands between the marks without escapes."""
    if ESCAPE not in raw:
        return raw
    out, place = bytearray(), 0
    while place < len(raw):
        octet = raw[place]
        if octet == ESCAPE and place + 1 < len(raw):
            place += 1
            octet = raw[place]
        out.append(octet)
        place += 1
    return bytes(out)


def _heads(body: bytes) -> bool:
    """Whether a head can be one: version 1 to 9, a known type, a length of no less than the head."""
    return len(body) >= _HEAD and 1 <= body[2] <= 9 and body[11] in TYPES and 11 <= body[0] << 8 | body[1] <= MOST


def size(data: bytes | bytearray, at: int) -> int:
    """Octets of the frame at a place, from 7E to 7D: 0 = more is needed to tell, -1 = none begins here."""
    if data[at] != START:
        return -1
    room = len(data) - at
    if room < 4:
        return 0
    if (told := _by_length(data, at)) > 0:
        return told
    if not _may(data, at):
        return -1
    found = _CONTENT.match(data, at + 1, at + 2 * MOST)
    end = found.end() if found else at + 1
    if end < len(data) and data[end] == END:
        body = plain(bytes(data[at + 1 : end]))
        if len(body) >= _HEAD + 2 and _heads(body) and (_fits(body) is not None or variant(body)):
            return end + 1 - at
    elif len(data) - end < 2 and room < 2 * MOST:
        return 0
    return 0 if told == 0 else -1


def _may(data: bytes | bytearray, at: int) -> bool:
    """Whether the first octets, escapes aside, can be a head."""
    body = plain(bytes(data[at + 1 : at + 1 + 2 * _HEAD]))
    short = len(body) < _HEAD
    return (len(body) < 3 or 1 <= body[2] <= 9) and (short or _heads(body))


def _by_length(data: bytes | bytearray, at: int) -> int:
    """The frame by its length alone, as senders without escapes mean it: 0 = not all there, -1 = it is none."""
    head = bytes(data[at + 1 : at + 1 + _HEAD])
    if len(head) < _HEAD:
        return -1
    if not _heads(head):
        return -1
    length, waits = head[0] << 8 | head[1], False
    for whole in (length + 4, length + 6):
        if whole > len(data) - at:
            waits = True
        elif data[at + whole - 1] == END and variant(bytes(data[at + 1 : at + whole - 1])):
            return whole
    return 0 if waits else -1


def _fits(body: bytes) -> bool | None:
    """Whether the length counts the check; None = it fits neither way."""
    length = body[0] << 8 | body[1]
    return True if length == len(body) - 2 else False if length == len(body) - 4 else None


def read(frame: bytes) -> Frame | None:
    """What the octets from 7E to 7D say; None where they are no frame."""
    if len(frame) < LEAST or frame[0] != START or frame[-1] != END:
        return None
    body = frame[1:-1]
    if not _heads(body) or variant(body) is None or _fits(body) is None:
        other = plain(body)
        if len(other) >= _HEAD + 2 and _heads(other) and (_fits(other) is not None or not _heads(body)):
            body = other
    if len(body) < _HEAD + 2 or not _heads(body):
        return None
    return Frame(
        (body[2], body[3]),
        body[4],
        body[5:9].hex(),
        body[9],
        body[10],
        body[11],
        _items(body[_HEAD:-2], body[12]),
        variant(body),
        _fits(body),
    )


def _items(data: bytes, count: int) -> tuple[Item, ...]:
    """The data values, as many as there are octets for."""
    found, at = list[Item](), 0
    for _ in range(count):
        if at + 6 > len(data) or data[at + 1] < 4 or at + 2 + data[at + 1] > len(data):
            break
        end = at + 2 + data[at + 1]
        found.append(Item(data[at], data[at + 2], data[at + 3], data[at + 4], data[at + 5], data[at + 6 : end]))
        at = end
    return tuple(found)


def checked(data: bytes, place: int, size: int) -> bool:
    """Whether the frame at a place has a right check, by either polynomial."""
    frame = read(data[place : place + size])
    return frame is not None and frame.variant is not None
