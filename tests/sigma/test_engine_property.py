"""Random trees over random tables: the engine and the plain evaluator agree, whatever finds the literals.

A case is one leaf over one row. ``CITYGUARD_CASES`` asks for more of them (a million at night).
"""

from __future__ import annotations

import os
import random
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.sigma.trees import EVENT, TREE, ruleset, size, table

from cityguard.model import EventBatch
from cityguard.sigma.ast import AllOf, Node, Not, Null, Present, Words
from cityguard.sigma.engine import keys
from cityguard.sigma.engine.engine import Engine
from cityguard.sigma.match import hits

CASES = int(os.environ.get("CITYGUARD_CASES", "21000"))
ROWS, RULES = 40, 4
done = 0


def agree(trees: list[Node], batch: EventBatch, scanner: str) -> None:
    made = ruleset(trees)
    engine = Engine.compile(made, scanner=scanner)
    expected = {rule.id: np.flatnonzero(np.asarray(mask)).tolist() for rule, mask in hits(made, batch)}
    for _ in range(2):  # the second time over what the first has kept
        found = {rule.id: np.flatnonzero(np.asarray(mask)).tolist() for rule, mask in engine.hits(batch)}
        assert list(found.items()) == list(expected.items())


@settings(max_examples=CASES // (ROWS * 5), deadline=None, suppress_health_check=list(HealthCheck))
@given(
    trees=st.lists(TREE, min_size=RULES, max_size=RULES),
    events=st.lists(EVENT, min_size=1, max_size=12),
    scanner=st.sampled_from(["hyperscan", "ahocorasick", "none"]),
    repeat=st.sampled_from([ROWS, ROWS, 1]),
)
def test_the_engine_answers_as_the_plain_evaluator_does(
    trees: list[Node], events: list[dict[str, Any]], scanner: str, repeat: int
) -> None:
    global done
    batch = table((events * repeat)[:ROWS])
    done += size(trees) * len(batch)
    agree(trees, batch, scanner)


def test_there_were_as_many_cases_as_asked_for() -> None:
    assert done >= CASES * 0.95, done


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    trees=st.lists(TREE, min_size=RULES, max_size=RULES),
    events=st.lists(EVENT, min_size=4, max_size=8),
    seed=st.integers(0, 1000),
)
def test_large_batches_are_taken_apart_by_what_decides(
    trees: list[Node], events: list[dict[str, Any]], seed: int
) -> None:
    chance = random.Random(seed)
    many = table([dict(chance.choice(events), f=f"a{n}k") if n % 3 else chance.choice(events) for n in range(1500)])
    agree(trees, many, "hyperscan")


@pytest.mark.parametrize("column", ["f", "g", "n", "x", "b", "t"])
def test_columns_of_nothing_but_nulls(column: str) -> None:
    trees: list[Node] = [Null(column), Present(column), Not(Words(column, "contains", ("a",)))]
    agree(trees, table([{column: None}] * 3), "hyperscan")
    agree(trees, table([{column: None}] * (2 * keys.MIN_ROWS)), "hyperscan")


def test_an_empty_table_and_one_without_columns() -> None:
    agree([AllOf(())], table([]), "hyperscan")
    agree([AllOf(())], EventBatch("host", "test", pl.DataFrame({"z": [1, 2]})), "hyperscan")
