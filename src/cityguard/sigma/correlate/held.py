"""What is kept of one correlation: its hits by group, and what was told of which alert."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from cityguard.sigma.correlate.names import Names
from cityguard.sigma.correlate.plan import Plan
from cityguard.sigma.correlate.rows import ABOUT, NAMED, NONE, Rows
from cityguard.sigma.correlate.slab import Slab, Touched

Ints = npt.NDArray[np.int64]
MAX_TOLD = 20_000  # alerts per correlation of which it is remembered how much was told
_FEW = 4096  # groups for which no dictionary is renewed


@dataclass(slots=True)
class Told:
    """How much of an alert was told: hits, up to which time, how many of them at that time, the largest measure."""

    count: int
    until: int
    at_until: int
    measured: float


@dataclass(slots=True)
class Held:
    """State of one correlation."""

    asked: Plan
    slab: Slab
    groups: Names
    told: dict[str, Told] = field(default_factory=dict)
    evicted: int = 0  # hits given up because there were too many
    expired: int = 0  # hits no window can need any more
    late: int = 0  # hits that came after their windows were decided, or after what they belong to was given up
    overflow: int = 0  # firings not told
    waiting: list[Touched] = field(default_factory=list)  # asked only when windows of others have closed
    seen: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))  # rules by group, as bits
    known_from: int = np.iinfo(np.int64).min  # hits before this may have been given up

    @classmethod
    def of(cls, asked: Plan) -> Held:
        """Nothing yet."""
        types: dict[str, npt.DTypeLike] = {"t": np.int64, "rule": np.int16, "high": np.uint64, "low": np.uint64}
        if asked.looks_at_text:
            types["value"] = np.int32
        if asked.looks_at_number:
            types["number"] = np.float64
        if not asked.one.grows:
            types["late"] = np.bool_
        types["about"] = np.int32
        return cls(asked, Slab(types, {"about": len(ABOUT)}), Names(pl.Series([NONE])))

    def add(self, rows: Rows, rule: npt.NDArray[np.int16], group: pl.Series, value: npt.NDArray[Any] | None) -> Touched:
        """Keep hits; returns the groups they are new to."""
        columns: dict[str, npt.NDArray[Any]] = {
            "t": rows.time,
            "rule": rule,
            "high": rows.high,
            "low": rows.low,
            "about": rows.about,
        }
        if value is not None:
            columns["value" if self.asked.looks_at_text else "number"] = value
        if not self.asked.one.grows:
            columns["late"] = rows.late
        own = self.groups.codes(group).astype(np.int64)
        touched = self.slab.add(own, columns)
        if self.asked.sets:
            self._see(own, rule)
        return touched

    def _see(self, own: Ints, rule: npt.NDArray[np.int16]) -> None:
        missing = len(self.slab.size) - len(self.seen)
        if missing > 0:
            self.seen = np.concatenate((self.seen, np.zeros(missing, dtype=np.int64)))
        for one in np.unique(rule).tolist():
            self.seen[own[rule == one]] |= 1 << one

    def see_all(self) -> None:
        """Note anew which rules every group has hits of."""
        self.seen = np.zeros(len(self.slab.size), dtype=np.int64)
        if self.asked.sets:
            self._see(self.slab.owners(), self.slab["rule"][self.slab.places()])

    def likely(self, touched: Touched) -> Touched:
        """Without the groups that lack a rule it takes."""
        if not self.asked.sets:
            return touched
        seen = self.seen[touched.groups]
        fit = np.any([seen & one == one for one in self.asked.sets], axis=0)
        return touched if fit.all() else touched.chosen(fit)

    def group_texts(self, groups: Ints) -> list[str]:
        """Group values, joined, by number."""
        return self.groups.texts(groups).to_list()

    def remember(self, name: str, told: Told) -> None:
        """What was told of an alert; the longest untouched are forgotten when there are too many."""
        self.told.pop(name, None)
        self.told[name] = told
        if len(self.told) > MAX_TOLD:
            del self.told[next(iter(self.told))]

    def asked_of_all(self) -> Touched:
        """Every group as if all its hits were new; what was told already is not told again."""
        own = np.flatnonzero(self.slab.size)
        begin = self.slab.start[own]
        times = self.slab.t
        last = times[begin + self.slab.size[own] - 1]
        return Touched(own, np.zeros_like(own), times[begin], last, np.zeros(len(own), dtype=np.bool_))

    def waited(self) -> Touched | None:
        """Groups that got hits since this was asked last."""
        some, self.waiting = self.waiting, []
        if not some:
            return None
        group = np.concatenate([one.groups for one in some])
        own, of = np.unique(group, return_inverse=True)
        first, last = np.full(len(own), np.iinfo(np.int64).max), np.full(len(own), np.iinfo(np.int64).min)
        np.minimum.at(first, of, np.concatenate([one.first for one in some]))
        np.maximum.at(last, of, np.concatenate([one.last for one in some]))
        return Touched(own, np.zeros_like(own), first, last, np.zeros(len(own), dtype=np.bool_))

    # ------------------------------------------------------------ giving up

    def expire(self, before: int) -> None:
        """Give up hits before a time that no window can reach any more, when they are many."""
        if before <= self.known_from:
            return
        self.known_from = before
        old = self.slab.t[self.slab.places()] < before
        gone = int(old.sum())
        if gone * 4 > self.slab.rows or gone > 50_000:
            self.expired += gone
            self.forget(~old)

    def evict(self, keep: int) -> None:
        """Give up the oldest hits so that ``keep`` stay."""
        over = self.slab.rows - keep
        if over <= 0:
            return
        times = self.slab.t[self.slab.places()]
        oldest = np.argpartition(times, over - 1)[:over]
        self.known_from = max(self.known_from, int(times[oldest].max()) + 1)
        wanted = np.ones(len(times), dtype=np.bool_)
        wanted[oldest] = False
        self.evicted += over
        self.forget(wanted)

    def forget(self, wanted: npt.NDArray[np.bool_]) -> None:
        """Keep only the hits wanted, in the order of ``slab.places``; the others are done with."""
        self.slab.keep(wanted)
        self._tidy()

    def _tidy(self) -> None:
        live = np.flatnonzero(self.slab.size)
        if self.waiting:
            self.waiting = [self.asked_of_all()]  # groups may be gone, or get other numbers
        if self.groups.size > 2 * len(live) + _FEW:
            live = np.union1d(live, [0])  # NONE stays the first
            self.groups, _ = self.groups.renewed(live)
            live = live[live < len(self.slab.size)]
            self.slab.renumber(live)
            if self.waiting:
                self.waiting = [self.asked_of_all()]
        self.see_all()

    # ------------------------------------------------------------ names

    def codes(self) -> npt.NDArray[np.int32]:
        """Numbers of texts in use, each once."""
        place = self.slab.places()
        found = [self.slab["about"][place].ravel()]
        if self.asked.looks_at_text:
            found.append(self.slab["value"][place])
        named = self.slab["high"][place] == NAMED
        found.append(self.slab["low"][place][named].astype(np.int32))
        used = np.unique(np.concatenate(found))
        return used[used >= 0]

    def recode(self, place: npt.NDArray[np.int32]) -> None:
        """Texts got other numbers: ``place[old]`` is the new one."""
        self.slab.keep(None)
        columns = self.slab.columns
        columns["about"] = place[columns["about"]]
        if self.asked.looks_at_text:
            columns["value"] = place[columns["value"]]
        named = columns["high"] == NAMED
        columns["low"][named] = place[columns["low"][named].astype(np.int64)].astype(np.uint64)
