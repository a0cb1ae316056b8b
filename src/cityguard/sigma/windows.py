"""Sliding windows over hits, all groups at once: which hits fire, and how many stand behind them."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cityguard.sigma.ast import Correlation

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

OPERATORS: dict[str, Callable[[Any, float], Any]] = {
    "gte": operator.ge,
    "gt": operator.gt,
    "lte": operator.le,
    "lt": operator.lt,
    "eq": operator.eq,
    "neq": operator.ne,
}


def keys(group: Ints, time: Ints, span: int) -> Ints:
    """One ascending number per hit: differences up to ``span`` are exact, groups and longer gaps lie further apart.

    Args:
        group: int64[n], ascending.
        time: int64[n], ascending within a group.
        span: the longest difference that matters, in the unit of ``time``.
    """
    if not len(time):
        return time
    gaps = np.where(group[1:] == group[:-1], np.minimum(np.diff(time), span + 1), span + 1)
    return np.cumsum(np.concatenate(([0], gaps)), dtype=np.int64)


def bounds(key: Ints, span: int) -> tuple[Ints, Ints]:
    """The window [t - span, t] of every hit, as indices [left, right).

    Hits of one instant see each other, so that the order in which they arrived cannot matter.
    """
    left = np.searchsorted(key, key - span, "left").astype(np.int64)
    return left, np.searchsorted(key, key, "right").astype(np.int64)


def distinct(value: Ints, group: Ints, left: Ints, right: Ints) -> Ints:
    """Number of distinct values in every window; value < 0 is none.

    A hit counts in the windows that hold it and hold no later hit of its value. Windows move forward with
    their hits, so these are neighbours: one interval per hit, and all counts by one sum over the ends.
    """
    size = len(value)
    following = np.full(size, size, dtype=np.int64)
    order = np.lexsort((np.arange(size), value, group))
    same = (value[order][1:] == value[order][:-1]) & (group[order][1:] == group[order][:-1])
    following[order[:-1][same]] = order[1:][same]
    here = np.arange(size)
    first = np.searchsorted(right, here, "right")
    last = np.minimum(np.searchsorted(right, following, "right"), np.searchsorted(left, here, "right"))
    counted = (value >= 0) & (last > first)
    ends = np.bincount(first[counted], minlength=size + 1) - np.bincount(last[counted], minlength=size + 1)
    return np.cumsum(ends)[:size]


def in_order(rule: Ints, steps: int, key: Ints, span: int, right: Ints) -> Bools:
    """True at hits of the last step whose window holds all steps 0, 1 … one after the other (or at one instant)."""
    start = np.where(rule == 0, key, np.int64(-1))
    for step in range(1, steps):
        # the latest start of a chain that came this far by now
        reached = np.maximum.accumulate(start)[right - 1]
        start = np.where(rule == step, reached, np.int64(-1))
    done: Bools = (rule == steps - 1) & (start >= 0) & (start >= key - span)
    return done


@dataclass(frozen=True, slots=True)
class Hits:
    """Hits of one correlation, sorted by group and time; one entry per hit."""

    group: Ints
    time: Ints  # µs since the epoch
    rule: Ints  # place in Correlation.rules
    value: Ints  # code of the value counted, -1 for none
    number: npt.NDArray[np.float64]  # the value as a number, NaN for none


@dataclass(frozen=True, slots=True)
class Fired:
    """Which hits fire, their windows [left, right) and what was measured in each."""

    at: Bools
    left: Ints
    right: Ints
    measured: npt.NDArray[np.float64]


def fires(one: Correlation, hits: Hits) -> Fired:
    """Ask the correlation at every hit, over the window that ends there."""
    span = one.timespan_s * 1_000_000
    key = keys(hits.group, hits.time, span)
    left, right = bounds(key, span)
    measured: npt.NDArray[Any] = right - left
    if one.kind == "temporal_ordered":
        at = in_order(hits.rule, len(one.rules), key, span, right)
        return Fired(at, left, right, measured.astype(np.float64))
    if one.kind == "temporal":
        measured = distinct(hits.rule, hits.group, left, right)
    elif one.kind == "value_count":
        measured = distinct(hits.value, hits.group, left, right)
    elif one.kind in ("value_sum", "value_avg"):
        measured = _sums(hits.number, left, right, mean=one.kind == "value_avg")
    at = ~np.isnan(measured.astype(np.float64))
    for name, limit in one.conditions:
        at &= np.asarray(OPERATORS[name](measured, limit), dtype=np.bool_)
    return Fired(at, left, right, measured.astype(np.float64))


def _sums(number: npt.NDArray[np.float64], left: Ints, right: Ints, *, mean: bool) -> npt.NDArray[np.float64]:
    # A sum only grows with more hits if nothing is taken off: negative numbers are left out of it.
    given = ~np.isnan(number) & (mean | (number >= 0))
    total = np.concatenate(([0.0], np.cumsum(np.where(given, number, 0.0))))
    count = np.concatenate(([0], np.cumsum(given)))
    hits = (count[right] - count[left]).astype(np.float64)
    sums = total[right] - total[left]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(hits > 0, sums / hits if mean else sums, np.nan)


def behind(left: Ints, right: Ints) -> Ints:
    """Indices inside any of the windows [left, right), ascending and each once; the windows move forward."""
    start = np.maximum(left, np.concatenate(([0], right[:-1])))
    length = np.maximum(right - start, 0)
    ends = np.cumsum(length)
    return np.repeat(start - np.concatenate(([0], ends[:-1])), length) + np.arange(ends[-1] if len(ends) else 0)
