"""What a comparison with another tool's answers is made of: cases, their answers, our rows, one line of the table."""

from __future__ import annotations

import csv
import gzip
import json
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, TypeVar

import polars as pl

from cityguard.collect import collect
from cityguard.collect.collectors import Collectors

CAPTURES = (".pcap", ".pcapng", ".cap", ".dump", ".trace", ".pcap.gz", ".pcapng.gz")
MAX_NOTES = 8
NOW = datetime(2026, 1, 1, tzinfo=UTC)
"""The present of every comparison: the year of stamps without one."""


T = TypeVar("T")
_kept: list[Callable[[], None]] = []


def kept(make: Callable[[Path], T]) -> Callable[[Path], T]:
    """Keep what a function made of the last captures until ``forget``: comparators ask for the same again."""
    remembered = lru_cache(maxsize=512)(make)
    _kept.append(remembered.cache_clear)
    return remembered


def forget() -> None:
    """Let go of what was kept."""
    for clear in _kept:
        clear()


@dataclass(slots=True)
class Line:
    """One row of the table: how many units of a peer's answer we give too.

    ``compared`` = units in the peer's answer; ``equal`` of them we say the same; ``missing`` we lack or say otherwise;
    ``extra`` we say and the peer does not. ``floor`` is the share of equal units asked for, 0..1. ``most_extra`` is the
    share of ``compared`` that ``extra`` may reach where the peer tells everything it sees; None where it does not
    (its reason stands in ``docs/truth.md``).
    """

    protocol: str
    peer: str
    unit: str
    compared: int = 0
    equal: int = 0
    missing: int = 0
    extra: int = 0
    floor: float = 0.0
    most_extra: float | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """How a line is called outside the table."""
        return f"{self.protocol} | {self.peer} | {self.unit}"

    @property
    def empty(self) -> bool:
        """Whether the peer says nothing that could be compared: such a line holds nothing and breaks nothing."""
        return self.compared == 0 and self.extra == 0

    @property
    def share(self) -> float:
        return self.equal / self.compared if self.compared else 0.0

    @property
    def holds(self) -> bool:
        """Whether the level is reached; of a line without data it is not."""
        if self.compared == 0 or self.compared != self.equal + self.missing:
            return False
        return self.share >= self.floor and not self.overfull

    @property
    def overfull(self) -> bool:
        """Whether we say more beside the peer than the line allows."""
        return self.most_extra is not None and self.extra > self.most_extra * self.compared

    def add(self, case: str, theirs: Iterable[Hashable], ours: Iterable[Hashable]) -> None:
        """Compare two multisets of units of one case; the first differences are noted."""
        wanted, given = Counter(theirs), Counter(ours)
        missing, extra = wanted - given, given - wanted
        self.compared += wanted.total()
        self.missing += missing.total()
        self.equal += wanted.total() - missing.total()
        self.extra += extra.total()
        self.note(case, missing, extra)

    def note(self, case: str, missing: Counter[Hashable], extra: Counter[Hashable]) -> None:
        """Keep the first differences for a person to look at."""
        if (missing or extra) and len(self.notes) < MAX_NOTES:
            lacks = "; ".join(f"{unit} x{count}" for unit, count in missing.most_common(2))
            more = "; ".join(f"{unit} x{count}" for unit, count in extra.most_common(2))
            self.notes.append(f"{case}: lacks {missing.total()} [{lacks}] has {extra.total()} more [{more}]")


def captures(folder: Path) -> Iterator[Path]:
    """Capture files below a folder, in order of path."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name.lower().endswith(CAPTURES):
            yield path


@cache
def collectors() -> Collectors:
    """Every collector the project ships."""
    return Collectors.load()


def rows(path: Path, dataset: str | None = None, collector: str | None = "capture") -> pl.DataFrame:
    """What the product makes of a file, read the way ``cityguard decode`` reads it; one table, in order of offset.

    Args:
        path: the file.
        dataset: only its rows; None = all, with the column ``dataset``.
        collector: its name; None = recognised from the content.
    """
    tables = [
        batch.table.with_columns(pl.lit(batch.dataset).alias("dataset"))
        for chunk in collect.read(path, collectors(), collector=collector, now=NOW)
        for batch in chunk.decoded.batches
        if dataset in (None, batch.dataset) and batch.table.height
    ]
    table = pl.concat(tables, how="diagonal_relaxed") if tables else pl.DataFrame()
    return table.sort("log.offset", maintain_order=True) if "log.offset" in table.columns else table


def text(path: Path) -> str:
    """A text file, unpacked where its name ends in ``.gz``."""
    data = path.read_bytes()
    return (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8", "replace")


@kept
def tshark(capture: Path) -> list[dict[str, str]]:
    """Rows of the ``.tshark.tsv`` beside a capture; empty where there is none. Repeated fields are comma separated."""
    for name in (f"{capture.name}.tshark.tsv", f"{capture.name}.tshark.tsv.gz"):
        path = capture.with_name(name)
        if path.is_file():
            return list(csv.DictReader(text(path).splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE))
    return []


def zeek(path: Path, fields: Sequence[str] = ()) -> list[dict[str, str]]:
    """Records of a Zeek log, TSV or JSON; ``-`` and ``(empty)`` become ''.

    Args:
        path: the log.
        fields: names of its columns where it has lost its head.
    """
    lines = text(path).splitlines()
    if lines and lines[0].startswith("{"):
        return [{key: _plain(value) for key, value in json.loads(line).items()} for line in lines if line.strip()]
    names: list[str] = list(fields)
    found = []
    for line in lines:
        if line.startswith("#fields"):
            names = line.split("\t")[1:]
        elif not line.startswith("#") and names:
            values = ["" if value in ("-", "(empty)") else value for value in line.split("\t")]
            found.append(dict(zip(names, values, strict=False)))
    return found


def zeek_logs(capture: Path, name: str, fields: Sequence[str] = ()) -> Iterator[tuple[str, list[dict[str, str]]]]:
    """Logs called ``name`` (without ``.log``) beside a capture, where several tests may stand: case and records."""
    for folder in ("zeek-icsnpp", "zeek"):
        for path in sorted(capture.parent.glob(f"{folder}/*/{name}.log*")):
            yield f"{capture.parent.name}/{path.parent.name}", zeek(path, fields)


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "T" if value else "F"
    return value if isinstance(value, str) else json.dumps(value)
