"""Frames of JT/T 809: head in its 2011 and 2019 forms, check, enciphering, logins and what is told of a vehicle.

Pure: octets in, what they say out, nothing masked; never raises on any octets. From public implementations.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from cityguard.decoders.ot.jt808_pdu import text
from cityguard.decoders.ot.jt809_names import GROUPS, MESSAGES
from cityguard.decoders.wire import crc

MARKS = b"\x5b\x5d"
MAX_FRAME = 65_536
_HEAD, _HEAD_2019 = 22, 30
_ESCAPES = ((b"\x5a\x01", b"\x5b"), (b"\x5e\x01", b"\x5d"), (b"\x5e\x02", b"\x5e"), (b"\x5a\x02", b"\x5a"))
_FIRST, _LAST = 1_300_000_000, 4_102_444_800  # seconds from 2011 to 2100
PUBLISHED = ((30_000_000, 20_000_000, 20_000_000), (10_000_000, 20_000_000, 30_000_000))
"""M1, IA1, IC1 that public code shows as examples; whoever leaves them there enciphers nothing."""
_TRIED, _READ = 64, 4_096


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame whose head could be read."""

    message: int
    declared: int
    size: int
    """Octets with both marks, before they were escaped."""
    serial: int
    centre: int
    version: str
    edition: int
    encrypted: bool
    key: int
    body: bytes
    crc_ok: bool
    escapes: bool
    time: datetime | None = None

    @property
    def length_ok(self) -> bool:
        return self.declared == self.size

    @property
    def sound(self) -> bool:
        """Whether the business type is one of the standard's."""
        return self.message in MESSAGES


def unescaped(data: bytes) -> bytes:
    """Octets between the marks as they were before 5A and 5E were put before some."""
    if b"\x5a" not in data and b"\x5e" not in data:
        return data
    for escaped, plain in _ESCAPES:
        data = data.replace(escaped, plain)
    return data


def read(frame: bytes) -> Frame | None:
    """A frame with its marks; None where no head can be in it."""
    if len(frame) < 2 + _HEAD + 2 or frame[:1] != MARKS[:1] or frame[-1:] != MARKS[1:]:
        return None
    data = unescaped(frame[1:-1])
    if len(data) < _HEAD + 2:
        return None
    when = _time(data[_HEAD:_HEAD_2019]) if len(data) >= _HEAD_2019 + 2 else None
    return Frame(
        message=int.from_bytes(data[8:10], "big"),
        declared=int.from_bytes(data[:4], "big"),
        size=len(data) + 2,
        serial=int.from_bytes(data[4:8], "big"),
        centre=int.from_bytes(data[10:14], "big"),
        version=".".join(str(part) for part in data[14:17]),
        edition=2011 if when is None else 2019,
        encrypted=data[17] == 1,
        key=int.from_bytes(data[18:22], "big"),
        body=data[_HEAD if when is None else _HEAD_2019 : -2],
        crc_ok=crc.ccitt(data[:-2]) == int.from_bytes(data[-2:], "big"),
        escapes=len(data) + 2 != len(frame),
        time=when,
    )


def _time(raw: bytes) -> datetime | None:
    """When it was sent, with which the head of 2019 ends: seconds or milliseconds since 1970; None = it does not."""
    value = int.from_bytes(raw, "big")
    if _FIRST <= value < _LAST:
        return datetime.fromtimestamp(value, UTC)
    if _FIRST * 1_000 <= value < _LAST * 1_000:
        return datetime.fromtimestamp(value // 1_000, UTC)
    return None


def deciphered(body: bytes, key: int, parameters: tuple[int, int, int]) -> bytes:
    """A body under the stream of a linear congruential generator; the same way back."""
    modulus, factor, addend = parameters
    value, found = key or 1, bytearray()
    for octet in body:
        value = (factor * (value % (modulus or 1)) + addend) & 0xFFFFFFFF
        found.append(octet ^ value >> 20 & 0xFF)
    return bytes(found)


def opened(frame: Frame) -> bytes | None:
    """The body of an enciphered frame whose parameters are published ones; None where they are others.

    What comes behind ``_READ`` octets stays as it is.
    """
    for parameters in PUBLISHED:
        if plausible(frame, deciphered(frame.body[:_TRIED], frame.key, parameters)):
            return deciphered(frame.body[:_READ], frame.key, parameters) + frame.body[_READ:]
    return None


def plausible(frame: Frame, body: bytes) -> bool:
    """Whether the beginning of a body is what the business type says; shown are at most ``_TRIED`` octets."""
    if frame.message == 0x1001:
        found = login(body, len(frame.body))
        return found is not None and found.address.replace(".", "").isalnum() and found.password.isascii()
    if frame.message in GROUPS:
        vehicle = about(frame.message, body, len(frame.body))
        return vehicle is not None and vehicle.whole
    return False


@dataclass(frozen=True, slots=True)
class Login:
    """The body of 1001."""

    user: int
    password: bytes
    address: str
    port: int
    centre: int | None = None


def login(body: bytes, size: int | None = None) -> Login | None:
    """User, password in clear, where the upper platform is to connect back; ``size``: of the whole body."""
    size = len(body) if size is None else size
    place = 16 if size >= 50 else 12
    if size < 46 or len(body) < place + 34:
        return None
    return Login(
        int.from_bytes(body[:4], "big"),
        body[4:12].rstrip(b"\0 "),
        text(body[place : place + 32]),
        int.from_bytes(body[place + 32 : place + 34], "big"),
        int.from_bytes(body[12:16], "big") if place == 16 else None,
    )


@dataclass(frozen=True, slots=True)
class Vehicle:
    """The beginning of a business body: whose, what kind, how long."""

    part: int
    plate: str
    colour: int | None
    declared: int
    whole: bool
    """The length told is that of what follows."""
    data: bytes


def about(message: int, body: bytes, size: int | None = None) -> Vehicle | None:
    """Plate 21 and colour 1 (left out by some types), sub-type 2, length 4; None where no sub-type fits the type."""
    size = len(body) if size is None else size
    found = None
    for place in (22, 0):
        part = int.from_bytes(body[place : place + 2], "big")
        if len(body) < place + 6 or part & 0xFF00 != message or part == message:
            continue
        declared = int.from_bytes(body[place + 2 : place + 6], "big")
        plate = text(body[:21].split(b"\0")[0]) if place else ""
        colour = body[21] if place else None
        one = Vehicle(part, plate, colour, declared, declared == size - place - 6, body[place + 6 :])
        if one.whole:
            return one
        found = found or one
    return found
