"""pySigma as a second reader: of every rule we ship, of every modifier, and of correlations, filters, collections."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sigma.collection import SigmaCollection
from sigma.correlations import SigmaCorrelationRule
from sigma.exceptions import SigmaError
from sigma.rule import SigmaDetectionItem, SigmaRule
from tests.sigma.neutral import Form, joined, negated, ours, theirs, value

from cityguard import content
from cityguard.errors import InputError
from cityguard.sigma import modifiers
from cityguard.sigma.ast import Correlation
from cityguard.sigma.rule import Ruleset, load, load_bytes

RULES = content.root() / "rules"


class _Lists(dict[str, list[str]]):
    """Stands for the city's lists: those that no file gives are the same for both readers."""


def _shipped() -> tuple[dict[str, list[str]], list[Path]]:
    paths = sorted(path for path in RULES.rglob("*.yml") if path.name != "placeholders.yml")
    given = content.load(RULES / "placeholders.yml").data or {}
    asked = {one.reason.split("%")[1] for one in load([RULES]).inactive if "%" in one.reason}
    lists = {str(name): [str(entry) for entry in entries] for name, entries in given.items()}
    lists.update({name: ["192.0.2.1"] for name in asked})
    # an empty list has no values in pySigma's eyes
    return {name: entries or ["192.0.2.2"] for name, entries in lists.items()}, paths


def test_pysigma_reads_every_shipped_rule_as_we_do() -> None:
    lists, paths = _shipped()
    made = load([RULES], lists)
    while made.inactive:  # one list at a time is told
        lists.update({one.reason.split("%")[1]: ["192.0.2.1"] for one in made.inactive if "has no list" in one.reason})
        made = load([RULES], lists)
    assert [str(fault) for fault in made.faults] == []
    text = "\n---\n".join(path.read_text(encoding="utf-8") for path in paths)
    collection = SigmaCollection.from_yaml(text)
    assert collection.errors == []
    mine = {one.id: one for one in (*made.rules, *made.correlations)}
    assert {str(one.id) for one in collection.rules} == set(mine)
    for their in collection.rules:
        one = mine[str(their.id)]
        if isinstance(their, SigmaRule):
            assert theirs(their, lists) == ours(one.node), one.head.place  # type: ignore[union-attr]
        else:
            assert isinstance(one, Correlation)
            assert _correlation(their) == _our_correlation(one, made), one.head.place


def _correlation(one: Any) -> tuple[Any, ...]:
    assert isinstance(one, SigmaCorrelationRule)
    asked = one.condition
    compared = () if not hasattr(asked, "op") else ((asked.op.name.lower(), float(asked.count)),)
    field = getattr(asked, "fieldref", None)
    fields = tuple(field) if isinstance(field, list) else (field,) if field else ()
    aliases = sorted(
        (alias.alias, rule.reference, name) for alias in one.aliases for rule, name in alias.mapping.items()
    )
    named = tuple(reference.reference for reference in one.referenced_rules)
    group = tuple(one.group_by or ())
    seconds = one.timespan.seconds
    return one.type.name.lower(), named, group, seconds, compared, fields, aliases, one.generate


def _our_correlation(one: Correlation, made: Ruleset) -> tuple[Any, ...]:
    """The same facts; rules by the names they were given."""
    names = {other.id: other.head.name or other.id for other in (*made.rules, *made.correlations)}
    rules = tuple(names[rule] for rule in one.rules)
    aliases = sorted((alias, names[rule], field) for alias, mapping in one.aliases for rule, field in mapping)
    return one.kind, rules, one.group_by, one.timespan_s, one.conditions, one.fields, aliases, one.generate


# ---------------------------------------------------------------- every modifier

TEXT = st.text(alphabet="aAbB*?\\-/. %xΣİ密", max_size=6)
NUMBER = st.one_of(st.integers(-5, 3000), st.floats(-10, 10, allow_nan=False).map(lambda n: round(n, 2)))
TEXTUAL = ["contains", "startswith", "endswith", "windash", "base64", "base64offset", "wide", "utf16", "utf16be"]
ITEM = st.one_of(
    st.tuples(st.lists(st.sampled_from([*TEXTUAL, "all", "neq", "expand"]), max_size=4, unique=True), TEXT | NUMBER),
    st.tuples(st.sampled_from([["cased"], ["contains", "cased"], ["startswith", "all", "cased"]]), TEXT),
    st.tuples(
        st.builds(lambda flags, last: ["re", *flags, *last], *[st.lists(st.sampled_from(x), max_size=3, unique=True)
                  for x in (["i", "m", "s", "ignorecase", "multiline", "dotall"], ["all", "neq"])]),
        st.sampled_from(["a.c", "^a|b$", "[a-z]{1,3}", "a(b|c)d", r"\d+\.", ".*x.*", "(?i)ab", "a\\\\b"]),
    ),
    st.tuples(st.sampled_from([["cidr"], ["cidr", "neq"]]), st.sampled_from(["10.0.0.0/8", "::/0", "10.0.0.1/8", "x"])),
    st.tuples(st.sampled_from([[op] for op in ("gt", "gte", "lt", "lte")] + [["gt", "neq"]]), NUMBER),
    st.tuples(st.sampled_from([[op] for op in ("minute", "hour", "day", "week", "month", "year")]), st.integers(1, 12)),
    st.tuples(st.sampled_from([["fieldref", *m] for m in ([], ["startswith"], ["endswith"], ["contains"], ["neq"])]),
              st.sampled_from(["other", "other.field"])),
    st.tuples(st.sampled_from([["exists"], ["exists", "neq"]]), st.booleans()),
    st.tuples(st.just([]), st.none() | st.booleans()),
)  # fmt: skip
LISTS = {"a": ["one", "t*o"], "x": [], "b.": ["-a"]}


def _read(names: list[str], values: list[Any], field: str) -> Form:
    """What pySigma makes of one item.

    Raises:
        SigmaError: it refuses the item.
    """
    item = SigmaDetectionItem.from_mapping("|".join([field, *names]), values)
    how = "and" if item.value_linking.__name__ == "ConditionAND" else "or"
    form = joined(how, (value(field or None, one, LISTS) for one in item.value))
    return negated(form) if item.negated else form


@settings(max_examples=800, deadline=None)
@given(item=ITEM, more=st.lists(TEXT, max_size=2), field=st.sampled_from(["f", "f.g", ""]))
def test_every_modifier_expands_to_pysigma_s_values(item: tuple[list[str], Any], more: list[str], field: str) -> None:
    names, first = item
    values = [first, *(more if isinstance(first, str) and "re" not in names and "cidr" not in names else [])]
    values = ["other"] if "fieldref" in names and len(values) > 1 else values
    # without a field stand texts and regular expressions only
    assume(field or ({*names} <= {*TEXTUAL, "all", "neq", "expand", "cased", "re", "i", "m", "s"} and all(values)))
    assume("expand" not in names or names[0] == "expand")  # elsewhere pySigma fills what is already encoded
    # after contains pySigma puts the byte order mark before the wildcard, where nothing can match
    assume("utf16" not in names or not set(names[: names.index("utf16")]) & {"contains", "startswith", "endswith"})
    try:
        wanted = _read(names, values, field)
    except (SigmaError, KeyError):
        return  # what pySigma refuses, or has no list for, says nothing about ours
    except UnicodeEncodeError:
        return
    try:
        got = ours(modifiers.build("|".join([field, *names]), values, LISTS))
    except InputError as error:
        # pySigma lets a wildcard pass before an encoding, and a text that Base64 leaves nothing of
        assert re.search(r"wildcards|UTF-16|too short", str(error)), (names, values, str(error))
        return
    assert got == wanted, (names, values)


@pytest.mark.parametrize("name", sorted(modifiers.KNOWN - {"utf16le"}))
def test_pysigma_knows_every_modifier_we_know(name: str) -> None:
    from sigma.modifiers import modifier_mapping

    assert name in modifier_mapping


def test_we_know_every_modifier_pysigma_knows() -> None:
    from sigma.modifiers import modifier_mapping

    assert set(modifier_mapping) <= modifiers.KNOWN


# ---------------------------------------------------------------- filters and collections

RULE = """title: {title}
id: 6f1c1b8e-3a53-4c33-9d6b-2f0f5c1e8a{n:02d}
name: {title}
logsource: {{category: {category}, product: windows}}
detection:
  sel: {{f: {title}}}
  other: {{g|contains: [x, y]}}
  condition: {condition}
"""
FILTER = """title: {title}
id: 6f1c1b8e-3a53-4c33-9d6b-2f0f5c1e8b{n:02d}
logsource: {{{source}}}
filter:
  rules: {rules}
  selection_a: {{u|startswith: adm_}}
  selection_b: {{v: 1}}
  condition: {condition}
"""


def _same(text: str, prepare: Callable[[str], str] = str) -> Ruleset:
    made = load_bytes(text.encode())
    collection = SigmaCollection.from_yaml(prepare(text))
    forms = {str(one.title): theirs(one, {}) for one in collection.rules if isinstance(one, SigmaRule)}
    assert {one.title.en: ours(one.node) for one in made.rules} == forms
    return made


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["any", "[]", "alpha", "[alpha, gamma]", "[6f1c1b8e-3a53-4c33-9d6b-2f0f5c1e8a01]"]),
            st.sampled_from(["category: process_creation", "product: windows", "category: file_event"]),
            st.sampled_from(
                ["not selection_a", "not 1 of selection_*", "selection_a or not selection_b", "not all of them"]
            ),
        ),
        max_size=3,
    )
)
def test_filters_make_of_rules_what_pysigma_makes(filters: list[tuple[str, str, str]]) -> None:
    conditions = ["sel", "1 of them", "sel and not other"]
    texts = [
        RULE.format(title=title, n=n, category=category, condition=conditions[n])
        for n, (title, category) in enumerate(
            [("alpha", "process_creation"), ("beta", "file_event"), ("gamma", "process_creation")]
        )
    ]
    texts += [
        FILTER.format(title=f"filter{n}", n=n, rules=rules, source=source, condition=condition)
        for n, (rules, source, condition) in enumerate(filters)
    ]
    _same("---\n".join(texts))


COLLECTION = """action: global
title: common
level: high
logsource: {category: c, product: p}
detection: {condition: sel and base, base: {a: 1}}
---
title: first
detection: {sel: {f: 1}}
---
action: repeat
title: second
detection: {sel: {f: 2, h: 3}, base: {a: 5}}
---
action: reset
---
title: third
logsource: {category: d}
detection: {sel: {f: 9}, condition: sel}
---
action: repeat
title: fourth
detection: {more: {f: 4}, condition: 1 of them}
"""


def test_collections_are_joined_as_pysigma_joins_them() -> None:
    # the global title would name every rule: a rule that has one keeps ours apart
    text = COLLECTION.replace("title: common\n", "")
    made = _same(text)
    assert [one.title.en for one in made.rules] == ["first", "second", "third", "fourth"]
    assert [one.head.level for one in made.rules] == ["high", "high", "medium", "medium"]
    assert [one.category for one in made.rules] == ["c", "c", "d", "d"]


def test_what_the_global_document_says_wins() -> None:
    made = load_bytes(COLLECTION.encode())
    assert {one.title.en for one in made.rules} >= {"common", "third", "fourth"}
    data = list(yaml.safe_load_all(COLLECTION))
    assert str(SigmaCollection.from_dicts(data).rules[0].title) == "common"
