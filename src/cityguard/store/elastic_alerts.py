"""Alerts in Elasticsearch: one document each, changed only by whoever saw its newest version."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import orjson
import polars as pl

from cityguard.errors import StoreError
from cityguard.model import LEVELS, Alert, Query
from cityguard.store import codec, dsl, fields, groups, merging
from cityguard.store.alert_groups import conflict, groups_frame, verdicts_frame
from cityguard.store.elastic_client import Client
from cityguard.store.sql import micros

BATCH = 500
TRIES = 20
Seen = tuple[int, int]


class ElasticAlerts:
    """See ``store.base.Alerts``. A time range means alerts active in it; order is by last seen, then id."""

    def __init__(self, client: Client, reader: codec.Reader) -> None:
        self._client, self._reader = client, reader
        self._index = client.index("alerts")

    def merge(self, alerts: Iterable[Alert]) -> list[Alert]:
        """Add or merge. A document holds the counts of its parts, so merging again changes nothing."""
        collected = merging.collect(alerts)
        fresh: list[Alert] = []
        names = list(collected)
        for at in range(0, len(names), BATCH):
            fresh += self._merge({name: collected[name] for name in names[at : at + BATCH]})
        return fresh

    def get(self, alert_id: str) -> Alert | None:
        found = self._client.get(self._index, alert_id)
        return self._alert(alert_id, found[0]) if found else None

    def find(self, query: Query) -> list[Alert]:
        after = None
        if query.after is not None:
            cursor = self._client.get(self._index, query.after)
            if cursor is None:
                return []
            after = [cursor[0]["last_seen"], query.after]
        order = "desc" if query.newest_first else "asc"
        sort = [{"last_seen": order}, {"id": order}]
        hits = self._client.pages(self._index, self._condition(query), sort, query.limit, after)
        alerts = [self._alert(hit["_id"], hit["_source"]) for hit in hits]
        return [alert for alert in alerts if alert is not None]

    def count(self, query: Query) -> int:
        return self._client.count(self._index, self._condition(query))

    def groups(self, query: Query) -> pl.DataFrame:
        """One row per rule, source and destination; the group seen last comes first."""
        names = ("rule_id", "source.ip", "destination.ip")
        sources = [{name: {"terms": {"field": name, "missing_bucket": True}}} for name in names]
        newest = [{"last_seen": "desc"}, {"id": "desc"}]
        aggs = {
            "count": {"sum": {"field": "count"}},
            "level": {"max": {"field": "level"}},
            "first": {"min": {"field": "first_seen"}},
            "newest": {"top_hits": {"size": 1, "sort": newest, "_source": ["id", "title", "last_seen"]}},
        }
        condition = self._condition(query)
        buckets = self._client.composite(self._index, condition, sources, groups.MAX_GROUPS, aggs)
        rows = [_group(bucket, names) for bucket in buckets]
        rows.sort(key=lambda row: (row[8], row[9]), reverse=query.newest_first)
        if query.after is not None:
            cursor = self._client.get(self._index, query.after)
            mark = (cursor[0]["last_seen"], query.after) if cursor else None
            rows = [row for row in rows if mark and _is_past((row[8], row[9]), mark, query.newest_first)]
        return groups_frame(rows[: query.limit])

    def verdicts(self, query: Query) -> pl.DataFrame:
        names = ("rule_id", "status", "verdict")
        sources = [{name: {"terms": {"field": name, "missing_bucket": True}}} for name in names]
        aggs = {"count": {"sum": {"field": "count"}}, "last": {"max": {"field": "last_seen"}}}
        found = self._client.composite(self._index, self._condition(query), sources, groups.MAX_GROUPS, aggs)
        return verdicts_frame(
            [
                (*(b["key"][name] for name in names), b["doc_count"], int(b["count"]["value"]), int(b["last"]["value"]))
                for b in found
            ]
        )

    def update(self, alert_id: str, version: int, changes: Mapping[str, Any]) -> Alert:
        for _ in range(TRIES):
            found = self._client.get(self._index, alert_id)
            if found is None:
                raise KeyError(alert_id)
            doc, seen = found
            stored = self._alert(alert_id, doc)
            if stored is None:
                raise StoreError(f"alert {alert_id} cannot be read", remedy="restore the index from a snapshot")
            if stored.version != version:
                raise conflict(alert_id, version, stored.version)
            alert = merging.changed(stored, changes)
            if self._client.put(self._index, alert_id, _document(alert, doc.get("parts", {})), seen):
                return alert
            # Only its counts moved: read it again.
        raise StoreError(f"alert {alert_id} changes too fast", remedy="try again")

    def _condition(self, query: Query) -> dict[str, Any]:
        return dsl.alerts(fields.resolve(fields.check(query), "alerts"), query)

    def _alert(self, name: str, doc: Mapping[str, Any]) -> Alert | None:
        return self._reader.one(Alert, name, orjson.dumps(doc.get("doc")))

    def _merge(self, collected: dict[str, dict[str, Alert]]) -> list[Alert]:
        fresh: list[Alert] = []
        left = collected
        for _ in range(TRIES):
            known = self._client.get_many(self._index, list(left))
            made: dict[str, tuple[Alert, dict[str, int], Seen | None]] = {}
            for name, parts in left.items():
                doc, seen = known.get(name, ({}, None))
                stored = self._alert(name, doc) if doc else None
                alert, counts = _merged(stored, dict(doc.get("parts", {})), parts)
                if alert != stored or counts != doc.get("parts"):
                    made[name] = (alert, counts, seen)
            lost = self._write(made)
            fresh += [alert for name, (alert, _, seen) in made.items() if seen is None and name not in lost]
            left = {name: left[name] for name in lost}
            if not left:
                return fresh
        raise StoreError(f"{len(left)} alerts change too fast", remedy="try again; nothing is counted twice")

    def _write(self, made: dict[str, tuple[Alert, dict[str, int], Seen | None]]) -> set[str]:
        """Write all; returns the ids that somebody else wrote meanwhile."""
        lines: list[str] = []
        for name, (alert, counts, seen) in made.items():
            action = {"create": {"_id": name}} if seen is None else _only_if(name, seen)
            lines.append(f"{orjson.dumps(action).decode()}\n{orjson.dumps(_document(alert, counts)).decode()}")
        if not lines:
            return set()
        result = self._client.write(self._index, pl.Series(lines, dtype=pl.String))
        if result.refused:
            raise StoreError(f"an alert was refused ({result.refused[0][1]})", remedy="report this fault")
        if not result.existing:
            return set()
        # Some were written by somebody else (or by a try of ours whose answer was lost): see which are not ours.
        stored = self._client.get_many(self._index, list(made))
        return {name for name, (_, counts, _) in made.items() if not _holds(stored.get(name), counts)}


def _holds(found: tuple[dict[str, Any], Seen] | None, counts: dict[str, int]) -> bool:
    parts = found[0].get("parts", {}) if found else {}
    return all(parts.get(part) == count for part, count in counts.items())


def _only_if(name: str, seen: Seen) -> dict[str, Any]:
    return {"index": {"_id": name, "if_seq_no": seen[0], "if_primary_term": seen[1]}}


def _merged(stored: Alert | None, counts: dict[str, int], parts: dict[str, Alert]) -> tuple[Alert, dict[str, int]]:
    alert = stored
    for name, part in parts.items():
        key = hashlib.blake2b(name.encode(), digest_size=8).hexdigest()
        alert = merging.merge(alert, part, counts.get(key, 0))
        counts[key] = part.count
    if alert is None:
        raise ValueError("no parts")
    return alert, counts


def _document(alert: Alert, counts: Mapping[str, int]) -> dict[str, Any]:
    entities = {name: alert.entities[name] for name in fields.ALERT_FIELDS if name in alert.entities}
    return {
        "id": alert.id,
        "rule_id": alert.rule_id,
        "title": f"{alert.title.zh}\n{alert.title.en}",
        "level": LEVELS.index(alert.level),
        "source": alert.source,
        "status": alert.status,
        "verdict": alert.verdict,
        "owner": alert.owner,
        "note": alert.note or None,
        "case_id": alert.case_id,
        "author": alert.author or None,
        "tags": alert.tags,
        "department": alert.department,
        "system": alert.system,
        "segment": alert.segment,
        "dataset": alert.dataset,
        "count": alert.count,
        "score": alert.score,
        "first_seen": micros(alert.first_seen),
        "last_seen": micros(alert.last_seen),
        "@timestamp": dsl.instant(alert.last_seen),
        **entities,
        "version": alert.version,
        "search": merging.searchable(alert),
        "doc": orjson.Fragment(codec.encode(alert)),
        "parts": dict(counts),
    }


def _group(bucket: Mapping[str, Any], names: tuple[str, ...]) -> tuple[Any, ...]:
    newest = bucket["newest"]["hits"]["hits"][0]["_source"]
    return (
        *(bucket["key"][name] for name in names),
        bucket["doc_count"],
        int(bucket["count"]["value"]),
        int(bucket["level"]["value"]),
        newest["title"],
        int(bucket["first"]["value"]),
        newest["last_seen"],
        newest["id"],
    )


def _is_past(row: tuple[int, str], mark: tuple[int, str], newest_first: bool) -> bool:
    return row < mark if newest_first else row > mark
