"""A run that holds its job and its slot, and the store it writes through: refused once they are held no longer."""

from __future__ import annotations

import copy
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from cityguard.clock import iso
from cityguard.errors import CityguardError, ConflictError
from cityguard.ids import content_id
from cityguard.jobs.kinds import Outcome
from cityguard.model import JobRun, Schedule

if TYPE_CHECKING:
    from cityguard.app import App
    from cityguard.store.base import Records

log = logging.getLogger(__name__)

LEASE = timedelta(seconds=120)
MAX_DETAIL = 1000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LOCK = "lock:"  # no schedule's id holds a colon
WRITES = frozenset(
    {
        *("append", "purge", "merge", "update", "account", "add_dead"),
        *("put_evidence", "put_assessment", "put_drill", "put_schedule", "put_value", "add_sightings"),
    }
)
"""What a run may do to the store only while it holds its slot. Audit entries are always taken."""


def runs(records: Records, job: str | None = None, limit: int = 100) -> list[JobRun]:
    """Runs of jobs, started last first; without the rows that lock them."""
    if job is not None:
        return records.find_runs(job, limit)
    return [run for run in records.find_runs(None, limit) if not run.job.startswith(LOCK)]


class Hold:
    """One run under way. The job is locked first, then the slot is claimed; both leases are renewed together."""

    def __init__(self, app: App, lock: JobRun, run: JobRun) -> None:
        self.app, self.stop = app, threading.Event()
        self._lock, self._run = lock, run
        self._over = False
        self._guard = threading.Lock()
        self._confirmed = time.monotonic()

    @classmethod
    def take(cls, app: App, schedule: Schedule, slot: datetime, owner: str, by: str = "") -> Hold | None:
        """Take a job's slot; None when the job is running, in whatever slot, or the slot had its run."""
        records, job, now = app.store.records, schedule.id, app.clock()
        until = now + LEASE
        lock = records.claim(JobRun(f"{LOCK}{job}", f"{LOCK}{job}", EPOCH, owner, 0, EPOCH, until))
        if lock is None:
            return None
        name = content_id("run", f"{job}\x1f{iso(slot)}".encode())
        run = None
        try:
            if not any(one.outcome == "running" and one.lease_until > now for one in records.find_runs(job)):
                run = records.claim(JobRun(name, job, slot, owner, 0, started=now, lease_until=until, by=by))
        finally:
            if run is None:
                _let_go(app, lock)
        return None if run is None else cls(app, lock, run)

    @property
    def run(self) -> JobRun:
        return self._run

    @property
    def stale(self) -> bool:
        """Whether the lease must have run out because it could not be renewed."""
        return time.monotonic() - self._confirmed > LEASE.total_seconds()

    def confirm(self) -> None:
        """Renew the leases: what is written next is written as their holder.

        Raises:
            ConflictError: the run is over, or somebody else holds the job or the slot.
            StoreError: nobody can tell.
        """
        with self._guard:
            if self._over or self.stop.is_set():
                raise ConflictError(f"this run of {self._run.job} is over", remedy="drop its results")
            self._renew_lock()
            renewed = replace(self._run, lease_until=self.app.clock() + LEASE)
            self.app.store.records.finish(renewed)
            self._run, self._confirmed = renewed, time.monotonic()

    def end(self, done: Outcome) -> JobRun:
        """Record the end; the run is ``lost`` where somebody else holds the slot by now."""
        ended = replace(
            self._run,
            ended=self.app.clock(),
            outcome=done.outcome,
            detail=done.detail[:MAX_DETAIL],
            targets=done.targets,
            evidence=done.evidence,
            files=done.files,
        )
        with self._guard:
            if self._over:
                return replace(ended, outcome="lost")
            self._over = True
            try:
                self.app.store.records.finish(ended)
            except ConflictError as error:
                log.warning("job %s: its end is not recorded: %s", ended.job, error)
                return replace(ended, outcome="lost", detail=str(error))
            return ended

    def leave(self) -> None:
        """Stop, and leave the slot to whoever ticks next."""
        self.stop.set()
        with self._guard:
            if self._over:
                return
            self._over = True
            try:
                self.app.store.records.finish(replace(self._run, lease_until=self.app.clock()))
            except CityguardError as error:
                log.warning("job %s: its slot could not be left: %s", self._run.job, error)

    def keep(self) -> None:
        """Renew the lock alone: the run is over, its act is not, and no second one may begin beside it."""
        with self._guard:
            self._renew_lock()

    def release(self) -> None:
        """Unlock the job."""
        with self._guard:
            _let_go(self.app, self._lock)

    def _renew_lock(self) -> None:
        lock = replace(self._lock, lease_until=self.app.clock() + LEASE)
        self.app.store.records.finish(lock)
        self._lock = lock


def _let_go(app: App, lock: JobRun) -> None:
    try:
        app.store.records.finish(replace(lock, lease_until=app.clock()))
    except CityguardError as error:  # its lease runs out by itself
        log.warning("job %s: %s", lock.job, error)


def fenced(app: App, confirm: Callable[[], None]) -> App:
    """The same installation, whose store asks ``confirm`` before it takes anything."""
    made = copy.copy(app)
    made.__dict__["store"] = _Rooms(app.store, confirm)
    return made


class _Rooms:
    """A store whose rooms are guarded."""

    def __init__(self, store: Any, confirm: Callable[[], None]) -> None:
        self._store, self._confirm = store, confirm

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        return _Guarded(found, self._confirm) if name in ("events", "alerts", "records") else found


class _Guarded:
    """One room of a store: what writes is confirmed first."""

    def __init__(self, room: Any, confirm: Callable[[], None]) -> None:
        self._room, self._confirm = room, confirm

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._room, name)
        if name not in WRITES:
            return found

        def confirmed(*values: Any, **named: Any) -> Any:
            self._confirm()
            return found(*values, **named)

        return confirmed
