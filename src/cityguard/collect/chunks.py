"""The last step for every source: fields mapped, ids minted, places and flags filled in, items counted."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt
import polars as pl

from cityguard import columns, ids
from cityguard.collect import mapping
from cityguard.collect.collectors import Collector
from cityguard.model import Chunk, Decoded, EventBatch, Frames

AHEAD = timedelta(days=1)
"""A stamp further ahead of us than this is a wrong clock."""
OLDEST = datetime(1990, 1, 1, tzinfo=UTC)
"""An older one too."""


class Chunks:
    """Maps, names and counts what a decoder made; one per input."""

    def __init__(
        self,
        collector: Collector,
        source: str,
        path: str | None,
        key: str,
        now: datetime,
        dataset: str | None,
        segment: str | None = None,
    ) -> None:
        self._collector, self._source, self._path, self._key = collector, source, path, key
        self._now, self._dataset, self._segment = now, dataset, segment
        self._block = 0
        self._items = 0
        self._numbers: list[npt.NDArray[np.int64]] = [np.zeros(0, np.int64), np.zeros(0, np.int64)]

    def chunk(self, frames: Frames | None, decoded: Decoded) -> Chunk:
        """A chunk of the items in ``frames``; None = what the decoder still held at the end."""
        count = 0 if frames is None else len(frames)
        if frames is not None:
            self._items += count
            self._numbers = [self._numbers[1], frames.number]
        name = self._name(frames)
        place = self._path or self._source
        done = replace(
            decoded,
            batches=tuple(self._batches(frames, decoded.batches, name)),
            dead=tuple(replace(letter, source=place) for letter in decoded.dead),
        )
        self._block += 1
        return Chunk(self._source, name, self._collector.unit, count - decoded.ignored, done)

    def _name(self, frames: Frames | None) -> str:
        parts = [self._key, str(self._block)]
        if self._path is None and frames is not None and len(frames):
            parts = [self._key, str(int(frames.number[0])), str(int(frames.number[-1])), frames.peer or ""]
        return hashlib.blake2b("\x1f".join(parts).encode(), digest_size=16, person=b"cg-part").hexdigest()

    def _batches(self, frames: Frames | None, batches: Sequence[EventBatch], name: str) -> Iterator[EventBatch]:
        mapped = [part for batch in batches if batch.table.height for part in self._mapped(batch)]
        for index, (batch, nth) in enumerate(zip(mapped, _nth(mapped), strict=True)):
            table = columns.conform(batch.dataset, self._table(frames, batch, nth))
            part = f"{name}{index:04x}"
            yield EventBatch(batch.dataset, self._collector.name, table, self._segment, batch.logsource, part)

    def _mapped(self, batch: EventBatch) -> list[EventBatch]:
        spec = self._collector.fields
        if batch.dataset and not spec.rules and not spec.classes:
            return [replace(batch, logsource=batch.logsource or spec.logsource)]
        return mapping.apply(batch, spec, self._now, self._dataset)

    def _table(self, frames: Frames | None, batch: EventBatch, nth: npt.NDArray[np.int64]) -> pl.DataFrame:
        table, height = batch.table, batch.table.height
        place = table["log.offset"].cast(pl.Int64).to_numpy()
        known = table["@timestamp"] if "@timestamp" in table.columns else pl.Series([None] * height)
        stamp = known.cast(columns.DTYPES["time"])
        arrived = self._arrived(frames, place)
        millis = stamp.dt.epoch("ms").fill_null(0).to_numpy()
        key = ids.source_key(self._key, batch.dataset)
        late = stamp > pl.Series(arrived + int(AHEAD.total_seconds() * 1e6)).cast(columns.DTYPES["time"])
        ahead = late.fill_null(value=False)
        wrong = ahead | (stamp < OLDEST).fill_null(value=False)
        received = pl.Series(arrived).cast(columns.DTYPES["time"])
        # A clock ahead of ours would push the window of every correlation; the stamp itself stays in the raw event.
        time = stamp.zip_with(~ahead, received).fill_null(received)
        table = table.with_columns(
            time.alias("@timestamp"),
            ids.event_ids(key, np.maximum(millis, 0), place, nth).alias("event.id"),
            pl.lit(batch.dataset).alias("event.dataset"),
            received.alias("event.ingested"),
            pl.Series("event.sequence", self._sequence(place)),
            pl.lit(self._collector.name).alias("observer.name"),
            pl.lit(self._path, pl.String).alias("log.file.path"),
            _flags(table, {"clock_skew": wrong, "no_time": stamp.is_null()}),
        )
        peer = frames.peer if frames is not None else None
        return table.with_columns(pl.lit(peer).alias("observer.ip")) if peer else table

    def _arrived(self, frames: Frames | None, place: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """When each row's item came, µs: live records tell; a file is read now."""
        now = np.full(len(place), int(self._now.timestamp() * 1e6), np.int64)
        if self._path is not None or frames is None or not len(frames):
            return now
        found = np.clip(np.searchsorted(frames.number, place), 0, len(frames) - 1)
        told = frames.time[found] // 1000
        return np.where((told > 0) & (frames.number[found] == place), told, now)

    def _sequence(self, place: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Ordinal of each row's item in the input, from 0."""
        if self._path is None or self._collector.kind == "datagram":
            return place
        if self._collector.kind == "capture":
            return np.maximum(place - 1, 0)
        if self._collector.kind == "evtx":
            return place
        numbers = np.concatenate(self._numbers)
        return np.searchsorted(numbers, place) + self._items - len(numbers)


def _nth(batches: Sequence[EventBatch]) -> list[npt.NDArray[np.int64]]:
    """0, 1, 2 … among the rows of one dataset that share a place, over all tables of a chunk."""
    out: list[npt.NDArray[np.int64]] = [np.zeros(0, np.int64)] * len(batches)
    for dataset in {batch.dataset for batch in batches}:
        which = [index for index, batch in enumerate(batches) if batch.dataset == dataset]
        places = [batches[index].table["log.offset"].to_numpy() for index in which]
        numbered = np.split(_ranks(np.concatenate(places)), np.cumsum([len(place) for place in places])[:-1])
        for index, nth in zip(which, numbered, strict=True):
            out[index] = nth
    return out


def _ranks(place: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    order = np.argsort(place, kind="stable")
    arranged = place[order]
    starts = np.flatnonzero(np.concatenate(([True], arranged[1:] != arranged[:-1])))
    counts = np.diff(np.concatenate((starts, [len(place)])))
    nth = np.empty(len(place), np.int64)
    nth[order] = np.arange(len(place)) - np.repeat(starts, counts)
    return nth


def _flags(table: pl.DataFrame, masks: Mapping[str, pl.Series]) -> pl.Series:
    old = table["event.flags"] if "event.flags" in table.columns else pl.Series([None] * table.height)
    flags = old.cast(pl.List(pl.String))
    for name, mask in masks.items():
        if mask.any():
            more = pl.select(pl.concat_list(flags.fill_null([]), pl.lit(name))).to_series()
            flags = more.zip_with(mask, flags)
    return flags.alias("event.flags")
