"""SL 651-2014, hydrological stations and their centres, over TCP and UDP: one row per message.

No port is the protocol's. A frame is known by its start, its direction, its function and its check. Frames of a length
that is wrong, or whose check is, are told; what is no frame is passed over to the next start.
"""

from __future__ import annotations

import re
from collections import OrderedDict

import numpy as np
import polars as pl

from cityguard.decoders.events import Talk
from cityguard.decoders.flow import Keys
from cityguard.decoders.ot import sl651_body, sl651_frame, sl651_rows, sl651_values
from cityguard.decoders.ot import sl651_names as names
from cityguard.decoders.ot.sl651_columns import Rows, are_plain
from cityguard.decoders.ot.sl651_frame import Frame, Search
from cityguard.decoders.ot.sl651_parts import Message, Parts
from cityguard.decoders.packet import Packets, U8s, U64s
from cityguard.decoders.protocol import Mark, Out, Protocol, Speaker
from cityguard.decoders.stream import Moment
from cityguard.decoders.wire.gathered import Gathered, Segments
from cityguard.decoders.wire.inorder import InOrder, Run
from cityguard.decoders.wire.sought import MAX_PASSED, MAX_RUNS

MAX_GATHERED = 100_000
"""Frames read together."""
MAX_TALKS = 256
"""Conversations over UDP with messages under way."""
MAX_HELD = 16 << 20
"""Octets they keep together."""
_STARTS = re.compile(rb"[\x01\x7e]")
_HEADS = re.compile(rb"(?=~~|\x01[0-9A-Fa-f]{22}[\x02\x16])")


class Station:
    """One connection; never raises on any bytes. A side that is no longer of this protocol is given up by itself."""

    __slots__ = (
        "_astray", "_buffers", "_dead", "_last", "_parts", "_passed", "_runs", "_search", "_speaker", "_talks", "_way",
        "done", "held",
    )  # fmt: skip

    def __init__(self, speaker: Sl651, talk: Talk, way: int) -> None:
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
            found = _STARTS.search(buffer, place)
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


class Sl651(Speaker):
    """Every station's conversations of a capture."""

    def __init__(self, out: Out, *, fast: bool = True) -> None:
        super().__init__(out)
        self._rows, self._gathered = Rows(fast=fast), Gathered()
        self._links: InOrder[Station] = InOrder(self.stream, fast=fast)
        self._heard: OrderedDict[Talk, Parts] = OrderedDict()

    def stream(self, talk: Talk) -> Station:
        return Station(self, talk, self._gathered.begin(talk))

    def table(self, buffer: U8s, packets: Packets, keys: Keys, hashes: U64s) -> pl.DataFrame:
        """Rows of the connections of a piece that say one whole frame in each segment; others go to their parsers."""
        runs = self._links.take(buffer, packets, keys, hashes)
        rows = np.concatenate([run.rows for run in runs]) if runs else np.zeros(0, np.int64)
        plain = are_plain(buffer, packets.payload[rows], packets.captured[rows])
        begin = 0
        for run in runs:
            end = begin + len(run.rows)
            last = int(run.rows[-1])
            if plain[begin:end].all() and run.link.waits(run.side):
                run.link.heard(run.side, Moment(int(packets.number[last]), int(packets.time[last])))
            else:
                plain[begin:end] = False
                _feed(buffer, packets, run)
            begin = end
        self._links.settle()
        tables = self._rows.tables(Segments(buffer, packets, keys, rows[plain]))
        if not tables:
            return pl.DataFrame()
        return pl.concat(tables, how="diagonal_relaxed").with_columns(pl.lit("sl651").alias("network.protocol"))

    def gather(self, frame: bytes, at: Moment, way: int) -> None:
        """Keep a whole frame until the piece is over."""
        kept = self._gathered
        kept.add(frame, at, way)
        if len(kept.frames) >= MAX_GATHERED:
            self._told()

    def over(self, way: int) -> None:
        """A connection is over."""
        self._gathered.over(way)

    def _told(self) -> None:
        """Read what was gathered."""
        taken = self._gathered.take()
        if taken.frames:
            self.out.rows("ot").tables += self._rows.tables(taken)

    def expire(self, now: int) -> None:
        self._told()

    def datagram(self, data: bytes, talk: Talk, at: Moment) -> bool:
        place, taken = 0, False
        while place < len(data):
            found = _STARTS.search(data, place)
            if found is None:
                break
            place = found.start()
            size = sl651_frame.measure(data, place, final=True)
            if size <= 0:
                place += 1
                continue
            if sl651_frame.plain(data, place) == size:
                self.gather(data[place : place + size], at, self._gathered.between(talk))
            else:
                self._heard_frame(sl651_frame.read(data[place : place + size]), talk, at)
            place, taken = place + size, True
        return taken

    def _heard_frame(self, frame: Frame, talk: Talk, at: Moment) -> None:
        if frame.total < 2 or not frame.crc_ok:
            self.tell(frame, frame.body, talk, at)
            return
        parts = self._heard.setdefault(talk, Parts())
        self._heard.move_to_end(talk)
        for message in parts.take(frame, at):
            self.message(message, talk)
        if not parts.held:
            del self._heard[talk]
        while len(self._heard) > MAX_TALKS or (
            len(self._heard) > MAX_HELD // 65_536 and sum(one.held for one in self._heard.values()) > MAX_HELD
        ):
            self._give_up(*self._heard.popitem(last=False))

    def _give_up(self, talk: Talk, parts: Parts) -> None:
        for message in parts.close():
            self.message(message, talk)

    def message(self, message: Message, talk: Talk) -> None:
        """A message of several packets, whole or given up."""
        said = sl651_rows.body(message.frame, message.body, message.size)
        row = sl651_rows.fields(message.frame, said, message.at.time, parts=message.parts, whole=message.whole)
        self.out.add("ot", message.at, talk, row)

    def tell(self, frame: Frame, raw: bytes, talk: Talk, at: Moment, *, whole: bool = True) -> None:
        """One frame by itself."""
        said = sl651_rows.body(frame, raw, len(raw)) if frame.total < 2 or frame.number == 1 else sl651_body.Body()
        parts = 1 if frame.total > 1 else 0
        self.out.add("ot", at, talk, sl651_rows.fields(frame, said, at.time, parts=parts, whole=whole))

    def malformed(self, talk: Talk, at: Moment) -> None:
        """A stream that is no longer of this protocol."""
        self.out.add("ot", at, talk, {"ot.protocol": "sl651", "ot.status": "malformed"})

    def close(self) -> None:
        self._links.close()
        self._told()
        while self._heard:
            self._give_up(*self._heard.popitem(last=False))


def _feed(buffer: U8s, packets: Packets, run: Run[Station]) -> None:
    """Give the segments of a side to its parser."""
    view, rows = buffer.data, run.rows
    columns = (packets.payload[rows], packets.captured[rows], packets.number[rows], packets.time[rows])
    for start, size, number, time in zip(*(column.tolist() for column in columns), strict=True):
        run.link.feed(run.side, bytes(view[start : start + size]), Moment(number, time))


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


def _sure(data: bytes, at: int) -> bool:
    """Whether a frame stands at a place: its check right, or its head sound and dated."""
    one = sl651_frame.head(data, at)
    if one is None:
        return False
    stop = at + one.size
    return (stop <= len(data) and sl651_frame.checked(data, at, stop, ascii=one.ascii)) or is_dated(data, at)


def starts(data: bytes, usual: bool) -> bool:
    """A frame at the beginning of a payload."""
    return bool(data) and _sure(data, 0)


def within(data: bytes) -> bool:
    """A frame anywhere among other bytes."""
    return any(_sure(data, found.start()) for found in _HEADS.finditer(data))


PROTOCOLS = (
    Protocol(
        "sl651",
        starts,
        Sl651,
        marks=(Mark(sl651_frame.START), Mark(b"\x01\x30", 0, b"\xff\xf0"), Mark(b"\x01\x40", 0, b"\xff\xf0")),
        columnar=True,
        within=within,
        needles=(sl651_frame.START, *(b"\x01%c" % digit for digit in b"0123456789ABCDEF")),
    ),
)
