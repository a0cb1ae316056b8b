"""Reports as they are handed over: what they say, what they never say, and that altering one shows."""

from __future__ import annotations

import io
import re
from dataclasses import fields, is_dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, get_args, get_type_hints

import docx as python_docx
import openpyxl
import orjson
import pypdf
import pytest

from cityguard.compliance import catalogue, scoring
from cityguard.compliance.assess import assess
from cityguard.errors import InputError
from cityguard.model import (
    Assessment,
    Asset,
    Department,
    DrillCheck,
    DrillRun,
    DrillStep,
    Evidence,
    EvidenceVerdict,
    System,
    Text,
)
from cityguard.report import evidence as report_evidence
from cityguard.report import report
from cityguard.report import scan as report_scan

NOW = datetime(2026, 11, 21, 8, 30, tzinfo=UTC)
DOCS = Path(__file__).parents[2] / "docs" / "reports.md"
DEPARTMENT = Department("water", "市水务局", leader="分管领导甲", contact="专员乙", phone="0000-1234567")
SYSTEM = System(
    "water-scada",
    "供水调度系统",
    "water",
    s_grade=3,
    a_grade=3,
    filing_number="32040000000-00001",
    filing_expires=date(2027, 12, 31),
    owner="责任人丙",
    extensions=("ics",),
)
HOSTILE = "{{7*7}} #import \"x\": y <script>alert(1)</script> =cmd|' /C calc'!A0"


def evidence(
    units: tuple[str, ...], verdict: EvidenceVerdict, number: int = 0, *, days: int = 1, reason: str = ""
) -> Evidence:
    at = NOW - timedelta(days=days)
    return Evidence(
        id=f"{number:032x}",
        check="password_policy",
        object=f"host-{number % 3}",
        object_name=f"主机 {number % 3}",
        system=SYSTEM.id,
        controls=units,
        verdict=verdict,
        reason=Text(reason or "口令最小长度为 6", reason or "minimum length is 6"),
        observed_at=at,
        collected_at=at,
        valid_until=at + timedelta(days=30),
        method="测试",
        record='{"minlen":6}',
        sha256="a1" * 32,
        sm3="b2" * 32,
        tool_version="0.1.0",
    )


EVIDENCE = (
    evidence(("L3-CES1-01",), "不符合", 1, reason=HOSTILE),
    evidence(("L3-CES1-02",), "符合", 2),
    evidence(("L3-CES1-03", "L3-CNS1-07"), "部分符合", 3),
    evidence(("L3-CES1-18",), "符合", 4, days=40),
)
DRILL = DrillRun(
    id="d" * 32,
    plan="scada-restore",
    title="供水调度库恢复演练",
    system=SYSTEM.id,
    kind="data",
    backup="scada.tar.zst",
    backup_sha256="c3" * 32,
    backup_taken=NOW - timedelta(hours=20),
    started=NOW - timedelta(hours=1),
    ended=NOW - timedelta(minutes=55),
    steps=(
        DrillStep(Text("恢复备份", "restore the backup"), NOW - timedelta(hours=1), NOW - timedelta(minutes=57), "ok"),
        DrillStep(Text("应用校验", "application probe"), None, None, "skipped"),
    ),
    checks=(DrillCheck("比对文件数 / files compared", "42", "42", True),),
    rto_target_s=14400,
    rto_actual_s=300,
    rpo_target_s=3600,
    rpo_actual_s=72000,
    files=42,
    bytes=123_456,
    residue_removed=True,
    conclusion="部分成功",
    reason=Text("数据完整恢复，但未满足：RPO", "the data came back whole, but not met: RPO"),
    problems=("备份间隔过长 / backups are too far apart",),
)


def assessed(*found: Evidence, now: datetime = NOW) -> Assessment:
    return assess(SYSTEM, found, catalogue.load(), scoring.load(), now=now)


@pytest.fixture(scope="module")
def facts() -> report.AssessmentFacts:
    previous = assessed(*EVIDENCE[:1], now=NOW - timedelta(hours=12))
    return report.assessment_facts(assessed(*EVIDENCE), SYSTEM, DEPARTMENT, EVIDENCE, [DRILL], previous, city="示范市")


@pytest.fixture(scope="module")
def drill() -> report.DrillFacts:
    return report.drill_facts(DRILL, SYSTEM, DEPARTMENT, city="示范市")


@pytest.fixture(scope="module")
def written(facts: report.AssessmentFacts, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Path]:
    """The self-check in every format and both languages, by (format, language)."""
    out = tmp_path_factory.mktemp("written")
    made = [report.write("assessment", facts, out, list(report.WRITERS), language) for language in ("zh-CN", "en")]
    pairs = [(form, language) for language in ("zh-CN", "en") for form in report.WRITERS]
    return dict(zip(pairs, [path for files in made for path in files[:-1]], strict=True))


@lru_cache
def read(path: Path) -> str:
    if path.suffix == ".pdf":
        found = "".join(page.extract_text() for page in pypdf.PdfReader(path).pages)
    elif path.suffix == ".docx":
        found = "".join(str(text) for text in python_docx.Document(str(path)).element.itertext())
    elif path.suffix == ".xlsx":
        book = openpyxl.load_workbook(path)
        found = "".join(
            str(cell) for sheet in book for row in sheet.iter_rows(values_only=True) for cell in row if cell
        )
    else:
        found = path.read_text(encoding="utf-8")
    return re.sub(r"\s+", "", found)


SECTIONS = {
    "zh-CN": [
        "基本信息与范围",
        "依据与方法",
        "总体结论",
        "重大风险隐患与高风险清单",
        "逐控制点结果",
        "漏洞与暴露面",
        "备份与演练",
        "与上期对比",
        "整改计划",
        "待人工确认项",
        "签字与证据索引",
    ],
    "en": ["Systemandscope", "Overallresult", "Resultsbycontrolpoint", "Planofremedies", "Signaturesandindex"],
}


@pytest.mark.parametrize("language", ["zh-CN", "en"])
@pytest.mark.parametrize("form", ["html", "pdf", "docx", "xlsx"])
def test_a_self_check_has_its_eleven_chapters_its_evidence_and_its_disclaimer(
    written: dict[tuple[str, str], Path], form: str, language: str
) -> None:
    said = read(written[form, language])
    for title in SECTIONS[language]:
        assert title in said, title
    for one in EVIDENCE:
        assert one.id in said
    assert "a1" * 32 in said
    assert "b2" * 32 in said
    assert "6.4.1.1" in said
    assert "A-18" in said
    assert "indicative" in said or "参考" in said
    notice = (
        "等级测评报告只能由经认证的等级测评机构出具" if language == "zh-CN" else "Onlyacertifiedassessmentbodymayissue"
    )
    assert notice in said


def test_the_title_is_never_that_of_a_formal_assessment(written: dict[tuple[str, str], Path]) -> None:
    page = written["html", "zh-CN"]
    headings = re.findall(r"<(?:title|h1|h2)[^>]*>(.*?)</", page.read_text(encoding="utf-8"))
    assert any("自查报告" in one for one in headings)
    assert not any("测评报告" in one for one in headings)


@pytest.mark.parametrize("form", ["html", "pdf", "docx", "xlsx"])
def test_hostile_words_of_a_record_are_shown_as_they_are(written: dict[tuple[str, str], Path], form: str) -> None:
    path = written[form, "zh-CN"]
    shown = HOSTILE if form != "html" else HOSTILE.replace("<", "&lt;").replace(">", "&gt;").replace('"', "&#34;")
    if form == "html":
        shown = shown.replace("'", "&#39;")
    assert re.sub(r"\s+", "", shown) in read(path)


@pytest.mark.parametrize("language", ["zh-CN", "en"])
@pytest.mark.parametrize("form", ["html", "pdf", "docx"])
def test_a_drill_report_has_times_targets_checks_and_room_for_hands(
    drill: report.DrillFacts, tmp_path: Path, form: str, language: str
) -> None:
    path, _ = report.write("drill", drill, tmp_path, [form], language)
    said = read(path)
    words = ("部分成功", "比对文件数", "恢复备份", "未执行", "备份间隔过长", "参演人员与角色", "观察员")
    if language == "en":
        words = ("Partialsuccess", "filescompared", "restorethebackup", "backupsaretoofarapart", "Observer")
    for word in (*words, "c3" * 32, "5min", "4h", "20h", "1h"):
        assert word in said, word


def test_json_carries_every_fact_and_nothing_is_lost(facts: report.AssessmentFacts, tmp_path: Path) -> None:
    path, _ = report.write("assessment", facts, tmp_path, ["json"])
    found = orjson.loads(path.read_bytes())["facts"]
    assert set(found) == {one.name for one in fields(report.AssessmentFacts)}
    assert len(found["units"]) == 211 + 21
    assert found["units"][0]["evidence"] == []
    assert found["manifest"] == facts.manifest


def test_facts_count_what_the_assessment_says(facts: report.AssessmentFacts) -> None:
    assert facts.counts == {"符合": 0, "部分符合": 2, "不符合": 1, "不适用": 0, "未判定": 229}
    assert (facts.total, facts.judged, facts.coverage) == (232, 3, "1.3%")
    assert (facts.drafts, facts.supported) == (1, 1)
    assert [(one.rate, one.passed, one.counted) for one in facts.rates] == [("0.0%", 0, 232), ("0.0%", 0, 232)]
    assert (facts.evidence_count, facts.expired_count) == (4, 1)
    assert sum(one.items for one in facts.points) == sum(one.items for one in facts.classes) == 232
    assert (facts.risk_count, facts.trigger_count) == (1, 1)
    assert facts.drills_in_year == 1
    new = {"L3-CES1-03", "L3-CNS1-07"}
    assert {(one.unit, one.kind.zh) for one in facts.changes} == {(unit, "新判定") for unit in new}
    assert [one.priority.zh for one in facts.remedies][:1] == ["重大隐患（候选）"]
    assert facts.units[0].record.zh == "无证据，待人工确认"


def test_every_item_is_either_judged_by_full_evidence_or_listed_for_confirmation(
    facts: report.AssessmentFacts,
) -> None:
    listed = {unit for row in facts.pending for unit in row.units.split()}
    assert len(listed) == sum(row.items for row in facts.pending) == facts.pending_count
    assert {one.unit for one in facts.units if one.verdict == "未判定"} <= listed


def test_without_evidence_the_report_gives_no_rate_and_says_nothing_is_met(tmp_path: Path) -> None:
    bare = report.assessment_facts(assessed(), SYSTEM, None, [])
    assert {one.rate for one in bare.rates} == {"n/a"}
    assert bare.conclusion == "待确认"
    path, _ = report.write("assessment", bare, tmp_path, ["pdf"])
    said = read(path)
    assert "100.0%" not in said
    assert "没有恢复演练记录" in said


def test_support_stays_undecided_on_paper_and_says_what_it_is(facts: report.AssessmentFacts) -> None:
    one = next(one for one in facts.units if one.unit == "L3-CES1-02")
    assert one.verdict == "未判定"
    assert "工具证据支持该项" in one.record.zh
    assert one.refs
    assert "L3-CES1-02" in " ".join(row.units for row in facts.pending)


def test_a_remedy_names_what_counts_against_the_item_and_not_what_is_merely_attached() -> None:
    counts = replace(evidence(("L3-CES1-18",), "不符合", 1, reason="开放 445"), check="open_ports")
    attached = replace(evidence(("L3-CES1-18",), "不符合", 2, reason="主机防火墙默认放行"), check="host_firewall")
    made = report.assessment_facts(assessed(counts, attached), SYSTEM, None, [counts, attached])
    assert [row.problem.zh for row in made.remedies] == ["主机 1：开放 445"]


def test_objects_without_evidence_count_beside_those_with_it() -> None:
    assets = tuple(Asset(f"host-{n}", f"主机 {n}", SYSTEM.id) for n in range(5))
    made = assess(SYSTEM, EVIDENCE[:1], catalogue.load(), scoring.load(), now=NOW, assets=assets)
    rows = report.assessment_facts(made, SYSTEM, None, EVIDENCE).rates
    assert [(row.passed, row.counted) for row in rows] == [(0, 232), (0, 236)]


def test_the_report_names_the_versions_it_rests_on(facts: report.AssessmentFacts, tmp_path: Path) -> None:
    assert "高风险判定实施指引" in facts.risk_guide.zh
    assert [one.name.en for one in facts.contents] == ["Catalogue of requirements", "What checks may say about items"]
    assert all(len(one.sha256) == 64 for one in facts.contents)
    rules = report.contents()
    assert [one.name.en for one in rules] == ["Detection rules", "Collectors"]
    assert all(one.files and len(one.sha256) == 64 for one in rules)
    made = report.assessment_facts(assessed(*EVIDENCE), SYSTEM, None, EVIDENCE, contents=rules)
    path, _ = report.write("assessment", made, tmp_path, ["html"])
    for one in made.contents:
        assert one.sha256 in read(path)
    assert "高风险判定实施指引" in read(path)


def test_a_changed_or_added_rule_changes_the_version_and_nothing_else_does(tmp_path: Path) -> None:
    shipped, folder = report.contents(), tmp_path / "rules"
    folder.mkdir()
    own = folder / "own.yml"
    own.write_text("title: a\n")
    first = report.contents(tmp_path)
    own.write_text("title: b\n")
    second = report.contents(tmp_path)
    assert first[0].files == (shipped[0].files or 0) + 1
    assert len({shipped[0].sha256, first[0].sha256, second[0].sha256}) == 3
    assert shipped[1] == first[1] == second[1]
    assert second == report.contents(tmp_path)


def test_a_drill_is_titled_in_the_readers_language_and_compared_with_the_one_before(tmp_path: Path) -> None:
    named = replace(DRILL, title="供水库恢复 / Water database restore")
    made = report.drill_facts(named, SYSTEM, DEPARTMENT, previous=replace(DRILL, conclusion="失败", files=40))
    assert (made.title.zh, made.title.en) == ("供水库恢复", "Water database restore")
    english = read(report.write("drill", made, tmp_path, ["html"], "en")[0])
    assert "Waterdatabaserestore" in english
    assert "供水库恢复" not in english
    assert [(row.name.en, row.was, row.now) for row in made.compared][:2] == [
        ("Conclusion", "失败", "部分成功"),
        ("Actual RTO", "—", "5 min"),
    ]
    assert report.drill_facts(DRILL, SYSTEM, None).title == Text(DRILL.title, DRILL.title)


def test_a_drill_report_carries_scenario_times_and_hashes_of_what_went_into_it(tmp_path: Path) -> None:
    told = replace(
        DRILL, scenario="勒索加密", operator="管理员", incident=NOW - timedelta(hours=2), manifest_path="m.json",
        manifest_sha256="d4" * 32,
    )  # fmt: skip
    made = report.drill_facts(told, SYSTEM, DEPARTMENT)
    said = read(report.write("drill", made, tmp_path, ["html"])[0])
    for word in ("勒索加密", "管理员", "m.json", "d4" * 32, "c3" * 32, "没有同一计划的上次演练可比"):
        assert word in said, word


def test_evidence_the_assessment_did_not_use_is_left_out() -> None:
    made = report.assessment_facts(assessed(EVIDENCE[0]), SYSTEM, DEPARTMENT, EVIDENCE)
    assert [one.id for one in made.evidence] == [EVIDENCE[0].id]


def test_many_findings_of_one_item_are_listed_worst_first_and_the_rest_counted() -> None:
    many = [evidence(("L3-CES1-01",), "符合", n, reason=f"第 {n} 条") for n in range(40)]
    many.append(evidence(("L3-CES1-01",), "不符合", 99))
    unit = next(
        one for one in report.assessment_facts(assessed(*many), SYSTEM, None, many).units if one.unit == "L3-CES1-01"
    )
    lines = unit.record.zh.splitlines()
    assert lines[0] == "主机 0：口令最小长度为 6"
    assert "另有 29 条" in lines[-1]
    assert len(unit.evidence) == 41
    assert unit.refs.endswith("+29")


def test_one_finding_on_many_objects_is_one_line_that_names_them() -> None:
    same = [
        replace(
            evidence(("L3-CES1-01",), "未判定", n, reason="没有采集到配置"), object=f"h{n}", object_name=f"h{n:02d}"
        )
        for n in range(20)
    ]
    unit = next(
        one for one in report.assessment_facts(assessed(*same), SYSTEM, None, same).units if one.unit == "L3-CES1-01"
    )
    (line,) = unit.record.zh.splitlines()
    assert line.startswith("h00、h01、")
    assert line.endswith("h11 等 20 个对象：没有采集到配置")


@pytest.mark.parametrize("form", report.WRITERS)
def test_the_same_facts_give_the_same_bytes(
    facts: report.AssessmentFacts, written: dict[tuple[str, str], Path], tmp_path: Path, form: str
) -> None:
    again, _ = report.write("assessment", facts, tmp_path, [form])
    assert again.name == written[form, "zh-CN"].name
    assert again.read_bytes() == written[form, "zh-CN"].read_bytes()


def test_the_manifest_finds_a_changed_a_missing_and_a_linked_file(
    facts: report.AssessmentFacts, drill: report.DrillFacts, tmp_path: Path
) -> None:
    first = report.write("assessment", facts, tmp_path, ["html", "json"])
    second = report.write("drill", drill, tmp_path, ["json"])
    assert first[-1] == second[-1] == tmp_path / "manifest.json"
    assert report.verify(tmp_path) == [(path.name, True) for path in sorted((*first[:-1], *second[:-1]))]
    first[0].write_bytes(first[0].read_bytes().replace("不符合".encode(), "全符合".encode(), 1))
    second[0].unlink()
    first[1].rename(tmp_path / "moved")
    first[1].symlink_to(tmp_path / "moved")
    assert [good for _, good in report.verify(tmp_path)] == [False, False, False]


def test_a_manifest_that_points_elsewhere_or_is_none_is_not_followed(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no manifest"):
        report.verify(tmp_path)
    (tmp_path / "manifest.json").write_bytes(orjson.dumps({"files": {"../secret": {}, "a/b": {}, "c": 5}}))
    assert report.verify(tmp_path) == []
    for broken in (b"[]", b"{", b'{"files": 5}'):
        (tmp_path / "manifest.json").write_bytes(broken)
        with pytest.raises(InputError, match="no manifest"):
            report.verify(tmp_path)


def test_an_unknown_format_writes_nothing(facts: report.AssessmentFacts, tmp_path: Path) -> None:
    for formats in (["exe"], ["html", "exe"], []):
        with pytest.raises(InputError, match="one of: html"):
            report.write("assessment", facts, tmp_path / "out", formats)
    assert not (tmp_path / "out").exists()


def test_file_names_hold_nothing_a_system_id_could_smuggle_in(facts: report.AssessmentFacts, tmp_path: Path) -> None:
    odd = replace(facts, system_id="../../etc/供水 x")
    path, _ = report.write("assessment", odd, tmp_path / "out", ["json"])
    assert path.parent == tmp_path / "out"
    assert re.fullmatch(r"assessment-etc-x-20261121-[0-9a-f]{8}\.zh-CN\.json", path.name)


def test_a_scan_report_lists_evidence_with_its_records(tmp_path: Path) -> None:
    made = report.scan_facts(SYSTEM, DEPARTMENT, EVIDENCE, now=NOW)
    for form in report.WRITERS:
        path, _ = report.write("scan", made, tmp_path, [form])
        assert "a1" * 32 in read(path)
    assert [one.verdict for one in made.findings] == ["部分符合", "不符合"]


def test_a_drill_without_system_or_times_can_still_be_reported(tmp_path: Path) -> None:
    bare = replace(DRILL, rto_target_s=None, rpo_actual_s=None, backup_taken=None, steps=(), checks=(), kind="odd")
    made = report.drill_facts(bare, None, None)
    assert [one.met for one in made.targets] == ["未判定", "未判定"]
    path, _ = report.write("drill", made, tmp_path, ["pdf"])
    assert "未做任何校验" in read(path)


def test_a_failed_drill_reached_no_recovery_time() -> None:
    met = report.drill_facts(DRILL, SYSTEM, None).targets[0]
    failed = report.drill_facts(replace(DRILL, conclusion="失败"), SYSTEM, None).targets[0]
    assert (met.met, failed.met) == ("符合", "未判定")


def test_checks_are_named_in_the_readers_language_and_stay_findable_by_id() -> None:
    known, other = replace(EVIDENCE[0], check="log_retention"), replace(EVIDENCE[1], check="backup_drill")
    rows = report.scan_facts(SYSTEM, None, [known, other, EVIDENCE[2]], now=NOW)
    names = {one.check: (one.check_name.zh, one.check_name.en) for one in rows.evidence}
    assert names["backup_drill"] == ("备份恢复演练", "Backup restore drill")
    assert names["log_retention"][0] not in ("", "log_retention")
    assert all("log_retention" in one.about.zh for one in rows.evidence if one.check == "log_retention")


def test_a_grade_3_report_is_set_in_seconds(facts: report.AssessmentFacts, tmp_path: Path) -> None:
    before = datetime.now(UTC)
    (path, _) = report.write("assessment", facts, tmp_path, ["pdf"])
    assert (datetime.now(UTC) - before).total_seconds() < 5
    assert len(pypdf.PdfReader(io.BytesIO(path.read_bytes())).pages) > 10


def kinds(kind: type, seen: dict[str, type]) -> dict[str, type]:
    """A facts class and every row class in it."""
    if is_dataclass(kind) and kind.__module__.startswith("cityguard.report") and kind.__name__ not in seen:
        seen[kind.__name__] = kind
        for hint in get_type_hints(kind).values():
            for inner in (hint, *get_args(hint)):
                if isinstance(inner, type):
                    kinds(inner, seen)
    return seen


def test_every_fact_a_template_may_use_is_documented() -> None:
    text = DOCS.read_text(encoding="utf-8")
    found: dict[str, Any] = {}
    for kind in (report.AssessmentFacts, report.DrillFacts, report.ScanFacts, report.OtFacts):
        kinds(kind, found)
    assert {"UnitRow", "EvidenceRow", "StepRow"} <= set(found)
    assert report_evidence.EvidenceRow in found.values()
    assert report_scan.ScanFacts in found.values()
    for name, kind in found.items():
        part = re.search(rf"^### {name}\n(.*?)(?=^##|\Z)", text, re.DOTALL | re.MULTILINE)
        assert part, f"docs/reports.md has no section '### {name}'"
        named = set(re.findall(r"`([a-z_0-9]+)`", part[1]))
        assert {one.name for one in fields(kind)} <= named, name
