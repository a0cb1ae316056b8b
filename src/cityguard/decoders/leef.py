"""LEEF (Log Event Extended Format 1.0 and 2.0), bare or behind any header."""

from __future__ import annotations

from typing import Final

import numpy as np
import polars as pl

from cityguard.decoders import keyvalue
from cityguard.decoders.base import Decoder, Options
from cityguard.decoders.envelope import beside
from cityguard.decoders.prefixed import prefixed
from cityguard.decoders.text import placed
from cityguard.model import Decoded, EventBatch, Frames

MAX_DELIMITERS = 16
"""Different delimiters within one piece; lines with further ones are read as if tabs were theirs."""
_PART = r"[^|]*"
_PREFIX: Final = (
    rf"(?s)^LEEF:2(?:\.[0-9]+)?\|(?P<vendor>{_PART})\|(?P<product>{_PART})\|(?P<version>{_PART})\|(?P<eventID>{_PART})\|"
    r"(?P<delimiter>[^|=\s]{0,6}|\t)\|(?P<attributes>.*)$",
    rf"(?s)^LEEF:[12](?:\.[0-9]+)?\|(?P<vendor>{_PART})\|(?P<product>{_PART})\|(?P<version>{_PART})\|"
    rf"(?P<eventID>{_PART})\|?(?P<attributes>.*)$",
)
_TAB, _BLANK = "\t", " "


def decoder(options: Options) -> Decoder:
    """Option: ``wanted`` as for keyvalue. Columns: vendor, product, version, eventID and the attributes."""
    return _Leef(options, frozenset(options.get("wanted", ())))


class _Leef:
    def __init__(self, options: Options, wanted: frozenset[str]) -> None:
        self._options = options
        self._wanted = wanted

    def decode(self, frames: Frames) -> Decoded:
        if not len(frames):
            return Decoded()
        found = prefixed(
            frames, self._options, r"LEEF:\s?[12](?:\.[0-9]+)?\|", _PREFIX, "no LEEF prefix of five fields"
        )
        if not len(found.good):
            return Decoded((), found.letters, found.rejected)
        batches = []
        for separator, rows in _by_delimiter(found.prefix):
            part = found.prefix[rows]
            how = keyvalue.style({"separator": separator, "closing": "", "escape": "none"})
            values, spare = keyvalue.pairs(part["attributes"].str.strip_chars(" \r\n"), how, self._wanted)
            front = part.select("vendor", "product", "version", "eventID")
            table = beside(values.drop(front.columns, strict=False), front)
            table = beside(found.header[rows], table) if found.header.width else table
            batches.append(EventBatch("", "", placed(table, frames, found.good[rows], found.read, spare)))
        return Decoded(tuple(batches), found.letters, found.rejected)

    def flush(self) -> Decoded:
        return Decoded()


def _by_delimiter(prefix: pl.DataFrame) -> list[tuple[str, np.ndarray]]:
    """Rows by what separates their attributes: tab unless version 2 says otherwise or there is none."""
    told = prefix["delimiter"] if "delimiter" in prefix.columns else pl.Series([None] * prefix.height, dtype=pl.String)
    words = [word for word in told.drop_nulls().unique(maintain_order=True) if word][:MAX_DELIMITERS]
    marks = {word: _character(word) for word in words}
    mark = told.replace_strict(marks, default=_TAB, return_dtype=pl.String).fill_null(_TAB)
    # Relays turn tabs into blanks.
    bare = (mark == _TAB) & ~prefix["attributes"].str.contains(_TAB, literal=True)
    mark = mark.zip_with(~bare, pl.Series([_BLANK]).new_from_index(0, len(mark)))
    return [(one, np.flatnonzero((mark == one).to_numpy())) for one in mark.unique(maintain_order=True)]


def _character(word: str) -> str:
    """The delimiter of a word: one character, or its code in hex (``x5E``, ``0x5E``)."""
    digits = word.lower().removeprefix("0").removeprefix("x")
    if len(word) > 1 and digits:
        try:
            return chr(int(digits, 16)) if int(digits, 16) < 0x110000 else _TAB
        except ValueError:
            return _TAB
    return word if len(word) == 1 else _TAB
