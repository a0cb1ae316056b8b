"""Sliding windows over hits, all groups at once: which hits fire, and how many stand behind them."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cityguard.sigma.correlate.numbers import Sums
from cityguard.sigma.correlate.plan import Plan

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

OPERATORS: dict[str, Callable[[Any, float], Any]] = {
    "gte": operator.ge,
    "gt": operator.gt,
    "lte": operator.le,
    "lt": operator.lt,
    "eq": operator.eq,
    "neq": operator.ne,
}


def holds(measured: Floats, conditions: tuple[tuple[str, float], ...]) -> Bools:
    """True where a number satisfies every condition; NaN satisfies none."""
    found: Bools = ~np.isnan(measured)
    for name, limit in conditions:
        found &= OPERATORS[name](measured, limit)
    return found


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


def ends(key: Ints) -> Ints:
    """Where the instant of every hit ends: index behind the last hit with the same key."""
    last = np.append(key[1:] != key[:-1], True) if len(key) else np.zeros(0, dtype=np.bool_)
    stop = np.flatnonzero(last) + 1
    return np.repeat(stop, np.diff(stop, prepend=0))


def bounds(key: Ints, span: int) -> tuple[Ints, Ints]:
    """The window [t - span, t] of every hit, as indices [left, right).

    Hits of one instant see each other, so that the order in which they arrived cannot matter.
    """
    left = np.searchsorted(key, key - span, "left").astype(np.int64)
    return left, ends(key)


def distinct(value: Ints, group: Ints, left: Ints, right: Ints) -> Ints:
    """Number of distinct values in every window; value < 0 is none.

    A hit counts in the windows that hold it and hold no later hit of its value. Windows move forward with
    their hits, so these are neighbours: one interval per hit, and all counts by one sum over the ends.
    """
    size = len(value)
    following = np.full(size, size, dtype=np.int64)
    width = int(value.max(initial=0)) + 2
    order = np.argsort(group * width + value + 1, kind="stable")
    same = (value[order][1:] == value[order][:-1]) & (group[order][1:] == group[order][:-1])
    following[order[:-1][same]] = order[1:][same]
    here = np.arange(size)
    first = np.searchsorted(right, here, "right")
    last = np.minimum(np.searchsorted(right, following, "right"), np.searchsorted(left, here, "right"))
    counted = (value >= 0) & (last > first)
    changes = np.bincount(first[counted], minlength=size + 1) - np.bincount(last[counted], minlength=size + 1)
    return np.cumsum(changes)[:size]


def present(rule: Ints, wanted: int, key: Ints, span: int, right: Ints) -> Bools:
    """True where the window that ends at a hit holds a hit of the rule."""
    latest = np.maximum.accumulate(np.where(rule == wanted, key, np.int64(-span - 1)))
    found: Bools = latest[right - 1] >= key - span
    return found


def in_order(rule: Ints, steps: tuple[int, ...], key: Ints, span: int, right: Ints) -> Bools:
    """True at hits of the last step whose window holds all steps one after the other (or at one instant).

    A rule may be named several times; each time takes a hit of its own.
    """
    if len(set(steps)) < len(steps):
        return _in_order_again(rule, steps, key, span, right)
    start = np.where(rule == steps[0], key, np.int64(-1))
    for step in steps[1:]:
        # the latest start of a chain that came this far by now
        reached = np.maximum.accumulate(start)[right - 1]
        start = np.where(rule == step, reached, np.int64(-1))
    done: Bools = (start >= 0) & (start >= key - span)
    return done


def _in_order_again(rule: Ints, steps: tuple[int, ...], key: Ints, span: int, right: Ints) -> Bools:
    """The same by instants: any number of steps may be taken at one, as far as it has hits for them."""
    stop = np.flatnonzero(np.diff(right, append=-1))
    instant = np.searchsorted(right[stop], right)
    at = key[stop]
    have = {one: np.bincount(instant[rule == one], minlength=len(stop)) for one in set(steps)}
    before: list[Ints] = []  # per number of steps taken: latest start, by the end of the instant before
    started = np.full(len(stop), -1, dtype=np.int64)
    for done in range(1, len(steps) + 1):
        started = np.full(len(stop), -1, dtype=np.int64)
        for taken in range(done):
            now = steps[taken:done]
            can = np.all([have[one] >= now.count(one) for one in set(now)], axis=0)
            started = np.maximum(started, np.where(can, before[taken - 1] if taken else at, -1))
        before.append(np.concatenate(([-1], np.maximum.accumulate(started)[:-1])))
    reached: Bools = (started >= 0) & (started >= at - span)
    done_: Bools = reached[instant] & (rule == steps[-1])
    return done_


@dataclass(frozen=True, slots=True)
class Hits:
    """Hits of one correlation, sorted by group and time; one entry per hit."""

    group: Ints
    time: Ints  # µs since the epoch
    rule: Ints  # number of its rule in Plan.rules
    value: Ints  # code of the value counted, -1 for none
    number: Floats  # the value as a number, NaN for none


@dataclass(frozen=True, slots=True)
class Fired:
    """Which hits fire, their windows [left, right) and what was measured in each."""

    at: Bools
    left: Ints
    right: Ints
    measured: Floats


def fires(asked: Plan, hits: Hits) -> Fired:
    """Ask a correlation that grows at every hit, over the window that ends there."""
    key = keys(hits.group, hits.time, asked.span)
    left, right = bounds(key, asked.span)
    if asked.chains:
        at = np.any([in_order(hits.rule, chain, key, asked.span, right) for chain in asked.chains], axis=0)
        return Fired(at, left, right, (right - left).astype(np.float64))
    if asked.clauses:
        seen = {
            rule: present(hits.rule, rule, key, asked.span, right)
            for rule in {rule for needs, _ in asked.clauses for rule in needs}
        }
        at = np.any([np.all([seen[rule] for rule in needs], axis=0) for needs, _ in asked.clauses], axis=0)
        return Fired(at, left, right, (right - left).astype(np.float64))
    measured = _measure(asked, hits, key, left, right)
    return Fired(holds(measured, asked.one.conditions), left, right, measured)


def _measure(asked: Plan, hits: Hits, key: Ints, left: Ints, right: Ints) -> Floats:
    if asked.kind == "value_count":
        return distinct(hits.value, hits.group, left, right).astype(np.float64)
    if asked.kind == "value_sum":
        # a sum only grows with more hits if nothing is taken off: negative numbers are left out of it
        return Sums.of(hits.number, negative=False).between(left, right, mean=False)
    if asked.kind == "temporal" and len(asked.rules) == len(asked.one.rules):
        return distinct(hits.rule, hits.group, left, right).astype(np.float64)
    if asked.kind == "temporal":
        named = [times * present(hits.rule, rule, key, asked.span, right) for rule, times in enumerate(asked.weight)]
        total: Floats = np.sum(named, axis=0, dtype=np.float64)
        return total
    return (right - left).astype(np.float64)


def behind(left: Ints, right: Ints) -> Ints:
    """Indices inside any of the windows [left, right), ascending and each once; the windows move forward."""
    start = np.maximum(left, np.concatenate(([0], right[:-1])))
    length = np.maximum(right - start, 0)
    stop = np.cumsum(length)
    return np.repeat(start - np.concatenate(([0], stop[:-1])), length) + np.arange(stop[-1] if len(stop) else 0)
