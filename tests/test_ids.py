"""Ids come from places, sort by time, and never meet."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cityguard import ids

KEY = ids.source_key("a" * 64, "flow")


def mint(number: list[int], nth: list[int], ms: int = 1_773_239_400_000, key: bytes = KEY) -> list[str]:
    return ids.event_ids(key, np.full(len(number), ms), np.array(number), np.array(nth)).to_list()


def test_an_id_is_32_hex_digits_that_begin_with_its_time() -> None:
    (one,) = mint([0], [0])
    assert len(one) == 32
    assert int(one[:12], 16) == 1_773_239_400_000


def test_the_same_place_gives_the_same_id_and_another_source_another() -> None:
    assert mint([5], [1]) == mint([5], [1])
    assert mint([5], [1]) != mint([5], [1], key=ids.source_key("b" * 64, "flow"))


@given(st.sets(st.tuples(st.integers(0, 2**46), st.integers(0, 2**16 - 1)), min_size=1, max_size=200))
def test_distinct_places_of_one_source_never_share_an_id(places: set[tuple[int, int]]) -> None:
    number, nth = zip(*places, strict=True)
    assert len(set(mint(list(number), list(nth)))) == len(places)


def test_a_hundred_thousand_neighbours_differ() -> None:
    assert len(set(mint(list(range(100_000)), [0] * 100_000))) == 100_000


def test_times_outside_48_bits_are_clamped_and_no_rows_give_no_ids() -> None:
    assert mint([1], [0], ms=-5)[0].startswith("0" * 12)
    assert mint([1], [0], ms=1 << 60)[0].startswith("f" * 12)
    assert mint([], []) == []


def test_alert_ids_depend_on_every_part() -> None:
    base = ids.alert_id("rule", "1", ("a", "b"), 0)
    others = {
        ids.alert_id("rule2", "1", ("a", "b"), 0),
        ids.alert_id("rule", "2", ("a", "b"), 0),
        ids.alert_id("rule", "1", ("ab", ""), 0),
        ids.alert_id("rule", "1", ("a", "b"), 3600),
    }
    assert base == ids.alert_id("rule", "1", ("a", "b"), 0)
    assert len(others | {base}) == 5
