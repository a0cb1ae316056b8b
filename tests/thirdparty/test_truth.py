"""What other people's tools say of the same bytes: every line of every comparator holds the level asked of it.

``units.tsv`` has the least number of units a line compares on the given data, and of those that are equal: a comparator
that finds nothing, or much less than it did, fails, also on lines of which no level is asked. This is the one place
where comparators run in tests.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from truth.__main__ import main, modules, row, run
from truth.base import Line
from truth.nothing import NO_DATA

LEAST = {
    (comparator, name): (int(compared), int(equal))
    for comparator, name, compared, equal in (
        text.split("\t") for text in (Path(__file__).parent / "units.tsv").read_text(encoding="utf-8").splitlines()
    )
}


@pytest.mark.parametrize("name", modules())
def test_our_answers_are_those_of_others(name: str, shared: Path) -> None:
    lines = run(name, shared)
    told = {line.name: line for line in lines}
    assert len(told) == len(lines), "two lines have one name"
    wanted = {line for comparator, line in LEAST if comparator == name}
    assert told.keys() - NO_DATA.keys() == wanted, "units.tsv has every line that has data, and no other"
    found = {line: (told[line].compared, told[line].equal) for line in wanted}
    few = [(line, *counts) for line, counts in found.items() if any(map(int.__lt__, counts, LEAST[name, line]))]
    assert not few, "fewer units than there are"
    failed = [(row(line), line.notes[:3]) for line in lines if not line.empty and not line.holds]
    assert not failed
    assert all(line.empty for line in lines if line.name in NO_DATA), "a line that has data now; give it a number"


def test_a_line_without_data_holds_nothing_and_is_said_to_have_none() -> None:
    line = Line("dns", "zeek", "rows", floor=0.99)
    assert line.empty
    assert not line.holds
    assert "no data" in row(line)


def test_more_of_ours_than_a_line_allows_fails_it() -> None:
    line = Line("dns", "zeek", "rows", floor=0.99, most_extra=0.5)
    line.add("case", "ab", "abc")
    assert line.holds
    line.add("case", "", "d")
    assert not line.holds
    assert "MORE" in row(line)
    alone = Line("dns", "zeek", "rows", most_extra=0.5)
    alone.add("case", "", "a")
    assert not alone.holds


def test_units_that_are_neither_equal_nor_missing_fail_a_line() -> None:
    line = Line("dns", "zeek", "rows", compared=3, equal=2)
    assert not line.holds


def test_a_folder_without_any_data_is_no_success(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["truth", str(tmp_path)])
    assert main() == 1
    assert "without data" in capsys.readouterr().out
