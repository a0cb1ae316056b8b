"""Rule files to a rule set: a bad rule is reported and left out, the others run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cityguard import content
from cityguard.errors import CityguardError, InputError
from cityguard.sigma import sequences
from cityguard.sigma.ast import Correlation, Filter, Head, Rule
from cityguard.sigma.gathering import Gathered
from cityguard.sigma.links import Inactive

__all__ = ["PLACEHOLDERS", "Correlation", "Inactive", "Rule", "Ruleset", "load", "load_bytes"]

MAX_BYTES = 512 * 1024  # the largest public rule, a list of driver hashes, has 289 KiB
MAX_FILES = 50_000
PLACEHOLDERS = "placeholders.yml"


@dataclass(frozen=True, slots=True)
class Ruleset:
    """Rules ready to run; what is wrong with the others."""

    rules: tuple[Rule, ...] = ()
    correlations: tuple[Correlation, ...] = ()  # each after those it refers to
    filters: tuple[Filter, ...] = ()  # already part of the rules' trees
    faults: tuple[CityguardError, ...] = ()
    inactive: tuple[Inactive, ...] = ()

    @property
    def silent(self) -> frozenset[str]:
        """Ids of rules that only feed correlations or sequences (``generate`` is false in all that name them)."""
        feeds: dict[str, bool] = {}
        for rule, generate in sequences.fed(self.rules):
            feeds[rule] = feeds.get(rule, False) or generate
        for correlation in self.correlations:
            for rule in correlation.rules:
                feeds[rule] = feeds.get(rule, False) or correlation.generate
        return frozenset(rule for rule, generate in feeds.items() if not generate)

    def head(self, rule_id: str) -> Head | None:
        """What a rule or correlation says about itself; None when there is none of this id."""
        every: tuple[Rule | Correlation, ...] = (*self.rules, *self.correlations)
        return next((one.head for one in every if one.id == rule_id), None)


def load(paths: Sequence[Path], placeholders: Mapping[str, Sequence[str]] | None = None) -> Ruleset:
    """Read rule files and folders (``*.yml``, ``*.yaml``, any depth), in the order given.

    A rule in a later path replaces one of the same id in an earlier path, so that a city can override what is
    shipped. ``placeholders.yml`` in a folder holds lists for ``expand``; the ``placeholders`` argument goes over it.

    Never raises: what is wrong stands in ``Ruleset.faults``, with file, line and remedy.
    """
    gathered = Gathered()
    lists: dict[str, Sequence[str]] = {}
    for path in paths:
        lists.update(_lists(path, gathered.faults))
    lists.update(placeholders or {})
    for path in paths:
        gathered.begin()
        for file in _files(path, gathered.faults):
            try:
                documents = content.load_all(file, max_bytes=MAX_BYTES)
            except CityguardError as error:
                gathered.faults.append(error)
                continue
            gathered.add(documents, lists)
    return _ruleset(gathered)


def load_bytes(
    raw: bytes, path: Path = Path("rule.yml"), placeholders: Mapping[str, Sequence[str]] | None = None
) -> Ruleset:
    """The same for bytes in hand; ``path`` is only named in faults."""
    gathered = Gathered()
    if len(raw) > MAX_BYTES:
        gathered.faults.append(InputError(f"larger than {MAX_BYTES} bytes", place=str(path), remedy="split the file"))
        return _ruleset(gathered)
    try:
        gathered.add(content.parse_all(raw, path), placeholders or {})
    except CityguardError as error:
        gathered.faults.append(error)
    return _ruleset(gathered)


def _ruleset(gathered: Gathered) -> Ruleset:
    rules, correlations, filters = gathered.result()
    return Ruleset(rules, correlations, filters, faults=tuple(gathered.faults), inactive=gathered.inactive)


def _files(path: Path, faults: list[CityguardError]) -> list[Path]:
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
