"""Evidence, assessments, drills, jobs, dead letters, the ledger, the audit chain and small state, in SQLite."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from typing import Any, TypeVar

from cityguard.clock import Clock
from cityguard.model import (
    Assessment,
    AuditEntry,
    Chunk,
    DeadLetter,
    DrillRun,
    Evidence,
    JobRun,
    Ledger,
    Schedule,
    Sighting,
)
from cityguard.store import chain, claims, codec, ledger, sightings, sql
from cityguard.store.sql import micros
from cityguard.store.sqlite import Database

T = TypeVar("T")
HEAD = "audit.head"
MAX_DEAD, MAX_DEAD_BYTES, MAX_RAW = 100_000, 1 << 30, 65_536

SCHEMA = (
    """CREATE TABLE documents (
        kind TEXT NOT NULL, id TEXT NOT NULL, system TEXT, chk TEXT, at INTEGER NOT NULL, doc BLOB NOT NULL,
        PRIMARY KEY (kind, id)) WITHOUT ROWID""",
    "CREATE INDEX documents_at ON documents (kind, system, at)",
    """CREATE TABLE runs (
        job TEXT NOT NULL, slot INTEGER NOT NULL, fence INTEGER NOT NULL, started INTEGER NOT NULL,
        doc BLOB NOT NULL, PRIMARY KEY (job, slot)) WITHOUT ROWID""",
    "CREATE INDEX runs_started ON runs (started)",
    """CREATE TABLE dead (
        seq INTEGER PRIMARY KEY, source TEXT NOT NULL, place INTEGER NOT NULL, reason TEXT NOT NULL,
        raw BLOB NOT NULL, UNIQUE (source, place, reason))""",
    """CREATE TABLE chunks (
        source TEXT NOT NULL, part TEXT NOT NULL, unit TEXT NOT NULL, received INTEGER NOT NULL,
        stored INTEGER NOT NULL, dead INTEGER NOT NULL, dropped INTEGER NOT NULL, events INTEGER NOT NULL,
        at INTEGER NOT NULL, PRIMARY KEY (source, part)) WITHOUT ROWID""",
    "CREATE TABLE audit (seq INTEGER PRIMARY KEY, doc BLOB NOT NULL)",
    "CREATE TABLE audit_anchors (seq INTEGER PRIMARY KEY, mac TEXT NOT NULL)",
    "CREATE TABLE audit_head (one INTEGER PRIMARY KEY CHECK (one = 1), seq INTEGER NOT NULL, mac TEXT NOT NULL)",
    "CREATE TABLE numbers (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE TABLE state (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",
)

SIGHTINGS = (
    """CREATE TABLE sightings (
        day INTEGER NOT NULL, key TEXT NOT NULL, folded INTEGER NOT NULL, doc BLOB NOT NULL,
        PRIMARY KEY (day, key)) WITHOUT ROWID""",
)


class EmbeddedRecords:
    """See ``store.base.Records``.

    Args:
        database: the store's file.
        home: folder of the audit key and of the anchors' copy.
        clock: says when a lease is over.
        reader: counts malformed rows.
    """

    def __init__(self, database: Database, home: Path, clock: Clock, reader: codec.Reader) -> None:
        self._database, self._home, self._clock, self._reader = database, home, clock, reader

    # ---------------------------------------------------------------- documents

    def put_evidence(self, items: Iterable[Evidence]) -> int:
        """Returns how many were new; evidence that is there already is never touched."""
        rows = [("evidence", e.id, e.system, e.check, micros(e.observed_at), codec.encode(e)) for e in items]
        with self._database.write() as con:
            before = con.total_changes
            con.executemany("INSERT OR IGNORE INTO documents VALUES (?,?,?,?,?,?)", rows)
            return con.total_changes - before

    def find_evidence(
        self, *, system: str | None = None, check: str | None = None, ids: Sequence[str] | None = None
    ) -> list[Evidence]:
        """Newest observation first."""
        return self._documents(Evidence, "evidence", system, check, None if ids is None else set(ids))

    def put_assessment(self, item: Assessment) -> None:
        self._put("assessment", item.id, item.system, item.made_at, item)

    def get_assessment(self, assessment_id: str) -> Assessment | None:
        return self._get(Assessment, "assessment", assessment_id)

    def find_assessments(self, system: str | None = None) -> list[Assessment]:
        return self._documents(Assessment, "assessment", system)

    def put_drill(self, item: DrillRun) -> None:
        self._put("drill", item.id, item.system, item.started, item)

    def get_drill(self, drill_id: str) -> DrillRun | None:
        return self._get(DrillRun, "drill", drill_id)

    def find_drills(self, system: str | None = None) -> list[DrillRun]:
        return self._documents(DrillRun, "drill", system)

    def put_schedule(self, item: Schedule) -> None:
        with self._database.write() as con:
            con.execute(
                "INSERT OR REPLACE INTO documents VALUES ('schedule', ?, NULL, NULL, 0, ?)",
                (item.id, codec.encode(item)),
            )

    def find_schedules(self) -> list[Schedule]:
        return sorted(self._documents(Schedule, "schedule"), key=lambda item: item.id)

    def _put(self, kind: str, name: str, system: str, at: datetime, item: object) -> None:
        row = (kind, name, system, micros(at), codec.encode(item))
        with self._database.write() as con:
            con.execute("INSERT OR REPLACE INTO documents VALUES (?, ?, ?, NULL, ?, ?)", row)

    def _get(self, record: type[T], kind: str, name: str) -> T | None:
        with self._database.read() as con:
            row = con.execute("SELECT doc FROM documents WHERE kind = ? AND id = ?", (kind, name)).fetchone()
        return self._reader.one(record, name, row[0]) if row else None

    def _documents(
        self,
        record: type[T],
        kind: str,
        system: str | None = None,
        check: str | None = None,
        ids: set[str] | None = None,
    ) -> list[T]:
        where, values = ["kind = ?"], list[Any]([kind])
        for test, value in (("system = ?", system), ("chk = ?", check)):
            if value is not None:
                where.append(test)
                values.append(value)
        statement = f"SELECT id, doc FROM documents WHERE {' AND '.join(where)} ORDER BY at DESC, id"  # noqa: S608
        with self._database.read() as con:
            rows = [row for row in con.execute(statement, values) if ids is None or row[0] in ids]
        return self._reader.all(record, rows)

    # ---------------------------------------------------------------- runs

    def claim(self, run: JobRun) -> JobRun | None:
        with self._database.write() as con:
            row = con.execute("SELECT doc FROM runs WHERE job = ? AND slot = ?", _slot(run)).fetchone()
            held = self._reader.one(JobRun, run.id, row[0]) if row else None
            taken = claims.claim(held, run, self._clock())
            if taken is not None:
                self._put_run(con, taken)
            return taken

    def finish(self, run: JobRun) -> None:
        """Write a run as it is now; with outcome ``running`` and a later ``lease_until`` it renews the lease."""
        with self._database.write() as con:
            row = con.execute("SELECT fence FROM runs WHERE job = ? AND slot = ?", _slot(run)).fetchone()
            claims.check_fence(run, row[0] if row else None)
            self._put_run(con, run)

    def find_runs(self, job: str | None = None, limit: int = 100) -> list[JobRun]:
        """Started last comes first."""
        where, values = ("WHERE job = ?", [job]) if job is not None else ("", [])
        statement = f"SELECT job, doc FROM runs {where} ORDER BY started DESC, job, slot DESC LIMIT ?"  # noqa: S608
        with self._database.read() as con:
            return self._reader.all(JobRun, con.execute(statement, [*values, limit]).fetchall())

    def _put_run(self, con: sqlite3.Connection, run: JobRun) -> None:
        row = (*_slot(run), run.fence, micros(run.started), codec.encode(run))
        con.execute("INSERT OR REPLACE INTO runs VALUES (?, ?, ?, ?, ?)", row)

    # ---------------------------------------------------------------- dead letters, ledger

    def add_dead(self, items: Iterable[DeadLetter]) -> int:
        """Returns how many were new. Past the caps the oldest go; ``dead_dropped`` counts them."""
        with self._database.write() as con:
            added = [self._add_dead(con, item) for item in items]
            total, size = _number(con, "dead"), _number(con, "dead_bytes")
            while total > MAX_DEAD or size > MAX_DEAD_BYTES:
                seq, length = con.execute("SELECT seq, length(raw) FROM dead ORDER BY seq LIMIT 1").fetchone()
                con.execute("DELETE FROM dead WHERE seq = ?", (seq,))
                _add(con, "dead_dropped", 1)
                total, size = _add(con, "dead", -1), _add(con, "dead_bytes", -length)
            return sum(added)

    def find_dead(self, source: str | None = None, limit: int = 100) -> list[DeadLetter]:
        """Newest first."""
        where, values = ("WHERE source = ?", [source]) if source is not None else ("", [])
        statement = f"SELECT source, place, reason, raw FROM dead {where} ORDER BY seq DESC LIMIT ?"  # noqa: S608
        with self._database.read() as con:
            return [DeadLetter(*row) for row in con.execute(statement, [*values, limit])]

    @property
    def dead_dropped(self) -> int:
        """Dead letters thrown out because there were too many."""
        with self._database.read() as con:
            return _number(con, "dead_dropped")

    def _add_dead(self, con: sqlite3.Connection, item: DeadLetter) -> int:
        raw = item.raw[:MAX_RAW]
        row = (item.source, item.place, item.reason[:1_000], raw)
        done = con.execute("INSERT OR IGNORE INTO dead (source, place, reason, raw) VALUES (?,?,?,?)", row)
        if done.rowcount > 0:
            _add(con, "dead", 1)
            _add(con, "dead_bytes", len(raw))
        return max(done.rowcount, 0)

    def account(self, chunk: Chunk) -> None:
        row = ledger.row(chunk)
        with self._database.write() as con:
            con.execute(
                "INSERT OR REPLACE INTO chunks VALUES (?,?,?,?,?,?,?,?,?)",
                (chunk.source, chunk.part, *row, micros(self._clock())),
            )

    def ledger(self) -> list[Ledger]:
        """By name of the source."""
        with self._database.read() as con:
            rows = con.execute(
                "SELECT source, max(unit), sum(received), sum(stored), sum(dead), sum(dropped), sum(events), max(at) "
                "FROM chunks GROUP BY source ORDER BY source"
            ).fetchall()
        return [
            Ledger(source, unit, received, stored, dead, dropped, events=events, last_seen=sql.moment(at))
            for source, unit, received, stored, dead, dropped, events, at in rows
        ]

    def add_sightings(self, items: Iterable[Sighting]) -> None:
        found = sightings.together(items)
        if not found:
            return
        with self._database.write() as con:
            for item in found:
                self._add_sighting(con, item)

    def _add_sighting(self, con: sqlite3.Connection, item: Sighting) -> None:
        day = sightings.start_of(item.day)
        held = dict(con.execute("SELECT folded, count(*) FROM sightings WHERE day = ? GROUP BY folded", (day,)))
        if not held:
            oldest = sightings.start_of(item.day - sightings.KEEP)
            con.execute("DELETE FROM sightings WHERE day < ?", (oldest,))
        is_full = (held.get(0, 0) >= sightings.MAX_KEYS, held.get(1, 0) >= sightings.MAX_FOLDED)
        for folded, one in enumerate((item, sightings.folded(item))):
            name = f"{folded}{sightings.key(one)}"
            row = con.execute("SELECT doc FROM sightings WHERE day = ? AND key = ?", (day, name)).fetchone()
            if row is None and is_full[folded]:
                continue
            whole = sightings.merged(self._reader.one(Sighting, name, row[0]) if row else None, one)
            con.execute("INSERT OR REPLACE INTO sightings VALUES (?,?,?,?)", (day, name, folded, codec.encode(whole)))
            return
        _add(con, "sightings_dropped", item.rows)

    def find_sightings(self, since: date) -> list[Sighting]:
        statement = "SELECT key, doc FROM sightings WHERE day >= ? ORDER BY day, key"
        with self._database.read() as con:
            rows = con.execute(statement, (sightings.start_of(since),)).fetchall()
        return self._reader.all(Sighting, rows)

    # ---------------------------------------------------------------- audit

    def append_audit(self, actor: str, ip: str, action: str, object: str, detail: str, at: datetime) -> AuditEntry:
        key = self._key()
        with self._database.write() as con:
            row = con.execute("SELECT doc FROM audit ORDER BY seq DESC LIMIT 1").fetchone()
            last = codec.decode(AuditEntry, row[0]) if row else None
            entry = chain.entry(last, actor, ip, action, object, detail, at)
            con.execute("INSERT INTO audit VALUES (?, ?)", (entry.seq, codec.encode(entry)))
            con.execute("INSERT OR REPLACE INTO audit_head VALUES (1, ?, ?)", (entry.seq, chain.head(key, entry)))
            if entry.seq % chain.EVERY == 0:
                con.execute("INSERT INTO audit_anchors VALUES (?, ?)", (entry.seq, chain.anchor(key, entry)))
            if last is not None:
                chain.write_head(self._home / HEAD, last.seq, chain.head(key, last))
        return entry

    def find_audit(self, limit: int = 100) -> list[AuditEntry]:
        """Newest first."""
        with self._database.read() as con:
            rows = con.execute("SELECT seq, doc FROM audit ORDER BY seq DESC LIMIT ?", (limit,)).fetchall()
        return self._reader.all(AuditEntry, rows)

    def verify_audit(self) -> int | None:
        """The seq of the first row that was changed, removed, put in or cut off; None = the chain is whole.

        An older copy of the database put back shows too: the file ``audit.head`` knows of newer rows.
        """
        key = self._key()
        outside = chain.read_head(self._home / HEAD)
        with self._database.read() as con:
            con.execute("BEGIN")  # one moment for all three
            anchors = dict(con.execute("SELECT seq, mac FROM audit_anchors").fetchall())
            head = con.execute("SELECT seq, mac FROM audit_head").fetchone()
            bad = chain.first_bad(_entries(con.execute("SELECT seq, doc FROM audit ORDER BY seq")), anchors, head, key)
            con.execute("COMMIT")
        if bad is None and outside and (head is None or outside > head[0]):
            return 1 if head is None else int(head[0]) + 1
        return bad

    def _key(self) -> bytes:
        return chain.load_key(self._home / "audit.key")

    # ---------------------------------------------------------------- small state

    def get_value(self, key: str) -> bytes | None:
        with self._database.read() as con:
            row = con.execute("SELECT value FROM state WHERE name = ?", (key,)).fetchone()
        return bytes(row[0]) if row else None

    def put_value(self, key: str, value: bytes) -> None:
        with self._database.write() as con:
            con.execute("INSERT OR REPLACE INTO state VALUES (?, ?)", (key, value))


def _slot(run: JobRun) -> tuple[str, int]:
    return run.job, micros(run.slot)


def _entries(rows: Iterable[tuple[int, bytes]]) -> Iterator[AuditEntry]:
    """Rows as entries; one that cannot be read becomes one that cannot be right."""
    unreadable = hashlib.sha256(b"unreadable").hexdigest()
    for seq, doc in rows:
        try:
            yield replace(codec.decode(AuditEntry, doc), seq=seq)
        except codec.BROKEN:
            yield AuditEntry(seq, sql.moment(0), "", "", "", "", "", "", unreadable)


def _number(con: sqlite3.Connection, name: str) -> int:
    row = con.execute("SELECT value FROM numbers WHERE name = ?", (name,)).fetchone()
    return int(row[0]) if row else 0


def _add(con: sqlite3.Connection, name: str, more: int) -> int:
    con.execute(
        "INSERT INTO numbers VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = value + excluded.value",
        (name, more),
    )
    return _number(con, name)
