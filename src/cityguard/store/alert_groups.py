"""What every store answers when alerts are grouped, and when two people change the same alert."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from cityguard.errors import ConflictError
from cityguard.model import LEVELS


def groups_frame(rows: list[tuple[Any, ...]]) -> pl.DataFrame:
    """Rows as a table: rule, source, destination, alerts, count, level's rank, title, first and last µs, id.

    A title is Chinese and English with a line end between.
    """
    frame = pl.DataFrame(
        [(*row[:6], *row[6].partition("\n")[::2], *row[7:]) for row in rows],
        orient="row",
        schema={
            "rule_id": pl.String,
            "source.ip": pl.String,
            "destination.ip": pl.String,
            "alerts": pl.Int64,
            "count": pl.Int64,
            "level": pl.Int64,
            "title_zh": pl.String,
            "title_en": pl.String,
            "first_seen": pl.Int64,
            "last_seen": pl.Int64,
            "latest": pl.String,
        },
    )
    names = dict(enumerate(LEVELS))
    return frame.with_columns(
        pl.col("level").replace_strict(names, return_dtype=pl.String),
        pl.from_epoch("first_seen", time_unit="us").dt.replace_time_zone("UTC"),
        pl.from_epoch("last_seen", time_unit="us").dt.replace_time_zone("UTC"),
    )


def conflict(alert_id: str, asked: int, stored: int) -> ConflictError:
    """What a person is told who changes an alert that somebody else changed first."""
    return ConflictError(
        f"alert {alert_id} is at version {stored}, not {asked}", remedy="read it again and repeat the change"
    )


def verdicts_frame(rows: Sequence[tuple[Any, ...]]) -> pl.DataFrame:
    """Rows as a table: rule, status, verdict, alerts, their count, last seen in µs; in a fixed order."""
    frame = pl.DataFrame(
        list(rows),
        orient="row",
        schema={
            "rule_id": pl.String,
            "status": pl.String,
            "verdict": pl.String,
            "alerts": pl.Int64,
            "count": pl.Int64,
            "last_seen": pl.Int64,
        },
    )
    return frame.with_columns(pl.from_epoch("last_seen", time_unit="us").dt.replace_time_zone("UTC")).sort(
        "rule_id", "status", "verdict", nulls_last=True
    )
