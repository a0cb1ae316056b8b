"""Halves of a UTF-16 pair alone in an escape of JSON, as cut names make them: U+FFFD stands for each."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

import polars as pl

from cityguard.decoders.text import Text

_SUSPECT: Final = r"\\u[dD][89a-fA-F]"
_ESCAPE: Final = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u([dD][89a-fA-F])[0-9a-fA-F]{2}|.)", re.DOTALL
)
"""One escape: a pair, a half alone (group 1), or any other."""


def replaced(read: Text) -> Text:
    """The text with such halves replaced (RFC 8259, 8.2: what they mean is unpredictable), flag ``lone_surrogate``.

    What is kept of the line stays as it came.
    """
    suspect = read.values.str.contains(_SUSPECT).fill_null(value=False).arg_true()
    lines = read.values.gather(suspect).to_list()
    made = [_ESCAPE.sub(_half, line) for line in lines]
    changed = {row: new for row, old, new in zip(suspect.to_list(), lines, made, strict=True) if new != old}
    if not changed:
        return read
    told = read.flags.to_list()
    for row in changed:
        told[row] = [*(told[row] or []), "lone_surrogate"]
    rows = pl.Series(list(changed), dtype=pl.UInt32)
    values = read.values.clone().scatter(rows, pl.Series(list(changed.values()), dtype=pl.String))
    return replace(read, values=values, flags=pl.Series(told, dtype=pl.List(pl.String)))


def _half(found: re.Match[str]) -> str:
    return "\\ufffd" if found.group(1) else found.group()
