"""Logs other people recorded, against what other tools say about them."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from cityguard.collect import collect
from cityguard.model import Chunk

NOW = datetime(2026, 11, 21, tzinfo=UTC)


@pytest.fixture(scope="module")
def known() -> collect.Collectors:
    return collect.Collectors.load()


def read(path: Path, known: collect.Collectors, **given: Any) -> list[Chunk]:
    return list(collect.read(path, known, now=NOW, **given))


def rows(chunks: list[Chunk], *wanted: str) -> list[dict[str, Any]]:
    tables = [batch.table for chunk in chunks for batch in chunk.decoded.batches]
    kept = [table.select([name for name in ("event.sequence", *wanted) if name in table.columns]) for table in tables]
    return pl.concat(kept, how="diagonal_relaxed").sort("event.sequence").to_dicts() if kept else []


def balanced(chunks: list[Chunk]) -> None:
    """One row per item that was not rejected, where an item is one event."""
    events = sum(len(batch) for chunk in chunks for batch in chunk.decoded.batches)
    assert events == sum(chunk.received - chunk.decoded.rejected for chunk in chunks)


def test_event_logs_have_the_census_of_ids_channels_and_times(shared: Path, known: collect.Collectors) -> None:
    truths = sorted((shared / "evtx").rglob("*.truth.json"))
    assert len(truths) >= 50
    for file in truths[::2]:
        truth = json.loads(file.read_text())
        if truth["records"] > 2000:
            continue
        chunks = read(file.with_name(file.name.removesuffix(".truth.json")), known)
        balanced(chunks)
        found = rows(chunks, "EventID", "@timestamp", "Provider_Name")
        assert len(found) == truth["records"] - truth["unparsed"], file
        assert Counter(str(row["EventID"]) for row in found) == truth["event_ids"], file
        assert Counter(row["Provider_Name"] for row in found) == truth["providers"], file
        # the truth has the time of writing, which follows the event's own; 1601 stands for none
        written = datetime.fromisoformat(truth["last"][:19]).replace(tzinfo=UTC)
        if written.year > 1601:
            assert abs(max(row["@timestamp"] for row in found) - written) < timedelta(minutes=10), file


def test_every_sigma_sample_answers_to_its_rules_log_source(shared: Path, known: collect.Collectors) -> None:
    samples = [file for folder in sorted((shared / "sigma").iterdir()) for file in sorted(folder.glob("event.*"))]
    assert len(samples) >= 200
    for file in samples:
        source = yaml.safe_load((file.parent / "rule.yml").read_text())["logsource"]
        chunks = read(file, known)
        assert not any(chunk.decoded.rejected for chunk in chunks), file
        sources = [batch.logsource for chunk in chunks for batch in chunk.decoded.batches]
        asked = (source.get("category"), source.get("product"), source.get("service"))
        assert any(one is not None and one.covers(*asked) for one in sources), (file, asked)


def test_event_log_and_its_json_export_give_the_same_fields(shared: Path, known: collect.Collectors) -> None:
    for folder in sorted((shared / "sigma").iterdir())[::8]:
        log, export = folder / "event.evtx", folder / "event.json"
        if not (log.exists() and export.exists()):
            continue
        names = ("EventID", "Channel", "Computer", "Image", "CommandLine", "TargetObject", "Details", "User", "Hashes")
        from_log = {json.dumps(row, default=str) for row in _bare(rows(read(log, known), *names))}
        from_export = {json.dumps(row, default=str) for row in _bare(rows(read(export, known), *names))}
        assert from_export <= from_log, folder


def _bare(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    # exports differ in the blanks at the end of a command line
    return [
        {
            key: " ".join(str(value).split())
            for key, value in row.items()
            if key != "event.sequence" and value is not None
        }
        for row in found
    ]


def test_zeek_folders_give_every_record_its_own_values(shared: Path, known: collect.Collectors) -> None:
    seen = Counter[str]()
    for folder in sorted((shared / "logs" / "slips-zeek").iterdir()):
        for file in sorted(folder.glob("*.log")):
            collector = {"conn": "zeek-conn", "dns": "zeek-dns", "http": "zeek-http", "ssl": "zeek-ssl"}.get(file.stem)
            if collector is None:
                continue
            chunks = read(file, known)
            balanced(chunks)
            assert {chunk.source for chunk in chunks} == {collector}, file
            assert not any(chunk.decoded.rejected for chunk in chunks), file
            truth = _zeek(file)
            found = rows(chunks, "source.ip", "destination.ip", "destination.port", "uid")
            assert [row["uid"] for row in found] == [one["uid"] for one in truth], file
            assert [row["destination.port"] for row in found] == [int(one["id.resp_p"]) for one in truth], file
            seen[collector] += len(found)
    assert set(seen) == {"zeek-conn", "zeek-dns", "zeek-http", "zeek-ssl"}


def _zeek(file: Path) -> list[dict[str, Any]]:
    """A plain reading of a Zeek log, line by line."""
    out, fields = [], list[str]()
    for line in file.read_text(encoding="utf-8", errors="replace").split("\n"):
        if line.startswith("{"):
            out.append(json.loads(line))
        elif line.startswith("#fields"):
            fields = line.split("\t")[1:]
        elif line and not line.startswith("#"):
            out.append(dict(zip(fields, line.split("\t"), strict=True)))
    return out


def test_suricata_eve_gives_every_event_its_dataset(shared: Path, known: collect.Collectors) -> None:
    path = shared / "logs" / "slips-suricata" / "test6" / "eve.json.gz"
    truth = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines() if line.strip()]
    chunks = read(path, known)
    balanced(chunks)
    found = rows(chunks, "event.code", "source.ip", "destination.port", "event.dataset")
    assert len(found) == len(truth)
    assert [row["event.code"] for row in found] == [one["event_type"] for one in truth]
    assert [row.get("destination.port") for row in found] == [one.get("dest_port") for one in truth]
    assert {row["event.dataset"] for row in found if row["event.code"] == "flow"} == {"flow"}


def test_huawei_lines_of_others_are_recognised(shared: Path, known: collect.Collectors, tmp_path: Path) -> None:
    lines = [
        line
        for text in (shared / "logs" / "wazuh-ruletest" / "huawei_usg" / "huawei_usg.jsonl").read_text().splitlines()
        for line in json.loads(text)["logs"]
    ]
    path = tmp_path / "usg.log"
    path.write_text("\n".join(lines) + "\n")
    chunks = read(path, known)
    assert {chunk.source for chunk in chunks} == {"huawei-usg"}
    assert not any(chunk.decoded.rejected for chunk in chunks)
    for row in rows(chunks, "source.ip", "event.code", "@timestamp", "observer.hostname"):
        assert row["event.code"]
        assert row["observer.hostname"]
        assert row["@timestamp"].year < 2026
