"""Correlations over batches in any order: hits are kept, bounded, and the groups they touch asked again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from cityguard.errors import InputError
from cityguard.ids import alert_id
from cityguard.model import MAX_EVENT_IDS, EventBatch
from cityguard.sigma.ast import Correlation
from cityguard.sigma.fields import ENTITIES
from cityguard.sigma.view import View
from cityguard.sigma.windows import Fired, Hits, behind, fires

MAX_HITS = 200_000  # kept per correlation
MAX_TOTAL = 2_000_000  # kept in all
MAX_CREDITED = 100_000  # alerts whose count is remembered
MAX_FIRINGS = 10_000  # per correlation and batch; what is over is counted, never silent

_BETWEEN, _NONE = "\x1f", "\x00"
_ABOUT = (*ENTITIES, "department", "system", "segment", "dataset")
SCHEMA: dict[str, pl.DataType] = {
    "rule": pl.Int64(),
    "t": pl.Int64(),
    "g": pl.String(),
    "v": pl.String(),
    "id": pl.String(),
    **dict.fromkeys(_ABOUT, pl.String()),
}
"""One row per kept hit: place of its rule, µs, group values joined, value looked at, event id, whom it is about."""


@dataclass(frozen=True, slots=True)
class Firing:
    """One group in one bucket of time for which a correlation holds."""

    correlation: Correlation
    alert_id: str
    group: tuple[str | None, ...]
    bucket_s: int  # seconds since the epoch, a multiple of the time span
    first_us: int
    last_us: int
    count: int  # hits behind it that no earlier firing of this alert has told of
    total: int  # all hits behind it
    measured: float  # the largest count, sum … seen
    event_ids: tuple[str, ...]
    about: dict[str, str]  # entities and owners all hits agree on


class Correlator:
    """Holds the state of all correlations of a rule set. The same hits in any order give the same alert ids."""

    def __init__(self, correlations: Iterable[Correlation], *, max_hits: int = MAX_HITS, total: int = MAX_TOTAL):
        self.correlations = tuple(correlations)  # each after those it refers to
        self.wanted = frozenset(rule for one in self.correlations for rule in one.rules)
        self.max_hits = max(1, min(max_hits, total // max(1, len(self.correlations))))
        self.evicted: Counter[str] = Counter()  # hits given up, by correlation id
        self.untimed = 0  # hits without a time, which cannot be correlated
        self.overflow: Counter[str] = Counter()  # firings not told, by correlation id
        self._kept = {one.id: pl.DataFrame(schema=SCHEMA) for one in self.correlations}
        self._credited: dict[str, int] = {}

    def feed(self, hits: Mapping[str, pl.DataFrame], batch: EventBatch) -> list[Firing]:
        """Take the hits of one batch, per rule id the rows that matched, and tell what they complete."""
        views = {rule: View(table) for rule, table in hits.items() if rule in self.wanted and table.height}
        told: list[Firing] = []
        derived: dict[str, pl.DataFrame] = {}
        for one in self.correlations:
            fresh = [
                self._rows(one, place, views[rule], batch) for place, rule in enumerate(one.rules) if rule in views
            ]
            fresh += [_from_inner(one, place, derived[rule]) for place, rule in enumerate(one.rules) if rule in derived]
            added = self._keep(one, fresh)
            if added.height and one.grows:
                firings, instants = self._ask(one, added)
                told += firings
                derived[one.id] = instants
        return told

    def finish(self) -> list[Firing]:
        """Tell what only the end of the input decides: fewer than, exactly, sums and averages."""
        told: list[Firing] = []
        derived: dict[str, pl.DataFrame] = {}
        for one in self.correlations:
            inner = [(place, rule) for place, rule in enumerate(one.rules) if rule in derived]
            added = self._keep(one, [_from_inner(one, place, derived[rule]) for place, rule in inner])
            asked = added if one.grows else self._kept[one.id]
            if asked.height:
                firings, instants = self._ask(one, asked)
                told += firings
                derived[one.id] = instants
        return told

    # ------------------------------------------------------------ hits

    def _rows(self, one: Correlation, place: int, view: View, batch: EventBatch) -> pl.DataFrame:
        table = view.table
        groups = [text_of(view, name) for name in one.group_fields(one.rules[place])]
        time = table["@timestamp"].dt.epoch("us") if "@timestamp" in table.columns else None
        if time is None:
            self.untimed += table.height
            return pl.DataFrame(schema=SCHEMA)
        frame = pl.DataFrame(
            {
                "rule": pl.repeat(place, table.height, dtype=pl.Int64, eager=True),
                "t": time,
                "g": _joined(groups, table.height),
                "v": text_of(view, one.field) if one.field else nothing(table.height),
                "id": table["event.id"] if "event.id" in table.columns else nothing(table.height),
                **{name: text_of(view, name) for name in ENTITIES},
                **{name: owner(table, name) for name in ("department", "system", "segment")},
                "dataset": pl.repeat(batch.dataset, table.height, dtype=pl.String, eager=True),
            },
            schema=SCHEMA,
        )
        frame = frame.with_columns(pl.col("segment").fill_null(pl.lit(batch.segment, dtype=pl.String)))
        self.untimed += frame["t"].null_count()
        return frame.filter(pl.col("t").is_not_null())

    def _keep(self, one: Correlation, fresh: list[pl.DataFrame]) -> pl.DataFrame:
        """Add hits not kept yet; returns them. The oldest leave when there are too many."""
        if not fresh:
            return pl.DataFrame(schema=SCHEMA)
        kept = self._kept[one.id]
        new = pl.concat(fresh)
        named = new.filter(pl.col("id").is_not_null()).unique(["rule", "id"], keep="first", maintain_order=True)
        named = named.join(kept.select("rule", "id"), on=["rule", "id"], how="anti")
        new = pl.concat([named, new.filter(pl.col("id").is_null())])
        kept = pl.concat([kept, new])
        over = kept.height - self.max_hits
        if over > 0:
            self.evicted[one.id] += over
            kept = kept.sort("t", "g", "rule", "id", descending=True).head(self.max_hits)
        self._kept[one.id] = kept
        return new

    # ------------------------------------------------------------ firing

    def _ask(self, one: Correlation, added: pl.DataFrame) -> tuple[list[Firing], pl.DataFrame]:
        """Look again at the groups and times that new hits can change."""
        span = one.timespan_s * 1_000_000
        times = added["t"].to_numpy()
        begin = int(times.min()) // span * span
        end = (int(times.max()) + span) // span * span + span
        touched = pl.col("g").is_in(added["g"].unique().implode()) & pl.col("t").is_between(begin - span, end)
        near = self._kept[one.id].filter(touched).sort("g", "t", "rule", "id")
        if not near.height:
            return [], near
        hits = _hits(one, near)
        fired = fires(one, hits)
        at = np.flatnonzero(fired.at & (hits.time >= begin))
        instants = near.gather(at) if len(at) else near.clear()
        return list(self._firings(one, near, hits, fired, at)), instants.with_columns(
            pl.Series("from", [one.id] * instants.height, dtype=pl.String),
            pl.Series("by", [list(one.group_by)] * instants.height, dtype=pl.List(pl.String)),
        )

    def _firings(
        self, one: Correlation, near: pl.DataFrame, hits: Hits, fired: Fired, at: np.ndarray[Any, Any]
    ) -> Iterator[Firing]:
        span = one.timespan_s * 1_000_000
        bucket = hits.time[at] // span
        new = np.flatnonzero((np.diff(hits.group[at], prepend=-1) != 0) | (np.diff(bucket, prepend=-1) != 0))
        if len(new) > MAX_FIRINGS:
            self.overflow[one.id] += len(new) - MAX_FIRINGS
        for start, stop in zip(new[:MAX_FIRINGS], [*new[1:], len(at)], strict=False):
            mine = at[start:stop]
            rows = behind(fired.left[mine], fired.right[mine])
            group = _split(near["g"][int(mine[0])])
            began = int(bucket[start]) * one.timespan_s
            key = tuple(_NONE if value is None else value for value in group)
            name = alert_id(one.id, one.head.version, key, began)
            fresh = len(rows) - self._credited.get(name, 0)
            if fresh <= 0:
                continue
            self._credit(name, len(rows))
            yield Firing(
                correlation=one,
                alert_id=name,
                group=group,
                bucket_s=began,
                first_us=int(hits.time[rows[0]]),
                last_us=int(hits.time[rows[-1]]),
                count=fresh,
                total=len(rows),
                measured=float(fired.measured[mine].max()),
                event_ids=tuple(near["id"].gather(rows).drop_nulls().unique().sort().head(MAX_EVENT_IDS)),
                about=_agreed(near, rows),
            )

    def _credit(self, name: str, count: int) -> None:
        self._credited.pop(name, None)
        self._credited[name] = count
        while len(self._credited) > MAX_CREDITED:
            del self._credited[next(iter(self._credited))]

    # ------------------------------------------------------------ state

    def snapshot(self) -> dict[str, Any]:
        """All state as plain data."""
        return {
            "kept": {name: frame.to_dict(as_series=False) for name, frame in self._kept.items()},
            "credited": self._credited,
            "evicted": dict(self.evicted),
        }

    def restore(self, state: Any) -> None:
        """Bring back what ``snapshot`` gave; correlations that are gone are left out.

        Raises:
            InputError: not such a state. Nothing is changed then.
        """
        try:
            kept = {name: pl.DataFrame(data, schema=SCHEMA, strict=True) for name, data in state["kept"].items()}
            credited = {str(name): int(count) for name, count in state["credited"].items()}
            evicted = Counter({str(name): int(count) for name, count in state["evicted"].items()})
        except (KeyError, TypeError, ValueError, AttributeError, pl.exceptions.PolarsError) as error:
            raise InputError(f"not a snapshot of correlations: {error}", remedy="start without it") from None
        self._kept.update({name: frame for name, frame in kept.items() if name in self._kept})
        self._credited, self.evicted = credited, evicted


def owner(table: pl.DataFrame, name: str) -> pl.Series:
    """``department``, ``system`` or ``segment`` of the destination, else of the source; null where unknown."""
    have = [f"{side}.{name}" for side in ("destination", "source") if f"{side}.{name}" in table.columns]
    if not have:
        return nothing(table.height)
    return table.select(pl.coalesce(pl.col(column).cast(pl.String) for column in have)).to_series()


def nothing(height: int) -> pl.Series:
    return pl.repeat(None, height, dtype=pl.String, eager=True)


def text_of(view: View, field: str) -> pl.Series:
    """A field as one text per row (the first of a list), null where it has none."""
    values = view.values(field)
    if values is None or not len(values.rows):
        return nothing(view.height)
    place = np.full(view.height, -1, dtype=np.int64)
    place[values.rows[::-1]] = values.codes[::-1]
    index = pl.Series(place)
    return values.text.gather(index.set(index < 0, None))


def _joined(groups: list[pl.Series], height: int) -> pl.Series:
    if not groups:
        return pl.repeat("", height, dtype=pl.String, eager=True)
    # what joins values must not come from a value
    clean = [series.str.replace_all(f"[{_BETWEEN}{_NONE}]", " ").fill_null(_NONE) for series in groups]
    filled = [series.alias(str(index)) for index, series in enumerate(clean)]
    return pl.DataFrame(filled).select(pl.concat_str(pl.all(), separator=_BETWEEN)).to_series()


def _split(group: str) -> tuple[str | None, ...]:
    return tuple(None if value == _NONE else value for value in group.split(_BETWEEN)) if group else ()


def _from_inner(one: Correlation, place: int, instants: pl.DataFrame) -> pl.DataFrame:
    """Firing instants of an inner correlation as hits of an outer one: grouped by what the inner one knows."""
    if not instants.height:
        return pl.DataFrame(schema=SCHEMA)
    by: list[str] = instants["by"][0].to_list()
    parts = instants["g"].str.split(_BETWEEN)

    def known(name: str) -> pl.Series:
        if name in by:
            value = parts.list.get(by.index(name), null_on_oob=True)
            return value.set(value == _NONE, None)
        return instants[name] if name in ENTITIES else nothing(instants.height)

    groups = [known(name) for name in one.group_fields(one.rules[place])]
    return instants.select(list(SCHEMA)).with_columns(
        pl.lit(place, dtype=pl.Int64).alias("rule"),
        _joined(groups, instants.height).alias("g"),
        (known(one.field) if one.field else nothing(instants.height)).alias("v"),
    )


def _hits(one: Correlation, near: pl.DataFrame) -> Hits:
    value = near["v"].rank("dense").cast(pl.Int64).fill_null(-1)
    number = near["v"].cast(pl.Float64, strict=False).fill_null(float("nan"))
    return Hits(
        group=near["g"].rank("dense").cast(pl.Int64).to_numpy(),
        time=near["t"].to_numpy(),
        rule=near["rule"].to_numpy(),
        value=value.to_numpy(),
        number=number.to_numpy(),
    )


def _agreed(near: pl.DataFrame, rows: np.ndarray[Any, Any]) -> dict[str, str]:
    """Whom the hits are about, where all that say it say the same."""
    some = near.select(_ABOUT).gather(rows)
    about: dict[str, str] = {}
    for name in _ABOUT:
        values = some[name].drop_nulls().unique()
        if len(values) == 1:
            about[name] = str(values[0])
    return about
