"""Event tables as they are stored: the schema's columns typed, native columns folded into ``event.fields``."""

from __future__ import annotations

from collections.abc import Sequence

import orjson
import polars as pl

from cityguard import columns
from cityguard.model import EventBatch

FIELDS, ID, TIME = "event.fields", "event.id", "@timestamp"


def pack(batch: EventBatch) -> pl.DataFrame:
    """One row per id with the schema's columns only; columns without any value are left out.

    Args:
        batch: as decoded and enriched; columns outside its dataset's schema are the source's own.

    Returns:
        A frame sorted by ``event.id``; ``event.dataset`` is filled; times stay as they are, also when null.

    Raises:
        KeyError: no such dataset.
        ValueError: a row has no ``event.id``.
    """
    table = columns.conform(batch.dataset, batch.table)
    if ID not in table.columns or table[ID].null_count():
        raise ValueError(f"batch of {batch.collector}: every row needs an {ID}")
    table = table.with_columns(pl.lit(batch.dataset).alias("event.dataset"))
    if "observer.name" not in table.columns and batch.collector:
        table = table.with_columns(pl.lit(batch.collector).alias("observer.name"))
    source = batch.logsource.text if batch.logsource is not None else None
    table = table.with_columns(pl.lit(source, pl.String).alias("event.logsource"))  # whatever the input called so
    table = _fold(table, columns.native(batch.dataset, table))
    kept = [c.name for c in columns.DATASETS[batch.dataset] if c.name in table.columns]
    kept = [name for name in kept if name in (ID, TIME) or table[name].null_count() < table.height]
    return table.select(kept).unique(ID, keep="first", maintain_order=True).sort(ID)


def unpack(table: pl.DataFrame, datasets: Sequence[str]) -> pl.DataFrame:
    """All columns of the datasets, in the schema's order, nulls where nothing was stored."""
    wanted = {column.name: column for name in datasets for column in columns.DATASETS[name]} or {
        column.name: column for column in columns.COMMON
    }
    return table.select(
        pl.col(column.name).cast(column.dtype, strict=False)
        if column.name in table.columns
        else pl.lit(None, dtype=column.dtype).alias(column.name)
        for column in wanted.values()
    )


def partition_time() -> pl.Expr:
    """µs since the epoch by which a row is filed: its own time, else its id's."""
    return pl.coalesce(pl.col(TIME).dt.epoch("us"), id_ms() * 1_000)


def id_ms() -> pl.Expr:
    """The milliseconds an id begins with; 0 when it is not one of ours."""
    return pl.col(ID).str.slice(0, 12).str.to_integer(base=16, strict=False, dtype=pl.Int64).fill_null(0)


def _fold(table: pl.DataFrame, native: list[str]) -> pl.DataFrame:
    members = [_member(table, name) for name in native if table[name].null_count() < table.height]
    if not members:
        return table.drop(native)
    inner = pl.concat_str(members, separator=",", ignore_nulls=True)
    folded = table.with_columns(inner.alias("\0inner")).drop(native)
    own = pl.when(pl.col("\0inner") != "").then(pl.lit("{") + pl.col("\0inner") + pl.lit("}"))
    if FIELDS not in folded.columns:
        return folded.with_columns(own.alias(FIELDS)).drop("\0inner")
    both = folded.with_columns(own.alias("\0own")).drop("\0inner")
    return _merge(both, native)


def _merge(table: pl.DataFrame, native: list[str]) -> pl.DataFrame:
    """Join two JSON objects as text where no name can be in both; row by row only where one might."""
    old, own = pl.col(FIELDS), pl.col("\0own")
    clash = old.str.contains_any(pl.Series([[f'"{name}"' for name in native]]))
    is_plain = old.str.starts_with("{") & old.str.ends_with("}") & ~clash
    joined = own.str.head(-1) + pl.lit(",") + old.str.slice(1)
    table = table.with_columns(
        pl.when(own.is_null())
        .then(old)
        .when(old.is_null() | (old == "{}"))
        .then(own)
        .when(is_plain)
        .then(joined)
        .alias("\0both")
    )
    rest = table["\0both"].is_null() & table["\0own"].is_not_null()
    if rest.any():
        slow = [_join(a, b) for a, b in zip(table[FIELDS].filter(rest), table["\0own"].filter(rest), strict=True)]
        at = rest.arg_true()
        table = table.with_columns(table["\0both"].scatter(at, slow))
    return table.with_columns(pl.col("\0both").alias(FIELDS)).drop("\0both", "\0own")


def _join(old: str, own: str) -> str:
    try:
        found = orjson.loads(old)
    except orjson.JSONDecodeError:
        found = {"event.fields": old}
    merged = found if isinstance(found, dict) else {"event.fields": old}
    return orjson.dumps({**merged, **orjson.loads(own)}).decode()


def _member(table: pl.DataFrame, name: str) -> pl.Expr:
    """``"name":value`` as JSON text; null where the value is null."""
    column, dtype = pl.col(name), table.schema[name]
    if dtype == pl.Binary:
        column = column.bin.encode("hex")
    elif isinstance(dtype, pl.Datetime):
        column = column.dt.strftime("%Y-%m-%dT%H:%M:%S%.6f")
    elif isinstance(dtype, pl.Duration):
        column = column.dt.total_microseconds()
    elif dtype.is_temporal() or isinstance(dtype, (pl.Decimal, pl.Categorical, pl.Enum)):
        column = column.cast(pl.String)
    text = pl.struct(column.alias(name)).struct.json_encode()
    is_value = pl.col(name).is_not_null()
    if dtype.is_float():
        is_value &= pl.col(name).is_finite()  # JSON has neither NaN nor infinity
    return pl.when(is_value).then(text.str.slice(1).str.head(-1))
