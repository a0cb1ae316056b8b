"""Facts of the 自查报告: an assessment with its system, evidence, drills and the assessment before, ready to be set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from cityguard.compliance.grading import label
from cityguard.compliance.verdicts import UNDECIDED, Change, Rollup, by_class, by_point, changes
from cityguard.model import Assessment, Department, DrillRun, Evidence, RateResult, Risk, System, Text, UnitResult
from cityguard.report.evidence import DRILL_CHECK, EvidenceRow, ObjectRow, names, numbered, objects
from cityguard.report.rows import (
    BLANK,
    FAILED,
    KINDS,
    ChangeRow,
    ContentRow,
    DrillRow,
    ExposureRow,
    PendingRow,
    RateRow,
    RemedyRow,
    RiskRow,
    RollRow,
    UnitRow,
    ratio,
)

GRADES = {1: "一", 2: "二", 3: "三", 4: "四", 5: "五"}
EXTENSIONS = {
    "general": Text("安全通用要求", "General requirements"),
    "cloud": Text("云计算安全扩展要求", "Cloud computing extension"),
    "mobile": Text("移动互联安全扩展要求", "Mobile extension"),
    "iot": Text("物联网安全扩展要求", "Internet of Things extension"),
    "ics": Text("工业控制系统安全扩展要求", "Industrial control extension"),
    "bigdata": Text("大数据（附录 H，参考）", "Big data (annex H, informative)"),
}
CHANGES = {
    "better": Text("改善", "better"),
    "worse": Text("变差", "worse"),
    "decided": Text("新判定", "now judged"),
    "supported": Text("问题消除，待确认", "finding gone, to be confirmed"),
    "reopened": Text("转为未判定", "undecided again"),
    "other": Text("适用性变化", "applicability changed"),
    "new": Text("新纳入", "new in scope"),
    "gone": Text("移出范围", "left scope"),
}
YEAR = timedelta(days=366)
MAX_LISTED = 12  # findings, objects of a finding, and pieces of evidence named in one cell
_WORST = ("不符合", "部分符合", "未判定", "符合", "不适用")


@dataclass(frozen=True, slots=True)
class AssessmentFacts:
    """Everything the 自查报告 may say. Fields are documented in ``docs/reports.md``."""

    id: str
    number: str
    made_at: datetime
    made_on: str
    timezone: str
    city: str
    tool_version: str
    system_id: str
    system_name: str
    department_name: str
    leader: str
    contact: str
    grade: Text
    grade_label: str
    extensions: tuple[Text, ...]
    filing_number: str
    filing_expires: date | None
    last_assessed: date | None
    owner: str
    operator: str
    importance: str
    data_class: str
    catalogue: str
    catalogue_title: Text
    risk_guide: Text
    scoring: str
    contents: tuple[ContentRow, ...]
    window_start: datetime | None
    window_end: datetime | None
    checks: tuple[Text, ...]
    objects: tuple[ObjectRow, ...]
    total: int
    applicable: int
    judged: int
    drafts: int
    supported: int
    coverage: str
    counts: dict[str, int]
    rates: tuple[RateRow, ...]
    conclusion: str
    notes: tuple[Text, ...]
    risks: tuple[RiskRow, ...]
    risk_count: int
    trigger_count: int
    classes: tuple[RollRow, ...]
    points: tuple[RollRow, ...]
    units: tuple[UnitRow, ...]
    exposures: tuple[ExposureRow, ...]
    drills: tuple[DrillRow, ...]
    drills_in_year: int
    previous_at: datetime | None
    previous_conclusion: str
    first: bool
    changes: tuple[ChangeRow, ...]
    better: int
    worse: int
    remedies: tuple[RemedyRow, ...]
    pending: tuple[PendingRow, ...]
    pending_count: int
    evidence: tuple[EvidenceRow, ...]
    evidence_count: int
    expired_count: int
    manifest: dict[str, str]
    blank: str = BLANK


def assessment_facts(
    assessment: Assessment,
    system: System,
    department: Department | None,
    evidence: Sequence[Evidence],
    drills: Sequence[DrillRun] = (),
    previous: Assessment | None = None,
    *,
    contents: Sequence[ContentRow] = (),
    city: str = "",
    timezone: str = "Asia/Shanghai",
) -> AssessmentFacts:
    """Gather what the 自查报告 says. Pure: the same arguments give the same facts.

    Args:
        evidence: pieces named in ``assessment.evidence``; others are left out.
        drills: the system's drills, any order.
        previous: the assessment to compare with, or None.
        contents: versions of rules and collectors (``report.contents``); those of catalogue and scoring are known.
    """
    wanted = set(assessment.evidence)
    zone = ZoneInfo(timezone)
    rows = numbered([one for one in evidence if one.id in wanted], assessment.made_at, zone, assessment.manifest)
    by_id = {row.id: row for row in rows}
    points = by_point(assessment.results)
    applicable = sum(count for verdict, count in assessment.counts.items() if verdict != "不适用")
    judged = applicable - assessment.counts.get(UNDECIDED, 0)
    found = changes(previous, assessment)
    on = assessment.made_at.astimezone(zone)
    return AssessmentFacts(
        id=assessment.id,
        number=f"CG-{on:%Y%m%d}-{assessment.id[:8].upper()}",
        made_at=assessment.made_at,
        made_on=f"{on:%Y%m%d}",
        timezone=timezone,
        city=city,
        tool_version=f"cityguard {assessment.tool_version}",
        system_id=system.id,
        system_name=system.name,
        department_name=department.name if department else system.department,
        leader=department.leader if department else "",
        contact=" ".join((department.contact, department.phone)).strip() if department else "",
        grade=_grade(max(assessment.s_grade, assessment.a_grade)),
        grade_label=label(assessment.s_grade, assessment.a_grade),
        extensions=tuple(EXTENSIONS.get(name, Text(name, name)) for name in ("general", *system.extensions)),
        filing_number=system.filing_number,
        filing_expires=system.filing_expires,
        last_assessed=system.last_assessed,
        owner=system.owner,
        operator=system.operator,
        importance=system.importance,
        data_class=system.data_class,
        catalogue=assessment.catalogue,
        catalogue_title=assessment.catalogue_title,
        risk_guide=assessment.risk_guide,
        scoring=assessment.scoring,
        contents=(*_contents(assessment), *contents),
        window_start=min((row.observed_at for row in rows), default=None),
        window_end=max((row.collected_at for row in rows), default=None),
        checks=names(rows),
        objects=objects(rows),
        total=len(assessment.results),
        applicable=applicable,
        judged=judged,
        drafts=sum(1 for one in assessment.results if _is_draft(one)),
        supported=sum(1 for one in assessment.results if one.verdict == UNDECIDED and one.supports),
        coverage=f"{100 * judged / applicable:.1f}%" if applicable else "—",
        counts=dict(assessment.counts),
        rates=tuple(_rate(one) for one in assessment.rates),
        conclusion=assessment.conclusion,
        notes=assessment.notes,
        risks=tuple(_risk(number, one, by_id) for number, one in enumerate(assessment.risks, 1)),
        risk_count=len(assessment.risks),
        trigger_count=len({one.trigger for one in assessment.risks if one.trigger}),
        classes=tuple(_rolled(one, point=False) for one in by_class(assessment.results)),
        points=tuple(_rolled(one, point=True) for one in points),
        units=tuple(_unit(number, one, by_id) for number, one in enumerate(assessment.results, 1)),
        exposures=tuple(_exposure(row) for row in rows if _is_exposure(row)),
        drills=tuple(_drill(one) for one in sorted(drills, key=lambda one: one.started, reverse=True)[:20]),
        drills_in_year=sum(1 for one in drills if assessment.made_at - one.started <= YEAR),
        previous_at=previous.made_at if previous else None,
        previous_conclusion=previous.conclusion if previous else "",
        first=previous is None,
        changes=tuple(_change(one) for one in found),
        better=sum(1 for one in found if one.kind == "better"),
        worse=sum(1 for one in found if one.kind == "worse"),
        remedies=tuple(_remedies(assessment.results, by_id, system)),
        pending=tuple(row for one in points if (row := _pending(one)) is not None),
        pending_count=sum(1 for one in assessment.results if _waits(one)),
        evidence=tuple(rows),
        evidence_count=len(rows),
        expired_count=len(assessment.expired),
        manifest=dict(assessment.manifest),
    )


def _grade(level: int) -> Text:
    return Text(f"第{GRADES.get(level, str(level))}级", f"Grade {level}")


def _contents(assessment: Assessment) -> list[ContentRow]:
    """The catalogue and what its checks may say, as the assessment sealed them."""
    name, _, version = assessment.catalogue.partition("/")
    rows = [
        (Text("控制目录", "Catalogue of requirements"), "catalogue", f"{name} {version}"),
        (Text("检查项对测评项的证明力", "What checks may say about items"), "claims", ""),
    ]
    return [
        ContentRow(title, said, 1, sealed.removeprefix("sha256:"))
        for title, key, said in rows
        if (sealed := assessment.manifest.get(key, ""))
    ]


def _rate(one: RateResult) -> RateRow:
    if one.rate is None or one.low is None or one.high is None:
        return RateRow(one.title, one.formula, one.passed, one.counted, "n/a", "n/a")
    bounds = f"{one.low:.1f}% – {one.high:.1f}%"
    return RateRow(one.title, one.formula, one.passed, one.counted, f"{one.rate:.1f}%", bounds)


def _refs(ids: Sequence[str], by_id: Mapping[str, EvidenceRow]) -> str:
    found = sorted(by_id[one].ref for one in ids if one in by_id)
    more = f" +{len(found) - MAX_LISTED}" if len(found) > MAX_LISTED else ""
    return " ".join(found[:MAX_LISTED]) + more


def _said(rows: Sequence[EvidenceRow]) -> tuple[list[str], list[str]]:
    """One line per finding in both languages, with the objects it is true of, the worst first; the rest is counted."""
    found: dict[tuple[int, Text, str], dict[str, None]] = {}
    for row in sorted(rows, key=lambda row: (_WORST.index(row.verdict), row.ref)):
        found.setdefault((_WORST.index(row.verdict), row.reason, row.verdict), {})[row.object_name] = None
    zh: list[str] = []
    en: list[str] = []
    for (_, reason, verdict), members in list(found.items())[:MAX_LISTED]:
        listed, more = list(members)[:MAX_LISTED], len(members) - MAX_LISTED
        named = "、".join(listed) + (f" 等 {len(members)} 个对象" if more > 0 else "")
        zh.append(f"{named}：{reason.zh or verdict}")
        named = ", ".join(listed) + (f" and {more} more" if more > 0 else "")
        en.append(f"{named}: {reason.en or reason.zh or verdict}")
    if (left := len(found) - MAX_LISTED) > 0:
        zh.append(f"……另有 {left} 条，见证据索引")
        en.append(f"... {left} more in the index of evidence")
    return zh, en


def _risk(number: int, one: Risk, by_id: Mapping[str, EvidenceRow]) -> RiskRow:
    return RiskRow(
        number,
        one.case,
        one.name,
        one.trigger or "",
        one.clause,
        one.unit,
        one.condition,
        one.mitigable,
        one.objects,
        _refs(one.evidence, by_id),
    )


def _layer(one: UnitResult) -> Text:
    if one.extension == "general":
        return Text(one.class_name, one.class_en)
    name = EXTENSIONS.get(one.extension, Text(one.extension, one.extension))
    return Text(f"{one.class_name}（{name.zh}）", f"{one.class_en} ({name.en})")


def _rolled(one: Rollup, *, point: bool) -> RollRow:
    first, layer = one.results[0], _layer(one.results[0])
    name = Text(first.control_point, first.control_point_en) if point else layer
    return RollRow(name, layer, one.verdict, len(one.results), *one.counts.values())


def _unit(number: int, one: UnitResult, by_id: Mapping[str, EvidenceRow]) -> UnitRow:
    rows = [by_id[name] for name in one.evidence if name in by_id]
    layer = _layer(one)
    zh, en = _said(rows)
    reason = Text(one.reason, one.reason_en)
    if one.reason and reason not in [row.reason for row in rows]:  # else a piece of evidence says it already
        zh, en = [*zh, one.reason], [*en, one.reason_en or one.reason]
    return UnitRow(
        number=number,
        group=Text(f"{layer.zh} · {one.control_point}", f"{layer.en} · {one.control_point_en or one.control_point}"),
        clause=one.clause,
        unit=one.unit,
        place=f"{one.clause}\n{one.unit}",
        text=Text(one.text, one.text_en),
        methods=one.methods,
        record=Text("\n".join(zh), "\n".join(en)),
        verdict=one.verdict,
        reason=reason,
        refs=_refs(one.evidence, by_id),
        evidence=one.evidence,
        optional=one.optional,
    )


def _is_exposure(row: EvidenceRow) -> bool:
    """A technical finding on network, boundary or computing; drills have a chapter of their own."""
    technical = any(unit[3:6] in ("CNS", "ABS", "CES") for unit in row.controls)
    return technical and row.verdict in ("不符合", "部分符合") and row.check != DRILL_CHECK


def _exposure(row: EvidenceRow) -> ExposureRow:
    return ExposureRow(row.ref, row.object_name, row.check_name, row.verdict, row.reason, row.observed_at)


def _drill(one: DrillRun) -> DrillRow:
    return DrillRow(
        one.id,
        Text.both(one.title),
        one.started,
        KINDS.get(one.kind, Text(one.kind, one.kind)),
        ratio(one.rto_target_s, None if one.conclusion == FAILED else one.rto_actual_s),
        ratio(one.rpo_target_s, one.rpo_actual_s),
        one.conclusion,
    )


def _change(one: Change) -> ChangeRow:
    point = Text(one.control_point, one.control_point_en)
    return ChangeRow(one.unit, one.clause, point, one.was or "", one.now or "", CHANGES[one.kind])


def _remedies(results: Sequence[UnitResult], by_id: Mapping[str, EvidenceRow], system: System) -> list[RemedyRow]:
    """Findings, the dangerous ones first."""
    failed = [one for one in results if one.verdict in ("不符合", "部分符合")]
    failed.sort(key=lambda one: (not one.major_trigger, not one.high_risk, one.verdict != "不符合"))
    rows: list[RemedyRow] = []
    for number, one in enumerate(failed, 1):
        zh, en = _said([by_id[name] for name in one.against or one.evidence if name in by_id])
        problem = Text("\n".join(zh), "\n".join(en))
        text = Text(one.text, one.text_en)
        rows.append(
            RemedyRow(number, f"{one.clause}\n{one.unit}", text, problem, _priority(one), system.owner or BLANK, BLANK)
        )
    return rows


def _priority(one: UnitResult) -> Text:
    if one.major_trigger:
        return Text("重大隐患（候选）", "Major risk (candidate)")
    if one.high_risk:
        return Text("高风险（候选）", "High risk (candidate)")
    return Text("一般", "Normal")


def _is_draft(one: UnitResult) -> bool:
    """Judged, but by tool evidence alone where the catalogue wants a person as well."""
    return one.verdict != UNDECIDED and bool(one.evidence) and one.auto != "full"


def _waits(one: UnitResult) -> bool:
    return one.verdict == UNDECIDED or _is_draft(one)


def _pending(one: Rollup) -> PendingRow | None:
    waiting = [result for result in one.results if _waits(result)]
    if not waiting:
        return None
    first = waiting[0]
    methods = tuple(name for name in ("访谈", "核查", "测试") if any(name in result.methods for result in waiting))
    return PendingRow(
        _layer(first),
        Text(first.control_point, first.control_point_en),
        len(waiting),
        " ".join(result.unit for result in waiting),
        methods,
    )
