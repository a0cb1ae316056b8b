"""Which protocol a conversation speaks: marks and ports choose whom to ask, the first bytes decide.

Only the first payloads of a conversation are looked at; the marks are compared as arrays, a protocol's own word
(``Protocol.starts``) is asked for those alone that one of them or the port points to.
"""

from __future__ import annotations

import numpy as np

from cityguard.decoders.packet import Bools, Packets, U8s, U64s, Window, Words
from cityguard.decoders.protocol import Mark, Protocol

LOOK = 4
"""Payloads of each direction that are looked at, per piece and connection."""
HEAD = 512
"""Bytes of a payload shown to ``starts``."""
_SYN = 2
_EIGHT = np.dtype([("head", ">u8")])
_KEEP: U64s = np.array([(0xFFFFFFFFFFFFFFFF << (64 - 8 * room)) & 0xFFFFFFFFFFFFFFFF for room in range(9)], np.uint64)


class Recogniser:
    """Knows all protocols; answers with their place in the list + 1, 0 = none."""

    def __init__(self, protocols: tuple[Protocol, ...]) -> None:
        self._protocols = protocols
        self._marks = [(index, mark) for index, one in enumerate(protocols) for mark in one.marks]
        self._ports = {True: _ports([one.tcp for one in protocols]), False: _ports([one.udp for one in protocols])}

    def kinds(self, buffer: U8s, packets: Packets, hashes: U64s, forward: Bools, *, tcp: bool) -> Words:
        """int64[n]: at the payload that tells what a conversation speaks, which protocol.

        Args:
            buffer: where the payloads are.
            packets: packets of one transport, in order.
            hashes: digest of each packet's key.
            forward: bool[n], its direction.
            tcp: whether these are TCP segments.
        """
        kinds = np.zeros(len(packets), np.int64)
        rows, groups = _first(packets, hashes, forward, tcp=tcp)
        decided: set[int] = set()
        view = buffer.data
        for at, index in self._asked(buffer, packets.take(rows), tcp=tcp):
            group = int(groups[at])
            if group in decided:
                continue
            row = rows[at]
            start = int(packets.payload[row])
            data = bytes(view[start : start + min(int(packets.captured[row]), HEAD)])
            one = self._protocols[index]
            usual = one.tcp if tcp else one.udp
            if one.starts(data, packets.source_port[row] in usual or packets.destination_port[row] in usual):
                kinds[row] = index + 1
                decided.add(group)
        return kinds

    def _asked(self, buffer: U8s, packets: Packets, *, tcp: bool) -> list[tuple[int, int]]:
        """Which payload is shown to which protocol: pairs of their places, marks before ports, in order."""
        n = len(packets)
        if not n:
            return []
        read = Window(buffer)
        head = _head(read, packets)
        wanted = np.zeros(n * 0, np.int64)
        at, who = [wanted], [wanted]
        for index, mark in self._marks:
            hit = np.flatnonzero(_fits(mark, head, read, packets))
            at.append(hit)
            who.append(np.full(len(hit), index))
        table = self._ports[tcp]
        for ports in (packets.source_port, packets.destination_port):
            for port in np.intersect1d(ports, np.fromiter(table, np.int64, len(table))).tolist():
                hit = np.flatnonzero(ports == port)
                for index in table[port]:
                    at.append(hit)
                    who.append(np.full(len(hit), index + len(self._protocols)))
        row, rank = np.concatenate(at), np.concatenate(who)
        order = np.lexsort((rank, row))
        pairs = zip(row[order].tolist(), (rank[order] % len(self._protocols)).tolist(), strict=True)
        return list(dict.fromkeys(pairs))


def _ports(given: list[tuple[int, ...]]) -> dict[int, list[int]]:
    table: dict[int, list[int]] = {}
    for index, ports in enumerate(given):
        for port in ports:
            table.setdefault(port, []).append(index)
    return table


def _first(packets: Packets, hashes: U64s, forward: Bools, *, tcp: bool) -> tuple[Words, U64s]:
    """The first payloads of each direction, and the conversation each belongs to (a SYN begins a new one)."""
    group = hashes
    if tcp:
        opens = ((packets.flags & _SYN) > 0) & (packets.flags & 0x10 == 0)
        if opens.any():
            order = np.argsort(hashes, kind="stable")
            opened = np.cumsum(opens[order])
            begin = np.concatenate([[True], hashes[order][1:] != hashes[order][:-1]])
            base = np.maximum.accumulate(np.where(begin, opened - opens[order], 0))
            nth = np.empty(len(order), np.int64)
            nth[order] = opened - base
            group = hashes + nth.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    data = np.flatnonzero(packets.captured > 0)
    side = group[data] * np.uint64(2) + forward[data].astype(np.uint64)
    order = np.argsort(side, kind="stable")
    ordered = side[order]
    begin = np.concatenate([[True], ordered[1:] != ordered[:-1]]) if len(order) else np.zeros(0, np.bool_)
    place = np.arange(len(order))
    rank = np.empty(len(order), np.int64)
    rank[order] = place - np.maximum.accumulate(np.where(begin, place, 0)) if len(order) else 0
    rows = data[rank < LOOK]
    return rows, group[rows]


def _head(read: Window, packets: Packets) -> U64s:
    """The first eight bytes of each payload as a big-endian number; bytes that are not there are 0."""
    at, room = packets.payload, np.minimum(packets.captured, 8)
    head = read.rows(at, _EIGHT)["head"].astype(np.uint64)
    # a payload that ends with the buffer was read from further back
    late = np.clip(at + 8 - read.size, 0, 8) * 8
    return (head << late.astype(np.uint64)) & _KEEP[room]


def _fits(mark: Mark, head: U64s, read: Window, packets: Packets) -> Bools:
    size = len(mark.value)
    mask = mark.mask or b"\xff" * size
    long_enough = packets.captured >= mark.offset + size
    if mark.offset + size <= 8:
        shift = (8 - mark.offset - size) * 8
        bits = np.uint64(int.from_bytes(mask, "big") << shift)
        wanted = np.uint64(int.from_bytes(bytes(a & b for a, b in zip(mark.value, mask, strict=True)), "big") << shift)
        fits: Bools = long_enough & ((head & bits) == wanted)
        return fits
    fits = long_enough.copy()
    for place, (value, keep) in enumerate(zip(mark.value, mask, strict=True)):
        fits &= (read.u8(packets.payload + mark.offset + place) & keep) == value & keep
    return fits
