"""Registered stations that have gone silent: last words kept across restarts, judged when late data has come in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

import orjson
import polars as pl

from cityguard.errors import InputError
from cityguard.model import Station
from cityguard.register import windows
from cityguard.register.stations import periods

US = 1_000_000
DEAF_S = 300  # a leap of what was taken by more: the tool itself was not running
AHEAD_S = 300  # a station's clock is not in it, but a capture's may be a little ahead
MAX_KEYS = 200_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Key = tuple[str, str]  # station, code; the empty code stands for anything


@dataclass(frozen=True, slots=True)
class Silence:
    """A station (or one of its codes) that should have been heard. ``last`` is None when it never was."""

    station: Station
    code: str
    period_s: float
    since: datetime
    last: datetime | None

    @property
    def whole(self) -> bool:
        """Nothing at all is heard, rather than one kind of report."""
        return not self.code


class Watch:
    """When each station was last heard, and which silences have been told."""

    def __init__(self, *, missed: int, lateness_s: float) -> None:
        self.missed, self.lateness_s = missed, lateness_s
        self.last: dict[Key, int] = {}
        self._began: dict[Key, int] = {}
        self._told: dict[Key, int] = {}
        self._through: int | None = None
        self._deaf = 0
        self.newest = 0

    def hear(self, seen: pl.DataFrame) -> None:
        """Take in ``station``, ``code`` and ``at`` of messages a registered station sent."""
        if seen.is_empty():
            return
        codes = seen.group_by("station", "code").agg(pl.col("at").max().dt.epoch("us"))
        whole = codes.group_by("station").agg(pl.col("at").max()).select("station", pl.lit("").alias("code"), "at")
        for station, code, at in pl.concat([codes.select("station", "code", "at"), whole]).iter_rows():
            if at is not None and at > self.last.get((station, code), 0):
                self.last[station, code] = at
                self.newest = max(self.newest, at)
        if len(self.last) > MAX_KEYS:
            kept = sorted(self.last.items(), key=lambda item: item[1])[len(self.last) - MAX_KEYS * 7 // 8 :]
            self.last = dict(kept)

    def due(self, stations: Sequence[Station], through: datetime | None, zone: tzinfo = UTC) -> Iterator[Silence]:
        """Silences not told yet; everything received until ``through`` was taken.

        In a maintenance window of its own a station may be silent; it is asked again when the window is over.
        """
        mark = self.newest if through is None else int((through - _EPOCH).total_seconds() * US)
        if not mark:
            return
        if self._through is not None and mark - self._through > DEAF_S * US:
            self._deaf = mark
        self._through = max(mark, self._through or 0)
        for station in stations:
            spans = periods(station)
            silent = False
            for code in sorted(spans):
                if silent and code:
                    break  # its whole silence says it all
                if (found := self._one(station, code, spans[code], mark, zone)) is not None:
                    silent = silent or not code
                    yield found

    def _one(self, station: Station, code: str, period: float, mark: int, zone: tzinfo) -> Silence | None:
        key = station.id, code
        last = self.last.get(key)
        if last is not None and last > mark + AHEAD_S * US:
            last = self.last[key] = mark + AHEAD_S * US  # from a clock that runs ahead: worth no more than now
        base = max(last if last is not None else self._began.setdefault(key, mark), self._deaf)
        if (mark - base) / US <= self.missed * period + self.lateness_s or self._told.get(key) == base:
            return None
        now = moment(mark).astimezone(zone).replace(tzinfo=None)
        if any(windows.holds(windows.parse(text), now) for text in station.maintenance):
            return None
        self._told[key] = base
        return Silence(station, code, period, moment(base), None if last is None else moment(last))

    # -- state ------------------------------------------------------------------

    def pack(self) -> bytes:
        """State as JSON bytes."""
        rows = [
            [*key, *(held.get(key) for held in (self.last, self._began, self._told))]
            for key in sorted({*self.last, *self._began, *self._told})
        ]
        return orjson.dumps({"through": self._through, "deaf": self._deaf, "newest": self.newest, "keys": rows})

    def unpack(self, state: bytes) -> None:
        """Bring back what ``pack`` gave.

        Raises:
            InputError: the bytes are no such state.
        """
        try:
            data = orjson.loads(state)
            through = None if data["through"] is None else int(data["through"])
            held: tuple[dict[Key, int], ...] = ({}, {}, {})
            for station, code, *values in data["keys"][: 2 * MAX_KEYS]:
                for name, value in zip(held, values, strict=True):
                    if value is not None:
                        name[str(station), str(code)] = int(value)
            deaf, newest = int(data["deaf"]), int(data["newest"])
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
            raise InputError(f"not a snapshot: {error}", place="ot_policy snapshot") from None
        self._through, self._deaf, self.newest = through, deaf, newest
        self.last, self._began, self._told = held


def moment(micros: int) -> datetime:
    """µs since the epoch as aware UTC."""
    return _EPOCH + timedelta(microseconds=micros)


@dataclass(frozen=True, slots=True)
class Heard:
    """One registered station and what is known of its voice, for a report."""

    station: Station
    last: datetime | None
    period_s: float | None
    silent: bool


def roll_call(
    stations: Iterable[Station], last: dict[str, datetime], now: datetime, *, missed: int, lateness_s: float
) -> list[Heard]:
    """Every station with when it was last heard; silent ones first."""
    found = []
    for one in stations:
        spans = periods(one)
        period = spans.get("", min(spans.values(), default=None)) if spans else None
        heard = last.get(one.id)
        late = period is not None and (heard is None or (now - heard).total_seconds() > missed * period + lateness_s)
        found.append(Heard(one, heard, period, late))
    return sorted(found, key=lambda row: (not row.silent, row.last is not None, row.station.id))
