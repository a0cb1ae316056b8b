"""Rules that remember: wherever the same rows are cut into batches, and wherever it is stopped, alerts are the same."""

from __future__ import annotations

import itertools
import os
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cityguard.detectors.rules import RuleDetector
from cityguard.model import Alert, EventBatch, LogSource
from cityguard.sigma.match import hits
from cityguard.sigma.rule import Rule, Ruleset, load_bytes
from cityguard.store import merging

MANY = int(os.environ.get("CITYGUARD_MANY", "4"))
START = datetime(2026, 3, 2, 2, 0, tzinfo=UTC)
SOURCE = LogSource(("network",), (), ("connection",))
KEPT = "6f1c1b8e-3a53-4c33-9d6b-2f0f5c1e8b01"
HEAD = """title: Kept
id: 6f1c1b8e-3a53-4c33-9d6b-2f0f5c1e8b01
name: kept
logsource: {category: network}
detection: {s: {destination.port: 1}, condition: s}
custom:
  cityguard:
    group: [source.ip]
    window: 10m
"""
STEPS = "".join(
    f"""---
title: {name}
id: 6f1c1b8e-3a53-4c33-9d6b-2f0f5c1e8b1{port}
name: {name}
logsource: {{category: network}}
detection: {{s: {{destination.port: {port}}}, condition: s}}
"""
    for name, port in (("one", 2), ("two", 3), ("end", 4))
)
KINDS = {
    "new_terms": "{fields: [source.ip, user.name], history: 5m, learn: 2m}",
    "rate": "{per: 1m, by: [source.ip], gte: 3}",
    "absence": "{every: 1m, by: [source.ip], after: 2}",
    "baseline": "{field: source.bytes, by: [source.ip], window: 1m, method: mad, threshold: 1, min_samples: 3}",
    "sequence": "{steps: [one, two], by: [source.ip], maxspan: 3m, until: end}",
    "suppress": "{by: [source.ip], for: 3m}",
}


def rules(kind: str, more: str = "") -> Ruleset:
    made = load_bytes(f"{HEAD}    {kind}: {KINDS[kind]}\n{more}{STEPS}".encode())
    assert not made.faults, [str(fault) for fault in made.faults]
    return made


def batch(rows: Sequence[dict[str, Any]], part: str, dataset: str = "flow") -> EventBatch:
    table = pl.DataFrame(
        {
            "@timestamp": [START + timedelta(seconds=row["at"]) for row in rows],
            "event.ingested": [START + timedelta(days=1) for _ in rows],
            "event.id": [f"{row['id']:032x}" for row in rows],
            "source.ip": [row["src"] for row in rows],
            "user.name": [row["who"] for row in rows],
            "destination.port": [row["port"] for row in rows],
            "source.bytes": [row["bytes"] for row in rows],
        },
        schema_overrides={"@timestamp": pl.Datetime("us", "UTC"), "event.ingested": pl.Datetime("us", "UTC")},
    )
    return EventBatch(dataset, "test", table, logsource=SOURCE, part=part)


def made(seed: int) -> list[dict[str, Any]]:
    """Rows as a seed gives them: hypothesis draws too few long lists for steps to follow one another."""
    draw = random.Random(seed)
    return [
        {
            "at": draw.randint(0, 900),
            "src": draw.choice(["10.0.0.1", "10.0.0.2"]),
            "who": draw.choice(["a", "b", None]),
            "port": draw.choice([1, 1, 1, 2, 3, 4, 5]),
            "bytes": draw.choice([1, 10, 10, 500, None]),
        }
        for _ in range(draw.randint(1, 80))
    ]


ROWS = st.integers(0, 1 << 32).map(made)


def told(alerts: Sequence[Alert]) -> dict[str, tuple[int, datetime, datetime]]:
    """What an alert comes to once its parts are merged."""
    found: dict[str, tuple[int, datetime, datetime]] = {}
    for alert in alerts:
        count, first, last = found.get(alert.id, (0, alert.first_seen, alert.last_seen))
        assert alert.count > count and alert.part.startswith("kept:")  # all that was ever counted on it
        found[alert.id] = (alert.count, min(first, alert.first_seen), max(last, alert.last_seen))
    return found


class Plain:
    """The plain evaluator as the detector's matcher: ready at once."""

    def __init__(self, ruleset: Ruleset) -> None:
        self.ruleset = ruleset

    def rows(self, given: EventBatch) -> Iterator[tuple[Rule, Any]]:
        for rule, mask in hits(self.ruleset, given):
            yield rule, np.flatnonzero(mask.to_numpy()).astype(np.int64)


def run(ruleset: Ruleset, rows: Sequence[dict[str, Any]], cuts: Sequence[int], *, stop: bool = False) -> list[Alert]:
    one = RuleDetector(ruleset, engine=Plain(ruleset))
    found: list[Alert] = []
    borders = sorted({0, len(rows), *(cut % (len(rows) + 1) for cut in cuts)})
    for number, (start, end) in enumerate(itertools.pairwise(borders)):
        if stop:
            state = one.snapshot()
            one = RuleDetector(ruleset, engine=Plain(ruleset))
            one.restore(state)
        alerts = one.detect(batch(rows[start:end], f"p{number}"))
        assert max(Counter(alert.id for alert in alerts).values(), default=1) == 1
        found += alerts
    return [alert for alert in found + one.finish() if alert.rule_id == KEPT]


@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize("ordered", [True, False], ids=["in order", "out of order"])
def test_no_cut_changes_an_alert(kind: str, ordered: bool) -> None:
    ruleset = rules(kind)
    fired: list[bool] = []

    @settings(deadline=None, max_examples=MANY, database=None)
    @given(rows=ROWS, cuts=st.lists(st.integers(0, 80), max_size=6))
    def holds(rows: list[dict[str, Any]], cuts: list[int]) -> None:
        named = [{**row, "id": number + 1} for number, row in enumerate(rows)]
        if ordered:
            named.sort(key=lambda row: row["at"])
        whole = told(run(ruleset, named, []))
        fired.append(bool(whole))
        assert told(run(ruleset, named, cuts)) == whole
        assert told(run(ruleset, named, cuts, stop=True)) == whole

    holds()
    seed = 0
    while not any(fired):  # what nothing fires in shows nothing
        holds.hypothesis.inner_test(made(seed), [seed, 3 * seed])
        seed += 1
        assert seed < 60


@pytest.mark.parametrize("kind", ["rate", "absence", "sequence", "new_terms", "baseline"])
def test_suppression_of_what_fires_is_not_changed_by_a_cut_either(kind: str) -> None:
    ruleset = rules(kind, "    suppress: {by: [source.ip], for: 4m}\n")

    @settings(deadline=None, max_examples=MANY, database=None)
    @given(rows=ROWS, cuts=st.lists(st.integers(0, 80), max_size=6))
    def holds(rows: list[dict[str, Any]], cuts: list[int]) -> None:
        named = sorted(({**row, "id": number + 1} for number, row in enumerate(rows)), key=lambda row: row["at"])
        assert told(run(ruleset, named, cuts, stop=True)) == told(run(ruleset, named, []))

    holds()


@pytest.mark.parametrize("kind", ["new_terms", "rate", "sequence"])
def test_disorder_within_the_lateness_changes_nothing(kind: str) -> None:
    ruleset = rules(kind)

    @settings(deadline=None, max_examples=MANY, database=None)
    @given(rows=ROWS, cuts=st.lists(st.integers(0, 80), max_size=6), order=st.randoms(use_true_random=False))
    def holds(rows: list[dict[str, Any]], cuts: list[int], order: Any) -> None:
        named = sorted(({**row, "id": number + 1} for number, row in enumerate(rows)), key=lambda row: row["at"])
        mixed = sorted(named[1:], key=lambda row: row["at"] + order.uniform(0, 29))  # the first begins the learning
        assert told(run(ruleset, [*named[:1], *mixed], cuts)) == told(run(ruleset, named, []))

    holds()


Kept = tuple[int, datetime, datetime, tuple[str, ...]]


def life(
    ruleset: Ruleset, rows: Sequence[dict[str, Any]], seed: int, *, crash: bool, of: str = KEPT, lag: int = 30
) -> dict[str, Kept]:
    """What a store holds in the end; killed halfway, it goes on from a snapshot some batches back."""
    draw = random.Random(seed)
    stored: dict[str, Alert] = {}
    counted: dict[tuple[str, str], int] = {}

    def keep(alerts: Sequence[Alert]) -> None:
        for name, parts in merging.collect(alerts).items():
            for part, alert in parts.items():
                stored[name] = merging.merge(stored.get(name), alert, counted.get((name, part), 0))
                counted[name, part] = alert.count

    one = RuleDetector(ruleset, engine=Plain(ruleset))
    state, safe, at = one.snapshot(), 0, 0
    while at < len(rows):
        keep(one.detect(batch(rows[at : at + 7], f"p{at}")))
        at += 7
        if draw.random() < 0.3:  # time moves on between batches, in one life elsewhere than in the other
            past = START + timedelta(seconds=rows[min(at, len(rows)) - 1]["at"] - lag)
            keep(one.forward(int(past.timestamp()) * 1_000_000))
        if at % 21 == 0:
            state, safe = one.snapshot(), at
        if crash and at > len(rows) // 2:
            one, crash, at = RuleDetector(ruleset, engine=Plain(ruleset)), False, safe
            one.restore(state)
    keep(one.finish())
    return {
        name: (alert.count, alert.first_seen, alert.last_seen, alert.event_ids)
        for name, alert in stored.items()
        if alert.rule_id == of
    }


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_crash_changes_no_alert(kind: str) -> None:
    ruleset, fired = rules(kind), False
    for seed in range(MANY):
        rows = [{**row, "id": number + 1} for number, row in enumerate(made(seed))]
        rows.sort(key=lambda row: row["at"])
        straight = life(ruleset, rows, seed, crash=False)
        assert life(ruleset, rows, seed, crash=True) == straight
        fired = fired or bool(straight)
    assert fired


FED = "6f1c1b8e-3a53-4c33-9d6b-2f0f5c1e8b02"
CORRELATED = f"""---
title: Fed
id: {FED}
correlation:
  type: event_count
  rules: [kept]
  group-by: [source.ip]
  timespan: 10m
  condition: {{gte: 1}}
"""
SUPPRESSED = "custom: {cityguard: {suppress: {by: [], for: 10m}}}\n"


def many(seed: int) -> list[dict[str, Any]]:
    """Rows among which much fires, so that alerts grow from call to call."""
    draw = random.Random(seed)
    moments = sorted(draw.sample(range(1200), 200))
    ports, names = [1, 1, 2, 3], [str(number) for number in range(60)]
    return [
        {"at": at, "id": n, "src": "10.0.0.1", "who": draw.choice(names), "port": draw.choice(ports), "bytes": 1}
        for n, at in enumerate(moments, 1)
    ]


def at_once(ruleset: Ruleset, rows: Sequence[dict[str, Any]]) -> Counter[str]:
    """Counts by alert when nothing is cut."""
    one = RuleDetector(ruleset, engine=Plain(ruleset))
    alerts = [*one.detect(batch(rows, "p")), *one.finish()]
    last = {(alert.id, alert.part): alert.count for alert in alerts if alert.rule_id == FED}
    counts: Counter[str] = Counter()
    for (name, _), count in last.items():
        counts[name] += count
    return counts


@pytest.mark.parametrize("more", ["", SUPPRESSED], ids=["plain", "suppressed"])
@pytest.mark.parametrize("kind", ["rate", "new_terms", "sequence"])
def test_a_crash_changes_no_alert_of_a_correlation_that_is_fed_either(kind: str, more: str) -> None:
    ruleset, fired = load_bytes(f"{HEAD}    {kind}: {KINDS[kind]}\n{STEPS}{CORRELATED}{more}".encode()), False
    assert not ruleset.faults, [str(fault) for fault in ruleset.faults]
    for seed in range((MANY + 3) // 4):
        rows = many(seed)
        straight = life(ruleset, rows, seed, crash=False, of=FED, lag=0)
        assert life(ruleset, rows, seed, crash=True, of=FED, lag=0) == straight
        assert {name: count for name, (count, *_) in straight.items()} == at_once(ruleset, rows)
        fired = fired or any(count > 9 for count, *_ in straight.values())
    assert fired
