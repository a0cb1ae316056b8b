"""One class of events compiled: the rules that can hold for it, and the literals that call each of them up."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from cityguard.sigma.ast import Mode, Node
from cityguard.sigma.engine.columns import Column, Ints, spread
from cityguard.sigma.engine.scan import Scanner
from cityguard.sigma.engine.table import Table
from cityguard.sigma.engine.witness import Costs, Literal, witness

COMMON = 0.25  # share of rows above which calling a rule up costs more than asking it always
MakeScanner = Callable[[Sequence[tuple[Mode, str]]], Scanner]


@dataclass(frozen=True, slots=True)
class Called:
    """Literals of one field, and which rules each of them calls up (by place in the class)."""

    field: str | None
    literals: tuple[tuple[Mode, str], ...]
    starts: Ints  # rules of literal i: rules[starts[i]:starts[i + 1]]
    rules: Ints


class Class:
    """What is compiled for one class of events.

    Attributes:
        nodes: (number of the rule in its rule set, tree as it stands for this class), in the rule set's order;
            True for a rule that holds for every event.
        always: places in ``nodes`` of rules without a witness.
    """

    def __init__(self, nodes: Iterable[tuple[int, Node | bool]], costs: Costs, scanner: MakeScanner) -> None:
        self.nodes = list(nodes)
        self.always: list[int] = []
        self.rows = 0  # seen so far
        self.measured_at = 0  # rows seen when its costs were measured
        self._scanner = scanner
        self._scanners: dict[str | None, Scanner] = {}
        self.called = self._call(costs)

    def _call(self, costs: Costs) -> list[Called]:
        by: dict[str | None, dict[tuple[Mode, str], list[int]]] = {}
        for place, (_, node) in enumerate(self.nodes):
            found = None if isinstance(node, bool) else witness(node, costs)
            if found is None or sum(costs.get(one, 0.0) for one in found[1]) > COMMON:
                self.always.append(place)
                continue
            # in an order that no hash seed changes: what is compiled is kept under the name of its content
            for field, mode, text in sorted(found[1], key=lambda one: (one[0] or "", *one[1:])):
                by.setdefault(field, {}).setdefault((mode, text), []).append(place)
        return [_called(field, literals) for field, literals in by.items()]

    def candidates(self, table: Table) -> tuple[Ints, Ints]:
        """(place in ``nodes``, row) of every pair that must be looked at, by place then row, without repeats."""
        pairs = [
            self._found(called, column, table.height)
            for called in self.called
            for column in self._columns(table, called)
        ]
        if not pairs:
            return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
        every = np.unique(np.concatenate(pairs))
        return every // table.height, every % table.height

    def _found(self, called: Called, column: Column, height: int) -> Ints:
        if not column.size:
            return np.zeros(0, dtype=np.int64)
        values, literals = self.scanner(called).over(column)
        if not len(values):
            return values
        count = called.starts[literals + 1] - called.starts[literals]
        rules = called.rules[spread(called.starts[literals], count)]
        pairs = np.unique(rules * column.size + np.repeat(values, count))
        rules, values = pairs // column.size, pairs % column.size
        rows, count = column.places(values)
        return np.asarray(np.repeat(rules, count) * height + rows)

    def _columns(self, table: Table, called: Called) -> list[Column]:
        if called.field is None:
            return table.likely(self.scanner(called).presence)
        column = table.column(called.field)
        return [] if column is None else [column]

    def scanner(self, called: Called) -> Scanner:
        """The scanner of one field, compiled when first needed."""
        if called.field not in self._scanners:
            self._scanners[called.field] = self._scanner(called.literals)
        return self._scanners[called.field]


def _called(field: str | None, literals: dict[tuple[Mode, str], list[int]]) -> Called:
    counts = [len(rules) for rules in literals.values()]
    return Called(
        field,
        tuple(literals),
        np.concatenate(([0], np.cumsum(counts))).astype(np.int64),
        np.array([rule for rules in literals.values() for rule in rules], dtype=np.int64),
    )


__all__ = ["Called", "Class", "Literal"]
