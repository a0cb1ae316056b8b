"""All rules there are: those that run, those switched off, those that cannot run; where each came from."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

from cityguard import content
from cityguard.errors import CityguardError, InputError
from cityguard.model import Text
from cityguard.rulebook import manifest, switches
from cityguard.rulebook.manifest import Manifest
from cityguard.rulebook.switches import Selector, Switch
from cityguard.sigma import sequences
from cityguard.sigma.ast import Correlation, Rule
from cityguard.sigma.engine.cache import load
from cityguard.sigma.rule import MAX_BYTES, Inactive, Ruleset

One: TypeAlias = Rule | Correlation
Lists: TypeAlias = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Off:
    """A sound rule that does not run because somebody said so, or because of what it needs or feeds."""

    rule: One
    reason: Text
    switch: Switch | None = None  # None: another rule's switch is the cause


@dataclass(frozen=True, slots=True)
class Waiting:
    """A sound rule whose placeholder has no list."""

    id: str
    title: str
    place: str
    reason: str
    level: str = ""
    status: str = ""
    tags: tuple[str, ...] = ()
    version: str = ""
    title_zh: str = ""
    logsource: str = ""


@dataclass(frozen=True, slots=True)
class Book:
    """The rule set as it runs, and all that does not."""

    ruleset: Ruleset
    off: tuple[Off, ...] = ()
    waiting: tuple[Waiting, ...] = ()
    origins: Mapping[str, str] = field(default_factory=dict)  # rule id -> shipped, city or the import's name
    removed: frozenset[str] = frozenset()  # ids of rules their upstream has no more
    faults: tuple[CityguardError, ...] = ()

    @property
    def every(self) -> list[One]:
        """Rules and correlations, running or switched off."""
        return [*self.ruleset.rules, *self.ruleset.correlations, *(one.rule for one in self.off)]


class Shelf:
    """Rules as their folders held them; read again after an import and when placeholders change with the register,
    switched again when the file of switches changes.

    Args:
        folders: the shipped rules, then the city's.
        switched: file of switches; None where rules were named one by one.
        kept: folder for parsed rules, so that the next start need not parse them.
        lists: gives the placeholders that stand in no file, such as the register's; None = nothing to be had now, what
            was given last goes on.
    """

    def __init__(
        self,
        folders: Sequence[Path],
        switched: Path | None,
        kept: Path | None = None,
        lists: Callable[[], Lists | None] = dict,
    ) -> None:
        self._folders, self._switched = list(folders), switched
        self._kept, self._lists = kept, lists
        self._read(self._manifests(), lists() or {})

    def _read(self, manifests: object, given: Lists) -> None:
        self._shelved, self._given = manifests, given
        self._whole = load(self._folders, given, folder=self._kept)
        self._imports = dict(_imports(self._folders))
        self._waiting = tuple(waiting(one) for one in self._whole.inactive)
        self._state: object = self
        self._book = Book(self._whole)

    def _manifests(self) -> list[object]:
        """What tells one import from the next: manifests are written last."""
        found = [path for base in self._folders for path in (base / manifest.FOLDER).glob(f"*/{manifest.FILE}")]
        return [(path, _state(path)) for path in sorted(found)]

    @property
    def book(self) -> Book:
        manifests, given = self._manifests(), self._lists()
        if given is None:
            given = self._given
        if (manifests, given) != (self._shelved, self._given):
            self._read(manifests, given)
        state = _state(self._switched)
        if state != self._state:
            self._book, self._state = self._made(), state
        return self._book

    def fitting(self, select: Selector) -> list[str]:
        """Ids of the rules, running or not, that a selector means."""
        every: tuple[One, ...] = (*self._whole.rules, *self._whole.correlations)
        return [one.id for one in every if select.fits(one, self.below(one.head.path))]

    def below(self, path: Path) -> str:
        """A rule's path below its rules folder, with slashes."""
        base = next((folder for folder in self._folders if path.is_relative_to(folder)), path.parent)
        return path.relative_to(base).as_posix()

    def _made(self) -> Book:
        found, faults = switches.read(self._switched) if self._switched else ([], [])
        whole = replace(
            self._whole,
            rules=tuple(self._credited(one) for one in self._whole.rules),
            correlations=tuple(self._credited(one) for one in self._whole.correlations),
        )
        every: tuple[One, ...] = (*whole.rules, *whole.correlations)
        last = switches.LastWord(found)
        words = {
            one.id: word for one in every if (word := last.of(one, self.below(one.head.path))) and word.act == "disable"
        }
        off = consequences(whole, words)
        gone = {one.rule.id for one in off}
        told = tuple(Inactive(one.rule.title.en, one.rule.head.place, one.reason.en) for one in off)
        running = replace(
            whole,
            rules=tuple(one for one in whole.rules if one.id not in gone),
            correlations=tuple(one for one in whole.correlations if one.id not in gone),
            inactive=(*whole.inactive, *told),
            faults=(*whole.faults, *faults),
        )
        return Book(
            running,
            tuple(off),
            self._waiting,
            {one.id: self._origin(one.head.path) for one in every},
            frozenset(self._removed()),
            running.faults,
        )

    def _credited(self, rule: Any) -> Any:
        """The rule with the licence of the collection it came with, where it names none itself."""
        found = self._import_of(rule.head.path)
        if found is None or rule.head.license or not found.license:
            return rule
        return replace(rule, head=replace(rule.head, license=f"{found.license} ({found.name})"))

    def _import_of(self, path: Path) -> Manifest | None:
        return next((one for folder, one in self._imports.items() if path.is_relative_to(folder)), None)

    def _origin(self, path: Path) -> str:
        found = self._import_of(path)
        if found is not None:
            return found.name
        return "shipped" if path.is_relative_to(content.root()) else "city"

    def _removed(self) -> Iterable[str]:
        for one in self._imports.values():
            for entry in one.files.values():
                if entry.removed:
                    yield from entry.ids


def consequences(whole: Ruleset, words: Mapping[str, Switch]) -> list[Off]:
    """What switching some rules off means for those that need them, and for those that only feed them."""
    gone = {one.id: Off(one, _said(words[one.id]), words[one.id]) for one in whole.rules if one.id in words}
    every: tuple[One, ...] = (*whole.rules, *whole.correlations)
    titles = {one.id: one.title for one in every}
    for rule in whole.rules:
        steps = sequences.steps(rule)
        absent = next((name for name in steps.steps if name in gone), None) if steps else None
        if absent is not None and rule.id not in gone:
            gone[rule.id] = Off(rule, _needs(titles[absent]))
    for one in whole.correlations:  # each stands after those it refers to
        absent = lost(one, gone)
        if one.id in words:
            gone[one.id] = Off(one, _said(words[one.id]), words[one.id])
        elif absent is not None:
            gone[one.id] = Off(one, _needs(titles.get(absent, Text(absent, absent))))
    fed = _fed(whole)
    silent = whole.silent
    for one in reversed(list(whole.correlations)):
        _starve(one, fed, silent, gone, titles)
    for rule in whole.rules:
        _starve(rule, fed, silent, gone, titles)
    return list(gone.values())


def _starve(
    one: One,
    fed: Mapping[str, list[str]],
    silent: frozenset[str],
    gone: dict[str, Off],
    titles: Mapping[str, Text],
) -> None:
    """A rule that only feeds others must not begin to speak for itself when those are off."""
    takers = fed.get(one.id, [])
    if one.id in silent and one.id not in gone and takers and all(taker in gone for taker in takers):
        title = titles[takers[0]]
        gone[one.id] = Off(one, Text(f"只为已停用的“{title.zh}”提供命中", f"only feeds '{title.en}', which is off"))


def _fed(whole: Ruleset) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for one in whole.correlations:
        for name in one.rules:
            found.setdefault(name, []).append(one.id)
    for rule in whole.rules:
        steps = sequences.steps(rule)
        for name in sequences.named(steps) if steps else ():
            found.setdefault(name, []).append(rule.id)
    return found


def lost(one: Correlation, gone: Collection[str]) -> str | None:
    """The rule without whose hits a correlation can never hold; None when the others are enough."""
    missing = [name for name in one.rules if name in gone]
    if one.clauses:
        ways = [[name for name in clause.needs if name in gone] for clause in one.clauses]
        return next((way[0] for way in ways if way), None) if all(ways) else None
    needs_all = one.kind.startswith("temporal")
    return missing[0] if missing and (needs_all or len(missing) == len(one.rules)) else None


def _said(word: Switch) -> Text:
    why_zh, why_en = (f"：{word.why}", f": {word.why}") if word.why else ("", "")
    when = word.at[:10]
    return Text(f"{word.by} 于 {when} 停用{why_zh}", f"switched off by {word.by} on {when}{why_en}")


def _needs(title: Text) -> Text:
    return Text(f"所依赖的“{title.zh}”已停用", f"needs '{title.en}', which is off")


def _imports(folders: Iterable[Path]) -> Iterable[tuple[Path, Manifest]]:
    for base in folders:
        for folder in sorted((base / manifest.FOLDER).glob("*/")) if base.is_dir() else ():
            try:
                found = manifest.load(folder)
            except InputError:
                found = None  # `rules import` says so; its rules run all the same
            if found is not None:
                yield folder, found


def waiting(one: Inactive) -> Waiting:
    """What an inactive rule says about itself; the loader keeps only its title."""
    path = Path(one.place.rpartition(":")[0])
    blank = Waiting("", one.title, one.place, one.reason)
    try:
        documents = content.load_all(path, max_bytes=MAX_BYTES)
    except CityguardError:
        return blank
    data = next((d.data for d in documents if isinstance(d.data, dict) and str(d.data.get("title")) == one.title), None)
    if data is None:
        return blank
    tags = data.get("tags")
    texts = tuple(str(tag) for tag in tags) if isinstance(tags, list) else ()
    level, status = str(data.get("level") or "medium"), str(data.get("status") or "")
    version = str(data.get("modified") or data.get("date") or "")
    given = data.get("logsource")
    parts = (given.get(name) for name in ("product", "category", "service")) if isinstance(given, dict) else ()
    source = " / ".join(str(part) for part in parts if part)
    custom = data.get("custom")
    ours = custom.get("cityguard") if isinstance(custom, dict) else None
    zh = str(ours.get("title_zh") or "") if isinstance(ours, dict) else ""
    return Waiting(
        str(data.get("id") or ""), one.title, one.place, one.reason, level, status, texts, version, zh, source
    )


def _state(path: Path | None) -> tuple[int, ...] | None:
    """What tells one state of a file from the next."""
    try:
        found = path.stat() if path else None
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_size, found.st_ino) if found else None
