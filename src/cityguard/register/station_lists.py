"""A bureau's own list of stations taken into the register: updated by id, all or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from cityguard.errors import ContentErrors, InputError
from cityguard.model import Station
from cityguard.register import faults as register_faults
from cityguard.register import files
from cityguard.register.register import Register


@dataclass(frozen=True, slots=True)
class Changed:
    """A station that a list changes: (field, before, after) of each value that differs."""

    id: str
    values: tuple[tuple[str, Any, Any], ...]


def read(path: Path, register: Register, *, whole: bool = False) -> tuple[Station, ...]:
    """Stations of a file of stations only, held against departments and systems of a register.

    A station that is there keeps its values in columns the file does not have, unless ``whole``; an empty cell of a
    column it has takes the value away.

    Raises:
        InputError: the file cannot be read as a whole.
        ContentErrors: every fault with its place.
    """
    rows, faults = files.read(path)
    known = {kind: {item.id for item in getattr(register, kind)} for kind in files.KINDS}
    before = {} if whole else {one.id: one for one in register.stations}
    entries = []
    for row in rows:
        if row.kind != "stations":
            remedy = "cityguard asset import takes whole registers"
            faults.append(InputError(f"a list of stations has no {row.kind}", place=row.place, remedy=remedy))
            continue
        item, found = register_faults.build(_kept(row, before))
        faults += found
        if item is not None:
            faults += register_faults.of_item(item, row.at)
            entries.append((row.kind, item, row.at))
    faults += register_faults.of_whole(entries, known)
    if faults:
        raise ContentErrors(list(faults))
    return tuple(item for _, item, _ in entries if isinstance(item, Station))


def _kept(row: files.Row, before: Mapping[str, Station]) -> files.Row:
    known = before.get(str(row.values.get("id", "")).strip())
    if known is None:
        return row
    old = {spec.name: getattr(known, spec.name) for spec in fields(known) if spec.name not in row.columns}
    plain = {name: list(value) if isinstance(value, tuple) else value for name, value in old.items()}
    return replace(row, values=plain | dict(row.values))


def changes(before: Register, after: Register) -> list[Changed]:
    """What differs in stations that both registers have, in the order of the later one."""
    old = {one.id: one for one in before.stations}
    made = []
    for one in after.stations:
        was = old.get(one.id, one)
        told = [(spec.name, getattr(was, spec.name), getattr(one, spec.name)) for spec in fields(one)]
        if differ := tuple(entry for entry in told if entry[1] != entry[2]):
            made.append(Changed(one.id, differ))
    return made


def merged(register: Register, path: Path, *, whole: bool = False) -> tuple[Register, int, int]:
    """The register with a file's stations, how many are new and how many changed; ``whole``: the others go.

    Raises:
        InputError, ContentErrors: as ``read``, or what the file lists contradicts stations that are there.
    """
    fresh = read(path, register, whole=whole)
    before = {one.id: one for one in register.stations}
    after = {} if whole else dict(before)
    after |= {one.id: one for one in fresh}
    new = sum(one.id not in before for one in fresh)
    changed = sum(one.id in before and before[one.id] != one for one in fresh)
    return replace(register, stations=tuple(after.values())), new, changed


def save(register: Register, path: Path) -> None:
    """Put a register in the place of another, once it is sure that it can be read again.

    Raises:
        InputError, ContentErrors: it could not be (a YAML file holds about 4,000 stations; a workbook many more).
    """
    draft = path.with_name(f".new-{path.name}")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        (register.save_xlsx if path.suffix.lower() == ".xlsx" else register.save_yaml)(draft)
        Register.load(draft, zone=register.zone)
        draft.replace(path)
    except InputError as error:
        remedy = "keep the register as a workbook: register: register.xlsx in cityguard.yml"
        raise InputError(f"the register would be too large: {error.message}", place=str(path), remedy=remedy) from None
    finally:
        draft.unlink(missing_ok=True)
