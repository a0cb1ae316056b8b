"""The tests rules carry can fail."""

from __future__ import annotations

import pytest

from cityguard.sigma.rule import load_bytes
from cityguard.sigma.selftest import check

RULE = """title: Many ports
id: 6f1c1b8e-3a53-4c33-9d6b-2f0f5c1e8a01
name: base
logsource: {category: network}
detection:
  s: {destination.port|gte: 1}
  condition: s
custom:
  cityguard:
    tests:
      - {name: a port, event: {destination.port: 22}, match: true}
---
title: Scan
id: 6f1c1b8e-3a53-4c33-9d6b-2f0f5c1e8a02
correlation:
  type: value_count
  rules: [base]
  group-by: [source.ip]
  timespan: 1m
  condition: {field: destination.port, gte: 5}
custom:
  cityguard:
    tests:
      - alerts: 1
        events:
          - {at: 0, every: 2, times: 6, source.ip: 10.0.0.1, destination.port: "{n}"}
"""


def test_tests_that_hold_pass() -> None:
    results = check(load_bytes(RULE.encode()))
    assert [one.passed for one in results] == [True, True]
    assert results[0].name == "a port"
    assert results[1].place == "rule.yml:24"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("match: true", "match: false"),
        ("destination.port: 22", "destination.port: 0"),
        ("alerts: 1", "alerts: 0"),
        ("alerts: 1", "alerts: 2"),
        ("every: 2", "every: 20"),
        ("times: 6", "times: 4"),
        ('"{n}"', "7"),
        ("times: 6", "times: 99999"),
        ("at: 0", "at: soon"),
        ("alerts: 1", "match: true"),
    ],
)
def test_tests_that_do_not_hold_fail(old: str, new: str) -> None:
    results = check(load_bytes(RULE.replace(old, new).encode()))
    assert [one.passed for one in results].count(False) == 1, results
