"""What checks may say about items: every pair judged, and nothing promised that the catalogue forbids."""

from __future__ import annotations

from pathlib import Path

import pytest

from cityguard.checks.base import discover
from cityguard.compliance import catalogue
from cityguard.compliance.catalogue import Catalogue
from cityguard.content import root
from cityguard.drill.drill import CHECK, CONTROLS
from cityguard.errors import ContentErrors, InputError


def known() -> dict[str, tuple[str, ...]]:
    return {**{name: check.info.controls for name, check in discover().items()}, CHECK: CONTROLS}


def test_every_check_of_the_claims_exists(gbt22239: Catalogue) -> None:
    assert {check for check, _ in gbt22239.claims.by_pair} <= known().keys()


def test_every_unit_a_check_names_has_been_judged(gbt22239: Catalogue) -> None:
    asked = {
        (check, item.id)
        for check, units in known().items()
        for unit in units
        if (item := gbt22239.item_of(unit)) is not None
    }
    assert asked - gbt22239.claims.by_pair.keys() == set(), "add a line to reports/checks/gbt22239-2019.yml"


def test_what_decides_is_an_item_tools_can_carry(gbt22239: Catalogue) -> None:
    items = {item.id: item for item in gbt22239.items}
    deciding = [item for (_, item), can in gbt22239.claims.by_pair.items() if can == "decide"]
    assert deciding
    assert all(items[item].decidable for item in deciding)


def test_a_pair_nobody_listed_is_support_and_decides_nothing(gbt22239: Catalogue) -> None:
    assert gbt22239.claims.of("a_new_check", "L3-CES1-01") == "support"
    assert gbt22239.claims.deciding("L3-CES1-01") == frozenset()


CLAIMS = "catalogue: gbt22239-2019\nversion: '2'\nclaims:\n  mine:\n"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("    - {unit: L3-CES9-99, can: support}\n", "no unit 'L3-CES9-99'"),
        ("    - {unit: L3-MMS1-29, can: decide}\n", "no tool may decide L3-MMS1-29"),
        ("    - {unit: L3-CMS1-04, can: decide}\n", "no tool may decide L3-CMS1-04"),
        ("    - {unit: L2-CES1-01, can: note}\n    - {unit: L3-CES1-01, can: note}\n", "listed already"),
    ],
)
def test_a_claim_that_does_not_fit_is_refused_with_its_line(tmp_path: Path, line: str, said: str) -> None:
    folder = tmp_path / "reports" / "checks"
    folder.mkdir(parents=True)
    (folder / "gbt22239-2019.yml").write_text(CLAIMS + line)
    with pytest.raises(ContentErrors, match=said) as caught:
        catalogue.load(tmp_path)
    assert "gbt22239-2019.yml:" in str(caught.value)


@pytest.mark.parametrize("text", ["claims: 5\n", CLAIMS + "    - {unit: L3-CES1-01, can: bless}\n", "[]\n"])
def test_claims_of_a_wrong_shape_are_refused(tmp_path: Path, text: str) -> None:
    folder = tmp_path / "reports" / "checks"
    folder.mkdir(parents=True)
    (folder / "gbt22239-2019.yml").write_text(text)
    with pytest.raises(InputError):
        catalogue.load(tmp_path)


def test_claims_of_another_catalogue_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "reports" / "checks"
    folder.mkdir(parents=True)
    (folder / "gbt22239-2019.yml").write_text("catalogue: other\nversion: '1'\nclaims: {}\n")
    with pytest.raises(InputError, match="'other', not 'gbt22239-2019'"):
        catalogue.load(tmp_path)


def test_the_citys_own_claims_take_the_place_of_the_shipped_ones_and_changes_are_seen(tmp_path: Path) -> None:
    folder = tmp_path / "reports" / "checks"
    folder.mkdir(parents=True)
    path = folder / "gbt22239-2019.yml"
    path.write_text(CLAIMS + "    - {unit: L3-CES1-01, can: decide}\n")
    first = catalogue.load(tmp_path)
    assert first.claims.deciding("L3-CES1-01") == {"mine"}
    path.write_text(CLAIMS + "    - {unit: L3-CES1-01, can: refute, why: not any more}\n")
    second = catalogue.load(tmp_path)
    assert second.claims.deciding("L3-CES1-01") == frozenset()
    assert second.claims.sha256 != first.claims.sha256


def test_a_catalogue_without_claims_lets_no_check_decide(tmp_path: Path) -> None:
    folder = tmp_path / "reports" / "controls"
    folder.mkdir(parents=True)
    text = (root() / "reports" / "controls" / "gbt22239-2019.yml").read_text(encoding="utf-8")
    (folder / "own.yml").write_text(text, encoding="utf-8")
    made = catalogue.load(tmp_path, "own")
    assert made.claims.by_pair == {}
    assert made.claims.deciding("L3-CES1-29") == frozenset()
