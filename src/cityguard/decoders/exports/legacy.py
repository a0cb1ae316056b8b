"""Datagrams of fixed format: NetFlow v1, v5, v7 and v8, and NetStream that looks like them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from cityguard.decoders.address import Words
from cityguard.decoders.exports import fixed
from cityguard.decoders.exports.fixed import HEADER, Header
from cityguard.decoders.exports.groups import Datagrams, Sets
from cityguard.decoders.exports.notes import Notes
from cityguard.decoders.exports.sequence import Sequences, Stream
from cityguard.decoders.exports.template import Template
from cityguard.model import Frames

MAX_HEADER = 28


class Legacy:
    """Reads them; knows nothing but the sequence numbers."""

    def __init__(self, sequences: Sequences, notes: Notes) -> None:
        self._sequences, self._notes = sequences, notes

    def decode(self, frames: Frames, which: Words, peers: Sequence[str]) -> Iterator[Sets]:
        """Records of the datagrams ``which``; a count in a header is never believed further than the bytes go."""
        view, heads, kept, many = frames.buffer.data, list[Header](), list[int](), list[int]()
        starts, sizes = frames.offset[which].tolist(), frames.length[which].tolist()
        for nth, (row, start, size) in enumerate(zip(which.tolist(), starts, sizes, strict=True)):
            head = fixed.header(bytes(view[start : start + min(size, MAX_HEADER)]))
            if head is None:
                self._notes.reject(frames, row, "no header of a known kind")
                continue
            room = (size - HEADER[head.template.version]) // head.template.size
            if head.count > room:
                self._notes.add("header counts more records than the datagram holds")
            if min(head.count, room) < 1:
                self._notes.reject(frames, row, f"v{head.template.version} datagram without records")
                continue
            heads.append(head)
            kept.append(nth)
            many.append(min(head.count, room))
        if heads:
            yield from self._sets(frames, which[kept], [peers[nth] for nth in kept], heads, many)

    def _sets(
        self, frames: Frames, rows: Words, peers: list[str], heads: list[Header], many: list[int]
    ) -> Iterator[Sets]:
        exported = np.array(
            [one.exported * 1_000_000_000 + min(one.nanoseconds, 999_999_999) for one in heads], np.int64
        )
        uptime = np.array([one.uptime for one in heads], np.int64)
        shared = Datagrams(
            frames.number[rows],
            frames.time[rows],
            exported,
            np.maximum(exported // 1_000_000 - uptime, 0),
            np.array([one.sampling for one in heads], np.int64),
            self._flags(peers, heads, many),
            peers,
        )
        groups: defaultdict[Template, list[int]] = defaultdict(list)
        for nth, head in enumerate(heads):
            groups[head.template].append(nth)
        for template, mine in groups.items():
            owner = np.array(mine, np.int64)
            at = frames.offset[rows[owner]] + HEADER[template.version]
            yield Sets(template, frames.buffer, at, np.array(many, np.int64)[owner] * template.size, owner, shared)

    def _flags(self, peers: list[str], heads: list[Header], many: list[int]) -> Words:
        flags = np.zeros(len(heads), np.int64)
        streams: defaultdict[Stream, list[int]] = defaultdict(list)
        for nth, (peer, head) in enumerate(zip(peers, heads, strict=True)):
            if head.template.version != 1:  # v1 numbers nothing
                streams[peer, head.template.version, head.domain].append(nth)
        for stream, mine in streams.items():
            self._notes.follow(
                self._sequences, stream, mine, [heads[nth].sequence for nth in mine], [many[nth] for nth in mine], flags
            )
        return flags
