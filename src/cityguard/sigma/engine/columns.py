"""One field of a batch for the engine: its distinct values once, folded once, and a code per row."""

from __future__ import annotations

from collections.abc import Hashable
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from cityguard.sigma.view import Addresses, Mask, Values
from cityguard.sigma.wildcard import fold_series

Ints = npt.NDArray[np.int64]
SAMPLE = 1000  # rows looked at to tell whether a column repeats itself
UNLIKE = 0.85  # above this share of distinct values a row is its own code: hashing would find nothing to share


class Column:
    """Distinct values of one field and where they stand.

    Attributes:
        height: rows of the batch.
        size: number of distinct values.
        codes: int64, per row its place among the distinct values, ``size`` where there is none; of lists, per element.
        starts: of lists, where each row's elements begin in ``codes`` (int64[height + 1]); else None.
        distinct: the values, of a plain type, without nulls.
    """

    def __init__(self, height: int, codes: Ints, distinct: pl.Series, starts: Ints | None = None) -> None:
        self.height = height
        self.size = len(distinct)
        self.codes = codes
        self.starts = starts
        self.distinct = distinct
        self.known: dict[Hashable, npt.NDArray[np.int8]] = {}  # verdicts by predicate: -1 not asked yet

    @classmethod
    def of(cls, series: pl.Series) -> Column:
        """Take a column apart, as ``Values.of`` does; text that hardly repeats is not hashed."""
        if series.dtype == pl.String and _unlike(series):
            codes = np.arange(len(series), dtype=np.int64)
            if series.null_count():
                codes[np.asarray(series.is_null(), dtype=np.bool_)] = len(series)
            return cls(len(series), codes, series.fill_null(""))
        return cls.parted(Values.of(series))

    @classmethod
    def parted(cls, values: Values) -> Column:
        """From what the plain evaluator works with; ``rows`` ascend."""
        height, rows = values.height, values.rows
        if len(rows) <= height and (len(rows) < 2 or bool((rows[1:] > rows[:-1]).all())):
            codes = np.full(height, len(values.distinct), dtype=np.int64)
            codes[rows] = values.codes
            return cls(height, codes, values.distinct)
        starts = np.searchsorted(rows, np.arange(height + 1))
        return cls(height, values.codes, values.distinct, starts.astype(np.int64))

    @cached_property
    def values(self) -> Values:
        """The distinct values, one row each."""
        every = np.arange(self.size, dtype=np.int64)
        made = Values(self.size, every, every, self.distinct)
        if self.distinct.dtype == pl.String:
            made.__dict__["folded"] = pl.Series(pl.from_arrow(self.folded))
        return made

    @cached_property
    def folded(self) -> pa.LargeStringArray:
        """Distinct values as folded text, contiguous: what the scanners run over."""
        texts = self.distinct if self.distinct.dtype == pl.String else self.values.text
        return fold_arrow(texts)

    @cached_property
    def constant(self) -> str | None:
        """The folded text of every row, when it is the same one."""
        if self.starts is not None or self.size != 1 or not self.height or self.codes.any():
            return None
        return str(self.folded[0].as_py())

    def part(self, wanted: Ints) -> Values:
        """Some of the distinct values, one row each; what is dear is worked out once for the column."""
        every = np.arange(len(wanted), dtype=np.int64)
        made = _Part(len(wanted), every, every, self.distinct.gather(pl.Series(wanted)))
        made.column, made.wanted = self, wanted
        return made

    def addresses(self, wanted: Ints) -> Addresses:
        """Some of the distinct values as IP addresses; each is read once."""
        high, low, family = self._addresses
        new = wanted[family[wanted] < 0]
        if len(new):
            read = Addresses.of(self.values.text.gather(pl.Series(new)))
            high[new], low[new] = read.high, read.low
            family[new] = read.four * 4 + read.six * 6
        kind = family[wanted]
        return Addresses(high[wanted], low[wanted], kind == 4, kind == 6)

    @cached_property
    def _addresses(self) -> tuple[Any, Any, npt.NDArray[np.int8]]:
        words = np.zeros((2, self.size), dtype=np.uint64)
        return words[0], words[1], np.full(self.size, -1, dtype=np.int8)

    @cached_property
    def owners(self) -> Ints:
        """Of lists: the row each element stands in."""
        assert self.starts is not None
        return np.repeat(np.arange(self.height, dtype=np.int64), np.diff(self.starts))

    def places(self, found: Ints) -> tuple[Ints, Ints]:
        """Rows at which each of the given codes stands: (rows, how many for each)."""
        wanted, inverse = np.unique(found, return_inverse=True)
        mark = np.full(self.size + 1, -1, dtype=np.int32)
        mark[wanted] = np.arange(len(wanted), dtype=np.int32)
        names = mark[self.codes]
        at = np.flatnonzero(names >= 0)
        names = names[at]
        order = np.argsort(names, kind="stable")
        at = at[order]
        if self.starts is not None:
            at = self.owners[at]
        bounds = np.searchsorted(names[order], np.arange(len(wanted) + 1))
        first = bounds[inverse]
        count = bounds[inverse + 1] - first
        return at[spread(first, count)], count


class _Part(Values):
    """A part of a column's distinct values; folding, reading as numbers and as addresses is shared."""

    column: Column
    wanted: Ints

    @cached_property
    def folded(self) -> pl.Series:
        return self.column.values.folded.gather(pl.Series(self.wanted))

    @cached_property
    def text(self) -> pl.Series:
        return self.column.values.text.gather(pl.Series(self.wanted))

    @cached_property
    def numbers(self) -> pl.Series:
        return self.column.values.numbers.gather(pl.Series(self.wanted))

    @cached_property
    def addresses(self) -> Addresses:
        return self.column.addresses(self.wanted)


def spread(first: Ints, count: Ints) -> Ints:
    """The numbers first[i], first[i]+1 ... of count[i] each, one after another."""
    return np.repeat(first - np.cumsum(count) + count, count) + np.arange(int(count.sum()))


def fold_arrow(texts: pl.Series) -> pa.LargeStringArray:
    """``wildcard.fold_series`` as one Arrow array; ASCII, which most values are, at the speed of memory."""
    array = texts.to_arrow()
    if not pa.types.is_large_string(array.type):
        array = array.cast(pa.large_string())
    lowered = pc.ascii_lower(array)
    plain = pc.string_is_ascii(array)
    if pc.all(plain, min_count=0).as_py():
        return lowered
    other = pc.invert(plain)
    folded = fold_series(texts.filter(pl.Series(pl.from_arrow(other)))).to_arrow()
    return pc.replace_with_mask(lowered, other, folded.cast(pa.large_string()))


def _unlike(series: pl.Series) -> bool:
    if len(series) < 2 * SAMPLE:
        return False
    step = series.gather_every(len(series) // SAMPLE).head(SAMPLE)
    return int(step.n_unique()) > UNLIKE * len(step)


def any_of(hit: Mask, starts: Ints, rows: Ints) -> Mask:
    """For each of the rows: whether any of its elements is hit (``hit`` is per element)."""
    total = np.concatenate(([0], np.cumsum(hit)))
    return np.asarray(total[starts[rows + 1]] > total[starts[rows]])
