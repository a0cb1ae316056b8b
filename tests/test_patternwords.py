"""Words that an expression needs: what looks like a letter but is none must not be asked for."""

from __future__ import annotations

import polars as pl
import pytest

from cityguard.patternwords import required


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (r"\<abc\>", "abc"),
        (r"\b{start}abc", "abc"),
        (r"abc\b{end}", "abc"),
        (r"a{2}bc", "aabc"),
        (r"[[:alpha:]]bc", "abc"),
        (r"evil+{0,2}x", "evix"),
        (r"ab{1,}{0,1}c", "ac"),
        (r"ab+??*c", "ac"),
        (r"cmd(?:\.exe){1,2}{0,1} /c", "cmd /c"),
        (r"^*foo", "xfoo"),
        (r"$?foo", "foo"),
        (r"a${0,1}b", "ab"),
        (r"\A{0,1}foo", "xfoo"),
        (r"\z?foo", "xfoo"),
        (r"\<*foo", "xfoo"),
        (r"(?:^+|x)foo", "xfoo"),
        (r"x{ 1 , 2 }y", "xxy"),
    ],
)
def test_every_match_holds_a_word_of_each_set(pattern: str, text: str) -> None:
    assert pl.Series([text]).str.contains(pattern)[0]
    for words in required(pattern):
        assert any(word in text for word in words), words


def test_a_lazy_quantifier_is_one_quantifier() -> None:
    assert [set(one) for one in required(r"abc??d{1,2}?efg")] == [{"efg"}, {"ab"}, {"d"}]
