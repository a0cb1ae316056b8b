"""What came regularly and has stopped: the poll of a controller, the log of a device."""

from __future__ import annotations

import polars as pl

from cityguard.detectors.custom.frame import TIME
from cityguard.detectors.custom.kind import US, Tables, fired
from cityguard.sigma.custom import Absence

MAX_GROUPS = 50_000
FORGET_S = 7 * 86_400


class Silences:
    """Remembers the last hit of each group, and whether its silence has been told."""

    def __init__(self, asked: Absence, *, most: int = MAX_GROUPS) -> None:
        self.asked = asked
        self.most = most
        self.lost = 0
        self._last: pl.DataFrame | None = None
        self._due: int | None = None  # the next moment at which a silence is too long

    def take(self, rows: pl.DataFrame | None, mark: int, since: int) -> pl.DataFrame | None:
        """One row per silence, at the moment a hit was due: ``x`` hits before, ``origin`` the last of them."""
        fresh = None if rows is None else rows.with_columns(pl.lit(1).cast(pl.Int64).alias("seen"), told=pl.lit(False))
        asked, rest = self._asked(fresh, mark)
        every = [one for one in (asked, fresh) if one is not None]
        if not every:
            return None
        both = pl.concat(every).sort("by", maintain_order=True)
        due = pl.col("e") + self.asked.every_s * US
        following = pl.col("e").shift(-1).over("by").fill_null(mark)
        both = both.with_columns(
            pl.col("seen").cum_sum().over("by"),
            ((following > due) & ~pl.col("told")).alias("silent"),
        )
        silent = both.filter(pl.col("silent") & (pl.col("seen") >= self.asked.after))
        self._keep(rest, both, mark)
        if not silent.height:
            return None
        silent = silent.with_columns(due.cast(TIME).alias("time"))
        told = fired(silent, pl.col("seen"), pl.lit(self.asked.every_s), pl.col("e"))
        assert told is not None
        return told.drop("seen", "silent", "told").with_columns(due.alias("e")).sort("e", "by")

    def _asked(self, fresh: pl.DataFrame | None, mark: int) -> tuple[pl.DataFrame | None, pl.DataFrame | None]:
        """Groups that have new hits or whose silence is too long by now, and the others."""
        if self._last is None:
            return None, None
        over = ~self._last["told"] & (self._last["e"] + self.asked.every_s * US < mark)
        if fresh is not None:
            over = over | self._last["by"].is_in(fresh["by"].unique().implode())
        return self._last.filter(over), self._last.filter(~over)

    def _keep(self, rest: pl.DataFrame | None, both: pl.DataFrame, mark: int) -> None:
        forget = max(FORGET_S, 10 * self.asked.every_s) * US
        last = both.group_by("by", maintain_order=True).last().select(both.columns)
        # a short acquaintance that went is not waited for, but goes on being counted
        last = last.with_columns(pl.col("told") | pl.col("silent")).drop("silent")
        last = (last if rest is None else pl.concat([rest, last])).filter(pl.col("e") >= mark - forget)
        if last.height > self.most:
            room = self.most - self.most // 8
            self.lost += last.height - room
            last = last.sort("e", "by", descending=[True, False]).head(room)
        self._restart(last)

    def _restart(self, last: pl.DataFrame) -> None:
        self._last = last if last.height else None
        waiting = last.filter(~pl.col("told"))["e"].min() if last.height else None
        self._due = waiting + self.asked.every_s * US if isinstance(waiting, int) else None

    def waits(self, mark: int) -> bool:
        """True when a group has been silent for too long by then."""
        return self._due is not None and mark > self._due

    def tables(self) -> Tables:
        """The last hit of each group."""
        return {} if self._last is None else {"last": self._last}

    def restore(self, tables: Tables) -> None:
        """Bring back what ``tables`` gave."""
        last = tables.get("last")
        if last is not None:
            last.select(pl.col("by").cast(pl.String), pl.col("e", "seen").cast(pl.Int64), pl.col("told"))
            self._restart(last)
