"""Folders of rules: which files are rules, and the lists that stand beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from cityguard import content
from cityguard.errors import CityguardError, InputError

MAX_BYTES = 512 * 1024  # the largest public rule, a list of driver hashes, has 289 KiB
MAX_FILES = 50_000
PLACEHOLDERS = "placeholders.yml"


def files(path: Path, faults: list[CityguardError]) -> list[Path]:
    """Rule files of a folder in the order of their names, or the one file given."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        faults.append(InputError("no such file or folder", place=str(path), remedy="check the path of the rules"))
        return []
    found = sorted(
        file
        for file in path.rglob("*")
        if file.suffix in (".yml", ".yaml") and file.name != PLACEHOLDERS and file.is_file()
    )
    if len(found) > MAX_FILES:
        faults.append(InputError(f"more than {MAX_FILES} rule files", place=str(path), remedy="split the folder"))
    return found[:MAX_FILES]


def lists(
    paths: Sequence[Path], given: Mapping[str, Sequence[str]] | None, faults: list[CityguardError]
) -> dict[str, Sequence[str]]:
    """Placeholder lists: of each path's ``placeholders.yml`` in turn, then those given; later ones win."""
    found: dict[str, Sequence[str]] = {}
    for path in paths:
        found.update(_lists(path, faults))
    return {**found, **(given or {})}


def _lists(path: Path, faults: list[CityguardError]) -> dict[str, Sequence[str]]:
    file = path / PLACEHOLDERS
    if not file.is_file():
        return {}
    try:
        one = content.load(file, max_bytes=MAX_BYTES)
    except CityguardError as error:
        faults.append(error)
        return {}
    data = one.data if isinstance(one.data, dict) else {}
    lists: dict[str, Sequence[str]] = {}
    for name, values in data.items():
        if isinstance(values, list) and not any(isinstance(value, dict | list | None) for value in values):
            lists[str(name)] = [str(value) for value in values]
        else:
            faults.append(InputError(f"'{name}' must be a list of texts", place=one.place(str(name))))
    if not isinstance(one.data, dict | None):
        faults.append(InputError("must map names to lists", place=f"{file}:1", remedy="write 'name: [a, b]'"))
    return lists
