"""Exported flows: NetFlow v1, v5, v7, v8, v9 (RFC 3954), IPFIX (RFC 7011), NetStream and sFlow v5 datagrams.

Templates belong to (exporter, version, domain, id). Data sets of one template are decoded together, over all datagrams
of a piece; sets that come before their template wait for it, bounded. A count in a header is never believed, and option
records never become flows. Options: ``community_id: false`` leaves that column out, which costs the most.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import polars as pl

from cityguard.decoders.address import Bools, Words
from cityguard.decoders.base import Decoder, Options
from cityguard.decoders.exports import fixed, groups, sampled, state, walk
from cityguard.decoders.exports.groups import Sets
from cityguard.decoders.exports.legacy import Legacy
from cityguard.decoders.exports.notes import Notes
from cityguard.decoders.exports.sequence import Sequences
from cityguard.decoders.exports.sflow import Sflow
from cityguard.decoders.exports.streams import Streams
from cityguard.errors import InputError
from cityguard.model import Decoded, EventBatch, Frames, LogSource

PORTS = (2055, 2056, 4739, 4740, 6343, 6344, 9025, 9555, 9020, 9991, 9993, 9995, 9996)
"""UDP ports exporters usually send to."""
MAX_WIDE = 64
"""Tables of different columns that are put together to one; more of them stay apart."""

_SOURCE = LogSource(("network",), (), ("connection",))
_SINCE, _UNTIL = 820_454_400, 4_102_444_800  # 1996, 2100
_LEGACY, _NINE, _TEN, _SFLOW = 1, 2, 3, 4


def decoder(options: Options) -> Decoder:
    """The decoder of one listener or file of datagrams.

    Raises:
        InputError: an option is not known.
    """
    given = set(options) - {"wanted", "community_id"}  # the columns wanted: all others are cheap
    if given:
        raise InputError(
            f"netflow takes no options {', '.join(sorted(given))}", remedy="the only one is community_id: true or false"
        )
    return Exports(community_id=bool(options.get("community_id", True)))


def is_export(raw: bytes) -> bool:
    """Whether a datagram bears every mark of NetFlow, IPFIX or sFlow: a sane time, and parts that end where it ends."""
    if raw[:4] == b"\0\0\0\x05":
        return _is_sflow(raw)
    version = int.from_bytes(raw[:2], "big")
    if version in fixed.HEADER:
        head = fixed.header(raw)
        if head is None or not head.count or not _SINCE < head.exported < _UNTIL:
            return False
        return len(raw) == fixed.HEADER[version] + head.count * head.template.size
    if len(raw) < 20 or version not in (9, 10):
        return False
    exported = int.from_bytes(raw[4:8] if version == 10 else raw[8:12], "big")
    if not _SINCE < exported < _UNTIL:
        return False
    place = 20 if version == 9 else 16
    while place + 4 <= len(raw):
        number, length = (
            int.from_bytes(raw[place : place + 2], "big"),
            int.from_bytes(raw[place + 2 : place + 4], "big"),
        )
        if length < 4 or (number < 256 and number not in ((0, 1) if version == 9 else (2, 3))):
            return False
        place += length
    return place == len(raw)


def headed(version: Words, second: Words) -> Bools:
    """Whether the first two words (int64[n], 16 bits) are a header's, for datagrams on the usual ports."""
    found: Bools = np.isin(version, (1, 5, 7, 8, 9, 10)) | ((version == 0) & (second == 5))
    return found


def likely(version: Words, second: Words, size: Words) -> Bools:
    """Which datagrams on other ports are worth asking ``is_export``, by their first two words and their size."""
    found: Bools = (version == 0) & (second == 5) & (size >= 28)
    for number, layout in ((1, fixed.V1), (5, fixed.V5), (7, fixed.V7)):
        found |= (version == number) & (second > 0) & (size == fixed.HEADER[number] + second * layout.size)
    found |= (version == 8) & (second > 0) & (size > fixed.HEADER[8])
    found |= (version == 9) & (second > 0) & (second < 1000) & (size > 24)
    found |= (version == 10) & (second == size)
    return found


def _is_sflow(raw: bytes) -> bool:
    place = {1: 12, 2: 24}.get(int.from_bytes(raw[4:8], "big"), 1 << 30) + 12
    count = int.from_bytes(raw[place : place + 4], "big")
    place += 4
    if not 0 < count < 1000:
        return False
    for _ in range(count):
        if (
            place + 8 > len(raw)
            or raw[place]
            or not 1 <= int.from_bytes(raw[place + 2 : place + 4], "big") & 0xFFF <= 5
        ):
            return False
        place += 8 + int.from_bytes(raw[place + 4 : place + 8], "big")
    return place == len(raw)


class Exports:
    """All exporters heard by one listener."""

    def __init__(self, *, community_id: bool = True) -> None:
        self._community_id = community_id
        self._notes, self._sequences = Notes(), Sequences()
        self._streams = Streams(self._sequences, self._notes)
        self._legacy = Legacy(self._sequences, self._notes)
        self._sflow = Sflow(self._sequences, self._notes)
        self._tables: list[pl.DataFrame] = []
        self._counters: list[pl.DataFrame] = []

    def decode(self, frames: Frames) -> Decoded:
        """Datagrams of ``frames.peer``."""
        return self.decode_from(frames, [frames.peer or ""] * len(frames))

    def decode_from(self, frames: Frames, peers: Sequence[str]) -> Decoded:
        """Datagrams of several exporters; ``peers`` names the sender of each."""
        if not len(frames):
            return self._give()
        kind, version = _kinds(frames)
        for row in np.flatnonzero(kind == 0).tolist():
            self._notes.reject(frames, row, "no header of NetFlow, IPFIX or sFlow")
        legacy = np.flatnonzero(kind == _LEGACY)
        self._add(self._legacy.decode(frames, legacy, _some(peers, legacy)))
        streamed = np.flatnonzero((kind == _NINE) | (kind == _TEN))
        if len(streamed):
            for several in self._streams.decode(frames, streamed, version[streamed], _some(peers, streamed)):
                self._add(several)
        sampled_ = np.flatnonzero(kind == _SFLOW)
        if len(sampled_):
            found = self._sflow.decode(frames, sampled_, _some(peers, sampled_))
            self._tables.append(sampled.flows(frames, found.samples))
            if found.counters:
                self._counters.append(sampled.counters(found.counters))
        return self._give()

    def flush(self) -> Decoded:
        """Give up the sets that still wait for their template."""
        while self._streams.pending.sets:
            self._streams.forget()
        return self._give()

    def snapshot(self) -> bytes:
        """Templates, rates and sets that wait, as JSON, bounded; sequence numbers are no part of it."""
        return state.dump(self._streams.templates, self._streams.sampling, self._streams.pending)

    def restore(self, state_: bytes) -> None:
        """Begin with what ``snapshot`` gave, in place of what was learnt so far.

        Raises:
            InputError: it is no such state; nothing has changed then.
        """
        try:
            templates, sampling, held = state.load(state_)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise InputError(
                f"not a state of the NetFlow decoder: {error}"[:200],
                remedy="start without it: exporters send their templates again within minutes",
            ) from None
        self._streams = Streams(self._sequences, self._notes)
        self._streams.templates, self._streams.sampling, self._streams.pending = templates, sampling, held

    def _add(self, several: Iterable[Sets]) -> None:
        told = self._streams.sampling, self._streams.facts
        for some in groups.gathered(several, self._streams.facts):
            self._tables.append(groups.table(some, *told, community_id=self._community_id))

    def _give(self) -> Decoded:
        tables, self._tables = [one for one in self._tables if one.height], []
        counters, self._counters = self._counters, []
        batches = [EventBatch("flow", "netflow", table, logsource=_SOURCE) for table in _together(tables)]
        batches += [EventBatch("host", "netflow", table) for table in _together(counters)]
        notes = self._notes
        out = Decoded(tuple(batches), tuple(notes.dead), notes.rejected, notes=notes.take())
        notes.dead, notes.rejected = [], 0
        return out


def _together(tables: list[pl.DataFrame]) -> list[pl.DataFrame]:
    """Tables of a piece as one, while that does not blow it up."""
    if len(tables) <= 1:
        return tables
    return [
        pl.concat(tables[at : at + MAX_WIDE], how="diagonal_relaxed", rechunk=False)
        for at in range(0, len(tables), MAX_WIDE)
    ]


def _some(peers: Sequence[str], rows: Words) -> Sequence[str]:
    return peers if len(rows) == len(peers) else [peers[row] for row in rows.tolist()]


def _kinds(frames: Frames) -> tuple[Words, Words]:
    """What each datagram is by its first bytes, 0 = nothing known, and its version."""
    size = frames.length
    at = np.where(size >= 4, frames.offset, 0)
    long = size >= 4
    if not long.any():
        return np.zeros(len(size), np.int64), np.zeros(len(size), np.int64)
    at = np.where(long, frames.offset, frames.offset[np.argmax(long)])
    version, second = walk.u16(frames.buffer, at), walk.u16(frames.buffer, at + 2)
    kind = np.zeros(len(size), np.int64)
    kind[long & np.isin(version, tuple(fixed.HEADER))] = _LEGACY
    kind[(version == 9) & (size >= 20)] = _NINE
    kind[(version == 10) & (size >= 16)] = _TEN
    kind[(version == 0) & (second == 5) & (size >= 28)] = _SFLOW
    return np.where(long, kind, 0), version
