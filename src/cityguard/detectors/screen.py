"""What takes a hit away at once: it is in no threat list, or an exception holds for it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, tzinfo

import numpy as np
import numpy.typing as npt
import polars as pl

from cityguard.detectors.custom import allow
from cityguard.detectors.custom.frame import times
from cityguard.detectors.custom.lists import ThreatLists
from cityguard.model import EventBatch
from cityguard.sigma.ast import Rule
from cityguard.sigma.custom import Custom, ThreatMatch
from cityguard.sigma.view import View

Ints = npt.NDArray[np.int64]
EXTRA: dict[str, pl.DataType] = {"threat": pl.String(), "threat_field": pl.String(), "expired": pl.Int64()}


@dataclass(frozen=True, slots=True)
class Screened:
    """Hits that remain: their places in the batch, and what ``EXTRA`` names of each."""

    place: Ints
    batch: EventBatch
    known: pl.DataFrame | None = None

    @property
    def table(self) -> pl.DataFrame:
        """The rows themselves."""
        return self.batch.table if len(self.place) == self.batch.table.height else self.batch.table[self.place]

    @property
    def extra(self) -> pl.DataFrame:
        """One row per hit: what ``EXTRA`` names."""
        return _nothing(len(self.place)) if self.known is None else self.known


class Screen:
    """Judges hits row by row; keeps nothing."""

    def __init__(self, lists: ThreatLists, zone: tzinfo) -> None:
        self.lists = lists
        self.zone = zone

    def judge(self, rule: Rule, place: Ints, batch: EventBatch, now: datetime) -> Screened:
        """The hits of one rule that remain."""
        ours = rule.head.custom
        if not ours or not (ours.allow or ours.threat_match):
            return Screened(place, batch)
        table = Screened(place, batch).table
        extra = _nothing(table.height)
        keep = np.ones(table.height, dtype=np.bool_)
        if ours.threat_match is not None:
            extra = extra.with_columns(self._threats(ours.threat_match, table))
            keep &= extra["threat"].is_not_null().to_numpy()
        if ours.allow:
            allowed, expired = allow.judge(ours.allow, table, times(table, now), self.zone)
            keep &= ~allowed
            extra = extra.with_columns(expired)
        return Screened(place[keep], batch, extra.filter(keep))

    def expired(self, ours: Custom, now: datetime) -> list[int]:
        """Which exceptions have expired by now, as their places in ``Custom.allow``."""
        return [number for number, one in enumerate(ours.allow) if now >= allow.end(one.expires, self.zone)]

    def _threats(self, asked: ThreatMatch, table: pl.DataFrame) -> list[pl.Series]:
        """Per row the first value that is in the list, with its note, and its field; null for none."""
        known = self.lists.get(asked.list)
        view = View(table)
        found = pl.repeat(None, table.height, dtype=pl.String, eager=True)
        named = found.clone()
        for name in asked.fields if known is not None else ():
            values = view.values(name)
            if values is None or not len(values.rows) or known is None:
                continue
            verdict = known.among(values)
            hit = verdict.is_not_null().to_numpy()[values.codes]
            rows, codes = values.rows[hit], values.codes[hit]
            texts = known.told(verdict)
            here = np.full(table.height, -1, dtype=np.int64)
            here[rows[::-1]] = codes[::-1]
            index = pl.Series(here)
            mine = texts.gather(index.set(index < 0, None))
            named = named.set(found.is_null() & mine.is_not_null(), name)
            found = found.fill_null(mine)
        return [found.alias("threat"), named.alias("threat_field")]


def _nothing(height: int) -> pl.DataFrame:
    return pl.DataFrame({name: pl.Series([None], dtype=kind).new_from_index(0, height) for name, kind in EXTRA.items()})
