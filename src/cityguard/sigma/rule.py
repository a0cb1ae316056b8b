"""Rule files to a rule set: a bad rule is reported and left out, the others run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cityguard import content
from cityguard.content import Document
from cityguard.errors import CityguardError, ContentErrors, InputError
from cityguard.sigma import document, filters, sequences
from cityguard.sigma.ast import Clause, Correlation, Filter, Head, Rule
from cityguard.sigma.modifiers import UnresolvedError
from cityguard.sigma.reader import identifier

__all__ = ["PLACEHOLDERS", "Correlation", "Inactive", "Rule", "Ruleset", "load", "load_bytes"]

MAX_BYTES = 512 * 1024  # the largest public rule, a list of driver hashes, has 289 KiB
MAX_FILES = 50_000
PLACEHOLDERS = "placeholders.yml"


@dataclass(frozen=True, slots=True)
class Inactive:
    """A sound rule that cannot run here, and why."""

    title: str
    place: str
    reason: str


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
    gathered = _Gathered()
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
    return gathered.ruleset()


def load_bytes(
    raw: bytes, path: Path = Path("rule.yml"), placeholders: Mapping[str, Sequence[str]] | None = None
) -> Ruleset:
    """The same for bytes in hand; ``path`` is only named in faults."""
    gathered = _Gathered()
    if len(raw) > MAX_BYTES:
        gathered.faults.append(InputError(f"larger than {MAX_BYTES} bytes", place=str(path), remedy="split the file"))
        return gathered.ruleset()
    try:
        gathered.add(content.parse_all(raw, path), placeholders or {})
    except CityguardError as error:
        gathered.faults.append(error)
    return gathered.ruleset()


class _Gathered:
    """Documents read so far, by id."""

    def __init__(self) -> None:
        self.found: dict[str, Rule | Correlation | Filter] = {}
        self.faults: list[CityguardError] = []
        self.inactive: list[Inactive] = []
        self._here: set[str] = set()

    def begin(self) -> None:
        """From now on another path: its rules may replace those already read."""
        self._here = set()

    def add(self, documents: Iterable[Document], lists: Mapping[str, Sequence[str]]) -> None:
        for one in documents:
            if one.data is None:
                continue
            try:
                made = document.read(one, lists)
            except UnresolvedError as error:
                title = str(one.data.get("title")) if isinstance(one.data, dict) else ""
                self.inactive.append(Inactive(title, one.place("detection"), f"{error.message}; {error.remedy}"))
            except ContentErrors as errors:
                self.faults.extend(errors.faults)
            else:
                self._keep(made)

    def _keep(self, made: Rule | Correlation | Filter) -> None:
        if made.id in self._here:
            other = self.found[made.id].head.place
            self.faults.append(
                InputError(f"id {made.id} is used twice", place=made.head.place, remedy=f"the other one is at {other}")
            )
            return
        self._here.add(made.id)
        self.found.pop(made.id, None)
        self.found[made.id] = made

    def ruleset(self) -> Ruleset:
        given = tuple(one for one in self.found.values() if isinstance(one, Filter))
        rules = tuple(filters.apply((one for one in self.found.values() if isinstance(one, Rule)), given))
        rules = sequences.linked(rules, self.faults)
        correlations = [one for one in self.found.values() if isinstance(one, Correlation)]
        linked = tuple(self._linked(rules, correlations))
        return Ruleset(rules, linked, given, tuple(self.faults), tuple(self.inactive))

    def _linked(self, rules: Iterable[Rule], correlations: list[Correlation]) -> list[Correlation]:
        """Names become ids; those that refer to nothing, or to each other in a circle, fall out."""
        known = {one.id for one in rules}
        every: tuple[Rule | Correlation, ...] = (*rules, *correlations)
        names = {one.head.name: one.id for one in every if one.head.name}
        waiting = [_resolve(one, names) for one in correlations]
        ready: list[Correlation] = []
        while True:
            now = [one for one in waiting if all(rule in known for rule in one.rules)]
            if not now:
                break
            ready += now
            known |= {one.id for one in now}
            waiting = [one for one in waiting if one.id not in known]
        for one in waiting:
            unknown = next(rule for rule in one.rules if rule not in known)
            self.faults.append(
                InputError(
                    f"correlation refers to '{unknown}', which is not an active rule",
                    place=one.head.place,
                    remedy="name a rule by its 'name' or 'id', without a circle",
                )
            )
        return ready


def _resolve(one: Correlation, names: Mapping[str, str]) -> Correlation:
    def known(rules: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(names.get(rule, identifier(rule)) for rule in rules)

    aliases = tuple(
        (alias, tuple((known((rule,))[0], field) for rule, field in mapping)) for alias, mapping in one.aliases
    )
    clauses = tuple(Clause(known(clause.needs), known(clause.bars)) for clause in one.clauses)
    return replace(one, rules=known(one.rules), aliases=aliases, clauses=clauses)


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
        faults.append(InputError("must map names to lists", place=str(file)))
    return lists
