"""A field against another field of the same row, row by row without leaving the columns."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cityguard.sigma.ast import Mode, Reference
from cityguard.sigma.engine.columns import Codes, Column, Ints
from cityguard.sigma.engine.table import Table
from cityguard.sigma.view import Mask


class Referred:
    """Any value of one field equals (begins with ...) any value of the other."""

    __slots__ = ("leaf", "weight")

    def __init__(self, leaf: Reference) -> None:
        self.leaf = leaf
        self.weight = 50.0

    def mask(self, table: Table, rows: Ints) -> Mask:
        one, other = table.column(self.leaf.field), table.column(self.leaf.other)
        if one is None or other is None:
            return np.zeros(len(rows), dtype=np.bool_)
        if one.starts is not None or other.starts is not None:
            return table.plainly(self.leaf, rows)
        left, right = one.codes[rows], other.codes[rows]
        both = np.flatnonzero((left < one.size) & (right < other.size))
        mask = np.zeros(len(rows), dtype=np.bool_)
        if len(both):
            texts = (_texts(one, self.leaf.cased), _texts(other, self.leaf.cased))
            mask[both] = _compared(self.leaf.mode, *texts, left[both], right[both])
        return mask


def _texts(column: Column, cased: bool) -> pa.LargeStringArray:
    return column.texts if cased else column.folded


def _compared(mode: Mode, one: pa.LargeStringArray, other: pa.LargeStringArray, left: Codes, right: Codes) -> Mask:
    """Per pair of codes; each pair of distinct values is looked at once."""
    pairs, inverse = np.unique(left.astype(np.int64) * (len(other) + 1) + right, return_inverse=True)
    values = one.take(pa.array(pairs // (len(other) + 1)))
    wanted = other.take(pa.array(pairs % (len(other) + 1)))
    if mode == "exact":
        found = np.asarray(pc.equal(values, wanted).to_numpy(zero_copy_only=False))
        return np.asarray(found[inverse], dtype=np.bool_)
    test = {"prefix": str.startswith, "suffix": str.endswith, "contains": str.__contains__}[mode]
    each = zip(values.to_pylist(), wanted.to_pylist(), strict=True)
    return np.fromiter((test(value, part) for value, part in each), np.bool_, len(pairs))[inverse]
