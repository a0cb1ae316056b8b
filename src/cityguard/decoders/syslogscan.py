"""Headers of RFC 3164 in their plain forms, cut by compiled code; equal to the patterns of ``envelope``."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import polars as pl
import pyarrow as pa

from cityguard.decoders import jsoncolumns
from cityguard.decoders.jsonscan import view
from cityguard.fast import compiled

COLUMNS: Final = ("pri", "stamp", "host", "program", "pid", "message")
_PRI, _PID = 0, 4
_WORD: Final = np.zeros(256, np.bool_)
"""ASCII without white space and ``: [ ] %``."""
_WORD[:128] = True
_WORD[list(b"\t\n\v\f\r :[]%")] = False


@compiled
def _digit(c: Any) -> Any:
    return 48 <= c <= 57


@compiled
def _old(data: Any, i: Any, end: Any) -> Any:
    """Behind ``Mar  5 14:12:09 ``, or -1."""
    if i + 16 > end or data[i + 3] != 32 or data[i + 6] != 32 or data[i + 9] != 58 or data[i + 12] != 58:
        return -1
    if not (65 <= data[i] <= 90 and 97 <= data[i + 1] <= 122 and 97 <= data[i + 2] <= 122 and data[i + 15] == 32):
        return -1
    if not (data[i + 4] == 32 or _digit(data[i + 4])):
        return -1
    for n in (5, 7, 8, 10, 11, 13, 14):
        if not _digit(data[i + n]):
            return -1
    return i + 16


@compiled
def _new(data: Any, i: Any, end: Any) -> Any:
    """Behind ``2026-03-05T14:12:09.123+08:00 ``, or -1."""
    if i + 18 > end or data[i + 4] != 45 or data[i + 7] != 45 or data[i + 10] != 84:
        return -1
    for n in (0, 1, 2, 3, 5, 6, 8, 9, 11):
        if not _digit(data[i + n]):
            return -1
    i += 12
    if _digit(data[i]):
        i += 1
    if i + 6 > end or data[i] != 58 or data[i + 3] != 58:
        return -1
    if not (_digit(data[i + 1]) and _digit(data[i + 2]) and _digit(data[i + 4]) and _digit(data[i + 5])):
        return -1
    i += 6
    while i + 1 < end and (data[i] == 46 or data[i] == 44 or data[i] == 58) and _digit(data[i + 1]):
        i += 2
        while i < end and _digit(data[i]):
            i += 1
    if i < end and data[i] == 90:
        i += 1
    elif i + 5 < end and (data[i] == 43 or data[i] == 45):
        at = i + 4 if data[i + 3] == 58 else i + 3
        if at + 1 >= end or not (
            _digit(data[i + 1]) and _digit(data[i + 2]) and _digit(data[at]) and _digit(data[at + 1])
        ):
            return -1
        i = at + 2
    return i + 1 if i < end and data[i] == 32 else -1


@compiled
def _tag(data: Any, word: Any, i: Any, end: Any, marks: Any) -> Any:
    """From the host on; where the message begins, or -1. ``marks`` gets the bounds of host, program and pid."""
    start = i
    while i < end and word[data[i]]:
        i += 1
    if i >= end or data[i] != 32 or i == start:
        return -1
    if not (65 <= data[start] <= 90 or 97 <= data[start] <= 122):
        n = start
        while n < i and n < start + 4 and _digit(data[n]):
            n += 1
        if n == start or n > start + 3 or data[n] != 46 or n + 1 >= i:
            return -1
    size = i - start
    if size == 1 and data[start] == 90:
        return -1
    if size == 3:  # DST, UTC, GMT
        code = np.int64(data[start]) << 16 | np.int64(data[start + 1]) << 8 | np.int64(data[start + 2])
        if code == 0x445354 or code == 0x555443 or code == 0x474D54:
            return -1
    marks[4], marks[5] = start, i
    i += 1
    start = i
    while i < end and word[data[i]]:
        i += 1
    if i >= end or i == start or i - start > 64:
        return -1
    marks[6], marks[7], marks[8], marks[9] = start, i, 0, -1
    if data[i] == 91:
        i += 1
        start = i
        while i < end and (word[data[i]] or data[i] == 37):
            i += 1
        if i + 1 >= end or data[i] != 93 or i == start or i - start > 20:
            return -1
        marks[8], marks[9] = start, i
        i += 1
    if data[i] != 58:
        return -1
    i += 1
    while i < end and (data[i] == 32 or 9 <= data[i] <= 13):
        i += 1
    # other white space is beyond ASCII
    return -1 if i < end and data[i] >= 128 else i


@compiled
def cut(data: Any, words: Any, offsets: Any, word: Any, views: Any, there: Any, fits: Any) -> Any:
    """Headers of the lines that have a plain one.

    Args:
        data: uint8, all lines, and ``jsonscan.PAD`` bytes.
        words: uint64, the eight bytes from each place on.
        offsets: int64[n + 1].
        word: bool[256], bytes of a word.
        views: uint64[6, n, 2] to be filled from the first row on: ``COLUMNS`` as string views.
        there: uint8[2, n / 8], all 0: rows with a priority, and with a process id.
        fits: bool[n] to be filled: which lines those rows are.

    Returns:
        How many rows.
    """
    marks = np.zeros(12, np.int64)
    row = 0
    for line in range(len(offsets) - 1):
        i, end = offsets[line], offsets[line + 1]
        fits[line] = False
        marks[0], marks[1] = 0, -1
        if i < end and data[i] == 60:
            start = i + 1
            i = start
            while i < end and i < start + 5 and _digit(data[i]):
                i += 1
            if i >= end or data[i] != 62 or i == start or i > start + 4:
                continue
            marks[0], marks[1] = start, i
            i += 1
        start = i
        i = _old(data, start, end)
        if i < 0:
            i = _new(data, start, end)
        if i < 0:
            continue
        marks[2], marks[3] = start, i - 1
        i = _tag(data, word, i, end, marks)
        if i < 0:
            continue
        marks[10], marks[11] = i, end
        fits[line] = True
        for n in range(6):
            if marks[2 * n + 1] >= 0:
                view(words, marks[2 * n], marks[2 * n + 1] - marks[2 * n], 0, views[n], row)
        if marks[1] >= 0:
            there[0, row >> 3] |= np.uint8(1 << (row & 7))
        if marks[9] >= 0:
            there[1, row >> 3] |= np.uint8(1 << (row & 7))
        row += 1
    return row


def read(lines: pl.Series) -> tuple[pl.DataFrame, np.ndarray] | None:
    """Header fields of the lines that have a plain header, and which those are; None where it cannot be told.

    Args:
        lines: String, n rows without nulls.
    """
    held = lines.to_arrow().cast(pa.large_string())
    _, ends, data = held.buffers()
    if data is None or data.size > jsoncolumns.MAX_BYTES or held.offset or held.null_count:
        return None
    count = len(lines)
    text = jsoncolumns.padded(np.frombuffer(data, np.uint8))
    views, fits = np.zeros((len(COLUMNS), count, 2), np.uint64), np.empty(count, np.bool_)
    there = np.zeros((2, (count + 7) // 8), np.uint8)
    offsets = np.frombuffer(ends, np.int64)[: count + 1]
    rows = cut(text, jsoncolumns.words_of(text), offsets, _WORD, views, there, fits)
    buffers = [pa.py_buffer(text)]
    valid = {_PRI: pa.py_buffer(there[0]), _PID: pa.py_buffer(there[1])}
    made = {
        name: pl.Series(name, pl.from_arrow(jsoncolumns.texts_of(valid.get(n), views[n, :rows], buffers)))
        for n, name in enumerate(COLUMNS)
    }
    return pl.DataFrame(made), fits
