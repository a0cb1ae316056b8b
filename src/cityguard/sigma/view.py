"""A batch as rules see it: per field its distinct values, and the rows where each stands."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import polars as pl
import pyarrow as pa

from cityguard.sigma import decimals, fields
from cityguard.sigma.wildcard import fold_series

Mask = npt.NDArray[np.bool_]
MAX_JSON = 1 << 20  # characters of one event.fields that are looked into

_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_DISTINCT = (pl.String, pl.Boolean, pl.Datetime, pl.Date)


class Values:
    """Values of one field: ``distinct`` (no nulls) and, per present value, its row and its place in ``distinct``."""

    def __init__(self, height: int, rows: npt.NDArray[np.int64], codes: npt.NDArray[np.int64], distinct: pl.Series):
        self.height = height
        self.rows = rows
        self.codes = codes
        self.distinct = distinct

    @classmethod
    def of(cls, series: pl.Series) -> Values:
        """Take a column apart. Lists give one value per element; nulls are left out."""
        height = len(series)
        rows = np.arange(height, dtype=np.int64)
        while isinstance(series.dtype, pl.List | pl.Array):
            lengths = series.list.len() if isinstance(series.dtype, pl.List) else series.arr.len()
            counts = np.asarray(lengths.fill_null(0), dtype=np.int64)
            keep = counts > 0
            rows = np.repeat(rows[keep], counts[keep])
            series = series.filter(pl.Series(keep)).explode()
        series = _plain(series)
        present = np.asarray(series.is_not_null(), dtype=np.bool_)
        encoded = series.drop_nulls().to_arrow().dictionary_encode()
        if isinstance(encoded, pa.ChunkedArray):
            encoded = encoded.combine_chunks()
        codes = np.asarray(encoded.indices, dtype=np.int64)
        distinct = pl.Series(pl.from_arrow(encoded.dictionary))
        return cls(height, rows[present], codes, distinct)

    @classmethod
    def from_rows(cls, height: int, rows: list[int], values: list[str]) -> Values:
        """Values found one by one, as text."""
        distinct = dict.fromkeys(values)
        place = {value: index for index, value in enumerate(distinct)}
        codes = np.fromiter((place[value] for value in values), dtype=np.int64, count=len(values))
        return cls(height, np.asarray(rows, dtype=np.int64), codes, pl.Series(list(distinct), dtype=pl.String))

    def spread(self, hit: pl.Series | Mask) -> Mask:
        """From a verdict per distinct value to one per row: true where any value of the row is hit."""
        verdict = np.asarray(hit, dtype=np.bool_)
        mask = np.zeros(self.height, dtype=np.bool_)
        mask[self.rows[verdict[self.codes]]] = True
        return mask

    @cached_property
    def text(self) -> pl.Series:
        """Distinct values as text: 3.0 is ``3``, 1e-05 is ``0.00001``, true is ``true``, times are ISO 8601."""
        values = self.distinct
        if values.dtype == pl.String:
            return values
        if values.dtype.is_float():
            return _floats(values)
        if isinstance(values.dtype, pl.Datetime):
            return values.dt.to_string("iso:strict")
        return values.cast(pl.String)

    @cached_property
    def folded(self) -> pl.Series:
        """The same in lower case."""
        return fold_series(self.text)

    @cached_property
    def numbers(self) -> pl.Series:
        """Distinct values as Float64; null where one is no decimal number."""
        if self.distinct.dtype.is_numeric():
            return self.distinct.cast(pl.Float64)
        text = self.text
        decimal = text.str.contains(_NUMBER)
        return text.set(~decimal, None).cast(pl.Float64, strict=False)

    @cached_property
    def addresses(self) -> Addresses:
        """Distinct values as IP addresses."""
        return Addresses.of(self.text)


@dataclass(frozen=True, slots=True)
class Addresses:
    """IP addresses as two words each: uint64[n] high and low, and whether it is IPv4 or one at all."""

    high: npt.NDArray[np.uint64]
    low: npt.NDArray[np.uint64]
    four: Mask
    six: Mask

    @classmethod
    def of(cls, texts: pl.Series) -> Addresses:
        """Parse; what is no address is neither. IPv4-mapped IPv6 counts as IPv4."""
        raw = bytearray()
        family = np.zeros(len(texts), dtype=np.int8)
        for index, text in enumerate(texts):
            packed = _packed(text)
            family[index] = 0 if packed is None else 4 if packed[:12] == _MAPPED else 6
            raw += packed or bytes(16)
        words = np.frombuffer(bytes(raw), dtype=">u8").reshape(-1, 2).astype(np.uint64)
        return cls(words[:, 0], words[:, 1], family == 4, family == 6)

    def inside(self, network: str) -> Mask:
        """True for addresses inside the network (canonical text); the two families never cross."""
        address, _, length = network.partition("/")
        packed = _packed(address) or bytes(16)
        four = ":" not in address
        bits = int(length) + (96 if four else 0)
        mask = ((1 << bits) - 1) << (128 - bits)
        wanted = int.from_bytes(packed, "big") & mask
        top, bottom = np.uint64(mask >> 64), np.uint64(mask & (1 << 64) - 1)
        same: Mask = ((self.high & top) == np.uint64(wanted >> 64)) & (
            (self.low & bottom) == np.uint64(wanted & (1 << 64) - 1)
        )
        return same & (self.four if four else self.six)


_MAPPED = bytes(10) + b"\xff\xff"


def _packed(text: str) -> bytes | None:
    try:
        if ":" in text:
            return socket.inet_pton(socket.AF_INET6, text.partition("%")[0])
        return _MAPPED + socket.inet_pton(socket.AF_INET, text)
    except (OSError, ValueError):  # ValueError: a NUL inside
        return None


def _floats(values: pl.Series) -> pl.Series:
    """``decimals.number_text`` over a column; polars writes most as that does, the others are few."""
    whole = (values == values.round(0)) & (values.abs() < 1e15)
    texts = values.cast(pl.Int64, strict=False).cast(pl.String).zip_with(whole, values.cast(pl.String))
    odd = texts.str.contains(r"e|\.0$")
    if not odd.any():
        return texts
    return texts.scatter(odd.arg_true(), [decimals.spelled_out(text) for text in texts.filter(odd)])


def _plain(series: pl.Series) -> pl.Series:
    """A column of a type that rules can look at; what is stranger becomes text."""
    kind = series.dtype
    if kind in _DISTINCT or kind.is_integer() or kind.is_float():
        # Arrow has no 128-bit integers
        return series.cast(pl.String) if kind in (pl.Int128, pl.UInt128) else series
    if isinstance(kind, pl.Struct):
        present = series.is_not_null()  # of a null polars makes the text ``null``
        return series.struct.json_encode().zip_with(present, pl.Series([None], dtype=pl.String))
    if kind == pl.Null:
        return pl.Series(series.name, [None] * len(series), dtype=pl.String)
    if kind == pl.Binary:
        return pl.Series(series.name, [None if v is None else v.decode("utf-8", "replace") for v in series])
    if kind == pl.Object:
        return pl.Series(series.name, [None if v is None else str(v) for v in series], dtype=pl.String)
    return series.cast(pl.String)


class View:
    """One table; values of a field are taken apart once, when first asked for."""

    def __init__(self, table: pl.DataFrame) -> None:
        self.table = table
        self.height = table.height
        self._values: dict[str, Values | None] = {}
        self._parsed: dict[int, Any] = {}

    def values(self, field: str) -> Values | None:
        """Values of a rule's field, or None when no row can have it.

        Looked for as a column of that name, the same without spaces, the column the field map names, and a key
        (dotted for nested maps) inside ``event.fields``; the first that is there.
        """
        if field not in self._values:
            self._values[field] = self._find(field)
        return self._values[field]

    def _find(self, field: str) -> Values | None:
        column = self._column(field)
        if column is not None:
            return Values.of(self.table[column])
        return self._from_json(field)

    def _column(self, field: str) -> str | None:
        if field in self.table.columns:
            return field
        if field in self._unspaced:
            return self._unspaced[field]
        mapped = fields.COLUMN.get(field)
        return mapped if mapped in self.table.columns else None

    @cached_property
    def _unspaced(self) -> dict[str, str]:
        return {name.replace(" ", ""): name for name in self.table.columns if " " in name}

    @cached_property
    def keyword_columns(self) -> list[str]:
        """Columns that hold what the source said."""
        return [name for name in self.table.columns if name not in fields.BOOKKEEPING]

    def _from_json(self, field: str) -> Values | None:
        if "event.fields" not in self.table.columns or self.table.schema["event.fields"] != pl.String:
            return None
        column = self.table["event.fields"]
        last = orjson.dumps(field.rpartition(".")[2]).decode()[1:]  # however much of the path the key holds
        likely = column.str.contains(last, literal=True) & (column.str.len_bytes() <= MAX_JSON)
        rows: list[int] = []
        values: list[str] = []
        for row in np.flatnonzero(np.asarray(likely.fill_null(False), dtype=np.bool_)).tolist():
            for value in _scalars(_lookup(self._json(row, column[row]), field)):
                rows.append(row)
                values.append(value)
        return Values.from_rows(self.height, rows, values) if rows else None

    def _json(self, row: int, text: str) -> Any:
        if row not in self._parsed:
            try:
                self._parsed[row] = orjson.loads(text)
            except orjson.JSONDecodeError:
                self._parsed[row] = None
        return self._parsed[row]


def _lookup(data: Any, field: str) -> Any:
    """A key as it is, or step by step at its dots."""
    if not isinstance(data, dict):
        return None
    if field in data:
        return data[field]
    head, dot, rest = field.partition(".")
    while dot:
        if isinstance(data.get(head), dict):
            return _lookup(data[head], rest)
        step, dot, rest = rest.partition(".")
        head = f"{head}.{step}"
    return None


def _scalars(value: Any) -> list[str]:
    if value is None:
        return []
    if isinstance(value, list):
        return [text for item in value for text in _scalars(item)]
    if isinstance(value, bool):
        return ["true" if value else "false"]
    if isinstance(value, float):
        return [decimals.number_text(value)]
    return [orjson.dumps(value).decode() if isinstance(value, dict) else str(value)]
