"""Objects (dicts as JSON gives them) to columns: grouped by shape, nested keys dotted, everything bounded."""

from __future__ import annotations

import gc
import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import orjson
import polars as pl
import pyarrow as pa

MAX_COLUMNS = 1000
MAX_CELLS = 20_000_000
MIN_COLUMNS = 200
MAX_DEPTH = 12
MAX_NAME = 200
"""Bytes of the dotted name of an object that is taken apart. Under longer ones, which each of their keys would repeat,
it stays JSON text."""
MAX_VALUE = 64 << 10
"""Characters of one value; the raw line keeps the rest."""

Rows = Sequence[dict[str, Any]]
_INT64 = range(-(1 << 63), 1 << 63)


@contextmanager
def collection_paused() -> Iterator[None]:
    """No garbage collection while many small objects are made: it would look at all of them again and again."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def table(rows: Rows, *, wanted: Collection[str] = ()) -> tuple[pl.DataFrame, pl.Series | None]:
    """Columns of the rows' values; nested objects become dotted names, lists of objects one list per key.

    Args:
        rows: n objects.
        wanted: names that get a column whatever came before them.

    Returns:
        The table, n rows (no columns if there is no value), and what found no room: a String series of JSON, null
        where nothing, or None if all fits.
    """
    limit = min(MAX_COLUMNS, max(MIN_COLUMNS, MAX_CELLS // max(len(rows), 1)))
    # What is sought inside an object needs the object, too.
    wanted = {name[:end] for name in wanted for end in [*(m.start() for m in re.finditer(r"\.", name)), len(name)]}
    columns: dict[str, list[Any]] = {}
    spare: dict[int, dict[str, Any]] = {}
    pending: list[tuple[str, Rows, int]] = [("", rows, 0)]
    while pending:
        prefix, level, depth = pending.pop()
        for name, values in _level(level, prefix, columns, spare, limit, wanted).items():
            inner = _inner(values) if depth < MAX_DEPTH and len(name.encode("utf-8", "replace")) <= MAX_NAME else None
            if inner is not None:
                pending.append((name + ".", inner, depth + 1))
                values = [None if _nested(value) else value for value in values]
                if all(value is None for value in values):
                    continue
            columns[name] = values
    data = {name: series(name, values) for name, values in columns.items()}
    return pl.DataFrame(data), _spare(spare, len(rows))


def series(name: str, values: Sequence[Any]) -> pl.Series:
    """One column: String, Int64, Float64, Boolean or List(String); mixed kinds become text."""
    kinds = set(map(type, values)) - {type(None)}
    if kinds == {str}:
        return bounded(pl.Series(name, values, pl.String))
    if kinds == {bool}:
        return pl.Series(name, values, pl.Boolean)
    if kinds == {int} and all(value in _INT64 for value in values if value is not None):
        return pl.Series(name, values, pl.Int64)
    if float in kinds and kinds <= {int, float} and (reals := _reals(values)) is not None:
        return pl.Series(name, reals, pl.Float64)
    if kinds == {list}:
        return _lists(name, values)
    return bounded(pl.Series(name, [None if value is None else _scalar(value) for value in values], pl.String))


def _reals(values: Sequence[Any]) -> list[float | None] | None:
    """The values as floats; None where an integer among them is beyond what a float holds: they stay text."""
    try:
        return [None if value is None else float(value) for value in values]
    except OverflowError:
        return None


def _lists(name: str, values: Sequence[Any]) -> pl.Series:
    """Lists of text from one run of all their elements: polars would make a series of each."""
    flat = [one if type(one) is str else _scalar(one) for value in values if value for one in value if one is not None]
    counts = [0 if value is None else len(value) - value.count(None) for value in values]
    ends = np.cumsum([0, *counts], dtype=np.int64)
    elements = bounded(pl.Series("", flat, pl.String)).to_arrow().cast(pa.large_string())
    gone = np.fromiter((value is None for value in values), np.bool_, len(values))
    made = pa.LargeListArray.from_arrays(pa.array(ends), elements, mask=pa.array(gone))
    return pl.Series(name, pl.from_arrow(made), pl.List(pl.String))


def _level(
    rows: Rows,
    prefix: str,
    columns: dict[str, list[Any]],
    spare: dict[int, dict[str, Any]],
    limit: int,
    wanted: Collection[str],
) -> dict[str, list[Any]]:
    """One level of keys, by shape: rows with the same keys are turned over in one go."""
    shapes: dict[tuple[str, ...], list[int]] = {}
    for index, row in enumerate(rows):
        shapes.setdefault(tuple(row), []).append(index)
    found: dict[str, list[Any]] = {}
    count = len(rows)
    for shape, where in shapes.items():
        turned = zip(*(rows[index].values() for index in where), strict=True)
        for key, values in zip(shape, turned, strict=False):
            name = prefix + key
            if name not in found:
                if name in columns or (len(columns) + len(found) >= limit and name not in wanted):
                    for index, value in zip(where, values, strict=True):
                        spare.setdefault(index, {})[name] = value
                    continue
                if len(where) == count:
                    found[name] = list(values)
                    continue
                found[name] = [None] * count
            column = found[name]
            for index, value in zip(where, values, strict=True):
                column[index] = value
    return found


def _nested(value: Any) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and any(isinstance(one, dict) for one in value))


def _inner(values: list[Any]) -> list[dict[str, Any]] | None:
    """The next level below a column, or None when nothing in it is nested."""
    kinds = set(map(type, values))
    if dict not in kinds and (list not in kinds or not any(map(_nested, values))):
        return None
    return [_object(value) for value in values]


def _object(value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    if not _nested(value):
        return {}
    merged: dict[str, Any] = {}
    for one in value:
        if isinstance(one, dict):
            for key, inner in one.items():
                merged.setdefault(key, []).extend(inner if isinstance(inner, list) else [inner])
    return merged


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        return value[:MAX_VALUE]
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    return encode(value)[:MAX_VALUE]


def encode(value: Any) -> str:
    """JSON text of a value as JSON gave it; what cannot be encoded again (too deep) is left out."""
    try:
        return orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    except (TypeError, RecursionError, ValueError):
        return ""


def bounded(column: pl.Series) -> pl.Series:
    longest = column.str.len_bytes().max()
    return column.str.slice(0, MAX_VALUE) if isinstance(longest, int) and longest > MAX_VALUE else column


def _spare(spare: dict[int, dict[str, Any]], count: int) -> pl.Series | None:
    if not spare:
        return None
    return pl.Series("event.fields", [encode(spare[i]) if i in spare else None for i in range(count)], pl.String)
