"""Frames of JT/T 808: head in its 2011/2013 and 2019 forms, check, and the bodies that tell or command something.

Pure: octets in, what they say out, nothing masked; never raises on any octets. From public implementations.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from cityguard.decoders.ot.jt808_names import MESSAGES, SECRETS, TEXTS
from cityguard.decoders.wire import crc

MARK = b"\x7e"
MAX_FRAME = 2_200
"""Octets of a frame whose every octet is escaped."""
MAX_BODY = 1_023
MAX_SPLIT = 1_024
MAX_PARAMETERS = 255
MAX_ITEMS = 64
MAX_TEXT = 512
_SPLIT, _FORM_2019 = 0x2000, 0x4000
_SOUTH, _WEST = 4, 8
_place = struct.Struct(">4I3H6s").unpack_from


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame whose head could be read."""

    message: int
    version: int
    """2013 (the head of 2011 is the same) or 2019."""
    phone: str | None
    """Digits as packed; None where they are none."""
    serial: int
    declared: int
    """Length of the body as the head tells it."""
    body: bytes
    checksum_ok: bool
    encryption: int = 0
    total: int = 0
    number: int = 0
    escapes: bool = False

    @property
    def length_ok(self) -> bool:
        return self.declared == len(self.body)

    @property
    def sound(self) -> bool:
        """Whether the head is one: a message of the standard and a number of digits, or any with length and check."""
        split = not self.total or (1 <= self.number <= self.total <= MAX_SPLIT)
        right = self.checksum_ok and self.length_ok
        return split and (right or (self.message in MESSAGES and self.phone is not None))

    @property
    def sure(self) -> bool:
        """Whether it can hardly be anything else: of number, length and check two are right, and the message known."""
        numbered = bool((self.phone or "").strip("0"))
        right = sum((numbered, self.length_ok, self.checksum_ok)) > 1
        return right and self.sound and self.message in MESSAGES and self.encryption in (0, 1)


def unescaped(data: bytes) -> bytes:
    """Octets between the marks as they were before 7D 02 and 7D 01 were put for 7E and 7D."""
    return data.replace(b"\x7d\x02", MARK).replace(b"\x7d\x01", b"\x7d") if b"\x7d" in data else data


def digits(packed: bytes) -> str | None:
    """BCD as text; None where a nibble is no digit."""
    text = packed.hex()
    return text if text.isdigit() else None


def read(frame: bytes) -> Frame | None:
    """A frame with its marks; None where no head can be in it."""
    if len(frame) < 15 or frame[:1] != MARK or frame[-1:] != MARK:
        return None
    data = unescaped(frame[1:-1])
    attributes = int.from_bytes(data[2:4], "big")
    newer = attributes & _FORM_2019 > 0
    place = 15 if newer else 10
    split = attributes & _SPLIT > 0
    size = place + 2 + (4 if split else 0)
    if len(data) < size + 1:
        return None
    return Frame(
        message=int.from_bytes(data[:2], "big"),
        version=2019 if newer else 2013,
        phone=digits(data[5:15] if newer else data[4:10]),
        serial=int.from_bytes(data[place : place + 2], "big"),
        declared=attributes & 0x3FF,
        body=data[size:-1],
        checksum_ok=crc.parity(data) == 0,
        encryption=attributes >> 10 & 7,
        total=int.from_bytes(data[place + 2 : place + 4], "big") if split else 0,
        number=int.from_bytes(data[place + 4 : place + 6], "big") if split else 0,
        escapes=b"\x7d" in frame,
    )


def text(raw: bytes) -> str:
    """Text of a message: GBK, which GB 18030 holds; bounded, without its closing zeros."""
    return raw[:MAX_TEXT].rstrip(b"\0 ").decode("gb18030", "replace").replace("\0", "")


@dataclass(frozen=True, slots=True)
class Location:
    """The body of 0200, or the part of another that is one."""

    alarm: int
    status: int
    latitude: float
    longitude: float
    altitude: int
    speed: float
    """km/h."""
    direction: int
    time: datetime | None
    """Beijing time, without zone; None where it is no time."""
    items: dict[int, bytes] = field(default_factory=dict)

    def number(self, item: int) -> int | None:
        raw = self.items.get(item)
        return int.from_bytes(raw, "big") if raw else None


def moment(packed: bytes) -> datetime | None:
    """YYMMDDhhmmss in BCD."""
    shown = packed.hex()
    if len(shown) != 12 or not shown.isdigit():
        return None
    year, month, day, hour, minute, second = (int(shown[at : at + 2]) for at in range(0, 12, 2))
    try:
        return datetime(2000 + year, month, day, hour, minute, second)  # noqa: DTZ001
    except ValueError:
        return None


def location(body: bytes) -> Location | None:
    """A position and what was added to it; None where the body is too short."""
    if len(body) < 28:
        return None
    alarm, status, latitude, longitude, altitude, speed, direction, time = _place(body)
    items: dict[int, bytes] = {}
    place = 28
    while place + 2 <= len(body) and len(items) < MAX_ITEMS:
        size = body[place + 1]
        if place + 2 + size > len(body):
            break
        items[body[place]] = body[place + 2 : place + 2 + size]
        place += 2 + size
    return Location(
        alarm,
        status,
        latitude / (-1e6 if status & _SOUTH else 1e6),
        longitude / (-1e6 if status & _WEST else 1e6),
        altitude,
        speed / 10,
        direction,
        moment(time),
        items,
    )


def parameters(body: bytes, place: int = 1) -> dict[int, int | str]:
    """Parameters behind their count: id 4, length 1, value. A length beyond the body ends them."""
    found: dict[int, int | str] = {}
    count = min(body[place - 1] if body[place - 1 : place] else 0, MAX_PARAMETERS)
    for _ in range(count):
        if place + 5 > len(body) or place + 5 + body[place + 4] > len(body):
            break
        code = int.from_bytes(body[place : place + 4], "big")
        raw = body[place + 5 : place + 5 + body[place + 4]]
        found[code] = text(raw) if code in TEXTS else int.from_bytes(raw, "big") if len(raw) <= 4 else raw.hex()
        place += 5 + len(raw)
    return found


def shown(found: dict[int, int | str]) -> dict[str, int | str | None]:
    """Parameters by id as they are written, without passwords."""
    return {f"0x{code:04X}": None if code in SECRETS else value for code, value in found.items()}


@dataclass(frozen=True, slots=True)
class Registration:
    """The body of 0100."""

    edition: int
    province: int
    city: int
    maker: str
    model: str
    terminal: str
    colour: int
    plate: str


def registration(frame: Frame) -> Registration | None:
    """Fields of a registration; which edition is told by the head, then by the body's length."""
    edition = frame.version if frame.version == 2019 or len(frame.body) >= 37 else 2011
    widths = {2011: (5, 8, 7), 2013: (5, 20, 7), 2019: (11, 30, 30)}[edition]
    body, place, texts = frame.body, 4, list[str]()
    if len(body) < 5 + sum(widths):
        return None
    for width in widths:
        texts.append(text(body[place : place + width].lstrip(b"\0")))
        place += width
    province, city = int.from_bytes(body[:2], "big"), int.from_bytes(body[2:4], "big")
    return Registration(edition, province, city, texts[0], texts[1], texts[2], body[place], text(body[place + 1 :]))


def code(frame: Frame) -> bytes | None:
    """The authentication code that 0102 shows and 8100 hands out: as good as a password."""
    body = frame.body
    if frame.message == 0x0102:
        if frame.version == 2019 and body:
            return body[1 : 1 + body[0]]
        return body.rstrip(b"\0")
    if frame.message == 0x8100 and len(body) > 3 and body[2] == 0:
        return body[3:].rstrip(b"\0")
    return None


def control(body: bytes) -> tuple[int, list[str]]:
    """The command word of 8105 and its parameters, which ';' divides (words 1 and 2)."""
    if not body:
        return -1, []
    return body[0], text(body[1:]).split(";")[:16] if len(body) > 1 else []


def server(word: int, given: list[str]) -> tuple[str, bytes]:
    """Where a command of 8105 sends the terminal, and the secrets it carries for it."""
    if word == 1:  # URL; APN; user; password; address; TCP; UDP; maker; hardware; firmware; limit
        return (given[0] if given and given[0] else _at(given, 4)), _secret(given, 3)
    if word == 2:  # 0 or 1 = back; code; APN; user; password; address; TCP; UDP; limit
        return _at(given, 5), _secret(given, 4) or _secret(given, 1)
    return "", b""


def _at(given: list[str], place: int) -> str:
    host = given[place] if len(given) > place else ""
    port = given[place + 1] if len(given) > place + 1 else ""
    return f"{host}:{port}" if host and port.isdigit() else host


def _secret(given: list[str], place: int) -> bytes:
    return given[place].encode() if len(given) > place else b""


_MEDIA = ("image", "audio", "video")
_FORMATS = ("jpeg", "tif", "mp3", "wav", "wmv")


def media(message: int, body: bytes) -> dict[str, Any]:
    """What was recorded: of its event (0800), or with where it was recorded and its data (0801)."""
    if len(body) < 8:
        return {}
    found = {
        "id": int.from_bytes(body[:4], "big"),
        "type": _MEDIA[body[4]] if body[4] < len(_MEDIA) else str(body[4]),
        "format": _FORMATS[body[5]] if body[5] < len(_FORMATS) else str(body[5]),
        "event": body[6],
        "channel": body[7],
    }
    if message == 0x0801 and len(body) >= 36:
        found["size"] = len(body) - 36
    return found


def upgrade(frame: Frame) -> dict[str, Any]:
    """The head of an upgrade package (8108): what for, whose, version, octets."""
    body, wide = frame.body, 11 if frame.version == 2019 else 5
    if len(body) < wide + 2:
        return {}
    size = body[wide + 1]
    place = wide + 2 + size
    return {
        "type": body[0],
        "maker": text(body[1 : 1 + wide].lstrip(b"\0")),
        "version": text(body[wide + 2 : place]),
        "size": int.from_bytes(body[place : place + 4], "big") if len(body) >= place + 4 else None,
    }
