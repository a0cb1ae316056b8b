"""W3C extended log files (IIS, Exchange, proxies): ``#Fields:`` names the columns of the lines that follow.

As in the W3C working draft "Extended Log File Format": directives begin with ``#``, ``-`` is no value, times are UTC.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from cityguard.decoders.base import Decoder, Options
from cityguard.decoders.csv import MAX_FIELDS, columns, unique
from cityguard.decoders.table import merge
from cityguard.decoders.text import Text, dead, placed, text
from cityguard.model import Decoded, EventBatch, Frames

MAX_HEADERS: Final = 64
_HASH: Final = 35


def decoder(options: Options) -> Decoder:
    """Option: ``names``, columns of lines before any directive. ``date`` and ``time`` also make ``stamp``."""
    return _W3c(tuple(str(one) for one in options.get("names", ())))


class _W3c:
    """Keeps the names from piece to piece; a server writes its directives anew at each start."""

    per_sender = True

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = names
        self._separator = " "

    def decode(self, frames: Frames) -> Decoded:
        if not len(frames):
            return Decoded()
        first = np.zeros(len(frames), np.uint8)
        filled = frames.length > 0
        first[filled] = frames.buffer[frames.offset[filled]]
        read = text(frames)
        comments = np.flatnonzero(first == _HASH)
        runs: dict[tuple[tuple[str, ...], str], list[npt.NDArray[np.int64]]] = {}
        spare: list[npt.NDArray[np.int64]] = []
        begin, told = 0, read.values.gather(pl.Series(comments)).to_list()
        for stop, line in zip([*comments.tolist(), len(frames)], [*told, None], strict=True):
            if stop > begin:
                key = (self._names, self._separator)
                known = key in runs or len(runs) < MAX_HEADERS
                (runs.setdefault(key, []) if known else spare).append(np.arange(begin, stop, dtype=np.int64))
            if line is not None:
                self._directive(line)
            begin = stop + 1
        parts = [Decoded(ignored=len(comments))]
        parts += [_rows(*key, frames, np.concatenate(where), read) for key, where in runs.items()]
        if spare:
            over = np.concatenate(spare)
            why = f"more than {MAX_HEADERS} different #Fields lines in one piece"
            parts.append(Decoded((), dead(frames, over, why), len(over)))
        return merge(parts)

    def flush(self) -> Decoded:
        return Decoded()

    def _directive(self, line: str) -> None:
        if line[:8].lower() != "#fields:":
            return
        rest = line[8:].strip()
        self._separator = "\t" if "\t" in rest else "," if "," in rest and " " not in rest else " "
        names = rest.split() if self._separator == " " else [one.strip() for one in rest.split(self._separator)]
        self._names = tuple(unique(names[:MAX_FIELDS]))


def _rows(names: tuple[str, ...], separator: str, frames: Frames, rows: npt.NDArray[np.int64], read: Text) -> Decoded:
    if not names:
        return Decoded((), dead(frames, rows, "no #Fields line before it"), len(rows))
    lines = read.values.gather(pl.Series(rows)).str.replace_all("\n", " ", literal=True).str.strip_chars_end(" \r")
    table, fits = columns(lines, separator, '"', len(names))
    good, bad = rows[fits], rows[~fits]
    letters = dead(frames, bad, f"not the {len(names)} fields of the #Fields line")
    if not len(good):
        return Decoded((), letters, len(bad))
    table.columns = list(names)
    table = table.filter(pl.Series(fits)).with_columns(pl.col(pl.String).replace({"-": None, "": None}))
    if {"date", "time"} <= set(names) and "stamp" not in names:
        table = table.with_columns(pl.concat_str("date", "time", separator=" ").alias("stamp"))
    return Decoded((EventBatch("", "", placed(table, frames, good, read)),), letters, len(bad))
