"""Correlations that more hits can make false again: decided once, when a window has closed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cityguard.sigma.correlate.asking import hits_at
from cityguard.sigma.correlate.closed import verdicts, windows
from cityguard.sigma.correlate.derived import Derived, derived
from cityguard.sigma.correlate.firing import Firing, Runs, firings, name_of
from cityguard.sigma.correlate.held import Held
from cityguard.sigma.correlate.names import Names
from cityguard.sigma.correlate.slab import Ints, spans
from cityguard.sigma.correlate.telling import MAX_FIRINGS


@dataclass(frozen=True, slots=True)
class Closed:
    """Windows the correlation holds for: what is told, and each one's last hit."""

    firings: list[Firing]
    derived: Derived


def close(held: Held, until: int | None, names: Names) -> Closed:
    """Decide windows that have closed.

    Args:
        held: the correlation's state. Hits of decided windows leave it, unless ``until`` is None.
        until: µs; everything up to here has been received. None: the input has ended, all windows are closed.
        names: texts of what hits are about.
    """
    slab, span = held.slab, held.asked.span
    if until is not None:
        _drop_late(held)
        held.known_from = max(held.known_from, until + 1)
    place, of = slab.places(), slab.owners()
    left, right = windows(of, slab.t[place], span)
    if until is not None:
        over = slab.t[place[left]] + span <= until
        left, right = left[over], right[over]
    size = right - left
    inside = spans(left, size)
    begin = np.cumsum(size) - size
    true, measured = verdicts(held.asked, hits_at(held, of[inside], place[inside]), begin, begin + size)
    holds = np.flatnonzero(true)
    held.overflow += max(len(holds) - MAX_FIRINGS, 0)
    holds = holds[:MAX_FIRINGS]
    found = _told(held, place, of, left[holds], right[holds], measured[holds].tolist(), names)
    if until is not None and len(inside):
        wanted = np.ones(len(place), dtype=np.bool_)
        wanted[inside] = False
        held.forget(wanted)
    return found


def _told(held: Held, place: Ints, of: Ints, left: Ints, right: Ints, measured: list[float], names: Names) -> Closed:
    runs = Runs(
        group=held.group_texts(of[left]),
        bucket=held.slab.t[place[left]] // held.asked.span,
        begin=place[left],
        length=right - left,
        first=np.arange(len(left)),
    )
    counts = [(size, size, value) for size, value in zip((right - left).tolist(), measured, strict=True)]
    ids = [name_of(held.asked.one, group, at) for group, at in zip(runs.group, runs.bucket.tolist(), strict=True)]
    return Closed(list(firings(held, runs, ids, counts, names)), derived(held, place[right - 1], of[left]))


def _drop_late(held: Held) -> None:
    place = held.slab.places()
    late = held.slab["late"][place]
    if late.any():
        held.late += int(late.sum())
        held.forget(~late)
