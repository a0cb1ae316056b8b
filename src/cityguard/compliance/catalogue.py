"""Control catalogues: requirements by grade, read from ``reports/controls/*.yml`` and held to their own totals."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from cityguard import content, crypto
from cityguard.compliance import claims as check_claims
from cityguard.compliance.claims import Claims
from cityguard.errors import ContentErrors, InputError
from cityguard.model import Text

DEFAULT = "gbt22239-2019"
MAX_BYTES = 4 << 20

Grade = Annotated[int, msgspec.Meta(ge=1, le=4)]
Sag = Literal["S", "A", "G"]


@dataclass(frozen=True, slots=True)
class Extension:
    """``extensions``: the general requirements or one of the extended sets."""

    zh: str
    en: str
    status: Literal["normative", "informative"] = "normative"


@dataclass(frozen=True, slots=True)
class ControlClass:
    """``classes``: a layer of the standard, such as 安全计算环境 (CES)."""

    code: str
    zh: str
    en: str
    group: Literal["technical", "management"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """``points``: a control point, such as 身份鉴别."""

    ext: str
    class_: str
    zh: str
    en: str
    sag: Sag
    clauses: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """``cases``: a case of the high-risk guide; ``trigger`` is its row in annex G of the 2025 report template."""

    id: str
    zh: str
    en: str = ""
    mitigable: bool = True
    condition: Text = Text("", "")
    trigger: str | None = None


@dataclass(frozen=True, slots=True)
class Trigger:
    """``composite_triggers``: a row of annex G that no single item stands for."""

    id: str
    zh: str
    en: str = ""


@dataclass(frozen=True, slots=True)
class CaseAt:
    """A case of an item, with the grades it applies to."""

    id: str
    grades: tuple[Grade, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """``items``: one distinct requirement. ``at`` maps a grade to (clause, unit code of GB/T 28448)."""

    id: str
    point: tuple[str, str, str]  # extension, class, name
    at: dict[int, tuple[str, str]]
    zh: str
    en: str = ""
    methods: tuple[Literal["访谈", "核查", "测试"], ...] = ()
    auto: Literal["full", "partial", "none"] = "none"
    sources: tuple[str, ...] = ()
    optional: bool = False
    inferred: tuple[str, ...] = ()
    cases: tuple[CaseAt, ...] = ()

    @property
    def decidable(self) -> bool:
        """Whether tool evidence alone may ever make it 符合: ``auto: full``, and not by interview alone."""
        return self.auto == "full" and set(self.methods) != {"访谈"}


@dataclass(frozen=True, kw_only=True)  # no slots: look-ups are kept beside the data
class Catalogue:
    """A whole catalogue. Load it with ``load``; an instance is consistent in itself."""

    catalogue: str
    version: str
    title: Text
    assessed_by: str = ""
    high_risk_guide: Text = Text("", "")
    totals: dict[str, tuple[int, int, int, int]]
    extensions: dict[str, Extension]
    classes: tuple[ControlClass, ...]
    points: tuple[Point, ...]
    cases: tuple[Case, ...] = ()
    composite_triggers: tuple[Trigger, ...] = ()
    items: tuple[Item, ...]
    sha256: str = ""
    claims: Claims = field(default_factory=Claims)  # not in the file: see reports/checks

    @property
    def name(self) -> str:
        """Id and version, as printed in a report."""
        return f"{self.catalogue}/{self.version}"

    def point_of(self, item: Item) -> Point:
        """The control point an item stands under."""
        return self._points[item.point]

    def class_of(self, item: Item) -> ControlClass:
        """The class (layer) an item stands under."""
        return self._classes[item.point[1]]

    def case(self, case_id: str) -> Case:
        """A high-risk case by id; ``KeyError`` where there is none."""
        return self._cases[case_id]

    def item_of(self, unit: str) -> Item | None:
        """The requirement a unit code of any grade stands for; None for a unit the catalogue does not know."""
        return self._units.get(unit)

    @cached_property
    def _points(self) -> dict[tuple[str, str, str], Point]:
        return {(point.ext, point.class_, point.zh): point for point in self.points}

    @cached_property
    def _classes(self) -> dict[str, ControlClass]:
        return {one.code: one for one in self.classes}

    @cached_property
    def _cases(self) -> dict[str, Case]:
        return {case.id: case for case in self.cases}

    @cached_property
    def _units(self) -> dict[str, Item]:
        return {unit: item for item in self.items for _, unit in item.at.values()}

    def count(self, extension: str, grade: int, class_code: str | None = None) -> int:
        """Items of an extension at a grade, in all or of one class."""
        return sum(
            1
            for item in self.items
            if item.point[0] == extension and grade in item.at and class_code in (None, item.point[1])
        )


def load(extra: Path | None = None, name: str = DEFAULT) -> Catalogue:
    """Read a catalogue by name; one in the city's own folder takes the place of the shipped one.

    Raises:
        InputError: there is no such catalogue, or its shape or that of its claims is wrong.
        ContentErrors: it contradicts itself (unknown references, units twice, totals that do not hold), or its
            claims do not fit it.
    """
    found = content.files("reports", f"controls/{name}.yml", extra)
    if not found:
        raise InputError(f"no catalogue '{name}'", place="reports/controls", remedy="see docs/compliance.md")
    catalogue = _read(found[-1], _stamp(found[-1]))
    beside = check_claims.find(extra, name)
    return replace(catalogue, claims=_claims(catalogue, beside, name)) if beside else catalogue


def _stamp(path: Path) -> tuple[int, int]:
    """Changes when the file does, so that a cached reading is of the file as it stands."""
    stat = path.stat()
    return stat.st_mtime_ns, stat.st_size


def _claims(catalogue: Catalogue, path: Path, name: str) -> Claims:
    def known(unit: str) -> tuple[str, bool] | None:
        item = catalogue.item_of(unit)
        return (item.id, item.decidable) if item else None

    return check_claims.read(path, name, known)


@lru_cache(maxsize=4)
def _read(path: Path, _stamp: tuple[int, int]) -> Catalogue:
    document = content.load(path, max_bytes=MAX_BYTES)
    data = _renamed(document.data)
    try:
        catalogue = msgspec.convert(data, Catalogue)
    except msgspec.ValidationError as error:
        raise InputError(str(error), place=str(path), remedy="see docs/compliance.md") from None
    faults = [InputError(text, place=document.place(*where)) for where, text in _faults(catalogue)]
    if faults:
        raise ContentErrors(list(faults))
    # Claims are never taken from the catalogue's own file: only what was held against it may decide.
    return replace(catalogue, sha256=crypto.digest_file(path).sha256, claims=Claims())


def _renamed(data: Any) -> Any:
    """``class`` is a word of Python: points say ``class``, the dataclass ``class_``."""
    if not isinstance(data, dict) or not isinstance(data.get("points"), list):
        return data
    points = [
        {("class_" if key == "class" else key): value for key, value in point.items()}
        if isinstance(point, dict)
        else point
        for point in data["points"]
    ]
    return {**data, "points": points}


def _faults(catalogue: Catalogue) -> Iterator[tuple[content.Where, str]]:
    points = {(point.ext, point.class_, point.zh) for point in catalogue.points}
    codes = {one.code for one in catalogue.classes}
    cases = {case.id for case in catalogue.cases}
    for number, point in enumerate(catalogue.points):
        if point.ext not in catalogue.extensions or point.class_ not in codes:
            yield ("points", number), f"control point '{point.zh}' names an unknown extension or class"
    seen: dict[str, str] = {}
    for number, item in enumerate(catalogue.items):
        if item.point not in points:
            yield ("items", number, "point"), f"{item.id}: no control point {list(item.point)}"
        for case in item.cases:
            if case.id not in cases:
                yield ("items", number, "cases"), f"{item.id}: no high-risk case '{case.id}'"
        for grade, (_, unit) in item.at.items():
            if not 1 <= grade <= 4:
                yield ("items", number, "at"), f"{item.id}: grade {grade} is not 1 to 4"
            if unit in seen:
                yield ("items", number, "at"), f"{item.id}: unit {unit} is also in {seen[unit]}"
            seen[unit] = item.id
    for extension, totals in catalogue.totals.items():
        counted = tuple(catalogue.count(extension, grade) for grade in (1, 2, 3, 4))
        if counted != tuple(totals):
            yield ("totals", extension), f"{extension}: {counted} items at grades 1 to 4 where {totals} are declared"
