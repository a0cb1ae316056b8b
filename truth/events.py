"""Event logs beside their census, EVE and Zeek logs beside a plain reading of the same lines."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cityguard.collect import collect
from cityguard.errors import CityguardError
from cityguard.model import Chunk
from truth.base import NOW, Line, collectors, text

ZIP = b"PK\x03\x04"


def compare(data: Path) -> Iterable[Line]:
    """Three lines for event logs, two for EVE, three for Zeek."""
    yield from _census(data / "evtx")
    yield from _eve(data / "logs")
    yield from _zeek([data / "it-pcap", data / "ot-pcap", data / "logs"])


def _read(path: Path) -> list[Chunk]:
    try:
        return list(collect.read(path, collectors(), now=NOW))
    except CityguardError:
        return []


def _rows(chunks: list[Chunk], *names: str) -> Iterator[dict[str, Any]]:
    for batch in (batch for chunk in chunks for batch in chunk.decoded.batches):
        yield from batch.table.select(one for one in names if one in batch.table.columns).iter_rows(named=True)


def _rejected(chunks: list[Chunk]) -> int:
    return sum(chunk.decoded.rejected for chunk in chunks)


def _census(folder: Path) -> Iterator[Line]:
    events = Line("evtx", "census", "record by event id", floor=1.0, most_extra=0.0)
    channels = Line("evtx", "census", "record by channel", floor=1.0, most_extra=0.0)
    providers = Line("evtx", "census", "record by provider", floor=1.0, most_extra=0.0)
    for file in sorted(folder.rglob("*.truth.json")):
        log = file.with_name(file.name.removesuffix(".truth.json"))
        if not log.is_file():
            continue
        truth = json.loads(file.read_text())
        rows = list(_rows(_read(log), "EventID", "Channel", "Provider_Name"))
        for line, key, name in (
            (events, "event_ids", "EventID"),
            (channels, "channels", "Channel"),
            (providers, "providers", "Provider_Name"),
        ):
            line.add(file.name, Counter(truth[key]).elements(), (str(row.get(name)) for row in rows))
    yield from (events, channels, providers)


def _eve(folder: Path) -> Iterator[Line]:
    events = Line("eve", "plain reading", "event: type, time, ends", floor=1.0, most_extra=0.0)
    refused = Line("eve", "plain reading", "line that is no event", floor=1.0, most_extra=0.0)
    for path in sorted([*folder.rglob("eve.json*"), *folder.rglob("suricata*/input*")]):
        theirs, bad = list[tuple[Any, ...]](), 0
        for line in text(path).split("\n"):
            if not line.strip():
                continue
            try:
                one = json.loads(line)
                theirs.append(_unit(one["event_type"], one["timestamp"], one.get("src_ip"), one.get("dest_port")))
            except (ValueError, KeyError, TypeError):
                bad += 1
        if not theirs:
            continue
        chunks = _read(path)
        names = ("event.code", "@timestamp", "src_ip", "destination.port")
        ours = [_unit(*(row.get(name) for name in names)) for row in _rows(chunks, *names)]
        events.add(f"{path.parent.name}/{path.name}", theirs, ours)
        refused.add(path.parent.name, range(bad), range(_rejected(chunks)))
    yield from (events, refused)


def _unit(kind: object, time: object, source: object, port: object) -> tuple[object, ...]:
    moment = time if isinstance(time, datetime) else datetime.fromisoformat(str(time))
    return str(kind), moment.astimezone(UTC), source, port


def _zeek(folders: list[Path]) -> Iterator[Line]:
    records = Line("zeek logs", "plain reading", "record: uid, time, ends", floor=1.0, most_extra=0.0)
    files = Line("zeek logs", "plain reading", "file read without a rejected line", floor=1.0, most_extra=0.0)
    ids = Line("zeek logs", "plain reading", "record with an id of its own", floor=1.0, most_extra=0.0)
    paths = sorted(path for folder in folders for path in folder.rglob("*.log*") if path.is_file())
    for path in paths:
        body = text(path) if path.suffix in (".log", ".gz") else ""
        theirs = list(_plain(body))
        if not theirs:
            continue
        chunks = _read(path)
        names = ("uid", "ts", "id.orig_h", "id.resp_p", "event.id")
        rows = list(_rows(chunks, *names))
        case = f"{path.parent.parent.parent.name}/{path.parent.name}/{path.name}"
        records.add(case, theirs, (_record(row) for row in rows))
        files.add(case, [0], [_rejected(chunks)])
        ids.add(case, range(len(rows)), range(len({row["event.id"] for row in rows})))
    yield from (records, files, ids)


def _record(row: dict[str, Any]) -> tuple[str, ...]:
    """Four cells as text; numbers as floating point has them."""
    return tuple(_cell(row.get(name)) for name in ("uid", "ts", "id.orig_h", "id.resp_p"))


def _cell(value: object) -> str:
    if value in (None, "-", ""):
        return ""
    try:
        return repr(float(str(value)))
    except ValueError:
        return str(value)


def _plain(body: str) -> Iterator[tuple[str, ...]]:
    """Records of a log read line by line; without a head, TSV cannot be read by anybody."""
    names: list[str] = []
    kinds: dict[str, str] = {}
    for line in body.split("\n"):
        if line.startswith("{"):
            yield _record(json.loads(line))
        elif line.startswith("#fields"):
            names, kinds = line.split("\t")[1:], {}
        elif line.startswith("#types"):
            kinds = dict(zip(names, line.split("\t")[1:], strict=False))
        elif line.strip() and not line.startswith("#") and names:
            row: dict[str, Any] = dict(zip(names, line.split("\t"), strict=False))
            if kinds.get("ts") == "time" and not _number(row.get("ts")):
                row["ts"] = None  # a baseline whose times were taken out
            yield _record(row)


def _number(value: object) -> bool:
    try:
        float(str(value))
    except ValueError:
        return False
    return True
