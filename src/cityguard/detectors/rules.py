"""The rule detector: Sigma rules and correlations over batches; hits of one rule, group and hour are one alert."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import tzinfo
from typing import Protocol
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl

from cityguard.clock import Clock, utc_now
from cityguard.detectors.custom.frame import narrow, times
from cityguard.detectors.custom.keeper import Keeper, clamped
from cityguard.detectors.custom.lists import ThreatLists
from cityguard.detectors.custom.order import LATENESS_S, Ints, Lanes
from cityguard.detectors.custom.pack import pack, unpack
from cityguard.detectors.custom.suppress import Joins
from cityguard.detectors.notices import Notice, notices
from cityguard.detectors.screen import Screen, Screened
from cityguard.detectors.telling import MAX_ALERTS as MAX_ALERTS
from cityguard.detectors.telling import Teller, merged
from cityguard.errors import InputError
from cityguard.ids import alert_id
from cityguard.model import Alert, EventBatch
from cityguard.sigma.ast import Rule
from cityguard.sigma.correlation import Correlator, Firing
from cityguard.sigma.engine.engine import Engine
from cityguard.sigma.fields import logsource
from cityguard.sigma.match import applies
from cityguard.sigma.rule import Ruleset

ZONE = ZoneInfo("Asia/Shanghai")


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
        self.ruleset = ruleset
        self.engine: Matcher = engine or Engine.compile(ruleset)
        self.clock = clock
        self.correlator = correlator or Correlator(ruleset.correlations)
        self.screen = Screen(lists or ThreatLists(), zone)
        self.teller = Teller(ruleset, zone)
        self.lanes = Lanes()
        self.joins = Joins()
        self.lateness_us = lateness_s * 1_000_000
        self._silent = ruleset.silent
        self.keepers = {
            rule.id: Keeper(rule, rule.head.custom, lateness_s=lateness_s)
            for rule in ruleset.rules
            if rule.head.custom is not None and rule.head.custom.remembers and rule.id not in self._silent
        }
        self._fed: dict[str, list[Keeper]] = {}  # rule id -> who wants its hits
        for keeper in self.keepers.values():
            for name in keeper.roles:
                self._fed.setdefault(name, []).append(keeper)
        self._rules = {rule.id: rule for rule in ruleset.rules if rule.id in self._fed}
        self._received: int | None = None  # newest receipt since the last settling, µs

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
        for rule, rows in self.engine.rows(batch):
            hits = self.screen.judge(rule, rows, batch.table[rows], now)
            if not hits.table.height:
                continue
            if rule.id in self.correlator.wanted:
                feed[rule.id] = hits.table
            if rule.id in self._fed:
                kept[rule.id] = hits
            if rule.id not in self._silent and rule.id not in self.keepers:
                frame = narrow(rule, hits.table, batch, now)
                if rule.head.custom:
                    frame = frame.hstack(hits.extra)
                found += self.teller.alerts(rule, frame, batch.part)
        if self.keepers and batch.table.height:
            found += self._kept(batch, kept)
        if feed:
            found += self._told(self.correlator.feed(feed, batch), batch.part)
        return found

    def finish(self) -> list[Alert]:
        """Alerts of correlations and of rules that remember which only the end of the input decides."""
        found = self._told(self.correlator.finish(), "finish")
        for keeper in self.keepers.values():
            found += self._alerts(keeper, keeper.finish(self.lanes))
        return found

    def settle(self) -> list[Alert]:
        """What has become certain on an input without an end.

        Time is as far as the newest record received since the last settling, so that what still waits in a spool
        is no silence; where nothing was received, it is now.
        """
        now = int(self.clock().timestamp() * 1_000_000)
        through = now if self._received is None else min(now, self._received)
        self._received = None
        return [
            # a window is decided once, whenever that is: told again after a crash, it counts once
            *self._told(self.correlator.settle(through), "settle"),
            *self.forward(through - self.lateness_us),
        ]

    def forward(self, mark: int) -> list[Alert]:
        """Alerts of rules that remember, once time has come to ``mark`` (µs since the epoch)."""
        found: list[Alert] = []
        for keeper in self.keepers.values():
            if keeper.order.since is not None:
                found += self._alerts(keeper, keeper.forward(mark))
        return found

    def counters(self) -> dict[str, int]:
        """What was folded, came late or was given up for want of room, over all rules."""
        orders = [keeper.order for keeper in self.keepers.values()]
        found = {
            "rules.folded": self.folded.total(),
            "rules.late": sum(one.late for one in orders),
            "rules.waiting": sum(one.held.height for one in orders if one.held is not None),
            "rules.given_up": sum(keeper.lost for keeper in self.keepers.values()),
            **self.correlator.counters(),
        }
        return {name: number for name, number in found.items() if number}

    def notices(self) -> tuple[Notice, ...]:
        """What the people who keep the rules should know: expired exceptions, missing lists, rules still learning."""
        return tuple(notices(self.ruleset, self.keepers, self.screen, self.clock()))

    # ------------------------------------------------------------ rules that remember

    def _kept(self, batch: EventBatch, kept: dict[str, Screened]) -> Iterator[Alert]:
        source = logsource(batch)
        concerned = {rule.id for rule in self._rules.values() if applies(rule, source)}
        if not concerned:
            return
        now = self.clock()
        now_us = int(now.timestamp() * 1_000_000)
        time = clamped(batch.table, times(batch.table, now), now_us)
        lane = f"{batch.dataset}|{batch.collector}"
        newest = self.lanes.advance(lane, time)
        for keeper in self.keepers.values():
            if concerned.isdisjoint(keeper.roles):
                continue
            given = [(role, kept[name]) for name, role in keeper.roles.items() if name in kept]
            if not given:
                rows = keeper.idle(lane, self.lanes, newest)
            else:
                frames = [self._rows(keeper, role, hits, batch, now_us) for role, hits in given]
                place = np.concatenate([hits.place for _, hits in given])
                rows = keeper.take(lane, self.lanes, newest, pl.concat(frames), place)
            yield from self._alerts(keeper, rows)

    def _rows(self, keeper: Keeper, role: int, hits: Screened, batch: EventBatch, now_us: int) -> pl.DataFrame:
        frame = narrow(keeper.rule, hits.table, batch, self.clock()).hstack(hits.extra)
        return keeper.row(frame, hits.table, role, now_us)

    def _alerts(self, keeper: Keeper, rows: pl.DataFrame | None) -> Iterator[Alert]:
        if rows is not None and rows.height:
            yield from map(keeper.counted, self.teller.alerts(keeper.rule, rows, "kept"))

    # ------------------------------------------------------------ correlations

    def _told(self, firings: Sequence[Firing], part: str) -> list[Alert]:
        told = [self.teller.fired(self._joined(one), part) for one in firings if one.correlation.id not in self._silent]
        # two firings that belong to one alert are one alert, with all that stands behind both
        return list(merged(told))

    def _joined(self, one: Firing) -> Firing:
        """The firing under the id of the alert that ``suppress`` says it belongs to."""
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
        parts = {f"rule.{name}": keeper.snapshot() for name, keeper in self.keepers.items()}
        return pack(
            {"lanes": self.lanes.reached, "joins": self.joins.opened},
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
        for name, keeper in self.keepers.items():
            if f"rule.{name}" in parts:
                keeper.restore(parts[f"rule.{name}"])
        self.lanes.reached, self.joins.opened = lanes, joins


def _received(table: pl.DataFrame, now_us: int) -> int:
    """The newest receipt of a batch, µs."""
    newest = table["event.ingested"].max() if "event.ingested" in table.columns else None
    return now_us if newest is None else int(pl.Series([newest]).dt.epoch("us")[0])
