"""A group's count or sum per window against its own earlier windows, judged when the window has closed."""

from __future__ import annotations

import polars as pl

from cityguard.detectors.custom.frame import MAX_IDS, NONE, OWNERS, TIME
from cityguard.detectors.custom.kind import US, Tables, fired, shaped, split
from cityguard.sigma.custom import Baseline
from cityguard.sigma.custom_reading import MAX_SAMPLES
from cityguard.sigma.fields import ENTITIES

MAX_OPEN = 50_000  # groups in windows not closed yet
MAX_KEPT = 1_000_000  # samples of all groups
FORGET_S = 60 * 86_400
HIGH, LOW = 0.95, 0.05
_ROBUST = 1.4826  # median absolute deviation to standard deviation, for a normal distribution
SAMPLES: dict[str, pl.DataType] = {"by": pl.String(), "slot": pl.Int64(), "w": pl.Int64(), "v": pl.Float64()}


class Baselines:
    """Remembers the open windows, and what closed ones added up to."""

    def __init__(self, asked: Baseline, *, most: int = MAX_OPEN) -> None:
        self.asked = asked
        self.most = most
        self.lost = 0
        self._open: pl.DataFrame | None = None
        self._samples = pl.DataFrame(schema=SAMPLES)
        self._trimmed = 0  # samples after the last trimming
        self._closes: int | None = None  # when the next open window closes

    def take(self, rows: pl.DataFrame | None, mark: int, since: int) -> pl.DataFrame | None:
        """Windows far from what is usual: ``x`` the value, ``limit`` the bound, ``origin`` the oldest sample."""
        self._add(rows)
        if self._open is None or not self.waits(mark):
            return None
        long = self.asked.window_s * US
        closed = self._open.filter(pl.col("w") + long <= mark)
        self._restart(self._open.filter(pl.col("w") + long > mark))
        found = [self._judge(one) for _, one in closed.sort("w", "by").group_by("w", maintain_order=True)]
        self._forget(mark)
        told = [one for one in found if one is not None]
        return pl.concat(told) if told else None

    # ------------------------------------------------------------ windows

    def _add(self, rows: pl.DataFrame | None) -> None:
        if rows is None:
            return
        long = self.asked.window_s * US
        fresh = rows.with_columns(
            (pl.col("e") // long * long).alias("w"),
            pl.lit(1).cast(pl.Int64).alias("n"),
            pl.concat_list("id").alias("ids"),
            pl.col("e").alias("to"),
            (pl.col("value") if self.asked.field else pl.lit(1.0)).fill_null(0.0).cast(pl.Float64).alias("v"),
        )
        fresh = _summed(fresh)
        if self._open is None:
            merged = fresh
        else:
            asked, rest = split(self._open, rows["by"])
            merged = pl.concat([rest, _summed(pl.concat([asked, fresh])) if asked.height else fresh])
        if merged.height > self.most:
            room = self.most - self.most // 8
            self.lost += merged.height - room
            merged = merged.sort("n", "w", "by", descending=[True, False, False]).head(room)
        self._restart(merged)

    def _restart(self, table: pl.DataFrame) -> None:
        self._open = table if table.height else None
        first = table["w"].min() if table.height else None
        self._closes = first + self.asked.window_s * US if isinstance(first, int) else None

    # ------------------------------------------------------------ judging

    def _judge(self, window: pl.DataFrame) -> pl.DataFrame | None:
        """One closed window of all groups that had one; it becomes a sample afterwards."""
        window = window.with_columns(_slot(self.asked).alias("slot"))
        told = window.join(self._usual(window), on="by", how="left", maintain_order="left")
        enough = pl.col("samples").fill_null(0) >= self.asked.min_samples
        high, low = pl.col("v") > pl.col("high"), pl.col("v") < pl.col("low")
        odd = {"up": high, "down": low, "both": high | low}[self.asked.direction]
        hits = told.filter(enough & odd.fill_null(False))
        self._learn(told.with_columns(enough.alias("enough")))
        bound = pl.when(pl.col("v") > pl.col("high")).then("high").otherwise("low")
        found = fired(hits, pl.col("v"), bound, pl.col("first"))
        if found is None:
            return None
        who = [f"who{index}" for index in range(len(ENTITIES))]
        end = pl.col("w") + self.asked.window_s * US
        found = found.with_columns(pl.when(pl.col(name) != NONE).then(name).alias(name) for name in who)
        found = found.with_columns(pl.col("w").cast(TIME).alias("time"), pl.col("w").alias("from"), end.alias("e"))
        return found.drop("w", "v", "slot", "samples", "first", "high", "low")

    def _usual(self, window: pl.DataFrame) -> pl.DataFrame:
        """By group: how many samples, the first of them, and between which bounds a value is usual."""
        # all of one window are of one slot; samples stand in the order of their windows
        alike = pl.col("slot") == window["slot"][0]
        mine = self._samples.filter(alike & pl.col("by").is_in(window["by"].unique().implode()))
        value, times = pl.col("v").tail(MAX_SAMPLES), self.asked.threshold
        if self.asked.method == "quantile":
            high, low = value.quantile(HIGH, "linear") * times, value.quantile(LOW, "linear") / times
            bounds = [high.alias("high"), low.alias("low")]
        else:
            middle, spread = value.median(), (value - value.median()).abs().median() * _ROBUST
            if self.asked.method == "ewma":
                middle = value.ewm_mean(span=self.asked.min_samples, adjust=True).last()
                spread = value.ewm_std(span=self.asked.min_samples, adjust=True).last().fill_null(0.0)
            spread = pl.max_horizontal(spread, middle.abs() * 0.05, pl.lit(1.0))
            bounds = [(middle + times * spread).alias("high"), (middle - times * spread).alias("low")]
        about = [value.len().alias("samples"), pl.col("w").tail(MAX_SAMPLES).min().alias("first")]
        return mine.group_by("by", maintain_order=True).agg(*about, *bounds)

    def _learn(self, told: pl.DataFrame) -> None:
        """What is far off counts as far as the bound: an attack does not become usual at once."""
        clipped = pl.when("enough").then(pl.col("v").clip(pl.col("low"), pl.col("high"))).otherwise("v")
        fresh = told.select("by", "slot", "w", clipped.alias("v"))
        self._samples = pl.concat([self._samples, fresh])

    def _forget(self, mark: int) -> None:
        kept = self._samples.filter(pl.col("w") >= mark - FORGET_S * US)
        if kept.height > 2 * self._trimmed + MAX_SAMPLES:  # now and then: what is older is passed over anyway
            kept = kept.group_by("by", "slot", maintain_order=True).tail(MAX_SAMPLES).select(list(SAMPLES))
            self._trimmed = kept.height
        if kept.height > MAX_KEPT:
            self.lost += kept.height - MAX_KEPT
            kept = kept.sort("w", "by", descending=[True, False]).head(MAX_KEPT).sort("w", "by")
        self._samples = kept

    # ------------------------------------------------------------ state

    def waits(self, mark: int) -> bool:
        """True when a window has closed by then."""
        return self._closes is not None and mark >= self._closes

    def tables(self) -> Tables:
        """Samples and open windows."""
        return {"samples": self._samples} | ({} if self._open is None else {"open": self._open})

    def restore(self, tables: Tables) -> None:
        """Bring back what ``tables`` gave."""
        samples = shaped(tables["samples"], SAMPLES)
        found = tables.get("open")
        if found is not None:
            found.select(pl.col("by").cast(pl.String), pl.col("w", "n").cast(pl.Int64), pl.col("v").cast(pl.Float64))
            self._restart(found)
        self._samples = samples


def _slot(asked: Baseline) -> pl.Expr:
    """Windows that are compared: those of the same hour of day, or all."""
    return pl.col("w") // (3600 * US) % 24 if asked.method == "seasonal" else pl.lit(0).cast(pl.Int64)


def _summed(rows: pl.DataFrame) -> pl.DataFrame:
    """One row per group and window; the first of what is shown, and who, where all agree (else ``NONE``)."""
    who = [f"who{index}" for index in range(len(ENTITIES))]
    added = ("by", "w", "n", "v", "ids", "to", *who)
    first = [pl.col(name).drop_nulls().first() for name in rows.columns if name in OWNERS or name.startswith("show")]
    named = {*OWNERS, *(name for name in rows.columns if name.startswith("show"))}
    rest = [pl.col(name).first() for name in rows.columns if name not in added and name not in named]
    return (
        rows.group_by("by", "w", maintain_order=True)
        .agg(
            *(pl.col(name).sum() for name in ("n", "v")),
            pl.col("ids").list.explode().drop_nulls().head(MAX_IDS),
            pl.col("to").max(),
            *first,
            *rest,
            *(
                pl.when(pl.col(one).min() == pl.col(one).max())
                .then(pl.col(one).min())
                .otherwise(pl.when(pl.col(one).min().is_not_null()).then(pl.lit(NONE)))
                .alias(one)
                for one in who
            ),
        )
        .select(rows.columns)
    )
