"""Sigma strings: wildcards, escapes, and the one letter fold that rules and events share."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

import polars as pl


class Wild(Enum):
    """What a pattern holds besides text."""

    MANY = "*"  # any characters, none as well, line ends as well
    ONE = "?"  # exactly one character
    DASH = "-"  # any of the dashes Windows programs take before an option


Pattern: TypeAlias = tuple[str | Wild, ...]
DASHES = "-/–—―"  # the two usual ones, en dash, em dash, horizontal bar
_OPTION = re.compile(r"\B[-/]\b")
_SPECIAL = re.compile(r"[*?\\]")
_PIECE = re.compile(r"\\([*?\\])|([*?])|([^*?\\]+|\\)")


def parse(text: str) -> Pattern:
    r"""Read a Sigma string (specification 2.1, "Escaping").

    ``\*`` and ``\?`` are plain characters, ``\\`` is one backslash, a backslash before anything else is plain;
    so ``\\*`` is a backslash and a wildcard.
    """
    if not _SPECIAL.search(text):
        return (text,) if text else ()
    parts: list[str | Wild] = []
    plain: list[str] = []
    for escaped, wild, rest in _PIECE.findall(text):
        if wild:
            if plain:
                parts.append("".join(plain))
                plain = []
            parts.append(Wild(wild))
        else:
            plain.append(escaped or rest)
    if plain:
        parts.append("".join(plain))
    return tuple(parts)


def windash(pattern: Pattern) -> Pattern:
    """Let every ``-`` or ``/`` that begins an option stand for all five dashes."""
    parts: list[str | Wild] = []
    for part in pattern:
        if isinstance(part, Wild):
            parts.append(part)
            continue
        pieces = _OPTION.split(part)
        for index, piece in enumerate(pieces):
            if index:
                parts.append(Wild.DASH)
            if piece:
                parts.append(piece)
    return tuple(parts)


def wild(pattern: Pattern) -> bool:
    """True when the pattern holds ``*`` or ``?``."""
    return Wild.MANY in pattern or Wild.ONE in pattern


def spelled(pattern: Pattern) -> Iterator[str]:
    """Every text a pattern without ``*`` and ``?`` stands for: one per choice of its dashes."""
    for chosen in itertools.product(*(DASHES if part is Wild.DASH else (str(part),) for part in pattern)):
        yield "".join(chosen)


def fold(text: str) -> str:
    """Lower-case as ``fold_series`` does, letter by letter and by the same code: rules and events never disagree."""
    return text.lower() if text.isascii() else text.translate(_FOLDED)


class _Folded(dict[int, str]):
    """Each letter's fold, asked once. But for the final sigma no letter's fold depends on its neighbours."""

    def __missing__(self, code: int) -> str:
        folded = str(fold_series(pl.Series([chr(code)]))[0])
        if len(self) < MAX_FOLDED:
            self[code] = folded
        return folded


MAX_FOLDED = 65_536
_FOLDED = _Folded()


def fold_series(values: pl.Series) -> pl.Series:
    """Lower-case; the final sigma, which depends on its neighbours, becomes the plain one."""
    return values.str.to_lowercase().str.replace_all("ς", "σ", literal=True)


@dataclass(frozen=True, slots=True)
class Shape:
    """A pattern without its outer ``*``: what is between, and on which sides anything may follow."""

    inner: Pattern
    open_start: bool
    open_end: bool


def shape(pattern: Pattern) -> Shape:
    """Take the outer ``*`` off. Adjacent text parts are joined."""
    parts = list(_joined(pattern))
    start = end = False
    while parts and parts[0] is Wild.MANY:
        parts.pop(0)
        start = True
    while parts and parts[-1] is Wild.MANY:
        parts.pop()
        end = True
    return Shape(tuple(parts), start, end)


def _joined(pattern: Pattern) -> Pattern:
    parts: list[str | Wild] = []
    for part in pattern:
        last = parts[-1] if parts else None
        if isinstance(part, str) and isinstance(last, str):
            parts[-1] = last + part
        elif not (part is Wild.MANY and last is Wild.MANY):
            parts.append(part)
    return tuple(parts)


def to_regex(form: Shape, *, cased: bool) -> str:
    """The pattern in Rust's dialect, anchored where the shape is closed. Over folded values unless ``cased``."""
    body = "".join(_regex_part(part, cased) for part in form.inner)
    return f"(?s){'' if form.open_start else '^'}{body}{'' if form.open_end else '$'}"


def _regex_part(part: str | Wild, cased: bool) -> str:
    if part is Wild.MANY:
        return ".*"
    if part is Wild.ONE:
        return "."
    if part is Wild.DASH:
        return "[-/–—―]"
    assert isinstance(part, str)
    return escape(part if cased else fold(part))


def escape(text: str) -> str:
    """Escape for Rust's ``regex`` crate, which knows fewer needless escapes than Python's ``re``."""
    return "".join("\\" + char if char in r"\.+*?()|[]{}^$#&-~" else char for char in text)
