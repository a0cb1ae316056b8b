"""All of SigmaHQ's rules in the engine: hits as of the plain evaluator on recorded attacks and on made events."""

from __future__ import annotations

import random
import tarfile
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from tests import synthetic

from cityguard.collect import collect
from cityguard.model import EventBatch, LogSource
from cityguard.sigma.engine import cache
from cityguard.sigma.engine.engine import Engine
from cityguard.sigma.match import hits
from cityguard.sigma.rule import Ruleset, load

NOW = datetime(2026, 11, 1, tzinfo=UTC)
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def folder(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("sigmahq")
    with tarfile.open(shared / "sigmahq-rules-8eaafff.tar.xz") as archive:
        archive.extractall(made, filter="data")
    return made


@pytest.fixture(scope="module")
def every(folder: Path) -> Ruleset:
    return load([folder, ROOT / "rules"])


Hits = list[tuple[str, list[int]]]


@dataclass(frozen=True)
class Case:
    """A batch and what the plain evaluator finds in it."""

    batch: EventBatch
    expected: Hits


def cases(every: Ruleset, batches: Iterable[EventBatch]) -> list[Case]:
    return [Case(one, [(rule.id, _rows(mask)) for rule, mask in hits(every, one)]) for one in batches]


def _rows(mask: pl.Series) -> list[int]:
    return mask.arg_true().to_list()


@pytest.fixture(scope="module")
def recorded(every: Ruleset, shared: Path) -> list[Case]:
    collectors = collect.Collectors.load()
    files = sorted((shared / "sigma").glob("*/event.*"))
    chunks = [chunk for file in files for chunk in collect.read(file, collectors, now=NOW)]
    return cases(every, (batch for chunk in chunks for batch in chunk.decoded.batches))


@pytest.fixture(scope="module")
def synthesised(every: Ruleset) -> list[Case]:
    """Of each rule an event that should satisfy it and five that nearly do; those of a log source together."""
    chance = random.Random(7)
    events: dict[LogSource, list[synthetic.Event]] = defaultdict(list)
    for rule in every.rules:
        one = synthetic.positive(rule.node, chance)
        parts = ((part,) if part else () for part in (rule.category, rule.product, rule.service))
        events[LogSource(*parts)] += [one, *synthetic.near(one, chance)]
    return cases(every, (table(some, source) for source, some in events.items()))


def table(events: list[synthetic.Event], source: LogSource) -> EventBatch:
    names = sorted({name for event in events for name in event})
    return EventBatch("host", "test", pl.DataFrame(events, schema=dict.fromkeys(names, pl.String)), logsource=source)


def compare(engine: Engine, some: list[Case]) -> set[str]:
    """Every case must give the hits expected; the rules that fired."""
    fired: set[str] = set()
    for case in some:
        found = {rule.id: rows.tolist() for rule, rows in engine.rows(case.batch)}
        expected = dict(case.expected)
        wrong = {one for one in found.keys() | expected.keys() if found.get(one) != expected.get(one)}
        assert wrong == set()
        assert list(found) == list(expected)
        fired |= found.keys()
    return fired


@pytest.mark.parametrize("scanner", ["hyperscan", "ahocorasick", "none"])
def test_recorded_attacks_give_the_same_hits(every: Ruleset, recorded: list[Case], scanner: str) -> None:
    assert len(compare(Engine.compile(every, scanner=scanner), recorded)) > 100


@pytest.mark.parametrize("scanner", ["hyperscan", "ahocorasick"])
def test_events_made_for_every_rule_give_the_same_hits(every: Ruleset, synthesised: list[Case], scanner: str) -> None:
    fired = compare(Engine.compile(every, scanner=scanner), synthesised)
    assert len(fired) > 0.97 * len(every.rules), len(fired)


def test_rules_kept_on_disk_are_the_rules(every: Ruleset, folder: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    parsed = cache.load([folder], folder=kept)
    assert len(list(kept.iterdir())) == 1
    assert cache.load([folder], folder=kept) == parsed
    assert {rule.id for rule in parsed.rules} <= {rule.id for rule in every.rules}
