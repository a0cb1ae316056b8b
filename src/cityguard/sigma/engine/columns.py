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
Codes = npt.NDArray[np.int32]
SAMPLE = 512  # rows looked at to tell whether a column repeats itself
UNLIKE = 0.5  # above this share of distinct values a row is its own code: hashing would find little to share
ONE_BY_ONE = 8  # values fetched singly: Arrow takes a while to begin
_TEXT = pa.large_string()


class Column:
    """Distinct values of one field and where they stand.

    Attributes:
        height: rows of the batch.
        size: number of distinct values; with ``alone``, of rows.
        codes: per row its place among the distinct values, ``size`` where there is none; of lists, per element.
        starts: of lists, where each row's elements begin in ``codes`` (int64[height + 1]); else None.
        alone: every row is its own code.
    """

    def __init__(self, height: int, codes: Codes, distinct: pa.Array | pl.Series, starts: Ints | None = None) -> None:
        self.height = height
        self.size = len(distinct)
        self.codes = codes
        self.starts = starts
        self.alone = False
        self.known: dict[Hashable, npt.NDArray[np.int8]] = {}  # verdicts by predicate: -1 not asked yet
        self._distinct = distinct

    @classmethod
    def of(cls, series: pl.Series) -> Column:
        """Take a column apart, as ``Values.of`` does; text that hardly repeats is not hashed."""
        if series.dtype == pl.String:
            return cls._texts(_joined(series.to_arrow()))
        if series.dtype.is_integer() and series.dtype not in (pl.Int128, pl.UInt128):
            return cls._encoded(_joined(series.to_arrow()))
        return cls.parted(Values.of(series))

    @classmethod
    def _texts(cls, array: pa.Array) -> Column:
        height = len(array)
        if height >= 2 * SAMPLE:
            if not array.null_count and _constant(array):
                return cls(height, np.zeros(height, dtype=np.int32), array.slice(0, 1).cast(_TEXT))
            if _unlike(array):
                codes = np.arange(height, dtype=np.int32)
                if array.null_count:
                    codes[pc.is_null(array).to_numpy(zero_copy_only=False)] = height
                    array = pc.fill_null(array, "")
                made = cls(height, codes, array.cast(_TEXT))
                made.alone = True
                return made
        return cls._encoded(array)

    @classmethod
    def _encoded(cls, array: pa.Array) -> Column:
        encoded = array.dictionary_encode()
        indices, distinct = encoded.indices, encoded.dictionary
        if pa.types.is_string_view(distinct.type):
            distinct = distinct.cast(_TEXT)
        if indices.null_count:
            indices = pc.fill_null(indices, len(distinct))
        return cls(len(array), indices.to_numpy(), distinct)

    @classmethod
    def parted(cls, values: Values) -> Column:
        """From what the plain evaluator works with; ``rows`` ascend."""
        height, rows = values.height, values.rows
        codes = values.codes.astype(np.int32)
        if len(rows) <= height and (len(rows) < 2 or bool((rows[1:] > rows[:-1]).all())):
            spaced = np.full(height, len(values.distinct), dtype=np.int32)
            spaced[rows] = codes
            return cls(height, spaced, values.distinct)
        starts = np.searchsorted(rows, np.arange(height + 1))
        return cls(height, codes, values.distinct, starts.astype(np.int64))

    @cached_property
    def distinct(self) -> pl.Series:
        """The values, of a plain type, without nulls."""
        if isinstance(self._distinct, pl.Series):
            return self._distinct
        return pl.Series(pl.from_arrow(self._distinct))

    @cached_property
    def values(self) -> Values:
        """The distinct values as the plain evaluator takes them, one row each."""
        every = np.arange(self.size, dtype=np.int64)
        made = _Whole(self.size, every, every, self.distinct)
        made.column = self
        return made

    @cached_property
    def texts(self) -> pa.LargeStringArray:
        """Distinct values as text."""
        if not isinstance(self._distinct, pl.Series):
            if pa.types.is_large_string(self._distinct.type):
                return self._distinct
            if pa.types.is_integer(self._distinct.type):
                return self._distinct.cast(_TEXT)
        return _joined(self.values.text.to_arrow()).cast(_TEXT)

    @cached_property
    def folded(self) -> pa.LargeStringArray:
        """The same folded, contiguous: what the scanners run over."""
        return fold_arrow(self.texts)

    @cached_property
    def letters(self) -> bool:
        """False for numbers: no word with a letter can stand in them."""
        return isinstance(self._distinct, pl.Series) or not pa.types.is_integer(self._distinct.type)

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

    def pairs(self, wanted: Ints, folded_only: bool) -> tuple[list[str], list[str]]:
        """Some of the distinct values as text, and folded."""
        if len(wanted) <= ONE_BY_ONE:
            numbers = wanted.tolist()
            folded = [self.folded[number].as_py() for number in numbers]
            return folded if folded_only else [self.texts[number].as_py() for number in numbers], folded
        places = pa.array(wanted)
        folded = self.folded.take(places).to_pylist()
        return folded if folded_only else self.texts.take(places).to_pylist(), folded

    def addresses(self, wanted: Ints) -> Addresses:
        """Some of the distinct values as IP addresses; each is read once."""
        high, low, family = self._addresses
        new = wanted[family[wanted] < 0]
        if len(new):
            read = Addresses.of(pl.Series(pl.from_arrow(self.texts.take(pa.array(new)))))
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
        if self.alone:
            there = self.codes[found] == found
            return found[there], there.astype(np.int64)
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


class _Whole(Values):
    """All distinct values of a column."""

    column: Column

    @cached_property
    def folded(self) -> pl.Series:
        return pl.Series(pl.from_arrow(self.column.folded))


class _Part(Values):
    """Some of them; folding, reading as numbers and as addresses is shared."""

    column: Column
    wanted: Ints

    @cached_property
    def folded(self) -> pl.Series:
        return pl.Series(pl.from_arrow(self.column.folded.take(pa.array(self.wanted))))

    @cached_property
    def text(self) -> pl.Series:
        return pl.Series(pl.from_arrow(self.column.texts.take(pa.array(self.wanted))))

    @cached_property
    def numbers(self) -> pl.Series:
        return self.column.values.numbers.gather(pl.Series(self.wanted))

    @cached_property
    def addresses(self) -> Addresses:
        return self.column.addresses(self.wanted)


def spread(first: Ints, count: Ints) -> Ints:
    """The numbers first[i], first[i]+1 ... of count[i] each, one after another."""
    return np.repeat(first - np.cumsum(count) + count, count) + np.arange(int(count.sum()))


def fold_arrow(texts: pa.LargeStringArray) -> pa.LargeStringArray:
    """``wildcard.fold_series`` over Arrow; ASCII, which most values are, at the speed of memory."""
    lowered = pc.ascii_lower(texts)
    if laid_out(texts)[1].max(initial=0) < 0x80:
        return lowered
    other = pc.invert(pc.string_is_ascii(texts))
    folded = fold_series(pl.Series(pl.from_arrow(texts.filter(other)))).to_arrow()
    return pc.replace_with_mask(lowered, other, _joined(folded).cast(_TEXT))


def laid_out(values: pa.LargeStringArray) -> tuple[Ints, npt.NDArray[np.uint8]]:
    """Offsets and bytes of an array without nulls, without copying either."""
    if not len(values):
        return np.zeros(1, dtype=np.int64), np.zeros(0, dtype=np.uint8)
    _, raw, data = values.buffers()
    offsets = np.frombuffer(raw, np.int64)[values.offset : values.offset + len(values) + 1]
    if data is None or offsets[-1] == offsets[0]:
        return offsets - offsets[0], np.zeros(0, dtype=np.uint8)
    return offsets - offsets[0], np.frombuffer(data, np.uint8)[offsets[0] : offsets[-1]]


def _joined(array: Any) -> pa.Array:
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array


def _constant(array: pa.Array) -> bool:
    first = array[0]
    if array[len(array) // 2] != first or array[len(array) - 1] != first:
        return False
    return bool(pc.all(pc.equal(array, first)).as_py())


def _unlike(array: pa.Array) -> bool:
    some = array.take(pa.array(np.arange(0, len(array), len(array) // SAMPLE)[:SAMPLE]))
    return len(some.unique()) > UNLIKE * SAMPLE


def any_of(hit: Mask, starts: Ints, rows: Ints) -> Mask:
    """For each of the rows: whether any of its elements is hit (``hit`` is per element)."""
    total = np.concatenate(([0], np.cumsum(hit)))
    return np.asarray(total[starts[rows + 1]] > total[starts[rows]])
