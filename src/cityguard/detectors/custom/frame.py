"""Hits of a batch as narrow rows: when, who, which group, and what an alert shows of them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime

import numpy as np
import numpy.typing as npt
import polars as pl

from cityguard.model import EventBatch
from cityguard.sigma.ast import Rule
from cityguard.sigma.correlation import owner, text_of
from cityguard.sigma.fields import ENTITIES
from cityguard.sigma.view import View

Ints = npt.NDArray[np.int64]
MAX_SHOWN = 6  # fields an alert explains itself with
MAX_VALUE = 200  # characters of a value shown
MAX_TEXT = 1024  # bytes of a value that is kept
MAX_IDS = 20  # event ids a row that stands for many hits keeps
OWNERS = ("department", "system", "segment")
TIME = pl.Datetime("us", "UTC")
BETWEEN, NONE = "\x1f", "\x00"


def group(rule: Rule) -> tuple[str, ...]:
    """The fields whose values make one alert of this rule."""
    return ENTITIES if rule.head.group is None else rule.head.group


class Facts:
    """The rows of a batch that any rule hit; each of their fields is read once for all rules."""

    def __init__(self, batch: EventBatch, places: Sequence[Ints], now: datetime) -> None:
        """Take the rows.

        Args:
            batch: where the hits are.
            places: per rule the numbers of its rows.
            now: the time of events that have none.
        """
        self.batch = batch
        self.now = now
        self._union = np.unique(np.concatenate(places)) if places else np.zeros(0, dtype=np.int64)
        whole = len(self._union) == batch.table.height
        self.view = View(batch.table if whole else batch.table[self._union])
        self._texts: dict[str, pl.Series] = {}
        self._numbers: dict[str, pl.Series] = {}
        self._about: pl.DataFrame | None = None
        self._clamped: Ints | None = None

    def narrow(self, rule: Rule, place: Ints) -> pl.DataFrame:
        """One row per hit of a rule.

        Args:
            rule: whose group and fields are taken.
            place: the numbers of its rows in the batch.

        Returns:
            Columns ``time`` (µs, UTC), ``id``, ``dataset``, ``who0`` … (``ENTITIES``), ``OWNERS``, ``key0`` … (the
            group) and ``show0`` … (what is shown); all text but the time.
        """
        at = self._at(place)
        keys = [self.text(name)[at].alias(f"key{index}") for index, name in enumerate(group(rule))]
        shown = [
            self.text(name)[at].str.slice(0, MAX_VALUE).alias(f"show{index}")
            for index, name in enumerate(rule.fields[:MAX_SHOWN])
        ]
        return self.about[at].hstack([*keys, *shown])

    def joined(self, fields: Sequence[str], place: Ints) -> pl.Series:
        """The values of several fields as one text per row, so that different values never give the same text."""
        if not fields:
            return pl.Series([""], dtype=pl.String).new_from_index(0, len(place))
        # what joins values must not come from a value
        clean = [
            self.text(name)[self._at(place)].str.replace_all(f"[{BETWEEN}{NONE}]", " ").fill_null(NONE)
            for name in fields
        ]
        named = [series.alias(str(index)) for index, series in enumerate(clean)]
        return pl.DataFrame(named).select(pl.concat_str(pl.all(), separator=BETWEEN)).to_series()

    def texts(self, name: str, place: Ints) -> pl.Series:
        """A field of a rule's rows as text."""
        return self.text(name)[self._at(place)]

    def numbers(self, name: str, place: Ints) -> pl.Series:
        """A field of a rule's rows as Float64; null where it has no number."""
        if name not in self._numbers:
            self._numbers[name] = _numbers(self.view, name)
        return self._numbers[name][self._at(place)]

    def clamped(self, place: Ints) -> Ints:
        """Times of a rule's rows, none later than their receipt; µs."""
        if self._clamped is None:
            self._clamped = clamped(self.view.table, self.about["time"], self.now)
        return self._clamped[self._at(place)]

    def text(self, name: str) -> pl.Series:
        """A field of all rows as text, null where one has none; long ones as ``bounded`` has them."""
        if name not in self._texts:
            self._texts[name] = bounded(text_of(self.view, name))
        return self._texts[name]

    @property
    def about(self) -> pl.DataFrame:
        """What every alert asks of all rows."""
        if self._about is None:
            table = self.view.table
            ids = table["event.id"].cast(pl.String) if "event.id" in table.columns else nothing(table.height)
            owners = {name: owner(table, name) for name in OWNERS}
            if self.batch.segment is not None:
                owners["segment"] = owners["segment"].fill_null(self.batch.segment)
            self._about = pl.DataFrame(
                {
                    "time": times(table, self.now),
                    "id": ids,
                    "dataset": pl.Series([self.batch.dataset]).new_from_index(0, table.height),
                    **{f"who{index}": self.text(name) for index, name in enumerate(ENTITIES)},
                    **owners,
                }
            )
        return self._about

    def _at(self, place: Ints) -> Ints:
        if len(self._union) == self.batch.table.height:
            return place
        return np.searchsorted(self._union, place).astype(np.int64)


def bounded(texts: pl.Series) -> pl.Series:
    """Texts over ``MAX_TEXT`` bytes as their beginning and a digest: as different as before, and no longer."""
    sizes = texts.str.len_bytes()
    if int(sizes.max() or 0) <= MAX_TEXT:  # type: ignore[arg-type]
        return texts
    long = texts.filter(sizes > MAX_TEXT).unique()
    short = [f"{one[:MAX_VALUE]}…{hashlib.blake2b(one.encode(), digest_size=16).hexdigest()}" for one in long]
    return texts.replace(long, pl.Series(short, dtype=pl.String))


def nothing(height: int) -> pl.Series:
    """A text column without a value."""
    return pl.Series([None], dtype=pl.String).new_from_index(0, height)


def times(table: pl.DataFrame, now: datetime) -> pl.Series:
    """When each event happened; when it was received, or now, where that is unknown. Datetime[µs, UTC]."""
    found: pl.Series | None = None
    for name in ("@timestamp", "event.ingested"):
        if name in table.columns and (found is None or found.null_count()):
            given = table[name].cast(TIME)
            found = given if found is None else found.zip_with(found.is_not_null(), given)
    if found is None:
        return pl.Series([now], dtype=TIME).new_from_index(0, table.height)
    return found.fill_null(now) if found.null_count() else found


def clamped(table: pl.DataFrame, time: pl.Series, now: datetime) -> Ints:
    """Event times, none later than the event's receipt (or now): nobody moves the clock with a forged stamp. µs."""
    now_us = int(now.timestamp() * 1_000_000)
    micros = time.dt.epoch("us").to_numpy()
    if "event.ingested" not in table.columns:
        return np.asarray(np.minimum(micros, now_us), dtype=np.int64)
    received = table["event.ingested"].cast(TIME).dt.epoch("us").fill_null(now_us).to_numpy()
    return np.asarray(np.minimum(micros, received), dtype=np.int64)


def parts(text: str, fields: Sequence[str]) -> tuple[str, ...]:
    """The values ``joined`` put together; ``NONE`` where one was missing."""
    return tuple(text.split(BETWEEN)) if fields else ()


def _numbers(view: View, name: str) -> pl.Series:
    values = view.values(name)
    if values is None or not len(values.rows):
        return pl.Series([None], dtype=pl.Float64).new_from_index(0, view.height)
    place = np.full(view.height, -1, dtype=np.int64)
    place[values.rows[::-1]] = values.codes[::-1]
    index = pl.Series(place)
    return values.numbers.gather(index.set(index < 0, None)).fill_nan(None)
