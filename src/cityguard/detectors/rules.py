"""The rule detector: Sigma rules and correlations over batches; hits of one rule, group and hour are one alert."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import orjson
import polars as pl

from cityguard.clock import Clock, utc_now
from cityguard.detectors import words
from cityguard.errors import InputError
from cityguard.ids import alert_id
from cityguard.model import MAX_EVENT_IDS, Alert, EventBatch, Explanation
from cityguard.sigma.ast import Rule
from cityguard.sigma.correlation import Correlator, Firing, nothing, owner, text_of
from cityguard.sigma.engine.engine import Engine
from cityguard.sigma.fields import ENTITIES
from cityguard.sigma.rule import Ruleset
from cityguard.sigma.view import View

MAX_ALERTS = 1000  # per rule and batch; smaller groups beyond it become one alert
MAX_SHOWN = 6  # fields an alert explains itself with
MAX_VALUE = 200  # characters of a value shown
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_VERSION = 1


class RuleDetector:
    """Runs a rule set. Ids depend on rule, group and window only: any order of batches gives the same ones."""

    name = "rules"

    def __init__(self, ruleset: Ruleset, *, clock: Clock = utc_now, engine: Engine | None = None) -> None:
        self.ruleset = ruleset
        self.engine = engine or Engine.compile(ruleset)
        self.clock = clock
        self.correlator = Correlator(ruleset.correlations)
        self.folded: Counter[str] = Counter()  # groups folded into one alert, by rule id
        self._silent = ruleset.silent

    def detect(self, batch: EventBatch) -> list[Alert]:
        """Alerts of this batch, each with its ``part``."""
        found: list[Alert] = []
        feed: dict[str, pl.DataFrame] = {}
        for rule, rows in self.engine.rows(batch):
            table = batch.table[rows]
            if rule.id in self.correlator.wanted:
                feed[rule.id] = table
            if rule.id not in self._silent:
                found += self._alerts(rule, table, batch)
        if feed:
            found += self._told(self.correlator.feed(feed, batch), batch.part)
        return found

    def finish(self) -> list[Alert]:
        """Alerts of correlations that only the end of the input decides."""
        return self._told(self.correlator.finish(), "finish")

    def settle(self) -> list[Alert]:
        """Nothing: correlations that grow fire with their batch, the others wait for the end."""
        return []

    def snapshot(self) -> bytes:
        """State of the correlations, as JSON."""
        return orjson.dumps({"version": _VERSION, "correlator": self.correlator.snapshot()})

    def restore(self, state: bytes) -> None:
        """Bring back what ``snapshot`` gave.

        Raises:
            InputError: the bytes are not such a snapshot.
        """
        try:
            data = orjson.loads(state)
        except orjson.JSONDecodeError as error:
            raise InputError(f"not a snapshot: {error}", remedy="start without it") from None
        if not isinstance(data, dict) or data.get("version") != _VERSION:
            raise InputError("a snapshot of another version", remedy="start without it")
        self.correlator.restore(data.get("correlator"))

    # ------------------------------------------------------------ rules

    def _alerts(self, rule: Rule, table: pl.DataFrame, batch: EventBatch) -> Iterator[Alert]:
        groups = self._grouped(rule, table, batch)
        for row in groups.head(MAX_ALERTS).iter_rows(named=True):
            yield self._alert(rule, row, batch)
        rest = groups.slice(MAX_ALERTS)
        if rest.height:
            self.folded[rule.id] += rest.height
            yield self._rest(rule, rest, batch)

    def _grouped(self, rule: Rule, table: pl.DataFrame, batch: EventBatch) -> pl.DataFrame:
        """One row per group and window, largest first."""
        view = View(table)
        keys = {f"key{index}": text_of(view, name) for index, name in enumerate(_group(rule))}
        shown = {
            f"show{index}": text_of(view, name).str.slice(0, MAX_VALUE)
            for index, name in enumerate(rule.fields[:MAX_SHOWN])
        }
        frame = pl.DataFrame(
            {
                "time": self._times(table),
                "id": table["event.id"] if "event.id" in table.columns else nothing(table.height),
                **keys,
                **shown,
                **{f"who{index}": text_of(view, name) for index, name in enumerate(ENTITIES)},
                **{name: owner(table, name) for name in ("department", "system", "segment")},
            }
        ).with_columns(pl.col("segment").fill_null(pl.lit(batch.segment, dtype=pl.String)))
        bucket = (pl.col("time").dt.epoch("s") // rule.head.window_s * rule.head.window_s).alias("bucket")
        first = [*shown, "department", "system", "segment"]
        who = [pl.col(f"who{index}") for index in range(len(ENTITIES))]
        by = [*keys, "bucket"]
        return (
            frame.with_columns(bucket)
            .sort("time", "id")
            .group_by(by, maintain_order=True)
            .agg(
                pl.len().alias("count"),
                pl.col("time").first().alias("first_seen"),
                pl.col("time").last().alias("last_seen"),
                pl.col("id").drop_nulls().head(MAX_EVENT_IDS).alias("ids"),
                *(pl.col(name).drop_nulls().first().alias(name) for name in first),
                # an alert names an address or account only if all its events do
                *(pl.when(one.min() == one.max()).then(one.min()) for one in who),
            )
            .sort("count", *by, descending=[True] + [False] * len(by), nulls_last=True)
        )

    def _times(self, table: pl.DataFrame) -> pl.Series:
        """When each event happened; when it was received, or now, where that is unknown."""
        have = [name for name in ("@timestamp", "event.ingested") if name in table.columns]
        found = pl.coalesce(
            *(pl.col(name).cast(pl.Datetime("us", "UTC")) for name in have),
            pl.lit(self.clock(), dtype=pl.Datetime("us", "UTC")),
        )
        return table.select(pl.repeat(0, pl.len()).alias("_"), found.alias("time"))["time"]

    def _alert(self, rule: Rule, row: dict[str, object], batch: EventBatch) -> Alert:
        group = _group(rule)
        key = tuple(str(row[f"key{index}"] or "") for index in range(len(group)))
        entities = {name: str(row[f"who{i}"]) for i, name in enumerate(ENTITIES) if row[f"who{i}"] is not None}
        explained = tuple(
            Explanation(name, str(row[f"show{index}"]))
            for index, name in enumerate(rule.fields[:MAX_SHOWN])
            if row[f"show{index}"] is not None
        )
        ids, bucket, count = row["ids"], row["bucket"], row["count"]
        first, last = row["first_seen"], row["last_seen"]
        assert isinstance(ids, list) and isinstance(bucket, int) and isinstance(count, int)
        assert isinstance(first, datetime) and isinstance(last, datetime)
        return Alert(
            id=alert_id(rule.id, rule.head.version, key, bucket),
            rule_id=rule.id,
            title=rule.title,
            level=rule.head.level,
            source="sigma",
            first_seen=first,
            last_seen=last,
            reason=words.rule_reason(rule.title, entities, explained),
            count=count,
            tags=rule.head.tags,
            author=rule.head.author,
            license=rule.head.license,
            advice=rule.head.advice,
            entities=entities,
            department=_maybe(row["department"]),
            system=_maybe(row["system"]),
            segment=_maybe(row["segment"]),
            dataset=batch.dataset,
            event_ids=tuple(sorted(ids)),
            explanation=explained,
            part=batch.part,
        )

    def _rest(self, rule: Rule, rest: pl.DataFrame, batch: EventBatch) -> Alert:
        first, last, bucket = rest["first_seen"].min(), rest["last_seen"].max(), rest["bucket"].min()
        assert isinstance(first, datetime) and isinstance(last, datetime) and isinstance(bucket, int)
        ids = rest["ids"].explode().drop_nulls().sort().head(MAX_EVENT_IDS)
        return Alert(
            id=alert_id(rule.id, rule.head.version, ("*",), bucket),
            rule_id=rule.id,
            title=rule.title,
            level=rule.head.level,
            source="sigma",
            first_seen=first,
            last_seen=last,
            reason=words.rest_reason(rule.title, rest.height),
            count=int(rest["count"].sum()),
            tags=rule.head.tags,
            author=rule.head.author,
            license=rule.head.license,
            advice=rule.head.advice,
            dataset=batch.dataset,
            event_ids=tuple(ids),
            part=batch.part,
        )

    # ------------------------------------------------------------ correlations

    def _told(self, firings: list[Firing], part: str) -> list[Alert]:
        return [self._fired(one, part) for one in firings if one.correlation.id not in self._silent]

    def _fired(self, one: Firing, part: str) -> Alert:
        head = one.correlation.head
        entities = {name: one.about[name] for name in ENTITIES if name in one.about}
        explained = tuple(
            Explanation(name, value[:MAX_VALUE])
            for name, value in zip(one.correlation.group_by, one.group, strict=True)
            if value is not None
        )
        return Alert(
            id=one.alert_id,
            rule_id=one.correlation.id,
            title=head.title,
            level=head.level,
            source="correlation",
            first_seen=_moment(one.first_us),
            last_seen=_moment(one.last_us),
            reason=words.correlation_reason(one, self.ruleset),
            count=one.count,
            tags=head.tags,
            author=head.author,
            license=head.license,
            advice=head.advice,
            entities=entities,
            department=one.about.get("department"),
            system=one.about.get("system"),
            segment=one.about.get("segment"),
            dataset=one.about.get("dataset"),
            event_ids=one.event_ids,
            explanation=explained,
            part=part,
        )


def _group(rule: Rule) -> tuple[str, ...]:
    return ENTITIES if rule.head.group is None else rule.head.group


def _moment(micros: int) -> datetime:
    return _EPOCH + timedelta(microseconds=micros)


def _maybe(value: object) -> str | None:
    return None if value is None else str(value)
