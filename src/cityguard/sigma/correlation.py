"""Correlations over batches in any order: hits are kept, bounded, and the groups they touch asked again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from cityguard.model import EventBatch
from cityguard.sigma.ast import Correlation
from cityguard.sigma.correlate import state
from cityguard.sigma.correlate.asking import ask
from cityguard.sigma.correlate.closing import close
from cityguard.sigma.correlate.derived import Derived, derived
from cityguard.sigma.correlate.firing import Firing
from cityguard.sigma.correlate.held import Held
from cityguard.sigma.correlate.matched import Matched, Part, together
from cityguard.sigma.correlate.names import Names
from cityguard.sigma.correlate.plan import MICRO, plan
from cityguard.sigma.correlate.rows import joined, micros, nothing, owner, text_of
from cityguard.sigma.correlate.slab import Touched
from cityguard.sigma.correlate.telling import tell

__all__ = ["Correlator", "Firing", "nothing", "owner", "text_of"]

MAX_HITS = 200_000  # kept per correlation
MAX_TOTAL = 1_000_000  # kept in all
LATENESS_S = 600  # an event may be received so long after it happened
_MANY_NAMES = 50_000


class Correlator:
    """Holds the state of all correlations of a rule set. The same hits in any order give the same alert ids."""

    def __init__(
        self,
        correlations: Iterable[Correlation],
        *,
        max_hits: int = MAX_HITS,
        total: int = MAX_TOTAL,
        lateness_s: int = LATENESS_S,
    ):
        self.correlations = tuple(correlations)  # each after those it refers to
        self.wanted = frozenset(rule for one in self.correlations for rule in one.rules)
        self.max_hits, self.max_total, self.lateness = max_hits, total, lateness_s * MICRO
        self.untimed = 0  # hits without a time, which cannot be correlated
        self.received: int | None = None  # µs: everything received up to here has been fed
        self.held = {one.id: Held.of(plan(one)) for one in self.correlations}
        self.names = Names()
        self._delay = _delays(self.correlations)

    # ------------------------------------------------------------ in

    def observe(self, batch: EventBatch) -> None:
        """Take note how far time has come, whether the batch has hits or not."""
        name = next((one for one in ("event.ingested", "@timestamp") if one in batch.table.columns), None)
        if name is None or batch.table[name].null_count() == batch.table.height:
            return
        stamps = batch.table[name]
        newest = int(micros(stamps.drop_nulls() if stamps.null_count() else stamps).max())
        self.received = newest if self.received is None else max(self.received, newest)

    def feed(self, hits: Mapping[str, pl.DataFrame], batch: EventBatch) -> list[Firing]:
        """Take the hits of one batch, per rule id the rows that matched, and tell what they complete."""
        matched = {
            rule: Matched(table, batch, self.names, self.lateness)
            for rule, table in hits.items()
            if rule in self.wanted and table.height
        }
        self.untimed += sum(one.untimed for one in matched.values())
        told: list[Firing] = []
        inner: dict[str, Derived] = {}
        for one in self.correlations:
            touched = self._add(one, matched, inner)
            if touched is None or not one.grows:
                continue
            if self._delay[one.id]:
                self.held[one.id].waiting.append(touched)
            else:
                told += self._ask(one, touched, inner)
        self._bound()
        return told

    def _add(self, one: Correlation, matched: Mapping[str, Matched], inner: Mapping[str, Derived]) -> Touched | None:
        held = self.held[one.id]
        parts = [
            part
            for number, rule in enumerate(held.asked.rules)
            if (part := self._part(one, number, rule, matched.get(rule), inner.get(rule))) is not None
        ]
        if not parts:
            return None
        _, found, groups, value = parts[0] if len(parts) == 1 else together(parts)
        rule = np.repeat(np.array([part[0] for part in parts], dtype=np.int16), [len(part[1]) for part in parts])
        behind = found.time < held.known_from
        if behind.any():
            if one.grows:
                held.late += int(behind.sum())
            else:
                found = found.late_where(behind)
        touched = held.add(found, rule, groups, value)
        return touched if len(touched.groups) else None

    def _part(
        self, one: Correlation, number: int, rule: str, matched: Matched | None, inner: Derived | None
    ) -> Part | None:
        """Hits of one rule, by which group and with which value the correlation looks at them."""
        asked = self.held[one.id].asked
        by, fields = one.group_fields(rule), one.value_fields(rule)
        if matched is not None and len(matched.rows):
            texts = [matched.text(field) for field in fields]
            return number, matched.rows, matched.grouped(by), self._value(asked.looks_at_text, texts)
        if inner is not None and len(inner):
            texts = [inner.text(field, self.names) for field in fields]
            return number, inner.rows, inner.grouped(by, self.names), self._value(asked.looks_at_text, texts)
        return None

    def _value(self, as_text: bool, texts: list[pl.Series]) -> npt.NDArray[Any] | None:
        if not texts:
            return None
        if not as_text:
            return texts[0].cast(pl.Float64, strict=False).fill_null(float("nan")).to_numpy()
        if len(texts) == 1:
            return self.names.codes(texts[0])
        missing = np.any([text.is_null().to_numpy() for text in texts], axis=0)
        return np.where(missing, np.int32(-1), self.names.codes(joined(texts, len(texts[0]))))

    def _ask(self, one: Correlation, touched: Touched, inner: dict[str, Derived]) -> list[Firing]:
        held = self.held[one.id]
        found = ask(held, touched)
        if not len(found):
            return []
        if one.id in self.wanted:
            inner[one.id] = derived(held, found.place, found.group)
        return list(tell(held, found, self.names, afresh=self._delay[one.id] > 0))

    # ------------------------------------------------------------ what time decides

    def finish(self) -> list[Firing]:
        """Tell what only the end of the input decides: fewer than, exactly, averages, not."""
        return self._close(None)

    def settle(self, through: int | None = None) -> list[Firing]:
        """The same for inputs that never end: windows that closed ``lateness_s`` ago or earlier.

        Args:
            through: µs; everything received until then has been fed. None: as far as ``observe`` has seen.
        """
        if through is None:
            through = self.received
        if through is None:
            return []
        told = self._close(through - self.lateness)
        for one in self.correlations:
            if one.grows:
                before = through - self.lateness - self._delay[one.id] - 2 * self.held[one.id].asked.span
                self.held[one.id].expire(before)
        return told

    def _close(self, until: int | None) -> list[Firing]:
        told: list[Firing] = []
        inner: dict[str, Derived] = {}
        for one in self.correlations:
            held = self.held[one.id]
            touched = self._add(one, {}, inner)
            if one.grows:
                held.waiting += [touched] if touched is not None else []
                waited = held.waited()
                told += self._ask(one, waited, inner) if waited is not None else []
                continue
            if held.slab.rows:
                closed = close(held, None if until is None else until - self._delay[one.id], self.names)
                told += closed.firings
                inner[one.id] = closed.derived
        self._bound()
        return told

    # ------------------------------------------------------------ bounds

    def _bound(self) -> None:
        """Keep to the limits; what is given up is counted."""
        for held in self.held.values():
            if held.slab.rows > self.max_hits:
                held.evict(self.max_hits * 7 // 8)
        while (over := self.hits - self.max_total) > 0:
            largest = max(self.held.values(), key=lambda held: held.slab.rows)
            largest.evict(min(largest.slab.rows - over, largest.slab.rows * 7 // 8))
        if self.names.size > _MANY_NAMES + 16 * self.hits:
            self._renew()

    def _renew(self) -> None:
        live = np.unique(np.concatenate([held.codes() for held in self.held.values()]))
        self.names, place = self.names.renewed(live)
        for held in self.held.values():
            held.recode(place)

    @property
    def hits(self) -> int:
        """Hits kept, of all correlations."""
        return sum(held.slab.rows for held in self.held.values())

    @property
    def nbytes(self) -> int:
        """Bytes of hits kept, without texts."""
        return sum(held.slab.nbytes for held in self.held.values())

    def count(self, name: str) -> Counter[str]:
        """One of ``evicted``, ``late``, ``overflow``, ``expired`` by correlation id, where it is not 0."""
        return Counter({one: number for one, held in self.held.items() if (number := int(getattr(held, name)))})

    @property
    def evicted(self) -> Counter[str]:
        """Hits given up because there were too many, by correlation id."""
        return self.count("evicted")

    @property
    def overflow(self) -> Counter[str]:
        """Firings not told, by correlation id."""
        return self.count("overflow")

    @property
    def late(self) -> Counter[str]:
        """Hits that came after their windows were decided, by correlation id."""
        return self.count("late")

    def counters(self) -> dict[str, int]:
        """What is held, and what was given up and why, over all correlations."""
        lost = {name: self.count(name).total() for name in ("evicted", "late", "overflow", "expired")}
        found = {"hits": self.hits, "bytes": self.nbytes, "untimed": self.untimed, **lost}
        return {f"correlations.{name}": number for name, number in found.items()}

    # ------------------------------------------------------------ state

    def snapshot(self) -> bytes:
        """All state, in Arrow's file format."""
        return state.pack(self.held, self.names, {"untimed": self.untimed, "received": self.received})

    def restore(self, raw: bytes) -> None:
        """Bring back what ``snapshot`` gave; correlations that are gone or changed are left out.

        Raises:
            InputError: not such a state. Nothing is changed then.
        """
        held, self.names, about = state.unpack(raw, [plan(one) for one in self.correlations])
        self.held = {one.id: held[one.id] for one in self.correlations}
        for one in self.correlations:
            if one.grows and self._delay[one.id] and self.held[one.id].slab.rows:
                self.held[one.id].waiting = [self.held[one.id].asked_of_all()]
        self.untimed, self.received = int(about["untimed"] or 0), about["received"]


def _delays(correlations: Iterable[Correlation]) -> dict[str, int]:
    """µs by which hits of a correlation can come late because they are decided by windows of others."""
    delay: dict[str, int] = {}
    reach: dict[str, int] = {}
    for one in correlations:
        delay[one.id] = max((reach.get(rule, 0) for rule in one.rules), default=0)
        reach[one.id] = delay[one.id] + (0 if one.grows else one.timespan_s * MICRO)
    return delay
