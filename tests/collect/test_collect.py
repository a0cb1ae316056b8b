"""Collecting: the same bytes give the same events, every item is counted, content faults are told with their line."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import struct
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from tests.decoders import wire

from cityguard import columns
from cityguard.collect import collect
from cityguard.collect.chunks import Chunks
from cityguard.config import Limits
from cityguard.errors import ContentErrors, InputError
from cityguard.model import Chunk, Decoded, EventBatch, Frames
from cityguard.sources.lines import one_each

NOW = datetime(2026, 3, 6, tzinfo=UTC)
AUTH = "Mar  5 14:12:{:02d} web01 sshd[812]: Failed password for root from 203.0.113.66 port 40112 ssh2\n"


@pytest.fixture(scope="module")
def known() -> collect.Collectors:
    return collect.Collectors.load()


def read(path: Path, known: collect.Collectors, **given: object) -> list[Chunk]:
    return list(collect.read(path, known, now=NOW, **given))  # type: ignore[arg-type]


def table(chunks: list[Chunk]) -> pl.DataFrame:
    tables = [batch.table for chunk in chunks for batch in chunk.decoded.batches]
    return pl.concat(tables, how="diagonal_relaxed").sort("log.offset", "event.id")


def test_every_collector_passes_its_own_tests(known: collect.Collectors) -> None:
    results = collect.check(known)
    assert [str(result) for result in results if not result.passed] == []
    assert {result.collector for result in results} == {one.name for one in known}


def test_a_test_that_does_not_hold_is_told(tmp_path: Path) -> None:
    own(tmp_path, "x", "tests: [{lines: ['{\"a\": 1}'], expect: [{a: 2}]}]")
    (result,) = [one for one in collect.check(collect.Collectors.load(tmp_path)) if one.collector == "x"]
    assert not result.passed
    assert str(result) == "x: test 1: event 1: a is 1, expected 2"


def own(folder: Path, name: str, more: str) -> Path:
    (folder / "collectors").mkdir(exist_ok=True)
    path = folder / "collectors" / f"{name}.yml"
    path.write_text(f"name: {name}\ntitle: {{zh: 甲, en: A}}\ndecoder: json\ndataset: host\n{more}\n", encoding="utf-8")
    return path


def test_all_faults_of_all_collectors_are_told_with_their_line(tmp_path: Path) -> None:
    own(tmp_path, "a", "unknown: 1")
    own(tmp_path, "b", "columns:\n  source.ip: {form: x}")
    own(tmp_path, "c", "timezone: Nowhere/City")
    own(tmp_path, "d", "options: {patterns: ['(?=x)']}")
    own(tmp_path, "e", "extends: nobody")
    own(tmp_path, "f", "classes:\n  - {when: {a: 1}, dataset: nonsense}")
    (tmp_path / "collectors" / "g.yml").write_text("name: g\ntitle: {zh: a, en: b}\ndecoder: base\ndataset: host\n")
    with pytest.raises(ContentErrors) as caught:
        collect.Collectors.load(tmp_path)
    told = {Path(fault.place.rpartition(":")[0]).stem: fault for fault in caught.value.faults}
    assert set(told) == set("abcdefg")
    assert told["b"].place.endswith("b.yml:6")
    assert told["c"].place.endswith("c.yml:5")
    assert told["e"].place.endswith("e.yml:5")
    assert told["f"].place.endswith("f.yml:6")
    assert told["g"].place.endswith("g.yml:3")


def test_the_citys_own_collector_replaces_the_shipped_one(tmp_path: Path) -> None:
    own(tmp_path, "ndjson", "tests: []")
    assert collect.Collectors.load(tmp_path)["ndjson"].title.zh == "甲"
    with pytest.raises(InputError, match="no collector 'nope'"):
        collect.Collectors.load()["nope"]


def test_the_same_bytes_give_the_same_events_whatever_the_path(tmp_path: Path, known: collect.Collectors) -> None:
    text = "".join(AUTH.format(second) for second in range(60))
    (tmp_path / "a.log").write_text(text)
    (tmp_path / "b.txt").write_text(text)
    one, two = read(tmp_path / "a.log", known), read(tmp_path / "b.txt", known)
    assert table(one)["event.id"].to_list() == table(two)["event.id"].to_list()
    assert [chunk.part for chunk in one] == [chunk.part for chunk in two]
    parts = [batch.part for chunk in one for batch in chunk.decoded.batches]
    assert len(set(parts)) == len(parts)
    assert all(int(part, 16) >= 0 for part in parts)


def test_equal_lines_are_different_events_with_their_place(tmp_path: Path, known: collect.Collectors) -> None:
    (tmp_path / "a").write_text(AUTH.format(1) * 3)
    rows = table(read(tmp_path / "a", known))
    assert rows["event.id"].n_unique() == 3
    assert rows["event.sequence"].to_list() == [0, 1, 2]
    assert rows["log.offset"].to_list() == [n * len(AUTH.format(1)) for n in range(3)]
    assert rows["event.original"].unique().to_list() == [AUTH.format(1).rstrip()]
    assert rows["observer.name"].unique().to_list() == ["linux-auth"]
    assert rows["event.ingested"].unique().to_list() == [NOW]


def test_events_fit_the_schema(tmp_path: Path, known: collect.Collectors) -> None:
    (tmp_path / "a").write_text(AUTH.format(1))
    for chunk in read(tmp_path / "a", known):
        for batch in chunk.decoded.batches:
            wanted = {column.name: column.dtype for column in columns.DATASETS[batch.dataset]}
            assert {k: v for k, v in batch.table.schema.items() if k in wanted and wanted[k] != v} == {}
            assert batch.table["@timestamp"].null_count() == 0


def test_stamps_far_ahead_and_very_old_ones_give_way_to_the_arrival_and_are_flagged(
    tmp_path: Path, known: collect.Collectors
) -> None:
    stamps = ["9999-12-31T00:00:00Z", "1970-01-01T00:00:22Z", "2026-03-05T00:00:00Z", "nonsense"]
    (tmp_path / "a").write_text("".join(json.dumps({"@timestamp": stamp}) + "\n" for stamp in stamps))
    rows = table(read(tmp_path / "a", known, collector="ndjson"))
    found = {row["event.sequence"]: (row["@timestamp"], row["event.flags"]) for row in rows.to_dicts()}
    assert found == {
        0: (NOW, ["clock_skew"]),
        1: (NOW, ["clock_skew"]),
        2: (datetime(2026, 3, 5, tzinfo=UTC), None),
        3: (NOW, ["no_time"]),
    }
    later = list(collect.read(tmp_path / "a", known, now=datetime(2026, 4, 1, tzinfo=UTC)))
    assert table(later)["event.id"].to_list() == rows["event.id"].to_list()


def test_a_broken_line_costs_that_line_only_and_the_books_balance(tmp_path: Path, known: collect.Collectors) -> None:
    lines = [json.dumps({"timestamp": "2026-03-05T00:00:00Z", "event_type": "flow", "flow_id": n}) for n in range(500)]
    lines[7] = lines[7][:-3]
    lines[300] = "\x00\x01"
    (tmp_path / "eve.json").write_text("\n".join(lines) + "\n\n")
    chunks = read(tmp_path / "eve.json", known)
    rows = table(chunks)
    assert rows.height == 498
    assert sum(chunk.received for chunk in chunks) == 500
    assert sum(chunk.decoded.rejected for chunk in chunks) == 2
    (first, second) = [letter for chunk in chunks for letter in chunk.decoded.dead]
    assert first.raw == lines[7].encode()
    assert first.place == sum(len(line) + 1 for line in lines[:7])
    assert first.source.endswith("eve.json")
    assert second.raw == b"\x00\x01"
    assert 7 not in rows["event.sequence"].to_list()


def test_headers_and_comments_are_no_items(tmp_path: Path, known: collect.Collectors) -> None:
    head = "#separator \\x09\n#path\tconn\n#fields\tts\tid.orig_h\tconn_state\n#types\ttime\taddr\tstring\n"
    (tmp_path / "conn.log").write_text(head + "1.0\t10.0.0.1\tSF\n1.0\tbroken\n#close\t2026\n")
    (chunk,) = read(tmp_path / "conn.log", known)
    assert (chunk.received, chunk.decoded.rejected, chunk.unit, chunk.source) == (2, 1, "line", "zeek-conn")


def test_a_line_that_is_too_long_is_cut_and_flagged(tmp_path: Path, known: collect.Collectors) -> None:
    (tmp_path / "a").write_text("Mar  5 14:12:09 web01 app: " + "x" * 5000 + "\nMar  5 14:12:09 web01 app: y\n")
    rows = table(read(tmp_path / "a", known, limits=Limits(line_kb=1)))
    assert rows["event.flags"].to_list() == [["truncated"], None]
    assert rows["message"].str.len_chars().to_list() == [1024 - 27, 1]


def test_chinese_text_in_gbk_is_read_and_flagged(tmp_path: Path, known: collect.Collectors) -> None:
    line = "<190>Mar  5 2026 06:12:09 HZ %%01POLICY/6/POLICYDENY(l):source-ip=10.0.0.1, rule-name=禁止远程."
    (tmp_path / "a").write_bytes((line + "\n").encode("gbk") * 3)
    rows = table(read(tmp_path / "a", known))
    assert rows["rule.name"].unique().to_list() == ["禁止远程"]
    assert rows["event.flags"][0].to_list() == ["gb18030"]


def test_an_unknown_kind_names_file_and_remedy_and_in_a_folder_costs_only_itself(
    tmp_path: Path, known: collect.Collectors
) -> None:
    (tmp_path / "a.bin").write_bytes(b"\x00\x01\x02" * 100)
    (tmp_path / "b.log").write_text(AUTH.format(1))
    (tmp_path / "c.txt").write_text("prose, and more prose\n")
    for name in ("a.bin", "c.txt"):
        with pytest.raises(InputError, match="unknown kind of file") as caught:
            read(tmp_path / name, known)
        assert caught.value.place.endswith(name)
        assert "--collector" in caught.value.remedy
    chunks = read(tmp_path, known)
    assert [(chunk.unit, chunk.received, chunk.decoded.rejected) for chunk in chunks] == [
        ("file", 1, 1),
        ("line", 1, 0),
        ("file", 1, 1),
    ]


def test_an_empty_file_and_a_wrong_collector(tmp_path: Path, known: collect.Collectors) -> None:
    (tmp_path / "empty").write_bytes(b"")
    with pytest.raises(InputError, match="unknown kind"):
        read(tmp_path / "empty", known)
    assert read(tmp_path / "empty", known, collector="syslog") == []
    (tmp_path / "text").write_text("text")
    for name in ("windows-evtx", "capture"):
        with pytest.raises(InputError):
            read(tmp_path / "text", known, collector=name)
    with pytest.raises(InputError, match="no dataset"):
        read(tmp_path / "text", known, dataset="nope")


def test_a_compressed_log_gives_the_same_rows(tmp_path: Path, known: collect.Collectors) -> None:
    (tmp_path / "a.gz").write_bytes(gzip.compress(AUTH.format(1).encode() * 10))
    rows = table(read(tmp_path / "a.gz", known))
    assert rows.height == 10
    assert rows["source.ip"].unique().to_list() == ["203.0.113.66"]


def test_the_dataset_of_generic_json_is_the_rows_own_or_the_named_one(
    tmp_path: Path, known: collect.Collectors
) -> None:
    (tmp_path / "a").write_text('{"source.ip":"10.0.0.1","event.dataset":"flow"}\n{"source.ip":"::FFFF:10.0.0.2"}\n')
    datasets = {
        batch.dataset: batch.table["source.ip"].to_list()
        for chunk in read(tmp_path / "a", known, dataset="web")
        for batch in chunk.decoded.batches
    }
    assert datasets == {"flow": ["10.0.0.1"], "web": ["10.0.0.2"]}


def live(known: collect.Collectors) -> collect.Live:
    return collect.Live(known["linux-auth"], source="siem", key="spool-1", segment="dmz")


def arrived(first: int, count: int, peer: str = "10.0.0.9") -> Frames:
    made = one_each([AUTH.format(n).encode() for n in range(count)], first=first)
    time = np.full(count, 1_772_800_000_000_000_000, np.int64)
    return Frames(made.buffer, made.offset, made.length, made.number, time, made.wire, made.link, peer)


def test_live_chunks_are_the_same_on_a_replay_and_tell_peer_and_arrival(known: collect.Collectors) -> None:
    one = live(known).chunk(arrived(1, 5), now=NOW)
    two = live(known).chunk(arrived(1, 5), now=datetime(2026, 3, 8, tzinfo=UTC))
    other = live(known).chunk(arrived(6, 5), now=NOW)
    assert one.part == two.part != other.part
    assert one.decoded.batches[0].table.equals(two.decoded.batches[0].table)
    rows = table([one, other])
    assert rows["event.id"].n_unique() == 10
    assert rows["observer.ip"].unique().to_list() == ["10.0.0.9"]
    assert rows["event.ingested"][0] == datetime.fromtimestamp(1_772_800_000, UTC)
    assert one.decoded.batches[0].segment == "dmz"
    assert (one.source, one.received) == ("siem", 5)
    assert rows["log.file.path"].null_count() == 10


def test_a_datagram_no_decoder_can_read_is_kept_as_dead(known: collect.Collectors) -> None:
    receiver = collect.Live(known["huawei-usg"], source="fw", key="k")
    chunk = receiver.chunk(one_each([b"\xff\xfe", b""]), now=NOW)
    assert (chunk.received, chunk.decoded.rejected) == (2, 2)
    assert chunk.decoded.dead[0].source == "fw"


def v9(*sets: bytes, seq: int = 1) -> bytes:
    return struct.pack(">HHIIII", 9, len(sets), 1000, wire.START // 10**9, seq, 7) + b"".join(sets)


TEMPLATE = struct.pack(">HHHH", 0, 24, 256, 4) + struct.pack(">HHHHHHHH", 8, 4, 12, 4, 7, 2, 11, 2)
RECORD = struct.pack(">HH", 256, 16) + bytes([10, 0, 0, 1, 10, 0, 1, 1]) + struct.pack(">HH", 1001, 443)


def savefile(path: Path, packets: list[bytes]) -> Path:
    path.write_bytes(wire.savefile(packets))
    return path


def test_an_exported_record_and_the_exporters_own_flow_are_two_events(
    tmp_path: Path, known: collect.Collectors
) -> None:
    export = wire.udp(2000, 2055, v9(TEMPLATE, RECORD))
    packet = wire.ether(wire.ip4("192.0.2.1", "192.0.2.2", 17, export))
    rows = table(read(savefile(tmp_path / "a.pcap", [packet]), known))
    assert set(rows["source.ip"]) == {"10.0.0.1", "192.0.2.1"}
    assert rows["event.id"].n_unique() == rows.height


def test_what_the_end_of_a_file_gives_is_not_what_came_before(tmp_path: Path, known: collect.Collectors) -> None:
    """Two pipelined requests in one packet: one answered at once, the other still open at the end."""
    one, two = (f"GET /{name} HTTP/1.1\r\nHost: a\r\n\r\n".encode() for name in ("one", "shell.php"))
    ok = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
    there, back = (wire.CLIENT, wire.SERVER, 6), (wire.SERVER, wire.CLIENT, 6)
    packets = [
        wire.ether(wire.ip4(*there, wire.tcp(4000, 80, seq=100, flags=wire.SYN))),
        wire.ether(wire.ip4(*back, wire.tcp(80, 4000, seq=500, flags=wire.SYN | wire.ACK))),
        wire.ether(wire.ip4(*there, wire.tcp(4000, 80, one + two, seq=101, flags=wire.PUSH | wire.ACK))),
        wire.ether(wire.ip4(*back, wire.tcp(80, 4000, ok, seq=501, flags=wire.PUSH | wire.ACK))),
    ]
    chunks = read(savefile(tmp_path / "a.pcap", packets), known)
    rows = pl.concat(
        [b.table for c in chunks for b in c.decoded.batches if b.dataset == "http"], how="diagonal_relaxed"
    )
    assert sorted(rows["url.path"]) == ["/one", "/shell.php"]
    assert rows["event.id"].n_unique() == 2
    assert table(chunks)["event.id"].n_unique() == table(chunks).height


def test_live_sets_that_waited_for_their_template_do_not_take_the_ids_of_others(known: collect.Collectors) -> None:
    def datagram(number: int, *sets: bytes) -> Frames:
        return replace(one_each([v9(*sets, seq=number)], first=number), peer="192.0.2.1")

    receiver = collect.Live(known["netflow"], source="nf", key="spool")
    first = receiver.chunk(datagram(1, RECORD), now=NOW)
    later = [receiver.chunk(datagram(n, *sets), now=NOW) for n, sets in ((2, (TEMPLATE, RECORD)), (3, (RECORD,)))]
    assert first.decoded.batches == ()
    rows = table(later)
    assert rows["log.offset"].to_list()[-1] == 3
    assert rows["event.id"].n_unique() == rows.height == 3


def test_more_rows_than_sixteen_bits_at_one_place_keep_their_ids(known: collect.Collectors) -> None:
    count = 70_000
    frames = one_each([b"x"], first=9)
    rows = pl.DataFrame({"log.offset": np.full(count, 9), "n": np.arange(count)})
    made = Chunks(known["ndjson"], "s", None, "k", NOW, None).chunk(frames, Decoded((EventBatch("", "", rows),)))
    assert made.decoded.batches[0].table["event.id"].n_unique() == count


def test_another_collector_reads_the_same_file_into_other_parts_and_events(
    tmp_path: Path, known: collect.Collectors
) -> None:
    (tmp_path / "a").write_text(AUTH.format(1))
    one, two = (read(tmp_path / "a", known, collector=name) for name in ("linux-auth", "linux-services"))
    assert one[0].part != two[0].part
    assert table(one)["event.id"][0] != table(two)["event.id"][0]


def test_the_present_of_a_file_is_asked_for_once_with_its_hash(tmp_path: Path, known: collect.Collectors) -> None:
    """With a memory of the first reading, stamps without a year give the same events years later."""
    (tmp_path / "a.log").write_text(AUTH.format(1) + "web01 app: no stamp\n")
    kept: dict[str, datetime] = {}
    later = datetime(2027, 9, 1, tzinfo=UTC)
    one = table(read(tmp_path / "a.log", known, first=kept.setdefault))
    two = table(list(collect.read(tmp_path / "a.log", known, now=later, first=kept.setdefault)))
    assert one.equals(two)
    assert kept == {hashlib.sha256((tmp_path / "a.log").read_bytes()).hexdigest(): NOW}
    assert not table(list(collect.read(tmp_path / "a.log", known, now=later))).equals(one)


def test_a_stamp_without_a_year_is_of_the_time_the_file_was_written(tmp_path: Path, known: collect.Collectors) -> None:
    path = tmp_path / "old.log"
    path.write_text("<13>Dec 31 23:59:58 h app: a\n<13>Jan  1 00:00:02 h app: b\n<13>Jun 10 00:00:00 h app: c\n")
    os.utime(path, (1_704_100_000, 1_704_100_000))  # 2024-01-01
    years = [row.year for row in table(read(path, known, collector="syslog"))["@timestamp"]]
    assert years == [2023, 2023, 2023]  # the second one, too: 2024 began eight hours later in UTC
    os.utime(path, (0, 0))
    assert table(read(path, known, collector="syslog"))["@timestamp"][0].year == NOW.year - 1


def test_a_table_whose_first_column_is_a_time_is_a_table(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("time,src,dst\n2026-03-05 10:00:01,10.0.0.1,10.0.0.2\n2026-03-05 10:00:02,10.0.0.3,10.0.0.2\n")
    (chunk,) = collect.read(path, collect.Collectors.load(), now=NOW)
    assert chunk.source == "csv"
    assert sum(batch.table.height for batch in chunk.decoded.batches) == 2
