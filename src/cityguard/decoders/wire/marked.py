"""Streams of frames between two marks that never stand inside a frame (they are escaped there): JT/T 808, JT/T 809."""

from __future__ import annotations

from collections.abc import Callable

from cityguard.decoders.events import Talk
from cityguard.decoders.stream import Moment

MAX_LOST = 1_000
"""Times a stream may lose its way before it is given up."""

Unit = Callable[[bytes, Talk, Moment], bool]
"""Takes what stands between two marks, marks included, and who sent it; False = it is no frame."""
Lost = Callable[[Talk, Moment], None]
"""Told once, when a stream is given up."""


class Marked:
    """A stream parser of one connection: linear in the bytes fed, however they are cut."""

    __slots__ = ("_buffers", "_ends", "_lost", "_most", "_seen", "_talks", "_told", "_unit", "done", "held")

    def __init__(self, talk: Talk, marks: bytes, most: int, unit: Unit, told: Lost) -> None:
        """``marks``: the octet that opens a frame and the one that closes it; ``most``: octets of one frame at most."""
        self.done, self.held = False, 0
        self._talks = (talk, talk.turned())
        self._ends, self._most = (marks[:1], marks[1:2]), most
        self._unit, self._told = unit, told
        self._buffers = (bytearray(), bytearray())
        self._seen = [0, 0]  # octets of each side that were searched for the closing mark
        self._lost = 0

    def feed(self, side: int, data: bytes, at: Moment) -> None:
        buffer = self._buffers[side]
        buffer += data
        place = 0
        while not self.done and (start := self._opening(buffer, place)) >= 0:
            end = buffer.find(self._ends[1], max(start + 1, self._seen[side]))
            if end < 0:
                place = start
                break
            self._seen[side] = 0
            place = self._between(buffer, start, end, side, at)
        else:
            place = len(buffer)
        del buffer[:place]
        self._seen[side] = len(buffer)
        if len(buffer) > self._most:
            self._astray(side, at)
            buffer.clear()
            self._seen[side] = 0
        self.held = len(self._buffers[0]) + len(self._buffers[1])

    def _opening(self, buffer: bytearray, place: int) -> int:
        return buffer.find(self._ends[0], place)

    def _between(self, buffer: bytearray, start: int, end: int, side: int, at: Moment) -> int:
        """What stands between two marks; returns where the search goes on."""
        opens, closes = self._ends
        if opens == closes and end == start + 1:  # one frame's end beside the next one's beginning
            return end
        if opens != closes:  # an opening mark in between: what it opens is the frame
            start = max(start, buffer.rfind(opens, start, end))
        size = end + 1 - start
        if size <= self._most and self._unit(bytes(buffer[start : end + 1]), self._talks[side], at):
            return end + 1
        self._astray(side, at)
        return end if opens == closes else end + 1

    def _astray(self, side: int, at: Moment) -> None:
        self._lost += 1
        if self._lost > MAX_LOST and not self.done:
            self.done = True
            self._told(self._talks[side], at)

    def gap(self, side: int) -> None:
        self._buffers[side].clear()
        self._seen[side] = 0
        self.held = len(self._buffers[0]) + len(self._buffers[1])

    def close(self) -> None:
        """Nothing to give: frames stand alone."""


def frames(data: bytes, marks: bytes) -> list[bytes]:
    """The frames of one datagram, marks included; what stands outside of them is passed over."""
    opens, closes = marks[:1], marks[1:2]
    found = []
    place = 0
    while (start := data.find(opens, place)) >= 0 and (end := data.find(closes, start + 1)) > 0:
        if opens == closes and end == start + 1:
            place = end
            continue
        if opens != closes:  # an opening mark in between: what it opens is the frame
            start = data.rfind(opens, start, end)
        found.append(data[start : end + 1])
        place = end + 1
    return found
