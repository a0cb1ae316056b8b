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
    """The table ``parts``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, parts: Sequence[Part]) -> None:
        """All of them, or none."""
        rows = [(*astuple(part)[:9], json.dumps(part.columns)) for part in parts]
        with self._database.write() as con:
            con.executemany("INSERT INTO parts VALUES (?,?,?,?,?,?,?,?,?,?)", rows)

    def remove(self, paths: Iterable[str]) -> None:
        with self._database.write() as con:
            con.executemany("DELETE FROM parts WHERE path = ?", [(path,) for path in paths])

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
        with self._database.read() as con:
            return {path for (path,) in con.execute("SELECT path FROM parts WHERE dataset = ?", (dataset,))}

    def _select(self, test: str, values: Sequence[object]) -> list[Part]:
        # `test` is one of the literals above.
        with self._database.read() as con:
            return list(_parts(con.execute(f"SELECT {_ROW} FROM parts WHERE {test} ORDER BY path", values)))  # noqa: S608


def _parts(rows: sqlite3.Cursor) -> Iterator[Part]:
    return map(_part, rows)


def _part(row: tuple[Any, ...]) -> Part:
    path, dataset, part, rows, min_id, max_id, min_time, max_time, size, names = row
    return Part(path, dataset, part, rows, min_id, max_id, min_time, max_time, size, tuple(json.loads(names)))
