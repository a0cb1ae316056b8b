"""A system held against the catalogue: what counts, what no longer counts, and what is never guessed."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.compliance.conftest import NOW, MakeEvidence

from cityguard.compliance.assess import assess
from cityguard.compliance.catalogue import Catalogue
from cityguard.compliance.scoring import Scoring
from cityguard.errors import InputError
from cityguard.model import VERDICTS, Assessment, Asset, Evidence, System, UnitResult

EXTENDED = ("cloud", "mobile", "iot", "ics", "bigdata")


@pytest.fixture
def judge(lenient: Catalogue, rate2025: Scoring, system: System):
    """Judges with a catalogue whose ``password_policy`` may decide; the rest of its evidence merely supports."""

    def judged(
        *evidence: Evidence, system: System = system, now=NOW, by: Catalogue = lenient, assets: tuple[Asset, ...] = ()
    ) -> Assessment:
        return assess(system, evidence, by, rate2025, now=now, assets=assets)

    return judged


def unit(made: Assessment, code: str) -> UnitResult:
    return next(one for one in made.results if one.unit == code)


def test_without_evidence_everything_is_undecided_and_no_rate_is_given(judge) -> None:
    made = judge()
    assert made.counts == {"符合": 0, "部分符合": 0, "不符合": 0, "不适用": 0, "未判定": 211}
    assert made.rate == {"item": None, "object_item": None}
    assert made.conclusion == "待确认"
    assert {one.reason for one in made.results} == {"无证据，待人工确认"}


def test_evidence_decides_the_items_it_names_and_no_others(judge, make: MakeEvidence) -> None:
    made = judge(make(("L3-CES1-01", "L3-CES1-02"), "符合"))
    assert {one.unit for one in made.results if one.verdict == "符合"} == {"L3-CES1-01", "L3-CES1-02"}
    assert unit(made, "L3-CES1-01").evidence == made.evidence
    assert made.counts["未判定"] == 209


def test_an_expired_pass_turns_undecided_with_the_reason(judge, make: MakeEvidence) -> None:
    fresh = make(("L3-CES1-01",), "符合", age_days=29, valid_days=30)
    assert unit(judge(fresh), "L3-CES1-01").verdict == "符合"
    later = judge(fresh, now=NOW + timedelta(days=2))
    assert unit(later, "L3-CES1-01").verdict == "未判定"
    assert unit(later, "L3-CES1-01").reason == "证据已过期，待确认"
    assert later.expired == (fresh.id,)


def test_evidence_is_valid_up_to_and_with_its_last_moment(judge, make: MakeEvidence) -> None:
    item = make(("L3-CES1-01",), "符合", age_days=30, valid_days=30)
    assert item.valid_until == NOW
    assert unit(judge(item), "L3-CES1-01").verdict == "符合"
    assert unit(judge(item, now=NOW + timedelta(microseconds=1)), "L3-CES1-01").verdict == "未判定"


def test_evidence_dated_after_the_assessment_decides_nothing(judge, make: MakeEvidence) -> None:
    made = judge(make(("L3-CES1-01",), "符合", age_days=-1))
    assert unit(made, "L3-CES1-01").verdict == "未判定"


def test_several_objects_add_up_as_the_standard_says(judge, make: MakeEvidence) -> None:
    one, two = make(("L3-CES1-01",), "符合"), make(("L3-CES1-01",), "不符合", object="db-1")
    assert unit(judge(one, two), "L3-CES1-01").verdict == "部分符合"
    gap = make(("L3-CES1-01",), "未判定", object="fw-1")
    assert unit(judge(one, gap), "L3-CES1-01").verdict == "未判定"
    assert unit(judge(two, gap), "L3-CES1-01").verdict == "不符合"


def test_a_unit_code_of_another_grade_speaks_for_the_same_requirement_only(judge, make: MakeEvidence) -> None:
    lower = System("scada", "s", "water", s_grade=2, a_grade=3)
    made = judge(make(("L3-CES1-01", "L3-CES1-25"), "不符合"), system=lower)
    assert unit(made, "L2-CES1-01").verdict == "不符合"
    # L3-CES1-25 asks more than L2-CES1-18 does: they are different requirements
    assert unit(made, "L2-CES1-18").verdict == "未判定"


def test_evidence_of_other_systems_and_unknown_units_change_nothing(judge, make: MakeEvidence) -> None:
    made = judge(make(("L3-CES1-01",), "符合", system="other"), make(("L9-XXX1-01",), "符合"))
    assert made.counts["未判定"] == 211
    assert len(made.evidence) == 1


def test_a_failed_item_names_its_high_risk_case_and_trigger(judge, make: MakeEvidence) -> None:
    made = judge(make(("L3-CES1-01",), "不符合"), make(("L3-CES1-02",), "不符合"), make(("L3-CES1-04",), "符合"))
    assert unit(made, "L3-CES1-01").high_risk == ("6.4.1.1",)
    assert unit(made, "L3-CES1-01").major_trigger == "A-18"
    assert unit(made, "L3-CES1-02").high_risk == ()
    assert [(risk.case, risk.trigger, risk.objects) for risk in made.risks] == [("6.4.1.1", "A-18", ("web-1",))]


def test_one_failing_object_among_passing_ones_is_still_a_risk(judge, make: MakeEvidence) -> None:
    made = judge(make(("L3-CES1-01",), "符合"), make(("L3-CES1-01",), "不符合", object="db-1"))
    assert unit(made, "L3-CES1-01").verdict == "部分符合"
    assert [risk.objects for risk in made.risks] == [("db-1",)]


def test_a_case_below_its_grade_and_an_expired_failure_are_no_risk(judge, make: MakeEvidence) -> None:
    backup = make(("L3-CES1-29",), "不符合")
    assert [risk.case for risk in judge(backup).risks] == ["6.4.6.1"]
    lower = System("scada", "s", "water", s_grade=2, a_grade=2)
    assert judge(backup, system=lower).risks == ()
    assert judge(backup, now=NOW + timedelta(days=60)).risks == ()


def test_a_finding_on_an_item_tools_cannot_carry_alone_is_marked_for_confirmation(judge, make: MakeEvidence) -> None:
    made = judge(make(("L3-CES1-01", "L3-CES1-08"), "不符合"))
    by_auto = {unit(made, code).auto: unit(made, code).reason for code in ("L3-CES1-01", "L3-CES1-08")}
    assert by_auto == {"full": "", "partial": "自动取证，待人工确认"}


def test_the_manifest_seals_evidence_results_and_catalogue(judge, make: MakeEvidence) -> None:
    item = make(("L3-CES1-01",), "符合")
    made, other = judge(item), judge(replace(item, record='{"minlen":12}'))
    assert set(made.manifest) == {f"evidence/{item.id}", "results", "catalogue", "claims"}
    assert made.manifest[f"evidence/{item.id}"] != other.manifest[f"evidence/{item.id}"]
    assert made.manifest["results"] == other.manifest["results"]


def test_the_same_question_has_the_same_id_and_answer(judge, make: MakeEvidence) -> None:
    a, b = make(("L3-CES1-01",), "符合"), make(("L3-CES1-02",), "不符合")
    assert judge(a, b) == judge(b, a)
    assert judge(a, b).id != judge(a).id
    assert judge(a).id != judge(a, now=NOW + timedelta(seconds=1)).id


def test_an_ungraded_system_is_refused(judge) -> None:
    with pytest.raises(InputError, match="not graded"):
        judge(system=System("x", "x", "d"))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from(VERDICTS), st.integers(0, 3), st.integers(0, 210)), max_size=30))
def test_counts_and_bounds_hold_for_any_evidence(judge, make: MakeEvidence, drawn: list) -> None:
    units = [one.unit for one in judge().results]
    made = judge(*(make((units[u],), v, object=f"o{o}", check=f"c{n}") for n, (v, o, u) in enumerate(drawn)))
    assert sum(made.counts.values()) == 211
    for one in made.rates:
        assert 0 <= one.passed <= one.counted
        assert (one.rate is None) or (0 <= one.low == one.rate <= one.high <= 100)
    touched = {units[u] for _, _, u in drawn}
    assert all(one.verdict == "未判定" for one in made.results if one.unit not in touched)


def test_no_item_for_people_becomes_met_or_not_applicable_whatever_tools_say(
    lenient: Catalogue, rate2025: Scoring, make: MakeEvidence
) -> None:
    """Every unit of every grade, a pass of every check that may claim it and of one that decides wherever it can."""
    for grade in (1, 2, 3, 4):
        everything = System("scada", "s", "water", s_grade=grade, a_grade=grade, extensions=tuple(EXTENDED))
        for verdict in ("符合", "不适用"):
            units = tuple(unit for item in lenient.items for _, unit in item.at.values())
            found = [make(units, verdict, check=check) for check in ("password_policy", "backup_drill", "other")]
            made = assess(everything, found, lenient, rate2025, now=NOW)
            good = [one for one in made.results if one.verdict in ("符合", "不适用")]
            assert {one.auto for one in good} <= {"full"}
            assert all(set(one.methods) != {"访谈"} for one in good)
            manual = [one for one in made.results if one.auto == "none" or set(one.methods) == {"访谈"}]
            assert manual
            assert {one.verdict for one in manual} == {"未判定"}


def test_shipped_checks_decide_no_item_a_person_has_to_judge(judge, gbt22239: Catalogue, make: MakeEvidence) -> None:
    units = tuple(item.at[3][1] for item in gbt22239.items if 3 in item.at)
    checks = {check for check, _ in gbt22239.claims.by_pair}
    made = judge(*(make(units, "符合", check=check) for check in checks), by=gbt22239)
    assert {one.unit for one in made.results if one.verdict == "符合"} == {"L3-CES1-29"}


def test_support_counts_neither_as_met_nor_in_the_rate_nor_in_its_lower_bound(judge, make: MakeEvidence) -> None:
    finding = make(("L3-CES1-12",), "不符合", check="other")
    made = judge(finding, make(("L3-CES1-01", "L3-CES1-08", "L3-MMS1-29"), "符合", check="other"))
    assert [(one.passed, one.counted, one.rate, one.low) for one in made.rates] == [(0, 211, 0.0, 0.0)] * 2
    one = unit(made, "L3-CES1-01")
    assert (one.verdict, one.supports, one.against) == ("未判定", one.evidence, ())
    assert "支持" in one.reason
    assert "supports" in one.reason_en


def test_a_note_counts_neither_way_and_a_refuting_check_only_when_it_fails(
    judge, gbt22239: Catalogue, make: MakeEvidence
) -> None:
    for verdict in VERDICTS:
        made = judge(make(("L3-MMS1-36",), verdict, check="backup_drill"), by=gbt22239)
        assert unit(made, "L3-MMS1-36").verdict == "未判定", "a restore does not show whether a policy is written"
        assert made.risks == ()
    passed = judge(make(("L3-CMS1-29",), "符合", check="assessment_due"), by=gbt22239)
    failed = judge(make(("L3-CMS1-29",), "不符合", check="assessment_due"), by=gbt22239)
    assert (unit(passed, "L3-CMS1-29").verdict, unit(failed, "L3-CMS1-29").verdict) == ("未判定", "不符合")
    assert unit(passed, "L3-CMS1-29").supports == ()
    assert [risk.case for risk in failed.risks] == ["6.9.4.1"]


def test_checks_that_decide_together_all_have_to_pass(judge, gbt22239: Catalogue, make: MakeEvidence) -> None:
    drill = make(("L3-CES1-29",), "符合", check="backup_drill", object="scada:plan")
    fresh = make(("L3-CES1-29",), "符合", check="backup_freshness", object="scada")
    stale = make(("L3-CES1-29",), "不符合", check="backup_freshness", object="scada")
    judged = [
        unit(judge(*found, by=gbt22239), "L3-CES1-29").verdict
        for found in ((drill,), (fresh,), (drill, fresh), (drill, stale))
    ]
    assert judged == ["未判定", "未判定", "符合", "部分符合"]


def test_a_supporting_pass_beside_a_deciding_one_takes_nothing_away(judge, make: MakeEvidence) -> None:
    made = judge(make(("L3-CES1-01",), "符合"), make(("L3-CES1-01",), "符合", check="other"))
    assert unit(made, "L3-CES1-01").verdict == "符合"
    elsewhere = make(("L3-CES1-01",), "符合", check="other", object="db-1")
    assert unit(judge(make(("L3-CES1-01",), "符合"), elsewhere), "L3-CES1-01").verdict == "未判定"


def test_assets_no_evidence_reaches_count_as_undecided_objects(judge, make: MakeEvidence) -> None:
    assets = tuple(Asset(f"web-{n}", f"web {n}", "scada") for n in range(1, 6))
    foreign = Asset("web-9", "web 9", "other")
    one = make(("L3-CES1-01",), "符合")
    made = judge(one, assets=(*assets, foreign))
    assert unit(made, "L3-CES1-01").verdict == "未判定"
    assert {rate.name: (rate.passed, rate.counted) for rate in made.rates} == {
        "item": (0, 211),
        "object_item": (1, 215),
    }
    every = [make(("L3-CES1-01",), "符合", object=asset.id) for asset in assets]
    assert unit(judge(*every, assets=assets), "L3-CES1-01").verdict == "符合"
    # what is said of the system as a whole has no single assets among its objects
    whole = judge(make(("L3-CES1-01",), "符合", object="scada"), assets=assets)
    assert unit(whole, "L3-CES1-01").verdict == "符合"
