"""What a regular expression cannot do without is found, and nothing it can."""

from __future__ import annotations

import polars as pl
import pytest

from cityguard.collect.collectors import Collectors
from cityguard.collect.literals import Words, required


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        (r"%(?:ASA|FTD)-\d", [{"ASA", "FTD"}, {"%"}, {"-"}]),
        (r"^abc(?:def)?ghi+j*", [{"abc"}]),
        (r"a?b{0,2}c{2}", [{"c"}]),
        (r"one|(?:two|three)", [{"one", "two", "three"}]),
        (r"one|.*", []),
        (r"[^\]x]\p{Han}\.log\b", [{".log"}]),
        (r"(?i)abc", []),
        (r"\x41bc", []),
        (r"(abc", []),
        ("", []),
    ],
)
def test_words_every_match_holds(pattern: str, words: list[set[str]]) -> None:
    assert [set(one) for one in required(pattern)] == words


def test_no_line_that_a_pattern_of_the_collectors_matches_lacks_its_words() -> None:
    collectors = Collectors.load()
    lines = pl.Series([line for one in collectors for test in one.tests for line in test.lines])
    seen = 0
    for one in collectors:
        told = one.detect
        for pattern in (told.lines, told.body) if told else ():
            hits = lines.filter(lines.str.contains(pattern)) if pattern else lines.head(0)
            for words in required(pattern or ""):
                assert hits.str.contains_any(sorted(words)).all(), (one.name, pattern, words)
                seen += len(hits)
    assert seen > 1000


def test_words_of_many_lines_are_found_in_one_pass() -> None:
    words = Words({"log", "dialog", "%", ": "})
    held = words.of(pl.Series(["a dialog", "x: 1%", "", *["log"] * 5000]))
    found = {word: held[nth].nonzero()[0][:3].tolist() for word, nth in words.column.items()}
    assert found == {"%": [1], ": ": [1], "log": [0, 3, 4], "dialog": [0]}
    assert held[words.column["log"]].sum() == 5001
    assert Words(()).of(pl.Series(["a"])).shape == (0, 1)


def test_few_lines_are_told_as_many_are() -> None:
    words = Words({"log", "dialog", "%", ": ", "风险"})
    lines = ["a dialog", "x: 1%", "", "风险:低"]
    assert (words.of(pl.Series(lines * 9))[:, :4] == words.of(pl.Series(lines))).all()
