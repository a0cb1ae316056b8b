"""Hits of one rule in one batch as columns of numbers, and the texts they are grouped and counted by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from cityguard.model import EventBatch
from cityguard.sigma.correlate.names import Names
from cityguard.sigma.fields import ENTITIES
from cityguard.sigma.view import View

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Halves = npt.NDArray[np.uint64]

OWNERS = ("department", "system", "segment")
ABOUT = (*ENTITIES, *OWNERS, "dataset")
"""Whom and what a hit is about; an alert names what all its hits agree on."""

BETWEEN, NONE = "\x1f", "\x00"
NAMED = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
"""First half of an id that is not 16 bytes in hexadecimal: the other half is its number among the names."""

_TIME = pl.Datetime("us", "UTC")
_DIGIT = np.full(256, 255, dtype=np.uint8)
_DIGIT[np.frombuffer(b"0123456789abcdef", dtype=np.uint8)] = np.arange(16, dtype=np.uint8)


@dataclass(frozen=True, slots=True)
class Rows:
    """Hits; one entry each."""

    time: Ints  # µs since the epoch, never after the receipt
    high: Halves
    low: Halves
    about: npt.NDArray[np.int32]  # [n, len(ABOUT)], numbers of texts, -1 for none
    late: Bools  # received later after it happened than hits may be
    taken: Ints  # which rows of the table these are

    def __len__(self) -> int:
        return len(self.time)

    def at(self, where: npt.NDArray[Any]) -> Rows:
        """Some of them."""
        return Rows(*(getattr(self, name)[where] for name in self.__slots__))

    def late_where(self, more: Bools) -> Rows:
        """The same, with more of them marked as late."""
        return replace(self, late=self.late | more)


def rows(view: View, batch: EventBatch, names: Names, late: Bools | None) -> Rows:
    """Hits of one rule; those without a time are left out.

    Args:
        view: the table's rows that matched.
        batch: where they come from.
        names: gives texts their numbers.
        late: per row of the view, whether it came too late; None: nothing did.
    """
    table = view.table
    if "@timestamp" not in table.columns:
        return empty()
    stamps = table["@timestamp"]
    taken = np.arange(table.height)
    if stamps.null_count():
        taken = np.flatnonzero(stamps.is_not_null().to_numpy())
        table = table[taken]
        view = View(table)
    if not len(taken):
        return empty()
    high, low = halves(table["event.id"], names) if "event.id" in table.columns else (_zeros(taken), _zeros(taken))
    return Rows(
        time=_happened(table),
        high=high,
        low=low,
        about=_about(view, batch, names),
        late=np.zeros(len(taken), dtype=np.bool_) if late is None else late[taken],
        taken=taken,
    )


def micros(stamps: pl.Series) -> Ints:
    """µs since the epoch; stamps without nulls."""
    exact = stamps if stamps.dtype == _TIME else stamps.cast(_TIME)
    return exact.cast(pl.Int64).to_numpy()


def _happened(table: pl.DataFrame) -> Ints:
    """When each event happened, µs, never after its receipt: a forged stamp must not make what is current old."""
    stamps = table["@timestamp"]
    if "event.ingested" not in table.columns:
        return micros(stamps)
    received = table["event.ingested"]
    if received.null_count():
        received = received.cast(_TIME).fill_null(stamps.cast(_TIME))
    return np.minimum(micros(stamps), micros(received))


def _zeros(like: Ints) -> Halves:
    return np.zeros(len(like), dtype=np.uint64)


def empty() -> Rows:
    """No hits."""
    none = np.zeros(0, dtype=np.int64)
    half = np.zeros(0, dtype=np.uint64)
    return Rows(none, half, half, np.zeros((0, len(ABOUT)), dtype=np.int32), np.zeros(0, dtype=np.bool_), none)


def _about(view: View, batch: EventBatch, names: Names) -> npt.NDArray[np.int32]:
    found = np.full((view.height, len(ABOUT)), -1, dtype=np.int32)
    columns = [text_of(view, name) if _may_have(view, name) else None for name in ENTITIES]
    columns += [owner(view.table, name) if _owned(view.table, name) else None for name in OWNERS]
    segment = columns[ABOUT.index("segment")]
    if segment is not None and segment.null_count() and batch.segment is not None:
        columns[ABOUT.index("segment")] = segment.fill_null(pl.lit(batch.segment, dtype=pl.String))
    elif segment is None and batch.segment is not None:
        found[:, ABOUT.index("segment")] = names.code(batch.segment)
    given = [(index, one) for index, one in enumerate(columns) if one is not None and one.null_count() < len(one)]
    if given:
        for (index, _), codes in zip(given, names.many([one for _, one in given]), strict=True):
            found[:, index] = codes
    found[:, -1] = names.code(batch.dataset)
    return found


def _may_have(view: View, field: str) -> bool:
    return field in view.table.columns or view.values(field) is not None


def _owned(table: pl.DataFrame, name: str) -> bool:
    return f"destination.{name}" in table.columns or f"source.{name}" in table.columns


def halves(ids: pl.Series, names: Names) -> tuple[Halves, Halves]:
    """Event ids as two numbers each: both 0 where there is none."""
    high, low = np.zeros(len(ids), dtype=np.uint64), np.zeros(len(ids), dtype=np.uint64)
    raw, length = _buffers(ids)
    places = np.flatnonzero(length == 32)
    if len(places) < len(ids):
        ends = np.cumsum(length)
        raw = raw[(ends[places] - 32)[:, None] + np.arange(32)]
    digits = _DIGIT[raw].reshape(-1, 32)
    packed = (digits[:, 0::2] << 4 | digits[:, 1::2]).reshape(-1, 16)
    halved = np.ascontiguousarray(packed).view(">u8")
    sound = (digits < 16).all(axis=1) & (halved != 0).any(axis=1)
    high[places[sound]], low[places[sound]] = halved[sound, 0], halved[sound, 1]
    if int(sound.sum()) < len(ids) - ids.null_count():
        given = ids.is_not_null().to_numpy().copy()
        given[places[sound]] = False
        other = np.flatnonzero(given)
        high[other], low[other] = NAMED, names.codes(ids[other]).astype(np.uint64)
    return high, low


def _buffers(texts: pl.Series) -> tuple[npt.NDArray[np.uint8], Ints]:
    """Bytes of all texts one after the other, and the length of each; 0 for null."""
    array = texts.to_arrow()
    array = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
    _, offsets, data = array.cast(pa.large_string()).buffers()
    if not len(array):
        return np.zeros(0, dtype=np.uint8), np.zeros(0, dtype=np.int64)
    stops = np.frombuffer(offsets, dtype=np.int64)[array.offset : array.offset + len(array) + 1]
    raw = np.frombuffer(data, dtype=np.uint8) if data is not None else np.zeros(0, dtype=np.uint8)
    return raw[stops[0] : stops[-1]], np.diff(stops)


def hexadecimal(high: Halves, low: Halves, names: Names) -> list[str]:
    """The ids back."""
    if not len(high):
        return []
    raw = np.stack((high, low), axis=1).astype(">u8").tobytes().hex()
    found = [raw[at : at + 32] for at in range(0, len(raw), 32)]
    for place in np.flatnonzero(high == NAMED).tolist():
        found[place] = str(names.texts(low[place : place + 1].astype(np.int32))[0])
    return found


# ---------------------------------------------------------------- texts


def text_of(view: View, field: str) -> pl.Series:
    """A field as one text per row (the first of a list), null where it has none."""
    if field in view.table.columns:
        column = view.table[field]
        if column.dtype == pl.String:
            return column
        if column.dtype.is_integer():
            return column.cast(pl.String)
    values = view.values(field)
    if values is None or not len(values.rows):
        return nothing(view.height)
    place = np.full(view.height, -1, dtype=np.int64)
    place[values.rows[::-1]] = values.codes[::-1]
    index = pl.Series(place)
    return values.text.gather(index.set(index < 0, None))


def owner(table: pl.DataFrame, name: str) -> pl.Series:
    """``department``, ``system`` or ``segment`` of the destination, else of the source; null where unknown."""
    have = [table[f"{side}.{name}"] for side in ("destination", "source") if f"{side}.{name}" in table.columns]
    if not have:
        return nothing(table.height)
    first = have[0].cast(pl.String)
    if len(have) == 1 or not first.null_count():
        return first
    return first.zip_with(first.is_not_null(), have[1].cast(pl.String))


def nothing(height: int) -> pl.Series:
    """Nulls."""
    return pl.repeat(None, height, dtype=pl.String, eager=True)


def joined(texts: Sequence[pl.Series], height: int) -> pl.Series:
    """Several texts as one that can be taken apart again; ``NONE`` stands where one is missing."""
    if not texts:
        return pl.repeat("", height, dtype=pl.String, eager=True)
    clean = [_filled(_clean(series)) for series in texts]
    if len(clean) == 1:
        return clean[0]
    frame = pl.DataFrame([series.alias(str(index)) for index, series in enumerate(clean)])
    return frame.select(pl.concat_str(pl.all(), separator=BETWEEN)).to_series()


def _filled(series: pl.Series) -> pl.Series:
    return series.fill_null(NONE) if series.null_count() else series


def _clean(series: pl.Series) -> pl.Series:
    # what joins values must not come from a value
    raw, _ = _buffers(series)
    if not ((raw == ord(BETWEEN)) | (raw == ord(NONE))).any():
        return series
    return series.str.replace_all(f"[{BETWEEN}{NONE}]", " ")


def split(group: str) -> tuple[str | None, ...]:
    """What ``joined`` joined."""
    return tuple(None if value == NONE else value for value in group.split(BETWEEN)) if group else ()
