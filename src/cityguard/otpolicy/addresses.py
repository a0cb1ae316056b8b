"""Addresses a policy line allows, as people write them: ``100-119``, ``w01018``, ``DB1.*``; and their joining."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import polars as pl

MAX_RANGES = 32
_SPAN = re.compile(r"(0|[1-9]\d{0,9})(?:-(0|[1-9]\d{0,9}))?")
_TAIL = re.compile(r"[0-9A-Fa-f.,/\[\]]+$")


@dataclass(frozen=True, slots=True)
class Allowed:
    """Numbers from ``lo`` to ``hi``, or one text, or every text that begins so."""

    lo: int | None = None
    hi: int | None = None
    text: str | None = None
    begins: str | None = None


def parse(word: str) -> Allowed:
    """Read one entry. ``=`` before it takes a text as it is.

    Raises:
        ValueError: a range that ends before it begins.
    """
    if match := _SPAN.fullmatch(word):
        lo, hi = int(match[1]), int(match[2] or match[1])
        if hi < lo:
            raise ValueError(f"{word}: ends before it begins")
        return Allowed(lo, hi)
    if word.startswith("="):
        return Allowed(text=word[1:])
    return Allowed(begins=word[:-1]) if word.endswith("*") else Allowed(text=word)


def spans(pairs: Iterable[tuple[int, int]], most: int = MAX_RANGES) -> list[tuple[int, int]]:
    """Numbers as ranges, touching ones joined; where there are too many, the narrowest gaps are closed."""
    made: list[tuple[int, int]] = []
    for lo, hi in sorted(pairs):
        if made and lo <= made[-1][1] + 1:
            made[-1] = (made[-1][0], max(made[-1][1], hi))
        else:
            made.append((lo, hi))
    if len(made) <= most:
        return made
    gaps = sorted(range(1, len(made)), key=lambda nth: (made[nth][0] - made[nth - 1][1], nth))
    kept = sorted(gaps[len(made) - most :])
    edges = [0, *kept, len(made)]
    return [(made[a][0], made[b - 1][1]) for a, b in pairwise(edges)]


def words(pairs: Iterable[tuple[int, int]], texts: Iterable[str]) -> tuple[str, ...]:
    """The entries that hold all of these; none at all means any address.

    Too many texts become what they begin with, and if that is still too much, anything.
    """
    numbers = [str(lo) if lo == hi else f"{lo}-{hi}" for lo, hi in spans(pairs)]
    plain = sorted(set(texts))
    if len(plain) > MAX_RANGES:
        stems = sorted({_TAIL.sub("", one) for one in plain})
        if len(stems) > MAX_RANGES or "" in stems:
            return ()
        return (*numbers, *(f"{one}*" for one in stems))
    return (
        *numbers,
        *(f"={one}" if one.endswith("*") or one[:1] == "=" or _SPAN.fullmatch(one) else one for one in plain),
    )


def joined(one: Sequence[str], other: Sequence[str]) -> tuple[str, ...]:
    """What holds both; empty (anything) when either is."""
    if not one or not other:
        return ()
    every = [parse(word) for word in (*one, *other)]
    begins = sorted({item.begins for item in every if item.begins is not None})
    texts = [item.text for item in every if item.text is not None]
    free = [text for text in texts if not any(text.startswith(stem) for stem in begins)]
    made = words(((item.lo, item.hi) for item in every if item.lo is not None and item.hi is not None), free)
    if free and len(set(free)) > MAX_RANGES and not made:
        return ()
    return (*made, *(f"{stem}*" for stem in begins if f"{stem}*" not in made))


def covers(wide: Sequence[str], narrow: Sequence[str]) -> bool:
    """Whether everything in ``narrow`` is in ``wide``; empty = anything."""
    if not wide:
        return True
    if not narrow:
        return False
    outer = [parse(word) for word in wide]
    return all(any(_inside(parse(word), one) for one in outer) for word in narrow)


def _inside(inner: Allowed, outer: Allowed) -> bool:
    if inner.lo is not None and inner.hi is not None:
        return outer.lo is not None and outer.hi is not None and outer.lo <= inner.lo and inner.hi <= outer.hi
    if inner.begins is not None:
        return outer.begins is not None and inner.begins.startswith(outer.begins)
    assert inner.text is not None
    return inner.text == outer.text or (outer.begins is not None and inner.text.startswith(outer.begins))


def table(owned: Iterable[tuple[int, Sequence[str]]]) -> pl.DataFrame:
    """Entries of many lines as rows: ``line``, ``a_lo`` ``a_hi`` ``a_text`` ``a_begins``; no row for a line without."""
    rows = []
    for owner, entries in owned:
        for word in entries:
            one = parse(word)
            rows.append((owner, one.lo, one.hi, one.text, one.begins))
    schema = {
        "line": pl.Int64(),
        "a_lo": pl.Int64(),
        "a_hi": pl.Int64(),
        "a_text": pl.String(),
        "a_begins": pl.String(),
    }
    return pl.DataFrame(rows, schema=schema, orient="row")


def fits() -> pl.Expr:
    """Whether an act's address (``lo`` ``hi`` ``text``) is in an entry of ``table``; an act without one always is."""
    number = (pl.col("a_lo") <= pl.col("lo")) & (pl.col("hi") <= pl.col("a_hi"))
    text = (pl.col("text") == pl.col("a_text")) | pl.col("text").str.starts_with(pl.col("a_begins"))
    none = pl.col("lo").is_null() & pl.col("text").is_null()
    return none | number.fill_null(value=False) | text.fill_null(value=False)
