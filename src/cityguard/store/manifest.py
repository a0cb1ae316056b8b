"""Which Parquet files hold events: the only list that counts, kept in SQLite beside everything else."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass
from datetime import datetime
from typing import Any

from cityguard.store.sql import micros
from cityguard.store.sqlite import Database

SCHEMA = (
    """CREATE TABLE parts (
        path TEXT PRIMARY KEY, dataset TEXT NOT NULL, part TEXT NOT NULL, rows INTEGER NOT NULL,
        min_id TEXT NOT NULL, max_id TEXT NOT NULL, min_time INTEGER NOT NULL, max_time INTEGER NOT NULL,
        bytes INTEGER NOT NULL, columns TEXT NOT NULL) WITHOUT ROWID""",
    "CREATE INDEX parts_time ON parts (dataset, max_time)",
    "CREATE INDEX parts_id ON parts (dataset, max_id)",
)

APPENDED = (
    """CREATE TABLE appended (
        dataset TEXT NOT NULL, part TEXT NOT NULL, digest BLOB NOT NULL, min_time INTEGER NOT NULL,
        PRIMARY KEY (dataset, part, digest)) WITHOUT ROWID""",
    "CREATE INDEX appended_time ON appended (dataset, min_time)",
    "CREATE TABLE retired (path TEXT PRIMARY KEY, dataset TEXT NOT NULL, at INTEGER NOT NULL) WITHOUT ROWID",
)


@dataclass(frozen=True, slots=True)
class Mark:
    """What was appended: the piece of input and a digest of all its ids. Time in µs, of the oldest row."""

    dataset: str
    part: str
    digest: bytes
    min_time: int


@dataclass(frozen=True, slots=True)
class Part:
    """One file: where, and what it can hold. Times in µs; ``path`` is relative to the events' folder."""

    path: str
    dataset: str
    part: str
    rows: int
    min_id: str
    max_id: str
    min_time: int
    max_time: int
    bytes: int
    columns: tuple[str, ...]


_ROW = "path, dataset, part, rows, min_id, max_id, min_time, max_time, bytes, columns"


class Manifest:
    """The tables ``parts``, ``appended`` and ``retired``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, parts: Sequence[Part], mark: Mark) -> None:
        """All of them and the mark, or nothing."""
        with self._database.write() as con:
            _insert(con, parts)
            con.execute("INSERT OR REPLACE INTO appended VALUES (?,?,?,?)", astuple(mark))

    def has(self, mark: Mark) -> bool:
        """Whether exactly these ids were appended under this part's name and are still kept."""
        key = (mark.dataset, mark.part, mark.digest)
        with self._database.read() as con:
            found = con.execute("SELECT 1 FROM appended WHERE dataset = ? AND part = ? AND digest = ?", key)
            return found.fetchone() is not None

    def replace(self, old: Sequence[Part], new: Sequence[Part], at: int) -> None:
        """Read ``new`` from now on; the files of ``old`` are retired at ``at`` (µs), for readers that are under way."""
        with self._database.write() as con:
            con.executemany("DELETE FROM parts WHERE path = ?", [(part.path,) for part in old])
            con.executemany("INSERT OR REPLACE INTO retired VALUES (?,?,?)", [(p.path, p.dataset, at) for p in old])
            _insert(con, new)

    def retired(self, dataset: str, before: int) -> list[str]:
        """Paths retired before a moment (µs) that no row names again."""
        test = "dataset = ? AND at < ? AND path NOT IN (SELECT path FROM parts)"
        with self._database.read() as con:
            return [path for (path,) in con.execute(f"SELECT path FROM retired WHERE {test}", (dataset, before))]  # noqa: S608

    def forget(self, dataset: str, before: int) -> None:
        """Forget what was retired before a moment (µs)."""
        with self._database.write() as con:
            con.execute("DELETE FROM retired WHERE dataset = ? AND at < ?", (dataset, before))

    def beside(self, stem: str, rows: int) -> list[Part]:
        """Files of one folder and span (``dataset/day/hour``) with fewer than ``rows`` rows, smallest first."""
        found = self._select("path > ? AND path < ? AND rows < ?", (f"{stem}-", f"{stem}.", rows))
        return sorted(found, key=lambda part: (part.rows, part.path))

    def remove(self, parts: Iterable[Part]) -> None:
        """Forget files, and that their rows were appended."""
        gone = list(parts)
        ends: dict[str, int] = {}
        for part in gone:
            ends[part.dataset] = max(ends.get(part.dataset, part.max_time), part.max_time)
        with self._database.write() as con:
            con.executemany("DELETE FROM parts WHERE path = ?", [(part.path,) for part in gone])
            con.executemany("DELETE FROM appended WHERE dataset = ? AND min_time <= ?", ends.items())

    def overlapping(self, dataset: str, low: str, high: str) -> list[Part]:
        """Files that may hold an id of [low, high]."""
        return self._select("dataset = ? AND max_id >= ? AND min_id <= ?", (dataset, low, high))

    def within(self, dataset: str | None, start: datetime | None, end: datetime | None) -> list[Part]:
        """Files that may hold a row of [start, end)."""
        tests, values = ["TRUE"], list[object]()
        for test, value in (
            ("dataset = ?", dataset),
            ("max_time >= ?", micros(start) if start else None),
            ("min_time < ?", micros(end) if end else None),
        ):
            if value is not None:
                tests.append(test)
                values.append(value)
        return self._select(" AND ".join(tests), values)

    def holding(self, ids: Sequence[str]) -> list[Part]:
        """Files that may hold any of the ids, of any dataset."""
        found: dict[str, Part] = {}
        with self._database.read() as con:
            for one in ids:
                for row in con.execute(f"SELECT {_ROW} FROM parts WHERE max_id >= ? AND min_id <= ?", (one, one)):  # noqa: S608
                    found[row[0]] = _part(row)
        return list(found.values())

    def before(self, dataset: str, moment: int) -> list[Part]:
        """Files whose every row is older than ``moment`` (µs)."""
        return self._select("dataset = ? AND max_time < ?", (dataset, moment))

    def paths(self, dataset: str) -> set[str]:
        """Files that are read, or were until a moment ago."""
        both = "SELECT path FROM parts WHERE dataset = ? UNION SELECT path FROM retired WHERE dataset = ?"
        with self._database.read() as con:
            return {path for (path,) in con.execute(both, (dataset, dataset))}

    def _select(self, test: str, values: Sequence[object]) -> list[Part]:
        # `test` is one of the literals above.
        with self._database.read() as con:
            return list(_parts(con.execute(f"SELECT {_ROW} FROM parts WHERE {test} ORDER BY path", values)))  # noqa: S608


def _insert(con: sqlite3.Connection, parts: Sequence[Part]) -> None:
    rows = [(*astuple(part)[:9], json.dumps(part.columns)) for part in parts]
    con.executemany("INSERT INTO parts VALUES (?,?,?,?,?,?,?,?,?,?)", rows)


def _parts(rows: sqlite3.Cursor) -> Iterator[Part]:
    return map(_part, rows)


def _part(row: tuple[Any, ...]) -> Part:
    path, dataset, part, rows, min_id, max_id, min_time, max_time, size, names = row
    return Part(path, dataset, part, rows, min_id, max_id, min_time, max_time, size, tuple(json.loads(names)))
