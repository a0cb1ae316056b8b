"""The engine against the plain evaluator: the same hits, whatever finds the literals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from cityguard import content
from cityguard.model import EventBatch, LogSource
from cityguard.sigma import selftest
from cityguard.sigma.engine.engine import Engine
from cityguard.sigma.match import hits
from cityguard.sigma.rule import Ruleset, load, load_bytes

BACKENDS = ("hyperscan", "ahocorasick", "none")
HEAD = "title: t\nid: 6f1c1b8e-3a53-4c33-9d6b-2f0f5c1e8a01\nlogsource: {category: test}\ndetection:\n"
SOURCE = LogSource(("test",))


def found(some: Any) -> dict[str, list[int]]:
    return {rule.id: np.flatnonzero(np.asarray(mask)).tolist() for rule, mask in some}


def same(engine: Engine, batch: EventBatch) -> dict[str, list[int]]:
    """Hits of both, which must be equal; rules in the same order."""
    plain, compiled = found(hits(engine.ruleset, batch)), found(engine.hits(batch))
    assert list(compiled.items()) == list(plain.items())
    return compiled


@pytest.fixture(scope="module")
def shipped() -> Ruleset:
    root = content.root()
    assert root is not None
    return load([root / "rules"])


@pytest.mark.parametrize("scanner", BACKENDS)
def test_every_shipped_rule_answers_its_own_tests_as_the_plain_evaluator_does(shipped: Ruleset, scanner: str) -> None:
    engine = Engine.compile(shipped, scanner=scanner)
    fired: set[str] = set()
    for rule in shipped.rules:
        source = LogSource(*((part,) if part else () for part in (rule.category, rule.product, rule.service)))
        for example in rule.head.examples:
            made = selftest.batch(list(example.events))
            fired |= same(engine, EventBatch(made.dataset, made.collector, made.table, logsource=source)).keys()
    expected = {rule.id for rule in shipped.rules if any(example.match for example in rule.head.examples)}
    assert expected <= fired


def ruleset(text: str) -> Ruleset:
    made = load_bytes((HEAD + text).encode(), Path("rule.yml"))
    assert not made.faults, [str(fault) for fault in made.faults]
    return made


def batch(*events: dict[str, Any]) -> EventBatch:
    table = pl.DataFrame(list(events), infer_schema_length=None, strict=False)
    return EventBatch("host", "test", table, logsource=SOURCE)


@pytest.mark.parametrize("scanner", BACKENDS)
def test_a_literal_across_two_values_is_no_hit(scanner: str) -> None:
    engine = Engine.compile(ruleset("  s: {f|contains: abcd}\n  condition: s\n"), scanner=scanner)
    assert same(engine, batch({"f": "xab"}, {"f": "cdx"})) == {}
    assert same(engine, batch({"f": "xab"}, {"f": "ABCD"})) != {}
