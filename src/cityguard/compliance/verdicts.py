"""Verdict arithmetic: several objects of one item, several items of one control point (GB/T 28448, 28449)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from cityguard.model import VERDICTS, Assessment, EvidenceVerdict, UnitResult

MET: EvidenceVerdict = "符合"
PARTLY: EvidenceVerdict = "部分符合"
UNMET: EvidenceVerdict = "不符合"
EXEMPT: EvidenceVerdict = "不适用"
UNDECIDED: EvidenceVerdict = "未判定"


@dataclass(frozen=True, slots=True)
class Rollup:
    """A control point or a class: its verdict, and how many items have which verdict."""

    key: tuple[str, ...]
    verdict: EvidenceVerdict
    counts: dict[str, int]
    results: tuple[UnitResult, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """One item that stands differently from the assessment before."""

    unit: str
    clause: str
    control_point: str
    control_point_en: str
    was: EvidenceVerdict | None  # None = was not in scope
    now: EvidenceVerdict | None  # None = no longer in scope
    kind: str  # better, worse, decided (was undecided), supported (a finding is gone, a person confirms),
    # reopened (is undecided again), other, new, gone


def aggregate(verdicts: Iterable[EvidenceVerdict]) -> EvidenceVerdict:
    """One verdict over several: all 符合 is 符合, all 不符合 is 不符合, all 不适用 is 不适用, a mixture 部分符合.

    不适用 does not count beside others. 未判定 never improves anything: beside 符合 alone the whole is
    undecided; beside a finding the finding stands, so that it cannot hide behind a gap.
    """
    found = set(verdicts)
    if not found:
        return UNDECIDED
    found.discard(EXEMPT)
    if not found:
        return EXEMPT
    undecided = UNDECIDED in found
    found.discard(UNDECIDED)
    if not found or (undecided and found == {MET}):
        return UNDECIDED
    return found.pop() if len(found) == 1 else PARTLY


def tally(verdicts: Iterable[EvidenceVerdict]) -> dict[str, int]:
    """How many of each verdict; every verdict is there, in the usual order."""
    counted = Counter(verdicts)
    return {verdict: counted.get(verdict, 0) for verdict in VERDICTS}


def by_point(results: Sequence[UnitResult]) -> tuple[Rollup, ...]:
    """Results rolled up per control point, in the catalogue's order."""
    return _rolled(results, lambda one: (one.extension, one.class_name, one.control_point))


def by_class(results: Sequence[UnitResult]) -> tuple[Rollup, ...]:
    """Results rolled up per class (layer) and extension."""
    return _rolled(results, lambda one: (one.extension, one.class_name))


def changes(previous: Assessment | None, current: Assessment) -> tuple[Change, ...]:
    """What became better, worse, new or gone since ``previous``, by unit code; empty without one."""
    if previous is None:
        return ()
    before = {one.unit: one for one in previous.results}
    after = {one.unit: one for one in current.results}
    found = [_change(before.get(unit), after.get(unit)) for unit in {**after, **before}]
    return tuple(one for one in found if one is not None)


_ORDER = {UNMET: 0, PARTLY: 1, MET: 2}


def _change(before: UnitResult | None, after: UnitResult | None) -> Change | None:
    one = after or before
    if one is None or (before is not None and after is not None and before.verdict == after.verdict):
        return None
    was = before.verdict if before is not None else None
    now = after.verdict if after is not None else None
    kind = _kind(was, now)
    if was in (UNMET, PARTLY) and after is not None and after.verdict == UNDECIDED and after.supports:
        kind = "supported"
    return Change(one.unit, one.clause, one.control_point, one.control_point_en, was, now, kind)


def _kind(was: EvidenceVerdict | None, now: EvidenceVerdict | None) -> str:
    if was is None:
        return "new"
    if now is None:
        return "gone"
    if was in _ORDER and now in _ORDER:
        return "better" if _ORDER[now] > _ORDER[was] else "worse"
    if was == UNDECIDED:
        return "decided"
    return "reopened" if now == UNDECIDED else "other"


def _rolled(results: Sequence[UnitResult], key: Callable[[UnitResult], tuple[str, ...]]) -> tuple[Rollup, ...]:
    groups: dict[tuple[str, ...], list[UnitResult]] = {}
    for one in results:
        groups.setdefault(key(one), []).append(one)
    return tuple(
        Rollup(name, aggregate(one.verdict for one in members), tally(one.verdict for one in members), tuple(members))
        for name, members in groups.items()
    )
