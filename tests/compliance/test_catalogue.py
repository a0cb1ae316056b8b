"""The shipped catalogue holds what GB/T 22239-2019 has, and a broken one is refused with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from cityguard import content
from cityguard.compliance import catalogue
from cityguard.compliance.catalogue import Catalogue
from cityguard.errors import ContentErrors, InputError

# GB/T 22239-2019, chapters 6 to 9: items of the general requirements at grades 1 to 4.
ITEMS = {
    "PES": (7, 15, 22, 24),
    "CNS": (2, 4, 8, 11),
    "ABS": (5, 11, 20, 21),
    "CES": (11, 23, 34, 36),
    "SMC": (0, 4, 12, 13),
    "PSS": (1, 6, 7, 7),
    "ORS": (3, 9, 14, 15),
    "HRS": (4, 7, 12, 14),
    "CMS": (9, 25, 34, 35),
    "MMS": (13, 31, 48, 52),
}
POINTS = {
    "PES": (7, 10, 10, 10),
    "CNS": (2, 3, 3, 3),
    "ABS": (3, 6, 6, 6),
    "CES": (7, 10, 11, 11),
    "SMC": (0, 2, 4, 4),
    "PSS": (1, 4, 4, 4),
    "ORS": (3, 5, 5, 5),
    "HRS": (4, 4, 4, 4),
    "CMS": (7, 10, 10, 10),
    "MMS": (8, 14, 14, 14),
}
EXTENSIONS = {
    "general": (55, 135, 211, 228),
    "cloud": (11, 29, 46, 49),
    "mobile": (5, 14, 19, 21),
    "iot": (4, 7, 20, 21),
    "ics": (9, 15, 21, 22),
    "bigdata": (3, 12, 24, 25),
}


@pytest.mark.parametrize("code", ITEMS)
def test_every_class_has_the_standards_items_at_every_grade(gbt22239: Catalogue, code: str) -> None:
    assert tuple(gbt22239.count("general", grade, code) for grade in (1, 2, 3, 4)) == ITEMS[code]


@pytest.mark.parametrize("code", POINTS)
def test_every_class_has_the_standards_control_points_at_every_grade(gbt22239: Catalogue, code: str) -> None:
    found = tuple(
        len({item.point for item in gbt22239.items if item.point[:2] == ("general", code) and grade in item.at})
        for grade in (1, 2, 3, 4)
    )
    assert found == POINTS[code]


@pytest.mark.parametrize("name", EXTENSIONS)
def test_every_extension_has_the_standards_items_at_every_grade(gbt22239: Catalogue, name: str) -> None:
    assert tuple(gbt22239.count(name, grade) for grade in (1, 2, 3, 4)) == EXTENSIONS[name]


def test_s_and_a_points_are_those_of_annex_a(gbt22239: Catalogue) -> None:
    named = {sag: sorted({p.zh for p in gbt22239.points if p.sag == sag}) for sag in ("S", "A")}
    assert named["A"] == ["数据备份恢复", "电力供应"]
    assert named["S"] == sorted(
        ["电磁防护", "可信验证", "身份鉴别", "访问控制", "数据完整性", "数据保密性", "剩余信息保护", "个人信息保护"]
    )
    assert all(p.sag == "G" for p in gbt22239.points if p.ext != "general")


def test_trusted_verification_is_optional_and_nothing_else(gbt22239: Catalogue) -> None:
    assert {item.point[2] for item in gbt22239.items if item.optional} == {"可信验证"}


def test_units_that_do_not_exist_in_the_assessment_standard_are_not_in_the_catalogue(gbt22239: Catalogue) -> None:
    for unit in ("L3-CES1-16", "L3-CMS2-06", "L4-CMS2-06", "L3-CES4-04", "L4-CES4-04"):
        assert gbt22239.item_of(unit) is None


def test_a_unit_of_any_grade_names_its_requirement(gbt22239: Catalogue) -> None:
    at_two, at_three = gbt22239.item_of("L2-CES1-19"), gbt22239.item_of("L3-CES1-29")
    assert at_two is at_three is not None
    assert at_two.zh == "重要数据有本地备份且能恢复"


def test_the_guide_has_81_cases_of_which_42_are_general(gbt22239: Catalogue) -> None:
    assert len(gbt22239.cases) == 81
    assert sum(1 for case in gbt22239.cases if case.id.startswith("6.")) == 42
    triggers = {case.trigger for case in gbt22239.cases if case.trigger}
    assert triggers == {f"A-{n:02d}" for n in range(1, 27)}
    assert [one.id for one in gbt22239.composite_triggers] == [f"A-{n}" for n in range(27, 33)]


def test_items_that_carry_a_case_are_16_at_grade_2_and_40_at_grade_3(gbt22239: Catalogue) -> None:
    def carrying(grade: int) -> int:
        general = [item for item in gbt22239.items if item.point[0] == "general" and grade in item.at]
        return sum(1 for item in general if any(grade in case.grades for case in item.cases))

    assert (carrying(2), carrying(3), carrying(4)) == (16, 40, 42)


def test_every_text_a_reader_sees_is_there_in_both_languages(gbt22239: Catalogue) -> None:
    parts = (*gbt22239.items, *gbt22239.points, *gbt22239.classes, *gbt22239.cases, *gbt22239.composite_triggers)
    assert all(part.zh.strip() and part.en.strip() for part in parts)


def city(tmp_path: Path, change: tuple[str, str]) -> Path:
    shipped = (content.root() / "reports/controls/gbt22239-2019.yml").read_text(encoding="utf-8")
    assert change[0] in shipped
    folder = tmp_path / "reports/controls"
    folder.mkdir(parents=True)
    (folder / "gbt22239-2019.yml").write_text(shipped.replace(*change, 1), encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("general: [55, 135, 211, 228]", "general: [55, 135, 210, 228]"), "211"),
        (("L3-PES1-02]", "L3-PES1-01]"), "unit L3-PES1-01 is also in"),
        (('point: [general, PES, "物理位置选择"]', 'point: [general, PES, "无此控制点"]'), "no control point"),
        (('cases: [{id: "6.1.1.1"', 'cases: [{id: "9.9.9.9"'), "no high-risk case '9.9.9.9'"),
    ],
)
def test_a_catalogue_that_contradicts_itself_is_refused(tmp_path: Path, change: tuple[str, str], said: str) -> None:
    with pytest.raises(ContentErrors, match=r"gbt22239-2019\.yml:\d+") as caught:
        catalogue.load(city(tmp_path, change))
    assert said in str(caught.value)


def test_a_catalogue_of_the_wrong_shape_or_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="auto"):
        catalogue.load(city(tmp_path, ("auto: none", "auto: perhaps")))
    with pytest.raises(InputError, match="no catalogue"):
        catalogue.load(name="none-such")


def test_the_citys_own_catalogue_takes_the_place_of_the_shipped_one(tmp_path: Path) -> None:
    own = catalogue.load(city(tmp_path, ('version: "1"', 'version: "1-city"')))
    assert own.name == "gbt22239-2019/1-city"
    assert own.sha256 != catalogue.load().sha256
