"""Are alerts answered and closed in time? Times per level, from the audit log of triage."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from cityguard.checks.base import LOG_DAYS, MAX_LISTED, MET, OPEN, PART, UNMET, CheckInfo, Context, evidence
from cityguard.model import Alert, Evidence, Level, Query, System, Term, Text

INFO = CheckInfo(
    id="alert_handling",
    title=Text("告警响应与处置时效", "Alert handling times"),
    controls=(
        *("L3-SMC1-12", "L4-SMC1-12", "L3-MMS1-20", "L4-MMS1-21"),
        *("L1-MMS1-12", "L2-MMS1-25", "L3-MMS1-37", "L4-MMS1-39"),
    ),
    method="核查",
    valid_days=LOG_DAYS,
)
DAYS = 90
MOST_ALERTS, MOST_ENTRIES = 10_000, 50_000
TARGETS: dict[Level, tuple[timedelta, timedelta]] = {
    "critical": (timedelta(hours=1), timedelta(days=1)),
    "high": (timedelta(hours=4), timedelta(days=3)),
    "medium": (timedelta(days=1), timedelta(days=7)),
    "low": (timedelta(days=3), timedelta(days=30)),
}
"""Longest time to the first answer and to the end, by level."""


def run(system: System, ctx: Context) -> Iterator[Evidence]:
    """不符合 when a high or critical alert is overdue now, 部分符合 when any was late, 未判定 without alerts."""
    where = Term("system", "eq", system.id)
    query = Query(where=where, start=ctx.ago(DAYS), end=ctx.now, limit=MOST_ALERTS)
    alerts = [alert for alert in ctx.store.alerts.find(query) if alert.level in TARGETS]
    if not alerts:
        reason = Text(f"最近 {DAYS} 天该系统没有告警", f"no alert of the system in the last {DAYS} days")
        yield evidence(INFO, ctx, system, system, OPEN, reason, {"alerts": 0, "days": DAYS})
        return
    acts = _acts(ctx, {alert.id for alert in alerts})
    late = [(alert, said) for alert in alerts if (said := _late(alert, acts.get(alert.id, []), ctx.now))]
    overdue = [alert for alert, said in late if alert.status != "closed" and alert.level in ("critical", "high")]
    record = {
        "alerts": len(alerts),
        "open": sum(alert.status != "closed" for alert in alerts),
        "late": [{"id": alert.id, "level": alert.level, "late": said} for alert, said in late[:MAX_LISTED]],
        "targets_hours": {level: [part.total_seconds() / 3600 for part in both] for level, both in TARGETS.items()},
    }
    verdict = UNMET if overdue else PART if late else MET
    reason = Text(
        f"{len(alerts)} 条告警中 {len(late)} 条超时，其中 {len(overdue)} 条高危未处置",
        f"{len(late)} of {len(alerts)} alerts late, {len(overdue)} of them high and still open",
    )
    yield evidence(INFO, ctx, system, system, verdict, reason, record)


def _acts(ctx: Context, ids: set[str]) -> dict[str, list[tuple[datetime, str]]]:
    found: dict[str, list[tuple[datetime, str]]] = {}
    for entry in ctx.store.records.find_audit(MOST_ENTRIES):
        if entry.object in ids and entry.action.startswith("alert.") and not entry.action.endswith(".refused"):
            found.setdefault(entry.object, []).append((entry.at, entry.action))
    return {alert_id: sorted(acts) for alert_id, acts in found.items()}


def _late(alert: Alert, acts: list[tuple[datetime, str]], now: datetime) -> str:
    answer, end = TARGETS[alert.level]
    answered = acts[0][0] if acts else now
    if answered - alert.first_seen > answer:
        return f"first answer after {_hours(answered - alert.first_seen)}" if acts else "unanswered"
    closed = [at for at, action in acts if action == "alert.close"] if alert.status == "closed" else []
    ended = closed[-1] if closed else now
    if alert.status == "closed" and not closed:
        return ""  # closed before the log we can see: no time to judge by
    if ended - alert.first_seen > end:
        return f"closed after {_hours(ended - alert.first_seen)}" if closed else "not closed in time"
    return ""


def _hours(span: timedelta) -> str:
    return f"{span.total_seconds() / 3600:.1f} h"
