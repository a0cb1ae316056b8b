"""Lines of JSON to columns at once: ``jsonscan`` finds the values, texts stay where they are as string views."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from cityguard.decoders import columnar
from cityguard.decoders import jsonscan as scan

Words = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]
MAX_BYTES: Final = (1 << 31) - 1
MAX_TOKENS: Final = 6_000_000
"""Values of one piece; lines beyond go the plain way."""
_POWERS = np.array([float(10**n) for n in range(23)])
_FAULTS = (msgspec.MsgspecError, RecursionError, UnicodeError, ValueError)
TEXTS, WHOLE, REALS, TRUTHS, LISTS = 1, 2, 3, 4, 5
_TYPES: Final = {WHOLE: pa.int64(), REALS: pa.float64(), TRUTHS: pa.bool_()}


def kindset(*kinds: int) -> int:
    """Kinds of ``jsonscan`` as a set."""
    return sum(1 << kind for kind in kinds)


_PLAIN = kindset(scan.FALSE, scan.TRUE, scan.INT, scan.BIG, scan.REAL, scan.TEXT, scan.ESCAPED, scan.LIST)
_OUTER = _PLAIN | kindset(scan.NULL, scan.OBJECT, scan.OBJECTS)
_ELEMENTS = (_PLAIN & ~kindset(scan.LIST)) << scan.ELEMENT
_INSIDE = _ELEMENTS | kindset(scan.PRESENT)
_KINDS: Final = (
    (kindset(scan.TEXT, scan.ESCAPED), TEXTS),
    (kindset(scan.INT), WHOLE),
    (kindset(scan.INT, scan.REAL), REALS),
    (kindset(scan.FALSE, scan.TRUE), TRUTHS),
    (kindset(scan.LIST), LISTS),
)


def read(lines: pl.Series, limit: int) -> tuple[pl.DataFrame, Bools] | None:
    """Columns of lines of JSON, as ``columnar.table`` has them.

    Args:
        lines: String, n rows without nulls.
        limit: columns there may be.

    Returns:
        n rows, all null for lines that have to go the plain way, and which lines were read; None where the names or
        kinds cannot be told this way.
    """
    found = scanned(lines, limit)
    columns = found.columns() if found is not None else None
    if found is None or not columns or len({column.name for column in columns}) < len(columns) or len(columns) > limit:
        return None
    return pl.DataFrame({column.name: column for column in columns}), found.good


def scanned(lines: pl.Series, limit: int) -> Scan | None:
    """All values of all lines; None where there are too many bytes."""
    if not len(lines):
        return None
    if (found := _in_place(lines)) is not None:
        return Scan(*found, limit)
    held = lines.to_arrow().cast(pa.large_string())
    buffers = held.buffers()
    if buffers[2] is None or buffers[2].size > MAX_BYTES or held.offset:
        return None
    offsets = np.frombuffer(buffers[1], np.int64)[: len(lines) + 1]
    return Scan(padded(np.frombuffer(buffers[2], np.uint8)), offsets[:-1], offsets[1:], limit)


def _in_place(lines: pl.Series) -> tuple[Bytes, Words, Words] | None:
    """The bytes that the lines stand in, and where each begins and ends; None where they must be copied together."""
    held = lines.to_arrow(compat_level=pl.CompatLevel.newest())
    if held.type != pa.string_view() or held.offset or held.null_count:
        return None
    _, views, *buffers = held.buffers()
    if len(buffers) != 1 or buffers[0].size > MAX_BYTES:
        return None
    parts = np.frombuffer(views, np.int32).reshape(-1, 4)[: len(lines)]
    starts, sizes = parts[:, 3].astype(np.int64), parts[:, 0].astype(np.int64)
    if sizes.min() <= _INLINE or int((starts + sizes).max()) + scan.PAD > buffers[0].size:
        return None
    return np.frombuffer(buffers[0], np.uint8), starts, starts + sizes


_INLINE: Final = 12
"""Bytes of a text that a string view holds itself."""


def padded(data: Bytes) -> Bytes:
    """A copy with ``jsonscan.PAD`` bytes behind it, not to be written to: compiled code has one form for all."""
    made = np.empty(len(data) + scan.PAD, np.uint8)
    made[: len(data)] = data
    made[len(data) :] = 0
    made.flags.writeable = False
    return made


def words_of(data: Bytes) -> npt.NDArray[np.uint64]:
    """The eight bytes from each place on, without a copy."""
    return np.ndarray((len(data) - 7,), np.uint64, data.data, strides=(1,))


def texts_of(valid: pa.Buffer | None, views: npt.NDArray[np.uint64], buffers: list[pa.Buffer]) -> pa.Array:
    """Texts that stand in buffers, without a copy."""
    return pa.Array.from_buffers(pa.string_view(), len(views), [valid, pa.py_buffer(views), *buffers])


def _lists(
    valid: pa.Buffer, counts: npt.NDArray[np.int32], views: npt.NDArray[np.uint64], buffers: list[pa.Buffer]
) -> pa.Array:
    ends = np.concatenate(([0], np.cumsum(counts, dtype=np.int64)))
    kind = pa.large_list(pa.string_view())
    elements = texts_of(None, views, buffers)
    return pa.LargeListArray.from_buffers(kind, len(counts), [valid, pa.py_buffer(ends)], children=[elements])


@dataclass(frozen=True, slots=True)
class Groups:
    """Lines in groups: int32[n] the group of each, or -1, int32[n] its place in it, and the size of each group."""

    of: npt.NDArray[np.int32]
    within: npt.NDArray[np.int32]
    sizes: list[int]


class Scan:
    """The values of all lines and the names they stand under; arrays as ``jsonscan.scan`` fills them.

    Attributes:
        paths, tokens, kinds: of ``tokens`` and ``kinds`` the first ``count`` are filled.
        good: bool[n], the lines that were read.
    """

    def __init__(self, data: Bytes, starts: Words, ends: Words, limit: int) -> None:
        self._limit = limit
        self._data, self._words, self._rows = data, words_of(data), len(starts)
        self.paths = np.empty((2 * limit + 64, 8), np.int64)
        slots = np.full(1 << (4 * limit + 128).bit_length(), -1, np.int32)
        room = min(int((ends - starts).sum()) // 2 + 2, MAX_TOKENS)
        self.tokens, self.kinds = np.empty((room, 4), np.int32), np.empty(room, np.uint8)
        self._values = np.empty(room, np.int64)
        self.good: Bools = np.empty(self._rows, np.bool_)
        salt = np.uint64(secrets.randbits(64))
        used, self.count, self._spare = scan.scan(
            data, self._words, starts, ends, salt, self.paths, slots, self.tokens, self.kinds, self._values, self.good
        )
        self.paths = self.paths[:used]
        self._long = bool((ends - starts > columnar.MAX_VALUE).any())

    def columns(self) -> list[pl.Series] | None:
        """The columns; None where they cannot be told."""
        names, bits = self._names(), self.paths[:, 4].tolist()
        if len(set(names)) < len(names) - ("" in names[1:]):  # {"a.b": 1, "a": {"b": 2}}
            return None
        column, slow = self._decided(bits)
        if sum(what > 0 for what in column) > self._limit:
            return None
        (made,) = self.filled(names, column)
        nothing = [
            pl.Series(name, [None], pl.String).new_from_index(0, self._rows)
            for name, one, what, aside in zip(names, bits, column, slow, strict=True)
            if one == 1 << scan.NULL and not what and not aside
        ]
        for path, aside in enumerate(slow):
            if aside == path and path:
                more = self._slowly(path, names[path])
                if more is None:
                    return None
                made += more
        return made + nothing

    def keys(self) -> list[str]:
        """The last key of each path."""
        spans = self.paths[:, 1:3].tolist()
        return [self._data[start : start + size].tobytes().decode() for start, size in spans]

    def _names(self) -> list[str]:
        out = [""]
        for parent, key in zip(self.paths[1:, 0].tolist(), self.keys()[1:], strict=True):
            out.append(f"{out[parent]}.{key}" if parent else key)
        return out

    def _decided(self, bits: list[int]) -> tuple[list[int], list[int]]:
        """What each path's column is, and of those to be read by Python the outermost path that must be, else 0."""
        parents = self.paths[:, 0].tolist()
        column, slow = [0] * len(bits), [0] * len(bits)
        for path in range(1, len(bits)):
            kinds = bits[path]
            inside = kinds & (_INSIDE | kindset(scan.INNER, scan.STRANGE))
            outer = kinds & _PLAIN
            if outer == kindset(scan.LIST) and not kinds & kindset(scan.STRANGE):
                inside &= ~_ELEMENTS  # its own elements
            strange = kinds & (kindset(scan.STRANGE) | kindset(scan.REAL) << scan.ELEMENT)
            strange |= bool(inside) and bool(kinds & _OUTER & ~kindset(scan.OBJECTS, scan.LIST))
            strange |= bool(inside & _INSIDE) and bool(kinds & kindset(scan.INNER))
            strange |= bool(inside) and bool(kinds & kindset(scan.OBJECTS, scan.LIST))
            known = [what for fits, what in _KINDS if outer and not outer & ~fits]
            if strange or (outer and not known):
                root = above = path
                while above:
                    root = above if bits[above] & kindset(scan.OBJECTS, scan.LIST) else root
                    above = parents[above]
                slow[root] = root
                continue
            column[path] = known[0] if known else LISTS if inside & _INSIDE else 0
        for path in range(1, len(bits)):
            slow[path] = slow[path] if slow[path] == path and not slow[parents[path]] else slow[parents[path]]
            column[path] = 0 if slow[path] else column[path]
        return column, slow

    def fits(self, column: list[int], groups: Groups) -> bool:
        """Whether the columns of each group are so few, and so short, that tables may be made of them."""
        kinds, shape = np.array(column, np.int8), (len(groups.sizes), len(column))
        present, elements = np.zeros(shape, np.uint8), np.zeros(shape, np.int64)
        scan.seen(self.tokens, self.kinds, self.count, groups.of, present, elements)
        widths, sizes = (present * (kinds > 0)).sum(axis=1, dtype=np.int64), np.array(groups.sizes, np.int64)
        most = np.clip(columnar.MAX_CELLS // np.maximum(sizes, 1), columnar.MIN_COLUMNS, columnar.MAX_COLUMNS)
        return bool((widths <= most).all()) and int((widths * sizes).sum()) <= columnar.MAX_CELLS

    def filled(
        self,
        names: Sequence[str],
        column: list[int],
        groups: Groups | None = None,
        asked: npt.NDArray[np.uint8] | None = None,
    ) -> list[list[pl.Series]]:
        """The columns of each group of lines, where the group has a value; without groups, all of all lines.

        Args:
            names: of each path.
            column: what becomes of each path: 0 nothing, or ``TEXTS`` (of anything plain: as it is written) …
            groups: lines that have columns of their own.
            asked: uint8[g, m], which columns of each group are made at all.
        """
        kinds = np.array(column, np.int8)
        if groups is None:
            groups = Groups(np.zeros(self._rows, np.int32), np.arange(self._rows, dtype=np.int32), [self._rows])
            present, elements = np.ones((1, len(kinds)), np.uint8), self.paths[None, :, 5]
        else:
            shape = (len(groups.sizes), len(kinds))
            present, elements = np.zeros(shape, np.uint8), np.zeros(shape, np.int64)
            scan.seen(self.tokens, self.kinds, self.count, groups.of, present, elements)
        present = present if asked is None else present & asked
        group, path = np.nonzero(present * (kinds > 0))
        what, sizes = kinds[path], np.array(groups.sizes, np.int64)[group]
        number = np.full(present.shape, -1, np.int32)
        number[group, path] = np.arange(len(path))
        bytes_, runs = (sizes + 7) // 8, np.where(what == LISTS, elements[group, path], 0)
        place = np.zeros((len(path), 3), np.int64)
        total = dict.fromkeys(range(1, 6), 0)
        for sort in total:
            takes = np.where(what == sort, bytes_ if sort == TRUTHS else sizes, 0)
            total[sort] = int(takes.sum())
            place[:, 0] += np.where(what == sort, np.cumsum(takes) - takes, 0)
        place[what == REALS, 0] += total[WHOLE]
        place[:, 1], place[:, 2] = np.cumsum(bytes_) - bytes_, np.cumsum(runs) - runs
        starts = place.tolist()
        texts, numbers = np.zeros((total[TEXTS], 2), np.uint64), np.zeros(total[WHOLE] + total[REALS], np.int64)
        truths, there = np.zeros(total[TRUTHS], np.uint8), np.zeros(int(bytes_.sum()), np.uint8)
        views, counts = np.zeros((int(runs.sum()), 2), np.uint64), np.zeros(total[LISTS], np.int32)
        spill = np.zeros(self._spare + scan.PAD, np.uint8)
        reals = int((self.kinds[: self.count] == scan.REAL).sum()) if total[REALS] else 0
        odd = np.empty((reals + 1, 2), np.int64)
        left = scan.fill(
            self._data, self._words, self.tokens, self.kinds, self._values, self.count, groups.of, groups.within,
            number, kinds, place, _POWERS, texts, numbers, truths, there, views, counts, spill, words_of(spill), odd,
        )  # fmt: skip
        for at, token in odd[:left].tolist():  # of many digits
            _, _, start, end = self.tokens[token].tolist()
            numbers.view(np.float64)[at] = float(self._data[start:end].tobytes())
        buffers = [pa.py_buffer(self._data), pa.py_buffer(spill)]
        made: list[list[pl.Series]] = [[] for _ in groups.sizes]
        ends = place[:, 2].tolist()
        for mine, (of, where) in enumerate(zip(group.tolist(), path.tolist(), strict=True)):
            rows, (at, bit, begin), kind = groups.sizes[of], starts[mine], column[where]
            valid = pa.py_buffer(there[bit : bit + (rows + 7) // 8])
            if kind == LISTS:
                array = _lists(valid, counts[at : at + rows], views[begin : ends[mine]], buffers)
            elif kind == TEXTS:
                array = texts_of(valid, texts[at : at + rows], buffers)
            else:
                held = truths[at : at + (rows + 7) // 8] if kind == TRUTHS else numbers[at : at + rows]
                array = pa.Array.from_buffers(_TYPES[kind], rows, [valid, pa.py_buffer(held)])
            series = pl.Series(names[where], pl.from_arrow(array))
            made[of].append(columnar.bounded(series) if kind == TEXTS and self._long else series)
        return made

    def _slowly(self, path: int, name: str) -> list[pl.Series] | None:
        """Whatever stands under one name, by way of Python objects."""
        kinds = self.kinds[: self.count]
        mine = (self.tokens[: self.count, 0] == path) & (kinds < scan.STRANGE)
        spans, quoted = self.tokens[: self.count][mine], np.isin(kinds[mine], (scan.TEXT, scan.ESCAPED))
        spans = spans[:, 1:] + np.stack([np.zeros_like(quoted), -1 * quoted, quoted], axis=1)
        raw = [self._data[start:end].tobytes() for _, start, end in spans.tolist()]
        try:
            values = msgspec.json.decode(b"[" + b",".join(raw) + b"]")
        except _FAULTS:
            return None
        table, spare = columnar.table([{name: value} for value in values])
        if spare is not None:
            return None
        at = np.full(self._rows, -1, np.int64)
        at[spans[:, 0]] = np.arange(len(spans))
        index = pl.Series(at)
        index = index.set(index < 0, None).cast(pl.UInt32)
        return [one.gather(index) for one in table.get_columns()]
