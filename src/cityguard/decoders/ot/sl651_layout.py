"""Layouts of reports of SL 651-2014: where the elements of many that are made alike stand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cityguard.decoders.ot import sl651_body, sl651_rows
from cityguard.decoders.ot import sl651_names as names
from cityguard.decoders.ot.sl651_octets import TENS
from cityguard.decoders.packet import Bools, U8s

FIRST = 37
"""Where a report's elements begin."""
_LISTED = (0x31, 0x38)
"""Behind a time step the values of one element fill the rest."""


@dataclass(frozen=True, slots=True)
class Field:
    """One element of a layout."""

    name: str
    at: int
    size: int
    decimals: int
    kind: str
    """``number``, ``rain``, ``levels`` or ``status``."""
    many: int = 0
    """Values of a list behind a time step; 0 = one value."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the elements of a report stand."""

    fields: tuple[Field, ...]
    step: str
    """Time step, as the row tells it."""
    fixed: tuple[int, ...]
    """Octets that all reports of the layout have in common."""


def read(frame: bytes) -> Layout | None:
    """The layout of a report; None where an element is not plain."""
    end, at, step = len(frame) - 3, FIRST, ""
    found, fixed = list[Field](), [10]
    while at < end:
        guide, info = frame[at], frame[at + 1]
        size, kind, many = info >> 3, "number", 0
        fixed += [at, at + 1]
        if guide == names.STEP and size == 3:
            step = sl651_body.step(frame[at + 2 : at + 5])
            fixed += [at + 2, at + 3, at + 4]
            at += 5
            continue
        if guide == names.RAIN:
            size, kind = 12, "rain"
        elif guide in names.LEVELS:
            size, kind = 24, "levels"
        elif guide == names.STATUS and size == 4:
            kind = "status"
        elif guide >= 0xF0 or guide in (names.STEP, names.DURATION, names.STATUS) or not 0 < size < 6 or info & 7 > 3:
            return None
        if step and frame[10] in _LISTED and kind in ("number", "status"):
            many = (end - at - 2) // size
            if kind == "status" or not many:
                return None
        found.append(Field(sl651_body.name(guide), at + 2, size, info & 7, kind, many))
        at += 2 + size * max(many, 1)
    whole = at == end and 0 < len(found) <= sl651_rows.MAX_VALUES
    return Layout(tuple(found), step, tuple(fixed)) if whole else None


def alike(table: U8s, layout: Layout) -> Bools:
    """Which frames have what the first has where a layout is fixed."""
    places = list(layout.fixed)
    found: Bools = (table[:, places] == table[0, places]).all(axis=1)
    return found


def readable(table: U8s, layout: Layout) -> Bools:
    """Which have numbers alone where numbers stand; a leading FF is a minus."""
    good = np.ones(len(table), np.bool_)
    for one in layout.fields:
        if one.kind == "number":
            for at in range(one.at, one.at + one.size * max(one.many, 1), one.size):
                parts = TENS[table[:, at : at + one.size]]
                minus = table[:, at] == 0xFF
                good &= (parts[:, 1:] >= 0).all(axis=1) & ((parts[:, 0] >= 0) | (minus & (one.size > 1)))
    return good
