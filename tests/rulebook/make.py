"""Rules, archives and sightings for these tests: small and real."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cityguard.model import LogSource, Sighting
from cityguard.rulebook.book import Book, Shelf
from cityguard.sigma.rule import load_bytes

NOW = datetime(2026, 11, 21, 8, 30, tzinfo=UTC)


def uuid(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012d}"


def rule(number: int = 1, **changes: Any) -> str:
    """A rule's text; ``detection`` and ``logsource`` as YAML flow maps."""
    parts = {
        "title": f"Rule {number}",
        "id": uuid(number),
        "status": "test",
        "author": "A. Author",
        "date": "2024-01-02",
        "tags": "[attack.t1110]",
        "logsource": "{category: network, service: connection}",
        "detection": "{one: {destination.port: 23}, condition: one}",
        "level": "medium",
    } | changes
    return "".join(f"{name}: {value}\n" for name, value in parts.items() if value is not None)


def zipped(path: Path, files: Mapping[str, str | bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def tarred(path: Path, files: Mapping[str, str | bytes], mode: str = "w:gz", *more: tarfile.TarInfo) -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, data in files.items():
            raw = data.encode() if isinstance(data, str) else data
            info = tarfile.TarInfo(name)
            info.size = len(raw)
            archive.addfile(info, io.BytesIO(raw))
        for info in more:
            archive.addfile(info)
    return path


def book(*texts: str) -> Book:
    """Rules as if they stood in one file."""
    return Book(load_bytes("---\n".join(texts).encode()))


def shelf(folder: Path, *texts: str) -> Shelf:
    rules = folder / "rules"
    rules.mkdir(exist_ok=True)
    for number, text in enumerate(texts):
        (rules / f"r{number}.yml").write_text(text)
    return Shelf([rules], folder / "rule-switches.yml")


def sighting(source: LogSource, *names: str, at: datetime = NOW, **changes: Any) -> Sighting:
    values: dict[str, Any] = {
        "day": at.date(),
        "dataset": "flow",
        "collector": "netflow",
        "logsource": source.text,
        "department": None,
        "segment": None,
        "rows": 10,
        "last_seen": at,
        "columns": dict.fromkeys(names, (10, at)),
    }
    return Sighting(**(values | changes))


FLOWS = LogSource(("network",), (), ("connection",))
