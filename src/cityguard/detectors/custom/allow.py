"""Exceptions: hits that are in order, and those that were until their exception expired."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta, tzinfo

import numpy as np
import polars as pl

from cityguard.sigma.custom import Allow
from cityguard.sigma.match import Evaluation
from cityguard.sigma.view import Mask, View


def end(day: date, zone: tzinfo) -> datetime:
    """The first moment after the day in the given zone, in UTC."""
    following = day + timedelta(days=1) if day < date.max else day
    return datetime.combine(following, time(), zone).astimezone(UTC)


def judge(entries: Sequence[Allow], table: pl.DataFrame, when: pl.Series, zone: tzinfo) -> tuple[Mask, pl.Series]:
    """Which hits are excepted.

    Args:
        entries: the exceptions of a rule.
        table: its hits.
        when: their times, Datetime[µs, UTC].
        zone: the city's, in which days end.

    Returns:
        Boolean per row, True where an entry allows it; and per row the number of an entry that would have, had
        it not expired (null for none).
    """
    allowed = np.zeros(table.height, dtype=np.bool_)
    expired = np.full(table.height, -1, dtype=np.int64)
    evaluation = Evaluation(View(table))
    for number, entry in enumerate(entries):
        holds = evaluation.node(entry.node)
        if not holds.any():
            continue
        valid = (when < end(entry.expires, zone)).to_numpy()
        allowed |= holds & valid
        expired[holds & ~valid & (expired < 0)] = number
    found = pl.Series("expired", expired)
    return allowed, found.set(found < 0, None)
