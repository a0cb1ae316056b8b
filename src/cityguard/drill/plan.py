"""Drill plans: what is restored, from where, within which time; every fault of the file with its line."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cityguard import content
from cityguard.errors import CityguardError, ContentErrors, InputError
from cityguard.model import Text

KINDS = ("data", "application")
SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.zst")
MAX_HOURS = 24 * 366 * 10


@dataclass(frozen=True, slots=True)
class Limits:
    """What one restore may cost; beyond it the restore is stopped and the drill has failed."""

    bytes: int = 10 << 30  # restored bytes, and the most any one file may hold
    files: int = 1_000_000  # entries of any kind
    ratio: int = 200  # restored / stored, past the first 16 MiB
    memory: int = 1 << 30  # address space of the restoring process and of the probe
    processes: int = 128  # processes and threads at once
    seconds: int = 0  # wall clock of the whole restore; 0 = twice the RTO, ten minutes to a day

    def wall(self, rto_s: float | None) -> int:
        """Seconds after which the restore is given up."""
        return self.seconds or min(max(600, int(2 * (rto_s or 0))), 86400)


@dataclass(frozen=True, slots=True)
class Plan:
    """One drill, as its file says it. Times are aware; durations are seconds."""

    id: str
    path: Path
    title: Text
    system: str
    kind: str
    scenario: str
    backup: Path
    manifest: Path
    taken: datetime | None
    rto_s: float | None
    rpo_s: float | None
    max_age_s: float | None
    incident: datetime | None  # failure point, RPO is reckoned back from it
    declared: datetime | None  # RTO runs from it
    limits: Limits
    probe: tuple[str, ...] = ()
    probe_seconds: int = 60
    probe_reads: tuple[Path, ...] = ()  # beyond what programs need and the restored data


def load(path: Path) -> Plan:
    """Read a plan (YAML; ``docs/drills.md`` lists the keys).

    Raises:
        InputError: the file cannot be read or is not one YAML mapping.
        ContentErrors: every fault of the plan, each with ``path:line`` and a remedy.
    """
    document = content.load(path)
    if not isinstance(document.data, dict):
        raise InputError("a drill plan is a mapping", place=document.place(), remedy="see docs/drills.md")
    reader = _Reader(document)
    plan = reader.plan(path.resolve())
    if plan.kind == "application" and not plan.probe:
        reader.fault("an application drill needs a probe", ("kind",), "add 'probe: [program, argument]'")
    if reader.faults:
        raise ContentErrors(list(reader.faults))
    return plan


class _Reader:
    """Reads key by key and collects every fault instead of stopping at the first."""

    def __init__(self, document: content.Document) -> None:
        self.document = document
        self.faults: list[CityguardError] = []

    def plan(self, path: Path) -> Plan:
        data = self.document.data
        self.known(data, (), PLAN_KEYS)
        backup = self.value(data, ("backup",), _mapping, {}, required=True)
        self.known(backup, ("backup",), BACKUP_KEYS)
        limits = self.value(data, ("limits",), _mapping, {})
        self.known(limits, ("limits",), tuple(Limits.__dataclass_fields__))

        def near(raw: str) -> Path:
            return (path.parent / Path(raw).expanduser()).resolve()

        return Plan(
            id=self.value(data, ("id",), _identifier, "", required=True),
            path=path,
            title=self.value(data, ("title",), _text, Text("", ""), required=True),
            system=self.value(data, ("system",), _word, "", required=True),
            kind=self.value(data, ("kind",), _kind, "data"),
            scenario=self.value(data, ("scenario",), _word, ""),
            backup=near(self.value(backup, ("backup", "path"), _word, "", required=True)),
            manifest=near(self.value(backup, ("backup", "manifest"), _word, "", required=True)),
            taken=self.value(backup, ("backup", "taken"), moment, None),
            rto_s=self.value(data, ("rto",), _hours, None),
            rpo_s=self.value(data, ("rpo",), _hours, None),
            max_age_s=self.value(data, ("max_age",), _hours, None),
            incident=self.value(data, ("incident",), moment, None),
            declared=self.value(data, ("declared",), moment, None),
            limits=Limits(
                **{name: self.value(limits, ("limits", name), _positive, 1) for name in sorted(_names(limits))}
            ),
            probe=self.value(data, ("probe",), _argv, ()),
            probe_seconds=self.value(data, ("probe_seconds",), _positive, 60),
            probe_reads=tuple(near(one) for one in self.value(data, ("probe_reads",), _argv, ())),
        )

    def known(self, data: dict[Any, Any], where: content.Where, keys: tuple[str, ...]) -> None:
        for key in data:
            if key not in keys:
                near = difflib.get_close_matches(str(key), keys, 1)
                mend = f"did you mean '{near[0]}'?" if near else f"known keys: {', '.join(keys)}"
                self.fault(f"unknown key '{key}'", (*where, str(key)), mend)

    def value(
        self,
        data: dict[Any, Any],
        where: content.Where,
        read: Callable[[Any], Any],
        default: Any,
        *,
        required: bool = False,
    ) -> Any:
        name = where[-1]
        if data.get(name) is None:
            if required:
                self.fault(f"'{'.'.join(map(str, where))}' is missing", where, "see docs/drills.md")
            return default
        try:
            return read(data[name])
        except ValueError as error:
            self.fault(f"'{'.'.join(map(str, where))}' {error}", where, "")
            return default

    def fault(self, message: str, where: content.Where, remedy: str) -> None:
        self.faults.append(InputError(message, place=self.document.place(*where), remedy=remedy))


PLAN_KEYS = (
    *("id", "title", "system", "kind", "scenario", "backup", "rto", "rpo", "max_age", "incident", "declared"),
    *("limits", "probe", "probe_seconds", "probe_reads"),
)
BACKUP_KEYS = ("path", "manifest", "taken")


def _names(limits: dict[Any, Any]) -> Iterator[str]:
    return (name for name in Limits.__dataclass_fields__ if limits.get(name) is not None)


def moment(value: Any) -> datetime:
    """A time with its zone, from YAML or text.

    Raises:
        ValueError: not a time, or no zone.
    """
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise ValueError(f"is not a time: {value[:40]!r}; e.g. 2026-03-01T02:00:00+08:00") from None
    if not isinstance(value, datetime):
        raise ValueError("is not a time; e.g. 2026-03-01T02:00:00+08:00")
    if value.tzinfo is None:
        raise ValueError("has no time zone; e.g. 2026-03-01T02:00:00+08:00")
    return value.astimezone(UTC)


def _mapping(value: Any) -> dict[Any, Any]:
    if not isinstance(value, dict):
        raise ValueError("is not a mapping")
    return value


def _word(value: Any) -> str:
    if not isinstance(value, str) or not value.strip() or len(value) > 1000 or "\x00" in value:
        raise ValueError("is not a text of 1 to 1000 characters")
    return value


def _identifier(value: Any) -> str:
    text = _word(value)
    if len(text) > 80 or not text.replace("-", "").replace("_", "").replace(".", "").isalnum():
        raise ValueError("is not an id: letters, digits, '-', '_' and '.', 80 at most")
    return text


def _text(value: Any) -> Text:
    if isinstance(value, str):
        return Text(_word(value), "")
    entries = _mapping(value)
    if set(entries) - {"zh", "en"} or "zh" not in entries:
        raise ValueError("is neither a text nor {zh: …, en: …}")
    return Text(_word(entries["zh"]), _word(entries["en"]) if entries.get("en") else "")


def _kind(value: Any) -> str:
    if value not in KINDS:
        raise ValueError(f"is not one of {', '.join(KINDS)}")
    return str(value)


def _hours(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= MAX_HOURS:
        raise ValueError("is not a number of hours above 0")
    return timedelta(hours=value).total_seconds()


def _positive(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= 1 << 50:
        raise ValueError("is not a whole number above 0")
    return value


def _argv(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not 0 < len(value) <= 64:
        raise ValueError("is not a list of 1 to 64 words; no shell reads it")
    return tuple(_word(word) for word in value)
