"""What a correlation tells: one firing per group and bucket of time, with what its hits agree on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from cityguard.ids import alert_id
from cityguard.model import MAX_EVENT_IDS
from cityguard.sigma.ast import Correlation
from cityguard.sigma.correlate.held import Held
from cityguard.sigma.correlate.names import Names
from cityguard.sigma.correlate.rows import ABOUT, NONE, Halves, hexadecimal, split
from cityguard.sigma.correlate.slab import Ints, spans

_FAR = np.iinfo(np.int32).max
_TOGETHER = 5_000  # hits whose ids are written out at once


@dataclass(frozen=True, slots=True)
class Firing:
    """One group in one bucket of time for which a correlation holds."""

    correlation: Correlation
    alert_id: str
    group: tuple[str | None, ...]
    bucket_s: int  # seconds since the epoch, a multiple of the time span
    first_us: int
    last_us: int
    count: int  # hits behind it that no earlier firing of this alert has told of
    total: int  # all hits behind it
    measured: float  # the largest count, sum … seen
    event_ids: tuple[str, ...]
    about: dict[str, str]  # entities and owners all hits agree on


@dataclass(frozen=True, slots=True)
class Runs:
    """Firings to be; one entry each, but for the ranges of places where their hits lie."""

    group: list[str]  # values joined
    bucket: Ints
    begin: Ints  # of every range
    length: Ints
    first: Ints  # index of each run's first range; every run has at least one

    def __len__(self) -> int:
        return len(self.bucket)

    @property
    def hits(self) -> Ints:
        """How many hits each run has."""
        return np.add.reduceat(self.length, self.first) if len(self) else self.length

    def chosen(self, wanted: Ints) -> Runs:
        """Some of the runs, ascending."""
        count = np.diff(self.first, append=len(self.begin))[wanted]
        ranges = spans(self.first[wanted], count)
        group = [self.group[index] for index in wanted.tolist()]
        return Runs(group, self.bucket[wanted], self.begin[ranges], self.length[ranges], np.cumsum(count) - count)


def name_of(one: Correlation, group: str, bucket: int) -> str:
    """The id of the alert of a group and bucket."""
    key = tuple(NONE if value is None else value for value in split(group))
    return alert_id(one.id, one.head.version, key, bucket * one.timespan_s)


def firings(
    held: Held, runs: Runs, ids: list[str], counts: list[tuple[int, int, float]], names: Names
) -> Iterator[Firing]:
    """Firings of runs, each of which has hits.

    Args:
        held: the correlation's state.
        runs: groups, buckets and hits.
        ids: of the alerts.
        counts: per run its count, total and measure.
        names: texts of ``about`` and of ids.
    """
    if not len(runs):
        return
    one, columns = held.asked.one, held.slab.columns
    place = spans(runs.begin, runs.length)
    size = runs.hits
    begin = np.cumsum(size) - size
    about = _agreed(columns["about"][place], begin, names)
    first, last = held.slab.t[place[begin]].tolist(), held.slab.t[place[begin + size - 1]].tolist()
    events = _ids(columns["high"][place], columns["low"][place], begin.tolist(), size.tolist(), names)
    for index, (count, total, measured) in enumerate(counts):
        yield Firing(
            correlation=one,
            alert_id=ids[index],
            group=split(runs.group[index]),
            bucket_s=int(runs.bucket[index]) * one.timespan_s,
            first_us=first[index],
            last_us=last[index],
            count=count,
            total=total,
            measured=measured,
            event_ids=events[index],
            about=about[index],
        )


def _ids(high: Halves, low: Halves, begin: list[int], size: list[int], names: Names) -> list[tuple[str, ...]]:
    """The first ids of each run in their own order; most ids begin with their time."""
    if len(high) <= _TOGETHER:
        text = hexadecimal(high, low, names)
        for none in np.flatnonzero((high == 0) & (low == 0)).tolist():
            text[none] = ""
        return [tuple(sorted({*text[at : at + n]} - {""})[:MAX_EVENT_IDS]) for at, n in zip(begin, size, strict=True)]
    found = []
    for at, count in zip(begin, size, strict=True):
        mine, other = high[at : at + count], low[at : at + count]
        given = (mine != 0) | (other != 0)
        mine, other = mine[given], other[given]
        if len(mine) > 4 * MAX_EVENT_IDS:
            early = mine <= np.partition(mine, MAX_EVENT_IDS)[MAX_EVENT_IDS]
            order = np.lexsort((other[early], mine[early]))[: 2 * MAX_EVENT_IDS]
            mine, other = mine[early][order], other[early][order]
        found.append(tuple(sorted(set(hexadecimal(mine, other, names)))[:MAX_EVENT_IDS]))
    return found


def _agreed(about: np.ndarray[tuple[int, int], np.dtype[np.int32]], begin: Ints, names: Names) -> list[dict[str, str]]:
    """Whom the hits of each run are about, where all that say it say the same."""
    least = np.minimum.reduceat(np.where(about < 0, _FAR, about), begin, axis=0)
    most = np.maximum.reduceat(about, begin, axis=0)
    agreed = np.where(least == most, most, -1)
    texts = names.texts(agreed.ravel()).to_list()
    width = len(ABOUT)
    return [
        {name: text for name, text in zip(ABOUT, texts[at : at + width], strict=True) if text is not None}
        for at in range(0, len(texts), width)
    ]
