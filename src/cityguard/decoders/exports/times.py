"""When a flow began and ended, out of the many forms in which records say it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import polars as pl

from cityguard.decoders.address import Words
from cityguard.decoders.exports import values
from cityguard.decoders.exports.values import Records

if TYPE_CHECKING:
    from cityguard.decoders.exports.rows import Origin

_UPTIME = 1 << 32  # milliseconds of a boot are counted with 32 bits: 49.7 days
_STARTS = ((156, "ntp"), (154, "ntp"), (152, "ms"), (150, "s"), (22, "uptime"), (158, "delta"))
_ENDS = ((157, "ntp"), (155, "ntp"), (153, "ms"), (151, "s"), (21, "uptime"), (159, "delta"))
_OBSERVED = ((325, "ntp"), (324, "ntp"), (323, "ms"), (322, "s"))
_DURATIONS = ((161, 1_000_000), (162, 1_000))
_BOOT = (0, 160)


class Found(NamedTuple):
    """Columns of time, and the time each record stands for (ns)."""

    time: Words
    columns: list[pl.Series]


def read(records: Records, origin: Origin, used: set[tuple[int, int]]) -> Found:
    """``@timestamp event.start event.end event.duration``; the elements they came from are added to ``used``."""
    boot = origin.boot
    if _BOOT in records.template.places:
        told = values.unsigned(records, records.template.places[_BOOT])
        boot = np.where(told > 0, told, boot)
    exported = np.where(origin.exported > 0, origin.exported, origin.received)
    start, end = (_first(records, forms, origin.exported, boot, used) for forms in (_STARTS, _ENDS))
    length = _length(records, used)
    if length is not None:
        known = (start > 0) & (end <= 0) & (length >= 0)
        end = np.where(known, start + length, end)
        known = (start <= 0) & (end > 0) & (length >= 0) & (length < end)
        start = np.where(known, end - length, start)
    observed = _first(records, _OBSERVED, origin.exported, boot, set())
    end = np.where((start > 0) & (end <= 0) & (observed >= start), observed, end)
    time = np.where(start > 0, start, np.where(observed > 0, observed, np.where(end > 0, end, exported)))
    duration = np.where((start > 0) & (end >= start), end - start, -1)
    if length is not None:
        duration = np.where(duration < 0, length, duration)
    duration = _by_uptime(records, duration)
    return Found(
        time,
        [
            _moment("@timestamp", time),
            _moment("event.start", start),
            _moment("event.end", end),
            _null_below("event.duration", duration),
        ],
    )


def _first(
    records: Records, forms: tuple[tuple[int, str], ...], exported: Words, boot: Words, used: set[tuple[int, int]]
) -> Words:
    """Times in ns by the first form that tells; 0 where unknown or absurd."""
    out: Words | None = None
    for number, form in forms:
        place = records.template.places.get((0, number))
        if place is None or (out is not None and (out > 0).all()):
            continue
        if form == "ntp":
            time = values.ntp(records, place)
        else:
            time = _scaled(values.unsigned(records, place), form, exported, boot)
        time = np.maximum(time, 0)
        if out is None or (out <= 0).all():
            used.add(place.name) if time.any() or form != "uptime" else None
            out = time
        else:
            out = np.where(out > 0, out, time)
    return np.zeros(len(records), np.int64) if out is None else out


def _scaled(value: Words, form: str, exported: Words, boot: Words) -> Words:
    if form == "uptime":
        # Uptime wraps: take the reading nearest to the export.
        now = exported // 1_000_000
        age = (now - boot - value) % _UPTIME
        age = np.where(age > _UPTIME // 2, age - _UPTIME, age)
        return np.where((exported > 0) & (boot > 0) & (value >= 0), exported - age * 1_000_000, 0)
    if form == "delta":
        return np.where(value >= 0, exported - value * 1000, 0)
    unit = 1_000_000 if form == "ms" else 1_000_000_000
    return np.where((value > 0) & (value < 9_000_000_000_000_000_000 // unit), value * unit, 0)


def _length(records: Records, used: set[tuple[int, int]]) -> Words | None:
    for number, unit in _DURATIONS:
        place = records.template.places.get((0, number))
        if place is not None:
            used.add(place.name)
            found = values.unsigned(records, place)
            return np.where((found >= 0) & (found < (1 << 62) // unit), found * unit, -1)
    return None


def _by_uptime(records: Records, duration: Words) -> Words:
    """IPFIX without the time of boot: when is unknown, how long is not."""
    places = records.template.places
    if (duration >= 0).all() or (0, 21) not in places or (0, 22) not in places:
        return duration
    end, start = (values.unsigned(records, places[0, number]) for number in (21, 22))
    length = (end - start) % _UPTIME
    return np.where((duration < 0) & (length < _UPTIME // 2), length * 1_000_000, duration)


def _moment(name: str, nanoseconds: Words) -> pl.Series:
    out = pl.Series(name, nanoseconds // 1000).cast(pl.Datetime("us", "UTC"))
    none = nanoseconds <= 0
    return out.set(pl.Series(none), None) if none.any() else out


def _null_below(name: str, found: Words) -> pl.Series:
    out, none = pl.Series(name, found), found < 0
    return out.set(pl.Series(none), None) if none.any() else out
