"""Steps one after the other, and nothing that ends them between: the rule's own hit is the last step."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from cityguard.detectors.custom.kind import US, Tables, fired, shaped, split
from cityguard.sigma.custom import Sequence

MAX_ROWS = 200_000
UNTIL = -1  # role of what ends a sequence; steps are 0, 1 …
SCHEMA: dict[str, pl.DataType] = {"by": pl.String(), "e": pl.Int64(), "role": pl.Int64(), "id": pl.String()}
Ints = npt.NDArray[np.int64]


class Sequences:
    """Remembers, per group and step, the latest beginning of a chain that came so far."""

    def __init__(self, asked: Sequence, *, most: int = MAX_ROWS) -> None:
        self.asked = asked
        self.most = most
        self.lost = 0
        self._chains = pl.DataFrame(schema=SCHEMA)  # e and id of the beginning; role: the step reached

    def take(self, rows: pl.DataFrame | None, mark: int, since: int) -> pl.DataFrame | None:
        """Last steps that complete a sequence: ``x`` steps, ``origin`` the beginning, whose event is told too."""
        if rows is None:
            return None
        own = rows.with_row_index("q").select(*SCHEMA, pl.col("q").cast(pl.Int64)).cast(dict(SCHEMA))  # type: ignore[arg-type]
        # beginnings in their order, so that of two chains the later one has the higher index
        asked, rest = split(self._chains, rows["by"])
        kept = asked.sort("by", "e", "role").with_columns(pl.lit(None, dtype=pl.Int64).alias("q"))
        both = pl.concat([kept, own]).sort("by", maintain_order=True)
        begin = _begins(both)
        levels = self._levels(both, begin)
        start, time = levels[-1], both["e"].to_numpy()
        done = np.flatnonzero((start >= 0) & (both["role"].to_numpy() == len(self.asked.steps)))
        done = done[time[done] - time[start[done]] <= self.asked.maxspan_s * US]
        found = both[done].select("q", pl.Series("origin", time[start[done]]), both["id"][start[done]].alias("first"))
        self._keep(rest, both, begin, levels[:-1], mark)
        found = found.sort("q")
        hits = rows[found["q"]].with_columns(
            found["origin"], found["origin"].alias("from"), found["first"], pl.lit(1).alias("n")
        )
        hits = hits.with_columns(pl.concat_list("first", "id").alias("ids")).drop("first")
        return fired(hits, pl.lit(len(self.asked.steps) + 1), pl.lit(self.asked.maxspan_s), pl.col("origin"))

    def _levels(self, both: pl.DataFrame, begin: Ints) -> list[Ints]:
        """For every step, where the chain begins that a row takes there; -1 for none."""
        role, kept = both["role"].to_numpy(), both["q"].is_null().to_numpy()
        here = np.arange(both.height, dtype=np.int64)
        levels = [np.where(role == 0, here, np.int64(-1))]
        for step in range(1, len(self.asked.steps) + 1):
            # the latest beginning of a chain that came this far before this row, and since what ended others
            reached = np.maximum.accumulate(np.concatenate(([np.int64(-1)], levels[-1])))[:-1]
            joined = np.where(reached >= begin, reached, np.int64(-1))
            levels.append(np.where(role == step, np.where(kept, here, joined), np.int64(-1)))
        return levels

    def _keep(self, rest: pl.DataFrame, both: pl.DataFrame, begin: Ints, levels: list[Ints], mark: int) -> None:
        if not both.height:
            return
        ends = np.flatnonzero(np.append((both["by"] != both["by"].shift(-1)).fill_null(True).to_numpy()[:-1], True))
        found = [rest]
        for step, level in enumerate(levels):
            reached = np.maximum.accumulate(level)[ends]
            chain = both[reached[reached >= begin[ends]]]
            found.append(chain.select("by", "e", pl.lit(step, dtype=pl.Int64).alias("role"), "id"))
        kept = pl.concat(found).filter(pl.col("e") >= mark - self.asked.maxspan_s * US)
        if kept.height > self.most:
            room = self.most - self.most // 8
            self.lost += kept.height - room
            kept = kept.sort("e", "by", "role", descending=[True, False, False]).head(room)
        self._chains = kept

    def waits(self, mark: int) -> bool:
        """Never: a sequence is completed by an event."""
        return False

    def tables(self) -> Tables:
        """The chains begun."""
        return {"chains": self._chains}

    def restore(self, tables: Tables) -> None:
        """Bring back what ``tables`` gave."""
        self._chains = shaped(tables["chains"], SCHEMA)


def _begins(both: pl.DataFrame) -> Ints:
    """Index of the first row of each row's group, or of the last row before it that ended chains. int64[n]."""
    here = np.arange(both.height, dtype=np.int64)
    fresh = (both["by"] != both["by"].shift(1)).fill_null(True).to_numpy() | (both["role"].to_numpy() == UNTIL)
    return np.maximum.accumulate(np.where(fresh, here, 0)) if both.height else here
