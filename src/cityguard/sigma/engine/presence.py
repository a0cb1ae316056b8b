"""Whether any of a few words stands anywhere in columns of a table: one pass over their text, laid end to end.

Rules with keywords ask every column of every event, and nearly always the answer is no.
"""

from __future__ import annotations

import contextlib
import importlib
import re
from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]

MOST = 4096  # hits of one look: more, and there is little that could be left out


class Presence:
    """Words, whatever their case. Never says no wrongly."""

    def __init__(self, words: Collection[str]) -> None:
        self._letters = all(re.search("[^-0-9]", word) for word in words)
        self._words = all(re.search("[^-+:.0-9tTzZ ]", word) for word in words)
        hyperscan = importlib.import_module("hyperscan")
        written = [word.encode() for word in words if word.isascii()]  # no other word stands in ASCII text
        self._stopped = hyperscan.ScanTerminated
        self._database: Any = None
        if written:
            self._database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
            escaped = [re.sub(rb"[^A-Za-z0-9_]", lambda found: b"\\x%02x" % found[0][0], one) for one in written]
            flags = hyperscan.HS_FLAG_CASELESS | hyperscan.HS_FLAG_DOTALL
            self._database.compile(expressions=escaped, ids=list(range(len(escaped))), flags=flags)

    def among(self, columns: Sequence[pl.Series]) -> list[bool]:
        """Of each column of a table whether one of the words may stand in it."""
        told: list[bool] = []
        texts: list[int] = []
        for place, column in enumerate(columns):
            kind = column.dtype
            if kind == pl.String:
                texts.append(place)
                told.append(False)
            elif kind.is_integer():
                told.append(not self._letters)
            elif isinstance(kind, pl.Datetime):
                told.append(not self._words)
            else:
                told.append(column.null_count() < len(column))
        if texts and len(columns[0]):
            found = self._within([columns[place] for place in texts])
            for place, one in zip(texts, found.tolist(), strict=True):
                told[place] = one
        return told

    def _within(self, columns: list[pl.Series]) -> npt.NDArray[np.bool_]:
        """The same of text columns."""
        height = len(columns[0])
        array: Any = pl.concat([column.alias("") for column in columns], rechunk=True).to_arrow()
        whole = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
        _, raw, data = whole.buffers()
        if data is None or not data.size:
            return np.zeros(len(columns), dtype=np.bool_)
        borders = np.frombuffer(raw, np.int64)[whole.offset : whole.offset + len(whole) + 1 : height]
        text = np.frombuffer(data, np.uint8)
        found = np.zeros(len(columns), dtype=np.bool_)
        if text.max() >= 0x80:
            filled = np.flatnonzero(borders[1:] > borders[:-1])
            found[filled] = np.maximum.reduceat(text[: borders[-1]], borders[filled]) >= 0x80
        ends = self._ends(text)
        if ends is None:
            return np.ones(len(columns), dtype=np.bool_)
        found[np.searchsorted(borders, ends, "left") - 1] = True
        return found

    def _ends(self, text: Bytes) -> Ints | None:
        """Where words end; None: nearly everywhere."""
        if self._database is None:
            return np.zeros(0, dtype=np.int64)
        ends: list[int] = []
        append = ends.append

        def hit(_number: int, _start: int, end: int, _flags: int, _context: object) -> bool:
            append(end)
            return len(ends) > MOST

        with contextlib.suppress(self._stopped):
            self._database.scan(text.data, match_event_handler=hit)
        return None if len(ends) > MOST else np.array(ends, dtype=np.int64)


@lru_cache(maxsize=64)
def presence_of(words: tuple[str, ...]) -> Presence:
    """One for the same words in whatever class: most rules with keywords go with many."""
    return Presence(words)
