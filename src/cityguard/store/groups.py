"""What an aggregate answers, whatever store answers it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from cityguard import columns
from cityguard.errors import InputError
from cityguard.store import fields

MAX_GROUPS = 100_000
MAX_BY = 5
_TIME = pl.Datetime("us", "UTC")


def group_columns(by: Sequence[str], interval_s: int | None, top: int) -> list[str]:
    """Checked column names of an aggregate.

    Raises:
        InputError: a name is no column one can group by, or a number is out of bounds.
    """
    for name in by:
        if fields.EVENT_FIELDS.get(name, "any") in ("any", "keywords", "time"):
            raise InputError(f"cannot group by '{name}'", remedy=fields.suggestion(name, "events"))
    if len(by) > MAX_BY or len(set(by)) < len(by):
        raise InputError("too many columns to group by", remedy=f"at most {MAX_BY}, each once")
    if interval_s is not None and not 1 <= interval_s <= 366 * 86_400:
        raise InputError(f"interval of {interval_s} s", remedy="1 s to 366 days")
    if not 1 <= top <= MAX_GROUPS:
        raise InputError(f"top {top}", remedy=f"1 to {MAX_GROUPS}")
    return list(by)


def schema(names: Sequence[str], interval_s: int | None) -> dict[str, pl.DataType]:
    """Columns of the answer: bucket (if any), the names, count."""
    head: dict[str, pl.DataType] = {"bucket": _TIME} if interval_s else {}
    return {**head, **{name: columns.BY_NAME[name].dtype for name in names}, "count": pl.Int64()}


def shaped(found: pl.DataFrame, names: Sequence[str], interval_s: int | None) -> pl.DataFrame:
    """The answer's columns in order and type; ``bucket`` comes in as µs since the epoch.

    Raises:
        InputError: there are more groups than an answer may hold.
    """
    if found.height >= MAX_GROUPS:
        raise InputError(f"more than {MAX_GROUPS} groups", remedy="narrow the question or widen the interval")
    if interval_s:
        found = found.with_columns(pl.from_epoch("bucket", time_unit="us").dt.replace_time_zone("UTC"))
    wanted = schema(names, interval_s)
    return found.select(pl.col(name).cast(dtype) for name, dtype in wanted.items())


def empty(names: Sequence[str], interval_s: int | None) -> pl.DataFrame:
    """The answer where nothing is stored: no groups, or a count of 0 when none were asked for."""
    rows = [] if names or interval_s else [(0,)]
    return pl.DataFrame(rows, schema=schema(names, interval_s), orient="row")


def frame(rows: list[list[Any]], buckets: list[int] | None, names: Sequence[str]) -> pl.DataFrame:
    """Rows of (values of ``names``, count) as a table; ``buckets`` in µs."""
    types: dict[str, pl.DataType] = {**{name: columns.BY_NAME[name].dtype for name in names}, "count": pl.Int64()}
    found = pl.DataFrame(rows, schema=types, orient="row")
    return found if buckets is None else found.with_columns(pl.Series("bucket", buckets, dtype=pl.Int64))


def best(found: pl.DataFrame, names: Sequence[str], interval_s: int | None, top: int) -> pl.DataFrame:
    """The ``top`` largest groups, in the order every store answers: by bucket, count, then the names, null last."""
    by = list(names)
    if by:
        totals = found.group_by(by).agg(pl.col("count").sum())
        chosen = _ordered(totals, by).head(top).select(by)
        found = found.join(chosen, on=by, how="semi", nulls_equal=True)
    return _ordered(found, by, ["bucket"] if interval_s else [])


def _ordered(found: pl.DataFrame, by: list[str], first: Sequence[str] = ()) -> pl.DataFrame:
    down = [False] * len(first) + [True] + [False] * len(by)
    return found.sort([*first, "count", *by], descending=down, nulls_last=True)
