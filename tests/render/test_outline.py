"""Outlines say where facts stand; a fact is looked up and shown, never run, never looked at twice."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from cityguard.errors import InputError
from cityguard.model import Text
from cityguard.render import outline
from cityguard.render.document import MAX_TEXT, Cell, Document, Pairs, Paragraph, Table

SHANGHAI = ZoneInfo("Asia/Shanghai")
WHOLE = """
report: own
title: {zh: 周报, en: Weekly}
subtitle: {zh: "{name}", en: "{name}"}
notice: {zh: "说明 {name}", en: "Note {name}"}
words: {}
cover: [{zh: 名称, en: Name, field: name}]
sections:
  - title: {zh: 内容, en: Content}
    blocks:
"""


@dataclass(frozen=True, slots=True)
class Row:
    label: Text
    count: int


@dataclass(frozen=True, slots=True)
class Facts:
    number: str = "CG-1"
    made_at: datetime = datetime(2026, 11, 21, 8, tzinfo=UTC)
    name: Any = "水务"
    rows: tuple[Row, ...] = (Row(Text("甲", "A"), 1200),)
    counts: Any = None


def laid(tmp_path: Path, blocks: str, facts: Facts = Facts(), language: str = "zh-CN") -> Document:
    (tmp_path / "reports").mkdir(exist_ok=True)
    (tmp_path / "reports/own.yml").write_text(WHOLE + blocks, encoding="utf-8")
    return outline.lay(outline.load("own", tmp_path), facts, language=language, zone=SHANGHAI)


def test_facts_stand_where_the_outline_says_in_both_languages(tmp_path: Path) -> None:
    blocks = """
      - table: rows
        columns: [{zh: 名, en: Name, field: label}, {zh: 数, en: Count, field: count, kind: number}]
      - text: {zh: "共 {rows}", en: "all {rows}"}
        when: counts
    """
    zh, en = laid(tmp_path, blocks), laid(tmp_path, blocks, language="en")
    (found,) = zh.sections[0].blocks
    assert isinstance(found, Table)
    assert found.rows == ((Cell("甲"), Cell("1,200")),)
    (found,) = en.sections[0].blocks
    assert isinstance(found, Table)
    assert [column.title for column in found.columns] == ["Name", "Count"]
    assert found.rows[0][0] == Cell("A")
    assert (zh.title, en.title, zh.notice) == ("周报", "Weekly", "说明 水务")


@pytest.mark.parametrize(
    ("value", "zh", "en"),
    [
        ("", "—", "—"),
        (None, "—", "—"),
        (" ", " ", " "),
        (True, "是", "yes"),
        (12345, "12,345", "12,345"),
        (0.5, "0.5", "0.5"),
        (date(2026, 3, 2), "2026-03-02", "2026-03-02"),
        (datetime(2026, 11, 21, 16, 30, tzinfo=UTC), "2026-11-22 00:30:00+08:00", "2026-11-22 00:30:00+08:00"),
        (("符合", "x"), "符合；x", "Met; x"),
        ((), "—", "—"),
        ("待确认", "待确认", "To be confirmed"),
        ("a\x00b\x1b[31m", "a\ufffdb\ufffd[31m", "a\ufffdb\ufffd[31m"),
        ("x" * 5000, "x" * MAX_TEXT + "…", "x" * MAX_TEXT + "…"),
    ],
)
def test_every_kind_of_fact_has_one_way_to_be_said(tmp_path: Path, value: Any, zh: str, en: str) -> None:
    block = "      - pairs: [{zh: 值, en: Value, field: name}]"
    for language, want in (("zh-CN", zh), ("en", en)):
        (found,) = laid(tmp_path, block, Facts(name=value), language).sections[0].blocks
        assert isinstance(found, Pairs)
        assert found.rows[0][1].text == want


def test_what_a_fact_says_is_never_filled_in_again(tmp_path: Path) -> None:
    block = '      - text: {zh: "甲 {name}", en: "A {name}"}'
    (found,) = laid(tmp_path, block, Facts(name="{number} {name.__class__} {0}")).sections[0].blocks
    assert isinstance(found, Paragraph)
    assert found.text == "甲 {number} {name.__class__} {0}"


@pytest.mark.parametrize("name", ["nothing", "name.upper", "made_at.year", "rows.count"])
def test_only_facts_can_be_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=f"no fact '{name}'"):
        laid(tmp_path, f"      - pairs: [{{zh: 值, en: Value, field: {name}}}]")


@pytest.mark.parametrize("kind", ["../secret", "none-such", "controls/gbt22239-2019", ""])
def test_a_report_that_does_not_exist_is_told(kind: str) -> None:
    with pytest.raises(InputError, match="no report"):
        outline.load(kind)


def test_an_outline_of_the_wrong_shape_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"own\.yml"):
        laid(tmp_path, "      - {table: 5}")


@pytest.mark.parametrize("kind", ["assessment", "drill", "scan"])
def test_shipped_outlines_have_every_word_in_both_languages(kind: str) -> None:
    whole = outline.load(kind)
    texts = [whole.title, whole.subtitle, whole.notice, *whole.words.values()]
    labels = [(one.zh, one.en) for one in whole.cover]
    for section in whole.sections:
        texts.append(section.title)
        for block in section.blocks:
            texts.extend([block.empty, *block.signatures, *([block.text] if block.text else [])])
            labels.extend((one.zh, one.en) for one in (*block.pairs, *block.columns))
    assert all(text.zh.strip() and text.en.strip() for text in texts)
    assert all(zh.strip() and en.strip() for zh, en in labels)
    assert set(whole.words) == {"contents", "page", "more", "made_by", "group"}
