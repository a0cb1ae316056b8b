"""Zeek logs to a table: TSV under its ``#`` header, or JSON lines, told by each line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import numpy.typing as npt
import polars as pl

from cityguard.decoders import json
from cityguard.decoders.base import Decoder, Options
from cityguard.decoders.csv import unique
from cityguard.decoders.text import MAX_DEAD, Text, dead, placed, text
from cityguard.model import Decoded, EventBatch, Frames

MAX_FIELDS = 1000
MAX_HEADERS = 64
"""Different headers within one piece; rows under further ones are rejected."""
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
    """Option: ``wanted`` as for json, of Zeek's JSON lines."""
    return _Zeek(json.decoder(options))


@dataclass(frozen=True, slots=True)
class Header:
    """What the ``#`` lines so far say about the rows that follow."""

    separator: str = "\t"
    set: str = ","
    empty: str = "(empty)"
    unset: str = "-"
    fields: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    path: str = ""

    def after(self, line: str) -> Header:
        """The header once this ``#`` line is read."""
        key, _, rest = line[1:].partition(" " if line.startswith("#separator") else self.separator)
        if key == "separator":
            return replace(self, separator=_unescape(rest.strip())[:1] or "\t")
        if key == "set_separator":
            return replace(self, set=rest[:1] or ",")
        if key == "empty_field":
            return replace(self, empty=rest)
        if key == "unset_field":
            return replace(self, unset=rest)
        if key == "path":
            return replace(self, path=rest)
        if key == "fields":
            return replace(self, fields=tuple(rest.split(self.separator)[:MAX_FIELDS]), types=())
        if key == "types":
            return replace(self, types=tuple(rest.split(self.separator)[:MAX_FIELDS]))
        return self


class _Zeek:
    """Keeps the header from piece to piece; a file may hold several."""

    per_sender = True

    def __init__(self, lines: Decoder) -> None:
        self._json = lines
        self._header = Header()

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
            parts.append(self._json.decode(frames.take(objects)))
        runs: dict[Header, list[npt.NDArray[np.int64]]] = {}
        spare: list[npt.NDArray[np.int64]] = []
        begin, plain, lines = 0, first != _BRACE, read.values.gather(pl.Series(comments)).to_list()
        for stop, line in zip([*comments.tolist(), len(frames)], [*lines, None], strict=True):
            rows = begin + np.flatnonzero(plain[begin:stop])
            if len(rows):
                known = self._header in runs or len(runs) < MAX_HEADERS
                (runs.setdefault(self._header, []) if known else spare).append(rows)
            if line is not None:
                self._header = self._header.after(line)
            begin = stop + 1
        # A file has one header, rarely a handful, however often it repeats them.
        parts += [_rows(header, frames, np.concatenate(where), read) for header, where in runs.items()]
        if spare:
            over = np.concatenate(spare)
            reason = f"more than {MAX_HEADERS} different headers in one piece"
            parts.append(Decoded((), dead(frames, over, reason), len(over)))
        return merge(parts)

    def flush(self) -> Decoded:
        return Decoded()


def _rows(header: Header, frames: Frames, rows: npt.NDArray[np.int64], read: Text) -> Decoded:
    if not header.fields:
        return Decoded((), dead(frames, rows, "no #fields header before it"), len(rows))
    lines = read.values.gather(pl.Series(rows))
    fits = (lines.str.count_matches(header.separator, literal=True) == len(header.fields) - 1).to_numpy()
    good, bad = rows[fits], rows[~fits]
    letters = dead(frames, bad, f"not the {len(header.fields)} fields of the header")
    if not len(good):
        return Decoded((), letters, len(bad))
    names = unique(list(header.fields))
    cells = lines.filter(pl.Series(fits)).str.split_exact(header.separator, len(names) - 1).struct.unnest()
    cells.columns = names
    types = dict(zip(names, header.types, strict=False))
    table = cells.with_columns(_typed(header, cells[name], types.get(name, "string")) for name in names)
    if header.path:
        table = table.with_columns(pl.lit(header.path).alias("_path"))
    return Decoded((EventBatch("", "", placed(table, frames, good, read)),), letters, len(bad))


def _typed(header: Header, cell: pl.Series, kind: str) -> pl.Series:
    value = cell.replace({header.unset: None})
    if kind == "bool":
        return (value == "T").alias(cell.name)
    if kind in _KINDS:
        return value.cast(_KINDS[kind], strict=False)
    if value.str.contains("\\x", literal=True).any():
        value = pl.Series(cell.name, [None if one is None else _unescape(one) for one in value], pl.String)
    if kind.startswith(("set[", "vector[")):
        empty = value == header.empty
        lists = value.str.split(header.set)
        return (
            pl.select(pl.when(empty).then(pl.lit([], pl.List(pl.String))).otherwise(lists)).to_series().alias(cell.name)
        )
    return value.replace({header.empty: ""})


def merge(parts: Sequence[Decoded]) -> Decoded:
    """Several results as one; of the dead letters, samples."""
    return Decoded(
        tuple(batch for part in parts for batch in part.batches),
        tuple(islice((letter for part in parts for letter in part.dead), MAX_DEAD)),
        sum(part.rejected for part in parts),
        ignored=sum(part.ignored for part in parts),
        notes=tuple(note for part in parts for note in part.notes),
    )


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
