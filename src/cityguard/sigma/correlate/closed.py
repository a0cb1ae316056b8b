"""Windows that close: a group's first hit opens one, the first hit after it has closed opens the next."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cityguard.sigma.correlate.numbers import Floats, Ints, Sums, percentile
from cityguard.sigma.correlate.plan import Plan
from cityguard.sigma.windows import Bools, Hits, holds, in_order, keys


def windows(group: Ints, time: Ints, span: int) -> tuple[Ints, Ints]:
    """Windows [left, right) that follow each other, every hit in one of them.

    Args:
        group: int64[n], ascending.
        time: int64[n], ascending within a group.
        span: length; a hit exactly ``span`` after the first is inside.
    """
    key = keys(group, time, span)
    after = np.searchsorted(key, key + span, "right").tolist()
    begin: list[int] = []
    at = 0
    while at < len(after):
        begin.append(at)
        at = after[at]
    left = np.array(begin, dtype=np.int64)
    return left, np.append(left[1:], len(key)) if len(left) else left


def verdicts(asked: Plan, hits: Hits, left: Ints, right: Ints) -> tuple[Bools, Floats]:
    """Which windows the correlation holds for, and what was measured in each."""
    count = len(left)
    window = np.repeat(np.arange(count), right - left)
    size = (right - left).astype(np.float64)
    if asked.chains or asked.clauses:
        return _logic(asked, hits, window, count), size
    measured = _measure(asked, hits, window, left, right, size)
    return holds(measured, asked.one.conditions), measured


def _measure(asked: Plan, hits: Hits, window: Ints, left: Ints, right: Ints, size: Floats) -> Floats:
    share = {"value_median": 50.0, "value_percentile": asked.one.percentile or 0.0}.get(asked.kind)
    if share is not None:
        return percentile(hits.number, window, len(left), share)
    if asked.kind in ("value_sum", "value_avg"):
        mean = asked.kind == "value_avg"
        return Sums.of(hits.number, negative=mean).between(left, right, mean=mean)
    if asked.kind == "value_count":
        return _different(window, hits.value, len(left))
    if asked.kind == "temporal":
        return _rules(asked, hits, window, len(left)).astype(np.float64) @ np.array(asked.weight, dtype=np.float64)
    return size


def _different(window: Ints, value: Ints, count: int) -> Floats:
    given = value >= 0
    pairs = np.unique(window[given] * (int(value.max(initial=0)) + 1) + value[given])
    return np.bincount(pairs // (int(value.max(initial=0)) + 1), minlength=count).astype(np.float64)


def _rules(asked: Plan, hits: Hits, window: Ints, count: int) -> npt.NDArray[np.bool_]:
    """bool[windows, rules]: which rules have hits in which window."""
    width = len(asked.rules)
    seen = np.bincount(window * width + hits.rule, minlength=count * width)
    found: npt.NDArray[np.bool_] = seen.reshape(count, width) > 0
    return found


def _logic(asked: Plan, hits: Hits, window: Ints, count: int) -> Bools:
    seen = _rules(asked, hits, window, count)
    found = np.zeros(count, dtype=np.bool_)
    key = keys(window, hits.time, asked.span)
    right = np.searchsorted(key, key, "right").astype(np.int64)
    for needs, bars in asked.clauses or ((asked.chains[0], ()),):
        held = ~seen[:, list(bars)].any(axis=1)
        if asked.chains and needs:
            done = in_order(hits.rule, needs, key, asked.span, right)
            held &= np.bincount(window[done], minlength=count) > 0
        else:
            held &= seen[:, list(needs)].all(axis=1)
        found |= held
    return found
