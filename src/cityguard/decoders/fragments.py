"""Fragments of IPv4 and IPv6 datagrams put together (RFC 791, 815, 8200), bounded in number, bytes and time.

Where fragments overlap, the bytes that came first stay; the datagram is marked. What never becomes whole is given up
after ``TIMEOUT`` and comes as far as it reaches from its beginning.
"""

from __future__ import annotations

import bisect
import itertools
from collections import OrderedDict
from dataclasses import dataclass, field

import numpy as np

from cityguard.decoders.layers import Layers
from cityguard.decoders.window import Words

TIMEOUT = 30 * 1_000_000_000
"""ns from the first fragment of a datagram until it is given up."""
MAX_DATAGRAMS = 4_096
MAX_PARTS = 65_536
"""Fragments held at most."""
MAX_BYTES = 32 << 20
"""Bytes held at most; beyond any of the three the oldest datagram is given up."""
STAY = 1_000_000_000
"""ns for which a datagram under way does not give way to a new one: in a flood its fragments go by as they are."""
MAX_DATAGRAM = 65_535

FRAGMENTED, OVERLAP, INCOMPLETE = 1, 2, 4
"""Marks of a packet: it came in fragments; some contradicted others; some are missing."""
_PART_COST = 120  # bytes of bookkeeping

_Outer = tuple[int, int, int, int]


Part = tuple[int, int, int, int]
"""What is counted of one fragment: number, time, wire length, bytes from the IP header on."""


@dataclass(frozen=True, slots=True)
class Whole:
    """A datagram given out: as one packet, and the fragments it came in."""

    link: bytes  # Ethernet header, b"" = none
    packet: bytes  # from the IP header on
    wire: int  # its length, missing bytes included
    parts: tuple[Part, ...]
    marks: int
    vlan: int
    tunnel: int
    outer: _Outer | None
    trigger: int  # row of the frame that completed it


@dataclass(slots=True)
class _Datagram:
    rank: int  # of all fragments that came, its first
    began: int
    vlan: int
    tunnel: int
    outer: _Outer | None
    link: bytes
    other: bytes  # IP header of the first fragment that came
    head: bytes | None = None  # IP header of the one that begins the datagram
    parts: list[Part] = field(default_factory=list)
    spans: list[tuple[int, int, bytes]] = field(default_factory=list)  # covered, in order, apart; bytes at hand
    total: int | None = None
    covered: int = 0
    held: int = 0
    marks: int = FRAGMENTED

    def cover(self, start: int, end: int, data: bytes) -> None:
        """Add bytes ``start:end``; of those that are there already the older stay."""
        if end > MAX_DATAGRAM:
            self.marks |= OVERLAP
            return
        if start < end and (not self.spans or start >= self.spans[-1][1]):  # in order
            self.spans.append((start, end, data))
            self.covered += end - start
            return
        at = bisect.bisect_right(self.spans, start, key=lambda span: span[0])
        at -= at > 0 and self.spans[at - 1][1] > start
        while start < end:
            here = self.spans[at] if at < len(self.spans) else None
            if here is not None and here[0] <= start:
                common = min(end, here[1]) - start
                same = here[2][start - here[0] : start - here[0] + common]
                exact = (start, end) == here[:2]
                if not exact or same != data[: len(same)]:
                    self.marks |= OVERLAP
                start, data = start + common, data[common:]
                at += 1
                continue
            stop = end if here is None else min(end, here[0])
            self.spans.insert(at, (start, stop, data[: stop - start]))
            self.covered += stop - start
            start, data = stop, data[stop - start :]
            at += 1

    def finish(self, total: int) -> None:
        """The fragment that ends the datagram was seen."""
        beyond = bool(self.spans) and self.spans[-1][1] > total
        if beyond or self.total not in (None, total):
            self.marks |= OVERLAP
        elif total <= MAX_DATAGRAM:
            self.total = total

    @property
    def whole(self) -> bool:
        return self.total is not None and self.covered >= self.total and self.head is not None

    def give(self, trigger: int) -> Whole:
        """As one packet."""
        marks = self.marks if self.whole else self.marks | INCOMPLETE
        head = self.head
        if head is None:
            cut = self.other[0] >> 4 == 4 and (self.other[0] & 15) * 4  # options beyond what was captured
            return self._out(self.other, max(len(self.other), cut), marks, trigger)
        data = bytearray(b"".join([piece for _, _, piece in self.spans]))
        straight = bool(self.spans) and len(data) == self.covered == self.spans[-1][1]
        data = data if straight else bytearray()
        for start, end, piece in () if straight else self.spans:
            if start != len(data):
                break
            data += piece
            if len(piece) < end - start:  # cut by the capture
                break
        length = self.total if self.total is not None else (self.spans[-1][1] if self.spans else 0)
        length = min(max(length, len(data)), MAX_DATAGRAM - len(head))
        return self._out(_mended(head, length) + bytes(data[:length]), len(head) + length, marks, trigger)

    def _out(self, packet: bytes, wire: int, marks: int, trigger: int) -> Whole:
        return Whole(self.link, packet, wire, tuple(self.parts), marks, self.vlan, self.tunnel, self.outer, trigger)


def _mended(head: bytes, length: int) -> bytes:
    """The header of a whole datagram from that of its first fragment."""
    new = bytearray(head)
    if head[0] >> 4 == 4:
        new[2:4] = (len(head) + length).to_bytes(2, "big")
        new[6:8] = bytes([head[6] & 0xC0, 0])
    else:  # ends with the fragment header, which now says that there is but one
        new[4:6] = min(len(head) - 40 + length, 65_535).to_bytes(2, "big")
        new[-6:-4] = bytes(2)
    return bytes(new)


_KEY = ("high_s", "low_s", "high_d", "low_d", "ident", "proto", "vlan", "tunnel")
_COLUMNS = ("ip", "start", "stop", "end", "offset", "more", *_KEY)
_CHUNK = 1_024  # fragments looked at together


def _columns(work: Layers, rows: Words) -> dict[str, Words]:
    """What is read of fragments, one entry each."""
    word = work.fragment[rows]
    told, six = work.read.u16(word), work.v6[rows]
    return {
        "row": rows,
        "ip": work.ip[rows],
        "start": np.where(six, word + 6, work.body[rows]),
        "stop": work.stop[rows],
        "end": work.end[rows],
        "offset": np.where(six, told & 0xFFF8, (told & 0x1FFF) << 3),
        "more": np.where(six, told & 1, told >> 13 & 1),
        "mac": work.mac[rows],
        "ident": np.where(six, work.read.u32(word + 2), work.read.u16(word - 2)),
        "proto": np.where(six, -1, work.proto[rows]),
        "vlan": work.vlan[rows],
        "tunnel": work.tunnel[rows],
        **{name: getattr(work, name)[rows].view(np.int64) for name in ("high_s", "low_s", "high_d", "low_d")},
    }


def _size(columns: dict[str, Words]) -> Words:
    """Bytes of the datagram each fragment tells; all but the last are of whole eights."""
    size: Words = np.maximum(columns["stop"] - columns["start"], 0)
    return size - np.where(columns["more"] > 0, size % 8, 0)


def _keys(columns: dict[str, Words], at: Words) -> list[tuple[int, ...]]:
    return list(zip(*(columns[name][at].tolist() for name in _KEY), strict=True))


class Fragments:
    """Datagrams under way, in order of their first fragment."""

    def __init__(self) -> None:
        self._open: OrderedDict[tuple[int, ...], _Datagram] = OrderedDict()
        self._parts = self._bytes = self._rank = 0

    def add(self, work: Layers, rows: Words) -> list[Whole]:
        """Take fragments; gives back the datagrams that are over, in order.

        Those that find no room are marked as ``work.passed``: packets of their own.
        """
        frames = work.frames
        columns = (frames.number[rows], frames.time[rows], frames.wire[rows], work.size[rows])
        parts = [[one] for one in zip(*(column.tolist() for column in columns), strict=True)]
        return self._add(work, rows, parts, rows.tolist(), passing=True)

    def add_wholes(self, work: Layers, rows: Words, wholes: list[Whole]) -> list[Whole]:
        """Take fragments found inside of reassembled datagrams."""
        chosen = [wholes[row] for row in rows.tolist()]
        return self._add(work, rows, [list(one.parts) for one in chosen], [one.trigger for one in chosen])

    def flush(self) -> list[Whole]:
        """Give up what is left."""
        return [self._drop(key, 0) for key in list(self._open)]

    def _add(
        self, work: Layers, rows: Words, parts: list[list[Part]], triggers: list[int], *, passing: bool = False
    ) -> list[Whole]:
        columns = _columns(work, rows)
        given: list[Whole] = []
        for first in range(0, len(rows), _CHUNK):
            chunk = slice(first, first + _CHUNK)
            part = {name: column[chunk] for name, column in columns.items()}
            given += self._chunk(work, part, parts[chunk], triggers[chunk], passing)
            self._rank += len(parts[chunk])
        return given

    def _chunk(
        self, work: Layers, columns: dict[str, Words], parts: list[list[Part]], triggers: list[int], passing: bool
    ) -> list[Whole]:
        every = np.arange(len(parts))
        if not self._roomy(columns, parts):
            return self._one_by_one(work, columns, every, parts, triggers, passing)
        order = np.lexsort([columns[name] for name in _KEY])
        runs, left = self._runs(columns, order)
        given = self._together(work, columns, order, runs, parts, triggers)
        given += self._one_by_one(work, columns, left, parts, triggers, passing)
        self._arrange()
        return given

    def _roomy(self, columns: dict[str, Words], parts: list[list[Part]]) -> bool:
        """Whether nothing can run out or be given up while these come; then the order of datagrams is no matter."""
        now = [one[-1][1] for one in parts]
        held = sum(map(len, parts))
        size = int(np.maximum(columns["end"] - columns["start"], 0).sum()) + held * _PART_COST
        began = min(min(now), self._earliest()) if self._open else min(now)
        return (
            len(self._open) + len(parts) <= MAX_DATAGRAMS
            and self._parts + held <= MAX_PARTS
            and self._bytes + size <= MAX_BYTES
            and max(now) - began <= TIMEOUT
        )

    def _earliest(self) -> int:
        return min(one.began for one in self._open.values())

    def _runs(self, columns: dict[str, Words], order: Words) -> tuple[list[tuple[int, int]], Words]:
        """Stretches of ``order`` that are of one datagram each and follow what there is of it, byte for byte.

        Returns:
            First and last of each stretch, and the rows that are in none, ascending.
        """
        n = len(order)
        fresh = np.zeros(n, np.bool_)  # begins another key
        fresh[0] = True
        for name in _KEY:
            column = columns[name][order]
            fresh[1:] |= column[1:] != column[:-1]
        at, more, start = columns["offset"][order], columns["more"][order] > 0, columns["start"][order]
        size = _size(columns)[order]
        fits = (size > 0) & (at + size <= MAX_DATAGRAM) & (start <= columns["end"][order])
        follows = np.where(more[:-1], at[1:] == at[:-1] + size[:-1], at[1:] == 0)
        fits[1:] &= fresh[1:] | follows
        heads = np.flatnonzero(fresh)
        good = np.logical_and.reduceat(fits, heads)
        leads = np.flatnonzero(good)
        for nth, key in zip(leads.tolist(), _keys(columns, order[heads[leads]]), strict=True) if self._open else ():
            one = self._open.get(key)
            if one is not None:
                good[nth] = one.total is None and bool(one.spans) and one.spans[-1][1] == at[heads[nth]]
                fits[heads[nth]] = good[nth]
            elif at[heads[nth]]:
                good[nth] = False
        if not self._open:
            good &= at[heads] == 0
        mine = np.repeat(good, np.diff(heads, append=n))
        begin = np.flatnonzero(mine & (fresh | np.append(True, ~more[:-1])))
        end = np.flatnonzero(mine & (np.append(fresh[1:], True) | ~more))
        return list(zip(begin.tolist(), end.tolist(), strict=True)), np.sort(order[~mine])

    def _together(
        self, work: Layers, columns: dict[str, Words], order: Words, runs: list[tuple[int, int]],
        parts: list[list[Part]], triggers: list[int],
    ) -> list[Whole]:  # fmt: skip
        """Take stretches of fragments at once."""
        given = []
        view, places = work.frames.buffer.data, order.tolist()
        size, start, offset = _size(columns), columns["start"], columns["offset"]
        stop = np.minimum(columns["stop"], columns["end"])
        froms, tos = start[order].tolist(), np.minimum(start + size, stop)[order].tolist()
        ats, ends = offset[order].tolist(), (offset + size)[order].tolist()
        cost = np.maximum(stop - start, 0)[order].tolist()
        keys = _keys(columns, order[[first for first, _ in runs]]) if runs else []
        for key, (first, last) in zip(keys, runs, strict=True):
            lead = places[first]
            one = self._open.get(key)
            if one is None:
                one = self._open[key] = self._begun(work, columns, lead, parts[lead][-1][1])
                one.head = one.other
            run = range(first, last + 1)
            one.spans += [(ats[at], ends[at], bytes(view[froms[at] : tos[at]])) for at in run]
            one.covered += ends[last] - ats[first]
            mine = [part for at in run for part in parts[places[at]]]
            one.parts += mine
            held = sum(cost[first : last + 1]) + len(mine) * _PART_COST
            one.held += held
            self._bytes += held
            self._parts += len(mine)
            if not columns["more"][places[last]]:
                one.finish(ends[last])
                if one.whole:
                    given.append(self._drop(key, triggers[places[last]]))
        return given

    def _begun(self, work: Layers, columns: dict[str, Words], at: int, now: int) -> _Datagram:
        view = work.frames.buffer.data
        names = ("mac", "ip", "start", "end", "vlan", "tunnel")
        mac, ip, start, end, vlan, tunnel = [columns[name].item(at) for name in names]
        link = bytes(view[mac : mac + 14]) if mac >= 0 else b""
        return _Datagram(
            self._rank + at,
            now,
            vlan,
            tunnel,
            _outer(work, int(columns["row"][at])),
            link,
            bytes(view[ip : min(start, end)]),
        )

    def _arrange(self) -> None:
        """Datagrams that were begun in this chunk are in order of their first fragment again."""
        new = list(itertools.takewhile(lambda key: self._open[key].rank >= self._rank, reversed(self._open)))
        for key in sorted(new, key=lambda key: self._open[key].rank):
            self._open.move_to_end(key)

    def _one_by_one(
        self, work: Layers, columns: dict[str, Words], left: Words, parts: list[list[Part]], triggers: list[int],
        passing: bool,
    ) -> list[Whole]:  # fmt: skip
        given: list[Whole] = []
        passed: list[int] = []
        view = work.frames.buffer.data
        chosen = [columns[name][left].tolist() for name in _COLUMNS]
        for nth, ip, start, stop, end, at, more, *ends in zip(left.tolist(), *chosen, strict=True):
            key, mine, trigger = tuple(ends), parts[nth], triggers[nth]
            now = mine[-1][1]
            one = self._open.get(key)
            if one is not None and abs(now - one.began) > TIMEOUT:
                given.append(self._drop(key, trigger))
                one = None
            if one is None:
                if passing and self._full(now):
                    passed.append(nth)
                    continue
                one = self._open[key] = self._begun(work, columns, nth, now)
            if at == 0 and one.head is None and start <= end:
                one.head = bytes(view[ip:start])
            data = bytes(view[start : min(stop, end)])
            length = max(stop - start, 0)
            length -= length % 8 if more else 0  # all but the last are of whole eights
            one.cover(at, at + length, data[:length])
            if not more:
                one.finish(at + length)
            one.parts += mine
            cost = len(data) + len(mine) * _PART_COST
            one.held += cost
            self._bytes += cost
            self._parts += len(mine)
            if one.total is not None and one.whole:
                given.append(self._drop(key, trigger))
            if self._crowded(now):
                given += self._make_room(now, trigger)
        work.passed[columns["row"][passed]] = True
        return given

    def _full(self, now: int) -> bool:
        """Whether there is no room, and none to be made of what is old."""
        if len(self._open) < MAX_DATAGRAMS and self._parts < MAX_PARTS and self._bytes < MAX_BYTES:
            return False
        return 0 <= now - next(iter(self._open.values())).began < STAY if self._open else False

    def _crowded(self, now: int) -> bool:
        """Whether the oldest must go."""
        for oldest in self._open.values():
            many = len(self._open) > MAX_DATAGRAMS or self._parts > MAX_PARTS or self._bytes > MAX_BYTES
            return many or now - oldest.began > TIMEOUT
        return False

    def _make_room(self, now: int, trigger: int) -> list[Whole]:
        given = []
        while self._crowded(now):
            given.append(self._drop(next(iter(self._open)), trigger))
        return given

    def _drop(self, key: tuple[int, ...], trigger: int) -> Whole:
        one = self._open.pop(key)
        self._bytes -= one.held
        self._parts -= len(one.parts)
        return one.give(trigger)


def _outer(work: Layers, row: int) -> _Outer | None:
    if not work.wrapped[row]:
        return None
    high_s, low_s, high_d, low_d = (int(work.outer[name][row]) for name in ("high_s", "low_s", "high_d", "low_d"))
    return high_s, low_s, high_d, low_d
