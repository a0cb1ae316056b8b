"""Time stamps as logs write them, to UTC: one regular expression and integer arithmetic per column, no row loop."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from cityguard import fast
from cityguard.decoders import times_fast

KINDS = ("iso", "syslog", "clf", "compact", "dmy", "mdy", "any", "epoch", "epoch_ms", "epoch_us", "epoch_ns")
"""``any`` is iso, else syslog, clf or compact; of a number, also as text, the epoch, in the unit its size tells.
``dmy`` and ``mdy`` are never guessed: 05/03/2026 may be either."""
UTC_TIME = pl.Datetime("us", "UTC")

_ZONE = r"(?:\s*(?P<zone>Z|z|(?:UTC|GMT)?[+-]\d\d(?::?\d\d)?|UTC|GMT))?"
_DAY = r"(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*,?\s+)?"
_NOON = r"(?:\s?(?P<noon>[AaPp])\.?[Mm]\b\.?)?"
_CLOCK = r"(?P<hour>\d{1,2}):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:[.,:](?P<fraction>\d{1,9})[\d.]*)?)?"
_BETWEEN = r"[-/. ]"
_LATER = rf"(?P<year>\d{{4}}|\d\d),?[ T]\s*{_CLOCK}{_NOON}{_ZONE}"
_PATTERNS = {
    # RFC 3339 and its common loose forms: / : . for -, a blank or - for T, no padding, nothing between
    # the digits of the day, no zone or whole hours
    "iso": (
        r"^\s*(?P<year>\d{4})[-/:.年]?(?P<month>\d{1,2})[-/:.月]?(?P<day>\d{1,2})(?:[T -]\s*|日\s*)"
        rf"{_CLOCK}{_NOON}{_ZONE}"
    ),
    # RFC 3164 and its relatives: "Mar  5 06:12:09", "Mar  5 2026 06:12:09.123+08:00", "Mar  5 06:12:09 2026"
    "syslog": (
        rf"^\s*{_DAY}(?:(?P<year>\d{{4}})\s+)?(?P<name>[A-Z][a-z]{{2}})\s+(?P<day>\d{{1,2}}),?\s+"
        r"(?:(?P<year2>\d{4})\s+)?"
        rf"{_CLOCK}{_NOON}{_ZONE}(?:\s?[A-Z]{{3,4}}\b)?(?:\s+(?P<year3>(?:19|20)\d\d)\b)?"
    ),
    # Common Log Format: "05/Mar/2026:06:12:09 +0800"
    # and mail's "Thu, 05 Mar 2026 06:12:09 +0800", databases' "05-MAR-26 06:12:09 AM"
    "clf": (
        rf"^\[?\s*{_DAY}(?P<day>\d{{1,2}})[/ -](?P<name>[A-Za-z]{{3}})[/ -](?P<year>\d{{4}}|\d\d)[: T]\s*"
        rf"{_CLOCK}{_NOON}{_ZONE}"
    ),
    # ISO 8601 basic: "20260305061209", "20260305T061209.123Z"
    "compact": (
        r"^\s*(?P<year>\d{4})-?(?P<month>\d\d)-?(?P<day>\d\d)[T ]?(?P<hour>\d\d)(?P<minute>\d\d)"
        rf"(?P<second>\d\d)(?:[.,]?(?P<fraction>\d{{1,9}}))?{_ZONE}\s*$"
    ),
    "dmy": rf"^\s*(?P<day>\d{{1,2}}){_BETWEEN}(?P<month>\d{{1,2}}){_BETWEEN}{_LATER}",
    "mdy": rf"^\s*(?P<month>\d{{1,2}}){_BETWEEN}(?P<day>\d{{1,2}}){_BETWEEN}{_LATER}",
}
_MONTHS = {
    name: number
    for number, name in enumerate(
        ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"), start=1
    )
}
_EPOCH = r"^\s*(1\d{9}(?:\.\d+|\d{3}|\d{6}|\d{9})?)\s*$"
"""Digits that count from 1970, from 2001 to 2033: seconds, or as many more digits as ms, µs and ns have."""
_SCALE = {"epoch": 1e6, "epoch_ms": 1e3, "epoch_us": 1.0, "epoch_ns": 1e-3}
_DAY_US = 86_400_000_000
MAX_OFFSET = 14 * 60
"""Minutes from UTC; no place is further."""
_FIRST_US, _LAST_US = -62_135_596_800_000_000, 253_402_300_799_999_999  # 0001-01-01, 9999-12-31: what Python holds
_LENGTH = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])

Words = npt.NDArray[np.int64]


def parse(column: pl.Series, kind: str, zone: ZoneInfo, now: datetime) -> pl.Series:
    """Read a column of stamps.

    Args:
        column: n stamps, text or numbers.
        kind: one of ``KINDS``.
        zone: where a stamp without an offset was written.
        now: for stamps without a year: the newest year that is not more than a day ahead of it.

    Returns:
        Datetime[us, UTC], n rows; null where there is no such stamp. Second 60 (a leap second) counts as the next one.
    """
    if column.dtype.is_temporal():
        return column.cast(UTC_TIME)
    if kind in _SCALE:
        return _numbers(column, _SCALE[kind])
    if kind == "any" and column.dtype.is_numeric():
        return _guessed(column)
    if kind == "any":
        found = parse(column, "iso", zone, now)
        for other in ("syslog", "clf", "compact"):
            if found.null_count():
                found = found.fill_null(parse(column, other, zone, now))
        if found.null_count():
            digits = column.cast(pl.String, strict=False).str.extract(_EPOCH, 1)
            found = found.fill_null(_guessed(digits)) if digits.null_count() < len(digits) else found
        return found
    if kind == "iso" and fast.ON and column.dtype == pl.String and len(column):
        return _plain(column, zone, now)
    return _by_pattern(column, kind, zone, now)


def _plain(column: pl.Series, zone: ZoneInfo, now: datetime) -> pl.Series:
    """Stamps of RFC 3339; those that are not go by the pattern."""
    held = column.fill_null("").to_arrow().cast(pa.large_string())
    _, offsets, data = held.buffers()
    micros, kinds = np.zeros(len(column), np.int64), np.zeros(len(column), np.uint8)
    if data is not None:
        ends = np.frombuffer(offsets, np.int64)[held.offset : held.offset + len(column) + 1]
        times_fast.iso(np.frombuffer(data, np.uint8), ends, micros, kinds)
    if (kinds == times_fast.LOCAL).any():
        none = np.zeros(len(column), np.int64)
        micros = _to_utc(micros, none, kinds == times_fast.KNOWN, zone)
    made = pl.Series(column.name, micros)
    gone = (kinds == times_fast.ODD) | (micros < _FIRST_US) | (micros > _LAST_US)
    if gone.any():
        made = made.set(pl.Series(gone), None)
    made = made.cast(UTC_TIME)
    odd = pl.Series(kinds == times_fast.ODD) & column.is_not_null()
    if not odd.any():
        return made
    return made.scatter(odd.arg_true(), _by_pattern(column.filter(odd), "iso", zone, now)).alias(column.name)


def _by_pattern(column: pl.Series, kind: str, zone: ZoneInfo, now: datetime) -> pl.Series:
    parts = column.cast(pl.String).str.extract_groups(_PATTERNS[kind]).struct.unnest()
    names = parts.columns
    year = pl.coalesce(name for name in ("year", "year2", "year3") if name in names)
    month = (
        pl.col("name").str.to_titlecase().replace_strict(_MONTHS, default=None, return_dtype=pl.Int64)
        if "name" in names
        else "month"
    )
    fields = parts.select(
        year=_full(year),
        month=pl.col(month).cast(pl.Int64, strict=False) if isinstance(month, str) else month,
        day=pl.col("day").cast(pl.Int64, strict=False),
        hour=_hours(pl.col("hour").cast(pl.Int64, strict=False), "noon" in names),
        minute=pl.col("minute").cast(pl.Int64, strict=False),
        second=pl.col("second").cast(pl.Int64, strict=False).fill_null(0),
        micro=pl.col("fraction").str.pad_end(9, "0").str.slice(0, 6).cast(pl.Int64, strict=False).fill_null(0),
    )
    offset = parts["zone"]
    value = _civil(fields, now, offset, zone)
    return value.alias(column.name)


def _full(year: pl.Expr) -> pl.Expr:
    """Two digits are of the years 1970 to 2069."""
    number = year.cast(pl.Int64, strict=False)
    century = pl.when(number < 70).then(2000).otherwise(1900)
    return pl.when(year.str.len_bytes() == 2).then(number + century).otherwise(number)


def _hours(hour: pl.Expr, halves: bool) -> pl.Expr:
    if not halves:
        return hour
    noon = pl.col("noon").str.to_lowercase()
    return pl.when(noon == "p").then(hour % 12 + 12).when(noon == "a").then(hour % 12).otherwise(hour)


def _numbers(column: pl.Series, scale: float) -> pl.Series:
    micros = column.cast(pl.Float64, strict=False) * scale
    fits = micros.is_not_nan() & (micros >= _FIRST_US) & (micros < _LAST_US)
    return pl.select(pl.when(fits).then(micros.round())).to_series().cast(pl.Int64).cast(UTC_TIME).alias(column.name)


def _guessed(column: pl.Series) -> pl.Series:
    value = column.cast(pl.Float64, strict=False)
    size = value.abs()
    seconds = pl.select(
        pl.when(size < 1e11)
        .then(value)
        .when(size < 1e14)
        .then(value / 1e3)
        .when(size < 1e17)
        .then(value / 1e6)
        .otherwise(value / 1e9)
    ).to_series()
    return _numbers(seconds, 1e6).alias(column.name)


def _civil(fields: pl.DataFrame, now: datetime, offset: pl.Series, zone: ZoneInfo) -> pl.Series:
    yearless = fields["year"].is_null().to_numpy()
    ok = ~fields.select(pl.any_horizontal(pl.all().exclude("year").is_null())).to_series().to_numpy()
    get = {name: fields[name].fill_null(1).to_numpy() for name in fields.columns}
    year = np.where(yearless, now.year + 1, get["year"])
    local = _micros(get, year)
    shift, known, fits = _offsets(offset)
    if yearless.any():
        limit = int(now.timestamp() * 1e6) + _DAY_US
        for _ in range(2):
            utc = _to_utc(local, shift, known, zone)
            late = yearless & (utc > limit)
            year = np.where(late, year - 1, year)
            local = np.where(late, _micros(get, year), local)
    ok &= _valid(get, year) & fits
    value = _to_utc(local, shift, known, zone)
    ok &= (value >= _FIRST_US) & (value <= _LAST_US)
    return pl.select(pl.when(pl.Series(ok)).then(pl.Series(value))).to_series().cast(UTC_TIME)


def _micros(get: dict[str, Words], year: Words) -> Words:
    # Days from the civil date (proleptic Gregorian): March starts the year, so that the leap day is its last.
    month = get["month"]
    y = year - (month <= 2)
    era, of_era = np.divmod(y, 400)
    of_year = (153 * (month + np.where(month > 2, -3, 9)) + 2) // 5 + get["day"] - 1
    days = era * 146097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719468
    seconds = get["hour"] * 3600 + get["minute"] * 60 + get["second"]
    whole: Words = days * _DAY_US + seconds * 1_000_000 + get["micro"]
    return whole


def _valid(get: dict[str, Words], year: Words) -> npt.NDArray[np.bool_]:
    month = np.clip(get["month"], 0, 12)
    leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    days = _LENGTH[month] + (leap & (month == 2))
    ok: npt.NDArray[np.bool_] = (
        (get["month"] == month)
        & (month > 0)
        & (get["day"] >= 1)
        & (get["day"] <= days)
        & (get["hour"] < 24)
        & (get["minute"] < 60)
        & (get["second"] <= 60)
        & (year >= 1)
    )
    return ok


def _offsets(column: pl.Series) -> tuple[Words, npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Offset from UTC in µs, where there is one, and where it is none or one that a place on Earth has."""
    digits = column.str.replace(":", "", literal=True).str.strip_prefix("UTC").str.strip_prefix("GMT")
    hours = digits.str.slice(0, 3).cast(pl.Int64, strict=False).fill_null(0).to_numpy()
    minutes = digits.str.slice(3, 2).cast(pl.Int64, strict=False).fill_null(0).to_numpy()
    sign = np.where(digits.str.starts_with("-").fill_null(value=False).to_numpy(), -1, 1)
    fits = (np.abs(hours * 60 + sign * minutes) <= MAX_OFFSET) & (minutes < 60)
    return (hours * 3600 + sign * minutes * 60) * 1_000_000, column.is_not_null().to_numpy(), fits


def _to_utc(local: Words, shift: Words, known: npt.NDArray[np.bool_], zone: ZoneInfo) -> Words:
    if known.all():
        return local - shift
    naive = pl.Series(local).cast(pl.Datetime("us"))
    found = _zoned(naive, zone)
    if found.null_count():
        found = found.fill_null(_skipped(naive, zone))
    return np.where(known, local - shift, found.to_numpy())


def _zoned(naive: pl.Series, zone: ZoneInfo) -> pl.Series:
    """µs in UTC; null in an hour that the clock skipped."""
    there = naive.dt.replace_time_zone(zone.key, ambiguous="earliest", non_existent="null")
    return there.dt.convert_time_zone("UTC").cast(pl.Int64)


def _skipped(naive: pl.Series, zone: ZoneInfo) -> pl.Series:
    """An hour that the clock skipped is read as if it had not, by the offset of the day before."""
    local = naive.cast(pl.Int64)
    return (_zoned((local - _DAY_US).cast(pl.Datetime("us")), zone) + _DAY_US).fill_null(local)


def utc(moment: datetime) -> datetime:
    """The moment in UTC, as polars wants a literal."""
    return moment.astimezone(UTC)
