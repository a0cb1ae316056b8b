"""Field mapping: addresses, numbers, words, classes."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cityguard.collect import mapping
from cityguard.collect.collectors import Collectors
from cityguard.model import EventBatch

unhurried = settings(deadline=None, max_examples=40)
NOW = datetime(2026, 3, 6, tzinfo=UTC)


def mapped(data: dict[str, list[Any]], **columns: Any) -> dict[str, list[Any]]:
    spec = mapping.Fields("host", ZoneInfo("Asia/Shanghai"), rules=mapping.compiled(columns))
    (batch,) = mapping.apply(EventBatch("", "", pl.DataFrame(data)), spec, NOW)
    return {name: batch.table[name].to_list() for name in columns if name in batch.table.columns}


@unhurried
@given(st.lists(st.ip_addresses() | st.text(max_size=12), min_size=1, max_size=10))
def test_addresses_are_canonical_or_null(values: list[Any]) -> None:
    written = [value.exploded if isinstance(value, ipaddress.IPv6Address) else str(value) for value in values]
    found = mapping.addresses(pl.Series(written, dtype=pl.String)).to_list()
    for value, text in zip(values, found, strict=True):
        if isinstance(value, str):
            assert text is None or str(ipaddress.ip_address(text)) == text
        else:
            mapped_v4 = value.ipv4_mapped if value.version == 6 else None
            assert text == str(mapped_v4 or value)


def test_leading_zeros_names_and_zones_of_addresses() -> None:
    given_ = ["010.1.1.1", "host", "[2001:DB8::1]", "fe80::1%eth0", "::ffff:10.0.0.1", "10.0.0.256", "10.0.0.1"]
    wanted = [None, None, "2001:db8::1", "fe80::1", "10.0.0.1", None, "10.0.0.1"]
    assert mapping.addresses(pl.Series(given_)).to_list() == wanted


def test_ports_and_numbers_in_decimal_and_hex() -> None:
    found = mapped({"p": ["80", "0x50", "70000", "-1", "x", None]}, **{"source.port": "p", "process.pid": "p"})
    assert found == {"source.port": [80, 80, None, None, None, None], "process.pid": [80, 80, 70000, -1, None, None]}


def test_the_first_source_with_a_value_counts_and_words_for_nothing_do_not() -> None:
    found = mapped(
        {"a": ["-", "", "x"], "b": ["1", "2", "3"]}, **{"user.name": ["none", "a", "b"], "host.name": "none"}
    )
    assert found == {"user.name": ["1", "2", "x"]}


def test_words_scale_sum_split_join_and_constants() -> None:
    found = mapped(
        {"w": ["A", "B", None], "s": ["1.5", "x", None], "n": [1, 2, None]},
        **{
            "event.action": {"from": "w", "values": {"A": "allowed"}},
            "event.outcome": {"from": "w", "values": {"A": "success"}, "other": "unknown"},
            "event.duration": {"from": "s", "scale": 1000},
            "network.bytes": {"sum": ["n", "s"]},
            "event.code": {"value": 7},
            "file.path": {"join": ["w", "s"], "by": "/"},
        },
    )
    assert found["event.action"] == ["allowed", "B", None]
    assert found["event.outcome"] == ["success", "unknown", None]
    assert found["event.duration"] == [1500, None, None]
    assert found["network.bytes"] == [2, 2, None]
    assert found["event.code"] == [7, 7, 7]
    assert found["file.path"] == ["A/1.5", "B/x", None]


@pytest.mark.parametrize(
    "bad", [{"form": "x"}, {"from": "x", "time": "never"}, {}, {"from": "x", "time": "iso", "zone": "No/Where"}]
)
def test_a_wrong_rule_is_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        mapping.compiled({"x": bad})


def test_the_first_class_that_fits_has_the_row_and_none_is_lost() -> None:
    classes = (
        mapping.Class({"k": ["a", "b"], "m": {"match": "^x"}}, "auth"),
        mapping.Class({"k": "a"}, "file"),
        mapping.Class({"absent": "a"}, "audit"),
    )
    spec = mapping.Fields("host", ZoneInfo("UTC"), classes=classes)
    table = pl.DataFrame({"k": ["a", "a", "b", None, "c"], "m": ["x", None, "y", "x", "x"], "i": [0, 1, 2, 3, 4]})
    parts = mapping.apply(EventBatch("", "", table), spec, NOW)
    assert {part.dataset: part.table["i"].to_list() for part in parts} == {"auth": [0], "file": [1], "host": [2, 3, 4]}


def test_a_stamp_may_stand_in_several_fields_of_which_the_last_may_lack() -> None:
    table = pl.DataFrame(
        {
            "date": ["2026-03-05", "2026-03-05", None],
            "time": ["14:12:09", "14:12:09", "14:12:09"],
            "tz": ["+0000", None, None],
        }
    )
    spec = mapping.Fields(
        "host", ZoneInfo("Asia/Shanghai"), rules=mapping.compiled({"@timestamp": {"join": ["date", "time", "tz"]}})
    )
    (batch,) = mapping.apply(EventBatch("", "", table), spec, NOW)
    assert [str(one) for one in batch.table["@timestamp"]] == [
        "2026-03-05 14:12:09+00:00",
        "2026-03-05 06:12:09+00:00",
        "None",
    ]


def test_shipped_patterns_are_read_at_every_start_and_compiled_here(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setattr(mapping, "check_patterns", lambda patterns, *, known: seen.extend(patterns))
    Collectors.load()
    assert len(seen) > 500
    monkeypatch.undo()
    mapping.check_patterns(list(dict.fromkeys(seen)))


@pytest.mark.parametrize("bad", ["(a", "a{2,1}", r"(?<=a)b", "[z-a]", "(?x) a # (\n ("])
@pytest.mark.parametrize("known", [True, False])
def test_a_pattern_that_is_none_is_told_shipped_or_not(bad: str, known: bool) -> None:
    with pytest.raises(ValueError, match="not a regular expression"):
        mapping.check_patterns(["a+", bad], known=known)


@pytest.mark.parametrize("good", ["", "(?x) a # a comment (", r"(?i)^a|b$"])
def test_patterns_that_are_sound_pass(good: str) -> None:
    mapping.check_patterns([good], known=True)
