"""Flows under way: one row of numbers each, updated by the packets of a slice at once.

The update stands here in numpy and once more in ``flow_fast`` as a compiled loop; both give the same rows, bit by bit.
A record ends by silence (``Timeouts``), when it has lasted too long, and when a closed connection is opened anew.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cityguard.decoders.layers import TCP
from cityguard.decoders.window import Bools, U8s, U64s, Window, Words

SLICE = 65_536
"""Packets taken at once; places in a slice fit into 16 bits."""
FIN, SYN, RST, ACK = 0x01, 0x02, 0x04, 0x10
BOTH_FIN, RESET = 3, 4

# Columns of a row; what every packet asks for lies together, sixty-four bytes by sixty-four.
(
    A_HIGH, A_LOW, B_HIGH, B_LOW, PORTS, REST,  # the key
    LAST,  # time of the last packet
    CLOSING,  # since the last SYN: 1 FIN of a, 2 FIN of b, 4 RST
    BEGAN, EPOCH,  # time of the connection's first packet, and how many active timeouts ago that was
    PACKETS, A_PACKETS, BYTES, A_BYTES, FRAME_BYTES,
    FLAGS,  # TCP flags of a, and of b << 8
    START, END,  # earliest and latest time
    MARKS,
    OPENED,  # whether a SYN has said who is the source
    A_SEQ, A_TOP, A_GAP, A_GAP_END,  # last sequence number, -1 = none; the rest relative to it: highest byte, last gap
    B_SEQ, B_TOP, B_GAP, B_GAP_END,
    WAY,  # whether a is the source
    RETRANSMITS, OUT_OF_ORDER,
    RANK,  # how many packets had come before its first
    FIRST,  # number of its first packet
    ICMP_FIRST, A_MAC, B_MAC, TUNNEL,
    OUTER_A_HIGH, OUTER_A_LOW, OUTER_B_HIGH, OUTER_B_LOW,
    DIGEST,
) = range(42)  # fmt: skip
WIDTH = 42
KEY = slice(A_HIGH, REST + 1)
Rows = npt.NDArray[np.int64]
"""int64[n, WIDTH]."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """When a record ends, in ns."""

    tcp: int = 300 * 1_000_000_000
    """Silence that ends a TCP flow."""
    other: int = 60 * 1_000_000_000
    """Silence that ends any other flow."""
    active: int = 1800 * 1_000_000_000
    """A flow that lasts longer is told in records of this length."""

    def idle(self) -> Words:
        """By IP protocol."""
        table = np.full(256, self.other, np.int64)
        table[TCP] = self.tcp
        return table


@dataclass(frozen=True, slots=True)
class Slice:
    """What the update reads of each packet, in order; the key's ends are sorted."""

    key: tuple[U64s, U64s, U64s, U64s, U64s, U64s]
    digest: U64s
    forward: Bools  # a is its source
    proto: U8s
    number: Words
    time: Words
    wire: Words
    size: Words
    flags: U8s
    seq: Words
    claimed: Words
    icmp: Words
    mac: Words
    marks: U8s
    tunnel: Words
    outer: Words
    outers: tuple[U64s, U64s, U64s, U64s]
    stations: tuple[Words, Words]


class Index:
    """Digest to slot: two sorted arrays, a large one and one of the newest."""

    def __init__(self) -> None:
        self._old = self._new = (np.zeros(0, np.uint64), np.zeros(0, np.int64))

    def find(self, digests: U64s) -> Words:
        """Slots; -1 where there is none."""
        found = np.full(len(digests), -1, np.int64)
        for known, slots in (self._old, self._new):
            if len(known):
                at = np.minimum(np.searchsorted(known, digests), len(known) - 1)
                found = np.where(known[at] == digests, slots[at], found)
        return found

    def add(self, digests: U64s, slots: Words) -> None:
        """Digests that are not there yet."""
        self._new = _sorted(np.concatenate([self._new[0], digests]), np.concatenate([self._new[1], slots]))
        if len(self._new[0]) > max(SLICE // 2, len(self._old[0]) // 4):
            digests, slots = (np.concatenate([self._old[at], self._new[at]]) for at in (0, 1))
            self._old = _sorted(digests.astype(np.uint64, copy=False), slots.astype(np.int64, copy=False))
            self._new = (self._new[0][:0], self._new[1][:0])


def _sorted(digests: U64s, slots: Words) -> tuple[U64s, Words]:
    order = np.argsort(digests)
    return digests[order], slots[order]


class Table:
    """The rows, in slots; ``done`` gathers those that have ended."""

    def __init__(self, timeouts: Timeouts) -> None:
        self.idle, self.active = timeouts.idle(), timeouts.active
        self.rows: Rows = np.empty((4 * SLICE, WIDTH), np.int64)  # memory is taken as it is written
        self.used = 0
        self.index = Index()
        self.done: list[Rows] = []

    def update(self, packets: Slice, buffer: U8s, rank: int) -> None:
        """Count the packets of a slice.

        Args:
            packets: ``SLICE`` of them at most.
            buffer: where their Ethernet headers are.
            rank: packets that came before.
        """
        order, heads = _grouped(packets.digest)
        cuts = _Cuts(self, packets, order, heads)
        segments = self._segments(packets, buffer, rank, order, cuts)
        last = np.append(cuts.group[cuts.heads[1:]] != cuts.group[cuts.heads[:-1]], True)
        fresh = cuts.cut[heads] & (cuts.slot >= 0)
        self.done += [rows for rows in (self.rows[cuts.slot[fresh]], segments[~last]) if len(rows)]
        new = np.flatnonzero(cuts.slot < 0)
        slots = cuts.slot.copy()
        slots[new] = np.arange(self.used, self.used + len(new))
        self._grow(self.used + len(new))
        self.used += len(new)
        self.rows[slots] = segments[last]
        if len(new):
            self.index.add(packets.digest[order[heads[new]]], slots[new])

    def drop(self, ended: Bools) -> None:
        """These slots are over."""
        if not ended.any():
            return
        rows = self.rows[: self.used]
        self.done.append(rows[ended])
        kept = rows[~ended]
        self.used = len(kept)
        self.rows[: self.used] = kept
        self.index = Index()
        if self.used:
            self.index.add(kept[:, DIGEST].view(np.uint64), np.arange(self.used))

    def _grow(self, size: int) -> None:
        if size > len(self.rows):
            rows = np.empty((max(size, 2 * len(self.rows)), WIDTH), np.int64)
            rows[: self.used] = self.rows[: self.used]
            self.rows = rows

    def _segments(self, packets: Slice, buffer: U8s, rank: int, order: Words, cuts: _Cuts) -> Rows:
        heads, forward = cuts.heads, packets.forward[order]
        first = order[heads]
        rows = np.zeros((len(heads), WIDTH), np.int64)
        goes_on = np.flatnonzero(~cuts.cut[heads])
        fresh = np.flatnonzero(cuts.cut[heads])
        rows[goes_on] = self.rows[cuts.slot[cuts.group[heads[goes_on]]]]
        _begin(rows, fresh, packets, buffer, first[fresh], rank)
        count = np.diff(heads, append=len(order))
        size, sent = packets.size[order], forward.astype(np.int64)
        rows[:, PACKETS] += count
        rows[:, A_PACKETS] += np.add.reduceat(sent, heads)
        rows[:, BYTES] += np.add.reduceat(size, heads)
        rows[:, A_BYTES] += np.add.reduceat(size * sent, heads)
        rows[:, FRAME_BYTES] += np.add.reduceat(packets.wire[order], heads)
        rows[:, START] = np.minimum(rows[:, START], np.minimum.reduceat(cuts.time, heads))
        rows[:, END] = np.maximum(rows[:, END], np.maximum.reduceat(cuts.time, heads))
        tails = np.append(heads[1:], len(order)) - 1
        rows[:, LAST] = cuts.time[tails]
        rows[:, BEGAN], rows[:, EPOCH] = cuts.began[heads], cuts.epoch[heads]
        flags = np.where(forward, cuts.flags, cuts.flags.astype(np.int64) << 8)
        rows[:, FLAGS] |= np.bitwise_or.reduceat(flags, heads)
        rows[:, CLOSING] = cuts.closing[tails]
        if packets.marks.any():
            rows[:, MARKS] |= np.bitwise_or.reduceat(packets.marks[order].astype(np.int64), heads)
        nth = np.repeat(np.arange(len(heads)), count)
        _open(rows, nth, cuts, forward)
        _track(rows, nth, packets, order, cuts, forward)
        return rows


class _Cuts:
    """Where records begin among the packets sorted by flow: ``cut`` there, ``heads`` of all pieces of records."""

    def __init__(self, table: Table, packets: Slice, order: Words, heads: Words) -> None:
        n = len(order)
        self.slot = table.index.find(packets.digest[order[heads]])
        known, count = self.slot >= 0, np.diff(heads, append=n)
        self.group = np.repeat(np.arange(len(heads)), count)
        self.time, proto = packets.time[order], packets.proto[order]
        self.flags, self.tcp = np.where(proto == TCP, packets.flags[order], 0).astype(np.uint8), proto == TCP
        state = table.rows[np.where(known, self.slot, 0)][:, [LAST, CLOSING, BEGAN, EPOCH]]
        begin = np.zeros(n, np.bool_)
        begin[heads] = True
        before = np.empty(n, np.int64)
        before[1:] = self.time[:-1]
        before[heads] = np.where(known, state[:, 0], self.time[heads])
        self.cut = (self.time - before) > table.idle[proto]
        self.cut[heads[~known]] = True
        self._reopened(packets.forward[order], begin, np.where(known, state[:, 1], 0))
        self._active(table.active, begin, heads, state)
        self.heads = np.flatnonzero(begin | self.cut)

    def _reopened(self, forward: Bools, begin: Bools, carried: Words) -> None:
        """Cut at a SYN after a close; note what each connection has closed so far."""
        pure = (self.flags & (SYN | ACK)) == SYN
        bits = np.where(self.flags & FIN, np.where(forward, 1, 2), 0) | (self.flags & RST)
        edges = np.flatnonzero(begin | self.cut | pure)
        seen = np.bitwise_or.reduceat(bits, edges)
        head = begin[edges]
        kept = np.where(head & ~self.cut[edges], carried[self.group[edges]], 0)
        seen = np.where(pure[edges], seen, seen | kept)
        before = np.empty(len(edges), np.int64)
        before[1:] = seen[:-1]
        before[head] = kept[head]
        closed = (before & RESET > 0) | (before & BOTH_FIN == BOTH_FIN)
        self.cut[edges[pure[edges] & closed & ~self.cut[edges]]] = True
        self.closing = np.repeat(seen, np.diff(edges, append=len(bits)))

    def _active(self, active: int, begin: Bools, heads: Words, state: Rows) -> None:
        """Cut what has lasted too long."""
        starts = np.flatnonzero(begin | self.cut)
        nth = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(begin)))
        goes_on = ~self.cut[starts]
        group = self.group[starts]
        began = np.where(goes_on, state[group, 2], self.time[starts])
        epoch = np.where(goes_on, state[group, 3], 0)
        latest = np.maximum.reduceat(self.time, starts)
        self.began = began[nth]
        if not (latest - began >= active).any():
            self.epoch = epoch[nth]
            return
        now = np.maximum((self.time - self.began) // active, epoch[nth])
        highest = np.maximum.accumulate(nth << 32 | np.minimum(now, 0x7FFFFFFF))
        before = np.empty(len(now), np.int64)
        before[1:] = highest[:-1] & 0xFFFFFFFF
        before[starts] = epoch
        self.epoch = highest & 0xFFFFFFFF
        self.cut |= self.epoch > before


def _grouped(digests: U64s) -> tuple[Words, Words]:
    """Order that brings equal digests together, each in order; and where each begins."""
    places = np.arange(len(digests), dtype=np.uint64)
    packed = np.sort(digests & ~np.uint64(0xFFFF) | places)  # one sort of numbers, not of places by numbers
    order = (packed & np.uint64(0xFFFF)).astype(np.int64)
    ordered = digests[order]
    same = ordered[1:] == ordered[:-1]
    if ((packed[1:] >> np.uint64(16) == packed[:-1] >> np.uint64(16)) != same).any():
        order = np.argsort(digests, kind="stable")
        ordered = digests[order]
        same = ordered[1:] == ordered[:-1]
    return order, np.concatenate([[0], np.flatnonzero(~same) + 1])


def _begin(rows: Rows, fresh: Words, packets: Slice, buffer: U8s, first: Words, rank: int) -> None:
    """What the first packet of a record says."""
    for column, values in zip(range(A_HIGH, REST + 1), packets.key, strict=True):
        rows[fresh, column] = values[first].view(np.int64)
    rows[fresh, RANK] = rank + first
    rows[fresh, FIRST] = packets.number[first]
    rows[fresh, START] = rows[fresh, END] = packets.time[first]
    forward = packets.forward[first]
    rows[fresh, WAY] = forward
    rows[fresh, ICMP_FIRST] = packets.icmp[first]
    rows[fresh, TUNNEL] = packets.tunnel[first]
    rows[fresh, DIGEST] = packets.digest[first].view(np.int64)
    rows[fresh, A_SEQ] = rows[fresh, B_SEQ] = -1
    mac, read = packets.mac[first], Window(buffer)
    destination = np.where(mac < 0, -1, read.u32(mac) << 16 | read.u16(mac + 4))
    source = np.where(mac < 0, -1, read.u32(mac + 6) << 16 | read.u16(mac + 10))
    told = np.flatnonzero(mac < -1)
    destination[told], source[told] = (side[-2 - mac[told]] for side in packets.stations)
    rows[fresh, A_MAC] = np.where(forward, source, destination)
    rows[fresh, B_MAC] = np.where(forward, destination, source)
    outer = packets.outer[first]
    wrapped = np.flatnonzero(outer >= 0)
    for half in (0, 1):
        here, there = (packets.outers[at][outer[wrapped]].view(np.int64) for at in (half, half + 2))
        way = forward[wrapped]
        rows[fresh[wrapped], OUTER_A_HIGH + half] = np.where(way, here, there)
        rows[fresh[wrapped], OUTER_B_HIGH + half] = np.where(way, there, here)


def _open(rows: Rows, nth: Words, cuts: _Cuts, forward: Bools) -> None:
    """The source is who sent the first SYN; a SYN/ACK speaks for the other side."""
    syn = np.flatnonzero(cuts.flags & SYN)
    mine = nth[syn]
    first = np.concatenate([[True], mine[1:] != mine[:-1]])[: len(syn)]
    syn, mine = syn[first], mine[first]
    wanted = rows[mine, OPENED] == 0
    syn, mine = syn[wanted], mine[wanted]
    rows[mine, WAY] = forward[syn] ^ (cuts.flags[syn] & ACK > 0)
    rows[mine, OPENED] = 1


def _track(rows: Rows, nth: Words, packets: Slice, order: Words, cuts: _Cuts, forward: Bools) -> None:
    """Count segments sent again and those that filled a gap, by sequence numbers."""
    data = np.flatnonzero(cuts.tcp)
    length = packets.claimed[order[data]] + (cuts.flags[data] & SYN > 0) + (cuts.flags[data] & FIN > 0)
    data, length = data[length > 0], length[length > 0]
    if not len(data):
        return
    side = nth[data] << 1 | ~forward[data]
    by = np.sort(side << 16 | np.arange(len(data)))  # by side, each in order
    place = by & 0xFFFF
    side, data, length = by >> 16, data[place], length[place]
    seq = packets.seq[order[data]]
    heads = np.concatenate([[0], np.flatnonzero(side[1:] != side[:-1]) + 1])
    owner, column = side[heads] >> 1, A_SEQ + (B_SEQ - A_SEQ) * (side[heads] & 1)
    known = rows[owner, column] >= 0
    before = np.empty(len(seq), np.int64)
    before[1:] = seq[:-1]
    before[heads] = np.where(known, rows[owner, column], seq[heads])
    step = ((seq - before + 0x80000000) & 0xFFFFFFFF) - 0x80000000
    count = np.diff(heads, append=len(seq))
    total = np.cumsum(step)
    at = total - np.repeat(total[heads] - step[heads], count)  # 0 = where the side's last packet was
    top = np.where(known, rows[owner, column + 1], 0)
    before_top, after_top = _highest(at, length, top, heads, count)
    room = before_top - at
    gaps = np.flatnonzero(room < 0)
    late = np.flatnonzero(room > 0)
    # The gap that counts is the last one of the side before the packet.
    latest = np.searchsorted(gaps, late) - 1
    group = np.repeat(np.arange(len(heads)), count)
    mine = (latest >= 0) & (gaps[np.maximum(latest, 0)] >= heads[group[late]]) if len(gaps) else latest > 0
    gap = np.where(mine, before_top[gaps[latest]], rows[owner, column + 2][group[late]]) if len(gaps) else (
        rows[owner, column + 2][group[late]]
    )  # fmt: skip
    end = np.where(mine, at[gaps[latest]], rows[owner, column + 3][group[late]]) if len(gaps) else (
        rows[owner, column + 3][group[late]]
    )  # fmt: skip
    fills = (at[late] >= gap) & (at[late] + length[late] <= end)
    np.add.at(rows, (owner[group[late]], np.where(fills, OUT_OF_ORDER, RETRANSMITS)), 1)
    tails = np.append(heads[1:], len(seq)) - 1
    last_gap = np.searchsorted(gaps, tails, side="right") - 1
    has = (last_gap >= 0) & (gaps[np.maximum(last_gap, 0)] >= heads) if len(gaps) else np.zeros(len(heads), np.bool_)
    here = at[tails]
    for offset, values in ((2, before_top), (3, at)):
        kept = rows[owner, column + offset]
        rows[owner, column + offset] = (np.where(has, values[gaps[last_gap]], kept) if len(gaps) else kept) - here
    rows[owner, column + 1] = after_top[tails] - here
    rows[owner, column] = seq[tails]


def _highest(at: Words, length: Words, top: Words, heads: Words, count: Words) -> tuple[Words, Words]:
    """The highest byte of the side before and after each packet."""
    end = at + length
    end[heads] = np.maximum(end[heads], top)
    low = int(end.min())
    span = int(end.max()) - low + 1
    if span * len(heads) < 1 << 62:
        lift = np.repeat(np.arange(len(heads)) * span, count) - low
        after = np.maximum.accumulate(end + lift) - lift
    else:  # sequence numbers that jump about
        after = np.concatenate([np.maximum.accumulate(part) for part in np.split(end, heads[1:])])
    before = np.empty(len(end), np.int64)
    before[1:] = after[:-1]
    before[heads] = top
    return before, after
