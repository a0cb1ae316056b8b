"""Collectors: content that says how one kind of source is read, checked with the line of every fault."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo

import msgspec

from cityguard import columns, content
from cityguard.collect import mapping
from cityguard.collect.narrow import Narrow
from cityguard.decoders.base import Decoder
from cityguard.errors import CityguardError, ContentErrors, InputError
from cityguard.model import LogSource, Text

Kind = Literal["lines", "evtx", "capture", "datagram"]
UNITS: dict[Kind, str] = {"lines": "line", "evtx": "record", "capture": "packet", "datagram": "datagram"}


class _Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    kind: Kind = "lines"
    begins: str | None = None  # a Rust regex of the first line of a record; the lines that follow belong to it


class _Title(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    zh: str
    en: str


class Detect(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the input is told from others. Without ``lines`` or ``keys`` it is only used when it is named."""

    lines: str | None = None  # a Rust regex that most of the first lines match
    body: str | None = None  # a Rust regex of how a line begins behind its header; among others it counts, not lines
    programs: list[str] = []  # names in the header, ``name*`` for all that begin so; with body both must hold
    keys: list[list[str]] = []  # JSON keys: every key of one of the lists
    priority: int = 50


class Sample(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Own sample lines (or datagrams and packets in hex) and what they must become."""

    expect: list[dict[str, Any]]
    name: str = ""
    lines: list[str] = []
    hex: list[str] = []
    now: str | None = None
    rejected: int = 0


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    title: _Title
    decoder: str
    dataset: str
    extends: str | None = None
    source: _Source = _Source()
    options: dict[str, Any] = {}
    detect: Detect | None = None
    timezone: str = "Asia/Shanghai"
    logsource: mapping.Source | None = None
    columns: dict[str, Any] = {}
    extract: list[mapping.Extract] = []
    classes: list[mapping.Class] = []
    keep_native: bool = True
    own_columns: bool = False
    nulls: list[str] = []
    mask: list[str] = []
    families: bool = False
    tests: list[Sample] = []


@dataclass(frozen=True, slots=True)
class Collector:
    """One kind of source: how its bytes are read and what its fields are called here."""

    name: str
    title: Text
    kind: Kind
    module: str
    options: Mapping[str, Any]
    fields: mapping.Fields
    path: Path
    detect: Detect | None = None
    tests: tuple[Sample, ...] = ()
    families: bool = False  # lines that a more particular collector knows are read by that one
    begins: str | None = None  # what the first line of a record of several lines looks like

    @property
    def dataset(self) -> str:
        return self.fields.dataset

    @property
    def unit(self) -> str:
        return UNITS[self.kind]

    def sniffs(self, raw: bytes) -> bool:
        """Whether the decoder itself knows a datagram as its own (``is_export`` of its module)."""
        module = importlib.import_module(f"cityguard.decoders.{self.module}")
        known = getattr(module, "is_export", None)
        return known is not None and bool(known(raw))

    def decoder(self, narrow: Narrow | None = None) -> Decoder:
        """A fresh decoder, with no state; it may leave out what ``narrow`` does not look at."""
        module = importlib.import_module(f"cityguard.decoders.{self.module}")
        options = self.options
        if narrow is not None and narrow.names is not None and self.fields.keep:
            options = {**options, "asked": partial(self._asked, narrow.names)}
        made: Decoder = module.decoder(options)
        return made

    def _asked(
        self, names: Callable[[LogSource | None], frozenset[str] | None], source: LogSource | None
    ) -> frozenset[str] | None:
        """Native fields of a log source that somebody looks at, or that a column is made of who does."""
        found = names(source)
        return None if found is None else found | self.fields.needed(found)


@dataclass(frozen=True, slots=True)
class Collectors:
    """Every collector by name, the city's own over the shipped ones. Loops over the collectors themselves."""

    known: Mapping[str, Collector] = field(default_factory=dict)

    @classmethod
    def load(cls, extra: Path | None = None) -> Collectors:
        """Read ``collectors/*.yml`` of the shipped content and of the city's own folder.

        Raises:
            ContentErrors: every fault of every file, each with file and line.
        """
        return cls(_load(content.files("collectors", "*.yml", extra)))

    def __getitem__(self, name: str) -> Collector:
        """A collector by name.

        Raises:
            InputError: there is none of that name.
        """
        if name not in self.known:
            raise InputError(f"no collector '{name}'", remedy=f"known: {', '.join(sorted(self.known))}")
        return self.known[name]

    def __iter__(self) -> Iterator[Collector]:
        return iter(self.known.values())

    def __len__(self) -> int:
        return len(self.known)


def _load(paths: Sequence[Path]) -> dict[str, Collector]:
    faults: list[CityguardError] = []
    read: dict[str, content.Document] = {}
    for path in paths:
        try:
            read[path.stem] = content.load(path)
            if not isinstance(read[path.stem].data, dict):
                raise InputError("not a collector", place=str(path), remedy="see docs/collectors.md")
        except CityguardError as error:
            read.pop(path.stem, None)
            faults.append(error)
    found: dict[str, Collector] = {}
    for name in sorted(read):
        try:
            found[name] = _collector(read[name], _inherited(read[name], read))
        except CityguardError as error:
            faults.append(error)
    if faults:
        raise ContentErrors(faults)
    return found


def _inherited(document: content.Document, read: Mapping[str, content.Document]) -> dict[str, Any]:
    """A collector's keys over those of the one it extends; one step, so no circle."""
    base = document.data.get("extends")
    if base is None:
        return dict(document.data)
    if base not in read or "extends" in read[base].data:
        raise InputError(f"cannot extend '{base}'", place=document.place("extends"), remedy="name a plain collector")
    inherited = {key: value for key, value in read[base].data.items() if key not in ("tests", "detect")}
    return {**inherited, **document.data}


def _collector(document: content.Document, data: dict[str, Any]) -> Collector:
    try:
        file = msgspec.convert(data, _File)
    except msgspec.ValidationError as error:
        message, _, where = str(error).partition(" - at `$")
        parts = [p for p in where.rstrip("`").replace("[", ".").replace("]", "").split(".") if p and p != "..."]
        place = document.place(*(int(part) if part.isdigit() else part for part in parts))
        raise InputError(
            f"{'.'.join(parts)}: {message}".lstrip(": "), place=place, remedy="see docs/collectors.md"
        ) from None

    def check(ok: object, message: str, *where: str | int, remedy: str = "") -> None:
        if not ok:
            raise InputError(message, place=document.place(*where), remedy=remedy)

    check(file.name == document.path.stem, f"name '{file.name}' is not the file's name", "name")
    check(
        file.dataset in columns.DATASETS, f"no dataset '{file.dataset}'", "dataset", remedy=", ".join(columns.DATASETS)
    )
    for index, one in enumerate(file.classes):
        check(one.dataset is None or one.dataset in columns.DATASETS, f"no dataset '{one.dataset}'", "classes", index)
    check(file.decoder.isidentifier() and _is_decoder(file.decoder), f"no decoder '{file.decoder}'", "decoder")
    try:
        zone = ZoneInfo(file.timezone)
    except (KeyError, ValueError, OSError):
        raise InputError(f"'{file.timezone}' is not a time zone", place=document.place("timezone")) from None
    for index, one in enumerate(file.classes):
        _rules(document, one.columns, "classes", index, "columns")
    fields = mapping.Fields(
        dataset=file.dataset,
        zone=zone,
        logsource=file.logsource.model() if file.logsource else None,
        rules=_rules(document, file.columns, "columns"),
        extract=tuple(file.extract),
        classes=tuple(file.classes),
        keep=file.keep_native,
        own=file.own_columns,
        nulls=tuple(file.nulls),
        mask=tuple(file.mask),
    )
    try:
        mapping.check_patterns(_patterns(file), known=document.path.is_relative_to(content.root()))
    except ValueError as error:
        raise InputError(
            str(error), place=document.place("extract"), remedy="Rust regex syntax, no look-around"
        ) from None
    return Collector(
        file.name,
        Text(file.title.zh, file.title.en),
        file.source.kind,
        file.decoder,
        {**file.options, "wanted": fields.wanted()},
        fields,
        document.path,
        file.detect,
        tuple(file.tests),
        file.families,
        file.source.begins,
    )


def _rules(document: content.Document, given: Mapping[str, Any], *where: str | int) -> dict[str, mapping.Rule]:
    rules: dict[str, mapping.Rule] = {}
    for name, one in given.items():
        try:
            rules |= mapping.compiled({name: one})
        except (msgspec.ValidationError, ValueError) as error:
            raise InputError(
                f"{name}: {error}", place=document.place(*where, name), remedy="see docs/collectors.md"
            ) from None
    return rules


def _patterns(file: _File) -> list[str]:
    extracts = [*file.extract, *(one for group in file.classes for one in group.extract)]
    found = [*file.mask, *(pattern for one in extracts for pattern in one.patterns)]
    found += [str(one) for one in file.options.get("patterns", ())]
    found += [str(file.options[name]) for name in ("header", "starts", "keys") if name in file.options]
    found += [str(pattern) for pattern, _ in file.options.get("rewrite", ())]
    found += [file.source.begins] if file.source.begins else []
    found += [str(w["match"]) for c in file.classes for w in c.when.values() if isinstance(w, dict) and "match" in w]
    told = file.detect or Detect()
    return [*found, *(one for one in (told.lines, told.body) if one)]


@cache
def _is_decoder(name: str) -> bool:
    """Whether there is a decoder of that name; told from its source, for all of them together take time and memory."""
    found = importlib.util.find_spec(f"cityguard.decoders.{name}")
    if found is None or found.loader is None:
        return False
    source = getattr(found.loader, "get_source", lambda _: None)(found.name)
    if source is None:
        return hasattr(importlib.import_module(found.name), "decoder")
    return "\ndef decoder(" in source
