"""Every shipped collector of lines knows its own sample lines among those of all others."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import polars as pl
import pytest

from cityguard.collect.collect import Live
from cityguard.collect.collectors import Collectors
from cityguard.collect.families import Families
from cityguard.sources import lines

UNLIKE = frozenset({"csv", "ndjson", "keyvalue"})
"""They take what is none of the others, named or in a file of its own."""
SHARE = 0.75
"""Samples hold broken lines on purpose."""


@pytest.fixture(scope="module")
def collectors() -> Collectors:
    return Collectors.load()


def test_samples_of_a_collector_go_to_it_and_not_to_another(collectors: Collectors) -> None:
    families = Families(collectors, collectors["syslog"])
    asked, given = [], []
    for one in families.known[1:]:
        for sample in one.tests:
            own = [] if one.begins or one.name in UNLIKE else sample.lines
            asked += [one.name] * len(own)
            given += own
    got = [families.known[at].name for at in families.of(pl.Series(given))]
    right: dict[str, list[bool]] = {}
    strays = []
    for wanted, name, line in zip(asked, got, given, strict=True):
        right.setdefault(wanted, []).append(name == wanted)
        if name not in (wanted, "syslog"):
            strays.append((wanted, name, line[:80]))
    assert len(right) > 90
    assert {name: hits for name, hits in right.items() if sum(hits) < SHARE * len(hits) - 1} == {}
    assert len(strays) <= 3, strays


def test_lines_of_nobody_stay_with_syslog(collectors: Collectors) -> None:
    families = Families(collectors, collectors["syslog"])
    given = [
        "Mar  5 14:12:09 web01 app[812]: started in 12 ms",
        "<14>1 2026-03-05T14:12:09Z web01 app 812 - - ready",
        "",
        "just words",
        "{}",
        '{"level":"info","msg":"ready"}',
        "a" * 5000,
        "\x00\x01\x02",
        "=" * 2000,
        "," * 5000,
    ]
    assert not families.of(pl.Series(given)).any()


@pytest.mark.parametrize("unit", ["a=", "1,", '"', "[", "%", ": ", "::", "x x", "<14>", "0.0.0.0 ", "\\", "date=1 "])
def test_long_hostile_lines_are_told_apart_in_no_time(collectors: Collectors, unit: str) -> None:
    families = Families(collectors, collectors["syslog"])
    assert len(families.of(pl.Series([unit * (200_000 // len(unit))] * 3))) == 3


def test_no_collector_stumbles_over_its_own_lines_spoilt(collectors: Collectors) -> None:
    for one in collectors:
        samples = [line.encode() for sample in one.tests for line in sample.lines]
        if one.kind != "lines" or not samples:
            continue
        line = max(samples, key=len)
        half = len(line) // 2
        spoilt = [line[:half] + b"\xff\x00" * 500 + line[half:], line[: half + 7], line + b' a="' * 5000]
        begun = time.perf_counter()
        live = Live(one, source="spoilt", key="spoilt")
        chunk = live.chunk(lines.one_each([*spoilt, line]), now=datetime(2026, 3, 6, tzinfo=UTC))
        held = sum(len(batch) for batch in chunk.decoded.batches)
        assert chunk.decoded.rejected <= len(spoilt) + 1
        assert held + chunk.decoded.rejected + chunk.decoded.ignored > 0 or one.module == "auditd", one.name
        assert time.perf_counter() - begun < 5, one.name
