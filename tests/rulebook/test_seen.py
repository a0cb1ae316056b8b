"""What sources send is counted per department and segment, column by column, whatever their columns are called."""

from __future__ import annotations

from datetime import UTC, date, datetime

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.store import make

from cityguard.model import EventBatch, LogSource
from cityguard.rulebook import seen
from cityguard.rulebook.seen import Tally, sighted
from cityguard.store import sightings

NOW = make.NOW


def test_rows_are_counted_per_owner_and_columns_where_they_hold_a_value() -> None:
    batch = make.flows(rows=4, destination__department=["water", "water", None, None])
    batch = EventBatch(
        "flow",
        "netflow",
        batch.table.with_columns(
            pl.Series("source.department", ["data", None, "data", None]),
            pl.Series("source.segment", [None, "s1", "s1", None]),
            pl.Series("tcp.flags", [2, None, 2, 2]),
            pl.lit(None, pl.String).alias("network.protocol"),
        ),
        segment="default",
    )
    found = {(one.department, one.segment): one for one in sighted(batch, (), NOW)}
    assert {key: one.rows for key, one in found.items()} == {
        ("water", "default"): 1,
        ("water", "s1"): 1,
        ("data", "s1"): 1,
        (None, "default"): 1,
    }
    assert sum(one.columns.get("tcp.flags", (0,))[0] for one in found.values()) == 3
    assert all("network.protocol" not in one.columns for one in found.values())
    assert found["water", "default"].logsource == "network,firewall||connection"
    assert found["water", "default"].last_seen == NOW


def test_the_day_is_the_day_of_receipt() -> None:
    late = datetime(2026, 11, 20, 23, 59, 59, tzinfo=UTC)
    batch = make.flows(rows=2)
    table = batch.table.with_columns(pl.Series("event.ingested", [late, NOW], dtype=pl.Datetime("us", "UTC")))
    found = list(sighted(EventBatch("flow", "netflow", table), (), NOW))
    assert [(one.day, one.rows, one.last_seen) for one in found] == [
        (date(2026, 11, 20), 1, late),
        (NOW.date(), 1, NOW),
    ]


def test_names_inside_event_fields_are_told_as_rules_may_write_them() -> None:
    text = '{"a": {"b": 1, "c": null, "d": []}, "e.f": "x", "g": [{"h": 1}]}'
    (found,) = sighted(make.flows(rows=3, event__fields=[text, "no json", None]), (), NOW)
    assert {name for name in found.columns if found.columns[name][0] == 1} >= {"a", "a.b", "e.f", "g"}
    assert not {"a.c", "a.d", "g.h"} & set(found.columns)


def test_names_that_rules_want_are_kept_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seen, "MAX_KEYS", 5)
    rows = [f'{{"x{n}": 1, "y{n}": 1}}' for n in range(50)]
    (found,) = sighted(make.flows(rows=50, event__fields=rows), ("y49",), NOW)
    inner = {name for name in found.columns if name[0] in "xy" and name[1:].isdigit()}
    assert "y49" in inner
    assert len(inner) == 5


def test_columns_beyond_the_bound_are_left_out_ours_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sightings, "MAX_NAMES", 9)
    batch = make.flows(rows=2, **{f"native{n}": "v" for n in range(20)})
    (found,) = sighted(batch, ("native7",), NOW)
    assert len(found.columns) == 9
    assert {"source.ip", "native7"} <= set(found.columns)


def test_industrial_protocols_of_one_batch_are_told_apart() -> None:
    table = make.flows(rows=3).table.with_columns(pl.Series("ot.protocol", ["modbus", "modbus", "s7comm"]))
    found = {one.logsource: one.rows for one in sighted(EventBatch("ot", "capture", table), (), NOW)}
    assert found == {"ot_command|modbus|": 2, "ot_command|s7comm|": 1}


@given(st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=5, unique=True), st.text(max_size=60))
def test_no_name_and_no_text_of_a_source_breaks_the_count(names: list[str], text: str) -> None:
    table = make.flows(rows=2).table
    extra = [pl.Series(name, ["x", None]) for name in names if name not in table.columns]
    table = table.with_columns(pl.Series("event.fields", [text, None]), *extra)
    (found,) = sighted(EventBatch("flow", "netflow", table, logsource=LogSource(("a|b,c",), (), ())), (), NOW)
    assert found.rows == 2
    assert all(found.columns[one.name][0] == 1 for one in extra)
    assert LogSource.parse(found.logsource) == LogSource(("a b c",), (), ())


def test_a_tally_adds_up_until_it_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    tally = Tally()
    for part in ("p1", "p2"):
        tally.look(make.flows(part, rows=3))
    (found,) = tally.take()
    assert (found.rows, found.columns["source.ip"][0]) == (6, 6)
    assert tally.take() == []
    tally.look(make.flows(rows=1))
    assert tally.take(due=False) == []
    monkeypatch.setattr(seen, "EVERY_S", 0.0)
    assert len(tally.take(due=False)) == 1
    monkeypatch.setattr(seen, "MAX_HELD", 2)
    tally.look(make.flows(rows=5, destination__department=["a", "b", "c", "d", "e"]))
    held = tally.take()
    assert {one.department for one in held} == {"a", "b", None}
    assert sum(one.rows for one in held) == 5
