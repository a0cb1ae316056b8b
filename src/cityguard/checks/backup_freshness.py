"""Is the newest backup young enough? By plan, what the last drill could restore, against the system's RPO."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cityguard.checks.base import CONFIG_DAYS, DRILL_DAYS, MET, OPEN, UNMET, CheckInfo, Context, evidence
from cityguard.model import DrillRun, Evidence, EvidenceVerdict, System, Text

INFO = CheckInfo(
    id="backup_freshness",
    title=Text("备份时效", "Backups are fresh"),
    controls=(
        "L1-CES1-11",
        "L2-CES1-19",
        "L3-CES1-29",
        "L4-CES1-29",
        "L1-MMS1-11",
        "L2-MMS1-23",
        "L3-MMS1-35",
        "L4-MMS1-37",
    ),
    method="核查",
    valid_days=CONFIG_DAYS,
)
USUAL_HOURS = 168.0  # where the register names no RPO: a week


RESTORED = ("成功", "部分成功")  # the data came back whole
RANK: dict[EvidenceVerdict, int] = {UNMET: 0, OPEN: 1, MET: 2}


def run(system: System, ctx: Context) -> Iterator[Evidence]:
    """By plan: the newest set that was really restored, its age at the plan's last drill; the worst plan counts.

    A failed drill restores nothing: its backup, however fresh, is no backup. 未判定 where no set was ever restored.
    """
    since = ctx.ago(DRILL_DAYS)
    plans: dict[str, list[DrillRun]] = {}
    for run in ctx.store.records.find_drills(system.id):
        if since <= run.started <= ctx.now:
            plans.setdefault(run.plan, []).append(run)
    if not plans:
        reason = Text("没有见过该系统的备份", "no backup of the system has been looked at")
        yield evidence(INFO, ctx, system, system, OPEN, reason, {"drills": 0})
        return
    limit = USUAL_HOURS if system.rpo_hours is None else system.rpo_hours
    judged = [_judge(plan, runs, limit) for plan, runs in sorted(plans.items())]
    worst = min(judged, key=lambda one: (RANK[one.verdict], one.seen))
    record = {
        "limit_hours": limit,
        "limit_from": "default" if system.rpo_hours is None else "register",
        "plans": {one.plan: one.record for one in judged},
    }
    yield evidence(INFO, ctx, system, system, worst.verdict, worst.reason, record, observed_at=worst.seen)


@dataclass(frozen=True, slots=True)
class _Judged:
    plan: str
    verdict: EvidenceVerdict
    reason: Text
    record: dict[str, Any]
    seen: datetime


def _judge(plan: str, runs: list[DrillRun], limit: float) -> _Judged:
    last = max(runs, key=lambda run: (run.started, run.id))
    restored = [(run.backup_taken, run) for run in runs if run.conclusion in RESTORED and run.backup_taken]
    if not restored:
        reason = Text(f"计划 {plan}：没有成功恢复过的备份", f"plan {plan}: no backup has been restored")
        return _Judged(plan, OPEN, reason, {"drill": last.id, "conclusion": last.conclusion}, last.ended)
    taken, good = max(restored, key=lambda pair: (pair[0], pair[1].id))
    hours = (last.started - taken).total_seconds() / 3600
    fresh = 0 <= hours <= limit
    record = {
        "drill": last.id,
        "conclusion": last.conclusion,
        "restored_by": good.id,
        "backup": good.backup,
        "sha256": good.backup_sha256,
        "taken": taken,
        "age_hours": round(hours, 2),
    }
    reason = Text(
        f"计划 {plan}：演练时可恢复的备份距今 {hours:.1f} 小时，{'未超' if fresh else '超过'} {limit:g} 小时",
        f"plan {plan}: what could be restored was {hours:.1f} h old at the drill, "
        f"{'within' if fresh else 'beyond'} {limit:g} h",
    )
    return _Judged(plan, MET if fresh else UNMET, reason, record, last.ended)
