"""The shipped rules: whole, tested, told in both languages, and good Sigma to others."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from sigma.collection import SigmaCollection
from sigma.rule import SigmaRule

from cityguard import content
from cityguard.detectors.trial import check
from cityguard.sigma.rule import Correlation, Rule, Ruleset, load

RULES = content.root() / "rules"
FOLDERS = {"network", "ot", "host", "web", "firewall", "device", "database", "correlation"}
LISTS = {  # the lists that are not shipped: their rules wait for the city's own
    "ot_engineering_hosts": ["10.66.0.20"],
    "ot_critical_points": ["DB1.DBX0.0"],
    "ot_percent_points": ["ns=2;s=Valve1.Position"],
    "gb28181_areas": ["9901"],
    "traffic_centres": ["10.74.0.5"],
}
WAITING = {
    "Camera Of Another Place",
    "Controller Diagnosed By A Host That Is No Engineering Station",
    "Controller Program Touched By A Host That Is No Engineering Station",
    "Critical Point Written",
    "Engineering Station Leaves The Control Network",
    "Engineering Station Reached By A New Way",
    "Modbus Write By A Host That Is No Engineering Station",
    "Percentage Written Out Of Range",
    "Traffic Signal Or Sign Set Over NTCIP",
}


@pytest.fixture(scope="module")
def ruleset() -> Ruleset:
    return load([RULES], LISTS)


@pytest.fixture(scope="module")
def every(ruleset: Ruleset) -> list[Rule | Correlation]:
    return [*ruleset.rules, *ruleset.correlations]


def test_every_rule_loads(ruleset: Ruleset) -> None:
    assert [str(fault) for fault in ruleset.faults] == []
    assert ruleset.inactive == ()
    assert len(ruleset.rules) + len(ruleset.correlations) >= 70


def test_only_the_rules_that_need_the_city_s_lists_wait_for_them() -> None:
    assert {one.title for one in load([RULES]).inactive} == WAITING


def test_every_test_in_the_rules_passes(ruleset: Ruleset) -> None:
    results = check(ruleset)
    assert [result for result in results if not result.passed] == []
    assert len(results) >= 150


def test_every_rule_has_a_test_that_fires_and_one_that_does_not(every: list[Rule | Correlation]) -> None:
    for one in every:
        fires = [example.alerts > 0 if example.alerts is not None else example.match for example in one.head.examples]
        assert {True, False} <= set(fires), one.head.place


def test_every_rule_speaks_both_languages_and_says_what_to_do(
    every: list[Rule | Correlation], ruleset: Ruleset
) -> None:
    for one in every:
        assert re.search(r"[一-鿿]", one.title.zh), one.head.place
        assert one.title.en.isascii(), one.head.place
        if one.id not in ruleset.silent:
            assert one.head.advice.zh and one.head.advice.en, one.head.place


def test_every_rule_names_its_technique_and_its_author(every: list[Rule | Correlation]) -> None:
    for one in every:
        assert any(re.fullmatch(r"attack\.t\d{4}(\.\d{3})?", tag) for tag in one.head.tags), one.head.place
        assert one.head.author, one.head.place
        folder = one.head.path.parent.name
        assert folder in FOLDERS
        assert re.fullmatch(rf"cityguard\.{folder}\.[a-z0-9_]+", one.head.name), one.head.place


def test_names_and_ids_are_unique(every: list[Rule | Correlation]) -> None:
    assert len({one.id for one in every}) == len({one.head.name for one in every}) == len(every)


def test_pysigma_reads_every_rule() -> None:
    files: list[Path] = sorted(file for file in RULES.rglob("*.yml") if file.name != "placeholders.yml")
    theirs = SigmaCollection.from_yaml("\n---\n".join(file.read_text(encoding="utf-8") for file in files))
    assert theirs.errors == []
    theirs.resolve_rule_references()
    for one in theirs.rules:
        if isinstance(one, SigmaRule):
            assert [condition.parsed for condition in one.detection.parsed_condition]
    ours = load([RULES], LISTS)
    assert {str(one.id) for one in theirs.rules} == {one.id for one in (*ours.rules, *ours.correlations)}
