"""Delimited tables: Zeek's TSV against what was written, bad rows rejected alone, CSV."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cityguard.decoders import csv, table
from cityguard.errors import DecodeError
from cityguard.sources.lines import one_each

unhurried = settings(deadline=None, max_examples=40)
HEAD = ["#separator \\x09", "#set_separator\t,", "#empty_field\t(empty)", "#unset_field\t-", "#path\tx"]
HEAD += ["#fields\tn\ts\tl\tb", "#types\tcount\tstring\tset[string]\tbool"]
word = st.text(st.characters(exclude_categories=("C", "Z"), exclude_characters=",\\#{-("), min_size=1, max_size=8)
rows = st.lists(
    st.tuples(st.none() | st.integers(0, 2**62), st.none() | word, st.lists(word, max_size=3), st.booleans()),
    max_size=6,
)


def decode(lines: list[str], decoder: Any = None) -> Any:
    return (decoder or table.decoder({})).decode(one_each([line.encode() for line in lines]))


def written(row: tuple[int | None, str | None, list[str], bool]) -> str:
    number, text, several, flag = row
    cells = ["-" if number is None else str(number), text or "-", ",".join(several) or "(empty)", "T" if flag else "F"]
    return "\t".join(cells)


@unhurried
@given(rows)
def test_rows_come_back_with_their_types(given_: list[Any]) -> None:
    done = decode([*HEAD, *map(written, given_)])
    assert (done.ignored, done.rejected) == (len(HEAD), 0)
    found = [tuple(row[name] for name in "nslb") for batch in done.batches for row in batch.table.to_dicts()]
    assert found == given_


@unhurried
@given(st.lists(st.binary(max_size=30), max_size=8))
def test_any_bytes_are_rows_comments_or_rejected(items: list[bytes]) -> None:
    decoder = table.decoder({})
    decode(HEAD, decoder)
    done = decoder.decode(one_each(items))
    assert sum(len(batch) for batch in done.batches) + done.rejected + done.ignored == len(items)


def test_the_header_holds_for_later_pieces_and_a_new_one_replaces_it() -> None:
    decoder = table.decoder({})
    decode(HEAD, decoder)
    done = decode(["1\ta\tx\tT", "broken", "#fields\tq", "#types\tcount", "7"], decoder)
    assert done.rejected == 1
    assert [batch.table.drop("event.flags").to_dicts() for batch in done.batches] == [
        [{"n": 1, "s": "a", "l": ["x"], "b": True, "_path": "x", "log.offset": 0, "event.original": "1\ta\tx\tT"}],
        [{"q": 7, "_path": "x", "log.offset": 4, "event.original": "7"}],
    ]


def test_escaped_bytes_become_text_and_rows_without_a_header_are_rejected() -> None:
    done = decode([*HEAD, "1\t\\xe4\\xb8\\xad\\x0a\t(empty)\tF"])
    assert done.batches[0].table["s"].to_list() == ["中\n"]
    assert decode(["1\t2"]).rejected == 1


def test_csv_has_its_names_in_the_first_line() -> None:
    done = decode(["a,b", '1,"x, ""y"""', "2", "3,"], csv.decoder({}))
    assert (done.ignored, done.rejected) == (1, 1)
    assert done.batches[0].table.select("a", "b").rows() == [("1", 'x, "y"'), ("3", None)]


def test_headers_that_repeat_are_one_and_those_that_never_end_are_bounded() -> None:
    same = [line for n in range(3000) for line in ("#fields\tn", "#types\tcount", str(n))]
    begun = time.process_time()
    done = decode(same)
    assert time.process_time() - begun < 5
    (batch,) = done.batches
    assert batch.table["n"].to_list() == list(range(3000))
    assert (done.ignored, done.rejected) == (6000, 0)
    other = decode([line for n in range(3000) for line in (f"#fields\tn{n}", str(n))])
    assert len(other.batches) == table.MAX_HEADERS
    assert other.rejected == 3000 - table.MAX_HEADERS
    assert other.dead[0].reason == "more than 64 different headers in one piece"
    assert other.dead[0].place == 2 * table.MAX_HEADERS + 1


def test_a_header_that_alternates_gives_each_row_its_own() -> None:
    done = decode(["#fields\ta", "1", '{"a": "4"}', "#fields\tb", "2", "#fields\ta", "3"])
    found = sorted((row["log.offset"], row.get("a"), row.get("b")) for b in done.batches for row in b.table.to_dicts())
    assert found == [(1, "1", None), (2, "4", None), (4, None, "2"), (6, "3", None)]


def test_an_open_quote_or_a_strange_line_of_csv_costs_that_line() -> None:
    lines = ["a,b", '1,"open', "2,x", "3,b\rc", f"4,{'x' * 200_000}", '5,say "hi', "6,y", '"7","q,""r"""']
    done = decode(lines, csv.decoder({}))
    assert done.batches[0].table["a"].to_list() == ["2", "4", "5", "6", "7"]
    assert done.batches[0].table["b"].to_list() == ["x", "x" * 200_000, 'say "hi', "y", 'q,"r"']
    assert [letter.place for letter in done.dead] == [1, 3]
    assert done.rejected == 2


def test_csv_without_names_is_refused() -> None:
    with pytest.raises(DecodeError, match="no column names"):
        decode(['"open', "1"], csv.decoder({}))


@unhurried
@given(st.lists(st.text(st.sampled_from(list('a,"\r\0 x')), max_size=8), max_size=8))
def test_any_text_is_a_row_of_csv_or_rejected_alone(lines: list[str]) -> None:
    done = decode(["a,b", *lines], csv.decoder({}))
    assert sum(len(batch) for batch in done.batches) + done.rejected + done.ignored == len(lines) + 1
