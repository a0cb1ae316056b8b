"""Folders of rules: which files are rules, and the lists that stand beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from cityguard import content
from cityguard.errors import CityguardError, InputError

MAX_BYTES = 512 * 1024  # the largest public rule, a list of driver hashes, has 289 KiB
MAX_FILES = 50_000
MAX_DEPTH = 32  # folders above a file that are looked into
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
    """Placeholder lists: of folders above, of each path in turn, then those given; later ones win."""
    found: dict[str, Sequence[str]] = {}
    for file in placeholders(paths):
        found.update(_lists(file, faults))
    return {**found, **(given or {})}


def placeholders(paths: Sequence[Path]) -> list[Path]:
    """Where lists for these paths may stand, the weakest first: each file once.

    A file, or a folder inside a folder ``rules``, has the lists of the folders above it too, up to that one; a city's
    folder that is named goes before them.
    """
    own = [path / PLACEHOLDERS for path in paths if not path.is_file()]
    named = {file.absolute() for file in own}
    above = dict.fromkeys(file for path in paths for file in _above(path) if file not in named)
    return [*above, *own]


def _above(path: Path) -> list[Path]:
    """Lists of the folders a path stands in, the outermost first."""
    whole = path.absolute()
    folders = list(whole.parents) if path.is_file() else [whole, *whole.parents]
    end = next((number for number, one in enumerate(folders[:MAX_DEPTH]) if one.name == "rules"), None)
    if end is None:  # no content folder: nothing but the folder the file stands in
        end = 0
    return [one / PLACEHOLDERS for one in reversed(folders[: end + 1])]


def _lists(file: Path, faults: list[CityguardError]) -> dict[str, Sequence[str]]:
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
