"""The shipped catalogue against the reference list of GB/T 22239 items: same clauses, units, cases at every grade."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cityguard import content
from cityguard.compliance import catalogue
from cityguard.compliance.catalogue import Catalogue


@pytest.fixture(scope="module")
def reference(shared: Path) -> dict[str, dict[str, Any]]:
    data = content.load(shared / "gbt22239_catalogue.yaml").data
    return {item["id"]: item for item in data["items"]}


@pytest.fixture(scope="module")
def shipped() -> Catalogue:
    return catalogue.load()


def test_every_item_of_the_reference_is_shipped_with_its_clauses_and_units(
    reference: dict[str, dict[str, Any]], shipped: Catalogue
) -> None:
    assert {item.id for item in shipped.items} == set(reference)
    for item in shipped.items:
        refs = reference[item.id]["refs"]
        assert {grade: clause for grade, (clause, _) in item.at.items()} == {
            g: ref["clause"] for g, ref in refs.items()
        }
        for grade, (_, unit) in item.at.items():
            assert unit == (refs[grade]["unit"] or f"L{grade}-{item.id}")


def test_methods_kinds_and_high_risk_cases_are_those_of_the_reference(
    reference: dict[str, dict[str, Any]], shipped: Catalogue
) -> None:
    for item in shipped.items:
        known = reference[item.id]
        assert shipped.point_of(item).sag == known["sag"]
        assert item.auto == known["auto"]
        assert list(item.methods) == known.get("methods", [])
        cases = {ref["case"]: ref["levels"] for ref in known.get("high_risk_refs", [])}
        assert {case.id: list(case.grades) for case in item.cases} == cases
        triggers = {ref["case"]: ref.get("major_trigger") for ref in known.get("high_risk_refs", [])}
        assert {case.id: shipped.case(case.id).trigger for case in item.cases} == triggers
