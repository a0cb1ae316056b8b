"""HJ 212, data of pollution sources and environmental stations (2005, 2017, 2025), to one row per frame.

The platform listens, the station's logger connects (HJ 212-2017, 6). Frames are read one by one (``hj212_frame``,
``hj212_row``), or those of a piece together (``hj212_columns``); both make the same rows.
"""

from __future__ import annotations

from typing import Any

from cityguard.decoders.events import Talk
from cityguard.decoders.ot import hj212_frame, hj212_row
from cityguard.decoders.ot.hj212_frame import Frame
from cityguard.decoders.protocol import Mark, Out, Protocol, Speaker
from cityguard.decoders.stream import Moment
from cityguard.decoders.wire.pairs import Pairs

MAX_WAITING = 64
"""Messages of a connection that wait for an answer."""
MAX_LOST = 1_000
"""Heads without a frame behind them, of one side; then the connection is given up."""
Asked = tuple[str | None, str | None]
"""Class and address of the message an answer belongs to."""


class Side:
    """What one side has said that is no whole frame yet."""

    __slots__ = ("buffer", "lost")

    def __init__(self) -> None:
        self.buffer = bytearray()
        self.lost = 0


class Link:
    """One connection, frame by frame; never raises on any bytes."""

    def __init__(self, out: Out, talk: Talk) -> None:
        self.done, self.held = False, 0
        self._out = out
        self._talks = (talk, talk.turned())
        self.sides = (Side(), Side())
        self.asked: Pairs[Asked] = Pairs(MAX_WAITING)
        self._last = [Moment(0, 0), Moment(0, 0)]

    def feed(self, side: int, data: bytes, at: Moment) -> None:
        one = self.sides[side]
        self._last[side] = at
        one.buffer += data
        self._frames(side, at, final=False)
        self.held = len(self.sides[0].buffer) + len(self.sides[1].buffer)

    def gap(self, side: int) -> None:
        self._frames(side, self._last[side], final=True)

    def close(self) -> None:
        """What waits is read as far as it goes."""
        for side in (0, 1):
            self._frames(side, self._last[side], final=True)

    def _frames(self, side: int, at: Moment, *, final: bool) -> None:
        one = self.sides[side]
        buffer, place = one.buffer, 0
        while not self.done and (found := buffer.find(b"##", place)) >= 0:
            place = found
            size = hj212_frame.size(buffer, place, final=final)
            if size > 0:
                self._frame(bytes(buffer[place : place + size]), side, at)
                place += size
            elif size == 0:
                del buffer[:place]
                return
            else:
                place += 1
                one.lost += size == -2
                if one.lost > MAX_LOST:
                    self._give_up(side, at)
        keep = 1 if not final and not self.done and buffer.endswith(b"#") and place < len(buffer) else 0
        del buffer[: len(buffer) - keep]

    def _frame(self, data: bytes, side: int, at: Moment) -> None:
        frame = hj212_frame.read(data)
        found = hj212_row.row(frame, at.time)
        answered(frame, found, self.asked)
        self._out.add("ot", at, self._talks[side], found)

    def _give_up(self, side: int, at: Moment) -> None:
        self.done = True
        self._out.add("ot", at, self._talks[side], MALFORMED)


MALFORMED: dict[str, Any] = {"ot.protocol": "hj212", "ot.status": "malformed", "event.flags": ["undecoded"]}
"""The row of a connection that is given up."""


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


class Hj212(Speaker):
    """Every HJ 212 conversation of a capture."""

    def stream(self, talk: Talk) -> Link:
        return Link(self.out, talk)

    def datagram(self, data: bytes, talk: Talk, at: Moment) -> bool:
        link = Link(self.out, talk)
        link.feed(0, data, at)
        link.close()
        return data.startswith(b"##")


def starts(data: bytes, usual: bool) -> bool:
    """A frame's head, which names three of its items at least."""
    return data.startswith(b"##") and hj212_frame.within(data)


PROTOCOLS = (Protocol("hj212", starts, Hj212, marks=(Mark(b"##"),), within=hj212_frame.within, needles=(b"##",)),)
