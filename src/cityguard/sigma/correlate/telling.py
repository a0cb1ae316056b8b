"""How much of what fires was told already: hits behind an alert are counted once, however they arrive."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from cityguard.sigma.correlate.asking import Instants
from cityguard.sigma.correlate.firing import Firing, Runs, firings, name_of
from cityguard.sigma.correlate.held import Held, Told
from cityguard.sigma.correlate.names import Names
from cityguard.sigma.correlate.slab import Ints, search

MAX_FIRINGS = 10_000  # per correlation and batch; what is over is counted, never silent


def tell(held: Held, found: Instants, names: Names, *, afresh: bool = False) -> Iterator[Firing]:
    """Firings of a correlation that grows, with the hits behind them that were not told of before.

    With ``afresh`` a firing that has new hits counts all of them.
    """
    bucket = held.slab.t[found.place] // held.asked.span
    first = np.flatnonzero((np.diff(found.group, prepend=-1) != 0) | (np.diff(bucket, prepend=-1) != 0))
    if len(first) > MAX_FIRINGS:
        held.overflow += len(first) - MAX_FIRINGS
        last = int(first[MAX_FIRINGS])
        found, bucket, first = found.until(last), bucket[:last], first[:MAX_FIRINGS]
    if not len(first):
        return
    texts = held.group_texts(found.group[first])
    ids = [name_of(held.asked.one, text, at) for text, at in zip(texts, bucket[first].tolist(), strict=True)]
    told = [held.told.get(one) for one in ids]
    begin, known = _begins(held, found, first, told)
    runs = Runs(texts, bucket[first], begin, np.maximum(found.right - begin, 0), first)
    fresh = runs.hits - known
    new = np.flatnonzero(fresh > 0)
    counts = _remember(held, found, first, [ids[index] for index in new.tolist()], new, fresh)
    if afresh:
        counts = [(total, total, measured) for _, total, measured in counts]
    yield from firings(held, runs.chosen(new), [ids[index] for index in new.tolist()], counts, names)


def _begins(held: Held, found: Instants, first: Ints, told: list[Told | None]) -> tuple[Ints, Ints]:
    """Where the hits begin that each window adds, and how many per run are among them that were told of.

    Hits in order add only what is not before the last instant told of; at that very instant some may be new.
    Where they came in any order a run holds everything, and all that was told of is taken off.
    """
    ordered = found.ordered[first]
    begin = found.left.copy()
    begin[1:] = np.maximum(begin[1:], found.right[:-1])
    begin[first] = found.left[first]  # the windows of one run move forward
    known = np.array([0 if one is None else one.count for one in told], dtype=np.int64)
    goes_on = np.flatnonzero(ordered & (known > 0))
    if len(goes_on):
        some = [one for index in goes_on.tolist() if (one := told[index])]
        until = np.array([one.until for one in some], dtype=np.int64)
        floor = np.zeros(len(first), dtype=np.int64)
        floor[goes_on] = held.slab.below(found.group[first[goes_on]], until)
        there = np.minimum(floor[goes_on], len(held.slab.t) - 1)
        reaches = (found.left[first[goes_on]] <= floor[goes_on]) & (held.slab.t[there] == until)
        known[goes_on] = np.where(reaches, [one.at_until for one in some], 0)
        begin = np.maximum(begin, np.repeat(floor, np.diff(first, append=len(begin))))
    return begin, known


def _alike(held: Held, right: Ints, start: Ints) -> Ints:
    """How many hits before ``right`` are of one instant, the last one."""
    first: Ints = search(held.slab.t, start.copy(), right, held.slab.t[right - 1])
    return right - first


def _remember(
    held: Held, found: Instants, first: Ints, ids: list[str], new: Ints, fresh: Ints
) -> list[tuple[int, int, float]]:
    """Count, total and measure of the runs ``new``, written down."""
    measured = np.maximum.reduceat(found.measured, first)[new].tolist()
    last = (np.append(first[1:], len(found.group)) - 1)[new]
    right = found.right[last]
    until = held.slab.t[right - 1]
    at_until = _alike(held, right, held.slab.start[found.group[last]])
    counts: list[tuple[int, int, float]] = []
    for index, (name, more) in enumerate(zip(ids, fresh[new].tolist(), strict=True)):
        before = held.told.get(name) or Told(0, 0, 0, measured[index])
        now = Told(
            count=before.count + more,
            until=int(until[index]),
            at_until=int(at_until[index]),
            measured=max(before.measured, measured[index]),
        )
        held.remember(name, now)
        counts.append((more, now.count, now.measured))
    return counts
