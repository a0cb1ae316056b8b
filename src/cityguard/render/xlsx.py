"""XLSX: one sheet per chapter, every value a string or a number, never a formula or a link."""

from __future__ import annotations

import io
import re
import tempfile
from datetime import UTC
from typing import Any

import xlsxwriter

from cityguard.render.document import Bar, Cell, Document, Pairs, Paragraph, Section, Signatures, Table

MAX_ROWS = 100_000
COLOURS = {"good": "#1D7A46", "part": "#9A6700", "bad": "#B42318", "none": "#5B6675", "open": "#5A4FCF"}
HEAD = "#EEF2F7"
RISKY = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")
WIDTH = 100  # characters over all columns of a sheet


def write(document: Document) -> bytes:
    """Set a document as a workbook; memory stays flat whatever the number of rows."""
    out = io.BytesIO()
    with tempfile.TemporaryDirectory(prefix="cityguard-xlsx-") as folder:
        options = {
            "constant_memory": True,
            "tmpdir": folder,
            "strings_to_formulas": False,
            "strings_to_urls": False,
            "strings_to_numbers": False,
        }
        book = xlsxwriter.Workbook(out, options)
        made = document.made_at.astimezone(UTC).replace(tzinfo=None)
        title = f"{document.title} {document.number}"
        book.set_properties({"title": title, "author": "cityguard", "created": made})
        pen = _Pen(book)
        cover = Section(
            document.title, (Paragraph(document.subtitle), document.cover, Paragraph(document.notice, "notice"))
        )
        for number, section in enumerate((cover, *document.sections)):
            _sheet(book, pen, number, section, document)
        book.close()
    return out.getvalue()


class _Pen:
    """Formats by what a cell is; a cell that a spreadsheet might run keeps a quote before it when edited."""

    def __init__(self, book: Any) -> None:
        self.book = book
        self.made: dict[tuple[str, str, bool], Any] = {}

    def get(self, style: str, tone: str, text: str) -> Any:
        risky = text.startswith(RISKY)
        key = (style, tone, risky)
        if key not in self.made:
            self.made[key] = self.book.add_format(_properties(style, tone, risky))
        return self.made[key]


def _properties(style: str, tone: str, risky: bool) -> dict[str, Any]:
    found: dict[str, Any] = {"font_name": "微软雅黑", "font_size": 10, "valign": "top", "text_wrap": True}
    if style in ("cell", "head", "group"):
        found.update(border=1, border_color="#CFD6DF")
    if style in ("head", "group"):
        found.update(bold=True, bg_color=HEAD)
    if style == "title":
        found.update(bold=True, font_size=14, text_wrap=False)
    if style == "line":
        found.update(text_wrap=False)
    if tone:
        found.update(font_color=COLOURS[tone], bold=True)
    if risky:
        found.update(quote_prefix=True)
    return found


def _sheet(book: Any, pen: _Pen, number: int, section: Section, document: Document) -> None:
    name = re.sub(r"[\[\]:*?/\\']", " ", f"{number} {section.title}")[:31]
    sheet = book.add_worksheet(name)
    sheet.set_landscape()
    sheet.set_paper(9)
    sheet.fit_to_pages(1, 0)
    tables = [block for block in section.blocks if isinstance(block, Table) and block.rows]
    _widths(sheet, tables)
    rows = _Rows(sheet, pen)
    rows.line(section.title, "title")
    for block in section.blocks:
        match block:
            case Paragraph():
                rows.line(block.text, "line")
            case Pairs():
                for label, cell in block.rows:
                    rows.put((Cell(label), cell))
            case Bar():
                for label, count, tone in block.parts:
                    rows.put((Cell(label, tone), Cell(str(count))))
            case Signatures():
                rows.put(tuple(Cell(title) for title in block.columns), "head")
                for role in block.roles:
                    rows.put((Cell(role), Cell(""), Cell(""), Cell("")))
            case Table():
                _table(sheet, rows, block, document, freeze=len(tables) == 1)
        rows.skip()


def _table(sheet: Any, rows: _Rows, block: Table, document: Document, *, freeze: bool) -> None:
    if not block.rows:
        rows.line(block.empty, "line")
        return
    grouped = bool(block.groups)
    first = rows.at
    head = tuple(Cell(column.title) for column in block.columns)
    rows.put((*head, Cell(document.words["group"])) if grouped else head, "head")
    for index, row in enumerate(block.rows[:MAX_ROWS]):
        rows.put((*row, Cell(block.groups[index])) if grouped else row)
    if freeze:
        sheet.freeze_panes(first + 1, 0)
        sheet.autofilter(first, 0, rows.at - 1, len(block.columns) - (not grouped))
    if (left := len(block.rows) - MAX_ROWS) > 0:
        rows.line(document.words["more"].replace("{n}", str(left)), "line")


def _widths(sheet: Any, tables: list[Table]) -> None:
    if not tables:
        sheet.set_column(0, 0, 24)
        sheet.set_column(1, 3, 40)
        return
    widest = max(tables, key=lambda table: len(table.columns))
    total = sum(column.width for column in widest.columns)
    for place, column in enumerate(widest.columns):
        sheet.set_column(place, place, max(10, WIDTH * column.width / total * 1.4))
    if widest.groups:
        sheet.set_column(len(widest.columns), len(widest.columns), 36)


class _Rows:
    """Writes downwards only, as constant memory asks."""

    def __init__(self, sheet: Any, pen: _Pen) -> None:
        self.sheet, self.pen, self.at = sheet, pen, 0

    def put(self, cells: tuple[Cell, ...], style: str = "cell") -> None:
        for place, cell in enumerate(cells):
            self.sheet.write_string(self.at, place, cell.text, self.pen.get(style, cell.tone, cell.text))
        self.at += 1

    def line(self, text: str, style: str) -> None:
        self.sheet.write_string(self.at, 0, text, self.pen.get(style, "", text))
        self.at += 1

    def skip(self) -> None:
        self.at += 1
