"""The evaluator over tables against the row-at-a-time one, and how fields are found."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.sigma.plain import HEAD, batch, holds, lower, rule

from cityguard.errors import InputError
from cityguard.model import EventBatch, LogSource
from cityguard.sigma import regex
from cityguard.sigma.fields import logsource
from cityguard.sigma.match import applies, hits, match
from cityguard.sigma.rule import load_bytes

# A small alphabet finds more: values and patterns meet often.
TEXT = st.text(alphabet="aAbB*?\\-/.İσΣς1 ", max_size=6)
PATTERN = st.text(alphabet="aAbB*?\\-/.İσΣς1 ", max_size=5)
SCALAR = st.one_of(TEXT, st.none(), st.integers(-3, 12).map(str), st.sampled_from(["10.1.2.3", "::1", "2026-03-11"]))
VALUE = st.one_of(SCALAR, st.lists(SCALAR, max_size=3))
FIELDS = ("f", "g", "h")
KEYS = st.sampled_from(
    [
        *("f", "g", "h", "gone", "f|contains", "f|startswith", "f|endswith", "g|contains|all", "f|cased"),
        *("h|contains|cased", "f|windash|contains", "f|neq", "g|contains|windash|all"),
    ]
)
ITEM = st.one_of(
    st.tuples(KEYS, st.one_of(PATTERN, st.integers(0, 12), st.lists(PATTERN, min_size=1, max_size=3))),
    st.tuples(st.sampled_from(["f", "gone", "h|neq"]), st.none()),
    st.tuples(st.sampled_from(["f|gt", "g|lte"]), st.integers(-3, 12)),
    st.tuples(st.just("f|cidr"), st.sampled_from(["10.0.0.0/8", "::/0", "0.0.0.0/0"])),
    st.tuples(st.sampled_from(["f|fieldref", "f|fieldref|contains", "g|fieldref|startswith"]), st.sampled_from(FIELDS)),
    st.tuples(st.just("f|exists"), st.booleans()),
    st.tuples(st.just("f|day"), st.integers(10, 12)),
)


def quoted(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(map(quoted, value)) + "]"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return "null" if value is None else str(value).lower()


@settings(max_examples=250, deadline=None)
@given(
    items=st.lists(ITEM, min_size=1, max_size=3, unique_by=lambda item: item[0]),
    words=st.lists(PATTERN.filter(bool), max_size=2),
    condition=st.sampled_from(["sel", "not sel", "sel and not words", "sel or words", "words"]),
    events=st.lists(st.fixed_dictionaries(dict.fromkeys(FIELDS, VALUE)), min_size=1, max_size=6),
)
def test_tables_answer_as_rows_do(items: Any, words: list[str], condition: str, events: list[dict[str, Any]]) -> None:
    lines = "\n".join(f"    {quoted(key)}: {quoted(value)}" for key, value in items)
    keywords = "[" + ", ".join(quoted(word) for word in words or ["aab"]) + "]"
    text = f"{HEAD}  sel:\n{lines}\n  words: {keywords}\n  condition: {condition}\n"
    made = load_bytes(text.encode())
    assert not made.faults, (text, [str(fault) for fault in made.faults])
    # a column holds lists or single values, as polars has it
    wide = [{name: value if isinstance(value, list) else [value] for name, value in event.items()} for event in events]
    schema = {name: pl.List(pl.String) for name in FIELDS}
    table = pl.DataFrame(wide, schema=schema)
    got = match(made.rules[0], EventBatch("host", "test", table)).to_list()
    assert got == [holds(made.rules[0].node, event) for event in events], text


COLUMNS = st.sampled_from(
    [
        pl.Series("f", [443, None, 80], dtype=pl.Int32),
        pl.Series("f", [443.0, float("nan"), float("inf")]),
        pl.Series("f", [True, None, False]),
        pl.Series("f", [[443], [], None], dtype=pl.List(pl.Int64)),
        pl.Series("f", [[["443"]], [[]], None], dtype=pl.List(pl.List(pl.String))),
        pl.Series("f", [{"a": 443}, {"a": None}, None]),
        pl.Series("f", [None, None, None]),
        pl.Series("f", [b"443", b"\xff", None]),
        pl.Series("f", [datetime(2026, 3, 11, tzinfo=UTC)] * 3),
        pl.Series("f", [2**127 - 1, 443, None], dtype=pl.Int128),
        pl.Series("f", ["443", "", None], dtype=pl.Categorical),
        pl.Series("f", [object(), None, "443"], dtype=pl.Object),
        pl.Series("f", ["1e309", "４４３", " 443"]),
        pl.Series("f", ["x" * 100_000, "\x00", "\ud7ff"]),
    ]
)


@settings(deadline=None)
@given(column=COLUMNS, item=ITEM)
def test_no_type_of_column_makes_a_rule_throw(column: pl.Series, item: tuple[str, Any]) -> None:
    one = rule(f"{quoted(item[0])}: {quoted(item[1])}")
    assert len(match(one, EventBatch("host", "test", column.to_frame()))) == 3
    assert len(match(rule("- 443"), EventBatch("host", "test", column.to_frame()))) == 3


@pytest.mark.parametrize("value", [443, "443", [443], 443.0, ["443", "80"]])
def test_a_port_is_found_however_it_is_typed(value: Any) -> None:
    assert match(rule("f: 443"), batch({"f": value}))[0]
    assert match(rule("f|gte: 443"), batch({"f": value}))[0]


def test_padding_and_case_hide_nothing() -> None:
    padded = {"f": "x" * 70_000 + " WhoAmI /ALL"}
    assert match(rule("f|contains: 'whoami /all'"), batch(padded))[0]
    assert match(rule("f|re: '(?i)whoami\\s+/all'"), batch(padded))[0]
    assert match(rule("f: '*whoami*all'"), batch(padded))[0]


def test_letters_fold_alike_in_rules_and_events() -> None:
    letters = [chr(code) for code in range(0x20, 0x1_F000) if not 0xD800 <= code < 0xE000 and chr(code).isalpha()]
    table = pl.DataFrame({"f": letters})
    for letter in "İßΣςŉǅẞΩKÅ":
        found = match(rule(f"f: '{letter}'"), EventBatch("host", "test", table))
        assert letter in table.filter(found)["f"].to_list()
        assert letter.swapcase() == letter or lower(letter) in {lower(x) for x in table.filter(found)["f"]}


def test_a_column_of_the_rule_s_own_name_wins_over_the_mapped_one() -> None:
    assert match(rule("dst_port: 22"), batch({"destination.port": 22}))[0]
    assert not match(rule("dst_port: 22"), batch({"destination.port": 22, "dst_port": 23}))[0]
    assert match(rule("ThreatName: x"), batch({"Threat Name": "x"}))[0]


def test_fields_without_a_column_are_found_in_the_json() -> None:
    events = batch(
        {"event.fields": '{"a": {"b": ["x", 3.0]}, "c.d": true}'},
        {"event.fields": '{"a": {"b": null}}'},
        {"event.fields": 'not JSON, says "b"'},
        {"event.fields": None},
    )
    assert match(rule("a.b: x"), events).to_list() == [True, False, False, False]
    assert match(rule("a.b: 3"), events).to_list() == [True, False, False, False]
    assert match(rule("c.d: 'true'"), events).to_list() == [True, False, False, False]
    assert match(rule("a.b: null"), events).to_list() == [False, True, True, True]


def test_rules_apply_by_their_log_source() -> None:
    def of(text: str) -> Any:
        return load_bytes(HEAD.replace("{category: test}", text).encode() + b"  s: {f: a}\n  condition: s\n").rules[0]

    sysmon = LogSource(("process_creation",), ("windows",), ("sysmon",))
    assert applies(of("{category: process_creation, product: windows}"), sysmon)
    assert applies(of("{product: windows}"), sysmon)
    assert not applies(of("{category: process_creation, product: linux}"), sysmon)
    assert not applies(of("{category: file_event}"), sysmon)


def test_a_batch_without_a_log_source_is_told_by_its_dataset() -> None:
    flows = EventBatch("flow", "test", pl.DataFrame({"destination.port": [22]}))
    assert logsource(flows).covers("network", None, "connection")
    ot = EventBatch("ot", "test", pl.DataFrame({"ot.protocol": ["modbus", "s7comm", None]}))
    assert logsource(ot).covers("ot_command", "modbus", None)
    assert not logsource(ot).covers("ot_command", "dnp3", None)


def test_hits_gives_rules_with_their_rows() -> None:
    made = load_bytes((HEAD + "  s: {f: a}\n  condition: s\n").encode())
    source = LogSource(("test",))
    table = pl.DataFrame({"f": ["a", "b", "A"]})
    found = list(hits(made, EventBatch("host", "test", table, logsource=source)))
    assert [(one.id, mask.to_list()) for one, mask in found] == [(made.rules[0].id, [True, False, True])]
    assert not list(hits(made, EventBatch("host", "test", table, logsource=LogSource(("other",)))))
    assert not list(hits(made, EventBatch("host", "test", table.clear(), logsource=source)))


# ---------------------------------------------------------------- regular expressions

EVIL = "(a+)+$"


def test_a_hostile_value_cannot_hold_a_linear_expression_up() -> None:
    begun = time.process_time()
    assert not match(rule(f"f|re: '{EVIL}'"), batch({"f": "a" * 100_000 + "!"}))[0]
    assert time.process_time() - begun < 1


@pytest.mark.parametrize("pattern", ["(?=x)(a+)+$", "(?<!x)(a|a)*b", r"(a)\1(b+)+c", "(?=x)(?:a{1,50}){1,500}b"])
def test_expressions_only_python_runs_and_may_not_end_are_refused(pattern: str) -> None:
    with pytest.raises(InputError, match="backtrack"):
        regex.check(pattern)


def test_expressions_only_python_runs_keep_to_their_bounds() -> None:
    pattern = "(?=a)a+b"  # quadratic at worst
    regex.check(pattern)
    begun, before = time.monotonic(), regex.skipped
    values = pl.Series(["a" * 60_000 + str(n) for n in range(40)])
    assert not regex.matches(pattern, values).any()
    assert time.monotonic() - begun < 10
    assert regex.skipped > before


@settings(deadline=None, max_examples=60)
@given(st.text(alphabet="ab()[]{}|*+?\\^$.1,-&~", max_size=12))
def test_any_pattern_runs_or_is_refused(pattern: str) -> None:
    try:
        regex.check(pattern)
    except InputError:
        return
    assert len(regex.matches(pattern, pl.Series(["", "ab", "a\nb"]))) == 3
