"""Alerts in SQLite with full-text search; every part of an alert is counted once."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping
from typing import Any

import polars as pl

from cityguard.errors import StoreError
from cityguard.model import LEVELS, Alert, Query
from cityguard.store import codec, fields, merging, sql
from cityguard.store.alert_groups import conflict, groups_frame, verdicts_frame
from cityguard.store.sql import ip_key, micros
from cityguard.store.sqlite import Database

BATCH = 1_000  # alerts per transaction

SCHEMA = (
    """CREATE TABLE alerts (
        key INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, rule_id TEXT NOT NULL, title TEXT NOT NULL,
        level INTEGER NOT NULL, source TEXT NOT NULL, status TEXT NOT NULL, verdict TEXT, owner TEXT,
        note TEXT NOT NULL, case_id TEXT, author TEXT NOT NULL, tags TEXT NOT NULL, department TEXT, system TEXT,
        segment TEXT, dataset TEXT, count INTEGER NOT NULL, score REAL, first_seen INTEGER NOT NULL,
        last_seen INTEGER NOT NULL, source_ip TEXT, source_ip_key TEXT, destination_ip TEXT, destination_ip_key TEXT,
        user_name TEXT, host_name TEXT, version INTEGER NOT NULL, doc BLOB NOT NULL)""",
    "CREATE INDEX alerts_last ON alerts (last_seen, id)",
    "CREATE INDEX alerts_status ON alerts (status, last_seen, id)",
    "CREATE INDEX alerts_rule ON alerts (rule_id, last_seen)",
    "CREATE INDEX alerts_source ON alerts (source_ip, last_seen)",
    """CREATE TABLE alert_parts (
        alert TEXT NOT NULL, part TEXT NOT NULL, count INTEGER NOT NULL, PRIMARY KEY (alert, part)) WITHOUT ROWID""",
    "CREATE VIRTUAL TABLE alert_text USING fts5 (body, detail = full)",
)

_COLUMNS = (
    *("id", "rule_id", "title", "level", "source", "status", "verdict", "owner", "note", "case_id", "author", "tags"),
    *("department", "system", "segment", "dataset", "count", "score", "first_seen", "last_seen"),
    *("source_ip", "source_ip_key", "destination_ip", "destination_ip_key", "user_name", "host_name"),
    *("version", "doc"),
)
_CURSOR = "(SELECT last_seen, id FROM alerts WHERE id = ?)"
_INSERT = f"INSERT INTO alerts ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"  # noqa: S608
_UPDATE = f"UPDATE alerts SET {', '.join(f'{name} = ?' for name in _COLUMNS)} WHERE key = ?"  # noqa: S608


class EmbeddedAlerts:
    """See ``store.base.Alerts``. A time range means alerts active in it; order is by last seen, then id."""

    def __init__(self, database: Database, reader: codec.Reader) -> None:
        self._database, self._reader = database, reader

    def merge(self, alerts: Iterable[Alert]) -> list[Alert]:
        """Add or merge, ``BATCH`` at a time; each batch is on disk whole before the next begins."""
        collected = list(merging.collect(alerts).items())
        fresh: list[Alert] = []
        for at in range(0, len(collected), BATCH):
            with self._database.write() as con:
                new = [self._merge(con, alert_id, parts) for alert_id, parts in collected[at : at + BATCH]]
            fresh += [alert for alert in new if alert is not None]
        return fresh

    def get(self, alert_id: str) -> Alert | None:
        with self._database.read() as con:
            row = con.execute("SELECT id, doc FROM alerts WHERE id = ?", (alert_id,)).fetchone()
        return self._reader.one(Alert, row[0], row[1]) if row else None

    def find(self, query: Query) -> list[Alert]:
        where, values = self._where(query)
        sign, order = ("<", "DESC") if query.newest_first else (">", "ASC")
        if query.after is not None:
            where += f" AND (last_seen, id) {sign} {_CURSOR}"
            values.append(query.after)
        statement = f"SELECT id, doc FROM alerts WHERE {where} ORDER BY last_seen {order}, id {order} LIMIT ?"  # noqa: S608
        with self._database.read() as con:
            rows = con.execute(statement, [*values, query.limit]).fetchall()
        return self._reader.all(Alert, rows)

    def count(self, query: Query) -> int:
        where, values = self._where(query)
        with self._database.read() as con:
            return int(con.execute(f"SELECT count(*) FROM alerts WHERE {where}", values).fetchone()[0])  # noqa: S608

    def groups(self, query: Query) -> pl.DataFrame:
        """One row per rule, source and destination; the group seen last comes first."""
        where, values = self._where(query)
        sign, order = ("<", "DESC") if query.newest_first else (">", "ASC")
        after = ""
        if query.after is not None:
            after = f"WHERE (last_seen, latest) {sign} {_CURSOR}"
            values.append(query.after)
        with self._database.read() as con:
            rows = con.execute(_GROUPS.format(where=where, after=after, order=order), [*values, query.limit]).fetchall()
        return groups_frame(rows)

    def verdicts(self, query: Query) -> pl.DataFrame:
        where, values = self._where(query)
        statement = (
            "SELECT rule_id, status, verdict, count(*), sum(count), max(last_seen) "  # noqa: S608
            f"FROM alerts WHERE {where} GROUP BY rule_id, status, verdict"
        )
        with self._database.read() as con:
            return verdicts_frame(con.execute(statement, values).fetchall())

    def update(self, alert_id: str, version: int, changes: Mapping[str, Any]) -> Alert:
        with self._database.write() as con:
            row = con.execute("SELECT key, doc FROM alerts WHERE id = ?", (alert_id,)).fetchone()
            if row is None:
                raise KeyError(alert_id)
            stored = self._reader.one(Alert, alert_id, row[1])
            if stored is None:
                raise StoreError(f"alert {alert_id} cannot be read", remedy="restore the database from a backup")
            if stored.version != version:
                raise conflict(alert_id, version, stored.version)
            alert = merging.changed(stored, changes)
            self._put(con, row[0], alert)
        return alert

    def _merge(self, con: sqlite3.Connection, alert_id: str, parts: dict[str, Alert]) -> Alert | None:
        """Merge one alert's parts; returns it when it is new."""
        row = con.execute("SELECT key, doc FROM alerts WHERE id = ?", (alert_id,)).fetchone()
        stored = self._reader.one(Alert, alert_id, row[1]) if row else None
        alert = stored
        for name, part in parts.items():
            old = con.execute("SELECT count FROM alert_parts WHERE alert = ? AND part = ?", (alert_id, name)).fetchone()
            alert = merging.merge(alert, part, old[0] if old else 0)
            con.execute("INSERT OR REPLACE INTO alert_parts VALUES (?, ?, ?)", (alert_id, name, part.count))
        if alert is not None and alert != stored:
            self._put(con, row[0] if row else None, alert)
        return alert if row is None else None

    def _put(self, con: sqlite3.Connection, key: int | None, alert: Alert) -> None:
        text = merging.searchable(alert)
        if key is None:
            key = con.execute(_INSERT, _row(alert)).lastrowid
            con.execute("INSERT INTO alert_text (rowid, body) VALUES (?, ?)", (key, text))
            return
        con.execute(_UPDATE, (*_row(alert), key))
        con.execute("UPDATE alert_text SET body = ? WHERE rowid = ? AND body <> ?", (text, key, text))

    def _where(self, query: Query) -> tuple[str, list[Any]]:
        where, values = sql.alerts(fields.resolve(fields.check(query), "alerts"))
        for test, value in (
            ("last_seen >= ?", micros(query.start) if query.start else None),
            ("first_seen < ?", micros(query.end) if query.end else None),
            ("dataset = ?", query.dataset),
        ):
            if value is not None:
                where += f" AND {test}"
                values.append(value)
        return where, values


_GROUPS = """
SELECT * FROM (
  SELECT rule_id, source_ip, destination_ip, alerts, total, top, title, first, last_seen, id AS latest
  FROM (
    SELECT *, count(*) OVER w AS alerts, sum(count) OVER w AS total, max(level) OVER w AS top,
           min(first_seen) OVER w AS first, row_number() OVER (PARTITION BY rule_id, source_ip, destination_ip
           ORDER BY last_seen DESC, id DESC) AS nth
    FROM alerts WHERE {where}
    WINDOW w AS (PARTITION BY rule_id, source_ip, destination_ip))
  WHERE nth = 1)
{after} ORDER BY last_seen {order}, latest {order} LIMIT ?
"""


def _row(alert: Alert) -> tuple[Any, ...]:
    source, destination = alert.entities.get("source.ip"), alert.entities.get("destination.ip")
    return (
        alert.id,
        alert.rule_id,
        f"{alert.title.zh}\n{alert.title.en}",
        LEVELS.index(alert.level),
        alert.source,
        alert.status,
        alert.verdict,
        alert.owner,
        alert.note,
        alert.case_id,
        alert.author,
        json.dumps(alert.tags, ensure_ascii=False),
        alert.department,
        alert.system,
        alert.segment,
        alert.dataset,
        alert.count,
        alert.score,
        micros(alert.first_seen),
        micros(alert.last_seen),
        source,
        ip_key(source),
        destination,
        ip_key(destination),
        alert.entities.get("user.name"),
        alert.entities.get("host.name"),
        alert.version,
        codec.encode(alert),
    )
