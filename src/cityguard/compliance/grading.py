"""Grades: the GB/T 22240 matrix, valid S/A combinations, and the items a graded system is held against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cityguard.compliance.catalogue import Catalogue, Item
from cityguard.errors import InputError
from cityguard.model import System

VICTIMS = ("公民、法人和其他组织的合法权益", "社会秩序、公共利益", "国家安全")
HARMS = ("一般损害", "严重损害", "特别严重损害")

# GB/T 22240-2020: rows as VICTIMS, columns as HARMS. The third cell of the first row is 2; drafts had 3.
MATRIX = ((1, 2, 2), (2, 3, 4), (3, 4, 5))


@dataclass(frozen=True, slots=True)
class Selected:
    """One item of a system's set: the requirement, and the grade it is taken at."""

    item: Item
    grade: int
    clause: str
    unit: str
    sag: str


def grade(victim: str, harm: str) -> int:
    """The grade GB/T 22240-2020 gives to a kind of victim and a degree of harm (for S or for A alike).

    Raises:
        InputError: a word that is not in ``VICTIMS`` or ``HARMS``.
    """
    if victim not in VICTIMS:
        raise InputError(f"'{victim}' is not a kind of victim", remedy="one of: " + "; ".join(VICTIMS))
    if harm not in HARMS:
        raise InputError(f"'{harm}' is not a degree of harm", remedy="one of: " + "; ".join(HARMS))
    return MATRIX[VICTIMS.index(victim)][HARMS.index(harm)]


def combinations(level: int) -> tuple[tuple[int, int], ...]:
    """The (S, A) pairs of a grade, 1 to 4: S1A3, S2A3, S3A3, S3A2, S3A1 at grade 3."""
    lower = range(1, level)
    return (*((s, level) for s in lower), (level, level), *((level, a) for a in reversed(lower)))


def label(s_grade: int, a_grade: int) -> str:
    """``S2A3G3``: the way a grade is written."""
    return f"S{s_grade}A{a_grade}G{max(s_grade, a_grade)}"


def select(catalogue: Catalogue, s_grade: int, a_grade: int, extensions: Sequence[str] = ()) -> tuple[Selected, ...]:
    """The items a system is held against, in the catalogue's order.

    S items are taken at the S grade, A items at the A grade, all others at the higher of the two
    (GB/T 22239-2019 annex A).

    Raises:
        InputError: a grade outside 1 to 4 (grade 5 has no items in this standard), or an unknown extension.
    """
    if (s_grade, a_grade) not in combinations(max(s_grade, a_grade, 1)) or max(s_grade, a_grade) > 4:
        raise InputError(
            f"S{s_grade}A{a_grade} is not a grade this catalogue covers",
            remedy="set s_grade and a_grade to 1 to 4 in the register",
        )
    unknown = [name for name in extensions if name not in catalogue.extensions]
    if unknown:
        known = ", ".join(name for name in catalogue.extensions if name != "general")
        raise InputError(f"unknown extension '{unknown[0]}'", remedy=f"one of: {known}")
    at = {"S": s_grade, "A": a_grade, "G": max(s_grade, a_grade)}
    wanted = {"general", *extensions}
    return tuple(_selected(catalogue, item, at) for item in catalogue.items if _held(catalogue, item, at, wanted))


def of_system(catalogue: Catalogue, system: System) -> tuple[Selected, ...]:
    """``select`` for a system of the register.

    Raises:
        InputError: the system is not graded yet, or as ``select`` says.
    """
    if not (system.s_grade and system.a_grade):
        raise InputError(
            f"system '{system.id}' is not graded",
            place="register",
            remedy="give it s_grade and a_grade (定级) before an assessment",
        )
    return select(catalogue, system.s_grade, system.a_grade, system.extensions)


def _held(catalogue: Catalogue, item: Item, at: dict[str, int], wanted: set[str]) -> bool:
    return item.point[0] in wanted and at[catalogue.point_of(item).sag] in item.at


def _selected(catalogue: Catalogue, item: Item, at: dict[str, int]) -> Selected:
    sag = catalogue.point_of(item).sag
    clause, unit = item.at[at[sag]]
    return Selected(item, at[sag], clause, unit, sag)
