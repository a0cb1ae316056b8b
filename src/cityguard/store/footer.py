"""What stands in a Parquet file besides the values: page headers and the footer (Thrift's compact protocol)."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

MAGIC = b"PAR1"
INT32, INT64, BYTE_ARRAY = 1, 2, 6
"""Physical types (parquet.thrift, Type)."""
PLAIN, RLE, DELTA_LENGTH, DICTIONARY = 0, 3, 6, 8
"""Encodings (parquet.thrift, Encoding); RLE is that of the levels."""
TEXT, MOMENT, TEXTS = "text", "moment", "texts"
"""What a column means beyond its physical type; TEXTS is a list of them."""
_I32, _I64, _BINARY, _LIST, _STRUCT, _TRUE = 5, 6, 8, 9, 12, 1
_OPTIONAL, _REPEATED, _UTF8, _LISTED, _MICROS = 1, 2, 0, 3, 10
_DATA_PAGE, _DICTIONARY_PAGE = 0, 2
_EMPTY_LIST: tuple[int, int, object] = (3, _STRUCT, [])  # LogicalType LIST


@dataclass(frozen=True, slots=True)
class Column:
    """One column of one row group, as it stands in the file."""

    name: str
    physical: int
    logical: str  # TEXT, MOMENT, TEXTS or nothing
    values: int  # with the nulls among them
    nulls: int
    encoding: int
    at: int  # where its first page begins
    data: int  # where its data page does
    size: int  # bytes of its pages with their headers
    least: bytes | None  # smallest and largest value, plain
    most: bytes | None


def varint(value: int) -> bytes:
    """A number of 0 or more, seven bits at a time (ULEB128)."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def zigzag(value: int) -> bytes:
    return varint(value << 1 if value >= 0 else (-value << 1) - 1)


def page(size: int, values: int, encoding: int, *, dictionary: bool = False) -> bytes:
    """Header of a page of ``size`` bytes, not compressed."""
    kind = _DICTIONARY_PAGE if dictionary else _DATA_PAGE
    more = [(1, _I32, values), (2, _I32, encoding)]
    if not dictionary:
        more += [(3, _I32, RLE), (4, _I32, RLE)]
    return _struct([(1, _I32, kind), (2, _I32, size), (3, _I32, size), (7 if dictionary else 5, _STRUCT, more)])


def footer(groups: Sequence[tuple[int, Sequence[Column]]], created_by: str) -> bytes:
    """The end of a file: metadata of its row groups (rows, columns), its length and the magic."""
    schema: list[object] = [[(4, _BINARY, b"schema"), (5, _I32, len(groups[0][1]))]]
    schema += [element for one in groups[0][1] for element in _elements(one)]
    rows = [
        [
            (1, _LIST, (_STRUCT, [_chunk(one) for one in some])),
            (2, _I64, sum(one.size for one in some)),
            (3, _I64, count),
        ]
        for count, some in groups
    ]
    order: list[object] = [[(1, _STRUCT, [])]] * len(
        groups[0][1]
    )  # the order of the type, by which least and most were taken
    raw = _struct(
        [
            (1, _I32, 2),
            (2, _LIST, (_STRUCT, schema)),
            (3, _I64, sum(count for count, _ in groups)),
            (4, _LIST, (_STRUCT, rows)),
            (6, _BINARY, created_by.encode()),
            (7, _LIST, (_STRUCT, order)),
        ]
    )
    return raw + struct.pack("<I", len(raw)) + MAGIC


def _elements(one: Column) -> Iterator[list[tuple[int, int, object]]]:
    name = one.name.encode()
    if one.logical == TEXTS:  # three levels: the list, its repetition, the text
        yield [(3, _I32, _OPTIONAL), (4, _BINARY, name), (5, _I32, 1), (6, _I32, _LISTED), (10, _STRUCT, [_EMPTY_LIST])]
        yield [(3, _I32, _REPEATED), (4, _BINARY, b"list"), (5, _I32, 1)]
        name = b"element"
    out: list[tuple[int, int, object]] = [(1, _I32, one.physical), (3, _I32, _OPTIONAL), (4, _BINARY, name)]
    if one.logical in (TEXT, TEXTS):
        out += [(6, _I32, _UTF8), (10, _STRUCT, [(1, _STRUCT, [])])]
    if one.logical == MOMENT:
        micros: list[object] = [(1, _TRUE, None), (2, _STRUCT, [(2, _STRUCT, [])])]
        out += [(6, _I32, _MICROS), (10, _STRUCT, [(8, _STRUCT, micros)])]
    yield out


def _chunk(one: Column) -> list[tuple[int, int, object]]:
    told: list[tuple[int, int, object]] = [(3, _I64, one.nulls)]
    if one.least is not None and one.most is not None:
        told += [(5, _BINARY, one.most), (6, _BINARY, one.least)]
    encodings = [one.encoding, RLE] if one.encoding != DICTIONARY else [PLAIN, RLE, DICTIONARY]
    path = [one.name.encode(), *([b"list", b"element"] if one.logical == TEXTS else [])]
    meta: list[tuple[int, int, object]] = [
        (1, _I32, one.physical),
        (2, _LIST, (_I32, encodings)),
        (3, _LIST, (_BINARY, path)),
        (4, _I32, 0),  # not compressed
        (5, _I64, one.values),
        (6, _I64, one.size),
        (7, _I64, one.size),
        (9, _I64, one.data),
    ]
    if one.data != one.at:
        meta.append((11, _I64, one.at))
    return [(2, _I64, one.at), (3, _STRUCT, [*meta, (12, _STRUCT, told)])]


def _struct(fields: Iterable[tuple[int, int, object]]) -> bytes:
    out, last = bytearray(), 0
    for number, kind, value in fields:
        out.append((number - last) << 4 | kind)  # no step between fields is beyond 15
        last = number
        if kind != _TRUE:
            out += _value(kind, value)
    return bytes(out) + b"\0"


def _value(kind: int, value: object) -> bytes:
    if isinstance(value, int):
        return zigzag(value)
    if isinstance(value, bytes):
        return varint(len(value)) + value
    if kind == _LIST and isinstance(value, tuple):
        of, items = value
        head = bytes([len(items) << 4 | of]) if len(items) < 15 else bytes([0xF0 | of]) + varint(len(items))
        return head + b"".join(_value(of, one) for one in items)
    return _struct(value)  # type: ignore[arg-type]
