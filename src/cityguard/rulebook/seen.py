"""What a source has sent, batch by batch: which columns held a value, for which department and segment."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Iterator
from datetime import date, datetime
from typing import Any

import numpy as np
import orjson
import polars as pl

from cityguard import columns
from cityguard.clock import Clock, utc_now
from cityguard.model import EventBatch, LogSource, Sighting
from cityguard.sigma.correlation import owner
from cityguard.sigma.fields import logsource
from cityguard.store import sightings

EVERY_S = 5.0  # seconds between two writes of what was counted
SAMPLE = 500  # rows of one batch whose event.fields are looked into
MAX_JSON = 64 << 10  # characters of one event.fields that are
MAX_STEPS = 6  # depth of nested names
MAX_KEYS = 300  # names of one event.fields
MAX_NAME = 200
MAX_HELD = 20_000  # sightings between two calls of ``take``
_KEYS = ("day", "logsource", "department", "segment")


class Tally:
    """Adds up sightings until they are taken. One object per process; costs one group_by per batch.

    Args:
        wanted: names that rules ask for; they come first where a source sends more names than are kept.
        clock: when a row was received, where it does not say.
    """

    def __init__(self, wanted: Collection[str] = (), clock: Clock = utc_now) -> None:
        self._wanted, self._clock = frozenset(wanted), clock
        self._held: dict[tuple[date, str], Sighting] = {}
        self._taken = time.monotonic()

    def now(self) -> datetime:
        """The present, by the clock rows without a time of receipt are counted at."""
        return self._clock()

    def look(self, batch: EventBatch) -> None:
        """Count an enriched batch."""
        for item in sighted(batch, self._wanted, self._clock()):
            place = (item.day, sightings.key(item))
            if place not in self._held and len(self._held) >= MAX_HELD:
                item = sightings.folded(item)
                place = (item.day, sightings.key(item))
            self._held[place] = sightings.merged(self._held.get(place), item)

    def take(self, *, due: bool = True) -> list[Sighting]:
        """What was counted since the last call; not ``due``: nothing, before ``EVERY_S`` seconds are over."""
        present = time.monotonic()
        if not due and present - self._taken < EVERY_S:
            return []
        self._taken = present
        found, self._held = list(self._held.values()), {}
        return found


def sighted(batch: EventBatch, wanted: Collection[str], now: datetime) -> Iterator[Sighting]:
    """Sightings of one enriched batch, one per day, log source, department and segment."""
    if not len(batch):
        return
    keys = _keys(batch, now)
    names = _names(batch.table, wanted)
    # what a source calls its columns is its own; here they are numbers
    values = [batch.table[name].is_not_null().alias(f"c{n}") for n, name in enumerate(names)]
    counted = (
        pl.DataFrame([*keys.get_columns(), *values])
        .group_by(_KEYS)
        .agg(pl.len().alias("rows"), pl.col("received").max(), *(pl.col(value.name).sum() for value in values))
        .sort(_KEYS)
    )
    inner = _inner(batch.table, keys, wanted)
    for row in counted.iter_rows(named=True):
        day, source, department, segment = place = tuple(row[name] for name in _KEYS)
        last = row["received"]
        held = {name: (row[f"c{n}"], last) for n, name in enumerate(names) if row[f"c{n}"]}
        for name, count in inner.get(place, {}).items():
            held.setdefault(name, (count, last))
        yield Sighting(day, batch.dataset, batch.collector, source, department, segment, row["rows"], last, held)


def _keys(batch: EventBatch, now: datetime) -> pl.DataFrame:
    """Per row: day, logsource, department, segment, received."""
    table = batch.table
    time = pl.Datetime("us", "UTC")
    received = (
        table["event.ingested"].cast(time).fill_null(now)
        if "event.ingested" in table.columns
        else pl.repeat(now, table.height, dtype=time, eager=True)
    )
    return pl.DataFrame(
        {
            "received": received,
            "day": received.dt.date(),
            "logsource": _sources(batch),
            "department": owner(table, "department"),
            "segment": owner(table, "segment").fill_null(batch.segment)
            if batch.segment is not None
            else owner(table, "segment"),
        }
    )


def _sources(batch: EventBatch) -> pl.Series:
    """The log source of every row; industrial batches that mix protocols are told apart."""
    source = logsource(batch)
    plain = pl.repeat(source.text, batch.table.height, dtype=pl.String, eager=True)
    if batch.dataset != "ot" or len(source.product) < 2 or batch.logsource is not None:
        return plain
    if "ot.protocol" not in batch.table.columns:
        return plain
    texts = {name: LogSource(source.category, (name,), source.service).text for name in source.product}
    return batch.table["ot.protocol"].replace_strict(texts, default=source.text, return_dtype=pl.String)


def _names(table: pl.DataFrame, wanted: Collection[str]) -> list[str]:
    """Columns that hold anything, ours first, then those rules want, at most ``sightings.MAX_NAMES``."""
    held = [name for name in table.columns if table[name].null_count() < table.height and len(name) <= MAX_NAME]
    held.sort(key=lambda name: (name not in columns.BY_NAME, name not in wanted))
    return held[: sightings.MAX_NAMES]


def _inner(table: pl.DataFrame, keys: pl.DataFrame, wanted: Collection[str]) -> dict[Any, Counter[str]]:
    """Names inside ``event.fields`` of a sample of rows, per group; counts are of the sample."""
    if "event.fields" not in table.columns or table.schema["event.fields"] != pl.String:
        return {}
    held = np.flatnonzero(table["event.fields"].is_not_null().to_numpy())
    if len(held) > SAMPLE:
        held = held[np.linspace(0, len(held) - 1, SAMPLE).astype(np.int64)]
    found: dict[Any, Counter[str]] = {}
    for text, place in zip(table["event.fields"].gather(held), keys[held].select(_KEYS).iter_rows(), strict=True):
        found.setdefault(place, Counter()).update(_paths(text))
    return {place: _first(counter, wanted) for place, counter in found.items()}


def _first(counter: Counter[str], wanted: Collection[str]) -> Counter[str]:
    names = sorted(counter, key=lambda name: (name not in wanted, -counter[name], name))
    return Counter({name: counter[name] for name in names[:MAX_KEYS]})


def _paths(text: str) -> set[str]:
    """Names of a JSON object that hold a value, nested ones dotted, each way a rule may write them."""
    if len(text) > MAX_JSON:
        return set()
    try:
        data = orjson.loads(text)
    except orjson.JSONDecodeError:
        return set()
    found: set[str] = set()
    waiting: list[tuple[str, Any, int]] = [("", data, 0)]
    while waiting and len(found) < MAX_KEYS:
        prefix, value, depth = waiting.pop()
        if isinstance(value, dict) and depth < MAX_STEPS:
            waiting += [(f"{prefix}.{key}" if prefix else key, inner, depth + 1) for key, inner in value.items()]
        if prefix and value is not None and value != [] and len(prefix) <= MAX_NAME:
            found.add(prefix)
    return found
