"""What pages and API both say about the city: posture, who is due, what is silent; numbers equal their lists."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

from cityguard.app import App
from cityguard.chain import Chain, aliases_of
from cityguard.chain import chains as find_chains
from cityguard.model import (
    LEVELS,
    Alert,
    And,
    Assessment,
    DrillRun,
    Evidence,
    Ledger,
    Node,
    Not,
    Query,
    System,
    Term,
)
from cityguard.store.query import parse
from cityguard.worker import ledger

SAMPLE = 5_000  # open alerts looked at for tables by department; beyond it the page says "at least"
GROUP_IDS = 200  # alerts of one group an act may name
SILENT_AFTER = timedelta(minutes=15)
DUE_SOON = timedelta(days=60)
PERIOD = {2: timedelta(days=730), 3: timedelta(days=365), 4: timedelta(days=365)}
TECHNIQUE = re.compile(r"attack\.(t\d{4}(?:\.\d{3})?)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Figure:
    """One number of the posture page, and the list that made it."""

    key: str
    label: str
    value: int
    href: str
    kind: str = ""  # bad, warn or empty


@dataclass(frozen=True, slots=True)
class Due:
    """Why a graded system needs a self-check now. ``last`` is the newest one known, by us or by the register."""

    system: System
    last: date | None
    due: date | None
    overdue: bool


def count(app: App, text: str) -> int:
    """How many alerts a typed query finds: the same words as in the list's address."""
    query = parse(text, now=app.clock(), zone=app.settings.zone, subject="alerts")
    return app.store.alerts.count(query)


def figures(app: App) -> list[Figure]:
    """The posture in seven numbers."""
    now = app.clock()
    late = [due for due in dues(app, now) if due.overdue]
    failed = [drill for drill in latest_drills(app) if drill.conclusion == "失败"]
    silent = [row for row in sources(app, now) if row["state"] == "silent"]
    gap = sum(abs(book.balance) for book in ledger(app))
    grave, new, raised = "level:>=high -status:closed", "status:open", "status:escalated"
    return [
        Figure("new", "新告警", count(app, new), "/alerts?q=status:open", "warn"),
        Figure("grave", "高危未结", count(app, grave), "/alerts?q=level:>=high+-status:closed", "bad"),
        Figure("escalated", "已升级", count(app, raised), "/alerts?q=status:escalated", "warn"),
        Figure("due", "自查到期", len(late), "/assessments?due=1", "warn"),
        Figure("failed_drills", "演练失败", len(failed), "/drills?conclusion=失败", "bad"),
        Figure("silent", "静默数据源", len(silent), "/sources?state=silent", "bad"),
        Figure("unbalanced", "账目差额", gap, "/sources", "bad"),
    ]


def open_alerts(app: App) -> tuple[list[Alert], bool]:
    """Alerts not closed, newest first, and whether these are all of them."""
    found = app.store.alerts.find(Query(where=Not(Term("status", "eq", "closed")), limit=SAMPLE))
    return found, len(found) < SAMPLE


def chains(app: App, alerts: Iterable[Alert]) -> list[Chain]:
    """The weightiest ways from host to host among alerts, as the register knows the hosts."""
    return find_chains(alerts, aliases_of(app.register))


def hourly(app: App, hours: int = 24) -> list[tuple[str, dict[str, int]]]:
    """Alerts by level for each of the last hours (by last sight), oldest first, labelled in the city's time."""
    now = app.clock()
    end = now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    start = end - timedelta(hours=hours)
    found = app.store.alerts.find(Query(start=start, end=end, limit=SAMPLE))
    counts: dict[int, Counter[str]] = {}
    for alert in found:
        slot = int((alert.last_seen - start).total_seconds() // 3600)
        counts.setdefault(slot, Counter())[alert.level] += 1
    zone = app.settings.zone
    label = [(start + timedelta(hours=index)).astimezone(zone).strftime("%H:00") for index in range(hours)]
    return [(label[index], dict(counts.get(index, {}))) for index in range(hours)]


def departments(app: App, alerts: Sequence[Alert]) -> list[dict[str, Any]]:
    """Per department: systems, open alerts by level, the worst first; then those without a department."""
    levels: dict[str | None, Counter[str]] = {}
    for alert in alerts:
        levels.setdefault(alert.department, Counter())[alert.level] += 1
    systems = Counter(system.department for system in app.register.systems)
    rows: list[dict[str, Any]] = [
        {"id": one.id, "name": one.name, "systems": systems[one.id], "levels": dict(levels.pop(one.id, {}))}
        for one in app.register.departments
    ]
    rows += [{"id": key, "name": key or "", "systems": 0, "levels": dict(found)} for key, found in levels.items()]
    for row in rows:
        row["total"] = sum(row["levels"].values())
    return sorted(
        rows, key=lambda row: (*(-row["levels"].get(level, 0) for level in reversed(LEVELS)), str(row["name"]))
    )


def techniques(alerts: Iterable[Alert], top: int = 8) -> list[tuple[str, int]]:
    """ATT&CK techniques among alerts, the commonest first."""
    counted = Counter(
        match[1].upper() for alert in alerts for tag in set(alert.tags) if (match := TECHNIQUE.fullmatch(tag))
    )
    return sorted(counted.items(), key=lambda item: (-item[1], item[0]))[:top]


def dues(app: App, now: datetime) -> list[Due]:
    """Graded systems whose self-check is overdue or due within 60 days, the most urgent first.

    The period is a year for grade 3 and above and two years for grade 2 (等级测评 practice).
    """
    newest = {one.system: one.made_at.date() for one in sorted(assessments(app), key=lambda one: one.made_at)}
    rows = [
        _due(system, newest.get(system.id), now.date()) for system in app.register.systems if system.grade in PERIOD
    ]
    soon = [row for row in rows if row.due is None or row.due <= now.date() + DUE_SOON]
    return sorted(soon, key=lambda row: (row.due or date.min, row.system.id))


def _due(system: System, ours: date | None, today: date) -> Due:
    last = max((day for day in (ours, system.last_assessed) if day is not None), default=None)
    due = last + PERIOD[system.grade] if last else None
    return Due(system, last, due, due is None or due < today)


def assessments(app: App, system: str | None = None) -> list[Assessment]:
    """Self-checks, newest first."""
    return sorted(app.store.records.find_assessments(system), key=lambda one: (one.made_at, one.id), reverse=True)


def drills(app: App, system: str | None = None) -> list[DrillRun]:
    """Drill runs, newest first."""
    return sorted(app.store.records.find_drills(system), key=lambda one: (one.started, one.id), reverse=True)


def latest_drills(app: App) -> list[DrillRun]:
    """The newest run of each plan."""
    newest: dict[str, DrillRun] = {}
    for run in drills(app):
        newest.setdefault(run.plan, run)
    return list(newest.values())


def evidence(app: App, system: str) -> list[Evidence]:
    """A system's evidence, newest first."""
    found = app.store.records.find_evidence(system=system)
    return sorted(found, key=lambda one: (one.collected_at, one.id), reverse=True)


def sources(app: App, now: datetime) -> list[dict[str, Any]]:
    """Every source of the ledger and every configured listener, with its state: live, silent, waiting or file."""
    listeners = {one.name or one.collector for one in app.settings.listen}
    books = {book.source: book for book in ledger(app)}
    rows = [_source(book, book.source in listeners, now) for book in books.values()]
    rows += [_source(Ledger(name, ""), True, now) for name in sorted(listeners - set(books))]
    return sorted(rows, key=lambda row: (row["state"] != "silent", row["balance"] == 0, row["source"]))


def _source(book: Ledger, is_live: bool, now: datetime) -> dict[str, Any]:
    if not is_live:
        state = "file"
    elif book.last_seen is None or now - book.last_seen > SILENT_AFTER:
        state = "silent"
    else:
        state = "live"
    names = ("source", "unit", "received", "stored", "dead", "dropped", "spooled", "events", "last_seen", "balance")
    return {name: getattr(book, name) for name in names} | {"state": state}


def group_where(rule_id: str, source_ip: str | None, destination_ip: str | None) -> Node:
    """The condition that picks the alerts of one group of the inbox."""
    ends = (("source.ip", source_ip), ("destination.ip", destination_ip))
    return And((Term("rule_id", "eq", rule_id), *(_equal(name, value) for name, value in ends)))


def _equal(name: str, value: str | None) -> Node:
    return Term(name, "eq", value) if value else Not(Term(name, "exists", True))


def within(query: Query, where: Node, limit: int) -> Query:
    """A query narrowed by one more condition."""
    both = where if query.where is None else And((query.where, where))
    return replace(query, where=both, limit=limit, after=None)


def history(app: App, alert_id: str, limit: int = 5_000) -> list[Any]:
    """What people did to an alert, newest first, as the audit log has it."""
    return [entry for entry in app.store.records.find_audit(limit) if entry.object == alert_id]
