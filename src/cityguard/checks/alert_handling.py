"""Are alerts answered and closed in time? Times per level, from the audit log of triage."""

from __future__ import annotations

from collections import Counter
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
IN_TIME, WAITING, UNKNOWN = "in time", "waiting", "not audited"


def run(system: System, ctx: Context) -> Iterator[Evidence]:
    """不符合 when a high or critical alert is overdue now, 部分符合 when any was late.

    Judged are alerts somebody answered and those past a deadline; without any the verdict is 未判定. So it is when an
    alert was closed and the audit log does not tell by whom and when.
    """
    where = Term("system", "eq", system.id)
    query = Query(where=where, start=ctx.ago(DAYS), end=ctx.now, limit=MOST_ALERTS)
    alerts = [alert for alert in ctx.store.alerts.find(query) if alert.level in TARGETS]
    acts = _acts(ctx, {alert.id for alert in alerts})
    judged = [(alert, _judge(alert, acts.get(alert.id, []), ctx.now)) for alert in alerts]
    late = [(alert, said) for alert, said in judged if said not in (IN_TIME, WAITING, UNKNOWN)]
    overdue = [alert for alert, _ in late if alert.status != "closed" and alert.level in ("critical", "high")]
    number = Counter(said for _, said in judged)
    record = {
        "days": DAYS,
        "alerts": len(alerts),
        "open": sum(alert.status != "closed" for alert in alerts),
        "in_time": number[IN_TIME],
        "waiting": number[WAITING],
        "not_audited": number[UNKNOWN],
        "late": [{"id": alert.id, "level": alert.level, "late": said} for alert, said in late[:MAX_LISTED]],
        "targets_hours": {level: [part.total_seconds() / 3600 for part in both] for level, both in TARGETS.items()},
    }
    reason = Text(
        f"{len(alerts)} 条告警中 {len(late)} 条超时，其中 {len(overdue)} 条高危未处置；{number[IN_TIME]} 条按时",
        f"{len(late)} of {len(alerts)} alerts late, {len(overdue)} of them high and still open; "
        f"{number[IN_TIME]} in time",
    )
    verdict = UNMET if overdue else PART if late else MET
    if not late and (number[UNKNOWN] or not number[IN_TIME] or len(alerts) >= MOST_ALERTS):
        verdict = OPEN
        reason = Text(
            f"{len(alerts)} 条告警中 {number[IN_TIME]} 条按时，{number[WAITING]} 条未到时限，"
            f"{number[UNKNOWN]} 条关闭但无审计记录，尚不能判断",
            f"of {len(alerts)} alerts {number[IN_TIME]} in time, {number[WAITING]} not due yet, "
            f"{number[UNKNOWN]} closed without an audit entry: nothing can be said yet",
        )
    if not alerts:
        reason = Text(f"最近 {DAYS} 天该系统没有告警", f"no alert of the system in the last {DAYS} days")
    yield evidence(INFO, ctx, system, system, verdict, reason, record)


def _acts(ctx: Context, ids: set[str]) -> dict[str, list[tuple[datetime, str]]]:
    found: dict[str, list[tuple[datetime, str]]] = {}
    for entry in ctx.store.records.find_audit(MOST_ENTRIES):
        if entry.object in ids and entry.action.startswith("alert.") and not entry.action.endswith(".refused"):
            found.setdefault(entry.object, []).append((entry.at, entry.action))
    return {alert_id: sorted(acts) for alert_id, acts in found.items()}


def _judge(alert: Alert, acts: list[tuple[datetime, str]], now: datetime) -> str:
    """``IN_TIME``, ``WAITING``, ``UNKNOWN``, or how it is late."""
    answer, end = TARGETS[alert.level]
    closes = [at for at, action in acts if action == "alert.close"] if alert.status == "closed" else []
    if alert.status == "closed" and not closes:
        return UNKNOWN
    if alert.status == "open":  # an act that was taken back is no answer
        back = max((n for n, (_, action) in enumerate(acts, 1) if action in ("alert.undo", "alert.reopen")), default=0)
        acts = acts[back:]
    answered = acts[0][0] if acts else None
    if (answered or now) - alert.first_seen > answer:
        return f"first answer after {_hours(answered - alert.first_seen)}" if answered else "unanswered"
    ended = closes[-1] if closes else now
    if ended - alert.first_seen > end:
        return f"closed after {_hours(ended - alert.first_seen)}" if closes else "not closed in time"
    return IN_TIME if answered else WAITING


def _hours(span: timedelta) -> str:
    return f"{span.total_seconds() / 3600:.1f} h"
