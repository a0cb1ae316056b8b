"""Streams of frames that tell their own length: put together over segments, found again after what does not fit."""

from __future__ import annotations

from collections.abc import Callable

from cityguard.decoders.events import Talk
from cityguard.decoders.stream import Moment

Size = Callable[[bytes | bytearray, int], int]
"""Bytes of the frame at a place: 0 = more is needed to tell, -1 = no frame begins here."""
Unit = Callable[[bytes, Talk, Moment], None]
"""Takes a whole frame and who sent it."""


class Framed:
    """A stream parser of one connection; never raises on any bytes as long as its two functions do not."""

    __slots__ = ("_buffers", "_lost", "_most", "_size", "_talks", "_unit", "done", "held")

    def __init__(self, talk: Talk, size: Size, unit: Unit, most: int) -> None:
        """``most``: bytes of one frame at most; ``size`` must not tell more."""
        self.done, self.held = False, 0
        self._talks = (talk, talk.turned())
        self._size, self._unit, self._most = size, unit, most
        self._buffers = (bytearray(), bytearray())
        self._lost = 0

    def feed(self, side: int, data: bytes, at: Moment) -> None:
        buffer = self._buffers[side]
        buffer += data
        place, end = 0, len(buffer)
        while place < end:
            size = self._size(buffer, place)
            if size > self._most:
                size = -1
            if size < 0:
                place += 1
                self._lost += 1
                continue
            if size == 0 or place + size > end:
                break
            self._unit(bytes(buffer[place : place + size]), self._talks[side], at)
            self._lost = 0
            place += size
        del buffer[:place]
        if len(buffer) > self._most:  # nothing that needs more than a frame's bytes to tell
            del buffer[: len(buffer) - self._most]
        self.held = len(self._buffers[0]) + len(self._buffers[1])
        self.done = self._lost > 16 * self._most

    def gap(self, side: int) -> None:
        self._buffers[side].clear()

    def close(self) -> None:
        """Nothing to give: frames stand alone."""
