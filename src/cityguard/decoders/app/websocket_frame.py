"""Frames of WebSocket (RFC 6455, 5.2) put together to messages, and opened where they are compressed (RFC 7692)."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field

MAX_MESSAGE = 1 << 20
RATIO, FLOOR = 10, 4_096
"""A compressed message may become ``RATIO`` times as large, or ``FLOOR`` octets where that is more."""
MAX_PARTS = 4_096
"""Fragments of one message."""
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
_OPCODES = frozenset((CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG))
_TAIL = b"\x00\x00\xff\xff"  # RFC 7692, 7.2.2


@dataclass(frozen=True, slots=True)
class Message:
    """A whole message; ``fault`` = why it could not be read: ``oversize``, ``deflate`` or ``frame``."""

    opcode: int
    data: bytes
    fault: str = ""


@dataclass(slots=True)
class Deflate:
    """How one side compresses: the window's bits, and whether each message begins anew."""

    bits: int = 15
    anew: bool = False


@dataclass(slots=True)
class Side:
    """What one side sends: fed in pieces, gives messages. ``dead`` = it cannot be followed any further."""

    masked: bool
    deflate: Deflate | None = None
    dead: bool = False
    lost: bool = False
    """Octets are missing: looking for a frame that begins a segment and ends with it."""
    buffer: bytearray = field(default_factory=bytearray)
    _parts: list[bytes] = field(default_factory=list)
    _size: int = 0
    _opcode: int = 0
    _packed: bool = False
    _inflater: zlib._Decompress | None = None

    def feed(self, data: bytes) -> list[Message]:
        """New octets; the messages that are whole now."""
        found: list[Message] = []
        if self.dead:
            return found
        if self.lost:
            if not self._fits(data):
                return found
            self.lost = False
        self.buffer += data
        place = 0
        while (head := header(self.buffer, place)) is not None:
            size, width, valid = head
            whole = len(self.buffer) - place >= width + size
            message = self._refused(place, size, valid)
            if message is None and not whole:
                break
            message = message or self._frame(place, width, size)
            place += width + size
            if message is not None:
                found.append(message)
                if message.fault:
                    break
        del self.buffer[:place]
        if found and found[-1].fault:
            self.buffer.clear()
        return found

    def _refused(self, place: int, size: int, valid: bool) -> Message | None:
        """What ends a side's reading: a head that is none, a mask where none may be, a frame too long."""
        if not valid or bool(self.buffer[place + 1] & 0x80) != self.masked:
            return self._fail("frame")
        return self._fail("oversize") if size > MAX_MESSAGE else None

    @property
    def held(self) -> int:
        return len(self.buffer) + self._size

    def gap(self) -> None:
        """Octets are missing: what was under way is given up; a compressor that remembers cannot be followed on."""
        self.buffer.clear()
        self._drop()
        self.lost = True
        self.dead = self.dead or (self.deflate is not None and not self.deflate.anew)

    def _fits(self, data: bytes) -> bool:
        """Whether a segment is made of whole frames."""
        place = 0
        while place < len(data):
            head = header(data, place)
            if head is None:
                return False
            size, width, valid = head
            if not valid or bool(data[place + 1] & 0x80) != self.masked or data[place] & 0x0F == CONTINUATION:
                return False
            place += width + size
        return place == len(data)

    def _frame(self, place: int, width: int, size: int) -> Message | None:
        first = self.buffer[place]
        opcode, final = first & 0x0F, first & 0x80 > 0
        body = bytes(self.buffer[place + width : place + width + size])
        if self.masked:
            body = unmasked(body, bytes(self.buffer[place + width - 4 : place + width]))
        if opcode >= CLOSE:
            return Message(opcode, body)
        if opcode != CONTINUATION:
            self._drop()
            self._opcode, self._packed = opcode, first & 0x40 > 0
        elif not self._opcode:
            return self._fail("frame")
        self._parts.append(body)
        self._size += size
        if self._size > MAX_MESSAGE or len(self._parts) > MAX_PARTS:
            return self._fail("oversize")
        return self._whole() if final else None

    def _whole(self) -> Message:
        opcode, packed, data = self._opcode, self._packed, b"".join(self._parts)
        self._drop()
        if not packed:
            return Message(opcode, data)
        if self.deflate is None:
            return self._fail("deflate")
        if self._inflater is None or self.deflate.anew:
            self._inflater = zlib.decompressobj(-self.deflate.bits)
        most = min(MAX_MESSAGE, max(RATIO * len(data), FLOOR))
        try:
            plain = self._inflater.decompress(data + _TAIL, most + 1)
        except zlib.error:
            return self._fail("deflate")
        if len(plain) > most:
            return self._fail("oversize")
        return Message(opcode, plain)

    def _drop(self) -> None:
        self._parts, self._size, self._opcode = [], 0, 0

    def _fail(self, fault: str) -> Message:
        opcode = self._opcode
        self._drop()
        self.dead, self._inflater = True, None
        return Message(opcode, b"", fault)


def header(data: bytes | bytearray, place: int) -> tuple[int, int, bool] | None:
    """Payload length, width of the head, and whether a frame may begin so; None = more octets are needed."""
    room = len(data) - place
    if room < 2:
        return None
    first, second = data[place], data[place + 1]
    opcode, size = first & 0x0F, second & 0x7F
    control = opcode >= CLOSE
    valid = opcode in _OPCODES and first & 0x30 == 0 and not (control and (size > 125 or first & 0xC0 != 0x80))
    wide = {126: 2, 127: 8}.get(size, 0)
    width = 2 + wide + (4 if second & 0x80 else 0)
    if not valid:
        return 0, width, False
    if room < width:
        return None
    if wide:
        size = int.from_bytes(data[place + 2 : place + 2 + wide], "big")
        valid = size >= (126 if wide == 2 else 65_536)
    return size, width, valid


def unmasked(data: bytes, key: bytes) -> bytes:
    """A payload as it was before masking (5.3)."""
    size = len(data)
    stream = int.from_bytes((key * (size // 4 + 1))[:size], "big")
    return (int.from_bytes(data, "big") ^ stream).to_bytes(size, "big")
