"""Hits of a rule as narrow rows: when, who, which group, and what an alert shows of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import polars as pl

from cityguard.model import EventBatch
from cityguard.sigma.ast import Rule
from cityguard.sigma.correlation import nothing, owner, text_of
from cityguard.sigma.fields import ENTITIES
from cityguard.sigma.view import View

MAX_SHOWN = 6  # fields an alert explains itself with
MAX_VALUE = 200  # characters of a value shown
MAX_IDS = 20  # event ids a row that stands for many hits keeps
OWNERS = ("department", "system", "segment")
TIME = pl.Datetime("us", "UTC")
BETWEEN, NONE = "\x1f", "\x00"


def group(rule: Rule) -> tuple[str, ...]:
    """The fields whose values make one alert of this rule."""
    return ENTITIES if rule.head.group is None else rule.head.group


def narrow(rule: Rule, table: pl.DataFrame, batch: EventBatch, now: datetime) -> pl.DataFrame:
    """One row per hit.

    Args:
        rule: whose group and fields are taken.
        table: rows of ``batch`` that hit.
        batch: where they come from.
        now: the time of events that have none.

    Returns:
        Columns ``time`` (µs, UTC), ``id``, ``dataset``, ``key0`` … (the group), ``show0`` … (what is shown), ``who0`` …
        (``ENTITIES``), and ``OWNERS``; all text but the time.
    """
    view = View(table)
    return pl.DataFrame(
        {
            "time": times(table, now),
            "id": table["event.id"].cast(pl.String) if "event.id" in table.columns else nothing(table.height),
            "dataset": pl.repeat(batch.dataset, table.height, dtype=pl.String, eager=True),
            **{f"key{index}": text_of(view, name) for index, name in enumerate(group(rule))},
            **{
                f"show{index}": text_of(view, name).str.slice(0, MAX_VALUE)
                for index, name in enumerate(rule.fields[:MAX_SHOWN])
            },
            **{f"who{index}": text_of(view, name) for index, name in enumerate(ENTITIES)},
            **{name: owner(table, name) for name in OWNERS},
        }
    ).with_columns(pl.col("segment").fill_null(pl.lit(batch.segment, dtype=pl.String)))


def times(table: pl.DataFrame, now: datetime) -> pl.Series:
    """When each event happened; when it was received, or now, where that is unknown. Datetime[µs, UTC]."""
    have = [name for name in ("@timestamp", "event.ingested") if name in table.columns]
    found = pl.coalesce(*(pl.col(name).cast(TIME) for name in have), pl.lit(now, dtype=TIME))
    return table.select(pl.repeat(0, pl.len()).alias("_"), found.alias("time"))["time"]


def joined(view: View, fields: Sequence[str]) -> pl.Series:
    """The values of several fields as one text per row, so that different values never give the same text."""
    if not fields:
        return pl.repeat("", view.height, dtype=pl.String, eager=True)
    # what joins values must not come from a value
    clean = [text_of(view, name).str.replace_all(f"[{BETWEEN}{NONE}]", " ").fill_null(NONE) for name in fields]
    named = [series.alias(str(index)) for index, series in enumerate(clean)]
    return pl.DataFrame(named).select(pl.concat_str(pl.all(), separator=BETWEEN)).to_series()


def parts(text: str, fields: Sequence[str]) -> tuple[str, ...]:
    """The values ``joined`` put together; ``NONE`` where one was missing."""
    return tuple(text.split(BETWEEN)) if fields else ()
