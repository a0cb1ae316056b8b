"""Lines of JSON to columns: by compiled code (``jsoncolumns``), else by their shape, the others one by one.

Programs write JSON of few shapes. DuckDB tells each line's keys at every level and takes the lines of one shape
apart in compiled code, as JSON text of each value. What is not exactly of its shape, and whatever the two readers of
JSON see differently (double keys, NaN, trailing commas), goes the plain way, so both ways give the same table.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from cityguard import fast
from cityguard.decoders import columnar, jsoncolumns, jsontext

Words = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Plain = Callable[[pl.Series], tuple[list[dict[str, Any]], Words]]

MIN_LINES: Final = 128
"""Fewer lines of one shape are read one by one."""
MAX_PATHS: Final = 64
"""Objects inside objects that one look at the keys covers."""
_SAMPLES = 200
_SAFE = re.compile(r"[A-Za-z0-9_@$:/.# -]{1,100}")
_TRAILING = r",\s*[}\]]"
_FAULTS = (msgspec.MsgspecError, RecursionError, UnicodeError, ValueError)
_ROWS = "\0row"
_local = threading.local()
_Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Part:
    """Some lines as columns. ``rows`` are their places among all lines."""

    table: pl.DataFrame
    rows: Words


def read(lines: pl.Series, parsed: Plain, wanted: Collection[str]) -> tuple[pl.DataFrame, pl.Series | None, Words]:
    """Columns of lines of JSON, equal to ``columnar.table`` of their objects.

    Args:
        lines: String, n rows.
        parsed: the plain way: lines to objects and the places of the lines that are objects.
        wanted: as ``columnar.table``.

    Returns:
        The table, what found no room (JSON text, or None), and the line of each row; lines that are no objects are
        left out. Rows are in the order of the lines.
    """
    found = _fast(lines, parsed, wanted) if len(lines) >= MIN_LINES else None
    if found is not None:
        return found
    objects, rows = parsed(lines)
    if not objects:
        return pl.DataFrame(), None, rows
    table, spare = columnar.table(objects, wanted=wanted)
    return table, spare, rows


def _fast(lines: pl.Series, parsed: Plain, wanted: Collection[str]) -> tuple[pl.DataFrame, None, Words] | None:
    parts, left = _compiled(lines) or taken_apart(lines)
    if not parts:
        return None
    if len(parts) == 1 and not len(left):
        return (parts[0].table, None, parts[0].rows) if parts[0].table.width <= most(len(lines)) else None
    if len(left):
        objects, good = parsed(lines.gather(left))
        if objects:
            table, spare = columnar.table(objects, wanted=wanted)
            if spare is not None:
                return None
            parts.append(Part(table, left[good]))
    names = {name for part in parts for name in part.table.columns}
    total = sum(len(part.rows) for part in parts)
    if len(names) > most(total):
        return None
    made = _merged(parts)
    if made is None:
        return None
    rows = np.concatenate([part.rows for part in parts])
    order = np.argsort(rows, kind="stable")
    return made[order], None, rows[order]


def most(rows: int) -> int:
    """Columns a table of so many rows may have, as ``columnar.table``."""
    return min(columnar.MAX_COLUMNS, max(columnar.MIN_COLUMNS, columnar.MAX_CELLS // max(rows, 1)))


def _compiled(lines: pl.Series) -> tuple[list[Part], Words] | None:
    """As ``taken_apart``, by compiled code, where there is any and it can."""
    found = jsoncolumns.read(lines, most(len(lines))) if fast.ON else None
    if found is None:
        return None
    table, good = found
    rows = np.flatnonzero(good)
    if not len(rows) or not table.width:
        return None
    return [Part(table if good.all() else table.filter(pl.Series(good)), rows)], np.flatnonzero(~good)


def taken_apart(lines: pl.Series) -> tuple[list[Part], Words]:
    """Lines by shape, and those that have to go the plain way."""
    everything = np.arange(len(lines), dtype=np.int64)
    odd = lines.str.contains(_TRAILING).fill_null(value=True).to_numpy()
    rows = everything[~odd]
    left, parts = [everything[odd]], list[Part]()
    for shape, where in _shapes(lines, rows):
        part = _taken(lines, where, shape) if shape is not None and len(where) >= MIN_LINES else None
        if part is None:
            left.append(where)
            continue
        parts.append(part)
        if len(part.rows) < len(where):
            left.append(np.setdiff1d(where, part.rows, assume_unique=True))
    return parts, np.sort(np.concatenate(left))


def _shapes(lines: pl.Series, rows: Words) -> Iterator[tuple[dict[str, Any] | None, Words]]:
    """Groups of lines whose objects have the same keys, each with one of its objects."""
    paths = _paths(lines, rows)
    for where in _groups(lines, rows, paths):
        shape = _object(lines[int(where[0])]) if len(where) >= MIN_LINES else None
        further = [path for path in _inside(shape or {}) if path not in paths]
        if not further or len(further) > MAX_PATHS:
            yield shape, where
            continue
        for inner in _groups(lines, where, further):
            yield (_object(lines[int(inner[0])]) if len(inner) >= MIN_LINES else None), inner


def _paths(lines: pl.Series, rows: Words) -> list[_Path]:
    """Objects inside objects, as a few lines all over the block show them."""
    step = max(-(-len(rows) // _SAMPLES), 1)
    found: dict[_Path, None] = {}
    for row in rows[::step][:_SAMPLES]:
        found |= dict.fromkeys(_inside(_object(lines[int(row)]) or {}))
    return list(found)[:MAX_PATHS]


def _inside(value: dict[str, Any], path: _Path = ()) -> list[_Path]:
    if len(path) > columnar.MAX_DEPTH:
        return []
    out: list[_Path] = []
    for key, one in value.items():
        if isinstance(one, dict) and one and _SAFE.fullmatch(key):
            out += [(*path, key), *_inside(one, (*path, key))]
    return out


def _object(line: str | None) -> dict[str, Any] | None:
    try:
        return msgspec.json.decode(line or "", type=dict[str, Any])
    except _FAULTS:
        return None


def _groups(lines: pl.Series, rows: Words, paths: Collection[_Path]) -> list[Words]:
    """Rows by the keys of their objects; unreadable ones together."""
    held = _arrow(lines, rows)
    asked = ", ".join("'$" + "".join(f'."{key}"' for key in path) + "'" for path in ((), *paths))
    keys = f"json_keys(line, [{asked}])::varchar"
    try:
        made = _ask(f"select {keys} as k from held", held)  # noqa: S608 - _SAFE keys
    except _errors():
        made = _ask(f"select case when json_valid(line) then {keys} end as k from held", held)  # noqa: S608 - _SAFE keys
    found = pl.DataFrame({"k": made["k"], "row": rows}).group_by("k", maintain_order=True).agg("row")
    return [one.to_numpy() for one in found["row"]]


def _taken(lines: pl.Series, rows: Words, shape: dict[str, Any]) -> Part | None:
    """The lines of one shape; those that turn out to be of another are not among the result's rows."""
    schema = _schema(shape)
    if schema is None:
        return None
    held = _arrow(lines, rows)
    try:
        made = _ask(f"select try(json_transform_strict(line, '{json.dumps(schema)}')) as s from held", held)  # noqa: S608 - _SAFE keys
    except _errors():
        return None
    struct = made["s"]
    good = struct.is_not_null().to_numpy().copy()
    raws = dict(_leaves(struct, schema, ""))
    if len(raws) < _count(schema):  # {"a.b": 1, "a": {"b": 2}}
        return None
    columns = jsontext.columns(pl.DataFrame([raw.alias(name) for name, raw in raws.items()]), good)
    if columns is None or not good.any():
        return None
    table = pl.DataFrame(columns)
    return Part(table if good.all() else table.filter(pl.Series(good)), rows[good])


def _schema(shape: dict[str, Any], depth: int = 0, name: int = 0) -> dict[str, Any] | None:
    """The same keys with JSON for every value; None where names cannot be told apart or are not plain words."""
    if (
        not shape
        or depth > columnar.MAX_DEPTH
        or name > columnar.MAX_NAME + 1
        or len({key.lower() for key in shape}) < len(shape)
    ):
        return None
    out: dict[str, Any] = {}
    for key, value in shape.items():
        if not _SAFE.fullmatch(key):
            return None
        inner = _schema(value, depth + 1, name + len(key) + 1) if isinstance(value, dict) and value else "JSON"
        if inner is None:
            return None
        out[key] = inner
    return out


def _leaves(struct: pl.Series, schema: dict[str, Any], prefix: str) -> Iterator[tuple[str, pl.Series]]:
    for key, inner in schema.items():
        field = struct.struct.field(key)
        if isinstance(inner, dict):
            yield from _leaves(field, inner, f"{prefix}{key}.")
        else:
            yield prefix + key, field


def _count(schema: dict[str, Any]) -> int:
    return sum(_count(one) if isinstance(one, dict) else 1 for one in schema.values())


def _merged(parts: list[Part]) -> pl.DataFrame | None:
    """One table; where parts disagree on a type, the one ``columnar.series`` gives, or None if it cannot be told."""
    kinds: dict[str, set[pl.DataType]] = {}
    for part in parts:
        for column in part.table.get_columns():
            if column.null_count() < len(column):
                kinds.setdefault(column.name, set()).add(column.dtype)
    types: dict[str, pl.DataType] = {}
    for name, found in kinds.items():
        if found == {pl.Int64(), pl.Float64()}:
            types[name] = pl.Float64()
        elif len(found) == 1:
            types[name] = next(iter(found))
        elif found <= {pl.String(), pl.Int64(), pl.Boolean()}:
            types[name] = pl.String()
        else:
            return None
    tables = []
    for part in parts:
        cast = [_as(column, types.get(column.name, pl.String())) for column in part.table.get_columns()]
        rows = pl.Series(_ROWS, part.rows)
        tables.append(pl.DataFrame({one.name: one for one in (*cast, rows)}))
    return pl.concat(tables, how="diagonal").drop(_ROWS)


def _as(column: pl.Series, kind: pl.DataType) -> pl.Series:
    if column.dtype == kind:
        return column
    if column.null_count() == len(column):
        return pl.Series(column.name, [None], kind).new_from_index(0, len(column))
    return column.cast(kind)


def _arrow(lines: pl.Series, rows: Words) -> pa.Table:
    chosen = lines if len(rows) == len(lines) else lines.gather(pl.Series(rows))
    return pa.table({"line": chosen.to_arrow().cast(pa.large_string())})


def _ask(query: str, held: pa.Table) -> pl.DataFrame:
    """One query over one table of lines, in memory, on this thread's own connection."""
    connection = getattr(_local, "connection", None)
    if connection is None:
        import duckdb

        connection = _local.connection = duckdb.connect(config={"threads": 2, "enable_external_access": "false"})
    connection.register("held", held)
    try:
        made = pl.from_arrow(connection.sql(query).to_arrow_table())
    finally:
        connection.unregister("held")
    assert isinstance(made, pl.DataFrame)
    return made


def _errors() -> tuple[type[Exception], ...]:
    import duckdb

    return (duckdb.Error, UnicodeError)  # a key may be cut within a character
