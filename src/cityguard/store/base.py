"""What a store must do. One contract suite (``tests/store/contract.py``) runs against every implementation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any, Protocol

import polars as pl

from cityguard.model import (
    Alert,
    Assessment,
    AuditEntry,
    Chunk,
    DeadLetter,
    DrillRun,
    EventBatch,
    Evidence,
    JobRun,
    Ledger,
    Query,
    Schedule,
    Sighting,
)


class Events(Protocol):
    """Event tables. An id is stored once, whatever is appended again."""

    def append(self, batch: EventBatch) -> int:
        """Store the rows whose ``event.id`` is not there yet; durable when it returns. Returns rows added."""

    def query(self, query: Query) -> pl.DataFrame:
        """Rows that match, newest first unless asked otherwise; native columns come back in ``event.fields``."""

    def get(self, ids: Sequence[str]) -> pl.DataFrame:
        """Rows by id, any dataset; unknown ids are left out."""

    def aggregate(
        self, query: Query, by: Sequence[str], *, interval_s: int | None = None, top: int = 100
    ) -> pl.DataFrame:
        """Columns of ``by`` (and ``bucket``, start of an interval), ``count``; largest first (by bucket if given)."""

    def purge(self, before: datetime) -> int:
        """Delete events older than ``before``; returns rows deleted. Whole partitions only: later rows stay."""


class Alerts(Protocol):
    """Alerts, merged by id. A (alert, part) pair counts once however often it is merged."""

    def merge(self, alerts: Iterable[Alert]) -> list[Alert]:
        """Add or merge; returns those not seen before. A closed alert keeps its verdict; its count goes on."""

    def get(self, alert_id: str) -> Alert | None: ...

    def find(self, query: Query) -> list[Alert]: ...

    def count(self, query: Query) -> int: ...

    def groups(self, query: Query) -> pl.DataFrame:
        """Columns rule_id source.ip destination.ip alerts count level title_zh title_en first_seen last_seen latest."""

    def verdicts(self, query: Query) -> pl.DataFrame:
        """Columns rule_id status verdict (null: none yet) alerts count last_seen, by rule_id, status, verdict."""

    def update(self, alert_id: str, version: int, changes: Mapping[str, Any]) -> Alert:
        """Change triage fields (status verdict owner note case_id).

        Raises:
            ConflictError: ``version`` is no longer the stored one.
            KeyError: no such alert.
        """


class Records(Protocol):
    """Everything else that is kept: small, typed, by id."""

    def put_evidence(self, items: Iterable[Evidence]) -> int: ...
    def find_evidence(
        self, *, system: str | None = None, check: str | None = None, ids: Sequence[str] | None = None
    ) -> list[Evidence]: ...

    def put_assessment(self, item: Assessment) -> None: ...
    def get_assessment(self, assessment_id: str) -> Assessment | None: ...
    def find_assessments(self, system: str | None = None) -> list[Assessment]: ...

    def put_drill(self, item: DrillRun) -> None: ...
    def get_drill(self, drill_id: str) -> DrillRun | None: ...
    def find_drills(self, system: str | None = None) -> list[DrillRun]: ...

    def put_schedule(self, item: Schedule) -> None: ...
    def find_schedules(self) -> list[Schedule]: ...

    def claim(self, run: JobRun) -> JobRun | None:
        """Take (job, slot) if nobody has, or if its lease is over; each claim raises the fence by one. None = taken."""

    def finish(self, run: JobRun) -> None:
        """Write a run's end.

        Raises:
            ConflictError: a newer fence holds the slot.
        """

    def find_runs(self, job: str | None = None, limit: int = 100) -> list[JobRun]: ...

    def add_dead(self, items: Iterable[DeadLetter]) -> int: ...
    def find_dead(self, source: str | None = None, limit: int = 100) -> list[DeadLetter]: ...

    def account(self, chunk: Chunk) -> None:
        """Book a chunk in the ledger, once per (source, part) however often it is called."""

    def ledger(self) -> list[Ledger]: ...

    def add_sightings(self, items: Iterable[Sighting]) -> None:
        """Add to those of the same day and source. Bounded: see ``store.sightings``; days past are forgotten."""

    def find_sightings(self, since: date) -> list[Sighting]:
        """Those of ``since`` and later, oldest first."""

    def append_audit(self, actor: str, ip: str, action: str, object: str, detail: str, at: datetime) -> AuditEntry: ...
    def find_audit(self, limit: int = 100) -> list[AuditEntry]: ...

    def verify_audit(self) -> int | None:
        """The first entry that does not fit chain or anchors; None = whole."""

    def get_value(self, key: str) -> bytes | None:
        """Small state by name: cursors, detector snapshots, models' metadata."""

    def put_value(self, key: str, value: bytes) -> None: ...


class Store(Protocol):
    """Events, alerts and records behind one door."""

    @property
    def events(self) -> Events: ...
    @property
    def alerts(self) -> Alerts: ...
    @property
    def records(self) -> Records: ...

    def close(self) -> None: ...
