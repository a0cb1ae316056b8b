"""SigmaHQ's rules and its recorded attacks: every rule is read, and each fires on the events made for it."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sigma.collection import SigmaCollection

from cityguard.collect import collect
from cityguard.model import EventBatch
from cityguard.sigma.engine.engine import Engine
from cityguard.sigma.rule import Ruleset, load

ROOT = Path(__file__).parents[2]
NOW = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.fixture(scope="session")
def sigmahq(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sigmahq")
    with tarfile.open(shared / "sigmahq-rules-8eaafff.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.fixture(scope="session")
def loaded(sigmahq: Path) -> Ruleset:
    return load([sigmahq])


def test_every_public_rule_is_read(loaded: Ruleset, sigmahq: Path) -> None:
    files = sum(1 for _ in sigmahq.rglob("*.yml"))
    assert files == 3780
    assert [str(fault) for fault in loaded.faults] == []
    assert len(loaded.rules) + len(loaded.inactive) == files
    # rules with lists a site must give: 23 in rules-placeholder, 2 elsewhere
    assert len(loaded.inactive) == 25
    assert all("has no list" in one.reason for one in loaded.inactive)


def test_pysigma_names_the_same_fields(loaded: Ruleset) -> None:
    for one in loaded.rules[::40]:
        theirs = SigmaCollection.from_yaml(one.head.path.read_text(encoding="utf-8")).rules[0]
        assert (theirs.logsource.category, theirs.logsource.product, theirs.logsource.service) == (
            one.category,
            one.product,
            one.service,
        )
        assert str(theirs.id) == one.id
        assert set(one.fields) <= _fields(theirs.detection.detections.values())


def _fields(items: object) -> set[str]:
    found: set[str] = set()
    for item in items:  # type: ignore[attr-defined]
        if hasattr(item, "detection_items"):
            found |= _fields(item.detection_items)
        elif item.field:
            found.add(item.field)
    return found


def _batches(path: Path, collectors: collect.Collectors) -> list[EventBatch]:
    return [batch for chunk in collect.read(path, collectors, now=NOW) for batch in chunk.decoded.batches]


@pytest.mark.parametrize("kind", ["evtx", "json"])
def test_recorded_attacks_fire_their_rules(shared: Path, kind: str) -> None:
    """All 102, with their log sources, by the engine over all of these rules at once; as often as is said."""
    collectors = collect.Collectors.load()
    folders = sorted((shared / "sigma").iterdir())
    ruleset = load([folder / "rule.yml" for folder in folders])
    assert not ruleset.faults
    engine = Engine.compile(ruleset)
    engine.account.budget_ms = float("inf")
    rules = {rule.head.path.parent.name: rule.id for rule in ruleset.rules}
    silent, tried = [], 0
    for folder in folders:
        (file, *more) = _inputs(folder, kind)
        assert not more
        tried += 1
        found = Counter(
            {rule.id: len(rows) for batch in _batches(file, collectors) for rule, rows in engine.rows(batch)}
        )
        if not found[rules[folder.name]]:
            silent.append(folder.name)
    assert tried == 102
    assert silent == []


def _inputs(folder: Path, kind: str) -> list[Path]:
    """The event log or the JSON; one rule has its device's own line instead of both."""
    names = ("event.evtx",) if kind == "evtx" else ("event.json", "event.jsonl")
    found = [folder / name for name in names if (folder / name).is_file()]
    return found or [folder / "event.raw"]


def test_the_table_of_cases_is_what_the_rules_hold(shared: Path, sigmahq: Path) -> None:
    run = [sys.executable, "scripts/sigma_cases.py", str(shared / "sigma"), str(sigmahq)]
    made = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    written = (ROOT / "docs" / "detection.md").read_text(encoding="utf-8")
    public = [line.rsplit("|", 3)[0] for line in made.splitlines()]  # our own rules and tests grow
    assert [line for line in public if line not in written] == []
