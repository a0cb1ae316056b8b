"""Is the newest backup young enough? As seen by the last drill, against the system's RPO."""

from __future__ import annotations

from collections.abc import Iterator

from cityguard.checks.base import CONFIG_DAYS, MET, OPEN, UNMET, CheckInfo, Context, evidence
from cityguard.model import Evidence, System, Text

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


def run(system: System, ctx: Context) -> Iterator[Evidence]:
    """符合 when the backup was no older than the RPO at the drill; 未判定 when no backup was ever looked at."""
    runs = [run for run in ctx.store.records.find_drills(system.id) if run.backup_taken and run.started <= ctx.now]
    if not runs:
        reason = Text("没有见过该系统的备份", "no backup of the system has been looked at")
        yield evidence(INFO, ctx, system, system, OPEN, reason, {"drills": 0})
        return
    last = max(runs, key=lambda run: (run.started, run.id))
    assert last.backup_taken is not None
    hours = (last.started - last.backup_taken).total_seconds() / 3600
    limit = USUAL_HOURS if system.rpo_hours is None else system.rpo_hours
    record = {
        "drill": last.id,
        "backup": last.backup,
        "sha256": last.backup_sha256,
        "taken": last.backup_taken,
        "age_hours": round(hours, 2),
        "limit_hours": limit,
        "limit_from": "default" if system.rpo_hours is None else "register",
    }
    fresh = 0 <= hours <= limit
    reason = Text(
        f"演练时备份距今 {hours:.1f} 小时，{'未超' if fresh else '超过'} {limit:g} 小时",
        f"the backup was {hours:.1f} h old at the drill, {'within' if fresh else 'beyond'} {limit:g} h",
    )
    yield evidence(INFO, ctx, system, system, MET if fresh else UNMET, reason, record, observed_at=last.ended)
