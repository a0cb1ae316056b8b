"""Text misread on its way is put right, and text that is right stays."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cityguard.decoders.misread import repaired
from cityguard.decoders.text import text
from cityguard.sources.lines import one_each


@pytest.mark.parametrize("meant", ["成功", "登录", "修改了规则", "包过滤日志", "策略，允许"])
def test_utf8_read_as_gb18030_and_gb18030_read_as_latin1_are_put_right(meant: str) -> None:
    wide = f'result="{meant.encode().decode("gb18030", "strict")}" x=1' if len(meant) % 2 == 0 else None
    latin = f"name={meant.encode('gb18030').decode('latin-1')};"
    for line, wanted in ((wide, f'result="{meant}" x=1'), (latin, f"name={meant};")):
        if line is not None:
            read = text(one_each([line.encode()]))
            assert read.values.to_list() == [wanted]
            assert read.flags.to_list() == [["misread"]]
            assert read.raw.to_list() == [line]


@pytest.mark.parametrize(
    "line",
    [
        "登录失败，密码错误",
        "区政务防火墙",
        "联通",
        "鏃",
        "涓洇漩",
        "Ünïcödé names",
        "naïve café",
        "ÄÖÜß",
        "Łódź",
        "日本語テキスト",
    ],
)
def test_text_that_is_right_stays(line: str) -> None:
    read = text(one_each([line.encode()]))
    assert read.values.to_list() == [line]
    assert read.flags.to_list() == [None]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(max_size=40), max_size=4))
def test_any_text_keeps_its_lines(lines: list[str]) -> None:
    none = pl.Series([None] * len(lines), dtype=pl.List(pl.String))
    values, flags = repaired(pl.Series(lines, dtype=pl.String), none)
    assert len(values) == len(flags) == len(lines)
    again = zip(values, lines, flags, strict=True)
    assert all(new == old or flag is not None for new, old, flag in again)
