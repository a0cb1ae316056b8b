"""Pages of the operator, the auditor of the product, and the administrator: jobs, sources, rules, audit, accounts."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Any

from fastapi.responses import Response

from cityguard.errors import CityguardError, InputError
from cityguard.jobs.jobs import next_slots, runs
from cityguard.model import Schedule
from cityguard.web import facts
from cityguard.web.accounts import ROLES
from cityguard.web.auth import Fields, sole
from cityguard.web.desk import MAX_ROWS, PAGE_ROWS, At, Desk, Doors
from cityguard.web.passwords import one_time_password
from cityguard.web.view import page_of

doors = Doors(documented=False)


@doors.get("/jobs", "read")
def jobs(at: At, job: str = "") -> Response:
    """Schedules with their next times, and the runs."""
    found = runs(at.app.store.records, job or None, MAX_ROWS)
    newest = sorted(found, key=lambda run: (run.started, run.id), reverse=True)
    last = {run.job: run for run in reversed(newest)}
    rows = [
        {"schedule": one, "last": last.get(one.id), "next": next_times(at, one)}
        for one in sorted(at.app.store.records.find_schedules(), key=lambda one: one.id)
    ]
    return at.page("jobs.html", rows=rows, runs=newest[: 2 * PAGE_ROWS], job=job, waiting=at.work.waiting())


@doors.post("/jobs", "run")
def run_job(at: At, fields: Fields) -> Response:
    """Run a schedule now."""
    try:
        at.work.job(at.me.actor, sole(fields, "job"))
    except CityguardError as error:
        return at.back("/jobs", error.brief, "bad")
    return at.back("/jobs", at.text("已开始，完成后刷新可见；进度见计划任务"))


def next_times(at: Desk, schedule: Schedule) -> list[datetime]:
    """When a schedule is next due, as the scheduler reckons it."""
    if not schedule.enabled:
        return []
    try:
        return list(next_slots(schedule, 3, now=at.app.clock(), zone=at.app.settings.zone))
    except (CityguardError, ValueError):
        return []


@doors.get("/sources", "read")
def sources(at: At, state: str = "", source: str = "") -> Response:
    """The ledger: everything received is stored, dead, dropped or still in the spool."""
    rows = facts.sources(at.app, at.app.clock())
    chosen = [row for row in rows if not state or row["state"] == state]
    dead = at.app.store.records.find_dead(source or None, limit=2 * PAGE_ROWS)
    names = ("received", "stored", "dead", "dropped", "spooled", "events", "balance")
    totals = {name: sum(row[name] for row in chosen) for name in names}
    return at.page("sources.html", rows=chosen, totals=totals, dead=dead, state=state, source=source)


@doors.get("/rules", "read")
def rules(at: At, q: str = "", after: str = "") -> Response:
    """Rules that run, what they need, and what is wrong with the others."""
    ruleset = at.app.ruleset
    both: list[Any] = [*ruleset.rules, *ruleset.correlations]
    every = sorted(both, key=lambda one: (str(one.head.path), one.id))
    words = q.lower().split()
    chosen = [one for one in every if all(word in _searchable(one) for word in words)]
    rows, following = page_of(chosen, lambda one: one.id, after, 2 * PAGE_ROWS)
    return at.page(
        "rules.html", rows=rows, after=following, total=len(chosen), q=q, faults=ruleset.faults,
        inactive=ruleset.inactive, levels=Counter(one.head.level for one in every),
    )  # fmt: skip


def _searchable(rule: Any) -> str:
    head = rule.head
    return f"{head.title.zh} {head.title.en} {head.level} {' '.join(head.tags)} {rule.id} {head.path.name}".lower()


@doors.get("/audit", "audit")
def audit_log(at: At, q: str = "", after: str = "") -> Response:
    """Who did what, when; newest first."""
    entries = sorted(at.app.store.records.find_audit(10_000), key=lambda entry: entry.seq, reverse=True)
    words = q.lower().split()
    chosen = [
        e for e in entries if all(w in f"{e.actor} {e.ip} {e.action} {e.object} {e.detail}".lower() for w in words)
    ]
    rows, following = page_of(chosen, lambda entry: str(entry.seq), after, 2 * PAGE_ROWS)
    return at.page("audit.html", rows=rows, after=following, total=len(chosen), q=q)


@doors.get("/users", "users")
def users(at: At) -> Response:
    """Accounts and tokens."""
    return _users(at)


@doors.post("/users", "users")
def change_users(at: At, fields: Fields) -> Response:
    """Create, reset, disable or enable an account; a new password is shown this once."""
    act, name = sole(fields, "do"), sole(fields, "name")
    try:
        password = change_user(at, act, name, fields.get("role", []))
    except CityguardError as error:
        return at.back("/users", error.brief, "bad")
    return _users(at, fresh=(name, password)) if password else at.back("/users", at.text("已更新账号"))


def change_user(at: Desk, act: str, name: str, roles: list[str]) -> str:
    """One act on an account. Returns the one-time password, where the act makes one.

    Raises:
        InputError: an unknown act, or what ``Accounts`` refuses.
    """
    password = one_time_password() if act in ("add", "reset") else ""
    if act not in ("add", "reset", "disable", "enable"):
        raise InputError("no such act", remedy="add, reset, disable or enable")
    at.note(f"user.{act}", name[:64], ",".join(roles))
    if act == "add":
        at.accounts.add(name, password, roles, must_change=True)
    elif act == "reset":
        at.accounts.set_password(name, password, must_change=True)
    else:
        at.accounts.set_disabled(name, act == "disable")
    return password


def _users(at: Desk, fresh: tuple[str, str] | None = None) -> Response:
    return at.page("users.html", users=at.accounts.users(), tokens=at.accounts.tokens(), roles=ROLES, fresh=fresh)
