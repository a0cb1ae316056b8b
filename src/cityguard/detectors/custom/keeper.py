"""One rule that remembers: its waiting rows, its memory, its open alerts, and all of that as bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from cityguard.detectors.custom.absence import Silences
from cityguard.detectors.custom.baseline import Baselines
from cityguard.detectors.custom.frame import Facts
from cityguard.detectors.custom.kind import Kind, fired
from cityguard.detectors.custom.new_terms import Terms
from cityguard.detectors.custom.order import LATENESS_S, NEVER, Ints, Lanes, Order
from cityguard.detectors.custom.pack import frame, pack, table, unpack
from cityguard.detectors.custom.rate import Rates
from cityguard.detectors.custom.sequence import UNTIL, Sequences
from cityguard.detectors.custom.suppress import Openings
from cityguard.errors import InputError
from cityguard.model import Alert
from cityguard.sigma.ast import Rule
from cityguard.sigma.custom import Absence, Baseline, Custom, Memory, NewTerms, Rate, Sequence

MAX_COUNTED = 10_000  # alerts of one rule whose count is remembered


class Keeper:
    """Takes a rule's hits and gives back, in event time, those that fire."""

    def __init__(
        self, rule: Rule, custom: Custom, *, needs: tuple[str, ...] = (), lateness_s: int = LATENESS_S
    ) -> None:
        self.rule = rule
        self.custom = custom
        self.needs = needs  # fields by which correlations look at what fires
        self.asked = fingerprint(rule, needs)
        self.roles = _roles(rule, custom.memory)
        self.order = Order(lateness_s * 1_000_000)
        self.kind: Kind | None = None if custom.memory is None else _KINDS[type(custom.memory)](custom.memory)
        self.openings = None if custom.suppress is None else Openings(custom.suppress)
        self._counts: dict[str, int] = {}  # hits told of, by alert id
        self._written: bytes | None = None  # the last snapshot, while nothing has changed

    # ------------------------------------------------------------ rows

    def rows(self, facts: Facts, place: Ints, extra: pl.DataFrame, role: int) -> pl.DataFrame:
        """Hits with what this keeper asks of them: ``t``, ``role``, ``by``, ``sup``, ``value``, ``need0`` …

        Args:
            facts: the batch's hits.
            place: the numbers of the rows.
            extra: what the screen says of each.
            role: 0 for the rule itself; its place in a sequence.
        """
        memory, suppress = self.custom.memory, self.custom.suppress
        sums = memory.field if isinstance(memory, Baseline) else None
        none = pl.Series([None], dtype=pl.Float64).new_from_index(0, len(place))
        return facts.narrow(self.rule, place).hstack(
            [
                *extra.get_columns(),
                pl.Series("t", facts.clamped(place), dtype=pl.Int64),
                pl.Series("role", np.full(len(place), role), dtype=pl.Int64),
                facts.joined(_by(memory), place).alias("by"),
                facts.joined(suppress.by if suppress else (), place).alias("sup"),
                (facts.numbers(sums, place) if sums else none).alias("value"),
                *(facts.texts(name, place).alias(f"need{index}") for index, name in enumerate(self.needs)),
            ]
        )

    def take(self, lane: str, reached: Lanes, newest: Ints, rows: pl.DataFrame, place: Ints) -> pl.DataFrame | None:
        """Rows of one batch; gives those that fire by now. See ``Order.take``."""
        return self._decide(self.order.take(lane, reached, newest, rows, place))

    def idle(self, lane: str, reached: Lanes, newest: Ints) -> pl.DataFrame | None:
        """A batch of this rule's log source in which nothing hit: time passes."""
        return self._decide(self.order.pass_by(lane, reached, newest))

    def forward(self, mark: int) -> pl.DataFrame | None:
        """Time has come to ``mark`` (µs), whatever the events say."""
        return self._decide(self.order.forward(mark))

    def finish(self, reached: Lanes) -> pl.DataFrame | None:
        """The input has ended."""
        return self._decide(self.order.finish(reached))

    def _decide(self, rows: pl.DataFrame | None) -> pl.DataFrame | None:
        mark = self.order.mark
        self._written = None
        if mark == NEVER:
            return None
        if rows is None and (self.kind is None or not self.kind.waits(mark)):
            return None
        if self.kind is not None:
            rows = self.kind.take(rows, mark, self.order.since if self.order.since is not None else mark)
        elif rows is not None:
            rows = fired(rows, pl.lit(None), pl.lit(None), pl.lit(None))
        if rows is None or self.openings is None:
            return rows
        return self.openings.take(rows, mark)

    def counted(self, alert: Alert) -> Alert:
        """The alert with all that was ever counted on it, as one part of its own.

        Which call tells of a hit depends on when a watermark was passed; told again after a crash, it counts once.
        """
        total = self._counts.pop(alert.id, 0) + alert.count
        self._counts[alert.id] = total
        while len(self._counts) > MAX_COUNTED:
            del self._counts[next(iter(self._counts))]
        self._written = None
        return replace(alert, count=total, part=f"kept:{self.order.since}")

    # ------------------------------------------------------------ state

    @property
    def lost(self) -> int:
        """Rows, groups and values given up because there were too many."""
        return self.order.hurried + sum(self._lost())

    def _lost(self) -> list[int]:
        return [self.kind.lost if self.kind else 0, self.openings.lost if self.openings else 0]

    def snapshot(self) -> bytes:
        """All state; the same bytes as long as nothing has changed."""
        if self._written is None:
            tables = {f"kind.{name}": one for name, one in (self.kind.tables() if self.kind else {}).items()}
            tables |= {f"open.{name}": one for name, one in (self.openings.tables() if self.openings else {}).items()}
            tables |= {} if self.order.held is None else {"held": self.order.held}
            head = {"asked": self.asked, "counts": self._counts, "lost": self._lost(), **self.order.counts()}
            self._written = pack(head, {name: table(one) for name, one in tables.items()})
        return self._written

    def restore(self, raw: bytes) -> None:
        """Bring back what ``snapshot`` gave; a rule that asks for something else by now begins anew.

        Raises:
            InputError: not such a state. Nothing is changed then.
        """
        fresh = Keeper(self.rule, self.custom, needs=self.needs)
        try:
            head, parts = unpack(raw)
            if head["asked"] != self.asked:
                return
            tables = {name: frame(part) for name, part in parts.items()}
            fresh.order = Order.of(head, tables.get("held"))
            counts = {str(name): int(count) for name, count in head["counts"].items()}
            lost = [int(count) for count in head["lost"]]
            for owner, name, given_up in zip((fresh.kind, fresh.openings), ("kind.", "open."), lost, strict=True):
                if owner is not None:
                    owner.restore({key[5:]: one for key, one in tables.items() if key.startswith(name)})
                    owner.lost = given_up
        except (KeyError, TypeError, ValueError, AttributeError, pl.exceptions.PolarsError) as error:
            raise InputError(f"not a snapshot of rule {self.rule.id}: {error}", remedy="start without it") from None
        fresh.order.lateness_us = self.order.lateness_us
        self.order, self.kind, self.openings = fresh.order, fresh.kind, fresh.openings
        self._counts, self._written = counts, None


def fingerprint(rule: Rule, needs: tuple[str, ...]) -> str:
    """Changes when what a rule remembers would mean something else; exceptions and lists may change meanwhile."""
    head, custom = rule.head, rule.head.custom
    told: object = rule.id
    if custom is not None:
        source = (rule.category, rule.product, rule.service)
        asked = (rule.id, head.version, source, rule.node, custom.memory, custom.suppress)
        told = (*asked, head.group, rule.fields, needs)
    return hashlib.blake2b(repr(told).encode(), digest_size=8).hexdigest()


_KINDS: dict[type, Callable[[Any], Kind]] = {
    NewTerms: Terms,
    Baseline: Baselines,
    Rate: Rates,
    Absence: Silences,
    Sequence: Sequences,
}


def _roles(rule: Rule, memory: Memory | None) -> dict[str, int]:
    """Rule id to its part: the rule itself is last of a sequence's steps."""
    if not isinstance(memory, Sequence):
        return {rule.id: 0}
    ends = {memory.until: UNTIL} if memory.until else {}
    return {**{name: step for step, name in enumerate(memory.steps)}, **ends, rule.id: len(memory.steps)}


def _by(memory: Memory | None) -> tuple[str, ...]:
    if memory is None:
        return ()
    return memory.fields if isinstance(memory, NewTerms) else memory.by
