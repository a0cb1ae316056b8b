"""All rules of a set that remember: which of them a batch concerns, how far time has come, their state."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import polars as pl

from cityguard.detectors.custom.frame import OWNERS, TIME, Facts, clamped, group, times
from cityguard.detectors.custom.keeper import Keeper
from cityguard.detectors.custom.order import LATENESS_S, Lanes
from cityguard.detectors.screen import Screened
from cityguard.model import EventBatch
from cityguard.sigma.ast import Correlation
from cityguard.sigma.fields import ENTITIES, logsource
from cityguard.sigma.match import applies
from cityguard.sigma.rule import Ruleset

Fired = Iterator[tuple[Keeper, pl.DataFrame]]


class Keepers:
    """One keeper per rule that remembers and raises alerts or feeds correlations."""

    def __init__(self, ruleset: Ruleset, *, lateness_s: int = LATENESS_S) -> None:
        needs = _needs(ruleset.correlations)
        silent = ruleset.silent
        self.lanes = Lanes()
        self.lateness_us = lateness_s * 1_000_000
        self.of = {
            rule.id: Keeper(rule, rule.head.custom, needs=needs.get(rule.id, ()), lateness_s=lateness_s)
            for rule in ruleset.rules
            if rule.head.custom is not None
            and rule.head.custom.remembers
            and (rule.id not in silent or rule.id in needs)
        }
        self.fed = {name for keeper in self.of.values() for name in keeper.roles}  # ids of rules whose hits are taken
        self._rules = [rule for rule in ruleset.rules if rule.id in self.fed]

    def __bool__(self) -> bool:
        return bool(self.of)

    def take(self, batch: EventBatch, kept: Mapping[str, Screened], facts: Facts) -> Fired:
        """Hits of one batch, by rule id; gives what fires by now, rule by rule."""
        source = logsource(batch)
        concerned = {rule.id for rule in self._rules if applies(rule, source)}
        if not concerned or not batch.table.height:
            return
        lane = f"{batch.dataset}|{batch.collector}"
        newest = self.lanes.advance(lane, clamped(batch.table, times(batch.table, facts.now), facts.now))
        for keeper in self.of.values():
            if concerned.isdisjoint(keeper.roles):
                continue
            given = [(role, kept[name]) for name, role in keeper.roles.items() if name in kept]
            if given:
                frames = [keeper.rows(facts, hits.place, hits.extra, role) for role, hits in given]
                place = np.concatenate([hits.place for _, hits in given])
                yield from _some(keeper, keeper.take(lane, self.lanes, newest, pl.concat(frames), place))
            else:
                yield from _some(keeper, keeper.idle(lane, self.lanes, newest))

    def forward(self, mark: int) -> Fired:
        """What fires once time has come to ``mark``, µs; rules that have seen nothing yet do not begin by it."""
        for keeper in self.of.values():
            if keeper.order.since is not None:
                yield from _some(keeper, keeper.forward(mark))

    def finish(self) -> Fired:
        """What fires when the input ends."""
        for keeper in self.of.values():
            yield from _some(keeper, keeper.finish(self.lanes))


def as_events(keeper: Keeper, rows: pl.DataFrame) -> pl.DataFrame:
    """What fired as a table of events, with the columns correlations ask this rule for."""
    named = {
        **{name: rows[f"who{index}"] for index, name in enumerate(ENTITIES)},
        **{name: rows[f"key{index}"] for index, name in enumerate(group(keeper.rule))},
        **{name: rows[f"need{index}"] for index, name in enumerate(keeper.needs)},
        **{f"destination.{name}": rows[name] for name in OWNERS},
    }
    # the moment it counts at is none after its receipt, whatever its own stamp says
    when = rows.select(pl.min_horizontal("time", pl.col("e").cast(TIME))).to_series()
    return pl.DataFrame({"@timestamp": when, "event.id": rows["id"], **named})


def _some(keeper: Keeper, rows: pl.DataFrame | None) -> Fired:
    if rows is not None and rows.height:
        yield keeper, rows


def _needs(correlations: tuple[Correlation, ...]) -> dict[str, tuple[str, ...]]:
    """Rule id -> the fields by which correlations look at its hits."""
    found: dict[str, dict[str, None]] = {}
    for one in correlations:
        for name in one.rules:
            asked = (*one.group_fields(name), *one.value_fields(name))
            found.setdefault(name, {}).update(dict.fromkeys(asked))
    return {name: tuple(fields) for name, fields in found.items()}
