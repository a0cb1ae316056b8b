"""Rules of others into the city's content: what came is compared with what came before and with what is there now."""

from __future__ import annotations

import difflib
import os
import re
import tempfile
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from cityguard import content
from cityguard.errors import CityguardError, InputError
from cityguard.rulebook import archive, manifest
from cityguard.rulebook.archive import Taken
from cityguard.rulebook.book import waiting
from cityguard.rulebook.manifest import Entry, Manifest, digest
from cityguard.sigma import folders, heading
from cityguard.sigma.ast import Correlation, Filter, Rule
from cityguard.sigma.rule import MAX_BYTES, PLACEHOLDERS, Ruleset, load
from cityguard.store import locks

Kind = Literal[
    "new", "updated", "moved", "conflict", "kept", "older", "deleted", "removed", "unchanged", "skipped", "faulty"
]
KINDS: tuple[Kind, ...] = (
    *("new", "updated", "moved", "conflict", "kept", "older", "deleted", "removed", "unchanged", "skipped", "faulty"),
)
STATUSES = ("stable", "test", "experimental", "")
UPSTREAM = ".upstream"
LICENSE_FILE = "LICENSE"
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_DATE = re.compile(r"\d{4}[-/]\d{1,2}[-/]\d{1,2}")
_KNOWN_LICENSES = (
    ("Detection Rule License (DRL) 1.1", "DRL 1.1"),
    ("Detection Rule License 1.1", "DRL 1.1"),
    ("Detection Rule License", "DRL"),
    ("Apache License", "Apache-2.0"),
    ("MIT License", "MIT"),
    ("CC0 1.0", "CC0-1.0"),
)


@dataclass(frozen=True, slots=True)
class Change:
    """What happens to one file. ``old`` is as it was imported last, ``new`` as it comes now."""

    kind: Kind
    path: str
    old: Entry | None = None
    new: Entry | None = None
    note: str = ""
    held: bool = False  # nothing of it is written, not even beside

    @property
    def title(self) -> str:
        known = self.new or self.old
        return known.title if known else ""


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything an import would do; ``run`` does it."""

    name: str
    folder: Path
    taken: Taken
    base: Manifest
    license: str
    changes: tuple[Change, ...]
    faults: tuple[CityguardError, ...]  # of rules: place and remedy; those are skipped

    @property
    def counts(self) -> dict[Kind, int]:
        found = Counter(one.kind for one in self.changes)
        return {kind: found[kind] for kind in KINDS if found[kind]}

    def diff(self, change: Change, lines: int = 60) -> list[str]:
        """A unified diff from what is there to what comes, at most so many lines; of removed files nothing."""
        there = _there(self.folder, _old_path(change)) or b""
        comes = self.taken.files.get(change.path, b"")
        if change.kind not in ("updated", "moved", "conflict", "older"):
            return []
        made = difflib.unified_diff(
            there.decode("utf-8", "replace").splitlines(),
            comes.decode("utf-8", "replace").splitlines(),
            f"{self.name}/{_old_path(change)}",
            f"{self.taken.name}/{change.path}",
            lineterm="",
            n=1,
        )
        found = [line[:400] for _, line in zip(range(lines + 1), made, strict=False)]
        return [*found[:lines], "…"] if len(found) > lines else found


def plan(
    source: Path,
    rules: Path,
    *,
    name: str,
    shipped: Sequence[Path] = (),
    statuses: Collection[str] = STATUSES,
    allow_older: bool = False,
    allow_override: bool = False,
    license: str = "",
) -> Plan:
    """Read what comes and compare; nothing is written.

    Args:
        source: folder, zip or tar.
        rules: the city's rules folder.
        name: of the import; the same name again is an update.
        shipped: rule folders that correlations may refer to.
        statuses: which of Sigma's statuses are taken.
        allow_older: whether a rule that is older than the one imported replaces it.
        allow_override: whether rules may replace others of the same id, and take names that others have.
        license: under which the rules are given, where the source has no licence file.

    Raises:
        InputError: the source cannot be read or breaks a bound; the name will not do; the manifest is broken.
    """
    if not _NAME.fullmatch(name):
        raise InputError(f"'{name[:80]}' is no name for an import", remedy="lower-case letters, digits, - and _")
    taken = archive.read(source)
    if not taken.files:
        raise InputError("no rules in it", place=str(source), remedy="give a checkout or a release of rules")
    folder = rules / manifest.FOLDER / name
    base = manifest.load(folder) or Manifest(name)
    known, names, faults, bad = _checked(taken, shipped, name)
    others = {} if allow_override else _others([*shipped, rules], folder)
    compare = _Compare(folder, base, taken, known, allow_older)
    changes = [
        *(Change("faulty", path, base.files.get(path), note=str(fault)) for path, fault in sorted(bad.items())),
        *(
            _held(compare.one(path, entry), names.get(path, ()), others)
            if entry.status in statuses
            else _skipped(path, entry, base)
            for path, entry in sorted(known.items())
        ),
        *compare.gone(bad),
    ]
    found = licence(taken.license) or license or base.license
    return Plan(name, folder, taken, base, found, tuple(changes), tuple(faults))


def licence(text: bytes) -> str:
    """The short name of a licence by its text; its first line where it is none that is known."""
    plain = text.decode("utf-8", "replace")
    known = next((name for words, name in _KNOWN_LICENSES if words.lower() in plain.lower()), "")
    lines = (line.strip("# \t") for line in plain.splitlines())
    return known or next((line[:100] for line in lines if line), "")


def run(plan: Plan, *, by: str, at: str) -> Manifest:
    """Write files, then the manifest: a process killed in between is put right by the same import again.

    Raises:
        InputError: a link stands in the way, the folder cannot be written, or another import was faster.
    """
    try:
        plan.folder.mkdir(parents=True, exist_ok=True)
        with locks.held(plan.folder / ".lock"):
            if (manifest.load(plan.folder) or Manifest(plan.name)) != plan.base:
                raise InputError("another import was faster", place=str(plan.folder), remedy="try again")
            files = dict(plan.base.files)
            for change in plan.changes:
                _apply(plan, change, files, at)
            if plan.taken.license:
                manifest.put(plan.folder / LICENSE_FILE, plan.taken.license, synced=False)
            os.sync()
            made = Manifest(
                plan.name,
                plan.taken.name,
                plan.taken.sha256,
                plan.license,
                digest(plan.taken.license) if plan.taken.license else plan.base.license_sha256,
                by,
                at,
                dict(sorted(files.items())),
            )
            manifest.save(plan.folder, made)
            return made
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror}", place=str(plan.folder)) from None


def _apply(plan: Plan, change: Change, files: dict[str, Entry], at: str) -> None:
    if change.held:
        return
    path, data = change.path, plan.taken.files.get(change.path, b"")
    match _kind_now(plan, change):
        case "new" | "updated":
            _put(plan.folder, path, data)
        case "moved":
            old = _old_path(change)
            _put(plan.folder, path, data)
            if (there := _there(plan.folder, old)) is not None and change.old and digest(there) == change.old.sha256:
                _inside(plan.folder, plan.folder / old)
                (plan.folder / old).unlink(missing_ok=True)
            files.pop(old, None)
        case "conflict":
            _put(plan.folder, path + UPSTREAM, data)
        case "removed":
            if change.old is not None:
                files[path] = replace(change.old, removed=change.old.removed or at)
            return
        case "skipped" | "faulty" | "older":
            return
    if change.new is not None:
        files[path] = change.new


def _kind_now(plan: Plan, change: Change) -> Kind:
    """The kind by what stands at the target now: an edit since the plan was made is not written over."""
    if change.kind not in ("new", "updated", "moved") or change.new is None:
        return change.kind
    here = _there(plan.folder, change.path)
    if here is None:
        return "deleted" if change.kind == "updated" else change.kind
    expected = {change.new.sha256}
    if change.kind == "updated" and change.old is not None:
        expected.add(change.old.sha256)
    return change.kind if digest(here) in expected else "conflict"


def _put(folder: Path, path: str, data: bytes) -> None:
    target = folder / path
    _inside(folder, target)
    target.parent.mkdir(parents=True, exist_ok=True)
    manifest.put(target, data, synced=False)


def _inside(folder: Path, target: Path) -> None:
    """Looked at before any folder is made: ``resolve`` follows links whose end is not there, too."""
    if not target.parent.resolve().is_relative_to(folder.resolve()):
        raise InputError("a link stands in the way", place=str(target.parent), remedy="remove it")


# ---------------------------------------------------------------- comparing


class _Compare:
    """Three versions of every file: as imported last, as it is here, as it comes."""

    def __init__(self, folder: Path, base: Manifest, taken: Taken, known: dict[str, Entry], allow_older: bool) -> None:
        self._folder, self._base, self._taken, self._known = folder, base, taken, known
        self._allow_older = allow_older
        self._by_id = {one: path for path, entry in base.files.items() for one in entry.ids}
        self._moved: set[str] = set()

    def one(self, path: str, new: Entry) -> Change:
        old, here = self._base.files.get(path), _there(self._folder, path)
        if old is None and (before := self._moved_from(path, new)):
            return self._move(path, before, new)
        if old is None:
            if here is None or digest(here) == new.sha256:
                return Change("new", path, None, new)
            return Change("conflict", path, None, new, "a file of yours has this name; it stays")
        if here is None:
            return Change("deleted", path, old, replace(old, removed=""), "you have removed it; it stays so")
        mine = digest(here)
        if mine == new.sha256:
            return Change("unchanged", path, old, new)
        if mine != old.sha256:
            return self._mine(path, old, new)
        if is_older(new.modified, old.modified) and not self._allow_older:
            return Change("older", path, old, new, f"{new.modified} comes, {old.modified} is here")
        return Change("updated", path, old, new, _versions(old, new))

    def _mine(self, path: str, old: Entry, new: Entry) -> Change:
        """Changed here: never written over."""
        if new.sha256 == old.sha256:
            return Change("kept", path, old, replace(old, removed=""), "changed here; upstream has nothing new")
        note = f"changed here and upstream ({_versions(old, new)}); yours stays, theirs is {path}{UPSTREAM}"
        return Change("conflict", path, old, new, note)

    def _moved_from(self, path: str, new: Entry) -> str:
        """Where a rule of the same id stood, if nothing comes for that place any more."""
        before = next((self._by_id[one] for one in new.ids if one in self._by_id), "")
        return before if before and before not in self._known and before != path else ""

    def _move(self, path: str, before: str, new: Entry) -> Change:
        old, here = self._base.files[before], _there(self._folder, before)
        target = _there(self._folder, path)
        if target is not None and digest(target) != new.sha256:
            note = f"a file of yours has this name; it stays, and so does {before}"
            return Change("conflict", path, None, new, note)
        self._moved.add(before)
        if here is None:
            return Change(
                "deleted", path, old, replace(new, removed=""), f"you have removed it ({before}); it stays so"
            )
        if digest(here) != old.sha256:
            return Change("kept", before, old, old, f"changed here; upstream has moved it to {path}")
        return Change("moved", path, old, new, before)

    def gone(self, bad: Collection[str]) -> Iterator[Change]:
        """Files that were imported and do not come any more: they stay, and are marked."""
        for path, entry in sorted(self._base.files.items()):
            if path in self._known or path in bad or path in self._moved:
                continue
            if _there(self._folder, path) is not None:
                yield Change("removed", path, entry, None, "upstream has it no more; it stays until you remove it")


def is_older(new: str, old: str) -> bool:
    """Whether a rule's date is before another; unknown forms are never older."""
    if not _DATE.fullmatch(new) or not _DATE.fullmatch(old):
        return False
    return [int(part) for part in re.split("[-/]", new)] < [int(part) for part in re.split("[-/]", old)]


def _versions(old: Entry, new: Entry) -> str:
    told = [
        f"{name} {before or '-'} → {after or '-'}"
        for name, before, after in (
            ("modified", old.modified, new.modified),
            ("status", old.status, new.status),
            ("level", old.level, new.level),
        )
        if before != after
    ]
    return ", ".join(told) or "same date, other text"


def _skipped(path: str, entry: Entry, base: Manifest) -> Change:
    return Change("skipped", path, base.files.get(path), entry, f"status {entry.status}")


def _old_path(change: Change) -> str:
    return change.note if change.kind == "moved" else change.path


def _there(folder: Path, path: str) -> bytes | None:
    """A file as it is here; at most what a rule file may have."""
    try:
        with (folder / path).open("rb") as file:
            return file.read(archive.MAX_FILE + 1)
    except OSError:
        return None


# ---------------------------------------------------------------- checking


def _checked(
    taken: Taken, shipped: Sequence[Path], name: str
) -> tuple[dict[str, Entry], dict[str, set[str]], list[CityguardError], dict[str, CityguardError]]:
    """Sound files with what they say, the names they give, all faults, and the first fault of each bad file."""
    for path in [path for path in taken.files if path.rpartition("/")[2] == PLACEHOLDERS]:
        del taken.files[path]
        taken.refuse(path, "lists of placeholders are the city's own", "copy what you need into rules/placeholders.yml")
    with tempfile.TemporaryDirectory(prefix="cityguard-import-") as made:
        staging = Path(made).resolve() / "rules" / manifest.FOLDER / name  # so that it is read as an import
        staging.mkdir(parents=True)
        for path, data in taken.files.items():
            target = staging / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        ruleset = load([*shipped, staging])
        faults = [_placed(fault, staging) for fault in ruleset.faults if str(staging) in fault.place]
        bad: dict[str, CityguardError] = {}
        for fault in faults:
            bad.setdefault(re.sub(r":\d+$", "", fault.place), fault)
        known = {path: _joined(taken.files[path], said) for path, said in _said(ruleset, staging).items()}
        names = _names(ruleset, staging)
    return {path: entry for path, entry in known.items() if path not in bad}, names, faults, bad


def _others(paths: Sequence[Path], mine: Path) -> dict[str, Path]:
    """Ids and names that rules outside this import have, with their files; what cannot be read has none."""
    found: dict[str, Path] = {}
    for path in paths:
        for file in folders.files(path, []):
            if file.is_relative_to(mine):
                continue
            try:
                documents = content.load_all(file, max_bytes=MAX_BYTES)
            except CityguardError:
                continue
            for data in (one.data for one in documents if isinstance(one.data, dict)):
                found.setdefault(heading.identity(data), file)
                if data.get("name"):
                    found.setdefault(str(data["name"]), file)
    return found


def _held(change: Change, names: Collection[str], others: Mapping[str, Path]) -> Change:
    """The change, or why it is not made: it would replace a rule of others, or answer to its name."""
    if change.kind not in ("new", "updated", "moved") or change.new is None:
        return change
    taken = next((one for one in (*change.new.ids, *sorted(names)) if one in others), None)
    if taken is None:
        return change
    note = f"'{taken[:80]}' is already that of {others[taken].name}; --allow-override takes it all the same"
    return replace(change, kind="conflict", note=note, held=True)


def _names(ruleset: Ruleset, staging: Path) -> dict[str, set[str]]:
    every: tuple[Rule | Correlation | Filter, ...] = (*ruleset.rules, *ruleset.correlations, *ruleset.filters)
    named = [(rule.head.name, rule.head.path) for rule in every]
    for one in ruleset.inactive:  # its id too, in the canonical form: it would put another to sleep
        path = Path(one.place.rpartition(":")[0])
        named += [(one.name, path), (one.id, path)]
    found: dict[str, set[str]] = {}
    for name, path in named:
        if name and path.is_relative_to(staging):
            found.setdefault(path.relative_to(staging).as_posix(), set()).add(name)
    return found


def _placed(fault: CityguardError, staging: Path) -> CityguardError:
    """The same with paths as the archive has them."""
    lead = f"{staging}/"
    return InputError(
        fault.message.replace(lead, ""), place=fault.place.replace(lead, ""), remedy=fault.remedy.replace(lead, "")
    )


def _said(ruleset: Ruleset, staging: Path) -> dict[str, list[Entry]]:
    found: dict[str, list[Entry]] = {}
    every: tuple[Rule | Correlation | Filter, ...] = (*ruleset.rules, *ruleset.correlations, *ruleset.filters)
    for one in every:
        head = one.head
        if head.path.is_relative_to(staging):
            entry = Entry("", (head.id,), head.title.en, head.version, head.level, head.status)
            found.setdefault(head.path.relative_to(staging).as_posix(), []).append(entry)
    for idle in ruleset.inactive:
        path = Path(idle.place.rpartition(":")[0])
        if path.is_relative_to(staging):
            about = waiting(idle)
            entry = Entry("", (about.id,), about.title, about.version, about.level, about.status)
            found.setdefault(path.relative_to(staging).as_posix(), []).append(entry)
    return found


def _joined(data: bytes, said: list[Entry]) -> Entry:
    """One entry for a file of one or several documents; the first speaks for it."""
    return replace(said[0], sha256=digest(data), ids=tuple(one for entry in said for one in entry.ids if one))
