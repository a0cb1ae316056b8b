"""A half of a character's pair in JSON costs that character, never the line."""

from __future__ import annotations

import json as plain
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cityguard.decoders import journal, json, windows
from cityguard.sources.lines import one_each


def decode(items: list[bytes]) -> list[dict[str, Any]]:
    done = json.decoder({}).decode(one_each(items))
    assert done.rejected == 0
    return [row for batch in done.batches for row in batch.table.to_dicts()]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (r"a\ud800b", "a\ufffdb"),
        (r"\uDFFF", "\ufffd"),
        (r"\udc00\ud800x", "\ufffd\ufffdx"),
        (r"\ud83d\ud83d\ude00", "\ufffd\U0001f600"),
    ],
)
@pytest.mark.parametrize("count", [1, 200])
def test_a_half_alone_is_a_replacement_character(written: str, meant: str, count: int) -> None:
    rows = decode([b'{"m":"%b"}' % written.encode(), b'{"m":"good"}'] * count)
    assert [row["m"] for row in rows] == [meant, "good"] * count
    assert [row["event.flags"] for row in rows[:2]] == [["lone_surrogate"], None]
    assert rows[0]["event.original"] == f'{{"m":"{written}"}}'


def test_pairs_and_escaped_backslashes_are_no_halves() -> None:
    rows = decode([rb'{"m":"\ud83d\ude00","p":"C:\\ud800"}'])
    assert (rows[0]["m"], rows[0]["p"], rows[0]["event.flags"]) == ("\U0001f600", r"C:\ud800", None)


def test_events_of_windows_and_of_the_journal_stay_too() -> None:
    event = rb'{"EventID":1,"Channel":"Security","Image":"a\ud800"}'
    entry = rb'{"MESSAGE":"a\ud800","_HOSTNAME":"web01"}'
    for module, item, name in ((windows, event, "Image"), (journal, entry, "message")):
        done = module.decoder({}).decode(one_each([item]))
        assert done.rejected == 0
        (row,) = done.batches[0].table.to_dicts()
        assert (row[name], row["event.flags"]) == ("a\ufffd", ["lone_surrogate"])


@settings(deadline=None, max_examples=60)
@given(st.lists(st.sampled_from(["\\", "\\\\", "\\u", "\ud83d", "\ude00", "D8", "00", "x"]), max_size=12))
def test_whatever_python_writes_as_json_is_read(parts: list[str]) -> None:
    text = "".join(parts)
    (row,) = decode([plain.dumps({"m": text, "n": 1}).encode()])
    assert row["m"] == text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
