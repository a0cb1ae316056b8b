"""The last step for every source: fields mapped, ids minted, places and flags filled in, items counted."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt
import polars as pl

from cityguard import columns, ids
from cityguard.collect import boundary, carry, mapping
from cityguard.collect.collectors import Collector
from cityguard.collect.narrow import Narrow
from cityguard.decoders.text import DEAD_BYTES, MAX_DEAD
from cityguard.model import Chunk, DeadLetter, Decoded, EventBatch, Frames

AHEAD = timedelta(days=1)
"""A stamp further ahead of us than this is a wrong clock."""
OLDEST = datetime(1990, 1, 1, tzinfo=UTC)
"""An older one too."""
_SIDES = ("asset", "system", "department", "segment", "zone", "grade", "is_registered")
RESERVED = (
    *("event.id", "event.sequence", "event.ingested", "log.file.path", "observer.name", "observer.ip"),
    *("calendar.workday", "calendar.hour"),
    *(f"{side}.{name}" for side in ("source", "destination") for name in _SIDES),
)
"""Names no sender may set; a decoder of text answers for place, original, flags and fields (``json.placed``)."""
_RESERVED = frozenset(RESERVED)
Places = npt.NDArray[np.int64]


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
        written: datetime | None = None,
        narrow: Narrow | None = None,
        items: int = 0,
    ) -> None:
        """``now`` is when the input came, ``written`` when it was last written: no stamp in it is of a later year.

        ``narrow`` leaves out what nobody will look at; ``items`` are those of the input that stand before the first.
        """
        self._narrow = narrow
        self._written = min(written or now, now)
        self._collector, self._source, self._path, self._key = collector, source, path, key
        self._now, self._dataset, self._segment = now, dataset, segment
        self._block = 0
        self._peer: str | None = None
        self._senders: pl.Series | None = None
        self._items = items
        # a decoder holds lines back for so many pieces
        self._numbers = deque[Places](maxlen=2 if narrow is None else carry.PIECES + 1)
        self._known = np.zeros(0, np.int64)

    def chunk(
        self, frames: Frames | None, decoded: Decoded, peer: str | None = None, senders: pl.Series | None = None
    ) -> Chunk:
        """A chunk of the items in ``frames``; None = what the decoder still held at the end, of ``peer``.

        Where several sent the items, ``senders`` names who sent each (of a decoder that holds none back).
        """
        self._peer = peer if frames is None else frames.peer
        self._senders = senders
        count = 0 if frames is None else len(frames)
        self._lost = list[tuple[int, str, str]]()
        if frames is not None:
            self._items += count
            self._numbers.append(frames.number)
            self._known = np.concatenate(self._numbers)
        name = self._name(frames, decoded)
        place = self._path or self._source
        batches = tuple(self._batches(frames, decoded.batches, name))
        rejected, letters = self._losses(frames, batches)
        done = replace(
            decoded,
            batches=batches,
            dead=tuple(replace(letter, source=place) for letter in (*decoded.dead, *letters)[:MAX_DEAD]),
            rejected=decoded.rejected + rejected,
        )
        self._block += 1
        return Chunk(self._source, name, self._collector.unit, count - decoded.ignored, done)

    def _name(self, frames: Frames | None, decoded: Decoded) -> str:
        parts = [self._key, self._collector.name, str(self._block)]
        if self._path is None and frames is None:
            places = [place for batch in decoded.batches for place in batch.table["log.offset"].to_list()]
            places += [letter.place for letter in decoded.dead]
            parts += ["held", str(min(places, default=0)), str(max(places, default=0)), self._peer or ""]
        if self._path is None and frames is not None and len(frames):
            parts = [
                self._key,
                self._collector.name,
                str(int(frames.number[0])),
                str(int(frames.number[-1])),
                frames.peer or "",
            ]
        return hashlib.blake2b("\x1f".join(parts).encode(), digest_size=16, person=b"cg-part").hexdigest()

    def _batches(self, frames: Frames | None, batches: Sequence[EventBatch], name: str) -> Iterator[EventBatch]:
        given = [batch for batch in batches if batch.table.height]
        whole = [np.zeros(len(batch), np.int64) for batch in given]
        mapped = [
            part for batch, none in zip(given, whole, strict=True) for part in self._each(batch, none, self._mapped)
        ]

        def finished(batch: EventBatch, nth: Places) -> list[EventBatch]:
            table = mapping.fitted(self._table(frames, batch, nth), batch.dataset, self._written)
            return [replace(batch, collector=self._collector.name, table=table, segment=self._segment)]

        # ids, which tell rows of one place apart, are for rows that are kept
        numbered = [np.zeros(len(batch), np.int64) for batch in mapped] if self._narrow is not None else _nth(mapped)
        made = [part for batch, nth in zip(mapped, numbered, strict=True) for part in self._each(batch, nth, finished)]
        for index, batch in enumerate(made):
            yield replace(batch, part=f"{name}{index:04x}")

    def _each(
        self, batch: EventBatch, nth: Places, work: Callable[[EventBatch, Places], list[EventBatch]]
    ) -> list[EventBatch]:
        """Work on a batch; rows it fails on, however many, are lost alone."""
        waiting, done, failed = [slice(0, len(batch))], list[EventBatch](), False
        while waiting:
            rows = waiting.pop()
            piece = replace(batch, table=batch.table[rows]) if failed else batch
            try:
                done.extend(work(piece, nth[rows]))
            except boundary.FAULTS as error:
                failed = True
                if len(piece) <= 1:
                    self._lose(piece.table, boundary.reason(error))
                    continue
                waiting += reversed(boundary.parts(rows))
        return list(boundary.gathered(done)) if failed else done

    def _lose(self, table: pl.DataFrame, why: str) -> None:
        places = table["log.offset"].cast(pl.Int64, strict=False).fill_null(0).to_list()
        lines = table["event.original"].to_list() if "event.original" in table.columns else [None] * len(places)
        self._lost.extend((place, str(line or ""), why) for place, line in zip(places, lines, strict=True))

    def _losses(self, frames: Frames | None, batches: Sequence[EventBatch]) -> tuple[int, list[DeadLetter]]:
        """Items of this piece of which nothing is left, and samples of what was lost."""
        if not self._lost:
            return 0, []
        at = {} if frames is None else {int(number): index for index, number in enumerate(frames.number)}
        kept = {int(place) for batch in batches for place in batch.table["log.offset"].unique()}
        letters = [
            DeadLetter("", place, why, line.encode()[:DEAD_BYTES] or _bytes(frames, at.get(place)))
            for place, line, why in self._lost[:MAX_DEAD]
        ]
        return len({place for place, _, _ in self._lost if place in at and place not in kept}), letters

    def _mapped(self, batch: EventBatch, _: Places) -> list[EventBatch]:
        spec = self._collector.fields
        if not batch.collector:  # a decoder of packets names its columns itself
            taken = _RESERVED.intersection(batch.table.columns)
            batch = replace(batch, table=batch.table.drop(taken)) if taken else batch
        if batch.dataset and not spec.rules and not spec.classes:
            return [replace(batch, logsource=batch.logsource or spec.logsource)]
        wanted = self._narrow.wanted if self._narrow is not None else None
        return mapping.apply(batch, spec, self._written, self._dataset, wanted)

    def _table(self, frames: Frames | None, batch: EventBatch, nth: Places) -> pl.DataFrame:
        table = batch.table
        place = table["log.offset"].cast(pl.Int64).to_numpy()
        sequence = pl.Series("event.sequence", self._sequence(place))
        if self._narrow is not None and self._narrow.wanted(batch.logsource, table.columns) is not None:
            return table.with_columns(sequence)
        stamp = _stamps(table, self._written)
        arrived = self._arrived(frames, place)
        millis = stamp.dt.epoch("ms").fill_null(0).to_numpy()
        late = stamp > pl.Series(arrived + int(AHEAD.total_seconds() * 1e6)).cast(columns.DTYPES["time"])
        wrong = (late | (stamp < OLDEST)).fill_null(value=False)
        received = pl.Series(arrived).cast(columns.DTYPES["time"])
        # A wrong clock would push or empty the window of every correlation; the stamp itself stays in the raw event.
        time = stamp.zip_with(~wrong, received).fill_null(received)
        table = table.with_columns(
            time.alias("@timestamp"),
            self._ids(frames, batch, np.maximum(millis, 0), nth),
            pl.lit(batch.dataset).alias("event.dataset"),
            received.alias("event.ingested"),
            sequence,
            pl.lit(self._collector.name).alias("observer.name"),
            pl.lit(self._path, pl.String).alias("log.file.path"),
            _flags(table, {"clock_skew": wrong, "no_time": stamp.is_null()}),
        )
        if self._senders is not None and frames is not None:
            rows = np.clip(np.searchsorted(frames.number, place), 0, len(frames) - 1)
            return table.with_columns(self._senders.gather(pl.Series(rows)).alias("observer.ip"))
        return table.with_columns(pl.lit(self._peer).alias("observer.ip")) if self._peer else table

    def _ids(self, frames: Frames | None, batch: EventBatch, millis: Places, nth: Places) -> pl.Series:
        """Ids by input, collector, decoder, dataset and place, and by the piece where ``nth`` begins again.

        A file is always cut alike, so its pieces are counted. A live source is not: only what was held back from
        earlier pieces, beside which ``nth`` says nothing, takes its piece's first number.
        """
        place = batch.table["log.offset"].cast(pl.Int64).to_numpy()
        # ``event_ids`` tells 2^16 rows of one place apart; a packet can complete more. No place comes near 2^40.
        wide = place + ((nth >> 16) << 40)
        parts = (self._key, self._collector.name, batch.collector, batch.dataset)
        if self._path is not None or frames is None or not len(frames):
            key = ids.source_key(*parts, f"piece {self._block}")
            return ids.event_ids(key, millis, wide, nth).alias("event.id")
        first = int(frames.number[0])
        made = ids.event_ids(ids.source_key(*parts), millis, wide, nth)
        held = place < first
        if held.any():
            late = ids.event_ids(ids.source_key(*parts, f"held {first}"), millis, wide, nth)
            made = late.zip_with(pl.Series(held), made)
        return made.alias("event.id")

    def _arrived(self, frames: Frames | None, place: Places) -> Places:
        """When each row's item came, µs: live records tell; a file is read now."""
        now = np.full(len(place), int(self._now.timestamp() * 1e6), np.int64)
        if self._path is not None or frames is None or not len(frames):
            return now
        found = np.clip(np.searchsorted(frames.number, place), 0, len(frames) - 1)
        told = frames.time[found] // 1000
        return np.where((told > 0) & (frames.number[found] == place), told, now)

    def _sequence(self, place: Places) -> Places:
        """Ordinal of each row's item in the input, from 0."""
        if self._path is None or self._collector.kind == "datagram":
            return place
        if self._collector.kind == "capture":
            return np.maximum(place - 1, 0)
        if self._collector.kind == "evtx":
            return place
        return np.searchsorted(self._known, place) + self._items - len(self._known)


def _bytes(frames: Frames | None, index: int | None) -> bytes:
    return b"" if frames is None or index is None else frames.item(index)[:DEAD_BYTES]


def _nth(batches: Sequence[EventBatch]) -> list[Places]:
    """0, 1, 2 … among the rows of one dataset that share a place, over all tables of a chunk."""
    out: list[Places] = [np.zeros(0, np.int64)] * len(batches)
    for dataset in {batch.dataset for batch in batches}:
        which = [index for index, batch in enumerate(batches) if batch.dataset == dataset]
        places = [batches[index].table["log.offset"].to_numpy() for index in which]
        numbered = np.split(_ranks(np.concatenate(places)), np.cumsum([len(place) for place in places])[:-1])
        for index, nth in zip(which, numbered, strict=True):
            out[index] = nth
    return out


def _ranks(place: Places) -> Places:
    order = np.argsort(place, kind="stable")
    arranged = place[order]
    starts = np.flatnonzero(np.concatenate(([True], arranged[1:] != arranged[:-1])))
    counts = np.diff(np.concatenate((starts, [len(place)])))
    nth = np.empty(len(place), np.int64)
    nth[order] = np.arange(len(place)) - np.repeat(starts, counts)
    return nth


def _stamps(table: pl.DataFrame, now: datetime) -> pl.Series:
    if "@timestamp" not in table.columns:
        return pl.Series([None] * table.height, dtype=columns.DTYPES["time"])
    return mapping.fitted(table.select("@timestamp"), "host", now)["@timestamp"]


def _flags(table: pl.DataFrame, masks: Mapping[str, pl.Series]) -> pl.Series:
    old = table["event.flags"] if "event.flags" in table.columns else pl.Series([None] * table.height)
    flags = old.cast(pl.List(pl.String))
    for name, mask in masks.items():
        if mask.any():
            more = pl.select(pl.concat_list(flags.fill_null([]), pl.lit(name))).to_series()
            flags = more.zip_with(mask, flags)
    return flags.alias("event.flags")
