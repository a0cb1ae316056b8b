"""The clock: runs every due slot of every schedule once, whoever else is running, and records it.

A slot is taken by ``records.claim`` (unique per job and slot, with a lease and a fence) and ended by
``records.finish``, which refuses a fence that is no longer the newest. APScheduler only ticks.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from cityguard.clock import iso
from cityguard.errors import CityguardError, ConflictError, InputError, RefusedError
from cityguard.ids import content_id
from cityguard.jobs.kinds import ACTIONS, LIMIT_S, Action, Outcome
from cityguard.jobs.schedule import check, load, next_slots, trigger
from cityguard.model import JobKind, JobRun, Schedule

if TYPE_CHECKING:
    from cityguard.app import App

__all__ = ["Runner", "load", "next_slots"]

log = logging.getLogger(__name__)

TICK_S = 10
LEASE = timedelta(seconds=120)
RENEW_S = 30.0
GRACE = timedelta(minutes=5)  # a slot older than this was missed: run only when catch_up says so
MAX_TRIES = 3  # times a slot whose runner died is taken again
PATIENCE_S = 5.0
MAX_DETAIL = 1000


@dataclass(frozen=True, slots=True)
class Due:
    """A slot to run now; ``missed`` are earlier ones that are made up for by it."""

    schedule: Schedule
    slot: datetime
    missed: int


class Runner:
    """Runs the schedules of one installation. Several may run beside each other; no slot runs twice."""

    def __init__(
        self,
        app: App,
        owner: str,
        *,
        actions: Mapping[JobKind, Action] = ACTIONS,
        limits: Mapping[JobKind, float] = LIMIT_S,
        renew_s: float = RENEW_S,
    ) -> None:
        self.app = app
        self.owner = f"{owner}@{socket.gethostname()}:{os.getpid()}"
        self.actions, self.limits, self.renew_s = actions, limits, renew_s
        self._scheduler: Any = None
        self._running: dict[str, threading.Thread] = {}
        self._skipped: dict[str, datetime] = {}

    # -- the ticker -----------------------------------------------------------

    def load(self) -> list[Schedule]:
        """Read the configured file of schedules into the store; those no longer in it are switched off.

        Raises:
            InputError, ContentErrors: the file is wrong; the schedules of the store stay as they were.
        """
        records, settings = self.app.store.records, self.app.settings
        if settings.schedules:
            wanted = {one.id: one for one in load(settings.resolve(settings.schedules))}
            known = {one.id: one for one in records.find_schedules()}
            for name, schedule in known.items():
                if name not in wanted and schedule.enabled:
                    records.put_schedule(replace(schedule, enabled=False))
            for name, schedule in wanted.items():
                if known.get(name) != schedule:
                    records.put_schedule(schedule)
        return records.find_schedules()

    def start(self) -> None:
        """Load the schedules and tick in the background until ``stop``."""
        from apscheduler.jobstores import memory
        from apscheduler.schedulers import background

        self.load()
        made: Any = background.BackgroundScheduler  # untyped
        jobstore: Any = memory.MemoryJobStore
        self._scheduler = made(jobstores={"default": jobstore()}, timezone=UTC)
        self._scheduler.add_job(
            self.tick,
            "interval",
            seconds=TICK_S,
            id="tick",
            coalesce=True,
            max_instances=1,
            misfire_grace_time=None,  # a late tick is still a tick: slots are reckoned from our own records
            next_run_time=datetime.now(UTC),
        )
        self._scheduler.start()

    def stop(self) -> None:
        """Stop ticking; runs under way get a moment, then their lease runs out and the next start takes them."""
        if self._scheduler is not None:
            self._scheduler.shutdown(wait=False)
            self._scheduler = None
        self.wait(PATIENCE_S)

    def wait(self, seconds: float) -> bool:
        """Wait for the runs under way; True when none is left."""
        end = time.monotonic() + seconds
        for thread in list(self._running.values()):
            thread.join(max(0.0, end - time.monotonic()))
        return not any(thread.is_alive() for thread in self._running.values())

    def tick(self) -> list[JobRun]:
        """Start everything that is due, each in its own thread; returns the runs started. Never raises."""
        started: list[JobRun] = []
        try:
            schedules = self.app.store.records.find_schedules()
        except CityguardError:
            log.exception("schedules cannot be read")
            return started
        for schedule in schedules:
            try:
                run = self._begin(schedule)
            except Exception:  # one bad schedule must not stop the others
                log.exception("job %s could not be started", schedule.id)
                continue
            if run is not None:
                started.append(run)
        return started

    def _begin(self, schedule: Schedule) -> JobRun | None:
        thread = self._running.get(schedule.id)
        if not schedule.enabled or (thread is not None and thread.is_alive()):
            return None
        due = self._due(schedule)
        run = self._claim(schedule, due.slot) if due is not None else None
        if due is None or run is None:
            return None
        if due.missed:
            log.warning("job %s: %d slots were missed, made up for once", schedule.id, due.missed)
        thread = threading.Thread(
            target=self._execute, args=(schedule, run, due.missed), name=f"job-{schedule.id}", daemon=True
        )
        self._running[schedule.id] = thread
        thread.start()
        return run

    # -- what is due ------------------------------------------------------------

    def _due(self, schedule: Schedule) -> Due | None:
        check(schedule)
        now, when = self.app.clock(), trigger(schedule.trigger, self.app.settings.zone)
        slot = when.latest(now)
        if slot is None:
            return None
        runs = self.app.store.records.find_runs(schedule.id)
        newest = max(runs, key=lambda run: run.slot, default=None)
        if newest is not None and newest.outcome == "running":
            if newest.lease_until > now:
                return None
            if slot == newest.slot:
                return self._again(schedule, newest)
            self._bury(newest)
        last = newest.slot if newest is not None else self._first_seen(schedule, now)
        if slot <= last:  # also after the clock was set back: what ran has run
            return None
        missed = when.missed(last, now) - 1
        if now - slot > GRACE and not schedule.catch_up:
            if self._skipped.get(schedule.id) != slot:
                log.warning("job %s: slot %s was missed and is not made up for", schedule.id, iso(slot))
                self._skipped[schedule.id] = slot
            return None
        return Due(schedule, slot, missed)

    def _again(self, schedule: Schedule, run: JobRun) -> Due | None:
        """The slot of a runner that died, unless it has killed too many."""
        if run.fence < MAX_TRIES:
            return Due(schedule, run.slot, 0)
        self._bury(run)
        return None

    def _bury(self, run: JobRun) -> None:
        """Record that a run was lost with its runner."""
        taken = self.app.store.records.claim(replace(run, owner=self.owner, lease_until=self._lease()))
        if taken is not None:
            self._finish(taken, Outcome("lost", f"its runner ended: {run.owner}"))

    def _first_seen(self, schedule: Schedule, now: datetime) -> datetime:
        """A new schedule starts with its next slot, not with one from before it was written."""
        records, key = self.app.store.records, f"job-since:{schedule.id}"
        found = records.get_value(key)
        if found is not None:
            return datetime.fromisoformat(found.decode())
        records.put_value(key, now.isoformat().encode())
        return now

    # -- running ------------------------------------------------------------------

    def run_now(self, job_id: str) -> JobRun:
        """Run a schedule now, in this thread, whether it is due or not.

        Raises:
            InputError: there is no such schedule, or its arguments are wrong.
            ConflictError: it is running already.
        """
        schedule = next((one for one in self.app.store.records.find_schedules() if one.id == job_id), None)
        if schedule is None:
            raise InputError(f"no schedule '{job_id}'", remedy="cityguard jobs list")
        check(schedule)
        now = self.app.clock()
        for run in self.app.store.records.find_runs(job_id):
            if run.outcome == "running" and run.lease_until > now:
                raise ConflictError(f"job {job_id} is running ({run.owner})", remedy="wait for its end")
        claimed = self._claim(schedule, now)
        if claimed is None:
            raise ConflictError(f"job {job_id} was started this very moment", remedy="wait for its end")
        return self._execute(schedule, claimed, 0)

    def _claim(self, schedule: Schedule, slot: datetime) -> JobRun | None:
        name = content_id("run", f"{schedule.id}\x1f{iso(slot)}".encode())
        now = self.app.clock()
        return self.app.store.records.claim(
            JobRun(name, schedule.id, slot, self.owner, 0, started=now, lease_until=self._lease())
        )

    def _lease(self) -> datetime:
        return self.app.clock() + LEASE

    def _execute(self, schedule: Schedule, run: JobRun, missed: int) -> JobRun:
        """Act in a thread of its own, renewing the lease; give up at the kind's limit or when the lease is lost."""
        box: list[Outcome] = []
        worker = threading.Thread(
            target=lambda: box.append(self._act(schedule)), name=f"act-{schedule.id}", daemon=True
        )
        end = time.monotonic() + self.limits[schedule.kind]
        worker.start()
        while worker.is_alive():
            worker.join(max(0.01, min(self.renew_s, end - time.monotonic())))
            if not worker.is_alive():
                break
            if time.monotonic() >= end:
                return self._finish(run, Outcome("lost", f"no end within {self.limits[schedule.kind]:.0f} s"))
            try:
                run = replace(run, lease_until=self._lease())
                self.app.store.records.finish(run)
            except ConflictError as error:
                log.warning("job %s lost its slot: %s", schedule.id, error)
                return replace(run, outcome="lost", detail=str(error))
            except CityguardError:
                log.exception("the lease of job %s could not be renewed", schedule.id)
        outcome = box[0] if box else Outcome("failed", "ended without an outcome")
        if missed > 0:
            outcome = replace(outcome, detail=f"{outcome.detail}; made up for {missed} missed slots")
        return self._finish(run, outcome)

    def _act(self, schedule: Schedule) -> Outcome:
        try:
            return self.actions[schedule.kind](self.app, schedule.arguments)
        except RefusedError as error:
            return Outcome("refused", str(error))
        except CityguardError as error:
            return Outcome("failed", str(error))
        except Exception as error:  # whatever it was, the run has an end
            log.exception("job %s broke", schedule.id)
            return Outcome("failed", f"{type(error).__name__}: {error}")

    def _finish(self, run: JobRun, done: Outcome) -> JobRun:
        ended = replace(
            run,
            ended=self.app.clock(),
            outcome=done.outcome,
            detail=done.detail[:MAX_DETAIL],
            targets=done.targets,
            evidence=done.evidence,
            files=done.files,
        )
        try:
            self.app.store.records.finish(ended)
        except ConflictError as error:
            log.warning("job %s: its end is not recorded: %s", run.job, error)
            return replace(ended, outcome="lost", detail=str(error))
        return ended
