"""How often each literal occurs in what is really seen, measured on a sample: rare ones are chosen as witnesses."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import numpy as np

from cityguard.sigma.ast import Mode, Node, leaves
from cityguard.sigma.engine.columns import Column
from cityguard.sigma.engine.scan import Scanner, available
from cityguard.sigma.engine.table import Table
from cityguard.sigma.engine.witness import Literal, of_leaf

ROWS = 4096  # of a sample
MIN_ROWS = 1024  # fewer say too little
FINDING = 0.2  # what it costs to find a literal where it does not count, against a row to be looked at
AGAIN = 64  # measured anew when a class has seen so many times the rows


def measured(nodes: Iterable[Node], table: Table) -> dict[Literal, float]:
    """Share of the table's rows in which each literal of the trees stands; only fields the table has."""
    asked: dict[str, dict[tuple[Mode, str], None]] = {}
    for node in nodes:
        for leaf in leaves(node, positive=False):
            for field, mode, text in of_leaf(leaf) or ():
                if field is not None:
                    asked.setdefault(field, {})[mode, text] = None
    shares: dict[Literal, float] = {}
    for field, literals in asked.items():
        column = table.column(field)
        if column is not None and column.size:
            shares.update(zip(((field, *one) for one in literals), _shares(list(literals), column), strict=True))
        else:
            shares.update(dict.fromkeys(((field, *one) for one in literals), 0.0))
    return shares


def _shares(literals: list[tuple[Mode, str]], column: Column) -> list[float]:
    scanner = Scanner(literals, _backend())
    values, numbers = scanner.over(column)
    pairs = np.unique(values * len(literals) + numbers)
    rows = np.bincount(column.codes, minlength=column.size + 1)
    counted = np.bincount(pairs % len(literals), rows[pairs // len(literals)], minlength=len(literals))
    counted = counted + FINDING * scanner.occurrences(column)
    return [float(count) / column.height for count in counted]


def written(shares: dict[Literal, float]) -> bytes:
    """Costs as bytes."""
    return msgspec.msgpack.encode([(field, mode, text, share) for (field, mode, text), share in shares.items()])


def read(data: bytes) -> dict[Literal, float]:
    """Costs from bytes; none where they are no costs."""
    try:
        found = msgspec.msgpack.decode(data, type=list[tuple[str, Mode, str, float]]) if data else []
    except msgspec.DecodeError:
        return {}
    return {(field, mode, text): share for field, mode, text, share in found}


def _backend() -> str:
    """For a scanner used once what is made fastest, not what runs fastest."""
    return available("ahocorasick")


def sample(table: Table) -> Table:
    """Some rows of a table, from all over it."""
    if table.height <= ROWS:
        return table
    return Table(table.frame.gather_every(table.height // ROWS).head(ROWS))
