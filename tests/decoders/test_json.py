"""JSON items to tables: the values of a plain parse, bad items rejected alone, everything bounded."""

from __future__ import annotations

import json
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from cityguard.decoders import columnar
from cityguard.decoders import json as decoder
from cityguard.sources.lines import one_each

unhurried = settings(deadline=None, max_examples=40)

keys = st.text(st.sampled_from("abcd"), min_size=1, max_size=2)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.text(st.characters(exclude_categories=("Cs",)), max_size=8)
)
rows = st.dictionaries(
    keys, st.recursive(scalars, lambda v: st.dictionaries(keys, v, max_size=3), max_leaves=6), max_size=5
)


def flat(value: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key, one in value.items():
        if isinstance(one, dict):
            out |= flat(one, f"{prefix}{key}.")
        elif one is not None:
            out[prefix + key] = one
    return out


def text(value: Any) -> str:
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)


@unhurried
@given(st.lists(rows, min_size=1, max_size=6))
def test_every_value_of_a_plain_parse_is_in_its_column(objects: list[dict[str, Any]]) -> None:
    table, spare = columnar.table(objects)
    assert spare is None
    if not table.width:
        assert not any(map(flat, objects))
        return
    for row, wanted in zip(table.iter_rows(named=True), objects, strict=True):
        found = {key: text(value) for key, value in row.items() if value is not None}
        assert found == {key: text(value) for key, value in flat(wanted).items()}


def decode(items: list[bytes]) -> tuple[list[dict[str, Any]], int]:
    done = decoder.decoder({}).decode(one_each(items))
    return [row for batch in done.batches for row in batch.table.to_dicts()], done.rejected


@unhurried
@given(st.lists(st.binary(max_size=20), max_size=6))
def test_rubbish_costs_only_itself(items: list[bytes]) -> None:
    found, rejected = decode([*items, b'{"good": 1}'])
    assert len(found) + rejected == len(items) + 1
    assert found[-1]["good"] == 1


def test_hostile_items_are_rejected_alone() -> None:
    bad = [
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b'{"a":NaN}',
        b'{"a":' + b"9" * 5000 + b"}",
        b'"text"',
        b"",
        b'{"a":1} {"b":2}',
    ]
    found, rejected = decode([b'{"k":1}', *bad, '{"k":"中文"}'.encode()])
    assert rejected == len(bad)
    assert [row["k"] for row in found] == ["1", "中文"]
    assert [row["log.offset"] for row in found] == [0, len(bad) + 1]


def test_a_sender_cannot_set_the_columns_a_decoder_fills() -> None:
    found, _ = decode([b'{"event":{"original":"forged","flags":["x"]},"log.offset":7,"event.fields":"{}"}'])
    assert set(found[0]) == {"log.offset", "event.original", "event.flags"}
    assert found[0]["event.flags"] is None


def test_ten_thousand_keys_overflow_into_one_column_but_wanted_ones_stay() -> None:
    many = {f"k{number}": number for number in range(10_000)} | {"wanted": "here"}
    table, spare = columnar.table([many, {"k0": 1}], wanted={"wanted"})
    assert table.width <= columnar.MAX_COLUMNS + 1
    assert table["wanted"].to_list() == ["here", None]
    assert spare is not None
    rest = orjson.loads(spare[0])
    assert {**rest, **{name: table[name][0] for name in table.columns}} == many
    assert spare[1] is None


def test_deep_nesting_ends_as_text_and_long_values_are_cut() -> None:
    deep: Any = "x"
    for _ in range(50):
        deep = {"d": deep}
    table, _ = columnar.table([deep, {"long": "y" * 200_000}])
    assert table["long"].str.len_chars().max() == columnar.MAX_VALUE
    assert any(json.loads(value) for value in table.row(0) if isinstance(value, str))


def test_lists_of_objects_become_one_list_per_key() -> None:
    table, _ = columnar.table([{"answers": [{"data": "a", "ttl": 1}, {"data": "b"}]}, {"answers": [1, "x"]}])
    assert table.to_dicts() == [
        {"answers": None, "answers.data": ["a", "b"], "answers.ttl": ["1"]},
        {"answers": ["1", "x"], "answers.data": None, "answers.ttl": None},
    ]


def test_junk_keys_push_no_wanted_one_out_of_a_nested_object() -> None:
    junk = {f"k{n}": 1 for n in range(1200)}
    lines = [json.dumps(one).encode() for one in (junk, {"alert": {"signature": "x"}})]
    made = decoder.decoder({"wanted": frozenset({"alert.signature"})})
    assert made.decode(one_each(lines)).batches[0].table["alert.signature"].to_list() == [None, "x"]


def test_each_element_of_a_list_is_a_row_with_what_is_around_it() -> None:
    lines = [b'{"a":1,"t":{"m":[{"x":1},{"x":2}],"k":"v"}}', b'{"a":2,"t":{"m":[],"k":"w"}}', b'{"a":3}', b"[1]", b"{"]
    made = decoder.decoder({"each": "t.m"}).decode(one_each(lines))
    rows = made.batches[0].table.select("a", "t.m.x", "t.k", "log.offset").rows()
    assert rows == [(1, 1, "v", 0), (1, 2, "v", 0), (2, None, "w", 1), (3, None, None, 2)]
    assert made.rejected == 2


def test_an_item_that_is_a_list_gives_a_row_per_object() -> None:
    made = decoder.decoder({"each": "[]"}).decode(one_each([b'[{"x":1},2,{"x":3}]', b'{"x":4}', b"[]", b"7"]))
    assert made.batches[0].table.select("x", "log.offset").rows() == [(1, 0), (3, 0), (4, 1)]
    assert made.rejected == 2
