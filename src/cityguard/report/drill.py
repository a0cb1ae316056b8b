"""Facts of the 备份恢复演练报告: one drill, ready to be set. What only people know is left to be written in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

import msgspec

from cityguard import __version__, crypto
from cityguard.compliance.grading import label
from cityguard.model import Department, DrillRun, DrillStep, System, Text
from cityguard.report.drill_compare import ComparedRow, compared
from cityguard.report.rows import BLANK, FAILED, KINDS, span

OUTCOMES = {
    "ok": Text("完成", "done"),
    "failed": Text("失败", "failed"),
    "skipped": Text("未执行", "not done"),
}
ORIGINS = {"plan": Text("演练计划", "drill plan"), "register": Text("系统登记表", "register")}


@dataclass(frozen=True, slots=True)
class StepRow:
    """One step: what was planned, what happened, when."""

    number: int
    name: Text
    started: datetime | None
    ended: datetime | None
    seconds: str
    outcome: Text
    operator: str  # the tool, for whoever started it
    detail: str


@dataclass(frozen=True, slots=True)
class CheckRow:
    """One comparison made on restored data."""

    number: int
    name: Text
    expected: Text
    actual: Text
    passed: str  # 符合, 不符合


@dataclass(frozen=True, slots=True)
class TargetRow:
    """RTO or RPO: target and actual."""

    name: Text
    target: str
    actual: str
    met: str  # 符合, 不符合, 未判定
    origin: Text  # where the target stands


@dataclass(frozen=True, slots=True)
class ProblemRow:
    """A problem found; owner, due date and closing are for people to settle."""

    number: int
    problem: Text
    owner: str
    due: str
    closed: str


@dataclass(frozen=True, slots=True)
class FileRow:
    """A file that went into the drill, or the record that came out of it."""

    name: Text
    path: str
    sha256: str


@dataclass(frozen=True, slots=True)
class DrillFacts:
    """Everything the 演练报告 may say. Fields are documented in ``docs/reports.md``."""

    id: str
    number: str
    made_at: datetime
    made_on: str
    timezone: str
    city: str
    tool_version: str
    title: Text
    plan: str
    kind: Text
    scenario: str
    incident: datetime | None
    declared: datetime | None
    initiator: str
    system_id: str
    system_name: str
    grade_label: str
    department_name: str
    owner: str
    operator: str
    backup: str
    backup_sha256: str
    backup_taken: datetime | None
    backup_path: str
    manifest_path: str
    manifest_sha256: str
    files_used: tuple[FileRow, ...]
    started: datetime
    ended: datetime
    duration: str
    steps: tuple[StepRow, ...]
    checks: tuple[CheckRow, ...]
    check_count: int
    failed_count: int
    targets: tuple[TargetRow, ...]
    files: int
    bytes: int
    residue_removed: bool
    conclusion: str
    reason: Text
    problems: tuple[ProblemRow, ...]
    previous_at: datetime | None
    previous_number: str
    compared: tuple[ComparedRow, ...]
    first: bool
    blank: str = BLANK


def drill_facts(
    run: DrillRun,
    system: System | None,
    department: Department | None,
    *,
    previous: DrillRun | None = None,
    city: str = "",
    timezone: str = "Asia/Shanghai",
) -> DrillFacts:
    """Gather what the 演练报告 says. Pure: the same arguments give the same facts.

    Args:
        previous: the drill of the same plan before this one (``drill_compare.earlier``); None: there is none.
    """
    zone = ZoneInfo(timezone)
    on = run.ended.astimezone(zone)
    return DrillFacts(
        id=run.id,
        number=_number(run, zone),
        made_at=run.ended,
        made_on=f"{on:%Y%m%d}",
        timezone=timezone,
        city=city,
        tool_version=f"cityguard {__version__}",
        title=Text.both(run.title),
        plan=run.plan,
        kind=KINDS.get(run.kind, Text(run.kind, run.kind)),
        scenario=run.scenario or BLANK,
        incident=run.incident,
        declared=run.declared,
        initiator=run.operator or BLANK,
        system_id=run.system,
        system_name=system.name if system else run.system,
        grade_label=label(system.s_grade, system.a_grade) if system and system.grade else "",
        department_name=department.name if department else system.department if system else "",
        owner=system.owner if system else "",
        operator=system.operator if system else "",
        backup=run.backup,
        backup_sha256=run.backup_sha256,
        backup_taken=run.backup_taken,
        backup_path=run.backup_path,
        manifest_path=run.manifest_path,
        manifest_sha256=run.manifest_sha256,
        files_used=tuple(_files(run)),
        started=run.started,
        ended=run.ended,
        duration=span((run.ended - run.started).total_seconds()),
        steps=tuple(_step(number, one, run.operator) for number, one in enumerate(run.steps, 1)),
        checks=tuple(
            CheckRow(
                number,
                Text.both(one.name),
                Text.both(one.expected),
                Text.both(one.actual),
                "符合" if one.passed else "不符合",
            )
            for number, one in enumerate(run.checks, 1)
        ),
        check_count=len(run.checks),
        failed_count=sum(1 for one in run.checks if not one.passed),
        targets=(
            _target(
                Text("恢复时间 RTO", "Recovery time (RTO)"),
                run.rto_target_s,
                run.rto_actual_s,
                run.rto_from,
                usable=run.conclusion != FAILED,
            ),
            _target(
                Text("数据丢失窗口 RPO", "Data loss window (RPO)"), run.rpo_target_s, run.rpo_actual_s, run.rpo_from
            ),
        ),
        files=run.files,
        bytes=run.bytes,
        residue_removed=run.residue_removed,
        conclusion=run.conclusion,
        reason=run.reason,
        problems=tuple(
            ProblemRow(number, Text.both(one), system.owner if system and system.owner else BLANK, BLANK, BLANK)
            for number, one in enumerate(run.problems, 1)
        ),
        previous_at=previous.started if previous else None,
        previous_number=_number(previous, zone) if previous else "",
        compared=compared(previous, run),
        first=previous is None,
    )


def _number(run: DrillRun, zone: ZoneInfo) -> str:
    return f"CG-DR-{run.ended.astimezone(zone):%Y%m%d}-{run.id[:8].upper()}"


def _files(run: DrillRun) -> Iterator[FileRow]:
    """What went into the drill with the hash it had then, and the record; a file without a hash is not listed.

    The record is the run as JSON: the very bytes its evidence keeps, unless they were too long for it.
    """
    record = crypto.digest(msgspec.json.encode(run)).sha256
    for name, path, sha256 in (
        (Text("备份集", "Backup set"), run.backup_path or run.backup, run.backup_sha256),
        (Text("备份清单", "Manifest"), run.manifest_path, run.manifest_sha256),
        (Text("演练计划", "Plan"), run.plan_path or run.plan, run.plan_sha256),
        (Text("演练记录与日志（JSON）", "Record and log (JSON)"), run.id, record),
    ):
        if sha256:
            yield FileRow(name, path, sha256)


def _step(number: int, one: DrillStep, operator: str) -> StepRow:
    seconds = (one.ended - one.started).total_seconds() if one.started and one.ended else None
    outcome = OUTCOMES.get(one.outcome, Text(one.outcome, one.outcome))
    by = "" if one.outcome == "skipped" else f"cityguard ({operator})" if operator else "cityguard"
    return StepRow(number, one.name, one.started, one.ended, span(seconds), outcome, by, one.detail)


def _target(
    name: Text, target_s: float | None, actual_s: float | None, origin: str, *, usable: bool = True
) -> TargetRow:
    """``usable`` is False where the data did not come back right: then no recovery time was reached."""
    stands = ORIGINS.get(origin, Text("", ""))
    if target_s is None or actual_s is None or not usable:
        return TargetRow(name, span(target_s), span(actual_s), "未判定", stands)
    met = "符合" if 0 <= actual_s <= target_s else "不符合"  # a backup from after the failure proves nothing
    return TargetRow(name, span(target_s), span(actual_s), met, stands)
