"""Whether a rule can ever hold on the columns that were seen, held against the plain evaluator."""

from __future__ import annotations

import polars as pl
from hypothesis import given
from hypothesis import strategies as st
from tests.rulebook.make import rule

from cityguard.model import EventBatch
from cityguard.rulebook.reach import Names, missing
from cityguard.sigma.ast import AllOf, AnyOf, Compare, Head, Node, Not, Null, Present, Reference, Rule, Words
from cityguard.sigma.match import match
from cityguard.sigma.rule import load_bytes


def lacks(detection: str, *seen: str) -> set[str]:
    (one,) = load_bytes(rule(detection=detection).encode()).rules
    return set(missing(one.node, Names(seen)))


def test_what_must_be_there_is_missed_and_alternatives_are_not() -> None:
    assert lacks("{s: {a: 1, b: 2}, condition: s}", "a") == {"b"}
    assert lacks("{s: {a: 1}, t: {b: 2, c: 3}, condition: s or t}", "x") == {"a"}
    assert lacks("{s: {a: 1}, t: {b: 2}, condition: 1 of them}", "b") == set()
    assert lacks("{s: {a: 1}, t: {b: 2}, condition: all of them}", "b") == {"a"}


def test_a_negation_is_true_without_its_field() -> None:
    assert lacks("{s: {a: 1}, f: {b: 2}, condition: s and not f}", "a") == set()
    assert lacks("{f: {b: 2}, condition: not f}") == set()
    assert lacks("{f: {b: null}, condition: f}") == set()
    assert lacks("{f: {b: null}, condition: not f}") == {"b"}


def test_fields_are_found_as_matching_finds_them() -> None:
    assert lacks("{s: {dst_port: 23}, condition: s}", "destination.port") == set()
    assert lacks("{s: {ThreatName: x}, condition: s}", "Threat Name") == set()
    assert lacks("{s: {a.b: x}, condition: s}", "a.b") == set()
    assert lacks("{s: [word], condition: s}") == set()
    assert lacks("{s: {a|fieldref: b}, condition: s}", "a") == {"b"}


leaf = st.one_of(
    st.builds(Words, st.sampled_from("abc"), st.just("exact"), st.just(("1",))),
    st.builds(Null, st.sampled_from("abc")),
    st.builds(Present, st.sampled_from("abc")),
    st.builds(Compare, st.sampled_from("abc"), st.just("gte"), st.just(1.0)),
    st.builds(Reference, st.sampled_from("abc"), st.sampled_from("abc")),
)
trees: st.SearchStrategy[Node] = st.recursive(
    leaf,
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.builds(AllOf, st.lists(inner, min_size=1, max_size=3).map(tuple)),
        st.builds(AnyOf, st.lists(inner, min_size=1, max_size=3).map(tuple)),
    ),
    max_leaves=8,
)


@given(trees, st.sets(st.sampled_from("abc")))
def test_a_rule_said_to_lack_a_field_holds_for_no_row_without_it(node: Node, seen: set[str]) -> None:
    lacking = missing(node, Names(seen))
    assert not lacking & seen
    rows = {name: ["1", "2", None, "1"] if name == "a" else ["2", "1", "1", None] for name in sorted(seen)}
    table = pl.DataFrame({"event.id": ["r"] * 4, **rows})
    (head,) = (one.head for one in load_bytes(rule().encode()).rules)
    assert isinstance(head, Head)
    if lacking:
        assert not match(Rule(head, node), EventBatch("flow", "", table)).any()
