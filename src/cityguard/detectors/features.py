"""What a source address did in five minutes, as numbers: the one table of features, and how they are computed.

A flow table is first reduced to one row per (segment, source, window, destination, port, protocol); reduced tables
of many batches add up exactly, whatever their order, and windows are computed from the sum.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import tzinfo
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl

WINDOW_S = 300
UNKNOWN = "-"  # segment of addresses the register does not know
FAILED_STATES = ("syn_only", "rst", "rejected", "s0", "rej")
NIGHT = (22, 6)  # from, until; hours in the city's time zone


@dataclass(frozen=True, slots=True)
class Feature:
    """One column of the forest. ``log`` features are seen by the forest as log(1 + x)."""

    name: str
    zh: str
    en: str
    unit: Literal["count", "bytes", "seconds", "share", "flag"]

    @property
    def log(self) -> bool:
        return self.unit in ("count", "bytes", "seconds")


FEATURES: tuple[Feature, ...] = (
    Feature("flows", "会话数", "flows", "count"),
    Feature("destinations", "不同目的地址数", "distinct destinations", "count"),
    Feature("ports", "不同目的端口数", "distinct destination ports", "count"),
    Feature("protocols", "传输协议数", "distinct protocols", "count"),
    Feature("new_destinations", "训练期未见的目的地址数", "destinations not seen in training", "count"),
    Feature("bytes_out", "发送字节", "bytes sent", "bytes"),
    Feature("bytes_in", "接收字节", "bytes received", "bytes"),
    Feature("out_share", "发送占比", "share of bytes sent", "share"),
    Feature("packets", "包数", "packets", "count"),
    Feature("duration", "平均会话时长", "mean flow duration", "seconds"),
    Feature("failed", "失败连接占比", "share of failed connections", "share"),
    Feature("night", "夜间（22–6 时）", "at night (22-6)", "flag"),
)
NAMES = tuple(feature.name for feature in FEATURES)
COUNT = len(FEATURES)
BY_NAME = {feature.name: feature for feature in FEATURES}

WINDOW_KEYS = ("segment", "source", "window")
KEYS = (*WINDOW_KEYS, "destination", "port", "transport")
SUMS = ("flows", "out", "in", "packets", "seconds", "failed")

SCHEMA: dict[str, pl.DataType] = {
    "segment": pl.String(),
    "source": pl.String(),
    "window": pl.Int64(),  # start, seconds since the epoch
    "destination": pl.String(),
    "port": pl.Int32(),  # -1 = none
    "transport": pl.String(),
    "flows": pl.Int64(),
    "out": pl.Int64(),
    "in": pl.Int64(),
    "packets": pl.Int64(),
    "seconds": pl.Float64(),
    "failed": pl.Int64(),
    "event": pl.String(),  # smallest event id of the row
    "department": pl.String(),
    "system": pl.String(),
}


def empty() -> pl.DataFrame:
    """A reduced table of no rows."""
    return pl.DataFrame(schema=SCHEMA)


def reduce(table: pl.DataFrame) -> pl.DataFrame:
    """One row per key of a ``flow`` table; rows without a source address or time are left out.

    Args:
        table: a ``flow`` table; columns it lacks count as unknown. The segment is the register's for the source,
            else ``-``: a stored row knows no other, and training must see what detection sees.
    """
    if "source.ip" not in table.columns or "@timestamp" not in table.columns:
        return empty()
    have = set(table.columns)

    def col(name: str, dtype: pl.DataType) -> pl.Expr:
        return pl.col(name).cast(dtype, strict=False) if name in have else pl.lit(None, dtype)

    whole, text = pl.Int64(), pl.String()
    sent, received = col("source.bytes", whole), col("destination.bytes", whole)
    counted = pl.sum_horizontal(col("source.packets", whole), col("destination.packets", whole))
    flags = col("tcp.flags", pl.Int32())
    state = col("flow.state", text)
    unanswered = (flags & 0x12) == 0x02  # SYN and never an ACK
    rows = table.lazy().filter(pl.col("source.ip").is_not_null() & pl.col("@timestamp").is_not_null())
    slim = rows.select(
        segment=pl.coalesce(col("source.segment", text), pl.lit(UNKNOWN)),
        source=col("source.ip", text),
        window=pl.col("@timestamp").dt.epoch("s") // WINDOW_S * WINDOW_S,
        destination=col("destination.ip", text).fill_null(""),
        port=col("destination.port", pl.Int32()).fill_null(-1),
        transport=col("network.transport", text).fill_null(""),
        flows=pl.lit(1, whole),
        out=pl.coalesce(sent, col("network.bytes", whole), pl.lit(0)),
        **{"in": received.fill_null(0)},
        packets=pl.coalesce(col("network.packets", whole), counted, pl.lit(0)),
        seconds=(col("event.duration", pl.Float64()) / 1e9).fill_null(0.0),
        failed=pl.coalesce(state.is_in(FAILED_STATES), unanswered, pl.lit(value=False)).cast(whole),
        event=col("event.id", text),
        department=col("source.department", text),
        system=col("source.system", text),
    )
    return _grouped(slim).collect()


def add(tables: list[pl.DataFrame]) -> pl.DataFrame:
    """Sum of reduced tables, sorted by key: the same whatever their order."""
    if not tables:
        return empty()
    return _grouped(pl.concat(tables).lazy()).collect()


def _grouped(rows: pl.LazyFrame) -> pl.LazyFrame:
    sums = [pl.col(name).sum() for name in SUMS]
    first = [pl.col(name).min() for name in ("event", "department", "system")]
    return rows.group_by(KEYS).agg(*sums, *first).select(SCHEMA.keys()).cast(SCHEMA).sort(KEYS)  # type: ignore[arg-type]


def windows(rows: pl.DataFrame, zone: tzinfo, known: pl.Series | None = None) -> pl.DataFrame:
    """Feature values of every (segment, source, window) of a reduced table, sorted by these three.

    Args:
        rows: what ``add`` gave.
        zone: the city's time zone, for ``night``.
        known: destinations of the training window; None = count those first seen in the very window
            (what training itself looks at).

    Returns:
        Columns segment, source, window, the names of ``FEATURES`` (Float64, not transformed), department, system.
    """
    fresh = ~pl.col("destination").is_in(known.implode()) if known is not None else pl.col("first")
    marked = rows.with_columns(first=pl.col("window") == pl.col("window").min().over("segment", "destination"))
    both = pl.col("out").sum() + pl.col("in").sum()
    found = marked.group_by(WINDOW_KEYS).agg(
        flows=pl.col("flows").sum(),
        destinations=pl.col("destination").n_unique(),
        ports=pl.col("port").n_unique(),
        protocols=pl.col("transport").n_unique(),
        new_destinations=pl.col("destination").filter(fresh & (pl.col("destination") != "")).n_unique(),
        bytes_out=pl.col("out").sum(),
        bytes_in=pl.col("in").sum(),
        out_share=pl.when(both > 0).then(pl.col("out").sum() / both).otherwise(0.5),
        packets=pl.col("packets").sum(),
        duration=pl.col("seconds").sum() / pl.col("flows").sum(),
        failed=pl.col("failed").sum() / pl.col("flows").sum(),
        department=pl.col("department").min(),
        system=pl.col("system").min(),
    )
    hour = pl.from_epoch("window", "s").dt.replace_time_zone("UTC").dt.convert_time_zone(str(zone)).dt.hour()
    night = (hour >= NIGHT[0]) | (hour < NIGHT[1])
    return (
        found.with_columns(night=night)
        .with_columns(pl.col(NAMES).cast(pl.Float64))
        .select(*WINDOW_KEYS, *NAMES, "department", "system")
        .sort(WINDOW_KEYS)
    )


def transform(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """log(1 + x) where the feature is a log one; float32[rows, features]."""
    out = np.nan_to_num(np.asarray(values, dtype=np.float64), posinf=0.0, neginf=0.0)
    logged = np.array([feature.log for feature in FEATURES])
    out[:, logged] = np.log1p(np.maximum(out[:, logged], 0.0))
    return out.astype(np.float32)


def show(feature: Feature, value: float) -> str:
    """A value for people."""
    if feature.unit == "share":
        return f"{value:.0%}"
    if feature.unit == "flag":
        return "是/yes" if value >= 0.5 else "否/no"
    if feature.unit == "seconds":
        return f"{value:.1f} s"
    if feature.unit == "count":
        return f"{value:.0f}"
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if value >= size:
            return f"{value / size:.1f} {unit}"
    return f"{value:.0f} B"
