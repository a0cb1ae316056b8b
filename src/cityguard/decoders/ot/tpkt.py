"""ISO transport on TCP: TPKT frames (RFC 1006) with COTP (ISO 8073) to the user's data units, whoever the user is.

``Transport`` is a stream parser; S7comm, S7comm-plus and MMS give it a ``unit``. Who that is tells the first data unit
of a connection (``first``), not its connection request, so each is a protocol with its own ``starts``.
"""

from __future__ import annotations

from cityguard.decoders.protocol import Mark
from cityguard.decoders.stream import Moment

PORT = 102
MAX_UNIT = 1 << 18
"""Bytes of one data unit put together from its DT TPDUs; what is longer is given cut, once."""
CR, CC, DR, DC, DT, ED = 0xE0, 0xD0, 0x80, 0xC0, 0xF0, 0x10
"""TPDU codes (ISO 8073, 13.1); the low four bits are credit, and 0 in class 0."""
_OTHERS = frozenset((CR, CC, DR, DC, ED, 0x20, 0x50, 0x60, 0x70))
_HEAD = 4


def mark(value: bytes) -> Mark:
    """Where a user's first bytes stand in a segment that begins with a DT TPDU of class 0."""
    return Mark(b"\x03\0\0\0\x02\xf0\0" + value, 0, b"\xff\xff\0\0\xff\xff\0" + b"\xff" * len(value))


def first(data: bytes, usual: bool) -> bytes:
    """The user's data of the first DT TPDU in a segment; b"" where there is none.

    Connection requests and confirmations before it are passed over. On the usual port the TPKT header may have come in
    a segment of its own, as some stacks send it.
    """
    at = 0
    while len(data) - at > _HEAD + 2 and data[at : at + 2] == b"\x03\0":
        size = int.from_bytes(data[at + 2 : at + 4], "big")
        begin = at + _HEAD
        if not _sound(data, at, size):
            return b""
        if data[begin + 1] == DT:
            return data[begin + data[begin] + 1 : at + size]
        at += size
    if usual and at == 0 and data[:2] == b"\x02\xf0" and len(data) > 3:
        return data[3:]
    return b""


def _sound(data: bytes | bytearray, at: int, size: int) -> bool:
    """Whether a TPKT header with its COTP header can be one; there are at least six bytes."""
    kind = data[at + 5]
    return (kind == DT or kind & 0xF0 in _OTHERS) and 2 <= data[at + 4] <= size - 5


class Transport:
    """Puts together the data units of one connection. Subclasses take them (``unit``); never raises on any bytes."""

    def __init__(self) -> None:
        self.done, self.held = False, 0
        self._buffer = (bytearray(), bytearray())
        self._parts = (bytearray(), bytearray())  # of the unit under way
        self._over = [False, False]  # the rest of a unit that was too long is to be passed over

    def unit(self, side: int, data: bytes, at: Moment) -> None:
        """One data unit of a side, whole."""
        raise NotImplementedError

    def connect(self, side: int, kind: int, data: bytes, at: Moment) -> None:
        """A TPDU other than data: its code and its bytes after the length."""

    def feed(self, side: int, data: bytes, at: Moment) -> None:
        buffer = self._buffer[side]
        buffer += data
        begin = 0
        while len(buffer) - begin >= _HEAD + 2:
            size = int.from_bytes(buffer[begin + 2 : begin + 4], "big")
            if buffer[begin : begin + 2] != b"\x03\0" or not _sound(buffer, begin, size):
                self._parts[side].clear()
                begin = self._find(buffer, begin + 1)
                continue
            if len(buffer) - begin < size:
                break
            self._tpdu(side, bytes(buffer[begin + _HEAD : begin + size]), at)
            begin += size
        del buffer[:begin]
        self.held = sum(map(len, self._buffer)) + sum(map(len, self._parts))

    def gap(self, side: int) -> None:
        self._buffer[side].clear()
        self._parts[side].clear()
        self._over[side] = False
        self.held = sum(map(len, self._buffer)) + sum(map(len, self._parts))

    def close(self) -> None:
        """Nothing waits here for an answer."""

    @staticmethod
    def _find(buffer: bytearray, begin: int) -> int:
        """Where the next TPKT header may begin."""
        found = buffer.find(b"\x03\0", begin)
        return found if found >= 0 else len(buffer) - (buffer[-1] == 3)

    def _tpdu(self, side: int, tpdu: bytes, at: Moment) -> None:
        kind = tpdu[1] if tpdu[1] == DT else tpdu[1] & 0xF0
        if kind not in (DT, ED):
            self.connect(side, kind, tpdu[1:], at)
            return
        parts = self._parts[side]
        parts += tpdu[tpdu[0] + 1 :]
        ends = kind == ED or tpdu[0] < 2 or tpdu[2] & 0x80 > 0
        if not ends and len(parts) <= MAX_UNIT:
            return
        data, over = bytes(parts), self._over[side]
        parts.clear()
        self._over[side] = not ends
        if data and not over:
            self.unit(side, data, at)
