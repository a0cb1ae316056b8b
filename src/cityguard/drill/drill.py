"""Backup drills: a backup really restored into a scratch place, compared, judged by rule, and removed again."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import msgspec

from cityguard import __version__, crypto
from cityguard.clock import Clock, utc_now
from cityguard.drill import plan as drill_plan
from cityguard.drill import scratch as drill_scratch
from cityguard.drill.judge import FAILED, PARTLY, SUCCESS, Times, judge
from cityguard.drill.plan import Plan, moment
from cityguard.drill.restore import Restored, restore
from cityguard.errors import InputError
from cityguard.ids import content_id
from cityguard.model import DrillRun, DrillStep, Evidence, EvidenceVerdict, System, Text

CHECK = "backup_drill"
CONTROLS = (
    *("L1-CES1-11", "L2-CES1-19", "L3-CES1-29", "L4-CES1-29"),  # 数据备份恢复: a local backup that restores
    *("L2-MMS1-24", "L3-MMS1-36", "L4-MMS1-38"),  # 备份与恢复管理: policy and procedures; in part
    *("L2-MMS1-29", "L3-MMS1-43", "L4-MMS1-46"),  # 应急预案管理: training and drills; in part
)
"""Units of GB/T 28448 a restore speaks for, at every grade."""

VALID = timedelta(days=365)  # 2025 high-risk guide: drills at least once a year from grade 3 on
MAX_RECORD = 64 << 10
MAX_OUTPUT = 2000  # characters of a probe's output kept

_NAMES = {
    "isolate": Text("隔离恢复环境", "walled-in restore environment"),
    "manifest": Text("读取备份清单", "read the manifest"),
    "restore": Text("恢复备份", "restore the backup"),
    "compare": Text("逐文件比对", "compare file by file"),
    "probe": Text("应用校验", "application probe"),
    "erase": Text("清除恢复数据", "remove the restored data"),
}
_VERDICTS: dict[str, EvidenceVerdict] = {SUCCESS: "符合", PARTLY: "部分符合", FAILED: "不符合"}


def run(
    plan: Path, *, scratch: Path, clock: Clock = utc_now, system: System | None = None, operator: str = ""
) -> DrillRun:
    """Do the drill a plan describes. What the backup does wrong is in the result, never raised.

    Args:
        plan: the plan's file (``docs/drills.md``).
        scratch: folder the restored data may stand in while the drill runs; leftovers of killed runs go first.
        clock: the present; durations are measured on the monotonic clock.
        system: the plan's system as registered; gives the RTO and RPO the plan does not.
        operator: who started the drill, for the record.

    Raises:
        InputError, ContentErrors: the plan itself is wrong, or of another system; nothing was restored.
        OSError: the plan cannot be read or the scratch folder cannot be made.
    """
    what = drill_plan.load(plan)
    told = what  # before the register adds to it
    if system is not None:
        what = _targets(what, system)
    plan_sha256 = crypto.digest_file(what.path).sha256
    started, zero = clock(), time.monotonic()
    if any(moment is not None and moment > started for moment in (what.incident, what.declared)):
        raise InputError("'incident' or 'declared' lies in the future", place=str(plan), remedy="leave it out")

    with drill_scratch.place(scratch) as place:
        restored = restore(what, place)
        erasing = time.monotonic()
        gone = place.erase()

    def at(monotonic: float) -> datetime:
        return started + timedelta(seconds=monotonic - zero)

    ended = at(time.monotonic())
    times = _times(what, restored, started, at)
    verdict = judge(what, restored, times, residue_removed=gone)
    erased = DrillStep(_NAMES["erase"], at(erasing), ended, "ok" if gone else "failed")
    compared = restored.data("compare")
    return DrillRun(
        id=content_id("drill", f"{what.id}\x1f{what.system}\x1f{started.isoformat()}".encode()),
        plan=what.id,
        title=f"{what.title.zh} / {what.title.en}" if what.title.en else what.title.zh,
        system=what.system,
        kind=what.kind,
        backup=what.backup.name,
        backup_sha256=str(restored.data("restore").get("sha256", "")),
        backup_taken=times.taken,
        started=started,
        ended=ended,
        steps=(*(_step(name, restored, at) for name in _NAMES if name != "erase"), erased),
        checks=verdict.checks,
        rto_target_s=what.rto_s,
        rto_actual_s=times.rto_s,
        rpo_target_s=what.rpo_s,
        rpo_actual_s=times.rpo_s,
        files=int(compared.get("found", 0)),
        bytes=int(compared.get("bytes", 0)),
        residue_removed=gone,
        conclusion=verdict.conclusion,
        reason=verdict.reason,
        problems=verdict.problems,
        scenario=what.scenario,
        incident=what.incident,
        declared=what.declared,
        rto_from=_origin(told.rto_s, what.rto_s),
        rpo_from=_origin(told.rpo_s, what.rpo_s),
        operator=operator,
        backup_path=str(what.backup),
        manifest_path=str(what.manifest),
        manifest_sha256=str(restored.data("manifest").get("sha256", "")),
        plan_path=str(what.path),
        plan_sha256=plan_sha256,
    )


def _targets(plan: Plan, system: System) -> Plan:
    """The plan with the register's RTO and RPO where it names none."""
    if system.id != plan.system:
        raise InputError(f"the plan is of system '{plan.system}', not '{system.id}'", place=str(plan.path))
    rto_s, rpo_s = (None if hours is None else hours * 3600 for hours in (system.rto_hours, system.rpo_hours))
    return replace(
        plan,
        rto_s=rto_s if plan.rto_s is None else plan.rto_s,
        rpo_s=rpo_s if plan.rpo_s is None else plan.rpo_s,
    )


def _origin(told: float | None, used: float | None) -> str:
    if used is None:
        return ""
    return "register" if told is None else "plan"


def reap(scratch: Path) -> int:
    """Remove what killed drills left behind. Returns how many places were removed.

    Safe at any start and from any process or account: a place whose drill lives, or that is another
    account's, stays. Raises nothing for a folder that is not there or not ours.
    """
    return drill_scratch.reap(scratch)


def evidence(run: DrillRun, system: System | None = None) -> Evidence:
    """What a drill proves for 等保: 符合, 部分符合 or 不符合; 未判定 when nothing could be looked at."""
    judged = any(check.name.startswith("恢复完成") for check in run.checks)
    verdict: EvidenceVerdict = _VERDICTS[run.conclusion] if judged else "未判定"
    record = msgspec.json.encode(run)
    if len(record) > MAX_RECORD:  # the run itself keeps them all
        record = msgspec.json.encode(replace(run, problems=(*run.problems[:20], "…")))
    digest = crypto.digest(record)
    name = system.name if system else run.system
    return Evidence(
        id=content_id("evidence", f"{CHECK}\x1f{run.system}\x1f{digest.sha256}".encode()),
        check=CHECK,
        object=f"{run.system}:{run.plan}",  # a good drill of one backup must not hide a bad one of another
        object_name=f"{name} · {Text.both(run.title).zh}",
        system=run.system,
        controls=CONTROLS,
        verdict=verdict,
        reason=run.reason,
        observed_at=run.ended,
        collected_at=run.ended,
        valid_until=run.ended + VALID,
        method="测试",
        record=record.decode(),
        sha256=digest.sha256,
        sm3=digest.sm3,
        tool_version=__version__,
    )


def _times(plan: Plan, restored: Restored, started: datetime, at: Callable[[float], datetime]) -> Times:
    """RTO: declared (or the drill's start) until usable. RPO: failure point (or start) back to the backup's time."""
    taken = plan.taken
    if taken is None and (told := restored.data("manifest").get("taken")):
        try:
            taken = moment(told)
        except ValueError:
            taken = None  # an unreadable time is an unknown time, and the check says so
    failure = plan.incident or started
    usable = _usable(plan, restored)
    return Times(
        rto_s=(at(usable) - (plan.declared or started)).total_seconds() if usable is not None else None,
        rpo_s=(failure - taken).total_seconds() if taken else None,
        age_s=(started - taken).total_seconds() if taken else None,
        taken=taken,
    )


def _usable(plan: Plan, restored: Restored) -> float | None:
    """When the restored data could be used: whole, and answered the probe if there is one; else it never could."""
    last = "probe" if plan.probe else "compare"
    if any(restored.data("compare").get("counts", {}).values()):
        return None
    return restored.steps[last].ended if restored.ok(last) else None


def _step(name: str, restored: Restored, at: Callable[[float], datetime]) -> DrillStep:
    step = restored.steps.get(name)
    if step is None:
        return DrillStep(_NAMES[name], None, None, "skipped", restored.fault)
    detail = step.detail
    if name == "isolate":
        detail = "; ".join(f"{wall}: {'on' if on else 'not available'}" for wall, on in sorted(step.data.items()))
    elif name == "probe" and step.data.get("output"):
        detail = f"{detail}\n{step.data['output']}"[:MAX_OUTPUT]
    return DrillStep(_NAMES[name], at(step.started), at(step.ended), step.outcome, detail)
