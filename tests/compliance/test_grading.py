"""S, A and G: the matrix of GB/T 22240 and the items each combination selects."""

from __future__ import annotations

import pytest

from cityguard.compliance import grading
from cityguard.compliance.catalogue import Catalogue
from cityguard.errors import InputError
from cityguard.model import System


def test_the_matrix_is_the_published_one_where_drafts_differ() -> None:
    table = [[grading.grade(victim, harm) for harm in grading.HARMS] for victim in grading.VICTIMS]
    assert table == [[1, 2, 2], [2, 3, 4], [3, 4, 5]]


def test_unknown_words_are_refused_with_the_known_ones() -> None:
    with pytest.raises(InputError, match="一般损害"):
        grading.grade("国家安全", "小损害")
    with pytest.raises(InputError, match="国家安全"):
        grading.grade("无人", "一般损害")


def test_combinations_are_those_of_the_standard() -> None:
    written = {level: [grading.label(*pair)[:4] for pair in grading.combinations(level)] for level in (1, 2, 3, 4)}
    assert written[1] == ["S1A1"]
    assert sorted(written[2]) == ["S1A2", "S2A1", "S2A2"]
    assert sorted(written[3]) == ["S1A3", "S2A3", "S3A1", "S3A2", "S3A3"]
    assert len(written[4]) == 7
    assert grading.label(2, 3) == "S2A3G3"


@pytest.mark.parametrize(("s", "a", "items"), [(1, 1, 55), (2, 2, 135), (3, 3, 211), (4, 4, 228)])
def test_equal_grades_select_the_whole_grade(gbt22239: Catalogue, s: int, a: int, items: int) -> None:
    chosen = grading.select(gbt22239, s, a)
    assert len(chosen) == items
    assert len({one.unit for one in chosen}) == items


@pytest.mark.parametrize("pair", [pair for level in (2, 3, 4) for pair in grading.combinations(level)])
def test_each_kind_of_item_is_taken_at_its_own_grade(gbt22239: Catalogue, pair: tuple[int, int]) -> None:
    s, a = pair
    chosen = grading.select(gbt22239, s, a)
    want = {"S": s, "A": a, "G": max(pair)}
    assert all(one.grade == want[one.sag] and one.unit.startswith(f"L{one.grade}-") for one in chosen)
    for kind, grade in want.items():
        standing = [
            item
            for item in gbt22239.items
            if item.point[0] == "general" and gbt22239.point_of(item).sag == kind and grade in item.at
        ]
        assert sum(1 for one in chosen if one.sag == kind) == len(standing)


def test_s2a3_takes_identity_at_grade_2_and_backup_at_grade_3(gbt22239: Catalogue) -> None:
    units = {one.unit for one in grading.select(gbt22239, 2, 3)}
    assert {"L2-CES1-01", "L3-CES1-29", "L3-SMC1-10"} <= units
    assert not {"L3-CES1-01", "L3-CES1-04", "L2-CES1-19"} & units


def test_extensions_add_their_items_and_only_theirs(gbt22239: Catalogue) -> None:
    plain, more = grading.select(gbt22239, 3, 3), grading.select(gbt22239, 3, 3, ("ics", "cloud"))
    assert len(more) - len(plain) == 21 + 46
    assert {one.item.point[0] for one in more} == {"general", "ics", "cloud"}


def test_an_ungraded_system_an_unknown_extension_and_grade_5_are_refused(gbt22239: Catalogue) -> None:
    with pytest.raises(InputError, match="not graded"):
        grading.of_system(gbt22239, System("x", "x", "d", s_grade=0, a_grade=2))
    with pytest.raises(InputError, match="unknown extension 'quantum'"):
        grading.select(gbt22239, 2, 2, ("quantum",))
    for s, a in ((5, 5), (3, 5), (-1, 2), (0, 0)):
        with pytest.raises(InputError, match="not a grade"):
            grading.select(gbt22239, s, a)
