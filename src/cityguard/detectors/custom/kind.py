"""What every kind of memory is: ordered rows in, rows that fire out; its state is a few bounded tables."""

from __future__ import annotations

from typing import Protocol

import polars as pl

from cityguard.detectors.custom.frame import MAX_IDS

US = 1_000_000
Tables = dict[str, pl.DataFrame]


class Kind(Protocol):
    """Decides over the hits of one rule, in the order of event time."""

    lost: int  # groups or values given up because there were too many

    def take(self, rows: pl.DataFrame | None, mark: int, since: int) -> pl.DataFrame | None:
        """Rows that fire.

        Args:
            rows: hits with ``e`` (µs, ascending, none before an earlier ``mark``), ``by`` (their group), ``role`` and
                ``value``; None when only time has passed.
            mark: everything up to here has been given; µs.
            since: the first moment the rule could have seen anything; µs.

        Returns:
            The rows with what ``fired`` adds; None when none fires.
        """

    def waits(self, mark: int) -> bool:
        """True when time alone, having come to ``mark``, can decide something."""

    def tables(self) -> Tables:
        """All state."""

    def restore(self, tables: Tables) -> None:
        """Bring back what ``tables`` gave.

        Raises:
            KeyError: a table is missing.
            polars.exceptions.PolarsError: a table has other columns.
        """


def fired(rows: pl.DataFrame, x: pl.Expr, limit: pl.Expr, origin: pl.Expr) -> pl.DataFrame | None:
    """Rows as an alert is made of them.

    Args:
        rows: those that fire, with ``e``; ``n`` and ``ids`` where one stands for many, ``from`` and ``to`` (µs) where
            it stands for more than its own moment.
        x: what was seen.
        limit: what was expected.
        origin: a moment that explains it, µs.
    """
    if not rows.height:
        return None
    many = "ids" in rows.columns
    when = pl.col("time").dt.epoch("us")
    return rows.with_columns(
        (pl.col("from") if "from" in rows.columns else when).cast(pl.Int64).alias("from"),
        (pl.col("to") if "to" in rows.columns else when).cast(pl.Int64).alias("to"),
        x.cast(pl.Float64).alias("x"),
        limit.cast(pl.Float64).alias("limit"),
        origin.cast(pl.Int64).alias("origin"),
        (pl.col("n") if many else pl.lit(1)).cast(pl.Int64).alias("n"),
        (pl.col("ids") if many else pl.concat_list("id")).list.head(MAX_IDS).alias("ids"),
    )


def split(table: pl.DataFrame, groups: pl.Series) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows of a state that are of these groups, and the others: what is not asked is not worked over.

    Args:
        table: a state; the column named as ``groups`` holds its groups.
        groups: the groups asked for, repeated or not.
    """
    asked = table[groups.name].is_in(groups.unique().implode())
    return table.filter(asked), table.filter(~asked)


def shaped(table: pl.DataFrame, schema: dict[str, pl.DataType]) -> pl.DataFrame:
    """The table with exactly these columns.

    Raises:
        polars.exceptions.PolarsError: it has others, or values that do not fit.
    """
    return table.select(pl.col(name).cast(kind, strict=True) for name, kind in schema.items())
