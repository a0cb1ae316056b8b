"""The condition's grammar, by what it answers for every combination of selections."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.sigma.plain import holds

from cityguard.errors import InputError
from cityguard.sigma import condition
from cityguard.sigma.ast import Node, Present

NAMES = ("a", "b", "sel_x", "sel_y", "_hidden")
SELECTIONS: dict[str, Node] = {name: Present(name) for name in NAMES}


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("a", "a"),
        ("not a and b", "(not a) and b"),
        ("a or b and sel_x", "a or (b and sel_x)"),
        ("a AND NOT b", "a and (not b)"),
        ("(a or b) and not (sel_x or sel_y)", "(a or b) and not (sel_x or sel_y)"),
        ("1 of sel_*", "sel_x or sel_y"),
        ("all of sel_*", "sel_x and sel_y"),
        ("any of sel_*", "sel_x or sel_y"),
        ("1 of them", "a or b or sel_x or sel_y"),
        ("all of them", "a and b and sel_x and sel_y"),
        ("not 1 of sel_*", "not (sel_x or sel_y)"),
        ("a and not all of sel_*", "a and not (sel_x and sel_y)"),
        ("1 of (sel_*)", "sel_x or sel_y"),
        ("1 of _*", "_hidden"),
        ("not not a", "a"),
        ("((((a))))", "a"),
    ],
)
def test_a_condition_means_what_its_parentheses_would(text: str, meaning: str) -> None:
    node = condition.parse(text, SELECTIONS)
    for bits in itertools.product((True, False), repeat=len(NAMES)):
        have = dict(zip(NAMES, bits, strict=True))
        event: dict[str, Any] = {name: "x" if there else None for name, there in have.items()}
        assert holds(node, event) is eval(meaning, {}, have), (text, have)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("selx", "which is no selection"),
        ("sel_z", "did you mean 'sel_"),
        ("1 of other*", "no selection is named like"),
        ("a and", "a name is missing before 'the end'"),
        ("(a", "not closed"),
        ("a b", "'b' is not expected"),
        ("a | count() > 5", "correlation document"),
        ("", "a name is missing"),
        ("not " * 500 + "a", "nested deeper"),
        ("(" * 5000 + "a", "nested deeper"),
        ("a or " * 5000 + "a", "longer than"),
    ],
)
def test_a_bad_condition_says_what_is_wrong(text: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        condition.parse(text, SELECTIONS)
    assert said in str(caught.value)


@given(st.lists(st.sampled_from(["a", "b", "and", "or", "not", "(", ")", "1", "of", "all", "them", "sel_*", "|"])))
def test_any_row_of_words_is_a_tree_or_a_named_fault(words: list[str]) -> None:
    try:
        condition.parse(" ".join(words), SELECTIONS)
    except InputError as error:
        assert error.message
