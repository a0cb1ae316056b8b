"""Which class an event belongs to: its log source, and values that many rules name whole (event id, channel ...)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from cityguard.model import LogSource
from cityguard.sigma.ast import Node, Rule, Words, leaves
from cityguard.sigma.engine.columns import Column, Ints
from cityguard.sigma.engine.table import Table

FIELDS = (
    *("EventID", "EventCode", "event.code", "Channel", "Provider_Name", "event.provider"),
    *("ot.protocol", "ot.function.class", "event.action", "network.transport", "network.protocol", "eventSource"),
)
"""Fields whose value decides for whole batches which rules can hold."""
SPLIT = ("EventID", "event.code", "Channel", "ot.protocol")
"""Fields by which a mixed batch is taken apart."""
MIN_ROWS = 256  # smaller parts of a batch stay together
MAX_PARTS = 64


@dataclass(frozen=True, slots=True)
class Key:
    """One class. ``constants`` as ``specialise`` takes them."""

    source: LogSource
    constants: tuple[tuple[str, str | None], ...] = ()


class Keys:
    """Keys over what the rules name: any input makes only so many classes."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._sources: tuple[set[str], set[str], set[str]] = (set(), set(), set())
        self._named: dict[str, set[str]] = {}
        for rule in rules:
            for known, part in zip(self._sources, (rule.category, rule.product, rule.service), strict=True):
                known.add(part or "")
            self._name(rule.node)

    def _name(self, node: Node) -> None:
        for leaf in leaves(node, positive=False):
            if isinstance(leaf, Words) and leaf.mode == "exact" and not leaf.cased and leaf.field in FIELDS:
                self._named.setdefault(leaf.field, set()).update(leaf.texts)

    def source(self, source: LogSource) -> LogSource:
        """The log source as far as rules name it."""
        given = (source.category, source.product, source.service)
        parts = (tuple(part for part in one if part in known) for one, known in zip(given, self._sources, strict=True))
        return LogSource(*parts)

    def of(self, source: LogSource, table: Table) -> Key:
        """The class of a table; what is the same in all its rows becomes a constant."""
        constants: list[tuple[str, str | None]] = []
        for field, named in self._named.items():
            column = table.column(field)
            text = None if column is None else column.constant
            if text is not None:
                constants.append((field, text if text in named else None))
        return Key(source, tuple(constants))

    def parts(self, table: Table) -> list[Ints] | None:
        """Rows by the values that decide; None when the table is one part."""
        if table.height < 2 * MIN_ROWS:
            return None
        names = np.zeros(table.height, dtype=np.int64)
        for field in SPLIT:
            column = table.column(field) if field in self._named else None
            if column is not None and column.starts is None and 1 < column.size <= MAX_PARTS * 16:
                names = names * (column.size + 2) + self._codes(field, column)
                names = np.unique(names, return_inverse=True)[1]
        found, names, counts = np.unique(names, return_inverse=True, return_counts=True)
        large = np.argsort(-counts, kind="stable")[: MAX_PARTS - 1]
        large = large[counts[large] >= MIN_ROWS]
        if len(found) < 2 or not len(large):
            return None
        order = np.full(len(found), len(large), dtype=np.int64)
        order[large] = np.arange(len(large))
        names = order[names]
        return [rows for part in range(len(large) + 1) if len(rows := np.flatnonzero(names == part))]

    def _codes(self, field: str, column: Column) -> Ints:
        """Codes of a column; all values that no rule names count as one."""
        named = self._named[field]
        names = np.array([*(text in named for text in column.folded.to_pylist()), True], dtype=np.bool_)
        codes = np.where(names, np.arange(column.size + 1), column.size + 1)
        return np.asarray(codes[column.codes])
