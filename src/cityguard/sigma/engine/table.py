"""A batch for the engine: fields looked up as the plain evaluator's view does, each taken apart once."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import polars as pl

from cityguard.sigma.ast import Node
from cityguard.sigma.engine.columns import Column, Ints
from cityguard.sigma.engine.presence import Presence
from cityguard.sigma.match import Evaluation
from cityguard.sigma.view import Mask, View

JSON = "event.fields"


class Table:
    """One table and its columns, made when first asked for."""

    def __init__(self, table: pl.DataFrame) -> None:
        self.frame = table
        self.height = table.height
        self.every = np.arange(table.height, dtype=np.int64)
        self._fields: dict[str, Column | None] = {}
        self._columns: dict[str, Column] = {}
        self._part: tuple[Ints, Table] | None = None

    @cached_property
    def view(self) -> View:
        return View(self.frame)

    def column(self, field: str) -> Column | None:
        """Values of a rule's field, or None when no row has it."""
        if field not in self._fields:
            self._fields[field] = self._find(field)
        return self._fields[field]

    def _find(self, field: str) -> Column | None:
        name = self.view._column(field)
        if name is not None:
            return self.named(name)
        if JSON not in self.frame.columns:
            return None
        values = self.view.values(field)
        return None if values is None else Column.parted(values)

    def named(self, name: str) -> Column:
        """A column of the table by its own name."""
        if name not in self._columns:
            self._columns[name] = Column.of(self.frame.get_column(name))
        return self._columns[name]

    @cached_property
    def said(self) -> list[Column]:
        """Columns keywords look at, without those that are empty."""
        every = (self.named(name) for name in self.view.keyword_columns)
        return [column for column in every if len(column.codes) and column.size]

    def likely(self, presence: Presence | None) -> list[Column]:
        """The same without those that hold none of the words; these are not even taken apart."""
        names = self.view.keyword_columns
        if presence is not None:
            asked = [name for name in names if name not in self._columns]
            told = presence.among([self.frame.get_column(name) for name in asked])
            without = {name for name, possible in zip(asked, told, strict=True) if not possible}
            names = [name for name in names if name not in without]
        found = [self.named(name) for name in names]
        if self.raw is not None:
            found.append(self.raw)
        return [column for column in found if len(column.codes) and column.size]

    def part(self, rows: Ints) -> Table:
        """Some of the rows as a table of their own."""
        if len(rows) == self.height:
            return self
        if self._part is None or self._part[0] is not rows:
            self._part = (rows, Table(self.frame[rows]))
        return self._part[1]

    @cached_property
    def raw(self) -> Column | None:
        """JSON text that keywords look at."""
        values = self.column(JSON)
        return values if values is not None and values.size else None

    def plainly(self, node: Node, rows: Ints) -> Mask:
        """A node by the plain evaluator, over some rows."""
        part = self.frame if len(rows) == self.height else self.frame[rows]
        return Evaluation(View(part)).node(node)
