"""Hits become alerts: one per group and window, explained; small groups beyond a bound are folded into one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, tzinfo
from typing import Any

import polars as pl

from cityguard.detectors import words
from cityguard.detectors.custom import told
from cityguard.detectors.custom.frame import MAX_SHOWN, MAX_VALUE, NONE, OWNERS, TIME, group, parts
from cityguard.detectors.custom.kind import US
from cityguard.ids import alert_id
from cityguard.model import MAX_EVENT_IDS, Alert, Explanation, Text
from cityguard.sigma.ast import Head, Rule
from cityguard.sigma.correlation import Firing
from cityguard.sigma.custom import Suppress
from cityguard.sigma.engine.account import Notice as Rested
from cityguard.sigma.fields import ENTITIES
from cityguard.sigma.rule import Ruleset

DAY = 86_400
MAX_ALERTS = 1000  # per rule and batch; smaller groups beyond it become one alert
BUDGET = "rules.budget"  # rule id of the alert about a rule over its budget
_ADVICE = Text(
    "为该规则增加必须出现的固定文字，或收窄日志源；不需要时停用；确有需要时调高 detection.budget_ms",
    "give the rule a text that must occur, narrow its log source, or switch it off; raise detection.budget_ms if it is "
    "worth its time",
)
_WHY = ("x", "limit", "origin", "by", "threat", "threat_field", "expired")


class Teller:
    """Makes the alerts of a rule set."""

    def __init__(self, ruleset: Ruleset, zone: tzinfo) -> None:
        self.ruleset = ruleset
        self.zone = zone
        self.folded: Counter[str] = Counter()  # groups folded into one alert, by rule id
        self._titles = {one.id: one.title for one in ruleset.rules}

    def alerts(self, rule: Rule, rows: pl.DataFrame, part: str) -> Iterator[Alert]:
        """Alerts of one rule.

        Args:
            rule: the rule that hit.
            rows: what ``frame.narrow`` gave; with ``n``, ``ids``, ``from``, ``to`` and why, where the rule remembers.
            part: what the alerts are merged by, see ``EventBatch.part``.
        """
        groups = _grouped(rule, rows)
        for row in groups.head(MAX_ALERTS).iter_rows(named=True):
            yield self._alert(rule, row, part)
        rest = groups.slice(MAX_ALERTS)
        if rest.height:
            self.folded[rule.id] += rest.height
            yield self._rest(rule, rest, part)

    def _alert(self, rule: Rule, row: dict[str, Any], part: str) -> Alert:
        entities = {name: str(row[f"who{i}"]) for i, name in enumerate(ENTITIES) if row[f"who{i}"] is not None}
        shown = tuple(
            Explanation(name, str(row[f"show{index}"]))
            for index, name in enumerate(rule.fields[:MAX_SHOWN])
            if row[f"show{index}"] is not None
        )
        why = told.why(rule, row, self._titles, self.zone)
        return Alert(
            id=alert_id(rule.id, rule.head.version, _key(rule, row), row["bucket"]),
            rule_id=rule.id,
            title=rule.title,
            level=rule.head.level,
            source="sigma",
            first_seen=row["first_seen"],
            last_seen=row["last_seen"],
            reason=told.joined(words.rule_reason(rule.title, entities, shown), [one.sentence for one in why]),
            count=row["count"],
            tags=rule.head.tags,
            author=rule.head.author,
            license=rule.head.license,
            advice=advice(rule.head),
            entities=entities,
            department=row["department"],
            system=row["system"],
            segment=row["segment"],
            dataset=row["dataset"],
            event_ids=tuple(sorted(row["ids"])),
            explanation=(*(one.explanation for one in why), *shown),
            part=part,
        )

    def _rest(self, rule: Rule, rest: pl.DataFrame, part: str) -> Alert:
        first, last, bucket = rest["first_seen"].min(), rest["last_seen"].max(), rest["bucket"].min()
        assert isinstance(first, datetime) and isinstance(last, datetime) and isinstance(bucket, int)
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
            advice=advice(rule.head),
            dataset=rest["dataset"][0],
            event_ids=tuple(rest["ids"].explode().drop_nulls().sort().head(MAX_EVENT_IDS)),
            part=part,
        )

    def fired(self, one: Firing, part: str) -> Alert:
        """The alert of one firing of a correlation."""
        head = one.correlation.head
        last = zip(one.correlation.group_fields(one.correlation.rules[-1]), one.group, strict=True)
        grouped = {name: value for name, value in last if value is not None}  # an alias: as the last rule names it
        known = grouped | one.about
        entities = {name: known[name] for name in ENTITIES if name in known}
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
            first_seen=words.moment(one.first_us),
            last_seen=words.moment(one.last_us),
            reason=words.correlation_reason(one, self.ruleset),
            count=one.count,
            tags=head.tags,
            author=head.author,
            license=head.license,
            advice=advice(head),
            entities=entities,
            department=one.about.get("department"),
            system=one.about.get("system"),
            segment=one.about.get("segment"),
            dataset=one.about.get("dataset"),
            event_ids=one.event_ids,
            explanation=explained,
            part=part,
        )


def rested(notice: Rested, now: datetime, part: str) -> Alert:
    """The alert of a rule that the engine left out for its cost; one a day. It is no alert of the rule itself."""
    day = int(now.timestamp()) // DAY * DAY
    return Alert(
        id=alert_id(BUDGET, "1", (notice.rule_id,), day),
        rule_id=BUDGET,
        title=Text(
            f"检测规则超出时间预算，暂停使用：{notice.title.zh}",
            f"A rule is over its time budget and rests: {notice.title.en}",
        ),
        level="medium",
        source="sigma",
        first_seen=now,
        last_seen=now,
        reason=notice.reason,
        advice=_ADVICE,
        explanation=(Explanation("rule.id", notice.rule_id),),
        part=part,
    )


def merged(alerts: Iterable[Alert]) -> Iterator[Alert]:
    """Alerts of one call, each id and part once: counts added up, the widest span, the first event ids."""
    found: dict[tuple[str, str], Alert] = {}
    for alert in alerts:
        key = (alert.id, alert.part)
        before = found.get(key)
        found[key] = alert if before is None else _both(before, alert)
    yield from found.values()


def _both(one: Alert, other: Alert) -> Alert:
    return replace(
        one,
        count=one.count + other.count,
        first_seen=min(one.first_seen, other.first_seen),
        last_seen=max(one.last_seen, other.last_seen),
        event_ids=tuple(sorted({*one.event_ids, *other.event_ids})[:MAX_EVENT_IDS]),
        entities={name: text for name, text in one.entities.items() if other.entities.get(name) == text},
    )


def advice(head: Head) -> Text:
    """What to do: the rule's advice, then its response."""
    response = head.custom.response if head.custom is not None else Text("", "")
    zh = (head.advice.zh, f"处置：{response.zh}" if response.zh else "")
    en = (head.advice.en, f"Response: {response.en}" if response.en else "")
    return Text("；".join(filter(None, zh)), "; ".join(filter(None, en)))


def _suppress(rule: Rule) -> Suppress | None:
    return rule.head.custom.suppress if rule.head.custom is not None else None


def _key(rule: Rule, row: Mapping[str, Any]) -> tuple[str, ...]:
    suppress = _suppress(rule)
    if suppress is not None:
        return tuple("" if value == NONE else value for value in parts(row["sup"], suppress.by))
    return tuple(str(row[f"key{index}"] or "") for index in range(len(group(rule))))


def _grouped(rule: Rule, rows: pl.DataFrame) -> pl.DataFrame:
    """One row per group and window, largest first."""
    window = rule.head.window_s
    many = "ids" in rows.columns
    if _suppress(rule) is not None:
        bucket, keys = pl.col("opened") // US, ["sup"]
    else:
        bucket = pl.col("time").dt.epoch("s") // window * window
        keys = [f"key{index}" for index in range(len(group(rule)))]
    ids = pl.col("ids").list.explode().unique(maintain_order=True) if many else pl.col("id")
    shown = [name for name in rows.columns if name.startswith("show")]
    who = [pl.col(f"who{index}") for index in range(len(ENTITIES))]
    by = [*keys, "bucket"]
    return (
        rows.lazy()
        .with_columns(bucket.alias("bucket"))
        .sort("time", "id")
        .group_by(by, maintain_order=True)
        .agg(
            (pl.col("n").sum() if many else pl.len()).cast(pl.Int64).alias("count"),
            (pl.col("from").min().cast(TIME) if many else pl.col("time").first()).alias("first_seen"),
            (pl.col("to").max().cast(TIME) if many else pl.col("time").last()).alias("last_seen"),
            ids.drop_nulls().head(MAX_EVENT_IDS).alias("ids"),
            *(pl.col(name).drop_nulls().first() for name in (*shown, *OWNERS, "dataset")),
            # an alert names an address or account only if all its events do
            *(pl.when(one.min() == one.max()).then(one.min()) for one in who),
            *(pl.col(name).drop_nulls().first() for name in _WHY if name in rows.columns),
            *((pl.col("by").n_unique().alias("terms"),) if "by" in rows.columns else ()),
        )
        .sort("count", *by, descending=[True] + [False] * len(by), nulls_last=True)
        .collect()
    )
