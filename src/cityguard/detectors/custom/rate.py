"""Too many hits in too short a time: the n-th of a group within a span, and those that follow as fast."""

from __future__ import annotations

import polars as pl

from cityguard.detectors.custom.kind import US, Tables, fired, shaped, split
from cityguard.sigma.custom import Rate

MAX_ROWS = 500_000
SCHEMA: dict[str, pl.DataType] = {"by": pl.String(), "e": pl.Int64()}


class Rates:
    """Remembers the last hits of each group: one less than the rate asks for."""

    def __init__(self, asked: Rate, *, most: int = MAX_ROWS) -> None:
        self.asked = asked
        self.most = most
        self.lost = 0
        self._last = pl.DataFrame(schema=SCHEMA)

    def take(self, rows: pl.DataFrame | None, mark: int, since: int) -> pl.DataFrame | None:
        """Hits over the rate: ``x`` seconds that so many hits took, ``origin`` the first of them."""
        if rows is None:
            return None
        back = self.asked.gte - 1
        own = rows.select("by", "e").with_row_index("q").select("by", "e", pl.col("q").cast(pl.Int64))
        asked, rest = split(self._last, rows["by"])
        both = pl.concat([asked.with_columns(pl.lit(None, dtype=pl.Int64).alias("q")), own])
        both = both.sort("by", maintain_order=True).with_columns(pl.col("e").shift(back).over("by").alias("first"))
        over = both.filter(pl.col("q").is_not_null() & (pl.col("first") >= pl.col("e") - self.asked.per_s * US))
        self._keep(rest, both, back, mark)
        over = over.sort("q")
        hits = rows[over["q"]].with_columns(over["first"], over["first"].alias("from"))
        taken = (pl.col("e") - pl.col("first")) / US
        found = fired(hits, taken, pl.lit(self.asked.gte), pl.col("first"))
        return None if found is None else found.drop("first")

    def _keep(self, rest: pl.DataFrame, both: pl.DataFrame, back: int, mark: int) -> None:
        own = both.select("by", "e").group_by("by", maintain_order=True).tail(back)
        kept = pl.concat([rest, own]).filter(pl.col("e") >= mark - self.asked.per_s * US)
        if kept.height > self.most:
            room = self.most - self.most // 8
            self.lost += kept.height - room
            newest = kept.with_row_index("q").sort("e", "by", "q", descending=[True, False, True]).head(room)
            kept = newest.sort("q").drop("q")
        self._last = kept

    def waits(self, mark: int) -> bool:
        """Never: a rate rises with events only."""
        return False

    def tables(self) -> Tables:
        """The last hits of each group."""
        return {"last": self._last}

    def restore(self, tables: Tables) -> None:
        """Bring back what ``tables`` gave."""
        self._last = shaped(tables["last"], SCHEMA)
