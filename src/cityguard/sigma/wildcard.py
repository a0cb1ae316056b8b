"""Sigma strings: wildcards, escapes, and the one letter fold that rules and events share."""

from __future__ import annotations

import re
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


def parse(text: str) -> Pattern:
    r"""Read a Sigma string (specification 2.1, "Escaping").

    ``\*`` and ``\?`` are plain characters, ``\\`` is one backslash, a backslash before anything else is plain;
    so ``\\*`` is a backslash and a wildcard.
    """
    parts: list[str | Wild] = []
    plain: list[str] = []
    escaped = False
    for char in text:
        if escaped:
            plain.append(char if char in "*?\\" else "\\" + char)
            escaped = False
        elif char == "\\":
            escaped = True
        elif char in "*?":
            if plain:
                parts.append("".join(plain))
                plain = []
            parts.append(Wild(char))
        else:
            plain.append(char)
    if escaped:
        plain.append("\\")
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


def fold(text: str) -> str:
    """Lower-case as ``fold_series`` does: by the same code, so that rules and events can never disagree."""
    if text.isascii():
        return text.lower()
    return str(fold_series(pl.Series([text]))[0])


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
