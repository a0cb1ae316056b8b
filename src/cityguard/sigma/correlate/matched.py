"""What one rule matched in one batch, made ready once for all correlations that look at it."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from cityguard.model import EventBatch
from cityguard.sigma.correlate.names import Names
from cityguard.sigma.correlate.rows import Rows, joined, micros, rows, text_of
from cityguard.sigma.view import View

Part: TypeAlias = tuple[int, Rows, pl.Series, npt.NDArray[Any] | None]
"""Hits of one rule for one correlation: the rule's number, hits, group values joined, values looked at."""


class Matched:
    """Hits of one rule in a batch.

    Args:
        table: the rows that matched.
        batch: where they come from.
        names: gives texts their numbers.
        lateness: µs; what was received later than that after it happened is late.
    """

    def __init__(self, table: pl.DataFrame, batch: EventBatch, names: Names, lateness: int) -> None:
        whole = View(table)
        self.rows = rows(whole, batch, names, _late(table, lateness))
        self.untimed = table.height - len(self.rows)  # hits without a time
        self._view = View(table[self.rows.taken]) if self.untimed else whole
        self._texts: dict[tuple[str, ...], pl.Series] = {}

    def text(self, field: str) -> pl.Series:
        """A field of every hit."""
        return text_of(self._view, field)

    def grouped(self, fields: tuple[str, ...]) -> pl.Series:
        """Values of several fields joined."""
        if fields not in self._texts:
            self._texts[fields] = joined([self.text(field) for field in fields], self._view.height)
        return self._texts[fields]


def _late(table: pl.DataFrame, lateness: int) -> npt.NDArray[np.bool_] | None:
    """True where an event was received too long after it happened: so by itself, in any batch."""
    if "event.ingested" not in table.columns or "@timestamp" not in table.columns:
        return None
    both = table["@timestamp"], table["event.ingested"]
    if any(one.null_count() for one in both):
        waited = both[1].dt.epoch("us") - both[0].dt.epoch("us")
        return (waited > lateness).fill_null(value=False).to_numpy()
    return micros(both[1]) - micros(both[0]) > lateness


def together(parts: list[Part]) -> Part:
    """Hits of several rules as one."""
    some = [part[1] for part in parts]
    values = [part[3] for part in parts if part[3] is not None]
    return (
        -1,
        Rows(*(np.concatenate([getattr(one, name) for one in some]) for name in Rows.__slots__)),
        pl.concat([part[2] for part in parts]),
        np.concatenate(values) if values else None,
    )
