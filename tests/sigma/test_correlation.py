"""Correlations against a brute-force reading of the specification, in any order of arrival."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from cityguard.errors import InputError
from cityguard.model import EventBatch
from cityguard.sigma.correlation import Correlator, Firing
from cityguard.sigma.rule import Ruleset, load_bytes
from cityguard.sigma.windows import behind, bounds, distinct, keys

BASE = """title: {name}
id: 6f1c1b8e-3a53-4c33-9d6b-2f0f5c1e8a0{n}
name: {name}
logsource: {{category: test}}
detection:
  s: {{kind: {name}}}
  condition: s
---
"""
ID = "6f1c1b8e-3a53-4c33-9d6b-2f0f5c1e8a0"
RULES = ("a", "b", "c")
START = datetime(2026, 3, 11, tzinfo=UTC)
SPAN = 30

Event = tuple[int, str, str | None, int]  # second, rule, group, value


def ruleset(kind: str, rules: tuple[str, ...], condition: str = "", more: str = "") -> Ruleset:
    text = "".join(BASE.format(name=name, n=n) for n, name in enumerate(RULES))
    text += f"title: corr\nid: {ID}9\nname: corr\ncorrelation:\n  type: {kind}\n  rules: [{', '.join(rules)}]\n"
    text += f"  group-by: [g]\n  timespan: {SPAN}s\n" + (f"  condition: {condition}\n" if condition else "") + more
    made = load_bytes(text.encode())
    assert not made.faults, [str(fault) for fault in made.faults]
    return made


def feed(correlator: Correlator, events: list[tuple[int, Event]], part: str = "p") -> list[Firing]:
    """Events with their places (which are their ids) as one batch."""
    hits = {}
    for n, name in enumerate(RULES):
        mine = [(place, event) for place, event in events if event[1] == name]
        hits[f"{ID}{n}"] = pl.DataFrame(
            {
                "@timestamp": [START + timedelta(seconds=event[0]) for _, event in mine],
                "event.id": [f"{place:032x}" for place, _ in mine],
                "g": [event[2] for _, event in mine],
                "v": [event[3] for _, event in mine],
                "source.ip": [event[2] for _, event in mine],
            },
            schema={
                "@timestamp": pl.Datetime("us", "UTC"),
                "event.id": pl.String,
                "g": pl.String,
                "v": pl.Int64,
                "source.ip": pl.String,
            },
        )
    return correlator.feed(hits, EventBatch("test", "test", pl.DataFrame(), part=part))


def test_the_window_includes_both_its_ends() -> None:
    made = ruleset("event_count", ("a",), "{gte: 2}")
    assert feed(Correlator(made.correlations), [(0, (0, "a", "x", 0)), (1, (SPAN, "a", "x", 0))])
    assert not feed(Correlator(made.correlations), [(0, (0, "a", "x", 0)), (1, (SPAN + 1, "a", "x", 0))])


def test_a_firing_tells_whom_it_is_about() -> None:
    made = ruleset("event_count", ("a",), "{gte: 2}")
    one = feed(Correlator(made.correlations), [(n, (n, "a", "10.0.0.1", 0)) for n in range(3)])[0]
    assert one.about["source.ip"] == "10.0.0.1"
    assert one.event_ids == tuple(f"{n:032x}" for n in range(3))
    assert (one.count, one.total, one.measured) == (3, 3, 3.0)


def test_aliases_join_fields_of_different_names() -> None:
    more = "  aliases:\n    g: {a: g, b: source.ip}\n"
    made = ruleset("temporal", ("a", "b"), more=more)
    assert made.correlations[0].group_fields(f"{ID}1") == ("source.ip",)
    assert feed(Correlator(made.correlations), [(0, (0, "a", "x", 0)), (1, (5, "b", "x", 0))])


def test_a_correlation_of_correlations_fires_in_any_order() -> None:
    text = "".join(BASE.format(name=name, n=n) for n, name in enumerate(RULES))
    text += f"title: inner\nid: {ID}8\nname: inner\ncorrelation:\n  type: event_count\n  rules: [a]\n  group-by: [g]\n"
    text += "  timespan: 30s\n  condition: {gte: 3}\n---\n"
    text += f"title: outer\nid: {ID}9\nname: outer\ncorrelation:\n  type: temporal_ordered\n  rules: [inner, b]\n"
    text += "  group-by: [g]\n  timespan: 60s\n"
    made = load_bytes(text.encode())
    assert not made.faults
    events: list[tuple[int, Event]] = [(n, (n, "a", "x", 0)) for n in range(4)] + [(9, (40, "b", "x", 0))]
    for order in (events, events[::-1]):
        correlator = Correlator(made.correlations)
        fired = [one for event in order for one in feed(correlator, [event])]
        assert {one.correlation.title.en for one in fired} == {"inner", "outer"}
    other = [*events[:4], (9, (40, "b", "y", 0))]
    assert {one.correlation.title.en for one in feed(Correlator(made.correlations), other)} == {"inner"}


def test_state_is_capped_and_what_leaves_is_counted() -> None:
    made = ruleset("event_count", ("a",), "{gte: 1000}")
    correlator = Correlator(made.correlations, max_hits=50)
    feed(correlator, [(n, (n, "a", "x", 0)) for n in range(120)])
    held = correlator.held[f"{ID}9"]
    assert correlator.evicted[f"{ID}9"] == 120 - held.slab.rows
    assert 40 <= held.slab.rows <= 50
    kept = held.slab.t[held.slab.places()]
    assert kept.tolist() == [int((START + timedelta(seconds=n)).timestamp() * 1e6) for n in range(120)][-len(kept) :]


def test_a_snapshot_goes_on_where_it_stopped() -> None:
    made = ruleset("event_count", ("a",), "{gte: 3}")
    first = Correlator(made.correlations)
    assert not feed(first, [(0, (0, "a", "x", 0)), (1, (1, "a", "x", 0))])
    second = Correlator(made.correlations)
    second.restore(first.snapshot())
    assert [one.total for one in feed(second, [(2, (2, "a", "x", 0))])] == [3]


@given(st.integers(0, 4000), st.integers(0, 255), st.booleans())
def test_a_broken_snapshot_is_refused_or_sound_and_changes_nothing_else(at: int, byte: int, cut: bool) -> None:
    made = ruleset("value_count", ("a",), "{field: v, gte: 3}")
    first, second = Correlator(made.correlations), Correlator(made.correlations)
    feed(first, [(n, (n, "a", "x", n)) for n in range(6)])
    state = first.snapshot()
    at %= len(state)
    broken = state[:at] if cut else state[:at] + bytes([byte]) + state[at + 1 :]
    try:
        second.restore(broken)
    except InputError as error:
        assert "snapshot" in str(error) or "version" in str(error)
        assert second.hits == 0
    feed(second, [(n, (n, "a", "x", n)) for n in range(6, 9)])  # whatever was let in can be worked with


def test_hits_without_a_time_are_counted() -> None:
    correlator = Correlator(ruleset("event_count", ("a",), "{gte: 1}").correlations)
    batch = EventBatch("test", "test", pl.DataFrame())
    assert not correlator.feed({f"{ID}0": pl.DataFrame({"g": ["x", "y"]})}, batch)
    assert correlator.untimed == 2


def test_a_value_cannot_pose_as_another_group() -> None:
    made = ruleset("event_count", ("a",), "{gte: 2}")
    fired = feed(Correlator(made.correlations), [(0, (0, "a", "\x00", 0)), (1, (1, "a", None, 0))])
    assert not fired


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(-(10**15), 10**15)), min_size=1, max_size=30))
def test_windows_hold_at_any_distance(rows: list[tuple[int, int]]) -> None:
    rows = sorted(rows)
    group = np.array([row[0] for row in rows], dtype=np.int64)
    when = np.array([row[1] for row in rows], dtype=np.int64)
    for span in (0, 5, 10**13):
        left, right = bounds(keys(group, when, span), span)
        for i, (g, t) in enumerate(rows):
            inside = [j for j, (other, u) in enumerate(rows) if other == g and t - span <= u <= t]
            assert inside == list(range(left[i], right[i]))
        value = when % 3
        counts = distinct(value, group, left, right)
        assert counts.tolist() == [len(set(value[a:b].tolist())) for a, b in zip(left, right, strict=True)]
        assert behind(left, right).tolist() == sorted(
            {j for a, b in zip(left, right, strict=True) for j in range(a, b)}
        )
