"""Evidence, assessments, drills, jobs, dead letters, the ledger, the audit chain and small state in Elasticsearch."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from typing import Any, TypeVar

import orjson
import polars as pl

from cityguard.clock import Clock
from cityguard.errors import StoreError
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
from cityguard.store.elastic_client import PAGE, Client
from cityguard.store.elastic_values import Values
from cityguard.store.sql import micros

T = TypeVar("T")
MAX_DEAD, MAX_RAW, HEAD = 100_000, 65_536, "audit.head"
TRIES = 20
_ALL: dict[str, Any] = {"match_all": {}}


class ElasticRecords:
    """See ``store.base.Records``.

    Args:
        client: the cluster.
        home: folder of the audit key; consoles that share a cluster share the key.
        clock: says when a lease is over.
        reader: counts malformed documents.
    """

    def __init__(self, client: Client, home: Path, clock: Clock, reader: codec.Reader) -> None:
        self._client, self._home, self._clock, self._reader = client, home, clock, reader
        self._values = Values(client, _key)
        self.refusals = ledger.Refusals()

    # ---------------------------------------------------------------- documents

    def put_evidence(self, items: Iterable[Evidence]) -> int:
        """Returns how many were new; evidence that is there already is never touched."""
        docs = [(e.id, _record(e, e.observed_at, id=e.id, system=e.system, check=e.check)) for e in items]
        return self._made(self._client.create(self._client.index("evidence"), docs))

    def find_evidence(
        self, *, system: str | None = None, check: str | None = None, ids: Sequence[str] | None = None
    ) -> list[Evidence]:
        """Newest observation first."""
        if ids is None:
            return self._find(Evidence, "evidence", {"system": system, "check": check})
        found: list[Evidence] = []
        wanted = sorted(set(ids))
        for at in range(0, len(wanted), PAGE):
            found += self._find(
                Evidence, "evidence", {"system": system, "check": check}, {"terms": {"id": wanted[at : at + PAGE]}}
            )
        return sorted(found, key=lambda e: (-micros(e.observed_at), e.id))

    def put_assessment(self, item: Assessment) -> None:
        self._put("assessments", item.id, _record(item, item.made_at, id=item.id, system=item.system))

    def get_assessment(self, assessment_id: str) -> Assessment | None:
        return self._get(Assessment, "assessments", assessment_id)

    def find_assessments(self, system: str | None = None) -> list[Assessment]:
        return self._find(Assessment, "assessments", {"system": system})

    def put_drill(self, item: DrillRun) -> None:
        self._put("drills", item.id, _record(item, item.started, id=item.id, system=item.system))

    def get_drill(self, drill_id: str) -> DrillRun | None:
        return self._get(DrillRun, "drills", drill_id)

    def find_drills(self, system: str | None = None) -> list[DrillRun]:
        return self._find(DrillRun, "drills", {"system": system})

    def put_schedule(self, item: Schedule) -> None:
        self._put("schedules", _key(item.id), _record(item, sql.moment(0), id=item.id))

    def find_schedules(self) -> list[Schedule]:
        return sorted(self._find(Schedule, "schedules", {}), key=lambda item: item.id)

    def _put(self, name: str, key: str, doc: dict[str, Any]) -> None:
        self._client.put(self._client.index(name), key, doc)

    def _get(self, record: type[T], name: str, key: str) -> T | None:
        found = self._client.get(self._client.index(name), key)
        return self._reader.one(record, key, orjson.dumps(found[0].get("doc"))) if found else None

    def _find(
        self, record: type[T], name: str, terms: dict[str, str | None], also: dict[str, Any] | None = None
    ) -> list[T]:
        filters = [{"term": {key: value}} for key, value in terms.items() if value is not None]
        query = {"bool": {"filter": [*filters, also or _ALL]}}
        hits = self._client.pages(self._client.index(name), query, [{"at": "desc"}, {"id": "asc"}], None, None)
        return self._reader.all(record, ((hit["_id"], orjson.dumps(hit["_source"].get("doc"))) for hit in hits))

    # ---------------------------------------------------------------- runs

    def claim(self, run: JobRun) -> JobRun | None:
        index, key = self._client.index("runs"), _slot(run)
        first = claims.claim(None, run, self._clock())
        if first is not None and self._client.add(index, key, _run(first)):
            return first
        found = self._client.get(index, key)
        held = self._reader.one(JobRun, key, orjson.dumps(found[0].get("doc"))) if found else None
        if found is None or held is None:
            return None
        taken = claims.claim(held, run, self._clock())
        return taken if taken is not None and self._client.put(index, key, _run(taken), found[1]) else None

    def finish(self, run: JobRun) -> None:
        """Write a run as it is now; with outcome ``running`` and a later ``lease_until`` it renews the lease."""
        index, key = self._client.index("runs"), _slot(run)
        for _ in range(TRIES):
            found = self._client.get(index, key)
            claims.check_fence(run, int(found[0]["fence"]) if found else None)
            if found and self._client.put(index, key, _run(run), found[1]):
                return
        raise StoreError(f"run of {run.job} changes too fast", remedy="try again")

    def find_runs(self, job: str | None = None, limit: int = 100) -> list[JobRun]:
        """Started last comes first."""
        query = {"term": {"job": job}} if job is not None else _ALL
        sort = [{"at": "desc"}, {"job": "asc"}, {"seq": "desc"}]
        hits = self._client.pages(self._client.index("runs"), query, sort, limit, None)
        return self._reader.all(JobRun, ((hit["_id"], orjson.dumps(hit["_source"].get("doc"))) for hit in hits))

    # ---------------------------------------------------------------- dead letters, ledger

    def add_dead(self, items: Iterable[DeadLetter]) -> int:
        """Returns how many were new. Past the cap the oldest go; ``dead_dropped`` counts them."""
        index, now = self._client.index("dead"), micros(self._clock())
        docs = []
        for number, item in enumerate(items):
            cut = replace(item, raw=item.raw[:MAX_RAW], reason=item.reason[:1_000])
            key = _key(cut.source, str(cut.place), cut.reason)
            docs.append((key, {"id": key, "source": cut.source, "at": now, "seq": number, "doc": _plain(cut)}))
        added = self._made(self._client.create(index, docs))
        excess = self._client.count(index, _ALL) - MAX_DEAD if added else 0
        if excess > 0:
            self._drop_dead(index, excess)
        return added

    def find_dead(self, source: str | None = None, limit: int = 100) -> list[DeadLetter]:
        """Newest first."""
        query = {"term": {"source": source}} if source is not None else _ALL
        sort = [{"at": "desc"}, {"seq": "desc"}, {"id": "desc"}]
        hits = self._client.pages(self._client.index("dead"), query, sort, limit, None)
        return self._reader.all(DeadLetter, ((hit["_id"], orjson.dumps(hit["_source"].get("doc"))) for hit in hits))

    @property
    def dead_dropped(self) -> int:
        """Dead letters thrown out because there were too many."""
        return int(self.get_value("dead.dropped") or b"0")

    def _drop_dead(self, index: str, excess: int) -> None:
        sort = [{"at": "asc"}, {"seq": "asc"}, {"id": "asc"}]
        gone = self._client.delete(index, [hit["_id"] for hit in self._client.pages(index, _ALL, sort, excess, None)])
        self.put_value("dead.dropped", str(self.dead_dropped + gone).encode())

    def account(self, chunk: Chunk) -> None:
        """Book a chunk, after its batches were appended by this process; what was refused of them is dead."""
        names = ("unit", "received", "stored", "dead", "dropped", "events")
        doc = {
            "source": chunk.source,
            "at": micros(self._clock()),
            **dict(zip(names, ledger.row(chunk, self.refusals.of(chunk)), strict=True)),
        }
        self._put("chunks", _key(chunk.source, chunk.part), doc)
        self.refusals.forget(chunk)

    def ledger(self) -> list[Ledger]:
        """By name of the source."""
        sums = ("received", "stored", "dead", "dropped", "events")
        aggs: dict[str, Any] = {name: {"sum": {"field": name}} for name in sums}
        aggs["last"] = {"max": {"field": "at"}}
        aggs["unit"] = {"terms": {"field": "unit", "size": 1, "order": {"_key": "desc"}}}
        buckets = self._client.composite(
            self._client.index("chunks"), _ALL, [{"source": {"terms": {"field": "source"}}}], 10_000, aggs
        )
        found = [
            Ledger(
                bucket["key"]["source"],
                bucket["unit"]["buckets"][0]["key"],
                **{name: int(bucket[name]["value"]) for name in sums},
                last_seen=sql.moment(int(bucket["last"]["value"])),
            )
            for bucket in buckets
        ]
        return sorted(found, key=lambda item: item.source)

    def add_sightings(self, items: Iterable[Sighting]) -> None:
        """In a few requests, however many there are."""
        left = sightings.together(items)
        for folded in (0, 1):
            left = sightings.together(map(sightings.folded, self._add_sightings(left, folded)))

    def _add_sightings(self, items: list[Sighting], folded: int) -> list[Sighting]:
        """Merge into what is there; returns those for which their day has no room."""
        index, token = self._client.index("sightings"), secrets.token_hex(8)
        left = {_key(str(sightings.start_of(one.day)), str(folded), sightings.key(one)): one for one in items}
        room = {day: self._room(index, day, folded) for day in {sightings.start_of(one.day) for one in items}}
        homeless: list[Sighting] = []
        for _ in range(TRIES):
            if not left:
                return homeless
            lines: list[str] = []
            known = self._client.get_many(index, list(left))
            for name, one in list(left.items()):
                day, found = sightings.start_of(one.day), known.get(name)
                if found is None and room[day] <= 0:
                    homeless.append(left.pop(name))
                    continue
                room[day] -= found is None
                lines.append(self._sighting_line(name, one, found, folded, token))
            result = self._client.write(index, pl.Series(lines, dtype=pl.String))
            self._made(result)
            # Others may have been faster with some (or an answer of ours was lost): ask whose they are.
            mine = self._client.get_many(index, list(left)) if result.existing else {}
            left = {n: one for n, one in left.items() if mine and token not in mine.get(n, ({},))[0].get("parts", ())}
        raise StoreError(f"{len(left)} sightings change too fast", remedy="try again")

    def _sighting_line(
        self, name: str, one: Sighting, found: tuple[dict[str, Any], tuple[int, int]] | None, folded: int, token: str
    ) -> str:
        doc, seen = found or ({}, None)
        old = self._reader.one(Sighting, name, orjson.dumps(doc.get("doc"))) if doc else None
        action: dict[str, Any] = {"create": {"_id": name}}
        if seen is not None:
            action = {"index": {"_id": name, "if_seq_no": seen[0], "if_primary_term": seen[1]}}
        made = {
            "id": name,
            "at": sightings.start_of(one.day),
            "seq": folded,
            "doc": _plain(sightings.merged(old, one)),
            "parts": [*doc.get("parts", ()), token][-20:],
        }
        return f"{orjson.dumps(action).decode()}\n{orjson.dumps(made).decode()}"

    def _room(self, index: str, day: int, folded: int) -> int:
        """How many rows more the day may have; the first of a day clears those past."""
        held = self._client.count(index, {"bool": {"filter": [{"term": {"at": day}}, {"term": {"seq": folded}}]}})
        if not held and not folded:
            past = {"range": {"at": {"lt": day - int(sightings.KEEP.total_seconds()) * 1_000_000}}}
            hits = self._client.pages(index, past, [{"id": "asc"}], None, None)
            self._client.delete(index, [hit["_id"] for hit in hits])
        return (sightings.MAX_FOLDED if folded else sightings.MAX_KEYS) - held

    def find_sightings(self, since: date) -> list[Sighting]:
        index = self._client.index("sightings")
        self._client.touched(index)  # other processes write here too
        recent = {"range": {"at": {"gte": sightings.start_of(since)}}}
        hits = self._client.pages(index, recent, [{"at": "asc"}, {"id": "asc"}], None, None)
        return self._reader.all(Sighting, ((hit["_id"], orjson.dumps(hit["_source"].get("doc"))) for hit in hits))

    # ---------------------------------------------------------------- audit

    def append_audit(self, actor: str, ip: str, action: str, object: str, detail: str, at: datetime) -> AuditEntry:
        """The row's document can be created once only; whoever loses the race goes one further."""
        index, key = self._client.index("audit"), self._key()
        for _ in range(TRIES):
            found = self._client.get(index, "head")
            last = self._last(index, key, codec.decode(AuditEntry, orjson.dumps(found[0]["doc"])) if found else None)
            entry = chain.entry(last, actor, ip, action, object, detail, at)
            if not self._client.add(index, f"{entry.seq:012d}", _row(entry, key)):
                continue
            self._move_head(index, entry, key)
            if last is not None:
                chain.write_head(self._home / HEAD, last.seq, chain.head(key, last))
            return entry
        raise StoreError("the audit log changes too fast", remedy="try again")

    def _move_head(self, index: str, entry: AuditEntry, key: bytes) -> None:
        """Note that the log reaches at least as far as ``entry``; until then cutting it off would not show."""
        doc = {"doc": _plain(entry), "mac": chain.head(key, entry)}
        for _ in range(TRIES):
            found = self._client.get(index, "head")
            if found is None:
                if self._client.add(index, "head", doc):
                    return
                continue
            head = _head(found[0])
            if head and head[0] >= entry.seq:
                return
            if self._client.put(index, "head", doc, found[1]):
                return
        raise StoreError("the audit log changes too fast", remedy="try again")

    def _last(self, index: str, key: bytes, last: AuditEntry | None) -> AuditEntry | None:
        """The newest row: the head, or rows beyond it whose writer had no time to move the head."""
        while found := self._client.get(index, f"{(last.seq if last else 0) + 1:012d}"):
            entry = codec.decode(AuditEntry, orjson.dumps(found[0]["doc"]))
            if found[0].get("mac") != chain.head(key, entry):
                raise StoreError(f"audit row {entry.seq} was not written by cityguard", remedy="verify the audit log")
            last = entry
        return last

    def find_audit(self, limit: int = 100) -> list[AuditEntry]:
        """Newest first."""
        query = {"exists": {"field": "seq"}}
        self._client.touched(self._client.index("audit"))
        hits = self._client.pages(self._client.index("audit"), query, [{"seq": "desc"}], limit, None)
        return self._reader.all(AuditEntry, ((hit["_id"], orjson.dumps(hit["_source"].get("doc"))) for hit in hits))

    def verify_audit(self) -> int | None:
        """The seq of the first row that was changed, removed, put in or cut off; None = the chain is whole."""
        index, key = self._client.index("audit"), self._key()
        outside = chain.read_head(self._home / HEAD)
        self._client.touched(index)  # other processes write here too
        found = self._client.get(index, "head")
        hits = self._client.pages(index, {"exists": {"field": "seq"}}, [{"seq": "asc"}], None, None)
        rows = [(hit["_source"].get("doc"), hit["_source"].get("mac", "")) for hit in hits]
        entries = [_entry(number, doc) for number, (doc, _) in enumerate(rows, 1)]
        anchors = {
            entry.seq: chain.anchor(key, entry)
            for entry, (_, mac) in zip(entries, rows, strict=True)
            if entry.seq % chain.EVERY == 0 and mac == chain.head(key, entry)
        }
        newest = _head(found[0]) if found else None
        if newest and entries and entries[-1].seq > newest[0]:
            newest = (entries[-1].seq, rows[-1][1])  # written, but its writer did not come to move the head
        bad = chain.first_bad(entries, anchors, newest, key)
        if bad is None and outside and outside > len(entries):
            return len(entries) + 1
        return bad

    def _key(self) -> bytes:
        return chain.load_key(self._home / "audit.key")

    # ---------------------------------------------------------------- small state

    def get_value(self, key: str) -> bytes | None:
        return self._values.get(key)

    def put_value(self, key: str, value: bytes) -> None:
        self._values.put(key, value)

    def _made(self, result: Any) -> int:
        if result.refused:
            raise StoreError(f"a record was refused ({result.refused[0][1]})", remedy="report this fault")
        return int(result.created)


def _record(item: object, at: datetime, **terms: str) -> dict[str, Any]:
    return {**terms, "at": micros(at), "doc": _plain(item)}


def _plain(item: object) -> Any:
    return orjson.Fragment(codec.encode(item))


def _run(run: JobRun) -> dict[str, Any]:
    terms = {"job": run.job, "fence": run.fence, "seq": micros(run.slot)}
    return {**terms, "at": micros(run.started), "doc": _plain(run)}


def _slot(run: JobRun) -> str:
    return _key(run.job, str(micros(run.slot)))


def _key(*parts: str) -> str:
    return hashlib.blake2b("\x1f".join(parts).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _row(entry: AuditEntry, key: bytes) -> dict[str, Any]:
    return {"seq": entry.seq, "doc": _plain(entry), "mac": chain.head(key, entry)}


def _head(doc: dict[str, Any]) -> tuple[int, str] | None:
    entry = _entry(0, doc.get("doc"))
    return (entry.seq, str(doc.get("mac", ""))) if entry.seq else None


def _entry(number: int, doc: Any) -> AuditEntry:
    """A row as an entry; one that cannot be read becomes one that cannot be right."""
    try:
        return codec.decode(AuditEntry, orjson.dumps(doc))
    except codec.BROKEN:
        return AuditEntry(number, sql.moment(0), "", "", "", "", "", "", "unreadable")
