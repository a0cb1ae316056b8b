"""Tables written in few steps are read by others as they were."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from cityguard.store import quick


def written(table: pl.DataFrame) -> io.BytesIO:
    file = io.BytesIO()
    quick.write(table, file)
    file.seek(0)
    return file


def same(table: pl.DataFrame) -> None:
    assert quick.fits(table)
    file = written(table)
    assert_frame_equal(pl.read_parquet(file), table)
    file.seek(0)
    assert_frame_equal(pl.DataFrame(pl.from_arrow(pq.read_table(file))), table)


WORDS = st.sampled_from(["", "tcp", "udp", "lack_of_resources", "区", "2001:db8::1234:5678", "x" * 300])
TYPES: list[tuple[Any, Any]] = [
    (pl.String, WORDS | st.text(max_size=20)),
    (pl.String, WORDS),
    (pl.Int32, st.integers(-(2**31), 2**31 - 1)),
    (pl.Int64, st.integers(-(2**63), 2**63 - 1)),
    (pl.Int64, st.integers(0, 3)),
    (pl.Datetime("us", "UTC"), st.datetimes(datetime(1970, 1, 2), datetime(2200, 1, 1), timezones=st.just(UTC))),
    (pl.List(pl.String), st.lists(WORDS | st.none(), max_size=3)),
]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_every_type_is_read_as_it_was_by_polars_and_arrow(data: st.DataObject) -> None:
    rows = data.draw(st.integers(1, 300))
    columns = []
    for nth, (kind, some) in enumerate(data.draw(st.lists(st.sampled_from(TYPES), min_size=1, max_size=4))):
        few = data.draw(st.lists(some | st.none(), min_size=1, max_size=40))
        columns.append(pl.Series(f"列.{nth}", [few[at * 7 % len(few)] for at in range(rows)], kind))
    table = pl.DataFrame(columns)
    same(table)
    if rows > 3:
        same(table.slice(2))


def big(rows: int) -> pl.DataFrame:
    start = datetime(2026, 11, 21, tzinfo=UTC)
    return pl.DataFrame(
        {
            "time": [start + timedelta(milliseconds=at * 7) for at in range(rows)],
            "ip": [f"10.{at >> 16 & 255}.{at >> 8 & 255}.{at & 255}" for at in range(rows)],
            "few": [at * at % 311 for at in range(rows)],
            "many": [at // 20 for at in range(rows)],
            "same": ["eth0"] * rows,
            "words": [("tcp", "udp", "lack_of_resources")[at % 3] for at in range(rows)],
            "part": [None if at % 5 else at for at in range(rows)],
            "none": pl.Series([None] * rows, dtype=pl.String),
        }
    )


@pytest.mark.parametrize("rows", [1, 2, 128, 129, 130, 161, 4_095, 20_000])
def test_dictionaries_runs_and_blocks_of_any_length_are_read_as_they_were(rows: int) -> None:
    same(big(rows))


def test_large_tables_have_several_row_groups_and_their_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quick, "ROW_GROUP", 6_000)
    table = big(20_000)
    same(table)
    told = pq.ParquetFile(written(table)).metadata
    assert told.num_row_groups == 4
    bounds = told.row_group(1).column(0).statistics
    assert (bounds.min, bounds.max) == (table["time"][6_000], table["time"][11_999])
    assert told.row_group(0).column(6).statistics.null_count == 4_800


def test_duckdb_reads_it(tmp_path: Any) -> None:
    table = big(5_000)
    path = tmp_path / "a.parquet"
    path.write_bytes(written(table).getvalue())
    found = duckdb.sql(
        f"select count(*), max(ip), sum(few), count(part), count(distinct words), epoch_us(min(time)) from '{path}'"
    ).fetchall()
    assert found[0] == (5_000, table["ip"].max(), table["few"].sum(), 1_000, 3, 1_795_219_200_000_000)


def test_other_types_do_not_fit() -> None:
    assert not quick.fits(pl.DataFrame({"x": [1.5]}))
    assert not quick.fits(pl.DataFrame({"x": []}, schema={"x": pl.Int64}))


def test_much_repetition_takes_little_room() -> None:
    table = pl.DataFrame({"a": ["10.0.0.1"] * 50_000, "b": [7] * 50_000, "c": [at % 9 for at in range(50_000)]})
    assert len(written(table).getvalue()) < 52_000
