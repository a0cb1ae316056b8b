"""Correlations on an input without an end: windows close by the watermark, late hits are counted, state is bounded."""

from __future__ import annotations

import time
from collections import Counter
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from cityguard import ids
from cityguard.model import EventBatch
from cityguard.sigma.correlate.names import MAX_TEXT, Names
from cityguard.sigma.correlate.slab import Slab
from cityguard.sigma.correlate.telling import _alike
from cityguard.sigma.correlation import Correlator, Firing
from cityguard.sigma.rule import load_bytes

ID = "6f1c1b8e-3a53-4c33-9d6b-2f0f5c1e8a0"
START = datetime(2026, 3, 11, tzinfo=UTC)
BASE = "".join(
    f"title: {name}\nid: {ID}{n}\nname: {name}\nlogsource: {{category: test}}\n"
    f"detection: {{s: {{kind: {name}}}, condition: s}}\n---\n"
    for n, name in enumerate("ab")
)
FEW = "{type: event_count, rules: [a], group-by: [g], timespan: 60s, condition: {lt: 3}}"
LONELY = "{type: temporal, rules: [a, b], group-by: [g], timespan: 60s, condition: a and not b}"


def correlator(*correlations: str, lateness_s: int = 30, max_hits: int = 200_000) -> Correlator:
    told = [f"title: c{n}\nid: {ID}{n}\nname: c{n}\ncorrelation: {one}\n" for n, one in enumerate(correlations, 2)]
    made = load_bytes((BASE + "---\n".join(told)).encode())
    assert not made.faults, [str(fault) for fault in made.faults]
    return Correlator(made.correlations, lateness_s=lateness_s, max_hits=max_hits)


def feed(one: Correlator, hits: list[tuple[str, float, str, float]]) -> list[Firing]:
    """Hits as (rule, second, group, seconds until it was received)."""
    tables = {}
    for n, name in enumerate("ab"):
        mine = [hit for hit in hits if hit[0] == name]
        moments = [START + timedelta(seconds=second) for _, second, _, _ in mine]
        tables[f"{ID}{n}"] = pl.DataFrame(
            {
                "@timestamp": moments,
                "event.ingested": [time + timedelta(seconds=hit[3]) for time, hit in zip(moments, mine, strict=True)],
                "event.id": [f"{round(second * 1000):030x}{n:02x}" for _, second, _, _ in mine],
                "g": [group for _, _, group, _ in mine],
            },
            schema_overrides={
                "@timestamp": pl.Datetime("us", "UTC"),
                "event.ingested": pl.Datetime("us", "UTC"),
                "event.id": pl.String,
                "g": pl.String,
            },
        )
    batch = EventBatch("test", "test", pl.concat(tables.values()))
    one.observe(batch)
    return one.feed({rule: table for rule, table in tables.items() if table.height}, batch)


def settle(one: Correlator, second: float) -> list[Firing]:
    return one.settle(int((START + timedelta(seconds=second)).timestamp() * 1e6))


def test_fewer_than_is_told_when_the_window_has_closed_and_lateness_has_passed() -> None:
    one = correlator(FEW)
    assert not feed(one, [("a", 10, "x", 1), ("a", 20, "x", 1), ("a", 10, "y", 1)])
    assert not settle(one, 89)
    assert not feed(one, [("a", 65, "x", 25)])  # the third of x, just in time
    assert not settle(one, 10 + 60 + 29)
    assert [(told.group, told.total) for told in settle(one, 10 + 60 + 30)] == [(("y",), 1)]
    assert not settle(one, 500)  # once only
    assert one.hits == 0


def test_what_is_received_too_late_is_counted_and_decides_nothing() -> None:
    one = correlator(FEW, LONELY)
    feed(one, [("a", 10, "x", 1)])
    feed(one, [("a", 30, "x", 31), ("b", 40, "x", 31)])
    told = settle(one, 200)
    assert [(firing.correlation.title.en, firing.total) for firing in told] == [("c2", 1), ("c3", 1)]
    assert one.late.total() == 3  # one of them for both
    assert one.counters()["correlations.late"] == 3


def test_a_straggler_opens_no_window_of_its_own() -> None:
    one = correlator(FEW)
    feed(one, [("a", 10 + n, "x", 1) for n in range(5)])
    assert not settle(one, 200)
    feed(one, [("a", 12.5, "x", 1)])  # in time by its stamps, but its window was decided
    assert not settle(one, 400)
    assert one.late.total() == 1


def test_a_window_says_not_only_when_what_would_contradict_it_cannot_come_any_more() -> None:
    one = correlator(LONELY)
    feed(one, [("a", 0, "x", 0), ("a", 0.5, "y", 0)])
    assert not settle(one, 80)
    feed(one, [("b", 59, "x", 22)])
    assert [told.group for told in settle(one, 91)] == [("y",)]


def test_what_windows_of_others_decide_is_told_afresh_and_only_at_settling() -> None:
    one = correlator(
        LONELY, "{type: event_count, rules: [c2, b], group-by: [g], timespan: 10m, condition: {gte: 2}}", lateness_s=30
    )
    assert not feed(one, [("a", 0, "x", 0)])
    first = settle(one, 91)
    assert [told.correlation.title.en for told in first] == ["c2"]
    assert not feed(one, [("b", 100, "x", 0)])  # it would complete c3, but windows of c2 may still change that
    (told,) = settle(one, 130)
    assert (told.correlation.title.en, told.count, told.total) == ("c3", 2, 2)
    feed(one, [("b", 120, "x", 0)])
    (again,) = settle(one, 160)
    assert (again.alert_id, again.count) == (told.alert_id, 3)


def test_settling_at_any_moments_tells_what_the_end_would() -> None:
    chance = np.random.default_rng(5)
    hits = [
        (str(chance.choice(["a", "a", "b"])), float(second), f"g{chance.integers(0, 6)}", float(chance.integers(0, 30)))
        for second in np.sort(chance.uniform(0, 1500, 300)).round(3)
    ]
    arrived = sorted(hits, key=lambda hit: hit[1] + hit[3])
    whole = correlator(FEW, LONELY)
    feed(whole, arrived)
    expected = {told.alert_id: told.total for told in whole.finish()}
    one, found = correlator(FEW, LONELY), {}
    for begin in range(0, len(arrived), 17):
        piece = arrived[begin : begin + 17]
        feed(one, piece)
        if chance.random() < 0.6:
            found |= {told.alert_id: told.total for told in settle(one, piece[-1][1] + piece[-1][3])}
        if chance.random() < 0.3:
            state, one = one.snapshot(), correlator(FEW, LONELY)
            one.restore(state)
    found |= {told.alert_id: told.total for told in settle(one, 5000)}
    assert found == expected
    assert len(found) > 20


def test_memory_stays_flat_however_many_groups_there_are_and_what_leaves_is_counted() -> None:
    one = correlator(
        "{type: event_count, rules: [a], group-by: [g], timespan: 1d, condition: {gte: 5}}", max_hits=8_000
    )
    size, most = 4_000, 0
    for piece in range(50):
        number = np.arange(piece * size, (piece + 1) * size)
        times = pl.Series(int(START.timestamp() * 1e6) + number * 1000).cast(pl.Datetime("us", "UTC"))
        table = pl.DataFrame(
            {
                "@timestamp": times,
                "event.id": ids.event_ids(ids.source_key("x"), number, number, np.zeros_like(number)),
                "g": pl.Series(number).cast(pl.String),
            }
        )
        one.feed({f"{ID}0": table}, EventBatch("test", "test", table))
        if piece == 5:
            most = one.nbytes
    assert one.nbytes <= most * 1.1
    assert one.hits <= 8_000
    assert one.evicted.total() == 50 * size - one.hits
    assert one.held[f"{ID}2"].groups.size <= 4 * 8_000  # names of groups that are gone go too


def test_long_texts_stay_apart_and_small() -> None:
    names = Names()
    texts = pl.Series(["x" * 5000 + "1", "x" * 5000 + "2", None, "short", "x" * 5000 + "1"])
    codes = names.codes(texts)
    assert codes.tolist() == [0, 1, -1, 2, 0]
    assert all(text is None or len(text) < MAX_TEXT for text in names.texts(codes))
    fresh, place = names.renewed(np.array([1, 2]))
    assert fresh.texts(place[codes]).to_list()[3] == "short"
    assert place[codes].tolist() == [-1, 0, -1, 1, -1]


def test_a_slab_keeps_every_group_in_order_and_each_hit_once() -> None:
    chance = np.random.default_rng(3)
    slab = Slab({"t": np.int64, "rule": np.int16, "high": np.uint64, "low": np.uint64})
    every: set[tuple[int, ...]] = set()
    for _ in range(60):
        rows = chance.integers([0, 0, 0, 0, 1], [7, 40, 2, 1, 31], (50, 5))
        columns = dict(zip(("t", "rule", "high", "low"), rows[:, 1:].T, strict=True))
        before = len(every)
        every |= {tuple(row) for row in rows.tolist()}
        touched = slab.add(rows[:, 0], {name: column.astype(slab[name].dtype) for name, column in columns.items()})
        assert (slab.rows, bool(len(touched.groups))) == (len(every), len(every) > before)
        if chance.random() < 0.2:
            late = slab.t[slab.places()] >= chance.integers(0, 20)
            every = {row for row, kept in zip(_rows(slab), late.tolist(), strict=True) if kept}
            slab.keep(late)
        found = _rows(slab)
        assert [row[:2] for row in found] == sorted(row[:2] for row in every)
        assert set(found) == every


def _rows(slab: Slab) -> list[tuple[int, ...]]:
    place = slab.places()
    columns = [slab.owners(), *(slab[name][place] for name in ("t", "rule", "high", "low"))]
    return [tuple(row) for row in np.column_stack([column.astype(np.int64) for column in columns]).tolist()]


def test_hits_stamped_ahead_of_their_receipt_do_not_blind_windows_that_close_later() -> None:
    one = correlator(FEW, max_hits=100)
    feed(one, [("a", 80_000 + n, f"f{n}", 5 - 80_000 - n) for n in range(150)])
    settle(one, 500)
    assert one.evicted.total() > 0
    feed(one, [("a", 1000, "x", 1)])
    assert [(told.group, told.total, told.first_us // 1_000_000) for told in settle(one, 2000)] == [
        (("x",), 1, int(START.timestamp()) + 1000)
    ]
    assert not one.late


def test_a_hit_happened_no_later_than_it_was_received_however_batches_are_cut_and_states_kept() -> None:
    hits = [("a", 50 + 7 * n % 90, "xy"[n % 2], -(13 * n % 50)) for n in range(40)]
    many = "{type: event_count, rules: [a], group-by: [g], timespan: 20s, condition: {gte: 4}}"
    found = []
    for size in (40, 7, 1):
        one = correlator(FEW, many)
        told: list[Firing] = []
        for at in range(0, len(hits), size):
            told += feed(one, hits[at : at + size])
            state = one.snapshot()
            one = Correlator(one.correlations, lateness_s=30)
            one.restore(state)
        told += one.finish()
        counts: Counter[str] = Counter()
        for firing in told:
            counts[firing.alert_id] += firing.count
        found.append(counts)
    received = {second + wait for _, second, _, wait in hits}
    assert {firing.last_us // 1_000_000 - int(START.timestamp()) for firing in told} <= received
    assert found[0]
    assert found[0] == found[1] == found[2]


def test_many_hits_of_one_instant_are_counted_at_once() -> None:
    one = correlator("{type: event_count, rules: [a], group-by: [g], timespan: 60s, condition: {gte: 1}}")
    feed(one, [("a", 10, "x", 1)])
    held = next(iter(one.held.values()))
    n = 3_000_000
    held.slab.columns["t"] = np.concatenate((np.zeros(5, dtype=np.int64), np.full(n, 7)))
    right, start = np.array([5, n + 5, n]), np.zeros(3, dtype=np.int64)
    before = time.process_time()
    assert _alike(held, right, start).tolist() == [5, n, n - 5]
    assert time.process_time() - before < 1
