"""Bulk requests: the outcome of every answer, and that no item is ever lost or counted twice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cityguard.errors import StoreError
from cityguard.store import bulk, elastic_events
from cityguard.store.bulk import Answer, Bulk, outcome


@pytest.mark.parametrize(
    ("status", "error", "expected"),
    [
        (200, None, "done"),
        (201, None, "done"),
        (409, {"type": "version_conflict_engine_exception"}, "done"),
        (429, {"type": "es_rejected_execution_exception"}, "retry"),
        (403, {"type": "cluster_block_exception"}, "retry"),
        (408, None, "retry"),
        (500, None, "retry"),
        (502, None, "retry"),
        (503, {"type": "unavailable_shards_exception"}, "retry"),
        (504, None, "retry"),
        (413, None, "split"),
        (400, {"type": "document_parsing_exception"}, "dead"),
        (400, {"type": "illegal_argument_exception"}, "dead"),
        (400, {"type": "validation_exception"}, "retry"),
        (404, {"type": "index_not_found_exception"}, "dead"),
    ],
)
def test_every_answer_has_one_outcome(status: int, error: Mapping[str, Any] | None, expected: str) -> None:
    assert outcome(status, error) == expected


def lines(count: int, size: int = 10) -> pl.Series:
    return pl.Series([f'{{"create":{{"_id":"{n}"}}}}\n{{"x":"{"y" * size}"}}' for n in range(count)], dtype=pl.String)


def names(body: bytes) -> list[int]:
    assert body.endswith(b"\n")
    return [int(orjson.loads(line)["create"]["_id"]) for line in body.splitlines()[::2]]


@given(st.randoms(use_true_random=False), st.integers(0, 60))
@settings(max_examples=80, deadline=None)
def test_whatever_is_answered_every_item_ends_once(chance: Any, count: int) -> None:
    stored: set[int] = set()
    refused: set[int] = set()

    def send(index: str, body: bytes) -> Answer:
        items = names(body)
        match chance.choice(("fine", "mixed", "mixed", "down", "cut", "large", "lost")):
            case "down":
                return Answer(503, reason="down")
            case "cut":
                return Answer(0, reason="reset")
            case "large" if len(items) > 1:
                return Answer(413)
            case "lost":  # it was done, but the answer never came
                stored.update(item for item in items if item not in refused and item % 7)
                return Answer(200, ((201, None),) * (len(items) // 2))
            case "mixed":
                return Answer(200, tuple(one(item, chance.random() < 0.5) for item in items))
            case _:
                return Answer(200, tuple(one(item, True) for item in items))

    def one(item: int, is_well: bool) -> tuple[int, Mapping[str, Any] | None]:
        if item % 7 == 0:
            refused.add(item)
            return 400, {"type": "document_parsing_exception", "reason": "no"}
        if not is_well:
            return 429, {"type": "es_rejected_execution_exception"}
        if item in stored:
            return 409, {"type": "version_conflict_engine_exception"}
        stored.add(item)
        return 201, None

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bulk, "FIRST_S", 0.0)
        result = Bulk(send, patience_s=30).run("i", lines(count))
    assert stored == {n for n in range(count) if n % 7}
    assert sorted(place for place, _ in result.refused) == [n for n in range(count) if n % 7 == 0]
    assert result.created + result.existing == len(stored)


def test_requests_stay_small() -> None:
    sizes: list[tuple[int, int]] = []

    def send(index: str, body: bytes) -> Answer:
        items = names(body)
        sizes.append((len(items), len(body)))
        return Answer(200, ((201, None),) * len(items))

    Bulk(send, patience_s=1).run("i", lines(12_001))
    Bulk(send, patience_s=1).run("i", lines(20, 1_000_000))
    Bulk(send, patience_s=1).run("i", lines(2, 6_000_000))
    assert [count for count, _ in sizes] == [5_000, 5_000, 2_001, 4, 4, 4, 4, 4, 1, 1]
    assert all(size <= bulk.MAX_BYTES for _, size in sizes[:-2])


def test_a_cluster_that_stays_away_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "FIRST_S", 0.01)
    with pytest.raises(StoreError, match="3 records are not stored yet"):
        Bulk(lambda index, body: Answer(0, reason="refused"), patience_s=0.05).run("i", lines(3))


def test_one_document_that_is_too_large_alone_is_refused() -> None:
    result = Bulk(lambda index, body: Answer(413, reason="too large"), patience_s=1).run("i", lines(3))
    assert sorted(place for place, _ in result.refused) == [0, 1, 2]


def test_an_item_with_further_lines_is_refused_and_the_others_are_sent() -> None:
    sent: list[bytes] = []

    def send(index: str, body: bytes) -> Answer:
        sent.append(body)
        return Answer(200, tuple((201, None) for _ in names(body)))

    items = lines(3)
    items[1] = items[1] + '\n{"delete":{"_index":"audit","_id":"head"}}'
    result = Bulk(send, patience_s=1).run("i", items)
    assert (result.created, result.refused) == (2, [(1, "not 2 lines")])
    assert [names(body) for body in sent] == [[0, 2]]
    result = Bulk(send, patience_s=1).run("i", pl.Series(['{"delete":{"_id":"1"}}\n{}']), lines=1)
    assert (result.created, len(result.refused), len(sent)) == (0, 1, 1)


FORGED = (
    '{"a":1},"user.name":"root","b":{"c":2}',
    '{"a":1}}\n{"delete":{"_index":"audit","_id":"head"}}\n{"x":{}',
    '{"a":1}}\n{"create":{"_id":"x"}}\n{"event.fields":{"b":2}',
    '{"a":\n1}',
    '{"a":1}\n',
    "{\x00}",
    "{",
    "{}}",
    '{"a":1,}',
    '"text"',
    "[1]",
    "",
)


@given(st.lists(st.one_of(st.none(), st.sampled_from(FORGED), st.text('{}",:a\n\\', max_size=12)), min_size=1))
@settings(max_examples=80, deadline=None)
def test_native_fields_are_one_member_of_one_document_whatever_they_hold(texts: list[str | None]) -> None:
    number = list(range(len(texts)))
    table = pl.DataFrame(
        {"event.id": [f'{n}"}}}}\n' for n in number], "user.name": ["li"] * len(texts), "event.fields": texts},
        schema_overrides={"event.fields": pl.String},
    )
    for n, item in enumerate(table.select(elastic_events._document(table).alias("line"))["line"]):
        action, body = item.split("\n")
        assert orjson.loads(action) == {"create": {"_id": table["event.id"][n]}}
        document = orjson.loads(body)
        given_ = document.pop("event.fields", None)
        assert document == {"event.id": table["event.id"][n], "user.name": "li"}
        text = texts[n]
        if text is None:
            assert given_ is None
        elif given_ != {"event.fields": text}:
            assert given_ == orjson.loads(text)
