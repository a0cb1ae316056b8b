"""The linter: everything that is wrong with a folder of rules, and what is merely doubtful, each with its remedy."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from cityguard import content
from cityguard.content import Document
from cityguard.errors import CityguardError, ContentErrors, InputError
from cityguard.sigma import collection, document, folders, lint_logic, lint_words
from cityguard.sigma.ast import Correlation, Filter, Rule
from cityguard.sigma.findings import Finding, Notes
from cityguard.sigma.modifiers import UnresolvedError
from cityguard.sigma.reader import Lists
from cityguard.sigma.rule import Ruleset, load
from cityguard.sigma.vocabulary import Vocabulary

Made = Rule | Correlation | Filter
MAX_STRICT = 65_536  # characters of a file that are read a second time
_FLOW = re.compile(r"[{\[][^\n]*\?")  # where the two readers differ


@dataclass(frozen=True, slots=True)
class Report:
    """What the linter found, by file and line, and the rules that can be used."""

    findings: tuple[Finding, ...]
    ruleset: Ruleset
    files: int

    @property
    def errors(self) -> tuple[Finding, ...]:
        return tuple(one for one in self.findings if one.level == "error")

    @property
    def warnings(self) -> tuple[Finding, ...]:
        return tuple(one for one in self.findings if one.level == "warning")


def check(
    paths: Sequence[Path],
    placeholders: Mapping[str, Sequence[str]] | None = None,
    vocabulary: Vocabulary | None = None,
) -> Report:
    """Look at rule files and folders as ``load`` does, and closer.

    Never raises: a file that cannot be read is one of the findings.
    """
    ruleset = load(paths, placeholders)
    findings = [_fault(fault) for fault in ruleset.faults]
    findings += [Finding("warning", "inactive", one.place, f"inactive: {one.reason}", "") for one in ruleset.inactive]
    seen = _Seen(findings)
    lists = folders.lists(paths, placeholders, [])
    count = 0
    for path in paths:
        for file in folders.files(path, []):
            count += 1
            for one in _documents(file, findings):
                findings += _closer(one, lists, vocabulary or Vocabulary(), seen)
    return Report(tuple(sorted(findings, key=_order)), ruleset, count)


def _order(one: Finding) -> tuple[str, int, str, str]:
    path, _, line = one.place.rpartition(":")
    return (path, int(line), one.level, one.message) if line.isdigit() else (one.place, 0, one.level, one.message)


def _fault(fault: CityguardError) -> Finding:
    return Finding("error", "fault", fault.place, fault.message, fault.remedy)


def _documents(file: Path, findings: list[Finding]) -> Iterator[Document]:
    try:
        documents = content.load_all(file, max_bytes=folders.MAX_BYTES)
    except InputError:
        return  # told by load
    findings += _strict(file)
    if all(one.data is None for one in documents):
        remedy = "write a rule, or delete the file"
        findings.append(Finding("error", "empty", f"{file}:1", "the file holds no rule", remedy))
    yield from collection.joined(documents, [])


def _strict(file: Path) -> Iterator[Finding]:
    """YAML that the reader written in C takes and the one written in Python, which most tools use, does not."""
    try:
        text = file.read_bytes()[:MAX_STRICT].decode("utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return
    if len(text) >= MAX_STRICT or not _FLOW.search(text):
        return
    try:
        for _ in yaml.parse(text, Loader=yaml.SafeLoader):
            pass
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        remedy = "put texts with ? : , inside { } or [ ] in quotes"
        yield Finding("warning", "portable", f"{file}:{line}", "other tools cannot read this YAML", remedy)


def _closer(doc: Document, lists: Lists, vocabulary: Vocabulary, seen: _Seen) -> Iterable[Finding]:
    """Findings of one document that load has no quarrel with."""
    if doc.data is None:
        return ()
    try:
        made: Made = document.read(doc, lists)
    except (ContentErrors, UnresolvedError):
        return ()
    notes = Notes(doc)
    lint_words.head(notes, made, vocabulary)
    if isinstance(made, Correlation):
        lint_logic.correlation(notes, made)
    else:
        lint_words.source(notes, made, vocabulary)
        lint_words.fields(notes, made, vocabulary)
        lint_logic.detection(notes, made, lists)
    seen.add(notes, made)
    return notes.findings


class _Seen:
    """Ids and names met so far, over all paths."""

    def __init__(self, findings: Iterable[Finding]) -> None:
        self.ids: dict[str, str] = {}
        self.names: dict[str, tuple[str, str]] = {}
        self.told = {one.place for one in findings if "is used twice" in one.message}

    def add(self, notes: Notes, made: Made) -> None:
        place = made.head.place
        other = self.ids.setdefault(made.id, place)
        if other != place and place not in self.told:
            notes.warn(
                "id", f"replaces the rule at {other}, which has the same id", "id", remedy="if not meant, change it"
            )
        name = made.head.name
        whose, where = self.names.setdefault(name, (made.id, place))
        if name and whose != made.id:
            notes.error("name", f"name '{name}' is used twice", "name", remedy=f"the other one is at {where}")
