"""Regular expressions from rules: linear time where possible, bounded where not."""

from __future__ import annotations

import math
import re
import re._constants as constants  # type: ignore[import-not-found]
import re._parser as parser  # type: ignore[import-not-found]
import time
import warnings
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import polars as pl
from polars.exceptions import ComputeError

from cityguard.errors import InputError

MAX_PATTERN = 4096
MAX_VALUE = 65_536
BUDGET_S = 1.0  # per expression and batch, for expressions only Python can run
MAX_WAYS = 1_000  # in which an expression only Python can run may match at one place, unbounded repeats aside
_STEPS = 2e7  # that one value may take: about 0.1 s
_CUTS = (MAX_VALUE, 4096, 256)  # longest value by number of unbounded repeats

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
        raise InputError(f"regular expression longer than {MAX_PATTERN} characters", remedy="split it")
    if not linear(pattern):
        _bounds(pattern)


@lru_cache(maxsize=4096)
def _bounds(pattern: str) -> tuple[re.Pattern[str], int]:
    """The expression for Python's engine, and how much of a value it may look at.

    Raises:
        InputError: it is none, or nothing bounds its backtracking.
    """
    try:
        with warnings.catch_warnings(action="error"):  # what Python may read in two ways is refused
            made = re.compile(pattern)
            tree = parser.parse(pattern)
            ways, unbounded = _ways(tree)
    except (re.error, OverflowError, RecursionError, Warning) as error:
        raise InputError(f"not a regular expression: {error}", remedy="see the Sigma specification, 're'") from None
    if ways > MAX_WAYS or unbounded >= len(_CUTS):
        raise InputError(
            "regular expression may backtrack without end",
            remedy="write it without lookaround and backreferences, or without repeats and choices inside repeats",
        )
    return made, min(_CUTS[unbounded], int((_STEPS / ways) ** (1 / (unbounded + 1))))


def literal(pattern: str) -> str:
    """The longest text that every match holds, in lower case; empty when there is none or Rust runs the pattern."""
    try:
        with warnings.catch_warnings(action="ignore"):
            return max(_literals(parser.parse(pattern)), key=len, default="").lower()
    except (re.error, OverflowError, RecursionError):
        return ""


def matches(pattern: str, values: pl.Series) -> pl.Series:
    """Boolean per value (String Series without nulls): unanchored search, case as written."""
    if linear(pattern):
        return values.str.contains(pattern, strict=True)
    return _python(pattern, values)


def _python(pattern: str, values: pl.Series) -> pl.Series:
    global skipped
    found, cut = _bounds(pattern)
    until = time.monotonic() + BUDGET_S
    out: list[bool] = []
    for value in values:
        late = time.monotonic() > until
        skipped += late or len(value) > cut
        out.append(not late and found.search(value[:cut]) is not None)
    return pl.Series(out, dtype=pl.Boolean)


def _ways(tree: Any) -> tuple[float, int]:
    """(ways in which a sequence may match at one place, number of unbounded repeats); beyond bounds: infinite."""
    total, unbounded = 1.0, 0
    for op, argument in tree:
        if op is constants.BRANCH:
            parts = [_ways(part) for part in argument[1]]
            ways, more = sum(part[0] for part in parts), sum(part[1] for part in parts)
        elif op in (constants.MAX_REPEAT, constants.MIN_REPEAT, constants.POSSESSIVE_REPEAT):
            ways, more = _repeated(*argument)
        else:
            parts = [_ways(part) for part in _below(argument)]
            ways, more = math.prod(part[0] for part in parts), sum(part[1] for part in parts)
        total, unbounded = min(total * ways, math.inf), unbounded + more
    return total, unbounded


def _repeated(least: int, most: Any, body: Any) -> tuple[float, int]:
    ways, inner = _ways(body)
    if most == 1:
        return ways + (least == 0), inner
    if inner or (ways > 1 and most is constants.MAXREPEAT):
        return math.inf, inner
    if most is constants.MAXREPEAT or most > 100:
        return (1.0, 1) if ways == 1 else (math.inf, 1)
    if ways > 1:
        return (math.inf if most > 64 or ways > MAX_WAYS else sum(ways**n for n in range(least, most + 1))), 0
    return float(most - least + 1), 0


def _literals(tree: Any) -> Iterator[str]:
    """Texts that stand in every match, as far as they are plain to see."""
    run = ""
    for op, argument in tree:
        if op is constants.LITERAL:
            run += chr(argument)
            continue
        yield run
        run = ""
        if op is constants.SUBPATTERN:
            yield from _literals(argument[3])
        elif op in (constants.MAX_REPEAT, constants.MIN_REPEAT) and argument[0] > 0:
            yield from _literals(argument[2])
    yield run


def _below(argument: Any) -> list[Any]:
    if isinstance(argument, parser.SubPattern):
        return [argument]
    if isinstance(argument, list | tuple):
        return [part for item in argument for part in _below(item)]
    return []
