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
from cityguard.decoders.ot import sl651_body, sl651_frame, sl651_rows
from cityguard.decoders.ot.sl651_columns import Rows
from cityguard.decoders.ot.sl651_frame import Frame
from cityguard.decoders.ot.sl651_link import STARTS, Station, is_dated
from cityguard.decoders.ot.sl651_octets import are_plain
from cityguard.decoders.ot.sl651_parts import Message, Parts
from cityguard.decoders.packet import Packets, U8s, U64s
from cityguard.decoders.protocol import Mark, Out, Protocol, Speaker
from cityguard.decoders.stream import Moment
from cityguard.decoders.wire.gathered import Gathered, Segments
from cityguard.decoders.wire.inorder import InOrder, Run

MAX_GATHERED = 100_000
"""Frames read together."""
MAX_TALKS = 256
"""Conversations over UDP with messages under way."""
MAX_HELD = 16 << 20
"""Octets they keep together."""
_HEADS = re.compile(rb"(?=~~|\x01[0-9A-Fa-f]{22}[\x02\x16])")


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
            found = STARTS.search(data, place)
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
