"""Lines of JSON to columns at once: ``jsonscan`` finds the values, texts stay where they are as string views."""

from __future__ import annotations

import secrets
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


def _bits(*kinds: int) -> int:
    return sum(1 << kind for kind in kinds)


_PLAIN = _bits(scan.FALSE, scan.TRUE, scan.INT, scan.BIG, scan.REAL, scan.TEXT, scan.ESCAPED, scan.LIST)
_OUTER = _PLAIN | _bits(scan.NULL, scan.OBJECT, scan.OBJECTS)
_ELEMENTS = (_PLAIN & ~_bits(scan.LIST)) << scan.ELEMENT
_INSIDE = _ELEMENTS | _bits(scan.PRESENT)
_KINDS: Final = (
    (_bits(scan.TEXT, scan.ESCAPED), TEXTS),
    (_bits(scan.INT), WHOLE),
    (_bits(scan.INT, scan.REAL), REALS),
    (_bits(scan.FALSE, scan.TRUE), TRUTHS),
    (_bits(scan.LIST), LISTS),
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
    held = lines.to_arrow().cast(pa.large_string())
    buffers = held.buffers()
    if len(lines) == 0 or buffers[2] is None or buffers[2].size > MAX_BYTES or held.offset:
        return None
    data = _padded(np.frombuffer(buffers[2], np.uint8))
    found = _Scan(data, np.frombuffer(buffers[1], np.int64)[: len(lines) + 1], limit)
    columns = found.columns()
    if not columns or len({column.name for column in columns}) < len(columns) or len(columns) > limit:
        return None
    return pl.DataFrame({column.name: column for column in columns}), found.good


def _padded(data: Bytes) -> Bytes:
    made = np.empty(len(data) + scan.PAD, np.uint8)
    made[: len(data)] = data
    made[len(data) :] = 0
    return made


def _words(data: Bytes) -> npt.NDArray[np.uint64]:
    """The eight bytes from each place on, without a copy."""
    return np.ndarray((len(data) - 7,), np.uint64, data.data, strides=(1,))


class _Scan:
    """The values of all lines and the names they stand under."""

    def __init__(self, data: Bytes, offsets: Words, limit: int) -> None:
        self._data, self._words, self._rows = data, _words(data), len(offsets) - 1
        self._paths = np.empty((2 * limit + 64, 7), np.int64)
        slots = np.full(1 << (4 * limit + 128).bit_length(), -1, np.int32)
        room = min(len(data) // 2 + 2, MAX_TOKENS)
        self._tokens, self._kinds = np.empty((room, 4), np.int32), np.empty(room, np.uint8)
        self._values = np.empty(room, np.int64)
        self.good: Bools = np.empty(self._rows, np.bool_)
        salt = np.uint64(secrets.randbits(64))
        used, self._count, self._spare = scan.scan(
            data, self._words, offsets, salt, self._paths, slots, self._tokens, self._kinds, self._values, self.good
        )
        self._paths = self._paths[:used]

    def columns(self) -> list[pl.Series] | None:
        """The columns; None where they cannot be told."""
        names, bits = self._names(), self._paths[:, 4].tolist()
        if len(set(names)) < len(names) - ("" in names[1:]):  # {"a.b": 1, "a": {"b": 2}}
            return None
        column, slow = self._decided(bits)
        made = self._filled(names, column)
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

    def _names(self) -> list[str]:
        out = [""]
        for parent, start, size in self._paths[1:, :3].tolist():
            name = self._data[start : start + size].tobytes().decode()
            out.append(f"{out[parent]}.{name}" if parent else name)
        return out

    def _decided(self, bits: list[int]) -> tuple[list[int], list[int]]:
        """What each path's column is, and of those to be read by Python the outermost path that must be, else 0."""
        parents = self._paths[:, 0].tolist()
        column, slow = [0] * len(bits), [0] * len(bits)
        for path in range(1, len(bits)):
            kinds = bits[path]
            inside = kinds & (_INSIDE | _bits(scan.INNER, scan.STRANGE))
            outer = kinds & _PLAIN
            if outer == _bits(scan.LIST) and not kinds & _bits(scan.STRANGE):
                inside &= ~_ELEMENTS  # its own elements
            strange = kinds & (_bits(scan.STRANGE) | _bits(scan.REAL) << scan.ELEMENT)
            strange |= bool(inside) and bool(kinds & _OUTER & ~_bits(scan.OBJECTS, scan.LIST))
            strange |= bool(inside & _INSIDE) and bool(kinds & _bits(scan.INNER))
            strange |= bool(inside) and bool(kinds & _bits(scan.OBJECTS, scan.LIST))
            known = [what for fits, what in _KINDS if outer and not outer & ~fits]
            if strange or (outer and not known):
                root = above = path
                while above:
                    root = above if bits[above] & _bits(scan.OBJECTS, scan.LIST) else root
                    above = parents[above]
                slow[root] = root
                continue
            column[path] = known[0] if known else LISTS if inside & _INSIDE else 0
        for path in range(1, len(bits)):
            slow[path] = slow[path] if slow[path] == path and not slow[parents[path]] else slow[parents[path]]
            column[path] = 0 if slow[path] else column[path]
        return column, slow

    def _filled(self, names: list[str], column: list[int]) -> list[pl.Series]:
        rows, kinds = self._rows, np.array(column, np.int8)
        place = np.zeros((len(column), 3), np.int64)
        counted = {what: int(np.count_nonzero(kinds == what)) for what in range(1, 6)}
        for what in range(1, 6):
            place[kinds == what, 0] = np.arange(counted[what])
        place[kinds == REALS, 0] += counted[WHOLE]
        place[kinds > 0, 1] = np.arange(np.count_nonzero(kinds))
        elements = np.where(kinds == LISTS, self._paths[:, 5], 0)
        place[:, 2] = first = np.cumsum(elements) - elements
        width = (rows + 7) // 8
        texts = np.zeros((counted[TEXTS], rows, 2), np.uint64)
        numbers = np.zeros((counted[WHOLE] + counted[REALS], rows), np.int64)
        truths, there = (
            np.zeros((counted[TRUTHS], width), np.uint8),
            np.zeros((int((kinds > 0).sum()), width), np.uint8),
        )
        views, counts = np.zeros((int(elements.sum()), 2), np.uint64), np.zeros((counted[LISTS], rows), np.int32)
        spill = np.zeros(self._spare + scan.PAD, np.uint8)
        reals = int((self._kinds[: self._count] == scan.REAL).sum()) if counted[REALS] else 0
        odd = np.empty((reals + 1, 2), np.int64)
        left = scan.fill(
            self._data, self._words, self._tokens, self._kinds, self._values, self._count, kinds, place, _POWERS,
            texts, numbers, truths, there, views, counts, spill, _words(spill), odd,
        )  # fmt: skip
        self._patched(numbers.view(np.float64), odd[:left])
        buffer, spilt = pa.py_buffer(self._data), pa.py_buffer(spill)
        made: list[pl.Series] = []
        for path in np.flatnonzero(kinds).tolist():
            what, (at, mine, _) = column[path], place[path].tolist()
            valid = pa.py_buffer(there[mine])
            if what == LISTS:
                begin, count = int(first[path]), int(elements[path])
                held = [None, pa.py_buffer(views[begin : begin + count]), buffer, spilt]
                inner = pa.Array.from_buffers(pa.string_view(), count, held)
                ends = np.concatenate(([0], np.cumsum(counts[at], dtype=np.int64)))
                array = pa.LargeListArray.from_buffers(
                    pa.large_list(pa.string_view()), rows, [valid, pa.py_buffer(ends)], children=[inner]
                )
            elif what == TEXTS:
                array = pa.Array.from_buffers(pa.string_view(), rows, [valid, pa.py_buffer(texts[at]), buffer, spilt])
            elif what == TRUTHS:
                array = pa.Array.from_buffers(pa.bool_(), rows, [valid, pa.py_buffer(truths[at])])
            else:
                kind = pa.int64() if what == WHOLE else pa.float64()
                array = pa.Array.from_buffers(kind, rows, [valid, pa.py_buffer(numbers[at])])
            one = pl.Series(names[path], pl.from_arrow(array))
            made.append(columnar.bounded(one) if what == TEXTS else one)
        return made

    def _patched(self, reals: npt.NDArray[np.float64], odd: Words) -> None:
        """Numbers of many digits, read by Python."""
        for column, token in odd.tolist():
            _, row, start, end = self._tokens[token].tolist()
            reals[column, row] = float(self._data[start:end].tobytes())

    def _slowly(self, path: int, name: str) -> list[pl.Series] | None:
        """Whatever stands under one name, by way of Python objects."""
        kinds = self._kinds[: self._count]
        mine = (self._tokens[: self._count, 0] == path) & (kinds < scan.STRANGE)
        spans, quoted = self._tokens[: self._count][mine], np.isin(kinds[mine], (scan.TEXT, scan.ESCAPED))
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
