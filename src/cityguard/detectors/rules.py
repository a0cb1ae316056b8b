"""The rule detector: Sigma rules and correlations over batches; hits of one rule, group and hour are one alert."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, tzinfo
from typing import Protocol
from zoneinfo import ZoneInfo

import polars as pl

from cityguard.clock import Clock, utc_now
from cityguard.detectors.custom.frame import Facts
from cityguard.detectors.custom.keeper import Keeper
from cityguard.detectors.custom.keepers import Keepers, as_events
from cityguard.detectors.custom.lists import ThreatLists
from cityguard.detectors.custom.order import LATENESS_S, Ints
from cityguard.detectors.custom.pack import pack, unpack
from cityguard.detectors.custom.suppress import Joins
from cityguard.detectors.notices import Notice, notices
from cityguard.detectors.screen import Screen, Screened
from cityguard.detectors.telling import MAX_ALERTS as MAX_ALERTS
from cityguard.detectors.telling import Teller, merged, rested
from cityguard.errors import InputError
from cityguard.ids import alert_id
from cityguard.model import Alert, EventBatch
from cityguard.sigma.ast import Rule
from cityguard.sigma.correlation import Correlator, Firing
from cityguard.sigma.engine.account import Notice as Rested
from cityguard.sigma.engine.engine import Engine
from cityguard.sigma.rule import Ruleset

ZONE = ZoneInfo("Asia/Shanghai")
MAX_RESTED = 2_000  # notices kept for who writes notes; nobody may


class Matcher(Protocol):
    """What finds the hits: the compiled engine, or anything that answers as it does."""

    def rows(self, batch: EventBatch) -> Iterator[tuple[Rule, Ints]]:
        """Every rule that hits, with the numbers of its rows, ascending."""


class RuleDetector:
    """Runs a rule set.

    Ids depend on rule, group and window only: any order of batches gives the same ones. Rules that remember decide
    in event time; for them any cut of the same sequence of rows gives the same alerts.
    """

    name = "rules"

    def __init__(
        self,
        ruleset: Ruleset,
        *,
        clock: Clock = utc_now,
        engine: Matcher | None = None,
        zone: tzinfo = ZONE,
        lists: ThreatLists | None = None,
        lateness_s: int = LATENESS_S,
        correlator: Correlator | None = None,
    ) -> None:
        self.clock = clock
        self.screen = Screen(lists or ThreatLists(), zone)
        self._zone, self._lateness_s = zone, lateness_s
        self.rested: list[Rested] = []  # who writes notes takes them off
        self._received: int | None = None  # newest receipt since the last settling, µs
        self._arm(ruleset, engine or Engine.compile(ruleset), correlator or Correlator(ruleset.correlations))

    def _arm(self, ruleset: Ruleset, engine: Matcher, correlator: Correlator) -> None:
        self.ruleset, self.engine, self.correlator = ruleset, engine, correlator
        self.teller = Teller(ruleset, self._zone)
        self.joins = Joins()
        self.keepers = Keepers(ruleset, lateness_s=self._lateness_s)
        self._silent = ruleset.silent
        self._kept = _fed(ruleset, self.keepers.of)

    def exchange(self, ruleset: Ruleset, engine: Matcher, correlator: Correlator | None = None) -> None:
        """Other rules from the next batch on, made ready before; what correlations and rules hold stays, by rule id."""
        state = self.snapshot()
        self._arm(ruleset, engine, correlator or Correlator(ruleset.correlations))
        self.restore(state)

    @property
    def folded(self) -> Counter[str]:
        """Groups folded into one alert, by rule id."""
        return self.teller.folded

    def detect(self, batch: EventBatch) -> list[Alert]:
        """Alerts of this batch, each with its ``part``."""
        found: list[Alert] = []
        feed: dict[str, pl.DataFrame] = {}
        kept: dict[str, Screened] = {}
        now = self.clock()
        self._received = max(self._received or 0, _received(batch.table, int(now.timestamp() * 1_000_000)))
        self.correlator.observe(batch)
        hits = [(rule, self.screen.judge(rule, rows, batch, now)) for rule, rows in self.engine.rows(batch)]
        facts = Facts(batch, [one.place for _, one in hits], now)
        for rule, one in hits:
            if not len(one.place):
                continue
            if rule.id in self.keepers.fed:
                kept[rule.id] = one
            if rule.id in self.keepers.of:
                continue
            if rule.id in self.correlator.wanted:
                feed[rule.id] = one.table
            if rule.id not in self._silent:
                frame = facts.narrow(rule, one.place)
                frame = frame.hstack(one.extra) if rule.head.custom else frame
                found += self.teller.alerts(rule, frame, batch.part)
        fired = list(self.keepers.take(batch, kept, facts)) if self.keepers else []
        return found + self._fired(fired, feed, batch) + self._rested(now, batch.part)

    def finish(self) -> list[Alert]:
        """Alerts of correlations and of rules that remember which only the end of the input decides."""
        found = self._fired(self.keepers.finish(), {}, EventBatch("", "rules", pl.DataFrame(), part="finish"))
        return found + self._told(self.correlator.finish(), "finish")

    def settle(self, through: datetime | None = None) -> list[Alert]:
        """What has become certain on an input without an end.

        Where nobody says how far records were taken, time is as far as the newest one received since the last
        settling, so that what still waits in a spool is no silence; where nothing was received, it is now.
        """
        now = int(self.clock().timestamp() * 1_000_000)
        newest = now if self._received is None else self._received
        far = min(now, newest if through is None else int(through.timestamp() * 1_000_000))
        self._received = None
        # a window is decided once, whenever that is: told again after a crash, it counts once
        found = [*self.forward(far - self.keepers.lateness_us), *self._told(self.correlator.settle(far), "settle")]
        return found + self._rested(self.clock(), "settle")

    def forward(self, mark: int) -> list[Alert]:
        """Alerts of rules that remember, once time has come to ``mark`` (µs since the epoch)."""
        return self._fired(self.keepers.forward(mark), {}, EventBatch("", "rules", pl.DataFrame(), part="settle"))

    def counters(self) -> dict[str, int]:
        """What was folded, came late or was given up for want of room, over all rules."""
        orders = [keeper.order for keeper in self.keepers.of.values()]
        found = {
            "rules.folded": self.folded.total(),
            "rules.late": sum(one.late for one in orders),
            "rules.waiting": sum(one.held.height for one in orders if one.held is not None),
            "rules.given_up": sum(keeper.lost for keeper in self.keepers.of.values()),
            **self.correlator.counters(),
        }
        return {name: number for name, number in found.items() if number}

    def notices(self) -> tuple[Notice, ...]:
        """What the people who keep the rules should know: expired exceptions, missing lists, rules still learning."""
        return tuple(notices(self.ruleset, self.keepers.of, self.screen, self.clock()))

    # ------------------------------------------------------------ rules that remember

    def _fired(
        self, fired: Iterable[tuple[Keeper, pl.DataFrame]], feed: dict[str, pl.DataFrame], batch: EventBatch
    ) -> list[Alert]:
        """Alerts of what fired, and of correlations that are fed with it and with other rules' hits."""
        found: list[Alert] = []
        late: dict[str, dict[str, pl.DataFrame]] = {}  # by data set: what fires may have come with earlier batches
        for keeper, rows in fired:
            if keeper.rule.id not in self._silent:
                found += map(keeper.counted, self.teller.alerts(keeper.rule, rows, "kept"))
            if keeper.rule.id in self.correlator.wanted:
                for (dataset,), mine in rows.group_by("dataset", maintain_order=True):
                    late.setdefault(str(dataset), {})[keeper.rule.id] = as_events(keeper, mine)
        told = self.correlator.feed(feed, batch) if feed else []
        for dataset, tables in late.items():
            told += self.correlator.feed(tables, EventBatch(dataset, "rules", pl.DataFrame()))
        return found + self._told(told, batch.part)

    def _rested(self, now: datetime, part: str) -> list[Alert]:
        """Alerts of rules that the engine has left out since the last call, for what they cost."""
        fresh: list[Rested] = getattr(self.engine, "notices", [])
        found = [rested(one, now, part) for one in fresh]
        self.rested = [*self.rested, *fresh][-MAX_RESTED:]
        fresh.clear()
        return found

    # ------------------------------------------------------------ correlations

    def _told(self, firings: Sequence[Firing], part: str) -> list[Alert]:
        loud = [one for one in firings if one.correlation.id not in self._silent]
        told = [self.teller.fired(self._joined(one), self._part(one, part)) for one in loud]
        # two firings that belong to one alert are one alert, with all that stands behind both
        return list(merged(told))

    def _part(self, one: Firing, part: str) -> str:
        """What a firing's alert is merged by.

        Which call tells of what fires of a rule that remembers depends on when a watermark was passed. What it feeds
        is told with all its hits as one part of its own, so that told again after a crash it counts once.
        """
        return f"kept:{one.alert_id}" if one.correlation.id in self._kept else part

    def _joined(self, one: Firing) -> Firing:
        """The firing under the id of the alert that ``suppress`` says it belongs to."""
        if one.correlation.id in self._kept:
            one = replace(one, count=one.total)
        head = one.correlation.head
        suppress = head.custom.suppress if head.custom is not None else None
        if suppress is None:
            return one
        known = {**one.about, **dict(zip(one.correlation.group_by, one.group, strict=True))}
        group = tuple(known.get(name) or "" for name in suppress.by)
        opened = self.joins.bucket(one.correlation.id, group, one.bucket_s, suppress.for_s)
        return replace(one, alert_id=alert_id(one.correlation.id, head.version, group, opened))

    # ------------------------------------------------------------ state

    def snapshot(self) -> bytes:
        """All state: correlations, and what rules remember."""
        parts = {f"rule.{name}": keeper.snapshot() for name, keeper in self.keepers.of.items()}
        return pack(
            {"lanes": self.keepers.lanes.reached, "joins": self.joins.opened},
            {"correlations": self.correlator.snapshot(), **parts},
        )

    def restore(self, state: bytes) -> None:
        """Bring back what ``snapshot`` gave; rules that are gone or ask for something else begin anew.

        Raises:
            InputError: the bytes are not such a snapshot.
        """
        try:
            head, parts = unpack(state)
            lanes = {str(name): int(time) for name, time in head["lanes"].items()}
            joins = {str(name): int(time) for name, time in head["joins"].items()}
            correlations = parts["correlations"]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(f"not a snapshot: {error}", remedy="start without it") from None
        self.correlator.restore(correlations)
        for name, keeper in self.keepers.of.items():
            if f"rule.{name}" in parts:
                keeper.restore(parts[f"rule.{name}"])
        self.keepers.lanes.reached, self.joins.opened = lanes, joins


def _fed(ruleset: Ruleset, names: Iterable[str]) -> frozenset[str]:
    """Ids of the correlations that what fires of these rules reaches, directly or through others."""
    found = set(names)
    for one in ruleset.correlations:  # each after those it refers to
        if not found.isdisjoint(one.rules):
            found.add(one.id)
    return frozenset(found)


def _received(table: pl.DataFrame, now_us: int) -> int:
    """The newest receipt of a batch, µs."""
    newest = table["event.ingested"].max() if "event.ingested" in table.columns else None
    return now_us if newest is None else int(pl.Series([newest]).dt.epoch("us")[0])
