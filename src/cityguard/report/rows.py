"""Rows of the 自查报告 and the words they share with other reports."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from cityguard.model import Text

KINDS = {
    "data": Text("数据级实战", "Data, really restored"),
    "application": Text("应用级实战", "Application, restored and probed"),
}
FAILED = "失败"  # a drill whose data did not come back right reached no recovery time
BLANK = " "  # to be written in by hand


def ratio(target_s: float | None, actual_s: float | None) -> str:
    """Actual against target, for people: ``12 min / 4 h``; ``—`` where one is not known."""
    return f"{span(actual_s)} / {span(target_s)}"


def span(seconds: float | None) -> str:
    """A duration in the unit a person would use."""
    if seconds is None:
        return "—"
    if 0 < abs(seconds) < 1:
        return f"{seconds * 1000:.0f} ms"
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if abs(seconds) >= size:
            return f"{seconds / size:.1f}".removesuffix(".0") + f" {unit}"
    return f"{seconds:.1f}".removesuffix(".0") + " s"


@dataclass(frozen=True, slots=True)
class RateRow:
    """One 符合率, as printed."""

    title: Text
    formula: Text
    passed: int
    counted: int
    rate: str
    bounds: str  # from everything undecided failing to everything undecided passing


@dataclass(frozen=True, slots=True)
class RollRow:
    """A class or a control point with its counts."""

    name: Text
    group: Text
    verdict: str
    items: int
    met: int
    partly: int
    unmet: int
    exempt: int
    undecided: int


@dataclass(frozen=True, slots=True)
class UnitRow:
    """One item of the catalogue, judged."""

    number: int
    group: Text
    clause: str
    unit: str
    place: str  # clause and unit code in one cell
    text: Text
    methods: tuple[str, ...]
    record: Text
    verdict: str
    reason: Text
    refs: str
    evidence: tuple[str, ...]
    optional: bool


@dataclass(frozen=True, slots=True)
class RiskRow:
    """A high-risk case, candidate until judged by a person."""

    number: int
    case: str
    name: Text
    trigger: str
    clause: str
    unit: str
    condition: Text
    mitigable: bool
    objects: tuple[str, ...]
    refs: str


@dataclass(frozen=True, slots=True)
class ExposureRow:
    """What is wanting on network, boundary or computing."""

    ref: str
    object_name: str
    check: Text
    verdict: str
    reason: Text
    observed_at: datetime


@dataclass(frozen=True, slots=True)
class DrillRow:
    """One drill of the system."""

    id: str
    title: Text
    started: datetime
    kind: Text
    rto: str
    rpo: str
    conclusion: str


@dataclass(frozen=True, slots=True)
class ChangeRow:
    """An item that stands differently from last time."""

    unit: str
    clause: str
    point: Text
    was: str
    now: str
    kind: Text


@dataclass(frozen=True, slots=True)
class RemedyRow:
    """A line of the plan of remedies; owner and due date are for the reader to settle."""

    number: int
    place: str
    text: Text
    problem: Text
    priority: Text
    owner: str
    due: str


@dataclass(frozen=True, slots=True)
class PendingRow:
    """A control point with items a person has to confirm."""

    group: Text
    point: Text
    items: int
    units: str
    methods: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ContentRow:
    """One kind of content the results rest on: how much of it, and the hash that names its version."""

    name: Text
    version: str
    files: int | None
    sha256: str
