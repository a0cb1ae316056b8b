"""The custom.cityguard block: read with its lines, bounded, and every fault named with a remedy."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sigma.rule import SigmaRule

from cityguard.detectors.trial import check
from cityguard.errors import InputError
from cityguard.model import Text
from cityguard.sigma.custom import (
    Absence,
    Baseline,
    Custom,
    NewTerms,
    Rate,
    Sequence,
    Suppress,
    ThreatMatch,
)
from cityguard.sigma.rule import Ruleset, load_bytes

HEAD = """title: Kept
id: 6f1c1b8e-3a53-4c33-9d6b-2f0f5c1e8a01
name: kept
logsource: {category: network}
detection:
  s: {destination.port: 1}
  condition: s
custom:
  cityguard:
"""
STEP = """---
title: Step
id: 6f1c1b8e-3a53-4c33-9d6b-2f0f5c1e8a02
name: step
logsource: {category: network}
detection: {s: {destination.port: 2}, condition: s}
"""
WHOLE = """    allow:
      - fields: {source.ip|cidr: 10.1.0.0/16, ot.function.class: read}
        owner: 水务科
        reason: 历史库采集
        expires: 2026-12-31
    threat_match: {list: city_intel, field: [source.ip, destination.ip]}
    suppress: {by: [source.ip], for: 6h}
    response: {zh: 断开, en: cut}
"""


def block(text: str) -> Ruleset:
    return load_bytes((HEAD + "".join(f"    {line}\n" for line in text.splitlines()) + STEP).encode())


def custom(text: str) -> Custom:
    made = block(text)
    assert not made.faults, [str(fault) for fault in made.faults]
    found = made.rules[0].head.custom
    assert found is not None
    return found


def test_what_stands_beside_the_memory_is_read() -> None:
    made = load_bytes((HEAD + WHOLE).encode())
    assert not made.faults, [str(fault) for fault in made.faults]
    found = made.rules[0].head.custom
    assert found
    (entry,) = found.allow
    assert (entry.owner, entry.reason, entry.expires) == ("水务科", "历史库采集", date(2026, 12, 31))
    assert (entry.place, entry.fields) == ("rule.yml:11", ("source.ip|cidr", "ot.function.class"))
    assert found.threat_match == ThreatMatch("city_intel", ("source.ip", "destination.ip"))
    assert found.suppress == Suppress(("source.ip",), 6 * 3600)
    assert found.response == Text("断开", "cut")
    assert found.remembers


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("new_terms: {fields: [a, b]}", NewTerms(("a", "b"), 14 * 86_400, 7 * 86_400)),
        ("new_terms: {fields: a, history: 2d, learn: 1h}", NewTerms(("a",), 2 * 86_400, 3600)),
        ("baseline: {field: count}", Baseline(None, (), 3600, "mad", 4.0, 24, "up")),
        (
            "baseline: {field: b, by: [a], window: 5m, method: ewma, threshold: 2, min_samples: 9, direction: both}",
            Baseline("b", ("a",), 300, "ewma", 2.0, 9, "both"),
        ),
        ("rate: {per: 1m, by: [a], gte: 100}", Rate(60, ("a",), 100)),
        ("absence: {every: 10m, by: [a]}", Absence(600, ("a",), 3)),
    ],
)
def test_every_memory_has_its_form_and_its_defaults(text: str, expected: object) -> None:
    assert custom(text).memory == expected


def test_steps_are_named_by_name_or_id_and_stay_silent() -> None:
    made = block("sequence: {steps: [step], by: [a], maxspan: 1h, until: 6F1C1B8E-3A53-4C33-9D6B-2F0F5C1E8A02}")
    step = made.rules[1].id
    found = made.rules[0].head.custom
    assert found is not None and found.memory == Sequence((step,), ("a",), 3600, step)
    assert made.silent == {step}
    loud = block("sequence: {steps: [step], maxspan: 1h, generate: true}")
    assert loud.silent == frozenset()


def test_a_sequence_of_rules_that_are_not_there_falls_out() -> None:
    made = block("sequence: {steps: [stop], maxspan: 1h}")
    assert [one.head.name for one in made.rules] == ["step"]
    assert "refers to 'stop'" in str(made.faults[0])
    assert str(made.faults[0]).startswith("rule.yml:1:")


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("suppres: {for: 1h}", 10, "did you mean 'suppress'"),
        ("rate: 5", 10, "must be a map"),
        ("rate: {per: 1m}", 10, "'gte' is missing"),
        ("rate: {per: 1m, gte: 1}", 10, "from 2 to 100000"),
        ("rate: {per: 1m, gte: true}", 10, "from 2 to 100000"),
        ("rate: {per: 1m, gte: 2.5}", 10, "from 2 to 100000"),
        ("rate: {per: 2d, gte: 5}", 10, "too short or too long"),
        ("rate: {per: soon, gte: 5}", 10, "no time span"),
        ("rate: {per: 1m, gte: 5, than: 3}", 10, "unknown key 'than'"),
        ("absence: {by: [a]}", 10, "'every' is missing"),
        ("absence: {every: 1m, by: [[a]]}", 10, "list of names"),
        ("absence: {every: 1m, by: [a, b, c, d, e, f, g, h, i]}", 10, "more than 8"),
        ("absence: {every: 1m, by: [a, a]}", 10, "one twice"),
        ("absence: {every: 1m}\nrate: {per: 1m, gte: 5}", 11, "do not go together"),
        ("new_terms: {history: 1d}", 10, "'fields' is missing"),
        ("new_terms: {fields: [a], history: 1d, learn: 2d}", 10, "longer than 'history'"),
        ("baseline: {by: [a]}", 10, "'count'"),
        ("baseline: {field: count, method: madd}", 10, "did you mean 'mad'"),
        ("baseline: {field: count, threshold: .nan}", 10, "from 0.1 to 1000"),
        ("baseline: {field: count, min_samples: 1000}", 10, "from 3 to 128"),
        ("baseline: {field: count, window: 1s}", 10, "between 60 and"),
        ("sequence: {maxspan: 1h}", 10, "'steps' is missing"),
        ("sequence: {steps: [step], maxspan: 1h, until: [a]}", 10, "one text"),
        ("sequence: {steps: [step], maxspan: 1h, generate: 1}", 10, "true or false"),
        ("threat_match: {list: ../etc/passwd, field: a}", 10, "letters, digits"),
        ("threat_match: {list: a}", 10, "'field' is missing"),
        ("suppress: {by: [a]}", 10, "'for' is missing"),
        ("response: {zh: 断}", 10, "'en' is missing"),
        ("allow: {a: b}", 10, "is a list"),
        ("allow: [5]", 10, "is a map"),
        ("allow:\n  - {fields: {a: b}, owner: x, reason: y}", 11, "the day it expires"),
        ("allow:\n  - {fields: {a: b}, owner: x, reason: y, expires: soon}", 11, "2026-12-31"),
        ("allow:\n  - {fields: {a: b}, reason: y, expires: 2026-12-31}", 11, "'owner' is missing"),
        ("allow:\n  - {fields: {}, owner: x, reason: y, expires: 2026-12-31}", 11, "maps fields to values"),
        ("allow:\n  - fields: {a|cidrr: 10.0.0.0/8}\n    owner: x", 11, "did you mean 'cidr'"),
        ("allow:\n  - fields: {'|contains': x}\n    owner: x", 11, "names its field"),
        ("tests:\n  - {event: {a: 1}, match: true, history: [{a: 1}]}", 11, "go with 'alerts"),
        ("tests:\n  - {event: {a: 1}, alerts: 1, until: never}", 11, "no time span"),
        ("tests:\n  - {event: {a: 1}, alerts: 1, lists: [a]}", 11, "maps names of lists"),
        ("tests: 7", 10, "a list of at most"),
    ],
)
def test_a_fault_is_named_with_its_line_and_a_remedy(text: str, line: int, said: str) -> None:
    faults = block(text).faults
    assert faults
    assert all(fault.remedy for fault in faults if isinstance(fault, InputError)), [str(one) for one in faults]
    assert any(f"rule.yml:{line}:" in str(fault) and said in str(fault) for fault in faults), [str(f) for f in faults]


def test_an_exception_may_use_a_placeholder_and_waits_for_its_list() -> None:
    text = "allow:\n  - {fields: {a|expand: '%good%'}, owner: x, reason: y, expires: 2026-12-31}"
    waiting = block(text)
    assert [one.reason for one in waiting.inactive if "%good%" in one.reason]
    raw = (HEAD + "".join(f"    {line}\n" for line in text.splitlines())).encode()
    assert load_bytes(raw, placeholders={"good": ["1"]}).rules


def test_correlations_take_suppression_and_response_only() -> None:
    text = """---
title: Many
id: 6f1c1b8e-3a53-4c33-9d6b-2f0f5c1e8a03
correlation: {type: event_count, rules: [step], group-by: [a], timespan: 1h, condition: {gte: 2}}
custom:
  cityguard: {suppress: {by: [a], for: 1d}, response: {zh: 断, en: cut}%s}
"""
    made = load_bytes((STEP[4:] + text % "").encode())
    assert not made.faults and made.correlations[0].head.custom
    bad = load_bytes((STEP[4:] + text % ", rate: {per: 1m, gte: 5}").encode())
    assert "put it into the rules it names" in str(bad.faults[0])


def test_pysigma_takes_the_block_for_what_it_does_not_know() -> None:
    rule = SigmaRule.from_yaml(HEAD + WHOLE)
    assert rule.errors == []
    assert set(rule.custom_attributes["custom"]["cityguard"]) == {"allow", "threat_match", "suppress", "response"}


KEYS = ["allow", "new_terms", "rate", "suppress", "tests", "fields", "by", "for", "every", "per", "gte", "until", "at"]
KEYS += [
    "event",
    "events",
    "match",
    "alerts",
    "history",
    "lists",
    "ago",
    "times",
    "source.ip",
    "destination.port",
    "rule",
]
DATA = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.sampled_from(["1h", "a", "", "count"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
    max_leaves=25,
)


MADE = st.dictionaries(st.sampled_from(KEYS), DATA, max_size=6)


@settings(deadline=None, max_examples=60, database=None)
@given(MADE, st.lists(MADE, min_size=1, max_size=3), st.lists(MADE, max_size=2))
def test_nothing_that_stands_in_the_block_breaks_the_reader_or_the_tests(
    data: dict[str, Any], events: list[dict[str, Any]], history: list[dict[str, Any]]
) -> None:
    tests = [{"events": events, "alerts": 1, "history": history}, {"events": events, "match": True}]
    for block_ in (data, {"tests": tests}, {"tests": tests, "rate": {"per": "1m", "gte": 2, "by": ["source.ip"]}}):
        made = load_bytes(HEAD.replace("cityguard:\n", f"cityguard: {json.dumps(block_)}\n").encode())
        assert made.rules or made.faults or made.inactive
        check(made)
