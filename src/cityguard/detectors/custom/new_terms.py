"""Combinations of values not seen for a while: the first time a source uses this function on this controller."""

from __future__ import annotations

import polars as pl

from cityguard.detectors.custom.kind import US, Tables, fired, shaped, split
from cityguard.sigma.custom import NewTerms

MAX_TERMS = 200_000
SCHEMA: dict[str, pl.DataType] = {"by": pl.String(), "last": pl.Int64()}


class Terms:
    """Remembers when each combination was last seen."""

    def __init__(self, asked: NewTerms, *, most: int = MAX_TERMS) -> None:
        self.asked = asked
        self.most = most
        self.lost = 0
        self._known = pl.DataFrame(schema=SCHEMA)

    def take(self, rows: pl.DataFrame | None, mark: int, since: int) -> pl.DataFrame | None:
        """Hits whose combination is new, once learning is over: ``limit`` µs last seen, ``origin`` µs watched since."""
        if rows is None:
            return None
        long = self.asked.history_s * US
        asked, rest = split(self._known, rows["by"])
        told = rows.join(asked, on="by", how="left", maintain_order="left").with_columns(
            pl.coalesce(pl.col("e").shift().over("by"), "last").alias("before")
        )
        new = pl.col("before").is_null() | (pl.col("e") - pl.col("before") > long)
        learnt = pl.col("e") >= since + self.asked.learn_s * US
        found = told.filter(new & learnt)
        latest = pl.concat([asked, rows.select("by", pl.col("e").alias("last"))])
        self._keep(rest, latest.group_by("by", maintain_order=True).agg(pl.col("last").max()), mark - long)
        hits = fired(found, pl.lit(None), pl.col("before"), pl.lit(since))
        return None if hits is None else hits.drop("before", "last")

    def _keep(self, rest: pl.DataFrame, latest: pl.DataFrame, oldest: int) -> None:
        kept = pl.concat([rest, latest]).filter(pl.col("last") >= oldest)
        if kept.height > self.most:
            # an eighth more leaves, so that not every batch has to choose
            room = self.most - self.most // 8
            self.lost += kept.height - room
            kept = kept.sort("last", "by", descending=[True, False]).head(room)
        self._known = kept

    def waits(self, mark: int) -> bool:
        """Never: only an event can be new."""
        return False

    def tables(self) -> Tables:
        """The combinations and when each was last seen."""
        return {"known": self._known}

    def restore(self, tables: Tables) -> None:
        """Bring back what ``tables`` gave."""
        self._known = shaped(tables["known"], SCHEMA)
