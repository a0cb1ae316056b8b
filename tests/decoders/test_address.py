"""Addresses, stations and flow ids as text: compiled, in numpy, and as the standard library has them."""

from __future__ import annotations

import ipaddress

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_series_equal

from cityguard import fast
from cityguard.decoders import address

half = st.one_of(
    st.sampled_from([0, 1, 0xFFFF, 1 << 16, 1 << 32, 0xFFFF_0000_0000, 0x0001_0000_0000_0000, 2**64 - 1]),
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**32 - 1).map(lambda low: 0xFFFF_0000_0000 | low),
)


@pytest.mark.parametrize("compiled", [False, True])
@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(half, half), min_size=1, max_size=20))
def test_addresses_are_written_as_the_standard_library_writes_them(
    compiled: bool, pairs: list[tuple[int, int]]
) -> None:
    high, low = (np.array(column, np.uint64) for column in zip(*pairs, strict=True))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fast, "ON", compiled)
        found = address.text(high, low).to_list()
    wanted = [ipaddress.IPv6Address(one << 64 | other) for one, other in pairs]
    assert found == [str(one.ipv4_mapped or one.compressed) for one in wanted]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            half, half, half, half, st.integers(0, 255), st.booleans(), st.integers(0, 65_536), st.integers(0, 65_536)
        ),
        min_size=1,
        max_size=20,
    ),
    st.lists(st.integers(-1, 2**48 - 1), min_size=1, max_size=20),
)
def test_ids_and_stations_are_the_same_both_ways(rows: list[tuple[int, ...]], macs: list[int]) -> None:
    columns = list(zip(*rows, strict=True))
    names = ("a_high", "a_low", "b_high", "b_low")
    keys = pl.DataFrame({name: np.array(values, np.uint64) for name, values in zip(names, columns, strict=False)})
    proto, v6 = np.array(columns[4], np.int64), np.array(columns[5], np.bool_)
    ports = np.array(columns[6], np.int64) << 32 | np.array(columns[7], np.int64)
    found = []
    with pytest.MonkeyPatch.context() as patch:
        for compiled in (False, True):
            patch.setattr(fast, "ON", compiled)
            found.append((address.community_id(keys, proto, v6, ports), address.mac(np.array(macs, np.int64))))
    assert_series_equal(found[0][0], found[1][0])
    assert_series_equal(found[0][1], found[1][1])
