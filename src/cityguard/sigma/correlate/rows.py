"""Hits of one rule in one batch as columns of numbers, and the texts they are grouped and counted by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

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

_DIGIT = np.full(256, 255, dtype=np.uint8)
_DIGIT[np.frombuffer(b"0123456789abcdef", dtype=np.uint8)] = np.arange(16, dtype=np.uint8)


@dataclass(frozen=True, slots=True)
class Rows:
    """Hits; one entry each."""

    time: Ints  # µs since the epoch
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
        taken = np.zeros(0, dtype=np.int64)
    else:
        taken = np.flatnonzero(table["@timestamp"].is_not_null().to_numpy())
    if not len(taken):
        return empty()
    if len(taken) < table.height:
        table = table[taken]
        view = View(table)
    high, low = halves(table["event.id"] if "event.id" in table.columns else nothing(table.height), names)
    return Rows(
        time=table["@timestamp"].dt.epoch("us").to_numpy(),
        high=high,
        low=low,
        about=_about(view, batch, names),
        late=np.zeros(len(taken), dtype=np.bool_) if late is None else late[taken],
        taken=taken,
    )


def empty() -> Rows:
    """No hits."""
    none = np.zeros(0, dtype=np.int64)
    half = np.zeros(0, dtype=np.uint64)
    return Rows(none, half, half, np.zeros((0, len(ABOUT)), dtype=np.int32), np.zeros(0, dtype=np.bool_), none)


def _about(view: View, batch: EventBatch, names: Names) -> npt.NDArray[np.int32]:
    found = np.full((view.height, len(ABOUT)), -1, dtype=np.int32)
    for index, name in enumerate(ENTITIES):
        series = text_of(view, name)
        if series.null_count() < view.height:
            found[:, index] = names.codes(series)
    for index, name in enumerate(OWNERS, len(ENTITIES)):
        series = owner(view.table, name)
        if name == "segment" and batch.segment is not None:
            series = series.fill_null(pl.lit(batch.segment, dtype=pl.String))
        if series.null_count() < view.height:
            found[:, index] = names.codes(series)
    found[:, -1] = names.codes(pl.Series([batch.dataset], dtype=pl.String))[0]
    return found


def halves(ids: pl.Series, names: Names) -> tuple[Halves, Halves]:
    """Event ids as two numbers each: both 0 where there is none."""
    high, low = np.zeros(len(ids), dtype=np.uint64), np.zeros(len(ids), dtype=np.uint64)
    regular = (ids.str.len_bytes() == 32).fill_null(False).to_numpy()
    places = np.flatnonzero(regular)
    chosen = ids if len(places) == len(ids) else ids.gather(places)
    raw = np.frombuffer("".join(chosen.to_list()).encode(), dtype=np.uint8)
    digits = _DIGIT[raw].reshape(-1, 32)
    sound = (digits < 16).all(axis=1)
    packed = (digits[:, 0::2] << 4 | digits[:, 1::2]).reshape(-1, 16)
    halved = np.ascontiguousarray(packed).view(">u8")
    sound &= (halved != 0).any(axis=1)
    high[places[sound]], low[places[sound]] = halved[sound, 0], halved[sound, 1]
    if int(sound.sum()) < len(ids) - ids.null_count():
        given = ids.is_not_null().to_numpy()
        given[places[sound]] = False
        other = np.flatnonzero(given)
        high[other], low[other] = NAMED, names.codes(ids.gather(other)).astype(np.uint64)
    return high, low


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
    clean = [_clean(series).fill_null(NONE) for series in texts]
    if len(clean) == 1:
        return clean[0]
    frame = pl.DataFrame([series.alias(str(index)) for index, series in enumerate(clean)])
    return frame.select(pl.concat_str(pl.all(), separator=BETWEEN)).to_series()


def _clean(series: pl.Series) -> pl.Series:
    # what joins values must not come from a value
    if not series.str.contains_any([BETWEEN, NONE]).any():
        return series
    return series.str.replace_all(f"[{BETWEEN}{NONE}]", " ")


def split(group: str) -> tuple[str | None, ...]:
    """What ``joined`` joined."""
    return tuple(None if value == NONE else value for value in group.split(BETWEEN)) if group else ()
