"""Work that a page starts and does not wait for: one thread, one thing at a time, each a run of the jobs' runner."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from cityguard.app import App
from cityguard.audit import Actor, note
from cityguard.errors import CityguardError, ConflictError, InputError
from cityguard.jobs.jobs import Runner
from cityguard.model import JobKind, JobRun

log = logging.getLogger(__name__)

MAX_QUEUE = 20


class Work:
    """Scans, assessments, drills and schedules started by hand."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.runner = Runner(app, owner="web")
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="work")
        self._lock = threading.Lock()
        self._waiting: dict[str, Future[None]] = {}

    def close(self) -> None:
        """Drop what waits; what runs gets a moment to end, then it is stopped and recorded as lost."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self.runner.stop()
        self._pool.shutdown()

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
        return self._once(who, "scan", system_id, {"system": system_id})

    def assess(self, who: Actor, system_id: str) -> str:
        """Hold a system against the catalogue; raises as ``scan`` does."""
        self.app.system(system_id)
        return self._once(who, "assessment", system_id, {"system": system_id})

    def drill(self, who: Actor, plan: str) -> str:
        """Restore a backup by a plan of the ``backups`` folder; raises as ``scan`` does."""
        path = next((path for path in plans(self.app) if path.stem == plan), None)
        if path is None:
            raise InputError(f"no drill plan '{plan}'", remedy="put it into the folder 'backups' names")
        return self._once(who, "drill", plan, {"plan": path.name})

    def job(self, who: Actor, schedule_id: str) -> str:
        """Run a schedule now; raises as ``scan`` does."""
        if all(schedule.id != schedule_id for schedule in self.app.store.records.find_schedules()):
            raise InputError(f"no schedule '{schedule_id}'")
        return self._queue(who, "job", schedule_id, lambda: self.runner.run_now(schedule_id, who))

    def _once(self, who: Actor, kind: JobKind, target: str, arguments: Mapping[str, Any]) -> str:
        return self._queue(who, kind, target, lambda: self.runner.run_once(kind, target, arguments, who))

    def _queue(self, who: Actor, kind: str, target: str, act: Callable[[], JobRun]) -> str:
        name = f"{kind}:{target}"
        with self._lock:
            self._waiting = {key: future for key, future in self._waiting.items() if not future.done()}
            if name in self._waiting:
                raise ConflictError("the same work is under way", place=name)
            if len(self._waiting) >= MAX_QUEUE:
                raise InputError(f"{MAX_QUEUE} pieces of work are waiting", remedy="try again later")
            note(self.app.store.records, self.app.clock, who, f"{kind}.start", target)
            self._waiting[name] = self._pool.submit(_logged, name, act)
        return name


def plans(app: App) -> list[Path]:
    """Drill plans of the configured folder, by name."""
    if not app.settings.backups:
        return []
    folder = app.settings.resolve(app.settings.backups)
    return sorted([*folder.glob("*.yml"), *folder.glob("*.yaml")])


def _logged(name: str, act: Callable[[], JobRun]) -> None:
    """The run itself says how it ended; here are those that could not begin."""
    try:
        act()
    except CityguardError as error:
        log.warning("%s did not begin: %s", name, error)
    except Exception:  # nobody looks at the future
        log.exception("%s did not begin", name)
