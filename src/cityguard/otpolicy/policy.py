"""A policy: lines that say who may do what to which station, and which places are held to them. One YAML file."""

from __future__ import annotations

import hashlib
import ipaddress
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any, Literal

import msgspec
import yaml

from cityguard import content
from cityguard.errors import CityguardError, ContentErrors, InputError
from cityguard.otpolicy import addresses
from cityguard.otpolicy.acts import CLASSES
from cityguard.register import windows

FILE = "ot-policy.yml"
PROPOSAL = "ot-proposal.yml"
MAX_LINES = 4_000
MAX_BYTES = 8 << 20
MAX_WEIGHT = content.MAX_NODES - 5_000  # values of a file that can be read again
MAX_TEXT = 500
ANY, PLATFORM = "*", "platform"
Mode = Literal["learning", "enforced"]
_ID = re.compile(r"[\w.-]{1,64}")
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Line:
    """What a master may do. Empty ``codes``, ``addresses`` and ``windows`` mean any."""

    id: str
    station: str = ""  # register id, asset, asset/unit, address, address/unit, or the unit id; empty = the segment
    segment: str = ""
    master: str = ANY  # an address, a network, ``platform`` (a registered one) or ``*``
    protocol: str = ANY
    klass: str = ANY  # read write control program diagnostic
    codes: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    windows: tuple[str, ...] = ()
    name: str = ""  # of the function, for people
    owner: str = ""
    reason: str = ""
    expires: date | None = None  # the last day it counts, city time
    by: str = ""
    at: str = ""
    count: int = 0  # as learned
    first: datetime | None = None
    last: datetime | None = None
    period_s: float | None = None
    flags: tuple[str, ...] = ()  # why a person should look twice; of proposals

    @property
    def scope(self) -> str:
        """How the place it speaks of is called among scopes."""
        return self.station or f"segment:{self.segment}"

    @property
    def same(self) -> tuple[Any, ...]:
        """What it allows, without who signed it and what was learned."""
        return (self.scope, self.master, self.protocol, self.klass, self.codes, self.addresses, self.windows)


@dataclass(frozen=True, slots=True)
class Scope:
    """How a place is treated, and who decided so. ``place`` is a station's name or ``segment:ID``."""

    place: str
    mode: Mode
    owner: str = ""
    reason: str = ""
    by: str = ""
    at: str = ""


@dataclass(frozen=True, slots=True)
class Rejected:
    """A proposed line that somebody refused; it is not proposed again."""

    id: str
    by: str = ""
    reason: str = ""
    at: str = ""


@dataclass(frozen=True, slots=True)
class Policy:
    """What is in force, or proposed. ``about`` tells of a proposal when it was made and from what."""

    lines: tuple[Line, ...] = ()
    scopes: tuple[Scope, ...] = ()
    rejected: tuple[Rejected, ...] = ()
    about: Mapping[str, str] = field(default_factory=dict)

    def line(self, line_id: str) -> Line | None:
        """A line by id, or None."""
        return next((one for one in self.lines if one.id == line_id), None)


def line_id(scope: str, master: str, protocol: str, klass: str, code: str) -> str:
    """The same for the same deed at the same place, whatever addresses and windows were seen."""
    text = "\x1f".join((scope, master, protocol, klass, code))
    return "ot-" + hashlib.blake2b(text.encode(), digest_size=5, person=b"cg-otline").hexdigest()


# ---------------------------------------------------------------- faults


def faults(line: Line) -> Iterator[tuple[str, str, str]]:
    """(field, what is wrong, remedy) of one line."""
    if not _ID.fullmatch(line.id):
        yield "id", f"id: '{line.id[:64]}'", "1-64 letters, digits, '_', '.' or '-'"
    if bool(line.station) == bool(line.segment):
        yield "station", "one of 'station' and 'segment' is needed", "name the station, or the segment it stands in"
    if line.klass != ANY and line.klass not in CLASSES:
        yield "class", f"class: '{line.klass[:40]}'", f"one of {', '.join(CLASSES)} or '*'"
    if not _is_master(line.master):
        yield "master", f"master: '{line.master[:64]}'", "an address, a network such as 10.1.2.0/24, platform or '*'"
    for name, entries, read in (
        ("addresses", line.addresses, addresses.parse),
        ("windows", line.windows, windows.parse),
    ):
        for entry in entries:
            try:
                read(entry)
            except ValueError as error:
                yield name, f"{name}: '{entry[:64]}'", str(error)[:200]
    for spec in fields(line):
        value = getattr(line, spec.name)
        texts = value if isinstance(value, tuple) else (value,)
        if len(texts) > 1000 or any(isinstance(t, str) and (len(t) > MAX_TEXT or CONTROL.search(t)) for t in texts):
            yield spec.name, f"{spec.name}: too long, or a control character", f"texts of at most {MAX_TEXT} characters"


def _is_master(text: str) -> bool:
    if text in (ANY, PLATFORM) or re.fullmatch(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}", text):
        return True
    try:
        ipaddress.ip_network(text)
    except ValueError:
        return False
    return True


# ---------------------------------------------------------------- files

_NAMES = {"klass": "class"}  # attribute -> key
_KEYS = {"class": "klass"}


def read(path: Path) -> Policy:
    """A policy from its file; an empty one where there is none.

    Raises:
        InputError, ContentErrors: what is wrong, with lines and remedies; nothing of the file is used.
    """
    if not path.is_file():
        return Policy()
    return _whole(content.load(path, max_bytes=MAX_BYTES))


def _whole(document: content.Document) -> Policy:
    data = {} if document.data is None else document.data
    if not isinstance(data, dict):
        raise InputError("a policy is a mapping", place=document.place(), remedy="keys: lines, scopes, rejected")
    found: list[CityguardError] = [
        InputError(
            f"unknown key '{key}'", place=document.place(str(key)), remedy="keys: lines, scopes, rejected, about"
        )
        for key in data
        if key not in ("version", "lines", "scopes", "rejected", "about")
    ]
    lines = [one for one in _entries(document, data, "lines", Line, found) if isinstance(one, Line)]
    scopes = [one for one in _entries(document, data, "scopes", Scope, found) if isinstance(one, Scope)]
    rejected = [one for one in _entries(document, data, "rejected", Rejected, found) if isinstance(one, Rejected)]
    seen: dict[str, int] = {}
    for index, line in enumerate(lines):
        for name, message, remedy in faults(line):
            place = document.place("lines", index, _NAMES.get(name, name))
            found.append(InputError(message, place=place, remedy=remedy))
        if line.id in seen:
            first = document.place("lines", seen[line.id])
            found.append(
                InputError(f"id '{line.id}' twice", place=document.place("lines", index), remedy=f"first at {first}")
            )
        seen.setdefault(line.id, index)
    if found:
        raise ContentErrors(found)
    about = data.get("about") or {}
    told = {str(k)[:40]: str(v)[:MAX_TEXT] for k, v in about.items()} if isinstance(about, dict) else {}
    return Policy(tuple(lines), tuple(scopes), tuple(rejected), told)


def _entries(
    document: content.Document, data: Mapping[str, Any], kind: str, made: type, found: list[CityguardError]
) -> list[Any]:
    entries = data.get(kind) or []
    if not isinstance(entries, list) or len(entries) > MAX_LINES:
        found.append(InputError(f"{kind}: a list of at most {MAX_LINES}", place=document.place(kind)))
        return []
    out: list[Any] = []
    known = {_NAMES.get(item.name, item.name) for item in fields(made)}
    for index, entry in enumerate(entries):
        if not isinstance(entry, dict) or not set(map(str, entry)) <= known:
            strange = ", ".join(sorted(set(map(str, entry)) - known)) if isinstance(entry, dict) else "no mapping"
            remedy = f"keys: {', '.join(sorted(known))}"
            found.append(InputError(f"{kind}: {strange}", place=document.place(kind, index), remedy=remedy))
            continue
        try:
            values = {_KEYS.get(key, key): _plain(value) for key, value in entry.items()}
            out.append(msgspec.convert(values, made))
        except msgspec.ValidationError as error:
            remedy = "put texts and codes in quotes" if "`str`" in str(error) else "see docs/otpolicy.md"
            found.append(InputError(str(error), place=document.place(kind, index), remedy=remedy))
    return out


def _plain(value: Any) -> Any:
    """A code or range that YAML took for a number is meant as written."""
    if isinstance(value, list):
        return [str(item) if isinstance(item, int) and not isinstance(item, bool) else item for item in value]
    return value


def dump(policy: Policy, head: str) -> bytes:
    """A policy as the text of its file, defaults left out; ``head`` is a comment for people."""
    data: dict[str, Any] = {"version": 1}
    if policy.about:
        data["about"] = dict(policy.about)
    for kind, items in (("scopes", policy.scopes), ("lines", policy.lines), ("rejected", policy.rejected)):
        if items:
            data[kind] = [dict(_told(item)) for item in items]
    lines = "".join(f"# {one}\n" for one in head.splitlines())
    text = yaml.dump(
        data, Dumper=yaml.CSafeDumper, allow_unicode=True, sort_keys=False, width=120, default_flow_style=None
    )
    return (lines + text).encode()


def _told(item: Any) -> Iterator[tuple[str, Any]]:
    for spec in fields(item):
        value = getattr(item, spec.name)
        if spec.default is MISSING or value != spec.default:
            plain = value.isoformat() if isinstance(value, date) else value
            yield _NAMES.get(spec.name, spec.name), list(value) if isinstance(value, tuple) else plain


def put(path: Path, data: bytes) -> None:
    """Write a file in one step: readers see the old one or the new one.

    Raises:
        InputError: it cannot be written, or could not be read again; the old file stays.
    """
    settle(draft(path, data), path)


def draft(path: Path, data: bytes) -> Path:
    """Write a policy beside its file and read it again, so that what takes the file's place is sure to be read.

    Raises:
        InputError: it cannot be written or read; nothing is left behind.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.chmod(0o640)
        read(part)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise InputError(f"cannot be written: {error.strerror}", place=str(path)) from None
    except CityguardError as error:
        part.unlink(missing_ok=True)
        message = f"what would be written could not be read again: {error.brief}"
        raise InputError(message, place=str(path), remedy="nothing was changed") from None
    return part


def settle(part: Path, path: Path) -> None:
    """Put a draft in the place of the file.

    Raises:
        InputError: it cannot be.
    """
    try:
        part.replace(path)
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror}", place=str(path)) from None


def weight(item: Line | Scope | Rejected) -> int:
    """How many values an entry takes in the file, at most."""
    values = [getattr(item, spec.name) for spec in fields(item)]
    return 1 + 2 * len(values) + sum(len(value) for value in values if isinstance(value, tuple))


def fits(policy: Policy) -> bool:
    """Whether a policy's file could be read again."""
    entries: list[Line | Scope | Rejected] = [*policy.lines, *policy.scopes, *policy.rejected]
    most = max(len(policy.lines), len(policy.scopes), len(policy.rejected))
    return most <= MAX_LINES and sum(map(weight, entries)) <= MAX_WEIGHT


def signed(
    lines: Sequence[Line], *, owner: str, reason: str, expires: date | None, by: str, at: str
) -> tuple[Line, ...]:
    """Lines as a person puts them in force."""
    return tuple(replace(one, owner=owner, reason=reason, expires=expires, by=by, at=at, flags=()) for one in lines)
