"""Which rules are switched off, by whom and why: one file of the city, read at load, the last word counts."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import yaml

from cityguard import content
from cityguard.errors import CityguardError, ContentErrors, InputError
from cityguard.model import LEVELS
from cityguard.rulebook import manifest
from cityguard.sigma.ast import Correlation, Rule
from cityguard.store import locks

FILE = "rule-switches.yml"
MAX_SWITCHES = 5_000
MAX_WIDE = 500  # of them, those that do not name a single rule
MAX_TEXT = 500
_MAX_BYTES = 8 << 20
Act = Literal["enable", "disable"]


@dataclass(frozen=True, slots=True)
class Selector:
    """Which rules are meant: all that is given must fit. ``tag`` and ``path`` may hold ``*`` and ``?``."""

    id: str = ""
    level: str = ""
    product: str = ""
    category: str = ""
    status: str = ""
    tag: str = ""
    path: str = ""  # below the rules folder: imported/sigmahq/rules/windows/*

    @property
    def text(self) -> str:
        """``level:low product:windows``."""
        return " ".join(f"{name}:{value}" for name, value in self.given().items())

    def given(self) -> dict[str, str]:
        return {item.name: value for item in fields(self) if (value := getattr(self, item.name))}

    def fits(self, rule: Rule | Correlation, path: str) -> bool:
        """True when every part that is given fits the rule."""
        head = rule.head
        plain = (
            (self.id, (rule.id, head.name)),
            (self.level, (head.level,)),
            (self.status, (head.status,)),
            (self.product, (getattr(rule, "product", None),)),
            (self.category, (getattr(rule, "category", None),)),
        )
        return (
            all(not wanted or wanted in values for wanted, values in plain)
            and (not self.tag or any(fnmatch.fnmatchcase(tag.lower(), self.tag.lower()) for tag in head.tags))
            and (not self.path or fnmatch.fnmatchcase(path, self.path))
        )


@dataclass(frozen=True, slots=True)
class Switch:
    """One entry of the file."""

    act: Act
    select: Selector
    by: str
    at: str  # ISO 8601, UTC
    why: str = ""


def check(select: Selector) -> Selector:
    """The selector, as it can be kept.

    Raises:
        InputError: it says nothing, or something no rule can be.
    """
    given = select.given()
    if not given:
        raise InputError("which rules?", remedy="give at least one of id, level, product, category, status, tag, path")
    if select.level and select.level not in LEVELS:
        raise InputError(f"level '{select.level[:40]}' is unknown", remedy=", ".join(LEVELS))
    long = next((name for name, value in given.items() if len(value) > MAX_TEXT), None)
    if long:
        raise InputError(f"{long} has more than {MAX_TEXT} characters")
    return replace(select, id=select.id.lower() if _is_uuid(select.id) else select.id)


def _is_uuid(text: str) -> bool:
    return len(text) == 36 and text.count("-") == 4


def read(path: Path) -> tuple[list[Switch], list[CityguardError]]:
    """Switches in their order, and what is wrong with the file; a bad entry is left out, the others count."""
    if not path.is_file():
        return [], []
    try:
        document = content.load(path, max_bytes=_MAX_BYTES)
    except CityguardError as error:
        return [], [error]
    data = document.data
    entries = data.get("switches") if isinstance(data, dict) else None
    if not isinstance(entries, list):
        return [], [InputError("'switches' must be a list", place=str(path), remedy="write 'switches: []'")]
    found: list[Switch] = []
    faults: list[CityguardError] = []
    for index, entry in enumerate(entries[:MAX_SWITCHES]):
        try:
            found.append(_entry(entry))
        except InputError as error:
            place = document.place("switches", index)
            faults.append(InputError(error.message, place=place, remedy=error.remedy))
    return found, faults


def _entry(entry: Any) -> Switch:
    known = {item.name for item in fields(Selector)}
    if not isinstance(entry, Mapping) or entry.get("act") not in ("enable", "disable"):
        raise InputError("a switch needs 'act: disable' or 'act: enable'")
    select = entry.get("select")
    if not isinstance(select, Mapping) or not set(select) <= known:
        raise InputError("'select' must be a map", remedy=f"known: {', '.join(sorted(known))}")
    chosen = check(Selector(**{str(name): str(value) for name, value in select.items()}))
    by, at, why = (str(entry.get(name) or "")[:MAX_TEXT] for name in ("by", "at", "why"))
    return Switch("disable" if entry["act"] == "disable" else "enable", chosen, by, at, why)


def write(path: Path, switch: Switch) -> None:
    """Add one entry, in place of an older one for the same rules; the file is whole at every moment.

    Raises:
        ContentErrors: the file that is there has faults; nothing is changed.
        InputError: it cannot be written, or holds too many.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with locks.held(path.with_suffix(".lock")):
            found, faults = read(path)
            if faults:
                raise ContentErrors(faults)
            kept = [one for one in found if one.select != switch.select]
            wide = sum(set(one.select.given()) != {"id"} for one in (*kept, switch))
            if len(kept) >= MAX_SWITCHES or wide > MAX_WIDE:
                raise InputError("too many switches", place=str(path), remedy="say the same with fewer")
            _replace(path, [*kept, switch])
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror}", place=str(path)) from None


def _replace(path: Path, switches: Sequence[Switch]) -> None:
    entries = [
        {"act": one.act, "select": one.select.given(), "by": one.by, "at": one.at, "why": one.why} for one in switches
    ]
    head = "# Which rules run: see `cityguard rules enable --help`. Of two entries for one rule the later counts.\n"
    text = head + yaml.dump({"switches": entries}, Dumper=yaml.CSafeDumper, allow_unicode=True, sort_keys=False)
    manifest.put(path, text.encode())


class LastWord:
    """Which switch counts for a rule: the last that fits. Switches of single rules are looked up, not gone through."""

    def __init__(self, switches: Sequence[Switch]) -> None:
        self._by_id: dict[str, tuple[int, Switch]] = {}
        self._wide: list[tuple[int, Switch]] = []
        for number, one in enumerate(switches):
            if set(one.select.given()) == {"id"}:
                self._by_id[one.select.id] = (number, one)
            else:
                self._wide.append((number, one))

    def of(self, rule: Rule | Correlation, path: str) -> Switch | None:
        """The switch; None when none speaks of the rule."""
        named = [self._by_id[name] for name in (rule.id, rule.head.name) if name in self._by_id]
        best = max(named, key=lambda found: found[0], default=None)
        for number, one in reversed(self._wide):
            if best is not None and number < best[0]:
                break
            if one.select.fits(rule, path):
                return one
        return best[1] if best else None


def moment(text: str) -> datetime | None:
    """When a switch was set, as far as the file says so."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None
