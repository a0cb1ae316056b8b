"""Every writer sets the same document: text stays text, long tables are cut and counted, bytes repeat."""

from __future__ import annotations

import io
import re
import zipfile
from dataclasses import replace
from datetime import UTC, datetime

import docx as python_docx
import openpyxl
import orjson
import pypdf
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

from cityguard.render import document as documents
from cityguard.render import docx, html, json, outline, pdf, xlsx
from cityguard.render.document import Bar, Cell, Column, Document, Pairs, Paragraph, Section, Signatures, Table

WRITERS = {"html": html.write, "pdf": pdf.write, "docx": docx.write, "xlsx": xlsx.write, "json": json.write}
HOSTILE = (
    "{{7*7}}{% for x in y %}",
    '#import "x.typ": y #eval("1+1") $x$ \\#',
    "<script>alert(1)</script><img src=http://127.0.0.1:9/x>",
    "=cmd|' /C calc'!A0",
    "<w:p/>&amp;]]>",
    "https://example.invalid/click",
    "+1",
    "@SUM(1)",
    "＝1",
)
WORDS = {
    "contents": "目录",
    "page": "第 {page} 页 共 {pages} 页",
    "more": "另有 {n} 行",
    "made_by": "自查",
    "group": "组",
}


def made(*blocks: documents.Block, title: str = "自查报告") -> Document:
    return Document(
        kind="assessment",
        language="zh-CN",
        title=title,
        subtitle="供水调度系统",
        number="CG-1",
        made_at=datetime(2026, 11, 21, 8, tzinfo=UTC),
        notice="声明：等级测评报告只能由测评机构出具。",
        cover=Pairs((("系统", Cell("供水调度系统")),)),
        sections=(Section("第一章", blocks),),
        words=WORDS,
        facts={"blocks": [block.block for block in blocks], "title": title},
    )


def table(*texts: str, groups: tuple[str, ...] = ()) -> Table:
    columns = (Column("序号", 0.5, "number"), Column("内容", 2), Column("摘要", 2, "code"))
    rows = tuple((Cell(str(n)), Cell(text, "bad"), Cell(text)) for n, text in enumerate(texts))
    return Table(columns, rows, groups, "无")


EVERYTHING = made(
    Paragraph("普通段落"),
    Paragraph("提示", "notice"),
    Paragraph("公式", "formula"),
    Paragraph("结论", "strong"),
    Pairs((("标签", Cell("值", "good")),)),
    Bar((("符合", 3, "good"), ("不符合", 0, "bad"))),
    Bar((("符合", 0, "good"),)),
    table("甲", "乙", "丙", groups=("一组", "一组", "二组")),
    table(),
    Signatures(("编制", "审核"), ("角色", "姓名", "签字", "日期")),
)


def text_of(kind: str, data: bytes) -> str:
    """All text a reader of the file sees, without white space."""
    if kind == "html":
        tree = etree.HTML(data)
        found = "".join(tree.xpath("//text()[not(ancestor::style)]"))
    elif kind == "pdf":
        found = "".join(page.extract_text() for page in pypdf.PdfReader(io.BytesIO(data)).pages)
    elif kind == "docx":
        with zipfile.ZipFile(io.BytesIO(data)) as parts:
            found = "".join(etree.fromstring(parts.read("word/document.xml")).itertext())
    elif kind == "xlsx":
        book = openpyxl.load_workbook(io.BytesIO(data))
        found = "".join(
            str(cell) for sheet in book for row in sheet.iter_rows(values_only=True) for cell in row if cell
        )
    else:
        found = data.decode()
    return re.sub(r"\s+", "", found)


@pytest.mark.parametrize("kind", ["html", "pdf", "docx", "xlsx"])
def test_every_kind_of_block_is_set(kind: str) -> None:
    said = text_of(kind, WRITERS[kind](EVERYTHING))
    for word in (
        "普通段落",
        "提示",
        "公式",
        "结论",
        "标签",
        "值",
        "一组",
        "二组",
        "甲",
        "丙",
        "无",
        "编制",
        "签字",
        "声明",
    ):
        assert word in said, word


@pytest.mark.parametrize("kind", WRITERS)
def test_the_same_document_gives_the_same_bytes(kind: str) -> None:
    assert WRITERS[kind](EVERYTHING) == WRITERS[kind](EVERYTHING)


@pytest.mark.parametrize("kind", ["html", "pdf", "docx", "xlsx"])
def test_hostile_text_is_shown_and_never_run(kind: str) -> None:
    doc = made(Paragraph(" ".join(HOSTILE)), table(*HOSTILE, groups=HOSTILE), title=HOSTILE[0])
    said = text_of(kind, WRITERS[kind](doc))
    for text in HOSTILE:
        assert re.sub(r"\s+", "", text) in said, text
    assert "49" not in said


def test_html_has_no_script_no_link_out_and_forbids_both() -> None:
    page = html.write(made(Paragraph(" ".join(HOSTILE)), table(*HOSTILE)))
    tree = etree.HTML(page)
    assert not tree.xpath("//script | //img | //link | //iframe | //object | //form")
    assert all(one.startswith("#") for one in tree.xpath("//@href"))
    assert not tree.xpath("//@src")
    assert b"url(" not in page
    assert tree.xpath("//meta[@http-equiv='Content-Security-Policy']/@content") == [
        "default-src 'none'; style-src 'unsafe-inline'"
    ]


def test_docx_is_well_formed_and_points_nowhere_outside() -> None:
    with zipfile.ZipFile(io.BytesIO(docx.write(made(table(*HOSTILE))))) as parts:
        for name in parts.namelist():
            if name.endswith((".xml", ".rels")):
                etree.fromstring(parts.read(name))
            if name.endswith(".rels"):
                assert b"External" not in parts.read(name)
        body = parts.read("word/document.xml") + parts.read("word/footer1.xml")
        assert set(re.findall(rb'w:instr="([^"]*)"', body)) == {b"PAGE", b"NUMPAGES"}


def test_docx_opens_with_headings_repeated_heads_and_east_asian_fonts() -> None:
    opened = python_docx.Document(io.BytesIO(docx.write(EVERYTHING)))
    assert [one.text for one in opened.paragraphs if one.style.name == "Heading 1"] == ["1 第一章"]
    body = opened.element.xml
    assert body.count("<w:tblHeader/>") == 1
    assert body.count("<w:cantSplit/>") > 3
    fonts = opened.styles["Normal"].element.rPr.rFonts
    assert fonts.get("{http://schemas.openxmlformats.org/wordprocessingml/2006/main}eastAsia") == docx.FONT_EAST
    assert opened.core_properties.created.isoformat().startswith("2026-11-21T08:00")


def test_xlsx_cells_are_strings_and_risky_ones_stay_quoted_when_edited() -> None:
    book = openpyxl.load_workbook(io.BytesIO(xlsx.write(made(table(*HOSTILE)))))
    sheet = book["1 第一章"]
    cells = {cell.value: cell for row in sheet.iter_rows() for cell in row if cell.value}
    for text in HOSTILE:
        assert cells[text].data_type == "s"
        assert cells[text].hyperlink is None
        assert bool(cells[text].style and cells[text].quotePrefix) == text.startswith(xlsx.RISKY)


def test_pdf_has_chinese_text_page_numbers_and_the_date_of_the_facts() -> None:
    reader = pypdf.PdfReader(io.BytesIO(pdf.write(made(table("值", "ab12")))))
    assert "第 1 页 共 2 页" in reader.pages[0].extract_text()
    assert "供水调度系统" in reader.pages[1].extract_text()
    assert reader.metadata is not None
    assert str(reader.metadata.creation_date).startswith("2026-11-21")
    fonts = {font for page in reader.pages for font in re.findall(r"\+([A-Za-z]+)", str(fonts_of(page)))}
    assert fonts == {"NotoSansSC", "DejaVuSansMono"}


def fonts_of(page: pypdf.PageObject) -> list[str]:
    resources = page["/Resources"].get_object()
    return [str(font.get_object()["/BaseFont"]) for font in resources["/Font"].get_object().values()]


def test_a_hash_copied_out_of_the_pdf_is_the_hash_that_was_put_in() -> None:
    digest = "62211768d93cd59c875ce91963de7621948b75e69c581c1aa4114d4203c9032f"
    pages = pypdf.PdfReader(io.BytesIO(pdf.write(made(table(digest))))).pages
    assert digest in re.sub(r"[\n ]", "", pages[1].extract_text())


@pytest.mark.parametrize(("kind", "limit"), [("html", documents.MAX_ROWS), ("docx", docx.MAX_ROWS)])
def test_a_table_that_is_too_long_is_cut_and_says_by_how_much(kind: str, limit: int) -> None:
    rows = tuple((Cell(str(n)),) for n in range(limit + 7))
    said = text_of(kind, WRITERS[kind](made(Table((Column("序号"),), rows))))
    assert "另有7行" in said
    assert f"{limit - 1}" in said


def test_a_long_table_is_cut_in_pdf_and_whole_in_xlsx() -> None:
    whole = Table((Column("序号"),), tuple((Cell(f"第{n}行"),) for n in range(documents.MAX_ROWS + 3)))
    assert "另有3行" in text_of("pdf", pdf.write(made(whole)))
    assert f"第{documents.MAX_ROWS + 2}行" in text_of("xlsx", xlsx.write(made(whole)))


def test_a_missing_font_package_is_told_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf, "FONT_PACKAGE", "no_such_font_package")
    pdf._fonts.cache_clear()
    try:
        with pytest.raises(Exception, match="pip install justmytype-intl-cjk"):
            pdf.write(EVERYTHING)
    finally:
        pdf._fonts.cache_clear()


def test_json_holds_the_facts_sorted() -> None:
    facts = orjson.loads(json.write(replace(EVERYTHING, facts={"b": 1, "a": "="})))
    assert facts == {"report": "assessment", "language": "zh-CN", "facts": {"a": "=", "b": 1}}


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(max_size=80))
def test_any_text_can_be_set_in_every_format(text: str) -> None:
    shown = outline._clean(text)
    doc = made(Paragraph(shown), Pairs(((shown, Cell(shown)),)), table(shown, groups=(shown,)))
    for kind in ("html", "docx", "xlsx", "pdf"):
        text_of(kind, WRITERS[kind](doc))
