"""Firings of one correlation as hits of another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from cityguard.sigma.ast import Correlation
from cityguard.sigma.correlate.held import Held
from cityguard.sigma.correlate.names import Names
from cityguard.sigma.correlate.rows import ABOUT, BETWEEN, NONE, Rows, joined, nothing
from cityguard.sigma.correlate.slab import Ints


@dataclass(frozen=True, slots=True)
class Derived:
    """Hits at which a correlation fired, and what they are grouped by there."""

    of: Correlation
    rows: Rows
    group: pl.Series  # values joined

    def __len__(self) -> int:
        return len(self.rows)

    def text(self, field: str, names: Names) -> pl.Series:
        """What is known of a field: a group-by value, or an entity; else nothing."""
        if field in self.of.group_by:
            parts = self.group.str.split(BETWEEN)
            value = parts.list.get(self.of.group_by.index(field), null_on_oob=True)
            return value.set(value == NONE, None)
        if field in ABOUT:
            return names.texts(self.rows.about[:, ABOUT.index(field)])
        return nothing(len(self))

    def grouped(self, fields: tuple[str, ...], names: Names) -> pl.Series:
        """Group values joined, for a correlation that groups by ``fields``."""
        return joined([self.text(field, names) for field in fields], len(self))


def derived(held: Held, place: Ints, group: Ints) -> Derived:
    """Hits by their places in the state."""
    columns = held.slab.columns
    rows = Rows(
        time=columns["t"][place],
        high=columns["high"][place],
        low=columns["low"][place],
        about=columns["about"][place],
        late=np.zeros(len(place), dtype=np.bool_),
        taken=np.arange(len(place)),
    )
    return Derived(held.asked.one, rows, held.groups.texts(group))
