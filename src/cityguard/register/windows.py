"""Recurring and single windows of time, as people write them: ``workday 09:00-11:00``, ``周六 22:00-04:00``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl

ANY_DAY, WORKDAY, RESTDAY = 0b1111111, 1 << 7, 1 << 8
"""Bits 0-6 are Monday to Sunday; two more stand for the calendar's workdays and the other days."""

_DAYS = {
    **{name: index for index, name in enumerate(("mon", "tue", "wed", "thu", "fri", "sat", "sun"))},
    **{f"周{name}": index for index, name in enumerate("一二三四五六日")},
    "周天": 6,
}
_KINDS = {
    **dict.fromkeys(("", "daily", "every", "每天", "每日"), ANY_DAY),
    **dict.fromkeys(("workday", "工作日"), WORKDAY),
    **dict.fromkeys(("restday", "休息日", "非工作日"), RESTDAY),
}
_WEEKLY = re.compile(r"(?:(\S{1,16})\s+)?(\d{1,2}):(\d{2})\s?[-–~]\s?(\d{1,2}):(\d{2})")
DAY = 24 * 60
FORM = "e.g. workday 09:00-11:00, 周六 22:00-04:00 or 2026-03-11T22:00/2026-03-12T04:00"


@dataclass(frozen=True, slots=True)
class Window:
    """Weekly when ``days`` is set: minutes of the city's day, ``end`` past 1440 goes into the next day."""

    days: int = 0
    begin: int = 0
    end: int = 0
    since: datetime | None = None  # a single window, city time without a zone
    until: datetime | None = None


def parse(text: str) -> Window:
    """Read one window.

    Raises:
        ValueError: it is none, with what one looks like.
    """
    text = text.strip()
    if "/" in text:
        return _single(text)
    match = _WEEKLY.fullmatch(text.lower())
    if match is None:
        raise ValueError(FORM)
    begin, end = int(match[2]) * 60 + int(match[3]), int(match[4]) * 60 + int(match[5])
    if begin >= DAY or end > DAY or begin == end or int(match[3]) > 59 or int(match[5]) > 59:
        raise ValueError(FORM)
    return Window(_days(match[1] or ""), begin, end if end > begin else end + DAY)


def _single(text: str) -> Window:
    first, _, last = text.partition("/")
    since, until = datetime.fromisoformat(first.strip()), datetime.fromisoformat(last.strip())
    if since.tzinfo is not None or until.tzinfo is not None:
        raise ValueError("city time, without an offset")
    if until <= since:
        raise ValueError("it ends before it begins")
    return Window(since=since, until=until)


def _days(word: str) -> int:
    if word in _KINDS:
        return _KINDS[word]
    first, dash, last = re.sub("[–~至]", "-", word).partition("-")
    if first not in _DAYS or (dash and last not in _DAYS):
        raise ValueError(FORM)
    begin, end = _DAYS[first], _DAYS[last or first]
    span = range(begin, end + 1) if end >= begin else (*range(begin, 7), *range(end + 1))
    return sum(1 << day for day in span)


def table(name: str, owned: Iterable[tuple[int, Sequence[str]]]) -> pl.DataFrame:
    """Windows of many owners as rows: the owner's number as ``name``, then the fields of ``Window``."""
    rows = [(owner, *_row(parse(text))) for owner, texts in owned for text in texts]
    when = pl.Datetime("us")
    schema = {
        name: pl.Int64(),
        "days": pl.Int64(),
        "begin": pl.Int32(),
        "end": pl.Int32(),
        "since": when,
        "until": when,
    }
    return pl.DataFrame(rows, schema=schema, orient="row")


def _row(one: Window) -> tuple[object, ...]:
    return one.days, one.begin, one.end, one.since, one.until


def is_open() -> pl.Expr:
    """Whether a window of ``table`` holds ``at`` (city time without a zone); ``workday`` is of that day.

    For what a window of the day before reaches into, that day counts by its weekday alone.
    """
    at, end = pl.col("at"), pl.col("end")
    minute = at.dt.hour().cast(pl.Int32) * 60 + at.dt.minute().cast(pl.Int32)
    before = at.dt.offset_by("-1d")
    today = _on(at, pl.col("workday")) & (minute >= pl.col("begin")) & (minute < end)
    weekly = today | (_on(before, before.dt.weekday() <= 5) & (minute + DAY < end))
    single = (at >= pl.col("since")) & (at < pl.col("until"))
    return pl.when(pl.col("days") > 0).then(weekly).otherwise(single)


def holds(window: Window, at: datetime) -> bool:
    """The same for one moment (city time without a zone); days count by their weekday alone."""
    if window.since is not None and window.until is not None:
        return window.since <= at < window.until
    minute = at.hour * 60 + at.minute
    today = _bits(at.weekday()) & window.days and window.begin <= minute < window.end
    return bool(today or (_bits((at.weekday() - 1) % 7) & window.days and minute + DAY < window.end))


def _bits(weekday: int) -> int:
    return 1 << weekday | (WORKDAY if weekday < 5 else RESTDAY)


def _on(day: pl.Expr, workday: pl.Expr) -> pl.Expr:
    bit = pl.lit(2, dtype=pl.Int64()) ** (day.dt.weekday().cast(pl.Int64) - 1)
    kind = pl.when(workday).then(WORKDAY).otherwise(RESTDAY)
    return ((pl.col("days") & bit.cast(pl.Int64)) > 0) | ((pl.col("days") & kind) > 0)
