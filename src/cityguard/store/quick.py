"""A table to Parquet in few steps: encodings that shrink in place of compression, whole columns at a time.

What repeats itself becomes a dictionary, numbers stand as they are, texts as their lengths and one run of characters:
a fraction of the processor's time that hashing and compressing every value takes, for files about twice as large.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from cityguard.store import footer
from cityguard.store.footer import Column

ROW_GROUP = 262_144
FEW_TEXTS = 16
"""Texts in a dictionary; more of them are written one by one."""
SPAN = 65_536
"""Numbers that lie within so many values are tried as a dictionary, where the first ones repeat themselves."""
_LEAST, _SAMPLE = 4_096, 512
_BLOCK = 128  # values of a block of deltas, in four parts
_MICROS, _TEXTS = pl.Datetime("us", "UTC"), pl.List(pl.String)
_NEWEST = pl.CompatLevel.newest()
_KNOWN = (pl.String, pl.Int32, pl.Int64, _MICROS, _TEXTS)
_Some = npt.NDArray[Any]
Parts = list[bytes | _Some]


def fits(table: pl.DataFrame) -> bool:
    """Whether every column is of a type that can be written here."""
    return bool(table.width and table.height) and all(one in _KNOWN for one in table.dtypes)


def write(table: pl.DataFrame, file: BinaryIO) -> None:
    """Write a table that ``fits``.

    Raises:
        OSError: the file cannot be written.
    """
    place = file.write(footer.MAGIC)
    groups = []
    for begin in range(0, table.height, ROW_GROUP):
        piece = table.slice(begin, ROW_GROUP)
        columns = []
        for one in piece.iter_columns():
            made = _column(one if one.n_chunks() == 1 else one.rechunk(), place)
            file.writelines(made[1])  # type: ignore[arg-type]  # arrays are buffers
            columns.append(made[0])
            place += made[0].size
        groups.append((piece.height, columns))
    file.write(footer.footer(groups, "cityguard"))


def _column(series: pl.Series, at: int) -> tuple[Column, Parts]:
    values, nulls = len(series), series.null_count()
    least = most = None
    if series.dtype in (pl.String, _TEXTS):
        some = series.drop_nulls() if nulls else series
        if series.dtype == _TEXTS:
            levels, values, some = _listed(series)
        else:
            levels = _levels(series.to_arrow(compat_level=_NEWEST) if nulls else None, values)
        physical, logical = footer.BYTE_ARRAY, footer.TEXT if series.dtype == pl.String else footer.TEXTS
        found, dictionary, body = _texts(some)
        encoding, there = footer.DELTA_LENGTH if len(some) else footer.PLAIN, len(some)
    else:
        physical = footer.INT32 if series.dtype == pl.Int32 else footer.INT64
        logical, encoding = footer.MOMENT if series.dtype == _MICROS else "", footer.PLAIN
        array = series.to_arrow()
        kind = np.dtype(np.int32 if physical == footer.INT32 else np.int64)
        numbers = np.frombuffer(array.buffers()[1], kind, values, array.offset * kind.itemsize)
        levels = _levels(array if nulls else None, values)
        if nulls:
            numbers = numbers[_valid(array).view(np.bool_)]
        found, dictionary, body, least, most = _numbers(numbers)
        there = len(numbers)
    parts: Parts = []
    if dictionary:
        parts = [footer.page(sum(map(_size, dictionary)), found, footer.PLAIN, dictionary=True), *dictionary]
        encoding = footer.DICTIONARY
    before, body = sum(map(_size, parts)), [*levels, *body]
    parts += [footer.page(sum(map(_size, body)), values, encoding), *body]
    size = sum(map(_size, parts))
    made = Column(series.name, physical, logical, values, values - there, encoding, at, at + before, size, least, most)
    return made, parts


def _size(part: bytes | _Some) -> int:
    return len(part) if isinstance(part, bytes) else part.nbytes


def _levels(array: pa.Array | None, n: int) -> Parts:
    """Definition levels: one run where there are no nulls (None), else the bits of what is there."""
    if array is None:
        run = footer.varint(n << 1) + b"\1"
        return [struct.pack("<I", len(run)) + run]
    bits = np.packbits(_valid(array), bitorder="little")
    head = footer.varint(len(bits) << 1 | 1)
    return [struct.pack("<I", len(head) + len(bits)) + head, bits]


def _valid(array: pa.Array) -> npt.NDArray[np.uint8]:
    """1 where a column that has nulls has none."""
    bits = np.frombuffer(array.buffers()[0], np.uint8)
    return np.unpackbits(bits, count=array.offset + len(array), bitorder="little")[array.offset :]


def _listed(series: pl.Series) -> tuple[Parts, int, pl.Series]:
    """Levels of lists, their number, and the texts there are.

    A list that is null stands at level 0, one of nothing at 1, a null in it at 2, a text at 3; what goes on with a
    list repeats at level 1.
    """
    many = series.list.len().fill_null(0).to_numpy().astype(np.int64)
    slots = np.maximum(many, 1)
    inner = series.drop_nulls().filter(series.drop_nulls().list.len() > 0).explode()
    inside = np.repeat(many > 0, slots)
    defined = np.repeat(np.where(series.is_null().to_numpy(), 0, 1), slots).astype(np.uint8)
    defined[inside] = np.where(inner.is_null().to_numpy(), 2, 3)
    repeated = np.ones(len(defined), np.uint8)
    repeated[np.cumsum(slots) - slots] = 0
    return [*_level(repeated, 1), *_level(defined, 2)], len(defined), inner.drop_nulls()


def _level(values: npt.NDArray[np.uint8], width: int) -> Parts:
    """Levels of one or two bits, as one run where they are all the same."""
    if (values == values[0]).all():
        run = footer.varint(len(values) << 1) + bytes([int(values[0])])
        return [struct.pack("<I", len(run)) + run]
    groups = -(-len(values) // 8)
    padded = np.zeros(groups * 8, np.uint8)
    padded[: len(values)] = values
    bits = np.packbits((padded[:, None] >> np.arange(width, dtype=np.uint8)) & 1, bitorder="little")
    head = footer.varint(groups << 1 | 1)
    return [struct.pack("<I", len(head) + len(bits)) + head, bits]


# ---------------------------------------------------------------- numbers


def _numbers(values: _Some) -> tuple[int, Parts, Parts, bytes | None, bytes | None]:
    """Size of the dictionary, it, the values, and the least and the largest of them."""
    if not len(values):
        return 0, [], [], None, None
    low, high = int(values.min()), int(values.max())
    least, most = values.dtype.type(low).tobytes(), values.dtype.type(high).tobytes()
    if low == high:
        return 1, [least], [_run(len(values))], least, most
    if high - low < SPAN and len(values) >= _LEAST and len(np.unique(values[:_SAMPLE])) <= _SAMPLE // 4:
        offsets = values - low
        seen = np.zeros(high - low + 1, np.uint8)
        seen[offsets] = 1
        known = np.flatnonzero(seen)
        rank = np.zeros(high - low + 1, np.uint8 if len(known) <= 256 else np.uint16)
        rank[known] = np.arange(len(known))
        return len(known), [(known + low).astype(values.dtype)], _packed(rank[offsets]), least, most
    return 0, [], [np.ascontiguousarray(values)], least, most


def _run(count: int) -> bytes:
    """Indices that are all 0: their width in bits, and one run of the hybrid of runs and packed bits."""
    return b"\1" + footer.varint(count << 1) + b"\0"


def _packed(indices: _Some) -> Parts:
    """Indices of 8 or 16 bits as they are: one packed run, whose groups are of eight."""
    groups, rest = divmod(len(indices), 8)
    more = [np.zeros(8 - rest, indices.dtype)] if rest else []
    return [bytes([indices.itemsize * 8]) + footer.varint((groups + bool(rest)) << 1 | 1), indices, *more]


# ---------------------------------------------------------------- texts


def _texts(series: pl.Series) -> tuple[int, Parts, Parts]:
    """Size of the dictionary, it, and the values."""
    if not len(series):
        return 0, [], []
    views = series.to_arrow(compat_level=_NEWEST)
    kinds = _kinds(views) if pa.types.is_string_view(views.type) else None
    if kinds is None:
        return 0, [], list(_lengths(series))
    firsts, indices = kinds
    words = [(text or "").encode() for text in series[firsts].to_list()]
    dictionary: Parts = [b"".join(struct.pack("<I", len(word)) + word for word in words)]
    return len(words), dictionary, [_run(len(series))] if indices is None else _packed(indices)


def _kinds(views: pa.Array) -> tuple[list[int], npt.NDArray[np.uint8] | None] | None:
    """Where each of a few different texts stands first, and which of them each is; None = there are many."""
    buffer = views.buffers()[1]
    both = np.frombuffer(buffer, np.uint64, 2 * len(views), views.offset * 16)
    one, two = both[::2], both[1::2]
    if len(np.unique(one[:256] ^ two[:256] * np.uint64(0x9E3779B97F4A7C15))) > FEW_TEXTS:
        return None
    other = (one != one[0]) | (two != two[0])
    firsts = [0]
    if not other.any():
        return firsts, None
    indices = np.zeros(len(one), np.uint8)
    left = np.flatnonzero(other)
    while len(left):
        if len(firsts) == FEW_TEXTS:
            return None
        first = int(left[0])
        indices[left] = len(firsts)
        firsts.append(first)
        left = left[(one[left] != one[first]) | (two[left] != two[first])]
    return firsts, indices


def _lengths(series: pl.Series) -> Iterator[bytes | _Some]:
    """Texts as the deltas of their lengths and their characters (DELTA_LENGTH_BYTE_ARRAY)."""
    array = series.to_arrow(compat_level=pl.CompatLevel.oldest())
    _, places, characters = array.buffers()
    offsets = np.frombuffer(places, np.int64, len(array) + 1, array.offset * 8)
    yield from _deltas(np.diff(offsets))
    if characters is not None:
        yield np.frombuffer(characters, np.uint8)[int(offsets[0]) : int(offsets[-1])]


def _deltas(lengths: npt.NDArray[np.int64]) -> Iterator[bytes | _Some]:
    """Numbers as DELTA_BINARY_PACKED: the first, then blocks of differences above their least, of 8, 16 or 32 bits."""
    n = len(lengths)
    yield footer.varint(_BLOCK) + footer.varint(4) + footer.varint(n) + footer.zigzag(int(lengths[0]))
    deltas = np.diff(lengths)
    if not len(deltas):
        return
    low = int(deltas.min())
    span = int(deltas.max()) - low
    width = next(one for one in (1, 2, 4) if span < 1 << 8 * one)
    head = footer.zigzag(low) + bytes([8 * width] * 4)
    blocks = -(-len(deltas) // _BLOCK)
    padded = np.zeros(blocks * _BLOCK, f"<u{width}")
    padded[: len(deltas)] = deltas - low
    out = np.empty((blocks, len(head) + _BLOCK * width), np.uint8)
    out[:, : len(head)] = np.frombuffer(head, np.uint8)
    out[:, len(head) :] = padded.view(np.uint8).reshape(blocks, -1)
    # Parts of the last block that hold nothing are left out.
    rest = len(deltas) - (blocks - 1) * _BLOCK
    empty = (_BLOCK - rest) // (_BLOCK // 4) * (_BLOCK // 4) * width
    yield out.reshape(-1)[: out.size - empty]
