"""Delimited lines to a table: Zeek's TSV with its ``#`` header, CSV with a header line, or Zeek's JSON lines."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import polars as pl

from cityguard.decoders import json
from cityguard.decoders.base import Decoder, Options
from cityguard.decoders.json import placed
from cityguard.decoders.text import Text, dead, text
from cityguard.model import Decoded, EventBatch, Frames

MAX_FIELDS = 1000
_BRACE, _HASH = 123, 35
_KINDS: dict[str, pl.DataType] = {
    "count": pl.Int64(),
    "int": pl.Int64(),
    "port": pl.Int64(),
    "double": pl.Float64(),
    "interval": pl.Float64(),
    "time": pl.Float64(),
}


def decoder(options: Options) -> Decoder:
    """Options: ``format``, zeek (the default: TSV or JSON, told by the line) or csv; ``wanted`` as for json."""
    inner = json.decoder(options)
    return _Csv() if options.get("format") == "csv" else _Zeek(inner)


class _Zeek:
    """Keeps the header from piece to piece; a file may hold several."""

    def __init__(self, lines: Decoder) -> None:
        self._json = lines
        self._separator = "\t"
        self._set = ","
        self._empty = "(empty)"
        self._unset = "-"
        self._fields: list[str] = []
        self._types: list[str] = []
        self._path = ""

    def decode(self, frames: Frames) -> Decoded:
        if not len(frames):
            return Decoded()
        first = np.zeros(len(frames), np.uint8)
        filled = frames.length > 0
        first[filled] = frames.buffer[frames.offset[filled]]
        objects = np.flatnonzero(first == _BRACE)
        if len(objects) == len(frames):
            return self._json.decode(frames)
        read = text(frames)
        comments = np.flatnonzero(first == _HASH)
        parts: list[Decoded] = [Decoded(ignored=len(comments))]
        if len(objects):
            parts.append(self._json.decode(_select(frames, objects)))
        begin = 0
        # Between two headers the fields are the same; a file has one header, rarely a handful.
        for stop in [*comments.tolist(), len(frames)]:
            if stop > begin:
                rows = np.setdiff1d(np.arange(begin, stop, dtype=np.int64), objects)
                parts.append(self._rows(frames, rows, read))
            if stop < len(frames):
                self._comment(str(read.values[stop]))
            begin = stop + 1
        return merge(parts)

    def flush(self) -> Decoded:
        return Decoded()

    def _comment(self, line: str) -> None:
        key, _, rest = line[1:].partition(" " if line.startswith("#separator") else self._separator)
        if key == "separator":
            self._separator = _unescape(rest.strip())[:1] or "\t"
        elif key == "set_separator":
            self._set = rest[:1] or ","
        elif key == "empty_field":
            self._empty = rest
        elif key == "unset_field":
            self._unset = rest
        elif key == "path":
            self._path = rest
        elif key == "fields":
            self._fields, self._types = rest.split(self._separator)[:MAX_FIELDS], []
        elif key == "types":
            self._types = rest.split(self._separator)[:MAX_FIELDS]

    def _rows(self, frames: Frames, rows: npt.NDArray[np.int64], read: Text) -> Decoded:
        if not len(rows):
            return Decoded()
        if not self._fields:
            return Decoded((), dead(frames, rows, "no #fields header before it"), len(rows))
        lines = read.values.gather(pl.Series(rows))
        fits = (lines.str.count_matches(self._separator, literal=True) == len(self._fields) - 1).to_numpy()
        good, bad = rows[fits], rows[~fits]
        letters = dead(frames, bad, f"not the {len(self._fields)} fields of the header")
        if not len(good):
            return Decoded((), letters, len(bad))
        names = _unique(self._fields)
        cells = lines.filter(pl.Series(fits)).str.split_exact(self._separator, len(names) - 1).struct.unnest()
        cells.columns = names
        types = dict(zip(names, self._types, strict=False))
        table = cells.with_columns(self._typed(cells[name], types.get(name, "string")) for name in names)
        if self._path:
            table = table.with_columns(pl.lit(self._path).alias("_path"))
        return Decoded((EventBatch("", "", placed(table, frames, good, read)),), letters, len(bad))

    def _typed(self, cell: pl.Series, kind: str) -> pl.Series:
        value = cell.replace({self._unset: None})
        if kind == "bool":
            return (value == "T").alias(cell.name)
        if kind in _KINDS:
            return value.cast(_KINDS[kind], strict=False)
        if value.str.contains("\\x", literal=True).any():
            value = pl.Series(cell.name, [None if one is None else _unescape(one) for one in value], pl.String)
        if kind.startswith(("set[", "vector[")):
            empty = value == self._empty
            lists = value.str.split(self._set)
            return (
                pl.select(pl.when(empty).then(pl.lit([], pl.List(pl.String))).otherwise(lists))
                .to_series()
                .alias(cell.name)
            )
        return value.replace({self._empty: ""})


class _Csv:
    """RFC 4180 on single lines; the first line names the columns."""

    def __init__(self) -> None:
        self._fields: list[str] = []

    def decode(self, frames: Frames) -> Decoded:
        if not len(frames):
            return Decoded()
        read = text(frames)
        cells = list(csv.reader(line.replace("\n", " ") for line in read.values.to_list()))
        skip = 0
        if not self._fields:
            self._fields, skip = _unique([name.strip() for name in cells[0]][:MAX_FIELDS]), 1
        width = len(self._fields)
        fits = np.fromiter((len(row) == width for row in cells), np.bool_, len(cells))
        fits[:skip] = False
        good = np.flatnonzero(fits)
        bad = np.setdiff1d(np.arange(skip, len(frames), dtype=np.int64), good)
        letters = dead(frames, bad, f"not the {width} fields of the header")
        if not len(good):
            return Decoded((), letters, len(bad), ignored=skip)
        columns = zip(*(cells[index] for index in good), strict=True)
        table = pl.DataFrame(
            {
                name: pl.Series(name, values, pl.String).replace({"": None})
                for name, values in zip(self._fields, columns, strict=True)
            }
        )
        batch = EventBatch("", "", placed(table, frames, good, read))
        return Decoded((batch,), letters, len(bad), ignored=skip)

    def flush(self) -> Decoded:
        return Decoded()


def merge(parts: Sequence[Decoded]) -> Decoded:
    """Several results as one."""
    return Decoded(
        tuple(batch for part in parts for batch in part.batches),
        tuple(letter for part in parts for letter in part.dead),
        sum(part.rejected for part in parts),
        ignored=sum(part.ignored for part in parts),
        notes=tuple(note for part in parts for note in part.notes),
    )


def _select(frames: Frames, rows: npt.NDArray[np.int64]) -> Frames:
    return replace(
        frames,
        offset=frames.offset[rows],
        length=frames.length[rows],
        number=frames.number[rows],
        time=frames.time[rows],
        wire=frames.wire[rows],
        link=frames.link[rows],
    )


def _unique(names: list[str]) -> list[str]:
    """Column names must differ; a repeated or empty one gets its place."""
    out: list[str] = []
    for index, name in enumerate(names):
        out.append(name if name and name not in out else f"{name or 'column'}_{index}")
    return out


def _unescape(value: str) -> str:
    """Zeek writes bytes it cannot print as ``\\xNN``; what makes UTF-8 again is read as such."""
    pieces = value.split("\\x")
    out = pieces[0].encode()
    for piece in pieces[1:]:
        try:
            out += bytes([int(piece[:2], 16)]) + piece[2:].encode()
        except ValueError:
            out += b"\\x" + piece.encode()
    return out.decode("utf-8", "replace")
