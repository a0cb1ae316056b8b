"""Who acts on what over time: masters against stations by class of function, from counted messages."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime

import polars as pl

from cityguard.otpolicy.acts import CHANGES, CLASSES, acts

ORDER = ("program", "control", "write", "read", "diagnostic")
"""Classes of function, the gravest first."""


@dataclass(slots=True)
class Cell:
    """What one master did to one station: messages by class, and by class and span of time."""

    counts: dict[str, int] = field(default_factory=dict)
    series: dict[datetime, dict[str, int]] = field(default_factory=dict)

    @property
    def changes(self) -> int:
        """Messages that write, control or program."""
        return sum(self.counts.get(name, 0) for name in CHANGES)

    @property
    def total(self) -> int:
        return sum(self.counts.values())


@dataclass(frozen=True, slots=True)
class Matrix:
    """Stations (rows) and masters (columns), those that change most first; cells by (station, master)."""

    start: datetime
    end: datetime
    width_s: int
    stations: tuple[str, ...]
    masters: tuple[str, ...]
    cells: dict[tuple[str, str], Cell]
    about: dict[str, dict[str, str]]  # station -> protocol, segment, ip, unit as seen first

    def cell(self, station: str, master: str) -> Cell | None:
        """What the master did to the station; None: nothing."""
        return self.cells.get((station, master))


def matrix(counted: pl.DataFrame, learned: pl.DataFrame | None, start: datetime, end: datetime, width_s: int) -> Matrix:
    """Put counted messages into a matrix.

    Args:
        counted: what ``Desk.traffic`` gives: a row per both ends, protocol, unit, class, direction and ``bucket``.
        learned: deeds of the baseline; they tell the platform of stations that report of their own accord.
    """
    if counted.is_empty():
        return Matrix(start, end, width_s, (), (), {}, {})
    seen = acts(counted, every=True).unique("n", keep="first", maintain_order=True)
    sums = counted.with_row_index("n").select("n", "bucket", pl.col("count").alias("messages"))
    rows = _turned(seen.join(sums, on="n"), learned)
    rows = rows.filter(pl.col("klass").is_in(CLASSES) & (pl.col("master") != ""))
    keys = ["station", "master", "klass", "bucket"]
    asked = pl.col("messages").filter(pl.col("asks")).sum()
    told = rows.group_by(keys).agg(
        pl.when(pl.col("asks").any()).then(asked).otherwise(pl.col("messages").sum()).alias("n")
    )
    cells: dict[tuple[str, str], Cell] = defaultdict(Cell)
    for station, master, klass, bucket, n in told.sort(keys).iter_rows():
        cell = cells[station, master]
        cell.counts[klass] = cell.counts.get(klass, 0) + n
        cell.series.setdefault(bucket, {})[klass] = n
    about = {
        row["station"]: {name: row[name] or "" for name in ("protocol", "segment", "ip", "unit")}
        for row in rows.group_by("station", maintain_order=True).first().iter_rows(named=True)
    }
    return Matrix(start, end, width_s, _ranked(cells, 0), _ranked(cells, 1), dict(cells), about)


def _ranked(cells: dict[tuple[str, str], Cell], side: int) -> tuple[str, ...]:
    """Stations (side 0) or masters (1) by how much they are changed or change, then by messages."""
    weight: dict[str, tuple[int, int]] = {}
    for key, cell in cells.items():
        changes, total = weight.get(key[side], (0, 0))
        weight[key[side]] = (changes + cell.changes, total + cell.total)
    return tuple(sorted(weight, key=lambda name: (-weight[name][0], -weight[name][1], name)))


def _turned(rows: pl.DataFrame, learned: pl.DataFrame | None) -> pl.DataFrame:
    """Rows whose other end was learned to be the station's master are turned round: counts have no ports to go by."""
    if learned is None or learned.is_empty():
        return rows
    known = learned.select("station", pl.col("master").alias("ip"), pl.lit(value=True).alias("is_master")).unique()
    mine = learned.select("station", "master", pl.lit(value=True).alias("right")).unique()
    both = rows.join(known, on=["station", "ip"], how="left").join(mine, on=["station", "master"], how="left")
    turn = pl.col("is_master").fill_null(value=False) & ~pl.col("right").fill_null(value=False)
    return both.with_columns(
        pl.when(turn).then("ip").otherwise("master").alias("master"),
        pl.when(turn).then("master").otherwise("ip").alias("ip"),
    ).drop("is_master", "right")
