"""One HJ 212 connection, frame by frame: cut out of the stream, read, paired with what it answers."""

from __future__ import annotations

from typing import Any

from cityguard.decoders.events import Talk
from cityguard.decoders.ot import hj212_frame, hj212_row
from cityguard.decoders.ot.hj212_frame import Frame
from cityguard.decoders.protocol import Out
from cityguard.decoders.stream import Moment
from cityguard.decoders.wire.pairs import Pairs

MAX_WAITING = 64
"""Messages of a connection that wait for an answer."""
MAX_LOST = 1_000
"""Heads without a frame behind them, of one side; then the connection is given up."""
MALFORMED: dict[str, Any] = {"ot.protocol": "hj212", "ot.status": "malformed", "event.flags": ["undecoded"]}
"""The row of a connection that is given up."""
Asked = tuple[str | None, str | None]
"""Class and address of the message an answer belongs to."""


class Link:
    """Takes both sides; never raises on any bytes."""

    __slots__ = ("_buffers", "_last", "_lost", "_out", "_talks", "asked", "dead", "done", "held")

    def __init__(self, out: Out, talk: Talk) -> None:
        self.done, self.held = False, 0
        self.dead = False  # given up; it stays followed, so that it is not begun anew
        self.asked: Pairs[Asked] = Pairs(MAX_WAITING)
        self._out = out
        self._talks = (talk, talk.turned())
        self._buffers = (bytearray(), bytearray())
        self._lost = [0, 0]
        self._last = [Moment(0, 0), Moment(0, 0)]

    def tail(self, side: int) -> bytearray:
        """What one side has said that is no whole frame yet."""
        return self._buffers[side]

    def feed(self, side: int, data: bytes, at: Moment) -> None:
        for frame in self.cut(side, data, at):
            self.frame(frame, side, at)

    def gap(self, side: int) -> None:
        """What waits is read as far as it goes."""
        at = self._last[side]
        for frame in self.cut(side, b"", at, final=True):
            self.frame(frame, side, at)

    def close(self) -> None:
        self.gap(0)
        self.gap(1)

    def heard(self, side: int, at: Moment) -> None:
        """A side was heard at a moment, and what it said was read."""
        self._last[side] = at
        self.held = len(self._buffers[0]) + len(self._buffers[1])

    def cut(self, side: int, data: bytes, at: Moment, *, final: bool = False) -> list[bytes | None]:
        """The frames that new bytes of a side complete; None = the connection is given up."""
        if self.dead:
            return []
        buffer, place = self._buffers[side], 0
        found: list[bytes | None] = []
        buffer += data
        while (head := buffer.find(b"##", place)) >= 0:
            place = head
            size = hj212_frame.size(buffer, place, final=final)
            if size > 0:
                found.append(bytes(buffer[place : place + size]))
                place += size
            elif size == 0:
                break
            else:
                place += 1
                self._lost[side] += size == -2
                if self._lost[side] > MAX_LOST:
                    self._give_up()
                    return [*found, None]
        else:  # no frame begins in what is left, unless with its last byte
            place = len(buffer) - (not final and buffer.endswith(b"#") and place < len(buffer))
        del buffer[:place]
        self.heard(side, at)
        return found

    def frame(self, data: bytes | None, side: int, at: Moment) -> None:
        """A row for a frame; None = the connection is given up."""
        if data is None:
            self._out.add("ot", at, self._talks[side], dict(MALFORMED))
            return
        frame = hj212_frame.read(data)
        found = hj212_row.row(frame, at.time)
        answered(frame, found, self.asked)
        self._out.add("ot", at, self._talks[side], found)

    def _give_up(self) -> None:
        self.dead, self.held = True, 0
        for buffer in self._buffers:
            buffer.clear()


def answered(frame: Frame, found: dict[str, Any], asked: Pairs[Asked]) -> None:
    """Remember what wants an answer; an answer gets class and address of what it answers."""
    number = found["ot.request_id"]
    if number is None:
        return
    if found["ot.message.type"] != "response":
        if frame.wants_answer or found["ot.is_request"]:
            asked.ask(number, (found["ot.function.class"], found["ot.address"]))
        return
    request = asked.peek(number)
    if request is None:
        return
    found["ot.address"] = request[1]
    if found["ot.function.class"] is None:
        found["ot.function.class"] = request[0]
