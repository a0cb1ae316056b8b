"""Can a condition ever hold, and can it ever not? Truth tables over its comparisons, with what follows from what."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from cityguard.sigma.ast import AllOf, AnyOf, Cidr, Compare, Node, Not, Null, Present, TimePart, Words, leaves

MAX_ATOMS = 14  # 16,384 rows
MAX_PAIRS = 10_000  # of texts, for one question whether a comparison follows from another
Verdict = Literal["never", "always"]
Rows = npt.NDArray[np.bool_]


def verdict(node: Node, selections: Iterable[Node]) -> Verdict | None:
    """``never`` when no event can satisfy the tree, ``always`` when every event does; None when it depends.

    None as well where the tree has too many parts to tell.

    Args:
        node: the whole tree.
        selections: parts of it that are taken as one where it has too many comparisons.
    """
    atoms = _atoms(leaves(node, positive=False))
    if atoms is None:
        atoms = _atoms(selections)
    if atoms is None:
        return None
    table = _Table(atoms)
    found = table.of(node)
    if found is None:
        return None
    rows = found[table.possible]
    if not rows.any():
        return "never"
    return "always" if rows.all() else None


def _atoms(nodes: Iterable[Node]) -> dict[Node, int] | None:
    found: dict[Node, int] = {}
    for node in nodes:
        found.setdefault(node, len(found))
        if len(found) > MAX_ATOMS:
            return None
    return found


class _Table:
    """Every assignment of the atoms; one row each."""

    def __init__(self, atoms: Mapping[Node, int]) -> None:
        self.atoms = atoms
        number = np.arange(1 << len(atoms))
        self.column = {node: (number >> bit & 1).astype(np.bool_) for node, bit in atoms.items()}
        self.possible = np.ones(len(number), dtype=np.bool_)
        for one, its in self.column.items():
            for other, theirs in self.column.items():
                if one is not other and implies(one, other):
                    self.possible &= ~its | theirs
                if excludes(one, other):
                    self.possible &= ~(its & theirs)

    def of(self, node: Node) -> Rows | None:
        """Where a tree holds; None where a part of it is no atom."""
        if node in self.column:
            return self.column[node]
        if isinstance(node, Not):
            inner = self.of(node.item)
            return None if inner is None else ~inner
        if not isinstance(node, AllOf | AnyOf):
            return None
        rows = np.full(len(self.possible), isinstance(node, AllOf))
        for item in node.items:
            inner = self.of(item)
            if inner is None:
                return None
            rows = rows & inner if isinstance(node, AllOf) else rows | inner
        return rows


def implies(one: Node, other: Node) -> bool:
    """True when every value that satisfies ``one`` satisfies ``other``, a comparison of the same field."""
    if isinstance(other, Present):
        return _has_value(one) and _field(one) == other.field and other.field is not None
    if not isinstance(one, Words) or not isinstance(other, Words):
        return False
    if one.field != other.field or one.field is None or (other.cased and not one.cased) or one.cased != other.cased:
        return False
    if len(one.texts) * len(other.texts) > MAX_PAIRS:
        return False
    return all(any(_within(one.mode, a, other.mode, b) for b in other.texts) for a in one.texts)


def _within(mode: str, text: str, wider: str, part: str) -> bool:
    """True when all that equals, begins with … ``text`` also equals, begins with … ``part``."""
    if wider == "contains":
        return part in text
    if wider == "prefix":
        return mode in ("exact", "prefix") and text.startswith(part)
    if wider == "suffix":
        return mode in ("exact", "suffix") and text.endswith(part)
    return mode == "exact" and text == part


def excludes(one: Node, other: Node) -> bool:
    """True when no event satisfies both: null, and a comparison that needs a value that is not empty."""
    if not isinstance(one, Null) or one.field is None or _field(other) != one.field:
        return False
    return isinstance(other, Compare | Cidr | TimePart) or (isinstance(other, Words) and all(other.texts))


def _has_value(node: Node) -> bool:
    return isinstance(node, Words | Compare | Cidr | TimePart)


def _field(node: Any) -> str | None:
    field = getattr(node, "field", None)
    return field if isinstance(field, str) else None
