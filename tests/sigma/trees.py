"""Random rules and tables for comparing evaluators: small alphabets, so that values and patterns meet often."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
from hypothesis import strategies as st

from cityguard.model import EventBatch, LogSource, Text
from cityguard.sigma import regex
from cityguard.sigma.ast import (
    AllOf,
    AnyOf,
    Cidr,
    Compare,
    Head,
    Node,
    Not,
    Null,
    Present,
    Reference,
    Regex,
    Rule,
    TimePart,
    Words,
    leaves,
)
from cityguard.sigma.rule import Ruleset
from cityguard.sigma.wildcard import fold

SOURCE = LogSource(("test",), ("p",), ())
ALPHABET = "aAbBkKsS1.\\-/ *İıſσΣςKé\0\n"
WORD = st.text(alphabet=ALPHABET, max_size=4)
VALUE = st.one_of(
    st.none(),
    st.just(""),
    st.text(alphabet=ALPHABET, max_size=9),
    st.text(alphabet="abk1\n", max_size=4).map(lambda text: text + "\n"),
    st.sampled_from(["10.1.2.3", "::ffff:10.9.9.9", "fe80::1", "443", "3.0", "true", "2026-03-11T04:05:06"]),
)
FIELDS = ("f", "g", "n", "x", "b", "t", "EventID", "Spaced", "SourceIp", "k", "in.ner", "gone")
FIELD = st.sampled_from(FIELDS)
ANYWHERE = st.one_of(FIELD, FIELD, FIELD, st.none())
SHAPES = ("exact", "prefix", "suffix", "contains")
REGEXES = (
    "a.*b",
    "(?i)aS",
    "(?i)[ab]+k",
    "^.{0,3}$",
    "(?:ab|ba)1",
    "(?m)^a",
    "\\bk",
    "[^a]$",
    "(?s)a.b",
    "s(?:1|k)+",
    "",
)
ATOMS = ("a", "b", "k", "S", "1", ".", "^", "$", "\\A", "\\z", "\\s", "[a-k]", "(?:ab|k)", "(?:aB)", "\\n", "\\.")
TIMES = ("", "", "", "", "*", "+", "?", "+?", "??", "{0,1}", "{1,}", "{2}", "{,2}", "{ 1 , 2 }")
FLAGS = ("", "", "", "(?m)", "(?i)", "(?s)", "(?im)")
PIECE = st.builds("".join, st.tuples(st.sampled_from(ATOMS), st.sampled_from(TIMES), st.sampled_from(TIMES)))
ODD = st.builds(
    lambda flags, pieces: flags + "".join(pieces), st.sampled_from(FLAGS), st.lists(PIECE, min_size=1, max_size=4)
).filter(regex.linear)
"""Expressions with quantifiers after quantifiers and after places; some are no expressions and are left out."""


def _words(told: tuple[Any, ...]) -> Words:
    field, mode, texts, cased = told
    kept = tuple(dict.fromkeys(texts if cased else map(fold, texts)))
    return Words(field, "contains" if field is None else mode, kept, cased)


LEAF: st.SearchStrategy[Node] = st.one_of(
    st.builds(
        _words,
        st.tuples(ANYWHERE, st.sampled_from(SHAPES), st.lists(WORD, min_size=1, max_size=6), st.booleans()),
    ),
    st.builds(Regex, ANYWHERE, st.sampled_from(REGEXES)),
    st.builds(Regex, ANYWHERE, ODD),
    st.builds(
        lambda field, word: Regex(field, f"(?s)^{'' if word == 'a' else '.*'}{word}", True),
        FIELD,
        st.sampled_from("abk1"),
    ),
    st.builds(Present, FIELD),
    st.builds(Null, FIELD),
    st.builds(Cidr, FIELD, st.sampled_from([("10.0.0.0/8",), ("::/0", "10.1.0.0/16"), ("0.0.0.0/0",)])),
    st.builds(Compare, FIELD, st.sampled_from(["lt", "lte", "gt", "gte"]), st.sampled_from([0.0, 3.0, 443.0])),
    st.builds(TimePart, FIELD, st.sampled_from(["hour", "day", "week"]), st.integers(4, 11)),
    st.builds(Reference, FIELD, FIELD, st.sampled_from(SHAPES), st.booleans()),
)
TREE: st.SearchStrategy[Node] = st.recursive(
    LEAF,
    lambda inner: st.one_of(
        st.builds(lambda items: AllOf(tuple(items)), st.lists(inner, max_size=4)),
        st.builds(lambda items: AnyOf(tuple(items)), st.lists(inner, max_size=4)),
        st.builds(Not, inner),
    ),
    max_leaves=10,
)
EVENT = st.fixed_dictionaries(
    {
        "f": VALUE,
        "g": st.one_of(st.none(), st.lists(VALUE, max_size=3)),
        "n": st.one_of(st.none(), st.integers(-3, 500)),
        "x": st.one_of(st.none(), st.sampled_from([3.0, 3.5, float("nan"), 1e20])),
        "b": st.one_of(st.none(), st.booleans()),
        "t": st.one_of(st.none(), st.datetimes(datetime(2026, 1, 1), datetime(2026, 12, 31))),
        "EventID": st.sampled_from([1, 1, 1, 3, 443]),
        "Spa ced": VALUE,
        "source.ip": st.one_of(st.none(), st.sampled_from(["10.1.2.3", "11.0.0.1", "fe80::1"])),
        "event.fields": st.one_of(
            st.none(),
            st.just("no json"),
            st.fixed_dictionaries(
                {}, optional={"k": VALUE, "in.ner": VALUE, "in": st.builds(lambda v: {"ner": [v, 1]}, VALUE)}
            ).map(json.dumps),
        ),
    }
)
SCHEMA: dict[str, Any] = {
    "f": pl.String,
    "g": pl.List(pl.String),
    "n": pl.Int64,
    "x": pl.Float64,
    "b": pl.Boolean,
    "t": pl.Datetime("us", "UTC"),
    "EventID": pl.Int64,
    "Spa ced": pl.String,
    "source.ip": pl.String,
    "event.fields": pl.String,
}


def ruleset(trees: list[Node]) -> Ruleset:
    """One rule for each tree; every second one asks for the log source as well."""
    rules = []
    for number, node in enumerate(trees):
        head = Head(f"r{number}", Text("t", "t"), Path("rule.yml"), 1)
        rules.append(Rule(head, node, "test" if number % 2 else None, "p" if number % 3 else None))
    return Ruleset(tuple(rules))


def table(events: list[dict[str, Any]]) -> EventBatch:
    return EventBatch("host", "test", pl.DataFrame(events, schema=SCHEMA, strict=False), logsource=SOURCE)


def size(trees: list[Node]) -> int:
    """Leaves of all trees."""
    return sum(1 for node in trees for _ in leaves(node, positive=False))
