"""SigmaHQ's release from offline media: imported whole, credited, and covered."""

from __future__ import annotations

from pathlib import Path

import pytest

from cityguard import content
from cityguard.clock import utc_now
from cityguard.model import LogSource
from cityguard.rulebook import importing, navigator
from cityguard.rulebook.book import Shelf
from cityguard.rulebook.coverage import cover
from cityguard.rulebook.importing import Plan
from cityguard.rulebook.seen import sighted

ARCHIVE = "sigmahq-rules-8eaafff.tar.xz"


def planned(shared: Path, rules: Path) -> Plan:
    return importing.plan(shared / ARCHIVE, rules, name="sigmahq", shipped=[content.root() / "rules"])


@pytest.fixture(scope="module")
def imported(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    rules = tmp_path_factory.mktemp("city") / "rules"
    plan = planned(shared, rules)
    assert plan.faults == ()
    assert plan.taken.refused == []
    assert plan.counts == {"new": 3_780}
    assert plan.license == "DRL 1.1"
    importing.run(plan, by="cli:li", at="2026-11-21T00:00:00Z")
    return rules


def test_a_second_import_changes_nothing(shared: Path, imported: Path) -> None:
    assert planned(shared, imported).counts == {"unchanged": 3_780}


def test_every_imported_rule_carries_its_author_and_licence(imported: Path) -> None:
    book = Shelf([imported], None).book
    assert len(book.ruleset.rules) == 3_755
    assert len(book.waiting) == 25
    assert {one.head.license for one in book.ruleset.rules} == {"DRL 1.1 (sigmahq)"}
    assert all(one.head.author for one in book.ruleset.rules)
    assert set(book.origins.values()) == {"sigmahq"}


def test_coverage_and_layers_of_all_public_rules_hold(imported: Path) -> None:
    from tests.store import make

    book = Shelf([imported], None).book
    lines = make.logins("w", ["x"] * 3)
    columns = ("Image", "CommandLine", "ParentImage", "OriginalFileName", "User", "Hashes", "CurrentDirectory")
    table = lines.table.with_columns(**{name: make.pl.lit("x") for name in columns})
    source = LogSource(("process_creation",), ("windows",), ("sysmon",))
    batch = make.EventBatch("process", "win", table, logsource=source)
    found = cover(book, sighted(batch, (), utc_now()), utc_now())
    assert found.counts["active"] > 1_000
    assert found.counts["placeholder"] == 25
    assert found.counts["active"] + found.counts["no_field"] + found.counts["no_source"] == 3_755
    layer = navigator.layer(found, "enterprise")
    assert len(layer["techniques"]) > 300
    assert max(one["score"] for one in layer["techniques"]) > 50
