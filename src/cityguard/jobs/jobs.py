"""The clock: runs every due slot of every schedule once, whoever else is running, and records it.

A run holds its job and its slot (``hold.py``): a lock, a lease and a fence in the store. APScheduler only ticks.
What a person starts by hand goes the same way, through the same kinds.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import orjson

from cityguard import audit
from cityguard.audit import Actor
from cityguard.clock import iso
from cityguard.errors import CityguardError, ConflictError, InputError, RefusedError
from cityguard.jobs.hold import LEASE, Hold, fenced, runs
from cityguard.jobs.kinds import ACTIONS, LIMIT_S, Action, Outcome
from cityguard.jobs.schedule import argument_problems, check, load, next_slots, trigger
from cityguard.model import JobKind, JobRun, Schedule, Text

if TYPE_CHECKING:
    from cityguard.app import App

__all__ = ["Runner", "load", "next_slots", "runs"]

log = logging.getLogger(__name__)

TICK_S = 10
RENEW_S = 30.0
CLOCK = Actor("scheduler")
GRACE = timedelta(minutes=5)  # a slot older than this was missed: run only when catch_up says so
MAX_TRIES = 3  # times a slot whose runner died is taken again
PATIENCE_S = 5.0  # for a run that is told to stop
MAX_RUNS = 500


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
        patience_s: float = PATIENCE_S,
    ) -> None:
        self.app, self.name = app, owner
        self.owner = f"{owner}@{socket.gethostname()}:{os.getpid()}"
        self.actions, self.limits, self.renew_s, self.patience_s = actions, limits, renew_s, patience_s
        self._scheduler: Any = None
        self._running: dict[str, threading.Thread] = {}
        self._holds: set[Hold] = set()
        self._ended = threading.Condition()
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
        """Stop ticking. Runs under way get a moment, then they are told to stop; the next start takes their slots."""
        if self._scheduler is not None:
            self._scheduler.shutdown(wait=False)
            self._scheduler = None
        if self.wait(self.patience_s):
            return
        for hold in list(self._holds):
            if hold.run.by:  # nobody would take it again
                hold.stop.set()
                hold.end(Outcome("lost", f"{self.name} was stopped"))
            else:
                hold.leave()
        self.wait(self.patience_s)

    def wait(self, seconds: float) -> bool:
        """Wait for the runs under way; True when none is left."""
        end = time.monotonic() + seconds
        for thread in list(self._running.values()):
            thread.join(max(0.0, end - time.monotonic()))
        with self._ended:
            idle = self._ended.wait_for(lambda: not self._holds, max(0.0, end - time.monotonic()))
        return idle and not any(thread.is_alive() for thread in self._running.values())

    def tick(self) -> list[JobRun]:
        """Start everything that is due, each in its own thread; returns the runs started. Never raises."""
        started: list[JobRun] = []
        try:
            schedules = self.app.store.records.find_schedules()
        except CityguardError:
            log.exception("schedules cannot be read")
            return started
        self._reap(schedules)
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
        hold = Hold.take(self.app, schedule, due.slot, self.owner) if due is not None else None
        if due is None or hold is None:
            return None
        if due.missed:
            log.warning("job %s: %d slots were missed, made up for once", schedule.id, due.missed)
        run = hold.run
        thread = threading.Thread(
            target=self._execute, args=(schedule, hold, due.missed), name=f"job-{schedule.id}", daemon=True
        )
        self._running[schedule.id] = thread
        thread.start()
        return run

    def _reap(self, schedules: Iterable[Schedule]) -> None:
        """Record the end of runs whose runner died and which no schedule will take again."""
        ticking = {one.id for one in schedules if one.enabled}
        try:
            for run in runs(self.app.store.records, limit=MAX_RUNS):
                dead = run.outcome == "running" and run.lease_until <= self.app.clock()
                if dead and (run.by or run.job not in ticking):
                    self._bury(run)
        except CityguardError:
            log.exception("runs cannot be read")

    # -- what is due ------------------------------------------------------------

    def _due(self, schedule: Schedule) -> Due | None:
        check(schedule)
        now, when = self.app.clock(), trigger(schedule.trigger, self.app.settings.zone)
        slot = when.latest(now)
        if slot is None:
            return None
        slots = [run for run in self.app.store.records.find_runs(schedule.id, MAX_RUNS) if not run.by]
        newest = max(slots, key=lambda run: run.slot, default=None)
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
        records, now = self.app.store.records, self.app.clock()
        taken = records.claim(replace(run, owner=self.owner, lease_until=now + LEASE))
        if taken is not None:
            records.finish(replace(taken, ended=now, outcome="lost", detail=f"its runner ended: {run.owner}"))

    def _first_seen(self, schedule: Schedule, now: datetime) -> datetime:
        """A new schedule starts with its next slot, not with one from before it was written."""
        records, key = self.app.store.records, f"job-since:{schedule.id}"
        found = records.get_value(key)
        if found is not None:
            return datetime.fromisoformat(found.decode())
        records.put_value(key, now.isoformat().encode())
        return now

    # -- running ------------------------------------------------------------------

    def run_now(self, job_id: str, by: Actor | None = None) -> JobRun:
        """Run a schedule now, in this thread, whether it is due or not; its next slot runs all the same.

        Raises:
            InputError: there is no such schedule, or its arguments are wrong.
            ConflictError: it is running already.
        """
        schedule = next((one for one in self.app.store.records.find_schedules() if one.id == job_id), None)
        if schedule is None:
            raise InputError(f"no schedule '{job_id}'", remedy="cityguard jobs list")
        check(schedule)
        return self._by_hand(schedule, by)

    def run_once(self, kind: JobKind, target: str, arguments: Mapping[str, Any], by: Actor | None = None) -> JobRun:
        """Do what a kind of job does, once and now, without a schedule; recorded as the job ``kind:target``.

        Raises:
            InputError: the kind does not take these arguments.
            ConflictError: the same is running already.
        """
        name = f"{kind}:{target}"
        for message, remedy, _ in argument_problems(kind, arguments):
            raise InputError(message, place=name, remedy=remedy)
        return self._by_hand(Schedule(name, kind, Text(target, target), "", dict(arguments)), by)

    def _by_hand(self, schedule: Schedule, by: Actor | None) -> JobRun:
        who, now = by if by and by.name else Actor(self.name), self.app.clock()
        slot = now.replace(microsecond=now.microsecond or 1)  # never one of the schedule's own
        hold = Hold.take(self.app, schedule, slot, self.owner, who.name)
        if hold is None:
            raise ConflictError(f"job {schedule.id} is running", remedy="wait for its end")
        return self._execute(schedule, hold, 0, who)

    def _execute(self, schedule: Schedule, hold: Hold, missed: int, who: Actor = CLOCK) -> JobRun:
        """Act in a thread of its own, renewing the lease; give up at the kind's limit or when the lease is lost."""
        box: list[Outcome] = []
        worker = threading.Thread(
            target=lambda: box.append(self._act(schedule, hold, who)), name=f"act-{schedule.id}", daemon=True
        )
        self._holds.add(hold)
        try:
            worker.start()
            reason = self._watch(worker, hold, self.limits[schedule.kind])
            if reason:
                hold.stop.set()
                worker.join(self.patience_s)
                outcome = Outcome("lost", reason if not worker.is_alive() else f"{reason}; it does not stop")
            else:
                outcome = box[0] if box else Outcome("failed", "ended without an outcome")
            if missed > 0:
                outcome = replace(outcome, detail=f"{outcome.detail}; made up for {missed} missed slots")
            return hold.end(outcome)
        finally:
            if worker.is_alive():
                threading.Thread(target=self._outlive, args=(worker, hold), daemon=True).start()
            else:
                hold.release()
            with self._ended:
                self._holds.discard(hold)
                self._ended.notify_all()

    def _watch(self, worker: threading.Thread, hold: Hold, limit: float) -> str:
        """Wait for the end of the act; returns why it has to end early, or nothing."""
        end = time.monotonic() + limit
        while worker.is_alive():
            worker.join(max(0.01, min(self.renew_s, end - time.monotonic())))
            if not worker.is_alive():
                break
            if time.monotonic() >= end:
                return f"no end within {limit:g} s"
            try:
                hold.confirm()
            except ConflictError as error:
                log.warning("job %s lost its slot: %s", hold.run.job, error)
                return str(error)
            except CityguardError:
                log.exception("the lease of job %s could not be renewed", hold.run.job)
                if hold.stale:
                    return "its lease could not be renewed"
        return ""

    def _outlive(self, worker: threading.Thread, hold: Hold) -> None:
        """Keep the job locked while an act that was given up goes on in this process."""
        log.warning("job %s does not stop: it stays locked until it does, or until this process ends", hold.run.job)
        try:
            while worker.is_alive():
                hold.keep()
                worker.join(self.renew_s)
            hold.release()
        except CityguardError as error:
            log.warning("job %s is locked no longer: %s", hold.run.job, error)

    def _act(self, schedule: Schedule, hold: Hold, who: Actor) -> Outcome:
        try:
            told = orjson.dumps({"kind": schedule.kind, "arguments": schedule.arguments}).decode()
            # Audited first: an act that cannot be audited does not happen.
            audit.note(self.app.store.records, self.app.clock, who, "job.run", schedule.id, told)
            return self.actions[schedule.kind](fenced(self.app, hold.confirm), schedule.arguments, hold.stop)
        except RefusedError as error:
            return Outcome("refused", error.brief)
        except CityguardError as error:
            return Outcome("failed", error.brief)
        except Exception as error:  # whatever it was, the run has an end
            log.exception("job %s broke", schedule.id)
            return Outcome("failed", f"{type(error).__name__}: {error}")
