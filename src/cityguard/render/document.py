"""A report laid out: plain text in blocks, no markup of any format. Every writer turns one ``Document`` into bytes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, TypeAlias

Tone = Literal["", "good", "part", "bad", "none", "open"]
Kind = Literal["text", "code", "number"]

MAX_ROWS = 2_000  # of one table in a paged format; the rest is counted, and stands in full in xlsx and json
MAX_TEXT = 3_000  # characters of one cell or paragraph


@dataclass(frozen=True, slots=True)
class Cell:
    """Text of one table cell, with the tone of the verdict it shows."""

    text: str
    tone: Tone = ""


@dataclass(frozen=True, slots=True)
class Column:
    """A table column; ``width`` is a share of the line."""

    title: str
    width: float = 1.0
    kind: Kind = "text"


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells. ``groups`` has one label per row; a writer sets a label where it changes."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    groups: tuple[str, ...] = ()
    empty: str = ""
    block: Literal["table"] = "table"


@dataclass(frozen=True, slots=True)
class Pairs:
    """Labels and values, such as the facts of a system."""

    rows: tuple[tuple[str, Cell], ...]
    block: Literal["pairs"] = "pairs"


@dataclass(frozen=True, slots=True)
class Paragraph:
    """A paragraph; ``style`` says how much it should stand out."""

    text: str
    style: Literal["plain", "notice", "formula", "strong"] = "plain"
    block: Literal["paragraph"] = "paragraph"


@dataclass(frozen=True, slots=True)
class Bar:
    """Shares of one whole: (label, count, tone)."""

    parts: tuple[tuple[str, int, Tone], ...]
    block: Literal["bar"] = "bar"


@dataclass(frozen=True, slots=True)
class Signatures:
    """Boxes for hands: one per role, with a line for name, signature and date."""

    roles: tuple[str, ...]
    columns: tuple[str, str, str, str]
    block: Literal["signatures"] = "signatures"


Block: TypeAlias = Table | Pairs | Paragraph | Bar | Signatures


@dataclass(frozen=True, slots=True)
class Section:
    """A numbered chapter."""

    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """A whole report in one language. ``facts`` are the same facts as plain data, for machine-readable formats."""

    kind: str
    language: str
    title: str
    subtitle: str
    number: str
    made_at: datetime
    notice: str
    cover: Pairs
    sections: tuple[Section, ...]
    words: dict[str, str]
    facts: dict[str, Any] = field(default_factory=dict)


Writer: TypeAlias = Callable[[Document], bytes]


def capped(table: Table, limit: int = MAX_ROWS) -> tuple[Table, int]:
    """A table of at most ``limit`` rows, and how many were left out."""
    left = len(table.rows) - limit
    if left <= 0:
        return table, 0
    return Table(table.columns, table.rows[:limit], table.groups[:limit], table.empty), left
