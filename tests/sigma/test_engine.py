"""The engine against the plain evaluator: the same hits, whatever finds the literals."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests import synthetic

from cityguard import content
from cityguard.model import EventBatch, LogSource
from cityguard.sigma import selftest
from cityguard.sigma.decimals import number_text
from cityguard.sigma.engine import cache, codec, expressions, scan
from cityguard.sigma.engine.account import WINDOW
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


@dataclass(frozen=True)
class Shipped:
    """The shipped rules; per rule a batch of its own test events and of events that nearly are, and what is found."""

    rules: Ruleset
    cases: list[tuple[EventBatch, dict[str, list[int]]]]


@pytest.fixture(scope="module")
def shipped() -> Shipped:
    root = content.root()
    assert root is not None
    rules = load([root / "rules"])
    chance = random.Random(5)
    cases = []
    for rule in rules.rules:
        events = [event for example in rule.head.examples for event in example.events]
        texts = [event for event in events if all(isinstance(value, str) for value in event.values())]
        events += [near for event in texts[:4] for near in synthetic.near(event, chance)]
        if events:
            made = selftest.batch(events)
            parts = ((part,) if part else () for part in (rule.category, rule.product, rule.service))
            made = replace(made, logsource=LogSource(*parts))
            cases.append((made, found(hits(rules, made))))
    return Shipped(rules, cases)


@pytest.mark.parametrize("scanner", BACKENDS)
def test_every_shipped_rule_answers_as_in_the_plain_evaluator(shipped: Shipped, scanner: str) -> None:
    engine = Engine.compile(shipped.rules, scanner=scanner)
    fired: set[str] = set()
    for one, expected in shipped.cases:
        told = found(engine.hits(one))
        assert list(told.items()) == list(expected.items())
        fired |= told.keys()
    positive = {rule.id for rule in shipped.rules.rules if any(example.match for example in rule.head.examples)}
    assert positive <= fired


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


def test_a_rule_over_its_budget_rests_and_it_is_told_once() -> None:
    engine = Engine.compile(ruleset("  s: {f|re: 'a.{2}b'}\n  condition: s\n"))
    engine.account.budget_ms = -1.0
    many = batch(*({"f": f"axx{number % 7}b a12b"} for number in range(500)))
    for _ in range(2 * WINDOW // 500 + 2):
        last = list(engine.rows(many))
    assert last == []
    assert [one.rule_id for one in engine.notices] == ["6f1c1b8e-3a53-4c33-9d6b-2f0f5c1e8a01"]
    assert "rule.yml" in engine.notices[0].reason.en


def test_hits_and_candidates_are_counted() -> None:
    engine = Engine.compile(ruleset("  s: {f|contains: abc, g: x}\n  condition: s\n"))
    list(engine.rows(batch({"f": "xabcx", "g": "x"}, {"f": "abc", "g": "y"}, {"f": "z", "g": "z"})))
    cost = engine.account.costs[0]
    assert (cost.candidates, cost.hits) == (2, 1) or (cost.candidates, cost.hits) == (1, 1)


def test_scanners_are_kept_and_a_damaged_file_is_made_anew(tmp_path: Path) -> None:
    rules = ruleset("  s: {f|contains: [abc, bcd], g|endswith: x}\n  condition: 1 of s\n")
    event = batch({"f": "xBCDx", "g": "x"})
    kept = tmp_path / "kept"
    assert same(Engine.compile(rules, scanner="hyperscan", cache=kept), event)
    files = [file for file in kept.iterdir() if file.name.startswith("scanner-")]
    whole = {file: file.read_bytes() for file in files}
    assert whole
    for damage in (lambda raw: raw[:-1], lambda raw: b"", lambda raw: raw[:40] + bytes([raw[40] ^ 1]) + raw[41:]):
        for file, raw in whole.items():
            file.write_bytes(damage(raw))
        assert same(Engine.compile(rules, scanner="hyperscan", cache=kept), event)
        assert {file: file.read_bytes() for file in files} == whole


def test_a_folder_that_others_may_write_to_is_not_used(tmp_path: Path) -> None:
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o777)
    rules = ruleset("  s: {f|contains: abc}\n  condition: s\n")
    assert same(Engine.compile(rules, cache=folder), batch({"f": "abc"}))
    assert list(folder.iterdir()) == []


def test_parsed_rules_come_back_as_they_were_and_anew_when_a_file_changes(tmp_path: Path) -> None:
    rules, kept = tmp_path / "rules", tmp_path / "kept"
    rules.mkdir()
    (rules / "a.yml").write_text(HEAD + "  s: {f: abc, g|re: 'a+b', h|cidr: 10.0.0.0/8}\n  condition: s\n")
    first = cache.load([rules], folder=kept)
    assert cache.load([rules], folder=kept) == first == load([rules])
    assert len(list(kept.iterdir())) == 1
    (rules / "a.yml").write_text(HEAD + "  s: {f: other}\n  condition: s\n")
    assert cache.load([rules], folder=kept) == load([rules]) != first


@given(st.binary(max_size=200))
def test_bytes_that_are_no_rules_are_refused(data: bytes) -> None:
    with pytest.raises(codec.StrangeError):
        codec.decode(data)


def test_rules_exchanged_between_batches_go_on_with_what_correlations_hold() -> None:
    rule = "  s: {f: abc}\n  condition: s\n"
    old, new = Engine.compile(ruleset(rule)), Engine.compile(ruleset("  s: {f: [abc, xyz]}\n  condition: s\n"))
    event = batch({"f": "abc"}, {"f": "xyz"})
    assert list(same(old, event).values()) == [[0]]
    assert list(same(new, event).values()) == [[0, 1]]


@pytest.mark.parametrize("value", ["用户 abc", "ſabc", "ABC用", "İabc", "abc"])
@pytest.mark.parametrize("pattern", ["(?i)s?abc", r"\w+bc", r"\s(?:abc)", "^.abc$", "[^a]abc", r"\babc"])
def test_expressions_over_values_beyond_ascii(value: str, pattern: str) -> None:
    text = f"  s: {{f|re: '{pattern}'}}\n  condition: s\n"
    same(Engine.compile(ruleset(text), scanner="hyperscan"), batch({"f": value}, {"f": "abc"}, {"f": ""}))


@pytest.mark.parametrize("scanner", BACKENDS)
@pytest.mark.parametrize(
    ("pattern", "value"),
    [
        (r"(?m)^$", "a\n"),
        (r"(?m)^\s*$", "a\n"),
        (r"(?m)^[a-z]*$", "A\n"),
        (r"(?m)b$", "ab\n"),
        (r"evil+{0,2}x", "evix"),
        (r"ab{1,}{0,1}c", "ac"),
        (r"^*foo", "xfoo"),
        (r"\A{0,1}foo", "xfoo"),
        (r"$?foo", "foo"),
        (r"x{ 1 , 2 }", "x"),
        (r"a{,2}b", "b"),
    ],
)
def test_expressions_that_hyperscan_reads_otherwise(pattern: str, value: str, scanner: str) -> None:
    rules = load_bytes(f"{HEAD}  s:\n    f|re: '{pattern}'\n  condition: s\n".encode())
    assert not rules.faults
    engine = Engine.compile(rules, scanner=scanner)
    for rows in (2, 2000):
        some = [value, *(f"Z{number}" for number in range(rows))]
        assert same(engine, EventBatch("host", "t", pl.DataFrame({"f": some}), logsource=SOURCE)) == {
            rules.rules[0].id: [0]
        }


@pytest.mark.parametrize("written", ["0.00001", "1.0e-5", "'0.00001'"])
def test_small_decimals_match_however_they_are_held(written: str) -> None:
    engine = Engine.compile(ruleset(f"  s: {{f: {written}}}\n  condition: s\n"))
    for value in (0.00001, "0.00001", [0.5, 0.00001]):
        assert list(same(engine, batch({"f": value})).values()) == [[0]]
    assert list(same(engine, batch({"event.fields": '{"f": 1e-5}'})).values()) == [[0]]
    single = pl.DataFrame({"f": pl.Series([0.00001], dtype=pl.Float32)})
    assert list(same(engine, EventBatch("host", "t", single, logsource=SOURCE)).values()) == [[0]]


@pytest.mark.parametrize("number", [1e-20, -2.5e-7, 1.5e15, 1e15, 1.5e16, 1e20, 1e21, 1e300, 5e-324, 123456.789, -0.0])
def test_a_number_of_a_rule_is_found_in_a_column_and_in_json(number: float) -> None:
    engine = Engine.compile(ruleset(f"  s: {{f: {number:.17e}}}\n  condition: s\n"))
    assert list(same(engine, batch({"f": number}, {"f": 0.5})).values()) == [[0]]
    assert list(same(engine, batch({"event.fields": f'{{"f": {number!r}}}'})).values()) == [[0]]


def test_digits_of_great_numbers_are_not_written_out() -> None:
    assert [number_text(number) for number in (1e300, 1e-300, 1e20)] == ["1e+300", "1e-300", "1" + "0" * 20]


def test_a_map_that_is_not_there_says_nothing() -> None:
    engine = Engine.compile(ruleset("  s: ['null']\n  condition: s\n"))
    table = pl.DataFrame({"f": [None, {"a": "null"}], "g": [[None], [{"b": 1}]]})
    assert same(engine, EventBatch("host", "t", table, logsource=SOURCE)) == {engine.ruleset.rules[0].id: [1]}


@pytest.mark.skipif(scan.available("auto") != "hyperscan", reason="needs Hyperscan")
def test_expressions_dear_to_compile_are_kept_and_answer_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(expressions, "DEAR", 0)
    kept = cache.Kept(tmp_path / "kept")
    pattern = "(?i)one.{0,40}two"
    told = []
    for _ in range(3):
        expressions.keep(kept)
        expressions.compiled.cache_clear()
        test = expressions.compiled(pattern)
        assert test is not None
        told.append([test(value) for value in ("ONE and TWO", "one", "two one", "one" + 41 * "-" + "two")])
        for path in (tmp_path / "kept").iterdir():  # after the second look it is damaged: made anew
            path.write_bytes(path.read_bytes() if len(told) == 1 else b"strange")
    expressions.keep(cache.Kept(None))
    expressions.compiled.cache_clear()
    assert told == [[True, False, False, False]] * 3
    assert [path.name.partition("-")[0] for path in (tmp_path / "kept").iterdir()] == ["expression"]
