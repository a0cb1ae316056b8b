"""Hits of one group belong to the alert that the first of them opened, for as long as the rule says."""

from __future__ import annotations

import numpy as np
import polars as pl

from cityguard.detectors.custom.frame import BETWEEN
from cityguard.detectors.custom.kind import US, Tables, shaped, split
from cityguard.sigma.custom import Suppress

MAX_GROUPS = 100_000
SCHEMA: dict[str, pl.DataType] = {"sup": pl.String(), "e": pl.Int64()}


class Openings:
    """Remembers when each group's alert was opened."""

    def __init__(self, asked: Suppress, *, most: int = MAX_GROUPS) -> None:
        self.asked = asked
        self.most = most
        self.lost = 0
        self._open = pl.DataFrame(schema=SCHEMA)

    def take(self, rows: pl.DataFrame, mark: int) -> pl.DataFrame:
        """The rows with ``opened``: µs, when the alert each belongs to was opened.

        Args:
            rows: hits that fire, with ``sup`` (their group) and ``e``, ascending over all calls.
            mark: everything up to here has been given; µs.
        """
        if not rows.height:
            return rows.with_columns(pl.lit(None, dtype=pl.Int64).alias("opened"))
        own = rows.with_row_index("q").select("sup", "e", pl.col("q").cast(pl.Int64))
        asked, rest = split(self._open, rows["sup"])
        both = pl.concat([asked.with_columns(pl.lit(None, dtype=pl.Int64).alias("q")), own])
        both = both.sort("sup", maintain_order=True)
        both = both.with_columns(pl.Series("opened", self._opened(both)))
        last = both.group_by("sup", maintain_order=True).agg(pl.col("opened").last().alias("e"))
        self._keep(pl.concat([rest, last]).filter(pl.col("e") + self.asked.for_s * US >= mark))
        back = both.filter(pl.col("q").is_not_null()).sort("q")
        return rows.with_columns(back["opened"])

    def _opened(self, both: pl.DataFrame) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """Jump from each opening to the first row after its span; one step for all groups at once."""
        group = both["sup"].rank("dense").cast(pl.Int64).to_numpy()
        time = both["e"].to_numpy()
        span = self.asked.for_s * US
        fresh = np.diff(group, prepend=-1) != 0
        gaps = np.where(fresh, span + 1, np.minimum(np.diff(time, prepend=time[:1]), span + 1))
        key = np.cumsum(gaps)
        following = np.searchsorted(key, key + span, "right")
        opens = fresh.copy()
        at = np.flatnonzero(fresh)
        while len(at):
            at = following[at]
            at = at[at < len(key)]
            at = at[~opens[at]]  # the first of another group is one already
            opens[at] = True
        begin = np.maximum.accumulate(np.where(opens, np.arange(len(key)), 0))
        found: np.ndarray[tuple[int], np.dtype[np.int64]] = time[begin]
        return found

    def _keep(self, open_: pl.DataFrame) -> None:
        if open_.height > self.most:
            room = self.most - self.most // 8
            self.lost += open_.height - room
            open_ = open_.sort("e", "sup", descending=[True, False]).head(room)
        self._open = open_

    def tables(self) -> Tables:
        """When each group's alert was opened."""
        return {"open": self._open}

    def restore(self, tables: Tables) -> None:
        """Bring back what ``tables`` gave."""
        self._open = shaped(tables["open"], SCHEMA)


class Joins:
    """The same for firings of correlations, which come one by one: which alert each belongs to."""

    def __init__(self, *, most: int = MAX_GROUPS) -> None:
        self.most = most
        self.opened: dict[str, int] = {}  # correlation and group -> when its alert was opened, seconds

    def bucket(self, name: str, group: tuple[str, ...], bucket_s: int, for_s: int) -> int:
        """When the alert was opened to which a firing in this bucket belongs; seconds."""
        key = BETWEEN.join((name, *group))
        opened = self.opened.get(key)
        if opened is not None and abs(bucket_s - opened) <= for_s:
            return opened
        self.opened.pop(key, None)
        self.opened[key] = bucket_s
        while len(self.opened) > self.most:
            del self.opened[next(iter(self.opened))]
        return bucket_s
