"""DOCX for hands that go on editing: real headings, repeated table heads, page numbers, East-Asian fonts."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from datetime import UTC
from typing import Any

import docx
from docx.enum.text import WD_ALIGN_PARAGRAPH
from docx.oxml import OxmlElement
from docx.oxml.ns import qn
from docx.shared import Cm, Pt, RGBColor

from cityguard.render.document import Bar, Cell, Document, Pairs, Paragraph, Signatures, Table, capped

FONT = "Noto Sans SC"
FONT_EAST = "微软雅黑"  # what a government desktop has
ACCENT = RGBColor(0x1F, 0x4E, 0x8C)
TONES = {
    "good": RGBColor(0x1D, 0x7A, 0x46),
    "part": RGBColor(0x9A, 0x67, 0x00),
    "bad": RGBColor(0xB4, 0x23, 0x18),
    "none": RGBColor(0x5B, 0x66, 0x75),
    "open": RGBColor(0x5A, 0x4F, 0xCF),
}
HEAD = "EEF2F7"
GROUP = "F7F9FB"
LINE_CM = 17.4
MAX_ROWS = 1_000  # python-docx holds the tree in memory


def write(document: Document) -> bytes:
    """Set a document for Word; long tables are cut, with the number of rows left out."""
    out = docx.Document()
    _prepare(out, document)
    title = out.add_paragraph(style="Title")
    title.add_run(document.title)
    out.add_paragraph(document.subtitle)
    out.add_paragraph(document.number)
    _paragraph(out, Paragraph(document.notice, "notice"))
    _pairs(out, document.cover)
    for number, section in enumerate(document.sections, 1):
        out.add_heading(f"{number} {section.title}", level=1)
        for block in section.blocks:
            match block:
                case Paragraph():
                    _paragraph(out, block)
                case Pairs():
                    _pairs(out, block)
                case Table():
                    _table(out, block, document)
                case Bar():
                    _bar(out, block)
                case Signatures():
                    _signatures(out, block)
    raw = io.BytesIO()
    out.save(raw)
    return _repeatable(raw.getvalue())


def _prepare(out: Any, document: Document) -> None:
    section = out.sections[0]
    section.page_width, section.page_height = Cm(21), Cm(29.7)
    section.left_margin = section.right_margin = Cm(1.8)
    section.top_margin, section.bottom_margin = Cm(2.2), Cm(2)
    for name in ("Normal", "Title", "Heading 1"):
        _font(out.styles[name])
    out.styles["Normal"].font.size = Pt(10)
    out.styles["Title"].font.size = Pt(24)
    out.styles["Title"].font.bold = True
    out.styles["Heading 1"].font.size = Pt(14)
    out.styles["Heading 1"].font.color.rgb = ACCENT
    made = document.made_at.astimezone(UTC).replace(tzinfo=None)
    about = out.core_properties
    about.title, about.author, about.language = f"{document.title} {document.number}", "cityguard", document.language
    about.created = about.modified = made
    about.comments = ""
    section.header.paragraphs[0].text = f"{document.title}　{document.subtitle}　{document.number}"
    foot = section.footer.paragraphs[0]
    foot.alignment = WD_ALIGN_PARAGRAPH.CENTER
    before, _, rest = document.words["page"].partition("{page}")
    between, _, after = rest.partition("{pages}")
    for text, code in ((before, "PAGE"), (between, "NUMPAGES"), (after, "")):
        foot.add_run(text)
        if code:
            _field(foot, code)


def _font(style: Any) -> None:
    style.font.name = FONT
    fonts = style.element.get_or_add_rPr().get_or_add_rFonts()
    for theme in ("asciiTheme", "hAnsiTheme", "eastAsiaTheme", "cstheme"):
        fonts.attrib.pop(qn(f"w:{theme}"), None)
    fonts.set(qn("w:eastAsia"), FONT_EAST)


def _field(paragraph: Any, code: str) -> None:
    field = OxmlElement("w:fldSimple")
    field.set(qn("w:instr"), code)
    run, text = OxmlElement("w:r"), OxmlElement("w:t")
    text.text = "1"
    run.append(text)
    field.append(run)
    paragraph._p.append(field)


def _paragraph(out: Any, block: Paragraph) -> None:
    paragraph = out.add_paragraph()
    run = paragraph.add_run(block.text)
    if block.style == "strong":
        run.bold, run.font.size = True, Pt(12)
    elif block.style == "formula":
        run.font.size, run.font.color.rgb = Pt(8.5), TONES["none"]
    elif block.style == "notice":
        _shade(paragraph._p.get_or_add_pPr(), HEAD)


def _pairs(out: Any, block: Pairs) -> None:
    table = _grid(out, len(block.rows), (1, 3))
    cells = table._cells
    for index, (label, cell) in enumerate(block.rows):
        _fill(cells[2 * index], Cell(label))
        _shade(cells[2 * index]._tc.get_or_add_tcPr(), HEAD)
        _fill(cells[2 * index + 1], cell)
    out.add_paragraph()


def _table(out: Any, whole: Table, document: Document) -> None:
    if not whole.rows:
        out.add_paragraph(whole.empty)
        return
    block, left = capped(whole, MAX_ROWS)
    width = len(block.columns)
    plan = _plan(block)
    table = _grid(out, len(plan) + 1, [column.width for column in block.columns])
    cells = table._cells  # computed anew at every access: take it once
    for place, column in enumerate(block.columns):
        _fill(cells[place], Cell(column.title), bold=True)
        _shade(cells[place]._tc.get_or_add_tcPr(), HEAD)
    _repeat(table.rows[0])
    for index, row in enumerate(plan, 1):
        mine = cells[index * width : (index + 1) * width]
        if isinstance(row, str):
            _fill(mine[0].merge(mine[-1]), Cell(row), bold=True)
            _shade(mine[0]._tc.get_or_add_tcPr(), GROUP)
            continue
        for place, cell in enumerate(row):
            _fill(mine[place], cell, mono=block.columns[place].kind == "code")
    _whole_rows(table)
    out.add_paragraph(document.words["more"].replace("{n}", str(left)) if left else "")


def _plan(block: Table) -> list[str | tuple[Cell, ...]]:
    """Rows, with a group's label before its first row."""
    plan: list[str | tuple[Cell, ...]] = []
    last = None
    for index, row in enumerate(block.rows):
        if block.groups and block.groups[index] != last:
            last = block.groups[index]
            plan.append(last)
        plan.append(row)
    return plan


def _bar(out: Any, block: Bar) -> None:
    table = _grid(out, 2, [1] * len(block.parts))
    cells = table._cells
    for place, (label, count, tone) in enumerate(block.parts):
        _fill(cells[place], Cell(label, tone), bold=True)
        _shade(cells[place]._tc.get_or_add_tcPr(), HEAD)
        _fill(cells[len(block.parts) + place], Cell(str(count), tone))
    out.add_paragraph()


def _signatures(out: Any, block: Signatures) -> None:
    table = _grid(out, len(block.roles) + 1, (1, 1.2, 1.6, 1.2))
    cells = table._cells
    for place, title in enumerate(block.columns):
        _fill(cells[place], Cell(title), bold=True)
        _shade(cells[place]._tc.get_or_add_tcPr(), HEAD)
    for index, role in enumerate(block.roles, 1):
        _fill(cells[4 * index], Cell(role))
        table.rows[index].height = Cm(1.3)
    _whole_rows(table)


def _grid(out: Any, rows: int, shares: Sequence[float]) -> Any:
    table = out.add_table(rows=rows, cols=len(shares))
    table.style = "Table Grid"
    table.autofit = False
    for column, share in zip(table.columns, shares, strict=True):
        column.width = Cm(LINE_CM * share / sum(shares))
    widths = [column.width for column in table.columns]
    for index, cell in enumerate(table._cells):
        cell.width = widths[index % len(widths)]
    return table


def _fill(cell: Any, value: Cell, *, bold: bool = False, mono: bool = False) -> None:
    run = cell.paragraphs[0].add_run(value.text)
    run.font.size = Pt(7 if mono else 8.5)
    run.bold = bold or bool(value.tone) or None
    if value.tone:
        run.font.color.rgb = TONES[value.tone]


def _shade(properties: Any, colour: str) -> None:
    shade = OxmlElement("w:shd")
    shade.set(qn("w:val"), "clear")
    shade.set(qn("w:color"), "auto")
    shade.set(qn("w:fill"), colour)
    properties.append(shade)


def _repeat(row: Any) -> None:
    row._tr.get_or_add_trPr().append(OxmlElement("w:tblHeader"))


def _whole_rows(table: Any) -> None:
    for row in table._tbl.tr_lst:
        row.get_or_add_trPr().insert(0, OxmlElement("w:cantSplit"))


def _repeatable(raw: bytes) -> bytes:
    """The same parts with a fixed date each: zip stores the time of writing otherwise."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(raw)) as source, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            part = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            part.compress_type = zipfile.ZIP_DEFLATED
            target.writestr(part, source.read(name))
    return out.getvalue()
