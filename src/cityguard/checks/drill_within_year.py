"""Was a restore drilled in the last year? Time, main operations and result stand in the drill's record."""

from __future__ import annotations

from collections.abc import Iterator

from cityguard.checks.base import DRILL_DAYS, LOG_DAYS, MET, PART, UNMET, CheckInfo, Context, evidence
from cityguard.model import Evidence, System, Text

INFO = CheckInfo(
    id="drill_within_year",
    title=Text("一年内开展恢复演练", "Restore drilled within a year"),
    controls=("L2-MMS1-29", "L3-MMS1-43", "L4-MMS1-46"),
    method="核查",
    valid_days=DRILL_DAYS,
)


def run(system: System, ctx: Context) -> Iterator[Evidence]:
    """符合 after a successful drill, 部分符合 after one that did not succeed, 不符合 without any.

    That there was none is true of today only, so it is valid for days, not for a year.
    """
    since = ctx.ago(DRILL_DAYS)
    runs = [run for run in ctx.store.records.find_drills(system.id) if since <= run.started <= ctx.now]
    record = [
        {
            "id": run.id,
            "started": run.started,
            "conclusion": run.conclusion,
            "steps": [step.name.zh for step in run.steps],
        }
        for run in sorted(runs, key=lambda run: (run.started, run.id))
    ]
    if not runs:
        reason = Text("一年内没有恢复演练记录", "no restore drill on record within a year")
        yield evidence(INFO, ctx, system, system, UNMET, reason, record, valid_days=LOG_DAYS)
        return
    good = [run for run in runs if run.conclusion == "成功"]
    last = max(good or runs, key=lambda run: (run.started, run.id))
    day = last.started.astimezone(ctx.settings.zone).date().isoformat()
    reason = Text(
        f"{day} 演练{last.conclusion}，一年内共 {len(runs)} 次",
        f"drilled on {day} ({last.conclusion}), {len(runs)} within a year",
    )
    verdict = MET if good else PART
    yield evidence(INFO, ctx, system, system, verdict, reason, record, observed_at=last.ended)
