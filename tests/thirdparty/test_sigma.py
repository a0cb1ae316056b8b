"""SigmaHQ's rules and its recorded attacks: every rule is read, and each fires on the events made for it."""

from __future__ import annotations

import tarfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sigma.collection import SigmaCollection

from cityguard.collect import collect
from cityguard.model import EventBatch
from cityguard.sigma.fields import logsource
from cityguard.sigma.match import applies, match
from cityguard.sigma.rule import Rule, Ruleset, load

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


def _fires(rule: Rule, batches: list[EventBatch]) -> bool:
    """With the log source respected, as the detector does."""
    return any(match(rule, batch).any() for batch in batches if applies(rule, logsource(batch)))


@pytest.mark.parametrize("kind", ["evtx", "json"])
def test_recorded_attacks_fire_their_rules(shared: Path, kind: str) -> None:
    collectors = collect.Collectors.load()
    silent = []
    tried = 0
    for folder in sorted((shared / "sigma").iterdir()):
        inputs = [file for file in folder.iterdir() if file.name.startswith("event.")]
        inputs = [file for file in inputs if (file.suffix == ".evtx") == (kind == "evtx")]
        made = load([folder / "rule.yml"])
        assert not made.faults
        for file in inputs:
            tried += 1
            if not _fires(made.rules[0], _batches(file, collectors)):
                silent.append(folder.name)
    assert tried >= 101
    assert silent == []
