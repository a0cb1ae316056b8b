"""The learned baseline: from stored messages to who did what to whom, where, when and how often; in columns."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import orjson
import polars as pl

from cityguard.errors import InputError
from cityguard.model import Query
from cityguard.otpolicy import addresses
from cityguard.otpolicy.acts import KEYS, acts
from cityguard.store.base import Events

STATE = "otpolicy.baseline"
MAX_DEEDS = 20_000
MAX_SPOTS = 1_000_000  # distinct addresses held while learning
MAX_STATE = 64 << 20
PAGE = 100_000
_SAME = (*KEYS, "lo", "text")  # a poll asks for several addresses in one go: each has its own pace
_LEAST = 8  # gaps needed before a period is told
_TIMES = ("first", "last", "heard")
_SCHEMA: dict[str, Any] = {
    **dict.fromkeys(KEYS, pl.String()),
    **dict.fromkeys(("name", "ip", "asset", "department", "system", "unit"), pl.String()),
    **dict.fromkeys(("count", "days", "workday_hours", "restday_hours"), pl.Int64()),
    **dict.fromkeys(("first", "last", "heard"), pl.Datetime("us", "UTC")),
    **dict.fromkeys(("reports", "platform"), pl.Boolean()),
    "period_s": pl.Float64(),
    "addresses": pl.List(pl.String()),
    "scopes": pl.List(pl.String()),
}


@dataclass(frozen=True, slots=True)
class Baseline:
    """What was seen between two moments: one row per station, master, protocol, class and code (``deeds``).

    ``workday_hours`` and ``restday_hours`` are bits of the city's hours; ``addresses`` as in a policy line, empty =
    too many to name, or none; ``period_s`` the usual distance of two, where it is regular.
    """

    start: datetime
    end: datetime
    events: int
    deeds: pl.DataFrame
    lost: int = 0  # rare deeds left out, beyond ``MAX_DEEDS``

    @property
    def days(self) -> float:
        """How long what was seen spans, in days."""
        if self.deeds.is_empty():
            return 0.0
        first, last = self.deeds["first"].min(), self.deeds["last"].max()
        assert isinstance(first, datetime) and isinstance(last, datetime)
        return (last - first).total_seconds() / 86_400


class Learner:
    """Takes tables of ``ot`` rows, oldest first, and gathers them."""

    def __init__(self, zone: ZoneInfo) -> None:
        self.zone = zone
        self.events = 0
        self._deeds: list[pl.DataFrame] = []
        self._spots: list[pl.DataFrame] = []
        self._gaps: list[pl.DataFrame] = []
        self._last: pl.DataFrame | None = None
        self._full = False

    def add(self, table: pl.DataFrame) -> None:
        """One more table."""
        self.events += table.height
        seen = acts(table).drop_nulls("at")
        if seen.is_empty():
            return
        each = seen.unique("n", keep="first", maintain_order=True)
        self._deeds.append(_deeds(each, self.zone))
        self._gap(each)
        if not self._full:
            self._spots.append(seen.select(*KEYS, "text", "lo", "hi").drop_nulls("lo").unique())
            self._spots.append(seen.select(*KEYS, "text", "lo", "hi").drop_nulls("text").unique())
        if len(self._spots) > 32:
            self._fold()

    def finish(self, start: datetime, end: datetime) -> Baseline:
        """The baseline of everything taken."""
        if not self._deeds:
            return Baseline(start, end, self.events, pl.DataFrame(schema=_SCHEMA))
        self._fold()
        deeds = self._deeds[0].sort("count", *KEYS, descending=[True] + [False] * len(KEYS), nulls_last=True)
        kept = deeds.head(MAX_DEEDS).with_columns(pl.col("days").list.n_unique().cast(pl.Int64))
        found = kept.join(self._periods(), on=KEYS, how="left", nulls_equal=True)
        found = found.join(self._addresses(kept), on=KEYS, how="left", nulls_equal=True)
        whole = found.with_columns(pl.col("addresses").fill_null(pl.lit([], dtype=pl.List(pl.String()))))
        made = whole.select(pl.col(name).cast(kind) for name, kind in _SCHEMA.items()).sort(*KEYS, nulls_last=True)
        return Baseline(start, end, self.events, made, max(0, deeds.height - MAX_DEEDS))

    def _fold(self) -> None:
        both = pl.concat(self._deeds)
        self._deeds = [both.group_by(KEYS, maintain_order=True).agg(*_FOLDED)]
        if self._spots:
            self._spots = [pl.concat(self._spots).unique()]
            self._full = self._spots[0].height > MAX_SPOTS  # a station that is asked for everything: any address

    def _gap(self, each: pl.DataFrame) -> None:
        """Distances between two of a kind, also over the border of two tables."""
        now = each.filter(pl.col("asks") | pl.col("reports")).select(*_SAME, "at").drop_nulls("at")
        both = now if self._last is None else pl.concat([self._last, now])
        both = both.sort("at", maintain_order=True)
        gap = (pl.col("at").diff().over(_SAME).dt.total_microseconds() / 1e6).alias("gap")
        spread = both.with_columns(gap).drop_nulls("gap").group_by(_SAME).agg(
            pl.len().alias("n"),
            pl.col("gap").median().alias("mid"),
            pl.col("gap").quantile(0.9).alias("high"),
            pl.col("gap").quantile(0.1).alias("low"),
        )  # fmt: skip
        self._gaps.append(spread)
        self._last = both.group_by(_SAME, maintain_order=True).last().select(*_SAME, "at").tail(MAX_DEEDS)

    def _periods(self) -> pl.DataFrame:
        """The usual distance per deed: of the table that held most of them, where nine of ten are near it."""
        best = pl.concat(self._gaps).sort("n", *_SAME, descending=[True] + [False] * len(_SAME), nulls_last=True)
        best = best.unique(KEYS, keep="first", maintain_order=True)
        steady = (pl.col("n") >= _LEAST) & (pl.col("mid") > 0) & (pl.col("high") <= 2 * pl.col("mid"))
        steady &= pl.col("low") >= pl.col("mid") / 2
        return best.filter(steady).select(*KEYS, pl.col("mid").round(3).alias("period_s"))

    def _addresses(self, kept: pl.DataFrame) -> pl.DataFrame:
        if self._full:
            return kept.select(*KEYS, pl.lit([], dtype=pl.List(pl.String())).alias("addresses"))
        spots = self._spots[0].join(kept.select(KEYS), on=KEYS, how="semi", nulls_equal=True)
        numbers = spots.filter(pl.col("lo").is_not_null()).sort(*KEYS, "lo", "hi", nulls_last=True)
        before = pl.col("hi").cum_max().shift(1).over(KEYS)
        joined = numbers.with_columns((before.is_null() | (pl.col("lo") > before + 1)).cum_sum().alias("run"))
        runs = joined.group_by(*KEYS, "run", maintain_order=True).agg(pl.col("lo").min(), pl.col("hi").max())
        ranges = runs.group_by(KEYS, maintain_order=True).agg("lo", "hi")
        texts = spots.filter(pl.col("text").is_not_null() & pl.col("lo").is_null())
        names = texts.group_by(KEYS, maintain_order=True).agg(pl.col("text").unique().sort())
        both = ranges.join(names, on=KEYS, how="full", coalesce=True, nulls_equal=True)
        said = [
            list(addresses.words(zip(lo or (), hi or (), strict=True), text or ()))
            for lo, hi, text in both.select("lo", "hi", "text").iter_rows()
        ]
        return both.select(KEYS).with_columns(pl.Series("addresses", said, dtype=pl.List(pl.String())))


def _deeds(each: pl.DataFrame, zone: ZoneInfo) -> pl.DataFrame:
    """Messages by key: requests are counted, replies only where no request was seen."""
    bit = pl.lit(2, dtype=pl.Int64()) ** pl.col("hour").cast(pl.Int64)
    marked = each.with_columns(bit.cast(pl.Int64).alias("bit"))
    return marked.group_by(KEYS, maintain_order=True).agg(
        pl.col("asks").sum().cast(pl.Int64).alias("asked"),
        pl.len().cast(pl.Int64).alias("seen"),
        pl.when(pl.col("asks").any()).then(pl.col("asks").sum()).otherwise(pl.len()).cast(pl.Int64).alias("count"),
        pl.col("at").min().alias("first"),
        pl.col("at").max().alias("last"),
        pl.col("at").dt.convert_time_zone(str(zone)).dt.date().unique().alias("days"),
        pl.col("bit").filter(pl.col("workday")).bitwise_or().fill_null(0).alias("workday_hours"),
        pl.col("bit").filter(~pl.col("workday")).bitwise_or().fill_null(0).alias("restday_hours"),
        pl.col("reports").all(),
        pl.when(pl.col("platform").count() > 0).then(pl.col("platform").any()).alias("platform"),
        *(pl.col(name).drop_nulls().first() for name in ("name", "ip", "asset", "department", "system", "unit")),
        pl.col("at").filter(pl.col("reports")).max().alias("heard"),
        pl.col("scopes").first(),
    )


_FOLDED = (
    pl.col("asked", "seen").sum(),
    pl.when(pl.col("asked").sum() > 0).then(pl.col("asked").sum()).otherwise(pl.col("seen").sum()).alias("count"),
    pl.col("first").min(),
    pl.col("last").max(),
    pl.col("days").list.explode().unique(),
    pl.col("workday_hours").bitwise_or(),
    pl.col("restday_hours").bitwise_or(),
    pl.col("reports").all(),
    pl.when(pl.col("platform").count() > 0).then(pl.col("platform").any()).alias("platform"),
    *(pl.col(name).drop_nulls().first() for name in ("name", "ip", "asset", "department", "system", "unit")),
    pl.col("heard").max(),
    pl.col("scopes").first(),
)


def as_acts(deeds: pl.DataFrame) -> pl.DataFrame:
    """Deeds as acts, one row per address entry, at the time they were last seen: for holding them against a policy."""
    spots = deeds.with_row_index("n").explode("addresses", empty_as_null=True)
    read = [addresses.parse(word) if word else addresses.Allowed() for word in spots["addresses"].to_list()]
    return spots.with_columns(
        pl.Series("lo", [one.lo for one in read], dtype=pl.Int64()),
        pl.Series("hi", [one.hi for one in read], dtype=pl.Int64()),
        pl.Series("text", [one.text or one.begins for one in read], dtype=pl.String()),
        pl.col("last").alias("at"),
        (pl.col("workday_hours") > 0).alias("workday"),
    )


def learn(events: Events, start: datetime, end: datetime, zone: ZoneInfo) -> Baseline:
    """Learn from the stored ``ot`` rows of a time range, page by page, on any store."""
    learner = Learner(zone)
    for table in pages(events, start, end):
        learner.add(table)
    return learner.finish(start, end)


def pages(events: Events, start: datetime, end: datetime) -> Iterable[pl.DataFrame]:
    """Stored ``ot`` rows of a time range, oldest first."""
    after: str | None = None
    while True:
        asked = Query(dataset="ot", start=start, end=end, limit=PAGE, after=after, newest_first=False)
        page = events.query(asked)
        yield page
        if page.height < PAGE:
            return
        after = str(page["event.id"][-1])


# ---------------------------------------------------------------- kept


def pack(baseline: Baseline) -> bytes:
    """A baseline as bytes for a store."""
    rows = baseline.deeds.with_columns(pl.col(_TIMES).dt.epoch("us")).to_dicts()
    head = {"start": baseline.start.isoformat(), "end": baseline.end.isoformat(), "events": baseline.events}
    return zlib.compress(orjson.dumps(head | {"lost": baseline.lost, "deeds": rows}))


def unpack(state: bytes) -> Baseline:
    """What ``pack`` gave.

    Raises:
        InputError: the bytes are no baseline.
    """
    try:
        opened = zlib.decompressobj()
        raw = opened.decompress(state, MAX_STATE)
        data = orjson.loads(raw)
        held = {**_SCHEMA, **dict.fromkeys(_TIMES, pl.Int64())}
        deeds = pl.DataFrame(data["deeds"][:MAX_DEEDS], schema=held, orient="row")
        deeds = deeds.with_columns(pl.from_epoch(pl.col(_TIMES), "us").dt.replace_time_zone("UTC"))
        start, end = (datetime.fromisoformat(data[name]).astimezone(UTC) for name in ("start", "end"))
        return Baseline(start, end, int(data["events"]), deeds, int(data["lost"]))
    except (zlib.error, orjson.JSONDecodeError, KeyError, ValueError, TypeError, pl.exceptions.PolarsError) as error:
        raise InputError(f"not a baseline: {error}", place=STATE, remedy="cityguard ot learn") from None
