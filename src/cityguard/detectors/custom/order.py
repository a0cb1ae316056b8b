"""Rows in the order of event time, whatever the batches they came in: held until a watermark has passed them.

A row is late when the watermark of its input stood beyond it at the place where it arrived; it then counts at that
watermark. Both depend on the sequence of rows alone, so that no border between batches changes anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

Ints = npt.NDArray[np.int64]
LATENESS_S = 30
MAX_HELD = 100_000  # rows waiting, per rule
MAX_LANES = 64
NEVER = -(1 << 62)


@dataclass(slots=True)
class Lanes:
    """How far each input (data set and collector) has come: µs since the epoch."""

    reached: dict[str, int] = field(default_factory=dict)

    def advance(self, lane: str, time: Ints) -> Ints:
        """Take the times of a batch, in the order of its rows; gives the newest time up to each row."""
        before = self.reached.get(lane, NEVER)
        newest = np.maximum.accumulate(np.concatenate(([before], time)))[1:]
        if len(newest):
            self.reached[lane] = int(newest[-1])
        while len(self.reached) > MAX_LANES:  # the one that is furthest behind waits for nobody
            del self.reached[min(self.reached, key=lambda name: self.reached[name])]
        return newest


@dataclass(slots=True)
class Order:
    """The waiting rows of one rule."""

    lateness_us: int = LATENESS_S * 1_000_000
    lanes: set[str] = field(default_factory=set)  # those the rule's log source takes
    mark: int = NEVER  # everything up to here is decided
    since: int | None = None  # the first time this rule could have seen anything
    held: pl.DataFrame | None = None  # with t: µs
    late: int = 0
    hurried: int = 0  # rows let go early because too many waited

    @classmethod
    def of(cls, counts: Mapping[str, Any], held: pl.DataFrame | None) -> Order:
        """Made from what ``counts`` gave and the rows that waited.

        Raises:
            KeyError, TypeError, ValueError, PolarsError: they are not that.
        """
        if held is not None:
            held.select(pl.col("t").cast(pl.Int64), pl.col("role").cast(pl.Int64), pl.col("by", "sup", "id"))
        since = None if counts["since"] is None else int(counts["since"])
        lanes = {str(name) for name in counts["lanes"]}
        late, hurried = int(counts["late"]), int(counts["hurried"])
        return cls(LATENESS_S * 1_000_000, lanes, int(counts["mark"]), since, held, late, hurried)

    def counts(self) -> dict[str, Any]:
        """All state but the rows that wait."""
        lost = {"late": self.late, "hurried": self.hurried}
        return {"lanes": sorted(self.lanes), "mark": self.mark, "since": self.since, **lost}

    def take(self, lane: str, reached: Lanes, newest: Ints, rows: pl.DataFrame, place: Ints) -> pl.DataFrame | None:
        """Add rows of one batch; gives those that are decided now.

        Args:
            lane: the input they come from.
            reached: how far all inputs have come, this batch included.
            newest: int64[height of the batch, not 0], what ``Lanes.advance`` gave for it.
            rows: hits, with ``t`` (µs), ``role`` and ``id``.
            place: int64[rows], their places in the batch.

        Returns:
            Rows with ``e``, the moment each counts at, ascending; None when there is none.
        """
        marks = self._marks(lane, reached, newest)
        time = rows["t"].to_numpy()
        at = np.maximum(np.searchsorted(marks, time, "left"), place)
        own = rows.with_columns(
            pl.Series("r", at, dtype=pl.Int64),
            pl.Series("e", np.maximum(time, marks[place]), dtype=pl.Int64),
        )
        self.late += int(np.count_nonzero(time < marks[place]))
        return self._let(marks, own)

    def pass_by(self, lane: str, reached: Lanes, newest: Ints) -> pl.DataFrame | None:
        """The same for a batch in which nothing hit."""
        return self._let(self._marks(lane, reached, newest), None)

    def forward(self, mark: int) -> pl.DataFrame | None:
        """Nothing older than ``mark`` is waited for any more."""
        self.mark = max(self.mark, mark)
        return self._let(np.array([self.mark], dtype=np.int64), None)

    def finish(self, reached: Lanes) -> pl.DataFrame | None:
        """The input has ended: everything is decided."""
        ends = [reached.reached[name] for name in self.lanes if name in reached.reached]
        return self.forward(max(ends)) if ends else None

    def _marks(self, lane: str, reached: Lanes, newest: Ints) -> Ints:
        """The watermark at each row of a batch."""
        self.lanes.add(lane)
        if self.since is None:
            self.since = int(newest[0])
        others = [reached.reached[name] for name in self.lanes if name != lane and name in reached.reached]
        marks = np.minimum(newest, min(others)) if others else newest
        return np.maximum(marks - self.lateness_us, self.mark)

    def _let(self, marks: Ints, own: pl.DataFrame | None) -> pl.DataFrame | None:
        every = [frame for frame in (self._waiting(marks), own) if frame is not None and frame.height]
        self.mark = int(marks[-1])
        if not every:
            return None
        whole = pl.concat(every, how="vertical") if len(every) > 1 else every[0]
        ready = pl.col("r") < len(marks)
        wait = whole.filter(~ready)
        out = [whole.filter(ready)]
        if wait.height > MAX_HELD:
            wait = wait.sort("e", "role", "id", maintain_order=True)
            over = wait.height - MAX_HELD
            out.append(wait.head(over))
            wait = wait.slice(over)
            self.hurried += over
            self.mark = max(self.mark, int(out[-1]["e"][-1]))
        self.held = wait.drop("r", "e") if wait.height else None
        found = pl.concat(out).sort("e", "r", "role", "id", maintain_order=True)
        return found.drop("r") if found.height else None

    def _waiting(self, marks: Ints) -> pl.DataFrame | None:
        if self.held is None:
            return None
        time = self.held["t"].to_numpy()
        return self.held.with_columns(
            pl.Series("r", np.searchsorted(marks, time, "left"), dtype=pl.Int64), pl.Series("e", time, dtype=pl.Int64)
        )
