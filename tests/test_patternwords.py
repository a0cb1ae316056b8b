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
    ],
)
def test_every_match_holds_a_word_of_each_set(pattern: str, text: str) -> None:
    assert pl.Series([text]).str.contains(pattern)[0]
    for words in required(pattern):
        assert any(word in text for word in words), words
