"""Schedules: the file operators write, the arguments each kind takes, and when a slot is due."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import islice
from pathlib import Path
from typing import Any, get_args

from apscheduler.triggers.cron import CronTrigger

from cityguard import content
from cityguard.errors import CityguardError, ContentErrors, InputError
from cityguard.model import JobKind, Schedule, Text

MAX_SCHEDULES = 1000
MIN_EVERY_S = 60
MAX_EVERY_S = 366 * 86400
KEYS = ("id", "kind", "title", "trigger", "arguments", "enabled", "catch_up")
KINDS: tuple[JobKind, ...] = get_args(JobKind)

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
_EVERY = re.compile(r"every\s+([1-9][0-9]{0,5})\s*([mhd])")
_UNITS = {"m": 60, "h": 3600, "d": 86400}
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_FORMATS = ("html", "pdf", "docx", "xlsx", "json")

Check = Callable[[Any], bool]


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of a kind of job: what it must look like, in words and as a test."""

    shape: str
    check: Check
    required: bool = False


def _name(value: Any) -> bool:
    return isinstance(value, str) and _ID.fullmatch(value) is not None


def _names(value: Any) -> bool:
    return (
        isinstance(value, list)
        and 0 < len(value) <= 200
        and all(isinstance(v, str) and 0 < len(v) < 100 for v in value)
    )


def _file(value: Any) -> bool:
    return (
        isinstance(value, str)
        and 0 < len(value) <= 100
        and value.isprintable()
        and not value.startswith(".")
        and not set(value) & set("/\\")
    )


def _formats(value: Any) -> bool:
    return _names(value) and set(value) <= set(_FORMATS)


def _days(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 90


_SYSTEM = Argument("id of a system in the register", _name, required=True)

ARGUMENTS: dict[JobKind, dict[str, Argument]] = {
    "scan": {
        "system": _SYSTEM,
        "targets": Argument("list of addresses", _names),
        "checks": Argument("list of check ids", _names),
    },
    "assessment": {"system": _SYSTEM},
    "drill": {"plan": Argument("name of a plan file in the folder 'backups'", _file, required=True)},
    "report": {
        "system": _SYSTEM,
        "formats": Argument(f"list of {', '.join(_FORMATS)}", _formats),
        "language": Argument("zh-CN or en", lambda value: value in ("zh-CN", "en")),
    },
    "retention": {},
    "forest": {"days": Argument("days to learn from, 1 to 90", _days)},
}
"""What each kind takes. Nothing else is accepted, and nothing in it is ever imported or executed."""


def load(path: Path) -> list[Schedule]:
    """Read a file of schedules: ``schedules:`` with a list of entries (``docs/jobs.md``).

    Raises:
        InputError: the file cannot be read or is not such a mapping.
        ContentErrors: every fault of every entry, with ``path:line``.
    """
    document = content.load(path)
    data = document.data if document.data is not None else {}
    if not isinstance(data, dict) or not isinstance(entries := data.get("schedules", []), list):
        raise InputError("expected 'schedules:' with a list", place=document.place(), remedy="see docs/jobs.md")
    if unknown := sorted(str(key) for key in data if key != "schedules"):
        raise InputError(f"unknown key '{unknown[0]}'", place=document.place(unknown[0]), remedy="only 'schedules'")
    if len(entries) > MAX_SCHEDULES:
        raise InputError(f"more than {MAX_SCHEDULES} schedules", place=document.place("schedules"))
    faults: list[CityguardError] = []
    found: dict[str, Schedule] = {}
    for index, entry in enumerate(entries):
        schedule = _entry(entry, document, index, faults)
        if schedule is None:
            continue
        if schedule.id in found:
            place = document.place("schedules", index, "id")
            faults.append(InputError(f"id '{schedule.id}' stands twice", place=place, remedy="choose another"))
        found[schedule.id] = schedule
    if faults:
        raise ContentErrors(faults)
    return list(found.values())


def _entry(entry: Any, document: content.Document, index: int, faults: list[CityguardError]) -> Schedule | None:
    def fault(message: str, remedy: str, *where: str) -> None:
        faults.append(InputError(message, place=document.place("schedules", index, *where), remedy=remedy))

    if not isinstance(entry, dict):
        fault("a schedule is a mapping", "see docs/jobs.md")
        return None
    before = len(faults)
    for key in entry:
        if key not in KEYS:
            near = difflib.get_close_matches(str(key), KEYS, 1)
            fault(f"unknown key '{key}'", f"did you mean '{near[0]}'?" if near else ", ".join(KEYS), str(key))
    for key in ("enabled", "catch_up"):
        if not isinstance(entry.get(key, True), bool):
            fault(f"'{key}' is not true or false", "write true or false", key)
    title = entry.get("title", entry.get("id"))
    text = Text(title, "") if isinstance(title, str) else _text(title)
    if text is None:
        fault("'title' is neither a text nor {zh: …, en: …}", "write a text", "title")
    if len(faults) > before:
        return None
    schedule = Schedule(
        id=entry.get("id", ""),
        kind=entry.get("kind", ""),
        title=text or Text("", ""),
        trigger=entry.get("trigger", ""),
        arguments=entry.get("arguments") or {},
        enabled=entry.get("enabled", True),
        catch_up=entry.get("catch_up", True),
    )
    for message, remedy, where in problems(schedule):
        fault(message, remedy, *where)
    return schedule if len(faults) == before else None


def _text(value: Any) -> Text | None:
    if not isinstance(value, dict) or set(value) - {"zh", "en"} or not all(isinstance(v, str) for v in value.values()):
        return None
    return Text(value.get("zh", ""), value.get("en", "")) if any(value.values()) else None


def problems(schedule: Schedule) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """(what is wrong, remedy, where) of a schedule, wherever it came from; nothing when it may run."""
    if not isinstance(schedule.id, str) or not _ID.fullmatch(schedule.id):
        yield "'id' is missing or not letters, digits, '-', '_', '.'", "e.g. scan-portal", ("id",)
    try:
        trigger(schedule.trigger, UTC)
    except InputError as error:
        yield error.message, error.remedy, ("trigger",)
    yield from argument_problems(schedule.kind, schedule.arguments)


def argument_problems(kind: str, arguments: Any) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """The same of a kind and its arguments alone: what a person starts by hand has no trigger."""
    takes = ARGUMENTS.get(kind)  # type: ignore[call-overload]
    if takes is None:
        yield f"'kind' is not one of {', '.join(KINDS)}", "choose one", ("kind",)
        return
    if not isinstance(arguments, Mapping):
        yield "'arguments' is not a mapping", "see docs/jobs.md", ("arguments",)
        return
    for name, value in arguments.items():
        if name not in takes:
            yield f"{kind} takes no argument '{name}'", ", ".join(takes) or "none", ("arguments", str(name))
        elif not takes[name].check(value):
            yield f"argument '{name}' is wrong", takes[name].shape, ("arguments", name)
    for name, argument in takes.items():
        if argument.required and name not in arguments:
            yield f"{kind} needs the argument '{name}'", argument.shape, ("arguments",)


def check(schedule: Schedule) -> None:
    """Refuse a schedule that may not run, e.g. one changed behind our back in the store.

    Raises:
        InputError: the first thing wrong with it.
    """
    for message, remedy, _ in problems(schedule):
        raise InputError(message, place=f"schedule {schedule.id}", remedy=remedy)


# ---------------------------------------------------------------- when


class Trigger:
    """Gives slots: moments in UTC, always the same ones for the same schedule."""

    def after(self, moment: datetime) -> datetime | None:
        """The first slot later than ``moment``."""
        raise NotImplementedError

    def latest(self, now: datetime) -> datetime | None:
        """The last slot not later than ``now``; None when none lies within four years."""
        for reach in (timedelta(hours=1), timedelta(days=1), timedelta(days=32), timedelta(days=366 * 4)):
            slot, found = self.after(now - reach), None
            while slot is not None and slot <= now:
                found, slot = slot, self.after(slot)
            if found is not None:
                return found
        return None

    def missed(self, last: datetime, now: datetime, most: int = 1000) -> int:
        """How many slots lie in (last, now]; counting ends at ``most``."""
        count, slot = 0, self.after(last)
        while slot is not None and slot <= now and count < most:
            count, slot = count + 1, self.after(slot)
        return count


class Every(Trigger):
    """``every 5m``: multiples of the interval since the epoch, so that restarts do not shift them."""

    def __init__(self, seconds: int) -> None:
        self.seconds = seconds

    def after(self, moment: datetime) -> datetime | None:
        slot = (int(moment.timestamp()) // self.seconds + 1) * self.seconds
        return datetime.fromtimestamp(slot, UTC)

    def latest(self, now: datetime) -> datetime | None:
        return datetime.fromtimestamp(int(now.timestamp()) // self.seconds * self.seconds, UTC)


class Cron(Trigger):
    """Five fields in the city's zone. A named hour that a DST change repeats fires the first time only."""

    def __init__(self, fields: list[str], zone: tzinfo) -> None:
        minute, hour, day, month, weekday = fields
        made: Any = CronTrigger  # untyped
        self.inner = made(minute=minute, hour=hour, day=day, month=month.lower(), day_of_week=weekday, timezone=zone)
        self.zone = zone
        self.once = not hour.startswith("*")  # every-hour jobs go by elapsed time instead

    def after(self, moment: datetime) -> datetime | None:
        found = self._next(moment)
        while found is not None and self.once and found.astimezone(self.zone).fold:
            found = self._next(found)
        return found

    def _next(self, moment: datetime) -> datetime | None:
        # steps are made in UTC: arithmetic on local times forgets which of two equal hours it is in
        local = (moment.astimezone(UTC) + timedelta(microseconds=1)).astimezone(self.zone)
        found: datetime | None = self.inner.get_next_fire_time(None, local)
        if found is not None and found <= moment:
            raise RuntimeError(f"cron went back from {moment} to {found}")
        return None if found is None else found.astimezone(UTC)


def trigger(text: str, zone: tzinfo) -> Trigger:
    """Read ``every N[mhd]`` or five cron fields (``docs/jobs.md``).

    Raises:
        InputError: neither.
    """
    mend = "e.g. '30 2 * * 1-5' (minute hour day month weekday) or 'every 5m'"
    if not isinstance(text, str) or len(text) > 200:
        raise InputError("'trigger' is missing or not a text", remedy=mend)
    words = text.strip()
    if words.startswith("every"):
        match = _EVERY.fullmatch(words)
        seconds = int(match[1]) * _UNITS[match[2]] if match else 0
        if not MIN_EVERY_S <= seconds <= MAX_EVERY_S:
            raise InputError(f"'{text}' is not an interval between 1m and 366d", remedy=mend)
        return Every(seconds)
    fields = words.split()
    if len(fields) != 5:
        raise InputError(f"'{text}' has {len(fields)} fields, not 5", remedy=mend)
    if fields[2] != "*" and fields[4] != "*":
        raise InputError(
            f"'{text}' restricts both day and weekday, which crons read differently", remedy="use two jobs"
        )
    try:
        return Cron([*fields[:4], weekdays(fields[4])], zone)
    except (ValueError, TypeError) as error:
        raise InputError(f"'{text}' is not a cron time: {error}", remedy=mend) from None


def weekdays(field: str) -> str:
    """A weekday field of cron (0 and 7 are Sunday) in the words of APScheduler, whose 0 is Monday.

    Raises:
        ValueError: no such day.
    """
    if field == "*":
        return field
    chosen: set[int] = set()
    for part in field.lower().split(","):
        span, _, step = part.partition("/")
        first, dash, last = ("0", "-", "6") if span == "*" else span.partition("-")
        begin, end = _weekday(first), _weekday(last) if dash else _weekday(first)
        if dash and end < begin:
            end += 7
        if step and (not step.isdigit() or int(step) < 1):
            raise ValueError(f"bad step '{step}'")
        chosen |= {day % 7 for day in range(begin, (6 if step and not dash else end) + 1, int(step or 1))}
    return ",".join(_DAYS[day] for day in sorted(chosen))


def _weekday(word: str) -> int:
    if word in _DAYS:
        return _DAYS.index(word)
    if word.isdigit() and int(word) <= 7:
        return int(word)
    raise ValueError(f"no weekday '{word}'")


def next_slots(schedule: Schedule, count: int, *, now: datetime, zone: tzinfo) -> list[datetime]:
    """The next slots of a schedule, UTC; fewer when there are no more.

    Raises:
        InputError: the trigger cannot be read.
    """
    when = trigger(schedule.trigger, zone)

    def slots() -> Iterator[datetime]:
        slot = when.after(now)
        while slot is not None:
            yield slot
            slot = when.after(slot)

    return list(islice(slots(), count))
