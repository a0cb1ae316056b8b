"""Event tables as they are stored: nothing of a native column is lost or changes on the way."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from cityguard.model import EventBatch
from cityguard.store import pack

_NAMES = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1, max_size=6)
_TEXTS = st.none() | st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
_VALUES = st.one_of(
    st.lists(_TEXTS, min_size=4, max_size=4),
    st.lists(st.none() | st.integers(-(2**63), 2**63 - 1), min_size=4, max_size=4),
    st.lists(st.none() | st.booleans(), min_size=4, max_size=4),
    st.lists(st.none() | st.lists(st.text('ab"\\中', max_size=3), max_size=3), min_size=4, max_size=4),
)
_OLD = st.lists(
    st.none() | st.dictionaries(_NAMES, st.integers(0, 9) | st.text('x"}{,', max_size=4), max_size=3),
    min_size=4,
    max_size=4,
)


def packed(columns: dict[str, Any], old: list[Any] | None = None) -> list[Any]:
    table = pl.DataFrame(
        {"event.id": [f"{n:032x}" for n in range(4)], "@timestamp": [datetime(2026, 1, 1, tzinfo=UTC)] * 4}
    )
    native = [pl.Series(f"x.{name}", values) for name, values in columns.items()]
    if old is not None:
        native.append(pl.Series("event.fields", [None if o is None else json.dumps(o) for o in old], dtype=pl.String))
    done = pack.pack(EventBatch("flow", "c", table.with_columns(native)))
    if "event.fields" not in done.columns:
        return [None] * 4
    return [None if text is None else json.loads(text) for text in done["event.fields"]]


@given(st.dictionaries(_NAMES, _VALUES, max_size=4), _OLD)
@settings(max_examples=150, deadline=None)
def test_native_columns_join_what_was_there(native: dict[str, list[Any]], old: list[Any]) -> None:
    for row, found in enumerate(packed(native, old)):
        own = {f"x.{name}": values[row] for name, values in native.items() if values[row] is not None}
        expected = {**(old[row] or {}), **own}
        assert (found or {}) == expected


def test_a_native_value_wins_over_one_of_the_same_name() -> None:
    found = packed({"n": [1, None, 3, 4]}, [{"x.n": 9, "k": 1}, {"x.n": 9}, None, {"m": '"x.n"'}])
    assert found == [{"x.n": 1, "k": 1}, {"x.n": 9}, {"x.n": 3}, {"m": '"x.n"', "x.n": 4}]


def test_every_kind_of_value_becomes_json() -> None:
    moment = datetime(2026, 1, 1, 1, 2, 3, 4, tzinfo=UTC)
    found = packed(
        {
            "time": [moment] * 4,
            "date": [date(2026, 1, 1)] * 4,
            "span": [timedelta(seconds=1)] * 4,
            "bytes": [b"\x00\xff", None, b"", b"a"],
            "float": [1.5, float("nan"), float("inf"), None],
            "null": [None] * 4,
        }
    )
    assert found[0]["x.time"] == "2026-01-01T01:02:03.000004"
    assert found[0]["x.date"] == "2026-01-01"
    assert found[0]["x.span"] == 1_000_000
    assert [row.get("x.bytes") for row in found] == ["00ff", None, "", "61"]
    assert [row.get("x.float") for row in found] == [1.5, None, None, None]
    assert all("x.null" not in row for row in found)
