"""How commands speak: data on stdout, messages on stderr, colour only for a person."""

from __future__ import annotations

import os
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

import orjson
import typer
from rich.console import Console
from rich.table import Table

from cityguard.cli.state import STATE
from cityguard.model import Text

OK, ERROR, USAGE, FINDINGS, PARTIAL, REFUSED = 0, 1, 2, 3, 4, 5
NO_STORE, LOCKED, AUTHENTICATION, CANCELLED = 10, 11, 12, 130
SCHEMA_VERSION = 1

err = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)  # :100: is an address, not a picture
out = Console(
    highlight=False, emoji=False, width=None if sys.stdout.isatty() else 160
)  # a pipe has no width of its own


def language() -> str:
    """The language of messages: ``--lang``, else the environment's, else Chinese."""
    if STATE.language:
        return STATE.language
    return "en" if os.environ.get("CITYGUARD_LANGUAGE", "") == "en" else "zh-CN"


def pick(zh: str, en: str) -> str:
    return Text(zh, en).get(language())


def say(zh: str, en: str) -> None:
    """A message on stderr, silent under --quiet."""
    if not STATE.quiet:
        err.print(safe(pick(zh, en)), markup=False)


def fail(message: str, code: int) -> NoReturn:
    """End with an error line and an exit code."""
    err.print(f"{pick('错误', 'error')}: {safe(message)}", style="red", markup=False)
    raise typer.Exit(code)


def safe(text: str) -> str:
    """Make control and bidirectional characters visible: what comes from the wire must not drive a terminal."""
    if text.isprintable():
        return text
    return "".join(c if c == "\n" or c.isprintable() else f"\\x{ord(c):02x}" for c in text)


def jsonl(rows: Iterable[Any]) -> None:
    """One JSON object a line; ends quietly when the reader has gone."""
    write = sys.stdout.buffer.write
    for row in rows:
        write(orjson.dumps(row, default=_plain, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_PASSTHROUGH_DATETIME))
    sys.stdout.buffer.flush()


def document(value: Any) -> None:
    """One JSON document, indented."""
    sys.stdout.buffer.write(
        orjson.dumps(
            value,
            default=_plain,
            option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE | orjson.OPT_PASSTHROUGH_DATETIME,
        )
    )
    sys.stdout.buffer.flush()


def table(title: str, head: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """A table for a person; numbers to the right."""
    made = Table(title=title, title_justify="left", show_edge=False, pad_edge=False)
    body = [["" if cell is None else safe(str(cell)) for cell in row] for row in rows]
    for index, name in enumerate(head):
        numbers = bool(body) and all(row[index].replace(",", "").replace(".", "").isdigit() for row in body)
        made.add_column(name, justify="right" if numbers else "left", overflow="fold")
    for row in body:
        made.add_row(*(cell.replace("[", "\\[") for cell in row))
    out.print(made)


def width(text: str) -> int:
    """Columns a text takes in a terminal, Chinese characters counting two."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _plain(value: Any) -> Any:
    from dataclasses import asdict, is_dataclass
    from datetime import date, datetime
    from pathlib import Path

    from cityguard.clock import iso

    if isinstance(value, datetime):
        return iso(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Path):
        return str(value)
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    raise TypeError(type(value).__name__)
