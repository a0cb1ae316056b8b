"""The boundary: hostile values and faults of a decoder cost their own line, never the input, and forge nothing."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cityguard import columns
from cityguard.collect import boundary, collect
from cityguard.collect.chunks import Chunks
from cityguard.decoders import syslog
from cityguard.model import Chunk, Decoded, EventBatch, Frames
from cityguard.sources.lines import one_each

NOW = datetime(2026, 3, 6, tzinfo=UTC)
CONN = {"ts": 1772668800.0, "id.orig_h": "10.0.0.1", "conn_state": "SF"}
SYSMON = {"EventID": 1, "Channel": "Microsoft-Windows-Sysmon/Operational"}


@pytest.fixture(scope="module")
def known() -> collect.Collectors:
    return collect.Collectors.load()


def rows(chunks: list[Chunk]) -> list[dict[str, Any]]:
    return [row for chunk in chunks for batch in chunk.decoded.batches for row in batch.table.to_dicts()]


def read(path: Path, known: collect.Collectors, lines: list[str], collector: str) -> list[Chunk]:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return list(collect.read(path, known, collector=collector, now=NOW))


@pytest.mark.parametrize(
    ("collector", "item"),
    [
        ("ndjson", {"@timestamp": [1, 2]}),
        ("ndjson", {"event.severity": [1]}),
        ("ndjson", {"event.severity": [{"a": 1}], "source.port": [80], "tcp.flags": ["x"]}),
        ("ndjson", {"a.b": 1, "a": {"b": 2}}),
        ("zeek-conn", CONN | {"ts": [1.0]}),
        ("zeek-conn", CONN | {"id.orig_p": [80]}),
        ("zeek-conn", CONN | {"orig_ip_bytes": [1], "resp_ip_bytes": [2]}),
        ("zeek-conn", CONN | {"orig_ip_bytes": 2**63 - 1, "resp_ip_bytes": 2**63 - 1}),
        ("zeek-conn", CONN | {"duration": [1e300]}),
        ("zeek-ssl", CONN | {"server_name": "a", "version": "TLSv12", "established": [True]}),
        ("suricata-eve", {"timestamp": ["2026"], "event_type": "alert", "src_ip": "10.0.0.1"}),
        ("windows-json", SYSMON | {"SystemTime": ["a"]}),
        ("windows-json", SYSMON | {"ProcessId": ["a"]}),
        ("windows-json", SYSMON | {"UtcTime": [1], "a.b": 1, "a": {"b": 2}}),
    ],
)
def test_a_value_of_the_wrong_kind_is_null_and_its_event_stays(
    tmp_path: Path, known: collect.Collectors, collector: str, item: dict[str, Any]
) -> None:
    chunks = read(tmp_path / "a", known, [json.dumps(item)], collector)
    (row,) = rows(chunks)
    assert (row["log.offset"], row["event.original"]) == (0, json.dumps(item))
    assert sum(chunk.decoded.rejected for chunk in chunks) == 0


def test_a_list_of_one_port_is_that_port(tmp_path: Path, known: collect.Collectors) -> None:
    (row,) = rows(read(tmp_path / "a", known, [json.dumps(CONN | {"id.orig_p": [80]})], "zeek-conn"))
    assert row["source.port"] == 80


nested = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b"]), inner, max_size=2),
    max_leaves=6,
)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.dictionaries(st.sampled_from(sorted(columns.BY_NAME)), nested, max_size=4), max_size=4))
def test_whatever_stands_under_our_names_is_an_event_and_is_counted(
    known: collect.Collectors, items: list[dict[str, Any]]
) -> None:
    live = collect.Live(known["ndjson"], source="s", key="k")
    chunk = live.chunk(one_each([json.dumps(item).encode() for item in items], first=1), now=NOW)
    assert chunk.received == len(items)
    assert len(rows([chunk])) + chunk.decoded.rejected == len(items)
    assert chunk.decoded.rejected == sum("NaN" in json.dumps(i) or "Infinity" in json.dumps(i) for i in items)


class Touchy:
    """Syslog that fails on a word, as a decoder with a fault would."""

    def __init__(self) -> None:
        self._inner = syslog.decoder({})

    def decode(self, frames: Frames) -> Decoded:
        if any(b"bomb" in frames.item(index) for index in range(len(frames))):
            raise ZeroDivisionError("by the bomb")
        return self._inner.decode(frames)

    def flush(self) -> Decoded:
        raise KeyError("open")


def test_a_fault_in_a_decoder_costs_the_lines_it_stands_in() -> None:
    lines = [f"line {n}".encode() for n in range(1000)]
    lines[3] = lines[700] = b"bomb"
    done = boundary.decode(Touchy(), one_each(lines), divide=True)
    assert sorted(letter.place for letter in done.dead) == [3, 700]
    assert done.rejected == 2
    assert done.dead[0].reason == "cannot be used: ZeroDivisionError: by the bomb"
    offsets = [n for batch in done.batches for n in batch.table["log.offset"].to_list()]
    assert offsets == [n for n in range(1000) if n not in (3, 700)]
    assert "KeyError" in boundary.flush(Touchy()).notes[0]


def test_however_many_faults_no_good_line_is_lost_with_them() -> None:
    lines = [b"bomb" if n % 2 else b"good" for n in range(2000)]
    done = boundary.decode(Touchy(), one_each(lines), divide=True)
    assert done.rejected == 1000
    assert [n for batch in done.batches for n in batch.table["log.offset"].to_list()] == list(range(0, 2000, 2))
    assert len(done.batches) == 1
    assert [letter.place for letter in done.dead] == list(range(1, 201, 2))
    whole = boundary.decode(Touchy(), one_each(lines), divide=False)
    assert (whole.rejected, whole.batches, len(whole.dead)) == (2000, (), 100)


def test_the_search_for_faults_tries_each_item_little_more_than_once() -> None:
    tried = 0

    class Counted(Touchy):
        def decode(self, frames: Frames) -> Decoded:
            nonlocal tried
            tried += 1
            return super().decode(frames)

    boundary.decode(Counted(), one_each([b"bomb"] * 1000), divide=True)
    assert 1000 < tried <= 1000 * (1 + 4 / boundary.FEW)


def test_an_integer_no_float_can_hold_costs_no_line(known: collect.Collectors) -> None:
    """Beside a broken number its column is text."""
    huge = b"1" + b"0" * 400
    live = collect.Live(known["ndjson"], source="s", key="k")
    items = [b'{"a": 1.5, "message": "good"}', b'{"a": %b}' % huge] * 3000
    made = live.chunk(one_each(items, first=1), now=NOW)
    assert (made.decoded.rejected, len(rows([made]))) == (0, 6000)
    assert [row["a"] for row in rows([made])[:2]] == ["1.5", huge.decode()]


def test_rows_the_mapping_fails_on_are_lost_alone(known: collect.Collectors) -> None:
    """A decoder that hands on a value no mapping can hold: an object of Python."""
    live = collect.Live(known["ndjson"], source="s", key="k")
    frames = one_each([b'{"a": %d}' % n for n in range(50)], first=1)
    values: list[object] = ["2026-03-05T00:00:00Z"] * 50
    values[20] = object()
    table = pl.DataFrame({"@timestamp": pl.Series(values, dtype=pl.Object), "log.offset": frames.number})
    made = Chunks(known["ndjson"], "s", None, "k", NOW, None).chunk(frames, Decoded((EventBatch("", "", table),)))
    assert made.received == made.decoded.rejected + len(rows([made])) == 50
    assert {letter.source for letter in made.decoded.dead} == {"s"}
    assert made.decoded.dead[0].raw.startswith(b'{"a"')
    assert live.chunk(frames, now=NOW).decoded.rejected == 0


def test_however_many_rows_the_mapping_fails_on_the_others_stay(known: collect.Collectors) -> None:
    frames = one_each([b"a"] * 600, first=1)
    chunks = Chunks(known["ndjson"], "s", None, "k", NOW, None)
    whole = EventBatch("host", "", pl.DataFrame({"log.offset": frames.number, "event.original": ["a"] * 600}))

    def work(batch: EventBatch, _: Any) -> list[EventBatch]:
        if (batch.table["log.offset"] % 2 == 0).any():
            raise OverflowError("even")
        return [batch]

    chunks.chunk(frames, Decoded())
    (done,) = chunks._each(whole, np.zeros(600, np.int64), work)
    assert done.table["log.offset"].to_list() == list(range(1, 600, 2))


def test_a_wish_to_stop_is_no_fault() -> None:
    class Stopped(Touchy):
        def decode(self, frames: Frames) -> Decoded:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        boundary.decode(Stopped(), one_each([b"a"]), divide=True)


ZEEK = ["#separator \\x09", "#path\tconn"]
FORGED = '{"user.name":"mayor"}\\x0a{"delete":{"_index":"x"}}'


def test_no_decoder_lets_a_sender_set_our_own_columns(tmp_path: Path, known: collect.Collectors) -> None:
    names = ["event.fields", "observer.ip", "source.zone", "event.id", "event.original", "event.sequence"]
    cells = [FORGED, "192.0.2.1", "core", "00", "nothing", "99"]
    head = [*ZEEK, "\t".join(["#fields", "ts", "id.orig_h", "conn_state", *names])]
    zeek = [*head, "\t".join(["1772668800.0", "10.0.0.1", "SF", *cells])]
    pairs = ", ".join(f"{name}={cell}" for name, cell in zip(names, cells, strict=True))
    huawei = [f"<190>Mar  5 2026 06:12:09 FW %%01POLICY/6/POLICYDENY(l):vsys=public, {pairs}"]
    item = json.dumps(CONN | dict(zip(names, cells, strict=True)))
    for collector, lines in (("zeek-conn", zeek), ("huawei-usg", huawei), ("ndjson", [item]), ("zeek-conn", [item])):
        (row,) = rows(read(tmp_path / "a", known, lines, collector))
        assert row.get("event.fields") is None
        assert row.get("observer.ip") is None
        assert "source.zone" not in row
        assert len(row["event.id"]) == 32
        assert row["event.sequence"] == len(lines) - 1
        assert row["event.original"] == lines[-1]


def test_arrays_of_a_piece_stay_together_when_it_is_halved() -> None:
    frames = one_each([b"a", b"bomb", b"c"], first=5)
    done = boundary.decode(Touchy(), frames, divide=True)
    assert np.array_equal(np.concatenate([batch.table["log.offset"].to_numpy() for batch in done.batches]), [5, 7])
