"""TCP connections of a piece whose segments simply follow each other: put side by side as one buffer, not one by one.

For protocols that read their frames as columns (``Protocol.columnar``). Most field connections lose and repeat nothing;
those that do are followed segment by segment (``stream.Streams``) by the same parsers, from where they stand.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from cityguard.decoders import stream
from cityguard.decoders.events import Ends, Talk
from cityguard.decoders.flow import Keys
from cityguard.decoders.packet import Bools, Packets, U8s, U64s, Words
from cityguard.decoders.stream import FULL, Parser, Streams
from cityguard.decoders.wire.gather import side_by_side

MAX_LINKS = 20_000
"""Connections in order that are remembered; beyond that the one silent for longest is closed."""
_FIN, _SYN, _RST, _ACK = 0x01, 0x02, 0x04, 0x10


class Tailed(Parser, Protocol):
    """A parser whose unfinished bytes of a side can be read on from elsewhere."""

    def tail(self, side: int) -> bytearray:
        """The bytes of a side that are no whole frame yet; to be changed in place."""


Link = TypeVar("Link", bound=Tailed)


@dataclass(slots=True)
class _Place:
    """Where a connection in order stands."""

    link: Tailed
    ends: Talk
    next: list[int | None]
    ended: int = 0


@dataclass(frozen=True, slots=True)
class Run(Generic[Link]):
    """The segments of one side of a connection in this piece, in order."""

    key: int
    link: Link
    side: int
    rows: Words
    """Places of its packets."""


class InOrder(Generic[Link]):
    """Which connections are in order, and where each stands; bounded."""

    def __init__(self, opener: Callable[[Talk], Link], *, fast: bool = True) -> None:
        """``fast=False``: none is, each is followed segment by segment."""
        self._opener, self._fast = opener, fast
        self._streams = Streams({1: opener})
        self._places: OrderedDict[int, _Place] = OrderedDict()
        self._over: list[int] = []

    def take(self, buffer: U8s, packets: Packets, keys: Keys, hashes: U64s) -> list[Run[Link]]:
        """The runs of a piece; the others are given to their parsers at once, then those of ``settle``."""
        out = self._out_of_step(packets, keys, hashes)
        aside = np.isin(hashes, out)
        self._aside(buffer, packets, keys, hashes, aside)
        return self._runs(packets, keys, hashes, np.flatnonzero(~aside))

    def settle(self) -> None:
        """The runs have been read: connections that are over are closed, and those that are too many."""
        for key in self._over:
            if (place := self._places.pop(key, None)) is not None:
                place.link.close()
        self._over = []
        while len(self._places) > MAX_LINKS:
            self._places.popitem(last=False)[1].link.close()

    def close(self) -> None:
        """The input has ended."""
        for place in self._places.values():
            place.link.close()
        self._places.clear()
        self._streams.close()

    def _out_of_step(self, packets: Packets, keys: Keys, hashes: U64s) -> U64s:
        """Keys of the connections that are not in order."""
        if not self._fast:
            return np.unique(hashes)
        data = np.flatnonzero(packets.claimed > 0)
        opens = np.flatnonzero(packets.flags & _SYN > 0)
        cut = data[(packets.captured[data] != packets.claimed[data]) | (packets.flags[data] & _SYN > 0)]
        known = np.fromiter(self._places, np.uint64, len(self._places))
        bad = [self._streams.followed, hashes[cut], hashes[opens[np.isin(hashes[opens], known)]]]
        bad.append(self._reopened(packets, keys, hashes, data, opens))
        bad.append(self._strayed(packets, keys, hashes, data, opens))
        return np.unique(np.concatenate(bad))

    def _reopened(self, packets: Packets, keys: Keys, hashes: U64s, data: Words, opens: Words) -> U64s:
        """Opened twice by one side, or after something was said."""
        if not len(opens):
            return np.zeros(0, np.uint64)
        sides = hashes[opens] * np.uint64(2) + keys.forward[opens]
        _, place, count = np.unique(sides, return_index=True, return_counts=True)
        twice: U64s = hashes[opens[place[count > 1]]]
        spoke, first = np.unique(hashes[data], return_index=True)
        if not len(spoke):
            return twice
        at = np.minimum(np.searchsorted(spoke, hashes[opens]), len(spoke) - 1)
        late = (spoke[at] == hashes[opens]) & (data[first[at]] < opens)
        again: U64s = np.concatenate([twice, hashes[opens[late]]])
        return again

    def _strayed(self, packets: Packets, keys: Keys, hashes: U64s, data: Words, opens: Words) -> U64s:
        """Segments that do not begin where the last one of their side ended."""
        both = np.sort(np.concatenate([data, opens]))
        if not len(both):
            return np.zeros(0, np.uint64)
        side = np.where(keys.forward[both], 0, 1)
        order = np.argsort(hashes[both] * np.uint64(2) + side.astype(np.uint64), kind="stable")
        rows, side = both[order], side[order]
        key, seq = hashes[rows], packets.seq[rows]
        step = packets.claimed[rows] + (packets.flags[rows] & _SYN > 0)
        fresh = np.ones(len(rows), np.bool_)
        fresh[1:] = (key[1:] != key[:-1]) | (side[1:] != side[:-1])
        expected = np.empty_like(seq)
        expected[1:] = (seq[:-1] + step[:-1]) % FULL
        heads = np.flatnonzero(fresh)
        for head, one, way in zip(heads.tolist(), key[heads].tolist(), side[heads].tolist(), strict=True):
            place = self._places.get(one)
            due = None if place is None else place.next[way]
            expected[head] = seq[head] if due is None else due
        strayed: U64s = key[expected != seq]
        return strayed

    def _aside(self, buffer: U8s, packets: Packets, keys: Keys, hashes: U64s, which: Bools) -> None:
        rows = np.flatnonzero(which)
        if not len(rows):
            return
        for key in np.unique(hashes[rows]).tolist():
            if (place := self._places.pop(key, None)) is not None:
                self._streams.take_over(key, 1, place.ends, place.link, tuple(place.next))
        ones = np.ones(len(rows), np.int64)
        none = np.zeros(len(rows), np.bool_)
        self._streams.add(buffer, packets.take(rows), keys.take(rows), hashes[rows], ones, none)

    def _runs(self, packets: Packets, keys: Keys, hashes: U64s, rows: Words) -> list[Run[Link]]:
        flags = packets.flags[rows]
        rows = rows[(packets.claimed[rows] > 0) | (flags & (_FIN | _SYN | _RST) > 0)]
        if not len(rows):
            return []
        side = np.where(keys.forward[rows], 0, 1)
        order = np.argsort(hashes[rows] * np.uint64(2) + side.astype(np.uint64), kind="stable")
        rows, side = rows[order], side[order]
        key = hashes[rows]
        fresh = np.ones(len(rows), np.bool_)
        fresh[1:] = (key[1:] != key[:-1]) | (side[1:] != side[:-1])
        begins = np.flatnonzero(fresh)
        ends = np.append(begins[1:], len(rows))
        first = np.argsort(rows[begins], kind="stable")  # in the order in which they spoke
        found = []
        for begin, end in zip(begins[first].tolist(), ends[first].tolist(), strict=True):
            mine = rows[begin:end]
            run = self._run(packets, keys, int(key[begin]), int(side[begin]), mine)
            if run is not None:
                found.append(run)
        return found

    def _run(self, packets: Packets, keys: Keys, key: int, side: int, rows: Words) -> Run[Link] | None:
        flags = packets.flags[rows]
        data = rows[packets.claimed[rows] > 0]
        place = self._places.get(key)
        if place is None:
            if not len(data) and not (flags & _SYN).any():
                return None
            place = self._opened(packets, keys, key, side, int(rows[0]))
        self._places.move_to_end(key)
        last = int(rows[-1]) if (flags & _SYN).any() and not len(data) else int(data[-1]) if len(data) else -1
        if last >= 0:
            place.next[side] = int(packets.seq[last] + packets.claimed[last] + (packets.flags[last] & _SYN > 0)) % FULL
        place.ended |= int((flags & _FIN).any()) << side
        if place.ended == 3 or (flags & _RST).any():
            self._over.append(key)
        link: Link = place.link  # type: ignore[assignment]
        return Run(key, link, side, data) if len(data) else None

    def _opened(self, packets: Packets, keys: Keys, key: int, side: int, row: int) -> _Place:
        flags = int(packets.flags[row])
        opener = side if flags & (_SYN | _ACK) == _SYN else 1 - side if flags & (_SYN | _ACK) == _SYN | _ACK else -1
        ends = replace(stream.talk(packets, keys, row), opener=opener)
        place = self._places[key] = _Place(self._opener(ends), ends, [None, None])
        return place


@dataclass(frozen=True, slots=True)
class Joined:
    """The bytes of many runs, one after the other, each after what its side had left over."""

    data: npt.NDArray[np.uint8]
    begin: Words
    """int64[runs]: where each begins in ``data``."""
    end: Words
    part_end: Words
    """int64[packets]: where the bytes of each packet end, ascending."""
    part_row: Words
    """int64[packets]: the packet."""

    def completed(self, ends: Words) -> Words:
        """int64[n]: the packets that hold the last byte of frames that end at these places."""
        found: Words = self.part_row[np.searchsorted(self.part_end, ends, side="left")]
        return found


def joined(buffer: U8s, packets: Packets, runs: list[Run[Link]]) -> Joined:
    """Put the bytes of runs into one buffer."""
    row = np.concatenate([run.rows for run in runs])
    count = np.array([len(run.rows) for run in runs], np.int64)
    first = np.cumsum(count) - count
    start, size = packets.payload[row], packets.captured[row]
    heads = [
        (at, bytes(tail)) for at, run in zip(first.tolist(), runs, strict=True) if (tail := run.link.tail(run.side))
    ]
    if heads:  # what was left over stands behind the buffer, and is a part of its own
        left = np.array([len(head) for _, head in heads], np.int64)
        at = np.array([place for place, _ in heads], np.int64)
        buffer = np.concatenate([buffer, np.frombuffer(b"".join(head for _, head in heads), np.uint8)])
        start = np.insert(start, at, len(buffer) - int(left.sum()) + np.cumsum(left) - left)
        size = np.insert(size, at, left)
        row = np.insert(row, at, row[at])
        count[np.isin(first, at)] += 1
        first = np.cumsum(count) - count
    data, places = side_by_side(buffer, start, start + size)
    return Joined(data, places[first], places[first + count], places[1:], row)


def ends_of(packets: Packets, rows: Words) -> Ends:
    """When and between whom: of the packets at some places."""
    return Ends(
        packets.number[rows],
        packets.time[rows],
        packets.v6[rows],
        packets.proto[rows],
        (packets.source[0][rows], packets.source[1][rows]),
        (packets.destination[0][rows], packets.destination[1][rows]),
        packets.source_port[rows],
        packets.destination_port[rows],
        packets.vlan[rows],
        packets.icmp[rows],
    )
