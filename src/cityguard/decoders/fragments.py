"""Fragments of IPv4 and IPv6 datagrams put together (RFC 791, 815, 8200), bounded in number, bytes and time.

Where fragments overlap, the bytes that came first stay; the datagram is marked. What never becomes whole is given up
after ``TIMEOUT`` and comes as far as it reaches from its beginning.
"""

from __future__ import annotations

import bisect
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
            return self._out(self.other, len(self.other), marks, trigger)
        data = bytearray()
        for start, end, piece in self.spans:
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


class Fragments:
    """Datagrams under way, in order of their first fragment."""

    def __init__(self) -> None:
        self._open: OrderedDict[tuple[int, ...], _Datagram] = OrderedDict()
        self._parts = self._bytes = 0

    def add(self, work: Layers, rows: Words) -> list[Whole]:
        """Take fragments; gives back the datagrams that are over, in order."""
        frames = work.frames
        columns = (frames.number[rows], frames.time[rows], frames.wire[rows], work.size[rows])
        parts = [[one] for one in zip(*(column.tolist() for column in columns), strict=True)]
        return self._add(work, rows, parts, rows.tolist())

    def add_wholes(self, work: Layers, rows: Words, wholes: list[Whole]) -> list[Whole]:
        """Take fragments found inside of reassembled datagrams."""
        chosen = [wholes[row] for row in rows.tolist()]
        return self._add(work, rows, [list(one.parts) for one in chosen], [one.trigger for one in chosen])

    def flush(self) -> list[Whole]:
        """Give up what is left."""
        return [self._drop(key, 0) for key in list(self._open)]

    def _add(self, work: Layers, rows: Words, parts: list[list[Part]], triggers: list[int]) -> list[Whole]:
        given: list[Whole] = []
        word = work.fragment[rows]
        told = work.read.u16(word)
        six = work.v6[rows]
        offset = np.where(six, told & 0xFFF8, (told & 0x1FFF) << 3)
        more = np.where(six, told & 1, told >> 13 & 1)
        ident = np.where(six, work.read.u32(word + 2), work.read.u16(word - 2))
        begin = np.where(six, word + 6, work.body[rows])
        columns = (
            rows, work.ip[rows], begin, work.stop[rows], work.end[rows], offset, more, ident, six, work.proto[rows],
            work.high_s[rows], work.low_s[rows], work.high_d[rows], work.low_d[rows], work.vlan[rows], work.mac[rows],
            work.tunnel[rows],
        )  # fmt: skip
        view = work.frames.buffer.data
        for nth, (row, ip, start, stop, end, at, rest, number, is_six, proto, *ends, vlan, mac, tunnel) in enumerate(
            zip(*(column.tolist() for column in columns), strict=True)
        ):
            key = (*ends, number, -1 if is_six else proto, vlan, tunnel)
            mine, trigger = parts[nth], triggers[nth]
            now = mine[-1][1]
            one = self._open.get(key)
            if one is not None and abs(now - one.began) > TIMEOUT:
                given.append(self._drop(key, trigger))
                one = None
            if one is None:
                link = bytes(view[mac : mac + 14]) if mac >= 0 else b""
                head = bytes(view[ip : min(start, end)])
                one = self._open[key] = _Datagram(now, vlan, tunnel, _outer(work, row), link, head)
            if at == 0 and one.head is None and start <= end:
                one.head = bytes(view[ip:start])
            data = bytes(view[start : min(stop, end)])
            length = max(stop - start, 0)
            length -= length % 8 if rest else 0  # all but the last are of whole eights
            one.cover(at, at + length, data[:length])
            if not rest:
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
        return given

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
