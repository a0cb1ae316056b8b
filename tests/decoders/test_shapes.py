"""JSON taken apart by shape: the same table as one object at a time, whatever stands in the lines."""

from __future__ import annotations

import json
import time
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from cityguard import fast
from cityguard.decoders import columnar, jsoncolumns, shapes
from cityguard.decoders.json import parsed

unhurried = settings(deadline=None, max_examples=25)

keys = st.sampled_from(["a", "b", "A", "a.b", "", 'q"', "sp ace", "中", "x'y"])
leaf = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=6),
    st.just("NaN"),
    st.just("{}"),
)
values = st.recursive(
    leaf, lambda one: st.lists(one, max_size=3) | st.dictionaries(keys, one, max_size=3), max_leaves=6
)
regular = st.fixed_dictionaries(
    {"a": leaf, "o": st.fixed_dictionaries({"b": leaf, "c": leaf}), "l": st.lists(leaf, max_size=2)}
)
HOSTILE = [
    '{"a": 1, "a": 2, "o": {"b": 1, "c": 2}, "l": []}',
    '{"a": NaN, "o": {"b": inf, "c": -Infinity}, "l": []}',
    '{"a": 1, "o": {"b": 1, "c": 2,}, "l": [1,]}',
    '{"a": "\\ud800", "o": {"b": "\\u0000", "c": "\\\\"}, "l": ["\\""]}',
    '{"a": 1e400, "o": {"b": 1e22, "c": -0}, "l": [1.0]}',
    '{"a": 123456789012345678901234567890, "o": {"b": 18446744073709551615, "c": 1.10}, "l": [1e5]}',
    '{"a": {"z": 1}, "o": {"b": [1, {"x": 2}], "c": {}}, "l": [{"x": 1}, {"x": 2, "y": [3]}]}',
    '{"a": 1, "o": null, "l": null}',
    '{"a": 1, "o": 5, "l": {"x": 1}}',
    '{"a": 1, "o": {"b": 1, "c": 2, "d": 3}, "l": [], "more": true}',
    '{"O": 1}',
    "[1]",
    "not json",
    "",
    '{"a":' * 500 + "1" + "}" * 500,
    '{"a": 1} // x',
    json.dumps({"a" * 150: {"b" * 49: {"c": 1}, "b" * 50: {"c": [{"d": 1}]}}, "q" * 300: [{"x": 1}]}),
]


def both(lines: list[str]) -> None:
    """By compiled code, by DuckDB and one by one."""
    column = pl.Series(lines, dtype=pl.String)
    objects, plain_rows = parsed(column)
    plain, plain_spare = columnar.table(objects)
    for compiled in {fast.ON, False}:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(fast, "ON", compiled)
            table, spare, rows = shapes.read(column, parsed, ())
        assert rows.tolist() == plain_rows.tolist()
        assert (spare is None) == (plain_spare is None)
        assert_frame_equal(filled(table), filled(plain), check_column_order=False, rel_tol=0, abs_tol=0)


def filled(table: pl.DataFrame) -> pl.DataFrame:
    """Without columns that hold nothing: an object that is always empty may leave one."""
    return table.select(name for name in table.columns if table[name].null_count() < table.height)


@unhurried
@given(st.lists(regular, min_size=1, max_size=4), st.lists(values | st.sampled_from(HOSTILE), max_size=6), st.randoms())
def test_lines_of_few_shapes_among_strange_ones_equal_the_plain_way(base: list[Any], odd: list[Any], rng: Any) -> None:
    lines = [json.dumps(base[n % len(base)]) for n in range(300)]
    strange = [one if isinstance(one, str) else json.dumps(one) for one in odd]
    for line in strange:
        lines[rng.randrange(len(lines))] = line
    both(lines)


def test_every_hostile_line_alone_and_all_together_equal_the_plain_way() -> None:
    normal = [json.dumps({"a": n, "o": {"b": "x", "c": True}, "l": ["p"]}) for n in range(200)]
    for line in HOSTILE:
        both([*normal, line])
    both([*normal, *HOSTILE])
    both([line for line in HOSTILE for _ in range(150)])


def test_the_quick_way_is_really_taken() -> None:
    lines = pl.Series([json.dumps({"a": n, "o": {"b": "x"}}) for n in range(200)])
    made, left = shapes.taken_apart(lines)
    assert [len(part.rows) for part in made] == [200]
    assert not len(left)


@pytest.mark.skipif(not fast.ON, reason="the extra [fast] is not there")
def test_the_compiled_way_reads_all_that_programs_write() -> None:
    lines = [
        json.dumps(
            {
                "stamp": "2026-03-05T14:12:09.1Z",
                "n": n - 5,
                "big": 2**63 - 1 - n,
                "part": n / 7,
                "long": 0.1 + n / 1e9,
                "on": n % 2 == 0,
                "none": None,
                "path": "C:\\Windows\\" + "x" * (n % 20) + "\u4e2d\u00e9\n",
                "text": "中" * (n % 9),
                "mixed": n if n % 3 else str(n),
                "inner": {"a": {"b": {"c": n}}, "empty": {}},
                "list": ["a", n, True, "\\"][: n % 5],
                "objects": [{"k": 1, "l": [1, 2]}, {"k": "x"}][: n % 3],
            },
            ensure_ascii=n % 2 == 0,
        )
        for n in range(300)
    ]
    made = jsoncolumns.read(pl.Series(lines), columnar.MAX_COLUMNS)
    assert made is not None
    assert made[1].all()
    both(lines)


@pytest.mark.skipif(not fast.ON, reason="the extra [fast] is not there")
@unhurried
@given(
    st.lists(st.one_of(st.text(max_size=30), values.map(json.dumps), st.sampled_from(HOSTILE)), max_size=8), st.data()
)
def test_no_text_is_read_otherwise_by_compiled_code(odd: list[str], data: Any) -> None:
    lines = [json.dumps({"a": 1, "o": {"b": "x"}}), *odd]
    for n, line in enumerate(lines):
        cut = data.draw(st.integers(0, len(line)))
        lines[n] = (
            line[:cut] + data.draw(st.sampled_from(["", '"', "\\", "{", "]", ",", ":", "1", "e5", "\t"])) + line[cut:]
        )
    column = pl.Series(lines, dtype=pl.String)
    made = jsoncolumns.read(column, columnar.MAX_COLUMNS)
    if made is None or not made[1].any():
        return
    good = pl.Series(made[1])
    objects, rows = parsed(column.filter(good))
    assert len(rows) == good.sum()
    assert_frame_equal(filled(made[0].filter(good)), filled(columnar.table(objects)[0]), check_column_order=False)


def test_one_bad_line_in_each_stretch_does_not_slow_the_rest_to_a_crawl() -> None:
    lines = [json.dumps({"a": n, "o": {"b": "x" * 50, "c": [1, 2]}}) for n in range(20_000)]
    clean, dirty = pl.Series(lines), pl.Series([line if n % 500 else line[:-9] for n, line in enumerate(lines)])
    shapes.read(clean, parsed, ())
    spent = []
    for column in (clean, dirty):
        begun = time.process_time()
        rows = shapes.read(column, parsed, ())[2]
        spent.append(time.process_time() - begun)
    assert len(rows) == 20_000 - 40
    assert spent[1] < 6 * spent[0] + 0.2


def test_lines_that_all_differ_are_read_one_by_one() -> None:
    column = pl.Series([json.dumps({f"k{n}": n}) for n in range(columnar.MAX_COLUMNS + 100)])
    table, spare, rows = shapes.read(column, parsed, ())
    assert np.array_equal(rows, np.arange(len(column)))
    assert table.width == columnar.MAX_COLUMNS
    assert spare is not None


def test_long_names_are_not_repeated_by_every_key_below_them() -> None:
    line = json.dumps({"q" * 20_000: {f"k{n}": n for n in range(2000)}})
    table, spare, rows = shapes.read(pl.Series([line] * 130), parsed, ())
    assert (table.width, spare, len(rows)) == (1, None, 130)
