"""Work that a page starts and does not wait for: one thread, one thing at a time, each recorded as a job's run."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from cityguard.app import App
from cityguard.audit import Actor, note
from cityguard.errors import ConflictError, InputError, RefusedError
from cityguard.ids import content_id
from cityguard.jobs.jobs import Runner
from cityguard.model import JobRun

log = logging.getLogger(__name__)

MAX_QUEUE = 20
LEASE = timedelta(hours=2)


class Work:
    """Scans, assessments, drills and schedules started by hand."""

    def __init__(self, app: App) -> None:
        self.app = app
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="work")
        self._lock = threading.Lock()
        self._waiting: dict[str, Future[None]] = {}

    def close(self) -> None:
        """Finish what runs, drop what waits."""
        self._pool.shutdown(cancel_futures=True)

    def waiting(self) -> list[str]:
        """What runs or waits, in order."""
        with self._lock:
            return [name for name, future in self._waiting.items() if not future.done()]

    def scan(self, who: Actor, system_id: str) -> str:
        """Run every check on a system.

        Raises:
            InputError: no such system, or too much waits already.
            ConflictError: the same work is under way.
        """
        self.app.system(system_id)
        return self._start(who, "scan", system_id, lambda: self._scan(system_id))

    def assess(self, who: Actor, system_id: str) -> str:
        """Hold a system against the catalogue; raises as ``scan`` does."""
        self.app.system(system_id)
        return self._start(who, "assessment", system_id, lambda: self.app.assess(system_id).conclusion)

    def drill(self, who: Actor, plan: str) -> str:
        """Restore a backup by a plan of the ``backups`` folder; raises as ``scan`` does."""
        path = next((path for path in plans(self.app) if path.stem == plan), None)
        if path is None:
            raise InputError(f"no drill plan '{plan}'", remedy="put it into the folder 'backups' names")
        return self._start(who, "drill", plan, lambda: self.app.drill(path).conclusion)

    def job(self, who: Actor, schedule_id: str) -> str:
        """Run a schedule now; its run is recorded by the scheduler itself."""
        if all(schedule.id != schedule_id for schedule in self.app.store.records.find_schedules()):
            raise InputError(f"no schedule '{schedule_id}'")
        runner = Runner(self.app, owner=f"web:{who.name}")
        return self._queue(who, "job", schedule_id, lambda: _ignore(runner.run_now(schedule_id)))

    def _scan(self, system_id: str) -> str:
        done = self.app.scan(system_id)
        return f"{len(done.evidence)} evidence"

    def _start(self, who: Actor, kind: str, target: str, act: Callable[[], str]) -> str:
        return self._queue(who, kind, target, lambda: self._recorded(who, f"{kind}:{target}", act))

    def _queue(self, who: Actor, kind: str, target: str, act: Callable[[], None]) -> str:
        name = f"{kind}:{target}"
        with self._lock:
            self._waiting = {key: future for key, future in self._waiting.items() if not future.done()}
            if name in self._waiting:
                raise ConflictError("the same work is under way", place=name)
            if len(self._waiting) >= MAX_QUEUE:
                raise InputError(f"{MAX_QUEUE} pieces of work are waiting", remedy="try again later")
            note(self.app.store.records, self.app.clock, who, f"{kind}.start", target)
            self._waiting[name] = self._pool.submit(act)
        return name

    def _recorded(self, who: Actor, job: str, act: Callable[[], str]) -> None:
        now = self.app.clock()
        run_id = content_id("run", f"{job}\x1f{now.isoformat()}".encode())
        run = JobRun(run_id, job, now, f"web:{who.name}", 0, now, now + LEASE)
        claimed = self.app.store.records.claim(run)
        if claimed is None:
            return
        outcome, detail = "ok", ""
        try:
            detail = act()
        except RefusedError as error:
            outcome, detail = "refused", str(error)
        except Exception as error:  # the edge of a job: the run says that it failed, the log says how
            log.exception("%s failed", job)
            outcome, detail = "failed", f"{type(error).__name__}: {error}"[:500]
        done = replace(claimed, ended=self.app.clock(), outcome=outcome, detail=detail)  # type: ignore[arg-type]
        self.app.store.records.finish(done)


def plans(app: App) -> list[Path]:
    """Drill plans of the configured folder, by name."""
    if not app.settings.backups:
        return []
    folder = app.settings.resolve(app.settings.backups)
    return sorted([*folder.glob("*.yml"), *folder.glob("*.yaml")])


def _ignore(value: object) -> None:
    """The scheduler records its own run."""
