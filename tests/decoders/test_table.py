"""Delimited tables: Zeek's TSV against what was written, bad rows rejected alone, CSV."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from cityguard.decoders import table
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
    done = decode(["a,b", '1,"x, ""y"""', "2", "3,"], table.decoder({"format": "csv"}))
    assert (done.ignored, done.rejected) == (1, 1)
    assert done.batches[0].table.select("a", "b").rows() == [("1", 'x, "y"'), ("3", None)]
