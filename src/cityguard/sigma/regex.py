"""Regular expressions from rules: linear time where possible, bounded where not."""

from __future__ import annotations

import re
import re._constants as constants  # type: ignore[import-not-found]
import re._parser as parser  # type: ignore[import-not-found]
import time
import warnings
from functools import lru_cache
from typing import Any

import polars as pl
from polars.exceptions import ComputeError

from cityguard.errors import InputError

MAX_PATTERN = 4096
MAX_VALUE = 65_536
BUDGET_S = 1.0  # per expression and batch, for expressions only Python can run
_CUTS = (MAX_VALUE, 4096, 256)  # longest value by number of unbounded repeats: keeps one value near 0.1 s

skipped = 0
"""Values not looked at, or looked at only in part, because a bound was reached (this process)."""


@lru_cache(maxsize=4096)
def linear(pattern: str) -> bool:
    """True when Rust's ``regex`` takes the pattern: it never backtracks, whatever the value."""
    try:
        pl.Series([""]).str.contains(pattern, strict=True)
    except ComputeError:
        return False
    return True


def check(pattern: str) -> None:
    """Refuse what cannot be run within bounds.

    Raises:
        InputError: no regular expression, too long, or only Python could run it and it may backtrack without end.
    """
    if len(pattern) > MAX_PATTERN:
        raise InputError(f"regular expression longer than {MAX_PATTERN} characters")
    if linear(pattern):
        return
    try:
        with warnings.catch_warnings(action="error"):  # what Python may read in two ways is refused
            tree = parser.parse(pattern)
    except (re.error, OverflowError, RecursionError, Warning) as error:
        raise InputError(f"not a regular expression: {error}", remedy="see the Sigma specification, 're'") from None
    nested, repeats = _repeats(tree)
    if nested or repeats >= len(_CUTS):
        raise InputError(
            "regular expression may backtrack without end",
            remedy="write it without lookaround and backreferences, or without repeats and choices inside repeats",
        )


def matches(pattern: str, values: pl.Series) -> pl.Series:
    """Boolean per value (String Series without nulls): unanchored search, case as written."""
    if linear(pattern):
        return values.str.contains(pattern, strict=True)
    return _python(pattern, values)


def _python(pattern: str, values: pl.Series) -> pl.Series:
    global skipped
    found = re.compile(pattern)
    cut = _CUTS[_repeats(parser.parse(pattern))[1]]
    until = time.monotonic() + BUDGET_S
    out: list[bool] = []
    for value in values:
        late = time.monotonic() > until
        skipped += late or len(value) > cut
        out.append(not late and found.search(value[:cut]) is not None)
    return pl.Series(out, dtype=pl.Boolean)


def _repeats(tree: Any, inside: bool = False) -> tuple[bool, int]:
    """(a repeat or a choice stands inside an unbounded repeat, number of unbounded repeats)."""
    nested, count = False, 0
    for op, argument in tree:
        below = inside
        nested |= inside and op is constants.BRANCH
        if op in (constants.MAX_REPEAT, constants.MIN_REPEAT):
            unbounded = argument[1] is constants.MAXREPEAT or argument[1] > 100
            nested |= inside and argument[1] > 1
            count += unbounded
            below = inside or unbounded
        for part in _below(argument):
            deeper, more = _repeats(part, below)
            nested, count = nested or deeper, count + more
    return nested, count


def _below(argument: Any) -> list[Any]:
    if isinstance(argument, parser.SubPattern):
        return [argument]
    if isinstance(argument, list | tuple):
        return [part for item in argument for part in _below(item)]
    return []
