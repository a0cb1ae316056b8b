"""Windows are exact, the same in any order, and right in the city's time zone."""

from __future__ import annotations

from datetime import timedelta
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.detectors.flows import START, scan, usual

from cityguard.detectors import features

ZONE = ZoneInfo("Asia/Shanghai")


def test_every_feature_of_one_window_is_counted_by_hand() -> None:
    rows = pl.concat([scan("10.1.0.5", START, targets=60), usual(1 / 288, hosts=1)])
    found = features.windows(features.reduce(rows), ZONE)
    one = found.filter(pl.col("source") == "10.1.0.5").row(0, named=True)
    assert one["segment"] == "office"
    assert one["window"] == int(START.timestamp())
    assert one["flows"] == 60
    assert one["destinations"] == one["new_destinations"] == 60
    assert one["ports"] == 50
    assert one["protocols"] == 1
    assert one["bytes_out"] == 3600
    assert one["bytes_in"] == 0
    assert one["out_share"] == 1
    assert one["packets"] == 540
    assert one["duration"] == 2
    assert one["failed"] == 1
    assert one["night"] == 0  # 00:00 UTC is 08:00 in the city
    assert one["department"] == "bureau"
    assert features.windows(features.reduce(rows), ZoneInfo("UTC"))["night"].to_list() == [1.0, 1.0]


def test_what_a_table_does_not_have_counts_as_unknown() -> None:
    bare = usual(0.1).select("@timestamp", "source.ip")
    rows = features.reduce(bare)
    assert rows["segment"].unique().to_list() == [features.UNKNOWN]
    assert rows["flows"].sum() == bare.height
    found = features.windows(rows, ZONE)
    assert found["new_destinations"].sum() == 0
    assert not found.select(features.NAMES).null_count().sum_horizontal().item()
    assert features.reduce(bare.drop("source.ip")).is_empty()


def test_a_netflow_row_with_tcp_flags_only_still_counts_as_failed() -> None:
    rows = usual(1 / 288, hosts=1).drop("flow.state").with_columns(pl.lit(2, pl.Int32).alias("tcp.flags"))
    assert features.windows(features.reduce(rows), ZONE)["failed"].to_list() == [1.0]


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 400), max_size=6), st.integers(0, 1000))
def test_windows_do_not_depend_on_how_rows_were_cut_or_ordered(cuts: list[int], seed: int) -> None:
    rows = usual(0.1, hosts=5)
    whole = features.windows(features.add([features.reduce(rows)]), ZONE)
    mixed = rows.sample(fraction=1, shuffle=True, seed=seed)
    parts, start = [], 0
    for cut in [*cuts, rows.height]:
        parts.append(features.reduce(mixed[start : start + cut]))
        start += cut
    parts.append(features.reduce(mixed[start:]))
    again = features.windows(features.add(parts[::-1]), ZONE)
    assert whole.select(pl.exclude("duration")).equals(again.select(pl.exclude("duration")))
    assert np.allclose(whole["duration"], again["duration"])


def test_known_destinations_are_not_new() -> None:
    rows = features.reduce(scan("10.1.0.5", START, targets=40))
    known = pl.Series("destination", [f"10.8.0.{i + 1}" for i in range(30)])
    assert features.windows(rows, ZONE, known)["new_destinations"].to_list() == [10.0]


def test_a_destination_is_new_only_in_the_window_that_saw_it_first() -> None:
    rows = pl.concat([scan("10.1.0.5", START), scan("10.1.0.5", START + timedelta(minutes=5))])
    assert features.windows(features.reduce(rows), ZONE)["new_destinations"].to_list() == [200.0, 0.0]


def test_the_forest_sees_logs_and_no_infinities() -> None:
    values = np.full((1, len(features.NAMES)), np.inf)
    assert (features.transform(values) == 0).all()
    assert features.transform(np.full((1, len(features.NAMES)), np.e - 1))[0, 0] == 1


def test_every_feature_has_both_names_and_a_way_to_be_shown() -> None:
    for feature in features.FEATURES:
        assert feature.zh
        assert feature.en
        assert features.show(feature, 1234567.0)
