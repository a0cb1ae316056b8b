"""What to look at: violations, lines that expire or are not used, stations unknown or not heard."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import polars as pl

from cityguard.model import Alert, EventBatch, Text
from cityguard.otpolicy import words
from cityguard.otpolicy.baseline import Baseline, as_acts
from cityguard.otpolicy.judge import Judge
from cityguard.otpolicy.policy import Line, Policy
from cityguard.otpolicy.silence import Heard, roll_call
from cityguard.otpolicy.words import Names
from cityguard.register.register import Register

SOON = timedelta(days=30)
MAX_ROWS = 2_000
LEVELS = {
    "critical": Text("严重", "critical"),
    "high": Text("高危", "high"),
    "medium": Text("中危", "medium"),
    "low": Text("低危", "low"),
    "informational": Text("提示", "informational"),
}
STATES = {
    "open": Text("待研判", "open"),
    "acknowledged": Text("已确认", "acknowledged"),
    "escalated": Text("已升级", "escalated"),
    "closed": Text("已关闭", "closed"),
    "true": Text("真实", "true"),
    "false": Text("误报", "false"),
    "benign": Text("良性", "benign"),
}


@dataclass(frozen=True, slots=True)
class LineRow:
    """A line in force, said in words."""

    id: str
    text: Text
    owner: str
    expires: date | None
    expired: bool
    line: Line


@dataclass(frozen=True, slots=True)
class Unknown:
    """Something that speaks a protocol of which stations are registered, but is none of them."""

    protocol: str
    unit: str
    ip: str
    master: str
    count: int
    first: datetime
    last: datetime


@dataclass(frozen=True, slots=True)
class Review:
    """Everything a report or page says of a time range."""

    start: datetime
    end: datetime
    events: int
    violations: tuple[Alert, ...]
    expiring: tuple[LineRow, ...]
    unused: tuple[LineRow, ...]
    unknown: tuple[Unknown, ...]
    heard: tuple[Heard, ...]
    lines: int
    enforced: tuple[Text, ...]

    @property
    def silent(self) -> tuple[Heard, ...]:
        """Registered stations that should have been heard."""
        return tuple(one for one in self.heard if one.silent)


def review(
    seen: Baseline,
    policy: Policy,
    register: Register,
    violations: Sequence[Alert],
    *,
    now: datetime,
    missed: int,
    lateness_s: float,
) -> Review:
    """Hold what was seen in a time range against policy and register."""
    names = Names(register)
    today = now.astimezone(register.zone).date()
    rows = {one.id: row(one, names, today) for one in policy.lines}
    used = used_lines(seen, policy, register)
    soon = [one for one in rows.values() if one.expires is not None and one.expires <= today + SOON]
    return Review(
        start=seen.start,
        end=seen.end,
        events=seen.events,
        violations=tuple(violations[:MAX_ROWS]),
        expiring=tuple(sorted(soon, key=lambda one: (one.expires or today, one.id))),
        unused=tuple(one for key, one in rows.items() if key not in used and not one.expired),
        unknown=unknown(seen, register),
        heard=tuple(
            roll_call(register.stations, last_heard(seen, register), now, missed=missed, lateness_s=lateness_s)
        ),
        lines=len(policy.lines),
        enforced=tuple(names.place(one.place) for one in policy.scopes if one.mode == "enforced"),
    )


def row(line: Line, names: Names, today: date) -> LineRow:
    """A line for people."""
    over = line.expires is not None and line.expires < today
    return LineRow(line.id, words.sentence(line, names), line.owner, line.expires, over, line)


def used_lines(seen: Baseline, policy: Policy, register: Register) -> set[str]:
    """Ids of the lines that something seen needed."""
    judge = Judge(policy, register.zone)
    if seen.deeds.is_empty() or not policy.lines:
        return set()
    told = judge.judge(as_acts(seen.deeds)).filter(pl.col("allowed"))["line"].unique().drop_nulls()
    return set(judge.ids.gather(told).to_list())


def unknown(seen: Baseline, register: Register) -> tuple[Unknown, ...]:
    """Stations seen that the register of now does not list, though it lists others of their protocol."""
    if seen.deeds.is_empty() or not register.stations:
        return ()
    told = _enriched(seen.deeds, register)
    strange = told.filter(~pl.col("ot.station.registered").fill_null(value=True))
    rows = (
        strange.group_by("protocol", pl.col("unit").fill_null(""), pl.col("ip").fill_null(""), maintain_order=True)
        .agg(pl.col("master").first(), pl.col("count").sum(), pl.col("first").min(), pl.col("last").max())
        .sort("count", "protocol", "unit", "ip", descending=[True, False, False, False])
        .head(MAX_ROWS)
    )
    return tuple(Unknown(p, u, i, m, n, f, x) for p, u, i, m, n, f, x in rows.iter_rows())


def last_heard(seen: Baseline, register: Register) -> dict[str, datetime]:
    """When each registered station last sent something; without listed platforms, when it was last part of anything."""
    if seen.deeds.is_empty() or not register.stations:
        return {}
    placed = [one.id for one in register.stations if one.platforms]
    told = _enriched(seen.deeds, register).drop_nulls("ot.station.id")
    heard = pl.when(pl.col("ot.station.id").is_in(placed)).then("heard").otherwise("last")
    rows = told.group_by("ot.station.id").agg(heard.max().alias("heard")).drop_nulls("heard")
    return dict(rows.iter_rows())


def _enriched(deeds: pl.DataFrame, register: Register) -> pl.DataFrame:
    """Deeds with what the register of now says of their stations."""
    ends = deeds.with_columns(
        pl.col("protocol").alias("ot.protocol"),
        pl.col("unit").alias("ot.unit_id"),
        pl.col("master").alias("source.ip"),
        pl.col("ip").alias("destination.ip"),
    )
    return register.enrich(EventBatch("ot", "", ends)).table


def tables(found: Review, names: Names) -> dict[str, object]:
    """A review as plain rows of words, for a report."""
    return {
        "violations": tuple(
            {
                "first": one.first_seen,
                "last": one.last_seen,
                "level": LEVELS[one.level],
                "reason": one.reason,
                "count": one.count,
                "status": STATES[one.verdict or one.status],
            }
            for one in found.violations
        ),
        "expiring": tuple(_line(one) for one in found.expiring),
        "unused": tuple(_line(one) for one in found.unused),
        "unknown": tuple(
            {
                "protocol": words.PROTOCOLS.get(one.protocol, one.protocol),
                "unit": one.unit,
                "ip": one.ip,
                "master": names.master(one.master),
                "count": one.count,
                "first": one.first,
                "last": one.last,
            }
            for one in found.unknown
        ),
        "silent": tuple(
            {
                "name": one.station.name,
                "id": one.station.id,
                "protocol": words.PROTOCOLS.get(one.station.protocol, one.station.protocol),
                "period": words.span(one.period_s) if one.period_s else "",
                "last": one.last,
            }
            for one in found.silent
        ),
        "enforced": found.enforced,
        "lines": found.lines,
        "stations": len(found.heard),
    }


def _line(one: LineRow) -> dict[str, object]:
    state = Text("已到期", "expired") if one.expired else Text("有效", "in force")
    return {"id": one.id, "text": one.text, "owner": one.owner, "expires": one.expires, "state": state}
