"""Whether any of a few words stands anywhere in a column: told from its memory as it is, before anything is unpacked.

Rules with keywords ask every column of every event, and nearly always the answer is no.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Collection
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

Bytes = npt.NDArray[np.uint8]

SLACK = 4  # buffers so many times larger than the column's own text belong to something else


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
            flags = hyperscan.HS_FLAG_CASELESS | hyperscan.HS_FLAG_DOTALL | hyperscan.HS_FLAG_SINGLEMATCH
            self._database.compile(expressions=escaped, ids=list(range(len(escaped))), flags=flags)

    def possible(self, series: pl.Series) -> bool:
        """False when none of the words stands in any of the values."""
        if series.dtype.is_integer():
            return not self._letters
        if isinstance(series.dtype, pl.Datetime):
            return not self._words
        if series.dtype != pl.String:
            return series.null_count() < len(series)
        array: Any = series.to_arrow(compat_level=pl.CompatLevel.newest())
        if not str(array.type).endswith("string_view"):
            return True
        _, views, *data = array.buffers()
        # a view of 16 bytes holds text up to 12 bytes, or where a longer one stands in ``data``
        own = np.frombuffer(views, np.uint8)[array.offset * 16 : (array.offset + len(array)) * 16]
        lengths = own.view(np.int32)[::4]
        if sum(one.size for one in data) > SLACK * int(lengths.sum(dtype=np.int64)) + 4096:
            data = [one for one in (series.to_arrow().buffers()[2],) if one is not None]
        parts = [np.frombuffer(one, np.uint8) for one in data if one.size]
        if any(part.max() >= 0x80 for part in parts) or _beyond_ascii(own, lengths):
            return True
        return any(self._found(part) for part in (own, *parts))

    def _found(self, part: Bytes) -> bool:
        if self._database is None or not part.size:
            return False
        try:
            self._database.scan(part.data, match_event_handler=lambda *_: True)
        except self._stopped:
            return True
        return False


@lru_cache(maxsize=64)
def presence_of(words: tuple[str, ...]) -> Presence:
    """One for the same words in whatever class: most rules with keywords go with many."""
    return Presence(words)


def _beyond_ascii(views: Bytes, lengths: npt.NDArray[np.int32]) -> bool:
    """Whether a text kept inside its view holds more than ASCII; nulls may hold anything, which does no harm."""
    short = lengths <= 12
    return bool(views.reshape(-1, 16)[short, 4:].max(initial=0) >= 0x80)
