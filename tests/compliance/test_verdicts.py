"""How verdicts add up: what holds for any of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st
from tests.compliance.conftest import NOW, MakeEvidence

from cityguard.compliance.assess import assess
from cityguard.compliance.catalogue import Catalogue
from cityguard.compliance.scoring import Scoring
from cityguard.compliance.verdicts import aggregate, by_class, by_point, changes, tally
from cityguard.model import VERDICTS, System

verdicts = st.lists(st.sampled_from(VERDICTS), max_size=12)


@given(verdicts)
def test_only_a_list_of_nothing_but_met_and_exempt_is_met(found: list) -> None:
    assert (aggregate(found) == "符合") == (set(found) <= {"符合", "不适用"} and "符合" in found)


@given(verdicts)
def test_order_and_repetition_do_not_matter(found: list) -> None:
    assert aggregate(found) == aggregate(reversed(found)) == aggregate([*found, *found])


@given(verdicts)
def test_undecided_never_makes_anything_better_and_never_hides_a_finding(found: list) -> None:
    before, after = aggregate(found), aggregate([*found, "未判定"])
    assert after != "符合"
    if before in ("部分符合", "不符合"):
        assert after == before
    else:
        assert after == "未判定"


@given(verdicts)
def test_an_object_the_item_does_not_apply_to_changes_nothing_beside_others(found: list) -> None:
    if set(found) - {"不适用"}:
        assert aggregate([*found, "不适用"]) == aggregate(found)
    assert aggregate(["不适用", *[one for one in found if one == "不适用"]]) == "不适用"


@given(verdicts)
def test_a_mixture_of_met_and_not_met_is_partly_met(found: list) -> None:
    assert aggregate([*found, "符合", "不符合"]) == "部分符合"


@given(verdicts)
def test_a_tally_loses_nothing(found: list) -> None:
    counted = tally(found)
    assert sum(counted.values()) == len(found)
    assert tuple(counted) == VERDICTS


def test_no_evidence_at_all_is_undecided() -> None:
    assert aggregate([]) == "未判定"


def test_rollups_cover_every_item_once(gbt22239: Catalogue, rate2025: Scoring, system: System) -> None:
    results = assess(system, [], gbt22239, rate2025, now=NOW).results
    points, classes = by_point(results), by_class(results)
    assert (len(points), len(classes)) == (71, 10)
    assert sum(len(one.results) for one in points) == sum(len(one.results) for one in classes) == 211


def test_changes_say_what_became_better_worse_or_undecided(
    lenient: Catalogue, rate2025: Scoring, system: System, make: MakeEvidence
) -> None:
    before = assess(
        system,
        [
            make(("L3-CES1-01",), "不符合"),
            make(("L3-CES1-02",), "符合"),
            make(("L3-CES1-03",), "符合"),
            make(("L3-CES1-08",), "不符合"),
        ],
        lenient,
        rate2025,
        now=NOW,
    )
    after = assess(
        system,
        [
            make(("L3-CES1-01",), "符合"),
            make(("L3-CES1-02",), "不符合"),
            make(("L3-CES1-04",), "部分符合"),
            make(("L3-CES1-08",), "符合"),
        ],
        lenient,
        rate2025,
        now=NOW + timedelta(days=1),
    )
    found = {one.unit: one.kind for one in changes(before, after)}
    assert found == {
        "L3-CES1-01": "better",
        "L3-CES1-02": "worse",
        "L3-CES1-03": "reopened",
        "L3-CES1-04": "decided",
        "L3-CES1-08": "supported",
    }
    assert changes(None, after) == changes(after, after) == ()


def test_changes_tell_what_entered_and_left_the_scope(gbt22239: Catalogue, rate2025: Scoring, system: System) -> None:
    plain = assess(system, [], gbt22239, rate2025, now=NOW)
    wider = assess(replace(system, extensions=("ics",)), [], gbt22239, rate2025, now=NOW)
    assert {one.kind for one in changes(plain, wider)} == {"new"}
    assert len(changes(wider, plain)) == 21
    assert {one.kind for one in changes(wider, plain)} == {"gone"}
