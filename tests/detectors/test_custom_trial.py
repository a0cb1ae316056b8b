"""Tests inside rules exercise every part of the block, and can fail."""

from __future__ import annotations

import pytest

from cityguard.detectors.trial import check
from cityguard.sigma.rule import load_bytes
from cityguard.sigma.selftest import CheckResult

RULES = """title: New Master
id: 6f1c1b8e-3a53-4c33-9d6b-2f0f5c1e8a01
name: master
logsource: {category: ot_command, product: modbus}
detection: {s: {ot.function.class: write}, condition: s}
custom:
  cityguard:
    new_terms: {fields: [source.ip], history: 14d, learn: 7d}
    allow:
      - {fields: {source.ip: 10.9.9.9}, owner: 水务科, reason: 检修, expires: 2026-12-31}
      - {fields: {source.ip: 10.9.9.8}, owner: 水务科, reason: 检修, expires: 2026-01-31}
    tests:
      - name: first seen, then known
        history: [{ago: 9d, source.ip: 10.1.1.1, ot.function.class: write}]
        events:
          - {source.ip: 10.1.1.1, ot.function.class: write}
          - {at: 60, every: 20m, times: 9, source.ip: 10.1.1.2, ot.function.class: write}
        alerts: 1
      - name: nothing is known after so long
        history: [{ago: 20d, source.ip: 10.1.1.1, ot.function.class: write}]
        event: {source.ip: 10.1.1.1, ot.function.class: write}
        alerts: 1
      - name: still learning
        history: [{ago: 5d, source.ip: 10.1.1.1, ot.function.class: write}]
        event: {source.ip: 10.1.1.2, ot.function.class: write}
        alerts: 0
      - {name: allowed, event: {source.ip: 10.9.9.9, ot.function.class: write}, match: false}
      - {name: no more, event: {source.ip: 10.9.9.8, ot.function.class: write}, match: true}
---
title: Silent
id: 6f1c1b8e-3a53-4c33-9d6b-2f0f5c1e8a02
name: poll
logsource: {category: ot_command}
detection: {s: {ot.is_request: true}, condition: s}
custom:
  cityguard:
    absence: {every: 10m, by: [source.ip]}
    tests:
      - {name: silent, events: [{every: 60, times: 5, source.ip: 10.1.1.1, ot.is_request: true}], until: 1h, alerts: 1}
      - {name: soon, events: [{every: 60, times: 5, source.ip: 10.1.1.1, ot.is_request: true}], until: 14m, alerts: 0}
---
title: After Both
id: 6f1c1b8e-3a53-4c33-9d6b-2f0f5c1e8a03
logsource: {category: firewall}
detection: {s: {event.action: deny}, condition: s}
custom:
  cityguard:
    sequence: {steps: [master, poll], by: [source.ip], maxspan: 1h, until: listed}
    suppress: {by: [source.ip], for: 1d}
    tests:
      - name: steps
        events:
          - {source.ip: 10.1.1.1, ot.function.class: write}
          - {at: 60, source.ip: 10.1.1.1, ot.is_request: true}
          - {at: 2m, every: 10m, times: 3, source.ip: 10.1.1.1, event.action: deny}
        alerts: 1
      - name: ended between
        lists: {intel: [10.1.0.0/16]}
        events:
          - {source.ip: 10.1.1.1, ot.function.class: write}
          - {at: 60, source.ip: 10.1.1.1, ot.is_request: true}
          - {at: 90, source.ip: 10.1.1.1, rule: listed, ot.function.class: stop}
          - {at: 2m, source.ip: 10.1.1.1, event.action: deny}
        alerts: 0
---
title: Listed
id: 6f1c1b8e-3a53-4c33-9d6b-2f0f5c1e8a04
name: listed
logsource: {category: ot_command}
detection: {s: {ot.function.class: stop}, condition: s}
custom:
  cityguard:
    threat_match: {list: intel, field: source.ip}
    tests:
      - {lists: {intel: [10.1.0.0/16]}, event: {source.ip: 10.1.1.1, ot.function.class: stop}, match: true}
      - {lists: {intel: [10.2.0.0/16]}, event: {source.ip: 10.1.1.1, ot.function.class: stop}, match: false}
      - {event: {source.ip: 10.1.1.1, ot.function.class: stop}, match: false}
---
title: Twice
id: 6f1c1b8e-3a53-4c33-9d6b-2f0f5c1e8a05
correlation: {type: event_count, rules: [plain], group-by: [source.ip], timespan: 1m, condition: {gte: 2}}
custom:
  cityguard:
    suppress: {by: [source.ip], for: 6h}
    tests:
      - {name: one alert, events: [{every: 20s, times: 100, source.ip: 10.1.1.1, a: 1}], alerts: 1}
      - name: two
        events: [{every: 20s, times: 9, source.ip: 10.1.1.1, a: 1}, {at: 8h, times: 3, source.ip: 10.1.1.1, a: 1}]
        alerts: 2
      - {name: none, events: [{every: 2m, times: 9, source.ip: 10.1.1.1, a: 1}], alerts: 0}
---
title: Plain
id: 6f1c1b8e-3a53-4c33-9d6b-2f0f5c1e8a06
name: plain
logsource: {category: ot_command}
detection: {s: {a: 1}, condition: s}
custom:
  cityguard:
    allow:
      - {fields: {source.ip: 10.1.1.7}, owner: 水务科, reason: 检修, expires: 2026-12-31}
"""


def run(text: str) -> list[CheckResult]:
    made = load_bytes(text.encode())
    assert not made.faults, [str(fault) for fault in made.faults]
    return check(made)


def test_every_part_of_the_block_can_be_tested() -> None:
    results = run(RULES)
    assert [one for one in results if not one.passed] == []
    assert len(results) == 15


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("ago: 9d", "ago: 6d"),
        ("ago: 20d", "ago: 13d"),
        ("ago: 5d", "ago: 8d"),
        ("expires: 2026-01-31", "expires: 2026-03-02"),
        ("name: allowed, event: {source.ip: 10.9.9.9", "name: allowed, event: {source.ip: 10.9.9.7"),
        ("until: 1h, alerts: 1", "until: 14m, alerts: 1"),
        ("until: 14m", "until: 15m"),
        (
            "at: 60, source.ip: 10.1.1.1, ot.is_request: true}\n          - {at: 2m, every",
            "at: 60, a: 1}\n          - {at: 2m, every",
        ),
        ("for: 1d", "for: 5m"),
        ("at: 90, source.ip: 10.1.1.1, rule: listed", "at: 90, source.ip: 10.1.1.1, rule: master"),
        ("intel: [10.2.0.0/16]", "intel: [10.1.0.0/16]"),
        ("for: 6h}", "for: 1m}"),
        ("at: 8h", "at: 5h"),
        ("every: 20s, times: 100, source.ip: 10.1.1.1", "every: 20s, times: 100, source.ip: 10.1.1.7"),
        ("ago: 9d", "ago: soon"),
    ],
)
def test_a_test_that_does_not_hold_fails(old: str, new: str) -> None:
    assert old in RULES
    assert [one.passed for one in run(RULES.replace(old, new, 1))].count(False) >= 1
