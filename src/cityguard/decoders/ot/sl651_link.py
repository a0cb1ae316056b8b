"""One connection of SL 651-2014: frames out of the stream, however it is cut, and messages of several packets."""

from __future__ import annotations

import re
from typing import Protocol

from cityguard.decoders.events import Talk
from cityguard.decoders.ot import sl651_frame, sl651_rows, sl651_values
from cityguard.decoders.ot import sl651_names as names
from cityguard.decoders.ot.sl651_frame import Frame, Search
from cityguard.decoders.ot.sl651_parts import Message, Parts
from cityguard.decoders.stream import Moment
from cityguard.decoders.wire.sought import MAX_PASSED, MAX_RUNS

STARTS = re.compile(rb"[\x01\x7e]")
"""What a frame may begin with."""


class Teller(Protocol):
    """Who takes what a connection says."""

    def gather(self, frame: bytes, at: Moment, way: int) -> None:
        """An ordinary whole frame (``sl651_frame.plain``)."""

    def tell(self, frame: Frame, raw: bytes, talk: Talk, at: Moment, *, whole: bool = True) -> None:
        """Another frame, and its body."""

    def message(self, message: Message, talk: Talk) -> None:
        """A message of several packets, whole or given up."""

    def malformed(self, talk: Talk, at: Moment) -> None:
        """A side is given up."""

    def over(self, way: int) -> None:
        """A connection is over."""


class Station:
    """One connection; never raises on any bytes. A side that is no longer of this protocol is given up by itself."""

    __slots__ = (
        "_astray", "_buffers", "_dead", "_last", "_parts", "_passed", "_runs", "_search", "_speaker", "_talks", "_way",
        "done", "held",
    )  # fmt: skip

    def __init__(self, speaker: Teller, talk: Talk, way: int) -> None:
        self.done, self.held, self._way = False, 0, way
        self._speaker, self._talks = speaker, (talk, talk.turned())
        self._buffers = (bytearray(), bytearray())
        self._last = [Moment(0, 0), Moment(0, 0)]
        self._parts = (Parts(), Parts())
        self._search = [Search(), Search()]
        self._runs, self._passed = [0, 0], [0, 0]
        self._astray, self._dead = [False, False], [False, False]

    def tail(self, side: int) -> bytearray:
        """What a side has said that is no whole frame yet."""
        return self._buffers[side]

    def waits(self, side: int) -> bool:
        """Whether what a side says next stands by itself: nothing is left over, and it was not given up."""
        return not self._buffers[side] and not self._dead[side]

    def heard(self, side: int, at: Moment) -> None:
        """A side has said whole frames, which were read elsewhere."""
        self._last[side] = at
        self._astray[side], self._passed[side] = False, 0

    def feed(self, side: int, data: bytes, at: Moment) -> None:
        self._last[side] = at
        if self._dead[side]:
            return
        if not self._buffers[side]:
            size = sl651_frame.plain(data, 0)
            if 0 < size == len(data):  # nearly always
                self.heard(side, at)
                self._speaker.gather(data, at, self._way + side)
                return
            place = 0
            while size > 0:
                self._speaker.gather(data[place : place + size], at, self._way + side)
                place += size
                size = sl651_frame.plain(data, place)
            if place:
                self.heard(side, at)
                data = data[place:]
        self._buffers[side].extend(data)
        self._read(side, at, final=False)

    def gap(self, side: int) -> None:
        """What was begun will not be ended, but a frame may stand behind a false beginning."""
        self._read(side, self._last[side], final=True)

    def close(self) -> None:
        for side in (0, 1):
            self._read(side, self._last[side], final=True)
            self._tell(side, self._parts[side].close())
        self._speaker.over(self._way)

    def _read(self, side: int, at: Moment, *, final: bool) -> None:
        buffer, place = self._buffers[side], 0
        while not self._dead[side] and place < len(buffer):
            found = STARTS.search(buffer, place)
            begin = found.start() if found else len(buffer)
            if begin > place:
                self._lose(side, begin - place, at)
                place = begin
                continue
            size = sl651_frame.measure(buffer, place, final=final, search=self._search[side])
            if size == sl651_frame.MORE:
                break
            self._search[side] = Search()
            if size > 0:
                self._frame(side, bytes(buffer[place : place + size]), at)
                place += size
                self.heard(side, at)
                continue
            passed = self._past(side, buffer, place, at)
            self._lose(side, passed, at)
            place += passed
        del buffer[: len(buffer) if self._dead[side] or final else place]
        self.held = sum(map(len, self._buffers)) + sum(parts.held for parts in self._parts)

    def _past(self, side: int, buffer: bytearray, place: int, at: Moment) -> int:
        """Octets of a start that begins no frame; where a head is sound, the frame is told as far as it goes."""
        if not is_dated(buffer, place):
            return 1
        frame = sl651_frame.cut(bytes(buffer[place : place + sl651_frame.SCAN]))
        self._speaker.tell(frame, frame.body, self._talks[side], at, whole=False)
        return sl651_frame.ASCII_HEAD if frame.encoding == "ascii" else sl651_frame.HEX_HEAD

    def _lose(self, side: int, octets: int, at: Moment) -> None:
        self._passed[side] += octets
        if not self._astray[side]:
            self._astray[side] = True
            self._runs[side] += 1
        if self._runs[side] > MAX_RUNS or self._passed[side] > MAX_PASSED:
            self._dead[side] = True
            self._speaker.malformed(self._talks[side], at)

    def _frame(self, side: int, raw: bytes, at: Moment) -> None:
        if sl651_frame.plain(raw, 0) == len(raw):
            self._speaker.gather(raw, at, self._way + side)
            return
        frame = sl651_frame.read(raw)
        if frame.total > 1 and frame.crc_ok:
            self._tell(side, self._parts[side].take(frame, at))
            return
        self._speaker.tell(frame, frame.body, self._talks[side], at)

    def _tell(self, side: int, messages: list[Message]) -> None:
        for message in messages:
            self._speaker.message(message, self._talks[side])


def is_dated(data: bytes | bytearray, at: int) -> bool:
    """A sound head of a known function, whose body begins with a serial number and a time there is."""
    one = sl651_frame.head(data, at)
    if one is None or one.code not in names.FUNCTIONS or one.multiple or one.length < 8:
        return False
    if not one.ascii:
        raw = bytes(data[at + 16 : at + 22])
        return len(raw) == 6 and sl651_rows.moment(sl651_values.moment(raw)) is not None
    text = bytes(data[at + 28 : at + 40])
    return len(text) == 12 and sl651_rows.moment(sl651_values.moment(text)) is not None
