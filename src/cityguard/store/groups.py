"""What an aggregate answers, whatever store answers it."""

from __future__ import annotations

from collections.abc import Sequence

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
        if fields.EVENT_FIELDS.get(name, "any") in ("any", "keywords"):
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
    """An answer of no groups."""
    return pl.DataFrame(schema=schema(names, interval_s))
