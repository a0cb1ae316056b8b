"""Header fields of network devices' syslog beside napalm-logs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from truth import base, logs_vendors
from truth.base import Line
from truth.logs_fields import OFFSET, ZONE, Flat, letters, plain, same

HEADER = ("pri", "facility", "severity", "date", "time", "host", "processName", "processId", "tag", "message")

IN_UTC = frozenset({"Huawei"})
"""Makers whose devices write UTC where they name no zone: as their collectors take it."""


def headers(folder: Path) -> Line:
    """Header fields of network devices' lines, one unit each."""
    line = Line("syslog headers", "napalm-logs", "field", floor=0.97)
    for path in sorted(folder.rglob("*.jsonl")):
        cases = [json.loads(text) for text in base.text(path).splitlines()]
        for case, (_, row) in zip(cases, logs_vendors.decode([one["raw"] for one in cases]), strict=True):
            wanted = case["expected"].get("message_details") or {}
            for name in HEADER:
                value = wanted.get(name)
                if value is None:
                    continue
                line.compared += 1
                if header(name, value, wanted, row, case["raw"]):
                    line.equal += 1
                else:
                    line.missing += 1
                    line.notes.append(f"{case['os']}/{case['event']}: {name} {value!r}; {case['raw'][:80]!r}")
    return line


def header(name: str, value: Any, wanted: Flat, row: Flat, raw: str) -> bool:
    """Whether a header field is the same in our row."""
    pri = row.get("pri", row.get("syslog.pri"))
    if name in ("pri", "facility", "severity"):
        number = int(pri) if pri is not None else -1
        return int(value) == {"pri": number, "facility": number // 8, "severity": number % 8}[name]
    if name in ("date", "time"):
        moment = row.get("@timestamp")
        stamp = _stamp(f"{wanted['date']} {wanted['time']}")
        if not isinstance(moment, datetime):
            return False
        return _part(moment + _offset(raw, row), name, yearless=stamp[0] == 1900) == _part_of(stamp, name)
    if name == "host":
        return value in (row.get("host.name"), row.get("observer.hostname"))
    if name == "processName":
        return bool(value == row.get("process.name"))
    if name == "processId":
        return same("process.pid", value, row.get("process.pid"))
    if name == "tag":
        return letters(str(value)) in {letters(one) for one in _tags(row)}
    ours = (row.get("message"), row.get("body"), row.get("text"))
    return _text(value) in {_text(one) for one in ours if one is not None}


def _text(value: Any) -> str:
    """Without the colon and blanks that stand between the head and it."""
    return plain(str(value).lstrip(": "), fold=False)


def _offset(raw: str, row: Flat) -> timedelta:
    """How far the line's clock, which the peer shows, is from UTC: as its head says, else as collectors take it."""
    text = next((str(row[name]) for name in ("message", "text") if row.get(name)), "")
    found = OFFSET.search(raw.partition(text)[0] if text else raw)
    if found is None:
        return timedelta() if row.get("observer.vendor") in IN_UTC else ZONE
    hours = re.search(r"([+-])(\d\d):?(\d\d)$", found[0])
    if hours is None:
        return timedelta()
    away = timedelta(hours=int(hours[2]), minutes=int(hours[3]))
    return -away if hours[1] == "-" else away


def _tags(row: Flat) -> Iterator[str]:
    parts = [str(row.get(name) or "") for name in ("event.provider", "severity_code", "event.code")]
    yield from ("-".join(parts), "/".join(parts), parts[2], parts[0], str(row.get("process.name") or ""))
    yield f"{parts[0]}-{row.get('event.severity')}-{parts[2]}"
    yield f"01{parts[0]}/{row.get('event.severity')}/{parts[2]}"
    yield f"{parts[0]} {row.get('event.action') or ''}"
    yield str(row.get("subtype") or "")


def _stamp(text: str) -> tuple[int, int, int, int, int, int]:
    text = re.sub(r"[T]", " ", re.sub(r"(?:Z|[+-]\d\d:\d\d)$", "", text.strip()))
    months = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
    named = re.search(r"([A-Z][a-z]{2})[- ]+(\d{1,2})", text)
    year = re.search(r"\b(\d{4})\b", text)
    numbers = re.search(r"\d{4}[-/](\d{1,2})[-/](\d{1,2})", text)
    clock = re.search(r"(\d{1,2}):(\d\d):(\d\d)", text)
    month, day = (months.index(named[1].lower()) + 1, int(named[2])) if named else (0, 0)
    if numbers:
        month, day = int(numbers[1]), int(numbers[2])
    hour, minute, second = (int(one) for one in clock.groups()) if clock else (0, 0, 0)
    return int(year[1]) if year else 1900, month, day, hour, minute, second


def _part(moment: datetime, name: str, *, yearless: bool) -> tuple[int, ...]:
    if name == "time":
        return moment.hour, moment.minute, moment.second
    return (1900 if yearless else moment.year), moment.month, moment.day


def _part_of(stamp: tuple[int, ...], name: str) -> tuple[int, ...]:
    return stamp[3:] if name == "time" else stamp[:3]
