"""Chinese that a relay has read in the wrong encoding and written again as UTF-8: put right where nothing else fits."""

from __future__ import annotations

import re
from typing import Final

import polars as pl

_LEADS: Final = "".join(
    sorted({bytes((lead, trail)).decode("gb18030") for lead in range(0xE4, 0xEA) for trail in range(0x80, 0xC0)})
)
"""What the first two bytes of a Han character in UTF-8 look like, read as GB18030."""
_SUSPECT: Final = rf"[{_LEADS}]|[\u00a1-\u00ff]{{4}}"
_WIDE: Final = re.compile(r"[\u0080-\uffff]{3,}")
_LATIN: Final = re.compile(r"[\u0080-\u00ff]{4,}")
_COMMON: Final = re.compile(rb"(?:[\xb0-\xd7][\xa1-\xfe]|[\xa1-\xa3][\xa1-\xfe])+")
"""GB 2312: the characters in common use and punctuation. Rarer ones might be words of a language with accents."""
_CHINESE: Final = re.compile(r"[\u3000-\u303f\u4e00-\u9fff\uff00-\uffef]+")


def repaired(values: pl.Series, flags: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Lines with such runs of characters put right, and the flag ``misread`` on them.

    A run is put right only if all of it makes Chinese the other way: UTF-8 read as GB18030 (three characters and
    more), or GB18030 read as Latin-1 (four and more). What is kept of the line elsewhere stays as it came.

    Args:
        values: String, n lines.
        flags: List(String), n rows.
    """
    wide = (values.str.len_bytes() != values.str.len_chars()).fill_null(value=False).arg_true()
    suspect = wide.filter(values.gather(wide).str.contains(_SUSPECT))
    changed: dict[int, str] = {}
    for row in suspect.to_list():
        line = values[row]
        made = _LATIN.sub(_from_latin, _WIDE.sub(_from_wide, line))
        if made != line:
            changed[row] = made
    if not changed:
        return values, flags
    told = flags.to_list()
    for row in changed:
        told[row] = [*(told[row] or []), "misread"]
    rows = pl.Series(list(changed), dtype=pl.UInt32)
    return values.clone().scatter(rows, pl.Series(list(changed.values()))), pl.Series(told, dtype=pl.List(pl.String))


def _from_wide(found: re.Match[str]) -> str:
    return _again(found.group(), "gb18030", "utf-8")


def _from_latin(found: re.Match[str]) -> str:
    run = found.group()
    return _again(run, "latin-1", "gb18030") if _COMMON.fullmatch(run.encode("latin-1")) else run


def _again(run: str, written: str, meant: str) -> str:
    try:
        made = run.encode(written).decode(meant)
    except (UnicodeEncodeError, UnicodeDecodeError):
        return run
    return made if _CHINESE.fullmatch(made) else run
