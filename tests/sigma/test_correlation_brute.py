"""Correlations equal a word-by-word reading of what they mean, on thousands of random sequences in random pieces."""

from __future__ import annotations

import os
import random
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.sigma.brute import Asked, Hit, alerts

from cityguard.model import EventBatch
from cityguard.sigma.correlation import Correlator, Firing
from cityguard.sigma.rule import Ruleset, load_bytes

SEQUENCES = int(os.environ.get("CITYGUARD_SEQUENCES", "200"))  # per correlation
ID = "6f1c1b8e-3a53-4c33-9d6b-2f0f5c1e8a0"
RULES = ("a", "b", "c", "d")
SPAN_S, UNIT = 30, 2  # half seconds
SPAN = SPAN_S * UNIT
START = datetime.fromtimestamp(1_773_187_200 // SPAN_S * SPAN_S, UTC)
BASE = """title: {name}
id: {id}{n}
name: {name}
logsource: {{category: test}}
detection: {{s: {{kind: {name}}}, condition: s}}
---
"""


def _counts() -> list[Asked]:
    conditions: list[tuple[tuple[str, float], ...]] = [
        (("gte", 3),),
        (("gt", 4),),
        (("lt", 3),),
        (("lte", 2),),
        (("eq", 2),),
        (("neq", 3),),
        (("gte", 2), ("lt", 5)),
        (("gte", 1),),
    ]
    return [
        *(Asked("event_count", ("a", "b"), SPAN, one) for one in conditions),
        *(Asked("value_count", ("a", "b"), SPAN, one) for one in conditions),
        Asked("value_count", ("a", "b", "c"), SPAN, (("gte", 4),), pair=True),
        Asked("value_count", ("a",), SPAN, (("lt", 2),), pair=True),
    ]


def _numbers() -> list[Asked]:
    limits: list[tuple[tuple[str, float], ...]] = [(("gte", 6.5),), (("gt", 9),), (("lt", 4.2),), (("eq", 3),)]
    return [
        *(Asked("value_sum", ("a", "b"), SPAN, one) for one in limits),
        *(Asked("value_avg", ("a", "b"), SPAN, ((name, limit / 2),)) for ((name, limit),) in limits),
        *(Asked("value_median", ("a", "b"), SPAN, ((name, limit / 2),)) for ((name, limit),) in limits),
        Asked("value_percentile", ("a", "b", "c"), SPAN, (("gte", 3.5),), percentile=75),
        Asked("value_percentile", ("a",), SPAN, (("lte", 1.5),), percentile=25),
        Asked("value_percentile", ("a", "b"), SPAN, (("neq", 4),), percentile=100),
    ]


def _logic() -> list[Asked]:
    return [
        Asked("temporal", ("a", "b"), SPAN),
        Asked("temporal", ("a", "b", "c", "d"), SPAN),
        Asked("temporal", ("a", "b", "c"), SPAN, (("gte", 2),)),
        Asked("temporal", ("a", "b", "c"), SPAN, (("lt", 2),)),
        Asked("temporal", ("a", "b", "c"), SPAN, (("eq", 2),)),
        Asked("temporal", ("a", "b", "c"), SPAN, clause="a and (b or c)"),
        Asked("temporal", ("a", "b", "c"), SPAN, clause="a and (b or not c)"),
        Asked("temporal", ("a", "b"), SPAN, clause="a and not b"),
        Asked("temporal", ("a", "b", "c", "d"), SPAN, clause="(a or b) and not (c and d)"),
        Asked("temporal_ordered", ("a", "b"), SPAN),
        Asked("temporal_ordered", ("a", "b", "c"), SPAN),
        Asked("temporal_ordered", ("a", "b", "a"), SPAN),
        Asked("temporal_ordered", ("a", "a"), SPAN),
        Asked("temporal_ordered", ("b", "a", "a", "b"), SPAN),
        Asked("temporal_ordered", ("a", "b", "c"), SPAN, clause="a and (b or c)"),
        Asked("temporal_ordered", ("a", "b", "c"), SPAN, clause="a and b and not c"),
        Asked("temporal_ordered", ("a", "b", "c"), SPAN, clause="a and (b or not c)"),
    ]


EVERY = [*_counts(), *_numbers(), *_logic()]


def ruleset(asked: Asked) -> Ruleset:
    """The correlation as a rule file; rule ``b`` names its group and values otherwise."""
    text = "".join(BASE.format(name=name, n=n, id=ID) for n, name in enumerate(RULES))
    text += f"title: corr\nid: {ID}9\ncorrelation:\n  type: {asked.kind}\n  rules: [{', '.join(asked.rules)}]\n"
    text += f"  group-by: [g]\n  timespan: {SPAN_S}s\n"
    if "b" in asked.rules:
        text += "  aliases:\n    g: {b: host.name}\n"
    told = [f"{name}: {limit}" for name, limit in asked.conditions]
    if asked.kind.startswith("value"):
        told.append("field: [v, w]" if asked.pair else "field: v")
    if asked.kind == "value_percentile":
        told.append(f"percentile: {asked.percentile}")
    if asked.clause:
        text += f"  condition: {asked.clause}\n"
    elif told:
        text += f"  condition: {{{', '.join(told)}}}\n"
    made = load_bytes(text.encode())
    assert not made.faults, [str(fault) for fault in made.faults]
    return made


Row = tuple[str, int, Hit]  # group, number, hit
SCHEMA = {
    "@timestamp": pl.Datetime("us", "UTC"),
    "event.id": pl.String,
    "g": pl.String,
    "host.name": pl.String,
    "v": pl.String,
    "w": pl.String,
}


def feed(correlator: Correlator, rows: list[Row], part: str) -> list[Firing]:
    hits = {}
    for n, name in enumerate(RULES):
        mine = [row for row in rows if row[2].rule == name]
        group = [None if row[0] == "none" else row[0] for row in mine]
        hits[f"{ID}{n}"] = pl.DataFrame(
            {
                "@timestamp": [START + timedelta(seconds=row[2].time / UNIT) for row in mine],
                "event.id": [f"{row[1]:032x}" for row in mine],
                "g": [None] * len(mine) if name == "b" else group,
                "host.name": group if name == "b" else ["same"] * len(mine),
                "v": [row[2].value for row in mine],
                "w": [row[2].other for row in mine],
            },
            schema=SCHEMA,
        )
    return correlator.feed(hits, EventBatch("test", "test", pl.DataFrame(), part=part))


def told(asked: Asked, pieces: list[list[Row]], *, snapshots: bool = False) -> dict[tuple[str, int], int]:
    """(group, bucket) -> hits, as alerts add them up."""
    made = ruleset(asked)
    correlator = Correlator(made.correlations)
    firings: list[Firing] = []
    for n, piece in enumerate(pieces):
        firings += feed(correlator, piece, f"p{n}")
        if snapshots:
            state, correlator = correlator.snapshot(), Correlator(made.correlations)
            correlator.restore(state)
    firings += correlator.finish()
    found: dict[tuple[str, int], int] = {}
    for one in firings:
        key = (one.group[0] or "none", (one.bucket_s - int(START.timestamp())) // SPAN_S)
        found[key] = found.get(key, 0) + one.count
    assert len({one.alert_id for one in firings}) == len(found)
    assert all(
        one.total == found[(one.group[0] or "none", (one.bucket_s - int(START.timestamp())) // SPAN_S)]
        for one in {one.alert_id: one for one in firings}.values()
    )
    return found


def sequence(chance: random.Random, rules: tuple[str, ...]) -> list[Hit]:
    steps = chance.choice([(0, 3), (0, 20), (0, 1), (10, 70)])
    time, found = chance.randint(0, SPAN), []
    for _ in range(chance.randint(0, 16)):
        time += chance.randint(*steps)
        value = chance.choice(["0", "1", "2", "3.5", "-2", "7", "0.1", None, "x"])
        found.append(Hit(time, chance.choice(rules), value, chance.choice(["0", "1", None])))
    return found


@pytest.mark.parametrize("asked", EVERY, ids=lambda one: f"{one.kind} {one.clause or one.conditions or one.rules}")
def test_random_sequences_fire_what_reading_them_says(asked: Asked) -> None:
    chance = random.Random(repr(asked))
    sequences = {("none" if n == 0 else f"g{n}"): sequence(chance, RULES) for n in range(SEQUENCES)}
    rows = [(group, hit) for group, hits in sequences.items() for hit in hits]
    numbered = [(group, n, hit) for n, (group, hit) in enumerate(rows)]
    if chance.random() < 0.7:
        numbered.sort(key=lambda row: row[2].time + chance.choice([0, 0, 0, 5, 40]))
    else:
        chance.shuffle(numbered)
    borders = sorted(chance.randint(0, len(numbered)) for _ in range(chance.choice([0, 3, 12])))
    pieces = [numbered[a:b] for a, b in zip([0, *borders], [*borders, len(numbered)], strict=True)]
    wanted = {
        (group, bucket): count for group, hits in sequences.items() for bucket, count in alerts(asked, hits).items()
    }
    assert told(asked, pieces) == wanted


@settings(deadline=None, max_examples=60)
@given(
    asked=st.sampled_from(EVERY),
    hits=st.lists(
        st.builds(
            Hit,
            st.integers(0, 4 * SPAN),
            st.sampled_from(RULES),
            st.sampled_from(["0", "1", "2.5", "-1", None]),
            st.sampled_from(["0", "1", None]),
        ),
        max_size=14,
    ),
    cuts=st.lists(st.integers(0, 14), max_size=4),
    again=st.booleans(),
    snapshots=st.booleans(),
)
def test_any_cut_gives_the_same_alerts(
    asked: Asked, hits: list[Hit], cuts: list[int], again: bool, snapshots: bool
) -> None:
    rows = [("x", n, hit) for n, hit in enumerate(hits)]
    borders = sorted(min(cut, len(rows)) for cut in cuts)
    pieces = [rows[a:b] for a, b in zip([0, *borders], [*borders, len(rows)], strict=True)]
    if again:
        pieces.append(rows[: len(rows) // 2])  # a hit that comes twice is one hit
    wanted = {("x", bucket): count for bucket, count in alerts(asked, hits).items()}
    assert told(asked, pieces, snapshots=snapshots) == wanted
