"""A drill's report beside the drill before, with where its targets stand and what it rests on, by hash."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from cityguard.drill import drill
from cityguard.model import DrillCheck, DrillRun, DrillStep, System, Text
from cityguard.report import report
from cityguard.report.drill_compare import compared, earlier

NOW = datetime(2026, 11, 21, 4, 0, tzinfo=UTC)
RUN = DrillRun(
    id="d" * 32,
    plan="scada-restore",
    title="调度库恢复 / Scada restore",
    system="scada",
    kind="data",
    backup="scada.tar.zst",
    backup_sha256="c3" * 32,
    backup_taken=NOW - timedelta(hours=20),
    started=NOW,
    ended=NOW + timedelta(minutes=5),
    steps=(DrillStep(Text("恢复备份", "restore the backup"), NOW, NOW + timedelta(minutes=3), "ok"),),
    checks=(DrillCheck("比对文件数 / files compared", "42", "42", True),),
    rto_target_s=14400,
    rto_actual_s=300,
    rpo_target_s=86400,
    rpo_actual_s=72000,
    files=42,
    bytes=123_456,
    residue_removed=True,
    conclusion="成功",
    reason=Text("成功", "success"),
    rto_from="plan",
    rpo_from="register",
    operator="张工",
)
LAST = replace(
    RUN,
    id="e" * 32,
    started=NOW - timedelta(days=90),
    ended=NOW - timedelta(days=90),
    conclusion="失败",
    rpo_actual_s=7200,
    checks=(DrillCheck("比对文件数 / files compared", "42", "41", False),),
    problems=("缺失文件：a / missing: a",),
)


def changes(before: DrillRun, now: DrillRun) -> dict[str, str]:
    return {row.name.en: row.change.en for row in compared(before, now)}


def test_each_measure_says_whether_it_got_better_or_worse() -> None:
    found = changes(LAST, RUN)
    assert found["Conclusion"] == "better"
    assert found["Actual RTO"] == "not comparable", "a failed drill reached no recovery time"
    assert found["Actual RPO"] == "worse"
    assert found["Checks failed"] == found["Problems of last time"] == "better"
    assert found["Files restored"] == found["SHA-256 of the set"] == "as before"
    back = changes(RUN, LAST)
    assert (back["Conclusion"], back["Checks failed"], back["Problems not seen last time"]) == ("worse",) * 3


def test_a_tenth_more_or_less_is_no_change_and_nothing_is_compared_with_nothing() -> None:
    assert changes(RUN, replace(RUN, rto_actual_s=320))["Actual RTO"] == "as before"
    assert changes(RUN, replace(RUN, rto_actual_s=600))["Actual RTO"] == "worse"
    assert changes(RUN, replace(RUN, backup_taken=None, conclusion="odd"))["Conclusion"] == "not comparable"
    assert compared(None, RUN) == ()


def test_the_run_before_is_the_newest_of_the_same_plan_and_system() -> None:
    older = replace(LAST, id="a" * 32, started=LAST.started - timedelta(days=90))
    other = replace(LAST, id="b" * 32, plan="other", started=NOW - timedelta(days=1))
    foreign = replace(LAST, id="c" * 32, system="oa", started=NOW - timedelta(days=1))
    later = replace(RUN, id="f" * 32, started=NOW + timedelta(days=1))
    assert earlier(RUN, [later, older, LAST, other, foreign, RUN]) == LAST
    assert earlier(older, [RUN, LAST, older]) is None


@pytest.mark.parametrize("language", ["zh-CN", "en"])
@pytest.mark.parametrize("form", ["html", "pdf", "docx"])
def test_every_format_carries_it(tmp_path: Path, form: str, language: str) -> None:
    made = report.drill_facts(RUN, None, None, previous=LAST)
    path, _ = report.write("drill", made, tmp_path, [form], language)
    assert path.stat().st_size > 1000
    if form == "html":
        said = path.read_text(encoding="utf-8")
        words = (
            ("系统登记表", "演练计划", "变差", "张工") if language == "zh-CN" else ("register", "drill plan", "worse")
        )
        for word in (*words, made.previous_number, hashlib.sha256(msgspec.json.encode(RUN)).hexdigest()):
            assert word in said, word


def test_the_records_hash_is_that_of_the_evidence() -> None:
    made = report.drill_facts(RUN, None, None)
    assert made.files_used[-1].sha256 == drill.evidence(RUN, System(id="scada", name="调度", department="d")).sha256


def test_a_backup_from_after_the_failure_met_no_target() -> None:
    assert report.drill_facts(replace(RUN, rpo_actual_s=-5.0), None, None).targets[1].met == "不符合"


def test_steps_name_the_tool_and_who_started_it_and_a_step_not_done_names_nobody() -> None:
    idle = DrillStep(Text("应用校验", "probe"), None, None, "skipped")
    done = report.drill_facts(replace(RUN, steps=(*RUN.steps, idle)), None, None).steps
    assert [one.operator for one in done] == ["cityguard (张工)", ""]
