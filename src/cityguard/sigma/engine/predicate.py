"""Trees ready to run: every maximal part over one field is one predicate, asked once per distinct value."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from cityguard.sigma.ast import (
    Cidr,
    Compare,
    Leaf,
    Node,
    Null,
    Present,
    Regex,
    TimePart,
    Words,
    leaves,
)
from cityguard.sigma.engine.columns import Codes, Column, Ints
from cityguard.sigma.engine.table import Table
from cityguard.sigma.engine.verdicts import FEW, Verdict, in_bulk, listed, one_by_one, ordered, raw, weigh, without
from cityguard.sigma.match import _as_json
from cityguard.sigma.view import Mask

SPARSE = 4096  # dictionaries beyond it keep no verdicts for a few rows
ONE_FIELD = (Words, Regex, Present, Null, Cidr, Compare, TimePart)


class Step(Protocol):
    """A part of a rule: which of the given rows it holds for."""

    weight: float

    def mask(self, table: Table, rows: Ints) -> Mask: ...


class Single:
    """A tree over one field."""

    __slots__ = ("_quick", "field", "folded", "missing", "node", "weight")

    def __init__(self, field: str, node: Node) -> None:
        self.field = field
        self.node = ordered(node)
        self.missing = without(node)
        self.weight = weigh(node)
        told = leaves(node, positive=False)
        self.folded = not any(raw(leaf) for leaf in told)
        self._quick: Verdict | bool | None = None

    def mask(self, table: Table, rows: Ints) -> Mask:
        column = table.column(self.field)
        if column is None:
            return np.full(len(rows), self.missing)
        return self.over(column, rows)

    def over(self, column: Column, rows: Ints) -> Mask:
        """Verdicts for some rows of a column."""
        if column.starts is not None:
            return listed(self.node, column, rows)
        codes = column.codes[rows]
        known = column.known.get(self)
        if known is None and column.size > SPARSE and len(rows) * 16 < column.size:
            return self._direct(column, codes)
        if known is None:
            known = np.full(column.size + 1, -1, dtype=np.int8)
            known[column.size] = self.missing
            column.known[self] = known
        found = known[codes]
        if found.size and found.min() < 0:
            new = np.unique(codes[found < 0]).astype(np.int64)
            known[new] = self.verdicts(column, new)
            found = known[codes]
        return found.view(np.bool_)

    def _direct(self, column: Column, codes: Codes) -> Mask:
        """For a few rows of many values: to find the same value among them twice is not worth looking for."""
        there = codes < column.size
        if there.all():
            return self.verdicts(column, codes.astype(np.int64))
        mask = np.full(len(codes), self.missing)
        mask[there] = self.verdicts(column, codes[there].astype(np.int64))
        return mask

    def verdicts(self, column: Column, wanted: Ints) -> Mask:
        """Per distinct value (code) whether the tree holds for it."""
        if len(wanted) <= FEW and self.quick is not None:
            texts, folded = column.pairs(wanted, self.folded)
            return np.fromiter(map(self.quick, texts, folded), np.bool_, len(wanted))
        return in_bulk(self.node, column, wanted)

    @property
    def quick(self) -> Verdict | None:
        """The same for one value at a time, where only text is compared."""
        if self._quick is None:
            self._quick = one_by_one(self.node) or False
        return None if isinstance(self._quick, bool) else self._quick


class Keyword:
    """A leaf over every value of the row."""

    __slots__ = ("anywhere", "in_json", "weight")

    def __init__(self, leaf: Leaf) -> None:
        self.anywhere = Single("", leaf)
        self.in_json = Single("", _as_json(leaf))
        self.weight = 1000 * self.anywhere.weight

    def mask(self, table: Table, rows: Ints) -> Mask:
        part = table.part(rows)
        mask = np.zeros(len(rows), dtype=np.bool_)
        for column in part.said:
            mask |= self.anywhere.over(column, part.every)
        if part.raw is not None:
            mask |= self.in_json.over(part.raw, part.every)
        return mask


class Plainly:
    """Whatever compares fields with each other: left to the plain evaluator, for the rows in question."""

    __slots__ = ("node", "weight")

    def __init__(self, node: Node) -> None:
        self.node = node
        self.weight = 1e6

    def mask(self, table: Table, rows: Ints) -> Mask:
        return table.plainly(self.node, rows)


class Joined:
    """All, or any, of several steps; each is asked only for rows still open."""

    __slots__ = ("every", "steps", "weight")

    def __init__(self, every: bool, steps: list[Step]) -> None:
        self.every = every
        self.steps = sorted(steps, key=lambda step: step.weight)
        self.weight = 2 + sum(step.weight for step in steps)

    def mask(self, table: Table, rows: Ints) -> Mask:
        mask = np.array(self.steps[0].mask(table, rows))
        for step in self.steps[1:]:
            still = np.flatnonzero(mask if self.every else ~mask)
            if not len(still):
                break
            mask[still] = step.mask(table, rows[still])
        return mask


class Negated:
    """Not."""

    __slots__ = ("step", "weight")

    def __init__(self, step: Step) -> None:
        self.step = step
        self.weight = step.weight + 1

    def mask(self, table: Table, rows: Ints) -> Mask:
        return ~self.step.mask(table, rows)
