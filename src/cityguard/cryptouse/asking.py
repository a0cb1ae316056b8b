"""What may be asked of the inventory: days, systems and departments of the register, states, problems."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Protocol

from cityguard.cryptouse.inventory import STATES
from cityguard.cryptouse.words import PROBLEMS
from cityguard.model import Department, System, Text

MIN_DAYS, MAX_DAYS = 0.01, 3660.0
_NEAR = 3


class Book(Protocol):
    """What of the register is asked."""

    @property
    def systems(self) -> Sequence[System]:
        """Every system."""

    @property
    def departments(self) -> Sequence[Department]:
        """Every department."""


def fault(
    book: Book, *, days: float = 30, system: str = "", department: str = "", state: str = "", problem: str = ""
) -> Text | None:
    """Why this cannot be asked, with what could be; None = it can. "" = not asked for."""
    if not MIN_DAYS <= days <= MAX_DAYS:  # also what is no number
        return Text(
            f"天数 {days:g} 超出范围：{MIN_DAYS:g} 至 {MAX_DAYS:g}", f"{days:g} days: {MIN_DAYS:g} to {MAX_DAYS:g}"
        )
    if system and system not in {one.id for one in book.systems}:
        near = _near(system, ((one.id, one.name) for one in book.systems))
        return _unknown(Text("台账中没有系统", "the register has no system"), system, near)
    if department and department not in {one.id for one in book.departments}:
        near = _near(department, ((one.id, one.name) for one in book.departments))
        return _unknown(Text("台账中没有部门", "the register has no department"), department, near)
    if state and state not in STATES:
        return _unknown(Text("没有状态", "no such state:"), state, STATES)
    if problem and problem not in PROBLEMS:
        return _unknown(Text("没有问题代码", "no such problem:"), problem, tuple(PROBLEMS))
    return None


def _unknown(what: Text, asked: str, near: Sequence[str]) -> Text:
    listed = ", ".join(near)
    return Text(
        f"{what.zh} {asked[:80]!r}" + (f"；可用：{listed}" if near else ""),
        f"{what.en} {asked[:80]!r}" + (f"; there is: {listed}" if near else ""),
    )


def _near(asked: str, known: Iterable[tuple[str, str]]) -> list[str]:
    """Ids that are written alike, or whose names are."""
    of = {word.lower(): key for key, name in known for word in (name, key)}
    words = difflib.get_close_matches(asked[:80].lower(), of, _NEAR)
    words += [word for word in of if len(asked) > 1 and asked.lower() in word][:_NEAR]
    return list(dict.fromkeys(of[word] for word in words))[:_NEAR]
