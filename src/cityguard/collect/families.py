"""Lines of many kinds of device in one stream: each goes to the collector that knows it, others stay."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import polars as pl

from cityguard.collect import boundary, peers
from cityguard.collect.chunks import Chunks
from cityguard.collect.collectors import Collector
from cityguard.collect.literals import Words
from cityguard.collect.marks import Marks
from cityguard.decoders.base import Decoder
from cityguard.decoders.table import merge
from cityguard.decoders.text import text
from cityguard.model import Chunk, Decoded, EventBatch, Frames

Places = npt.NDArray[np.int64]

_HEADED = ("table",)
"""Decoders that read a line by a header line before it: such lines make sense in a file of their own only."""


class Families:
    """Which collector a line belongs to, from the line itself; keeps nothing between calls."""

    def __init__(self, collectors: Iterable[Collector], rest: Collector) -> None:
        """``rest`` has the lines that none of the more particular collectors knows."""
        floor = rest.detect.priority if rest.detect else 0
        known = [
            one
            for one in collectors
            if one.kind == "lines" and one.detect and one.detect.priority > floor and one.module not in _HEADED
        ]
        # As when a file is recognised: the higher priority, then the later name.
        known.sort(key=lambda one: one.name, reverse=True)
        known.sort(key=lambda one: -one.detect.priority if one.detect else 0)
        self.known = (rest, *known)
        self._marks = Marks(self.known)
        self._keys = [
            (at, one.detect.keys) for at, one in enumerate(self.known) if at and one.detect and one.detect.keys
        ]
        self._words = Words({_name(key) for _, keys in self._keys for wanted in keys for key in wanted})

    def of(self, lines: pl.Series) -> Places:
        """Index into ``known`` of each line, int64[n]."""
        out = np.zeros(len(lines), np.int64)
        plain = lines.str.contains(r"^\s*(?:\{|\[\s*[{\]])").fill_null(value=False)
        out[(~plain).to_numpy()] = self._marks.text(lines.filter(~plain))
        out[plain.to_numpy()] = self._json(lines.filter(plain))
        return out

    def _json(self, lines: pl.Series) -> Places:
        """Lines of JSON by their keys: a line is a collector's if it holds every key of one of its lists."""
        out = np.zeros(len(lines), np.int64)
        if not len(lines):
            return out
        named = self._words.of(lines)
        for at, keys in self._keys:
            for wanted in keys:
                columns = [self._words.column[_name(key)] for key in wanted]
                rows = np.flatnonzero(named[columns].all(0) & (out == 0))
                for key in wanted if len(rows) else ():
                    found = lines.gather(pl.Series(rows)).str.contains(rf"{re.escape(_name(key))}\s*:")
                    rows = rows[found.to_numpy()]
                out[rows] = at
        return out


class Mixed:
    """Collectors at work on lines of many kinds; keeps a decoder for each kind it meets."""

    def __init__(self, families: Families, *, file: bool) -> None:
        self._families, self._file = families, file
        self._decoders: dict[str, Decoder] = {}
        self._finish: dict[str, Chunks] = {}
        self._items = 0
        self._numbers: list[Places] = [np.zeros(0, np.int64), np.zeros(0, np.int64)]

    def chunk(self, frames: Frames, make: Callable[[Collector], Chunks], senders: pl.Series | None = None) -> Chunk:
        """The lines of a piece, each decoded and mapped by its own collector.

        Args:
            frames: lines.
            make: gives the last step for a collector; in a file it is asked once for each.
            senders: who sent each line; None = ``frames.peer`` did.
        """
        which = self._families.of(text(frames).values)
        self._items += len(frames)
        self._numbers = [self._numbers[1], frames.number]
        parts = []
        for at in np.unique(which):
            one = self._families.known[at]
            rows = np.flatnonzero(which == at)
            own = frames if len(rows) == len(which) else frames.take(rows)
            who = None if senders is None else senders.gather(pl.Series(rows))
            decoder = self._decoders.get(one.name) or peers.decoder(one)
            self._decoders[one.name] = decoder
            for some, sent in peers.pieces(decoder, own, who):
                decoded = boundary.decode(decoder, some, divide=True)
                parts.append(self._finisher(one, make).chunk(some, decoded, senders=sent))
        return self._joined(parts)

    def decoders(self) -> list[tuple[Collector, Decoder]]:
        """The collectors at work, and what each keeps."""
        return [(one, self._decoders[one.name]) for one in self._families.known if one.name in self._decoders]

    def last(self, make: Callable[[Collector], Chunks], notes: tuple[str, ...]) -> Chunk | None:
        """What the decoders still hold at the end of a file; None = nothing."""
        parts = []
        for one in self._families.known:
            decoder = self._decoders.get(one.name)
            held = boundary.flush(decoder) if decoder else Decoded()
            told = replace(held, notes=(*held.notes, *notes)) if one is self._families.known[0] else held
            if told.batches or told.dead or told.notes:
                parts.append(self._finisher(one, make).chunk(None, told))
        return self._joined(parts) if parts else None

    def _finisher(self, one: Collector, make: Callable[[Collector], Chunks]) -> Chunks:
        # Of a live source, each piece is finished at its own time; of a file, pieces are counted.
        return self._finish.setdefault(one.name, make(one)) if self._file else make(one)

    def _joined(self, parts: list[Chunk]) -> Chunk:
        if len(parts) == 1 and not self._file:
            return parts[0]
        decoded = merge([one.decoded for one in parts])
        batches = tuple(map(self._placed, decoded.batches)) if self._file else decoded.batches
        name = parts[0].part if parts else ""
        received = sum(one.received for one in parts)
        source = parts[0].source if parts else ""
        return Chunk(source, name, "line", received, replace(decoded, batches=batches))

    def _placed(self, batch: EventBatch) -> EventBatch:
        """The ordinal of each row's line among all lines, not among those of its collector."""
        numbers = np.concatenate(self._numbers)
        place = batch.table["log.offset"].cast(pl.Int64).to_numpy()
        nth = np.searchsorted(numbers, place) + self._items - len(numbers)
        return replace(batch, table=batch.table.with_columns(pl.Series("event.sequence", nth)))


def _name(key: str) -> str:
    return f'"{key}"'
