"""Reading for somebody who only asks rules and keeps nothing: the columns they look at, and larger pieces."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from cityguard.model import LogSource

Wanted = Callable[[LogSource | None, Collection[str]], frozenset[str] | None]
"""A batch's log source and its own columns -> the other columns somebody will look at; None = all of them."""


@dataclass(frozen=True, slots=True)
class Narrow:
    """What is left out, and how much is read at once. Rows and their order are the same."""

    wanted: Wanted
    names: Callable[[LogSource | None], frozenset[str] | None] | None = None
    """Of a log source, the fields somebody will look at, whoever names them; None = all."""
    block: int = 16 << 20  # bytes of text


@dataclass(frozen=True, slots=True)
class Span:
    """Whole lines of a text: from one byte to another, and how many items stand before them."""

    start: int
    end: int
    items: int
