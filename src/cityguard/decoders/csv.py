"""Delimited values (RFC 4180 on single lines): names from the first line, from the collector, or by position."""

from __future__ import annotations

import csv
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from cityguard.decoders.base import Decoder, Options
from cityguard.decoders.envelope import beside, opened
from cityguard.decoders.text import dead, placed, text
from cityguard.errors import DecodeError
from cityguard.model import Decoded, EventBatch, Frames

MAX_FIELDS: Final = 1000
_SKIP: Final = ("", "_")
"""Names of columns that are not kept."""


def decoder(options: Options) -> Decoder:
    """Options, all optional.

    ``names``: absent, the first line names the columns and every line has as many; a list names them by position
    (missing ones at the end are null, further ones are ``c12`` …); an empty list calls them ``c1``, ``c2`` …
    ``separator`` (``,``) and ``quote`` (``"``): one character each, no quoting if ``quote`` is empty.
    ``blanks: true``: white space around cells goes. ``header``, ``starts``: as ``envelope.opened``.
    """
    return _Csv(options)


class _Csv:
    """Keeps the names of the first line from piece to piece."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._separator = str(options.get("separator", ","))[:1] or ","
        self._quote = str(options.get("quote", '"'))[:1]
        given = options.get("names")
        self._open = given is not None
        self.per_sender = not self._open
        self._names = unique([str(one) for one in given][:MAX_FIELDS]) if given is not None else []

    def decode(self, frames: Frames) -> Decoded:
        if not len(frames):
            return Decoded()
        read = text(frames)
        found = opened(read.values, self._options)
        lines, skip = found.body.str.replace_all("\n", " ", literal=True), 0
        if not self._open and not self._names and len(lines):
            first = cells([lines[0]], self._separator, self._quote)[0]
            if not first:
                raise DecodeError("the first line holds no column names", remedy="put a line of names before the rows")
            self._names, skip = unique([name.strip() for name in first][:MAX_FIELDS]), 1
        # A file made of several repeats its names.
        titles = self._titles(lines)
        count = len(titles)
        titles[:skip] = True
        width = None if self._open else len(self._names)
        table, fits = columns(lines, self._separator, self._quote, width)
        fits &= ~titles
        good = found.rows[fits]
        bad = np.setdiff1d(np.arange(len(frames), dtype=np.int64), found.rows[fits | titles])
        why = f"not the {len(self._names)} fields of the header" if width else "cannot be read as delimited values"
        letters, ignored = dead(frames, bad, why), int(titles.sum()) if count else 0
        if not len(good):
            return Decoded((), letters, len(bad), ignored=ignored)
        table = self._named(table.filter(pl.Series(fits)))
        header = found.header.filter(pl.Series(fits)) if found.header.width else found.header
        batch = EventBatch("", "", placed(beside(header, table), frames, good, read))
        return Decoded((batch,), letters, len(bad), ignored=ignored)

    def flush(self) -> Decoded:
        return Decoded()

    def _titles(self, lines: pl.Series) -> npt.NDArray[np.bool_]:
        if self._open or not self._names:
            return np.zeros(len(lines), np.bool_)
        plain = self._separator.join(self._names)
        return (lines == plain).to_numpy().copy()

    def _named(self, table: pl.DataFrame) -> pl.DataFrame:
        names = [self._names[n] if n < len(self._names) else f"c{n + 1}" for n in range(table.width)]
        out = pl.DataFrame(
            [column.alias(name) for column, name in zip(table.get_columns(), unique(names), strict=True)]
        )
        if self._options.get("blanks"):
            out = out.with_columns(pl.col(pl.String).str.strip_chars())
        return out.with_columns(pl.col(pl.String).replace("", None)).drop(_SKIP, strict=False)


def columns(
    lines: pl.Series, separator: str, quote: str, width: int | None
) -> tuple[pl.DataFrame, npt.NDArray[np.bool_]]:
    """Cells of lines, one column each.

    Args:
        lines: String, n rows, none with a newline.
        separator: one character.
        quote: one character, or empty.
        width: how many cells a line must have; None = as many as it has, at most ``MAX_FIELDS``.

    Returns:
        n rows of String columns, and which rows could be read (bool[n]); cells a line lacks are null.
    """
    count = len(lines)
    quoted = lines.str.contains(quote, literal=True).to_numpy() if quote else np.zeros(count, np.bool_)
    strange = lines.str.contains("\r", literal=True).to_numpy() if quote else np.zeros(count, np.bool_)
    quoted = quoted | strange
    plain = lines.filter(pl.Series(~quoted))
    marks = plain.str.count_matches(separator, literal=True)
    most = int(marks.max() or 0) + 1  # type: ignore[arg-type]
    rows = cells(lines.filter(pl.Series(quoted)).to_list(), separator, quote)
    wide = width or min(max([most, *map(len, rows)]), MAX_FIELDS)
    fits = np.ones(count, np.bool_)
    lengths = np.fromiter(map(len, rows), np.int64, len(rows))
    fits[quoted] = (lengths == wide) if width else (lengths > 0) & (lengths <= MAX_FIELDS)
    fits[~quoted] = (marks == wide - 1).to_numpy() if width else (marks < MAX_FIELDS).to_numpy()
    split = plain.alias("0").to_frame() if wide == 1 else plain.str.split_exact(separator, wide - 1).struct.unnest()
    split.columns = [str(n) for n in range(wide)]
    if not len(rows):
        return split, fits
    turned = [[row[n] if n < len(row) else None for row in rows] for n in range(wide)]
    held = pl.DataFrame([pl.Series(str(n), values, pl.String) for n, values in enumerate(turned)])
    order = np.empty(count, np.int64)
    order[~quoted] = np.arange(len(plain))
    order[quoted] = len(plain) + np.arange(len(rows))
    return pl.concat([split, held])[order], fits


def cells(lines: list[str], separator: str = ",", quote: str = '"') -> list[list[str]]:
    """The cells of each line on its own; none where it cannot be read: a bare CR, an open quote, a cell too long."""
    how: dict[str, Any] = {"delimiter": separator}
    how |= {"quotechar": quote} if quote else {"quoting": csv.QUOTE_NONE}
    try:
        found = list(csv.reader(lines, strict=True, **how))
        if len(found) == len(lines):
            return found
    except csv.Error:
        pass
    return [_line(line, quote, how) for line in lines]


def _line(line: str, quote: str, how: dict[str, Any]) -> list[str]:
    try:
        # An odd quote may be an open one, which only the strict reading tells.
        return next(csv.reader([line], strict=bool(quote) and line.count(quote) % 2 == 1, **how), [])
    except csv.Error:
        return []


def unique(names: list[str]) -> list[str]:
    """Column names must differ; a repeated or empty one gets its place."""
    out: list[str] = []
    taken: set[str] = set()
    for index, name in enumerate(names):
        one = name if name and name not in taken else f"{name or 'column'}_{index}"
        taken.add(one)
        out.append(one)
    return out
