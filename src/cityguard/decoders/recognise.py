"""Which protocol a conversation speaks: marks and ports choose whom to ask, the first bytes decide.

Only the first payloads of a conversation are looked at; the marks are compared as arrays, a protocol's own word
(``Protocol.starts``) is asked for those alone that one of them or the port points to. In a TCP connection of which no
payload's beginning told, frames of field protocols are looked for anywhere (``Protocol.within``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

import numpy as np

from cityguard.decoders.faults import FAULTS, Faults
from cityguard.decoders.packet import Bools, Packets, U8s, U64s, Window, Words
from cityguard.decoders.protocol import Mark, Protocol
from cityguard.decoders.stream import FULL, distance

LOOK = 4
"""Payloads of each direction that are looked at."""
WINDOW = 16
"""Payloads of both directions after which a conversation is given up."""
HEAD = 512
"""Bytes of a payload shown to ``starts``."""
JOINED = 8_192
"""Bytes of one side of a connection, put together, in which ``within`` looks for a frame."""
_SYN, _ACK = 0x02, 0x10
_EVENTS = 0x07  # FIN, SYN, RST
_EIGHT = np.dtype([("head", ">u8")])
_ALL = 0xFFFFFFFFFFFFFFFF
_KEEP: U64s = np.array([(_ALL << (64 - 8 * room)) & _ALL for room in range(9)], np.uint64)


@dataclass(frozen=True, slots=True)
class Seen:
    """What was found in a piece, one entry per packet."""

    kinds: Words
    """What the packet's conversation was recognised as in this piece, 0 = not in this one."""
    tells: Bools
    """It is the packet that told."""
    vain: Bools
    """Its conversation was given up in this piece."""
    waits: Bools
    """Its conversation may be recognised yet, when more of it comes."""


class Recogniser:
    """Knows all protocols; answers with their place in the list + 1, 0 = none."""

    def __init__(self, protocols: tuple[Protocol, ...]) -> None:
        self._protocols = protocols
        self._ports = {True: _ports([one.tcp for one in protocols]), False: _ports([one.udp for one in protocols])}
        self._over = {way: np.array([one.over(tcp=way) for one in protocols], np.bool_) for way in (True, False)}
        marks = [(index, mark) for index, one in enumerate(protocols) for mark in one.marks]
        self._short = _table([(index, mark) for index, mark in marks if mark.offset + len(mark.value) <= 8])
        self._long = [(index, mark) for index, mark in marks if mark.offset + len(mark.value) > 8]
        self._within = [(index, one.needles, one.within) for index, one in enumerate(protocols) if one.within]

    def look(
        self,
        buffer: U8s,
        packets: Packets,
        hashes: U64s,
        forward: Bools,
        known: Words,
        *,
        tcp: bool,
        faults: Faults | None = None,
    ) -> Seen:
        """Recognise conversations.

        Args:
            buffer: where the payloads are.
            packets: packets of one transport, in order.
            hashes: digest of each packet's key.
            forward: bool[n], its direction.
            known: int64[n], what its conversation is known as; those are not looked at, until a SYN opens them anew.
            tcp: whether these are TCP segments.
            faults: counts what a protocol's own word raises, which is taken for a no.
        """
        kinds = np.zeros(len(packets), np.int64)
        tells, vain, waits = (np.zeros(len(packets), np.bool_) for _ in range(3))
        opens = _openings(packets, hashes, forward) if tcp else np.zeros(len(packets), np.bool_)
        fresh = known == 0
        if opens.any():
            fresh |= np.isin(hashes, hashes[opens])
        rows = np.flatnonzero(fresh)
        if not len(rows):
            return Seen(kinds, tells, vain, waits)
        group, epoch, last = _conversations(hashes[rows], opens[rows])
        mine = (epoch > 0) | (known[rows] == 0)
        rows, group, last = rows[mine], group[mine], last[mine]
        told, places, count = self._decide(buffer, packets.take(rows), group, forward[rows], tcp, faults or Faults())
        kinds[rows] = told[group]
        tells[rows[places]] = True
        open_yet = last & (told[group] == 0)
        vain[rows] = open_yet & (count[group] >= WINDOW)
        telling = (packets.captured[rows] > 0) | ((packets.flags[rows] & _EVENTS) > 0 if tcp else False)
        waits[rows] = open_yet & (count[group] < WINDOW) & telling
        return Seen(kinds, tells, vain, waits)

    def _decide(
        self, buffer: U8s, packets: Packets, group: Words, forward: Bools, tcp: bool, faults: Faults
    ) -> tuple[Words, list[int], Words]:
        """Per conversation: its kind, and how many payloads it had; between them the places of those that told."""
        size = int(group.max()) + 1 if len(group) else 0
        told = np.zeros(size, np.int64)
        data = np.flatnonzero(packets.captured > 0)
        whole = _rank(group[data])
        side = _rank(group[data] * 2 + forward[data])
        rows = data[(whole < WINDOW) & (side < LOOK)]
        view = buffer.data
        shown = packets.take(rows)
        starts, ends = shown.payload.tolist(), (shown.payload + np.minimum(shown.captured, HEAD)).tolist()
        sources, destinations = shown.source_port.tolist(), shown.destination_port.tolist()
        groups = group[rows].tolist()
        decided: dict[int, int] = {}
        for at, index in self._asked(buffer, shown, tcp=tcp):
            if groups[at] in decided:
                continue
            one = self._protocols[index]
            usual = one.tcp if tcp else one.udp
            try:
                if one.starts(bytes(view[starts[at] : ends[at]]), sources[at] in usual or destinations[at] in usual):
                    told[groups[at]] = index + 1
                    decided[groups[at]] = int(rows[at])
            except FAULTS as error:
                faults.add(index + 1, error)
        if tcp and self._within:
            rest = data[(whole < WINDOW) & (told[group[data]] == 0)]
            for mine, index, place in self._found(buffer, packets.take(rest), group[rest], forward[rest], faults):
                if mine not in decided:
                    told[mine] = index + 1
                    decided[mine] = int(rest[place])
        return told, list(decided.values()), np.bincount(group[data], minlength=size)

    def _found(
        self, buffer: U8s, packets: Packets, group: Words, forward: Bools, faults: Faults
    ) -> Iterator[tuple[int, int, int]]:
        """Frames anywhere in what a side has said: its conversation, the protocol, the place of its first packet."""
        order = np.argsort(group * 2 + forward, kind="stable")
        sides = (group * 2 + forward)[order].tolist()
        columns = (packets.seq[order], packets.payload[order], packets.captured[order])
        parts = zip(sides, order.tolist(), *(column.tolist() for column in columns), strict=True)
        view = buffer.data
        for side, several in groupby(parts, key=itemgetter(0)):
            said = list(several)
            text = _joined(view, [(seq, start, size) for _, _, seq, start, size in said])
            for index, needles, within in self._within:
                try:
                    if any(needle in text for needle in needles) and within(text):
                        yield side // 2, index, said[0][1]
                        break
                except FAULTS as error:
                    faults.add(index + 1, error)

    def _asked(self, buffer: U8s, packets: Packets, *, tcp: bool) -> list[tuple[int, int]]:
        """Which payload is shown to which protocol: pairs of their places, marks before ports, in order."""
        n = len(packets)
        if not n:
            return []
        read = Window(buffer)
        head = _head(read, packets)
        at, who = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        for bits, values, least, indices in self._short:
            masked = head & bits
            place = np.minimum(np.searchsorted(values, masked), len(values) - 1)
            hits = np.flatnonzero((values[place] == masked) & (packets.captured >= least))
            for one in range(indices.shape[1] if len(hits) else 0):
                index = indices[place[hits], one]
                at.append(hits[index >= 0])
                who.append(index[index >= 0])
        for number, mark in self._long:
            hits = np.flatnonzero(_fits(mark, read, packets))
            at.append(hits)
            who.append(np.full(len(hits), number))
        table = self._ports[tcp]
        used = np.fromiter(table, np.int64, len(table))
        for ports in (packets.source_port, packets.destination_port):
            for port in np.intersect1d(ports, used).tolist():
                hits = np.flatnonzero(ports == port)
                for number in table[port]:
                    at.append(hits)
                    who.append(np.full(len(hits), number + len(self._protocols)))
        row, rank = np.concatenate(at), np.concatenate(who)
        mine = self._over[tcp][rank % len(self._protocols)]
        row, rank = row[mine], rank[mine]
        order = np.lexsort((rank, row))
        pairs = zip(row[order].tolist(), (rank[order] % len(self._protocols)).tolist(), strict=True)
        return list(dict.fromkeys(pairs))


def _joined(view: memoryview, segments: list[tuple[int, int, int]]) -> bytes:
    """Payloads of one side in order of their sequence numbers, every byte once; holes are closed."""
    if len(segments) == 1:
        _, start, size = segments[0]
        return bytes(view[start : start + min(size, JOINED)])
    base = segments[0][0]
    text, reached = bytearray(), None
    for seq, start, size in sorted(segments, key=lambda one: distance(one[0], base)):
        late = 0 if reached is None else max(-distance(seq, reached), 0)
        if late < size:
            text += view[start + late : start + size]
            reached = (seq + size) % FULL
        if len(text) >= JOINED:
            break
    return bytes(text[:JOINED])


def _ports(given: list[tuple[int, ...]]) -> dict[int, list[int]]:
    table: dict[int, list[int]] = {}
    for index, ports in enumerate(given):
        for port in ports:
            table.setdefault(port, []).append(index)
    return table


def _table(marks: list[tuple[int, Mark]]) -> list[tuple[np.uint64, U64s, int, Words]]:
    """Marks in the first eight bytes, those of one mask together: mask, sorted values, bytes, protocols (-1 = no)."""
    groups: dict[tuple[int, int], dict[int, list[int]]] = {}
    for index, mark in marks:
        size = len(mark.value)
        shift = (8 - mark.offset - size) * 8
        mask = mark.mask or b"\xff" * size
        value = bytes(a & b for a, b in zip(mark.value, mask, strict=True))
        key = (int.from_bytes(mask, "big") << shift, mark.offset + size)
        groups.setdefault(key, {}).setdefault(int.from_bytes(value, "big") << shift, []).append(index)
    tables = []
    for (bits, least), values in groups.items():
        ordered = sorted(values)
        wide = max(map(len, values.values()))
        indices = np.array([values[one] + [-1] * (wide - len(values[one])) for one in ordered], np.int64)
        tables.append((np.uint64(bits), np.array(ordered, np.uint64), least, indices))
    return tables


def _openings(packets: Packets, hashes: U64s, forward: Bools) -> Bools:
    """SYNs that open a connection; the same one sent again does not."""
    opens: Bools = ((packets.flags & _SYN) > 0) & (packets.flags & _ACK == 0)
    rows = np.flatnonzero(opens)
    order = rows[np.lexsort((rows, hashes[rows]))]
    again = np.zeros(len(order), np.bool_)
    same = (hashes[order][1:] == hashes[order][:-1]) & (packets.seq[order][1:] == packets.seq[order][:-1])
    again[1:] = same & (forward[order][1:] == forward[order][:-1])
    opens[order[again]] = False
    return opens


def _conversations(hashes: U64s, opens: Bools) -> tuple[Words, Words, Bools]:
    """Of each packet: its conversation (numbered), how many openings came before it, whether none comes after."""
    n = len(hashes)
    order = np.argsort(hashes, kind="stable")
    begin = np.concatenate([[True], hashes[order][1:] != hashes[order][:-1]])
    opened = opens[order]
    total = np.cumsum(opened)
    base = np.maximum.accumulate(np.where(begin, total - opened, 0))
    starts = begin | opened
    numbers = np.cumsum(starts) - 1
    newest = np.append(begin[1:], True)
    final = np.zeros(int(numbers[-1]) + 1, np.bool_)
    final[numbers[newest]] = True
    group, epoch = np.empty(n, np.int64), np.empty(n, np.int64)
    group[order], epoch[order] = numbers, total - base
    return group, epoch, final[group]


def _rank(keys: Words) -> Words:
    """How many of the same come before each."""
    if not len(keys):
        return np.zeros(0, np.int64)
    order = np.argsort(keys, kind="stable")
    begin = np.concatenate([[True], keys[order][1:] != keys[order][:-1]])
    place = np.arange(len(order))
    rank = np.empty(len(order), np.int64)
    rank[order] = place - np.maximum.accumulate(np.where(begin, place, 0))
    return rank


def _head(read: Window, packets: Packets) -> U64s:
    """The first eight bytes of each payload as a big-endian number; bytes that are not there are 0."""
    at, room = packets.payload, np.minimum(packets.captured, 8)
    head = read.rows(at, _EIGHT)["head"].astype(np.uint64)
    # a payload that ends with the buffer was read from further back
    late = np.clip(at + 8 - read.size, 0, 8) * 8
    return (head << late.astype(np.uint64)) & _KEEP[room]


def _fits(mark: Mark, read: Window, packets: Packets) -> Bools:
    mask = mark.mask or b"\xff" * len(mark.value)
    fits: Bools = packets.captured >= mark.offset + len(mark.value)
    for place, (value, keep) in enumerate(zip(mark.value, mask, strict=True)):
        fits &= (read.u8(packets.payload + mark.offset + place) & keep) == value & keep
    return fits


def fitting(marks: tuple[Mark, ...], buffer: U8s, packets: Packets) -> Bools:
    """bool[n]: whether one of the marks fits the payload."""
    read = Window(buffer)
    found = np.zeros(len(packets), np.bool_)
    for mark in marks:
        found |= _fits(mark, read, packets)
    return found
