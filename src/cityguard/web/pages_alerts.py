"""Pages of the analyst: posture, the inbox, one alert, and the search over events."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fastapi.responses import Response

from cityguard import columns, triage
from cityguard.errors import CityguardError, ConflictError, InputError
from cityguard.model import LEVELS, Alert, Query
from cityguard.triage import Act, Outcome, Step
from cityguard.web import facts
from cityguard.web.auth import Fields, sole
from cityguard.web.desk import At, Desk, Doors, missing
from cityguard.web.view import local, safe_rows

doors = Doors(documented=False)
INBOX = "-status:closed"
MAX_EVENTS = 100
ACTS: dict[str, tuple[Act, str | None]] = {
    "acknowledge": ("acknowledge", None),
    "escalate": ("escalate", None),
    "close-true": ("close", "true"),
    "close-false": ("close", "false"),
    "close-benign": ("close", "benign"),
    "assign": ("assign", None),
    "note": ("note", None),
    "reopen": ("reopen", None),
}
"""What a button of the console sends -> the act and its verdict."""


@doors.get("/", "read")
def overview(at: At) -> Response:
    """Posture."""
    alerts, complete = facts.open_alerts(at.app)
    grave = [alert for alert in alerts if alert.level in ("high", "critical")]
    return at.page(
        "overview.html",
        figures=facts.figures(at.app),
        hours=facts.hourly(at.app),
        departments=facts.departments(at.app, alerts),
        techniques=facts.techniques(alerts),
        complete=complete,
        chains=facts.chains(at.app, alerts),
        newest=safe_rows(grave[:8], _row),
        dues=facts.dues(at.app, at.app.clock())[:8],
        drills=facts.drills(at.app)[:6],
        sources=facts.sources(at.app, at.app.clock()),
    )


@doors.get("/chains", "read")
def chains(at: At) -> Response:
    """Ways from host to host among the open alerts."""
    alerts, complete = facts.open_alerts(at.app)
    found = [(chain, safe_rows(chain.alerts, _row)) for chain in facts.chains(at.app, alerts)]
    return at.page("chains.html", chains=found, complete=complete)


@doors.get("/alerts", "read")
def inbox(
    at: At, q: str | None = None, view: str = "groups", since: str = "", until: str = "", after: str = ""
) -> Response:
    """The inbox: groups of rule, source and destination; or one alert a row."""
    text = INBOX if q is None else q
    values: dict[str, Any] = {"q": text, "since": since, "until": until, "view": view, "fault": None, "levels": LEVELS}
    try:
        query = at.ask("alerts", text, since=since, until=until, after=after)
        total = at.app.store.alerts.count(query)
        rows, following = _groups(at, query) if view == "groups" else _list(at, query)
    except InputError as error:
        empty = {"rows": [], "total": 0, "after": None, "fault": error}
        return at.page("alerts.html", 400, **{**values, **empty})
    return at.page("alerts.html", **values, rows=rows, total=total, after=following)


@doors.post("/alerts", "triage")
def act_on_many(at: At, fields: Fields) -> Response:
    """One act on the alerts that were picked, frozen when they were picked."""
    to = local(sole(fields, "next"), "/alerts")
    try:
        picked = [_pick(part) for value in fields.get("pick", []) for part in value.split(",")]
        if not picked:
            return at.back(to, at.text("没有选中告警"), "warn")
        outcomes = triage.apply_all(at.app.store, at.app.clock, at.me.actor, picked, _step(at, fields))
    except InputError as error:
        return at.back(to, error.brief, "bad")
    return _told(at, to, outcomes)


@doors.post("/alerts/undo", "triage")
def undo(at: At, fields: Fields) -> Response:
    """Take back the last act of this session."""
    outcomes = triage.undo(at.app.store, at.app.clock, at.me.actor, at.memory.last(at.me.csrf))
    done = sum(outcome.done for outcome in outcomes)
    text = at.text("已撤销") + f" {done}" if outcomes else at.text("没有可撤销的操作")
    return at.back(local(sole(fields, "next"), "/alerts"), text, "good" if done else "warn")


@doors.get("/alerts/{alert_id}", "read")
def alert_page(at: At, alert_id: str) -> Response:
    """One alert: why, what exactly, who and where, and what was done about it."""
    alert = at.app.store.alerts.get(alert_id)
    if alert is None:
        raise missing("alert")
    events = at.app.store.events.get(alert.event_ids[:MAX_EVENTS])
    rows = sorted(events.to_dicts(), key=lambda row: str(row.get("@timestamp")))
    return at.page(
        "alert.html",
        alert=alert,
        row=_row(alert),
        events=[{name: value for name, value in row.items() if value is not None} for row in rows],
        cards=_cards(at, alert),
        system=at.app.register.system(alert.system) if alert.system else None,
        department=at.app.register.department(alert.department) if alert.department else None,
        techniques=facts.techniques([alert]),
        history=facts.history(at.app, alert_id) if at.me.may("audit") or at.me.may("triage") else [],
        similar=_similar(at, alert),
        allowed=[name for name, (act, _) in ACTS.items() if alert.status in triage.FROM[act]],
    )


@doors.post("/alerts/{alert_id}", "triage")
def act_on_one(at: At, alert_id: str, fields: Fields) -> Response:
    """One act on one alert, at the version the page showed."""
    to = f"/alerts/{alert_id}"
    try:
        version = int(sole(fields, "version", "0"))
        outcomes = triage.apply_all(at.app.store, at.app.clock, at.me.actor, [(alert_id, version)], _step(at, fields))
    except (InputError, ConflictError, ValueError) as error:
        return at.back(to, error.brief if isinstance(error, CityguardError) else str(error), "bad")
    return _told(at, to, outcomes)


@doors.get("/events", "read")
def events(at: At, q: str = "", since: str = "24h", until: str = "", dataset: str = "", after: str = "") -> Response:
    """Search over raw events."""
    values: dict[str, Any] = {"q": q, "since": since, "until": until, "dataset": dataset, "datasets": columns.DATASETS}
    try:
        query = replace(at.ask("events", q, since=since, until=until, after=after), dataset=dataset or None)
        table = at.app.store.events.query(query)
    except InputError as error:
        return at.page("events.html", 400, **values, rows=[], after=None, fault=error)
    rows = [{name: value for name, value in row.items() if value is not None} for row in table.to_dicts()]
    following = str(rows[-1].get("event.id")) if len(rows) == query.limit else None
    return at.page("events.html", **values, rows=rows, after=following, fault=None)


def _pick(text: str) -> tuple[str, int]:
    alert_id, _, version = text.partition(":")
    if not version.isdigit() or len(version) > 9 or len(alert_id) > 64:
        raise InputError("a picked alert is <id>:<version>")
    return alert_id, int(version)


def _step(at: Desk, fields: dict[str, list[str]]) -> Step:
    unknown = set(fields) - {"do", "note", "owner", "pick", "next", "version"}
    if unknown:
        raise InputError(f"unknown field '{min(unknown)}'")
    act, verdict = ACTS.get(sole(fields, "do"), (None, None))
    if act is None:
        raise InputError("no such act")
    owner = sole(fields, "owner") or at.me.name if act == "assign" else None
    if owner is not None and at.accounts.get(owner) is None:
        raise InputError(f"no user '{owner[:64]}'")
    return Step(act, verdict, sole(fields, "note"), owner)  # type: ignore[arg-type]


def _told(at: Desk, to: str, outcomes: list[Outcome]) -> Response:
    done = [outcome for outcome in outcomes if outcome.done]
    refused = [outcome for outcome in outcomes if not outcome.done]
    at.memory.keep(at.me.csrf, done)
    text = f"{at.text('已处置告警')} {len(done)}"
    if refused:
        text += f" · {at.text('被拒绝')} {len(refused)}：{refused[0].error}"
    return at.back(to, text, "warn" if refused else "good", undo=bool(done))


def _row(alert: Alert) -> dict[str, Any]:
    LEVELS.index(alert.level)  # an unknown level is a malformed alert
    return {
        "id": alert.id,
        "pick": f"{alert.id}:{alert.version}",
        "level": alert.level,
        "title": alert.title,
        "count": int(alert.count),
        "source": str(alert.entities.get("source.ip", "")),
        "destination": str(alert.entities.get("destination.ip", "")),
        "who": str(alert.entities.get("user.name") or alert.entities.get("host.name") or ""),
        "system": alert.system,
        "department": alert.department,
        "first_seen": alert.first_seen,
        "last_seen": alert.last_seen,
        "status": alert.status,
        "verdict": alert.verdict,
        "owner": alert.owner,
        "reason": alert.reason,
        "techniques": [name for name, _ in facts.techniques([alert])],
        "score": alert.score,
    }


def _list(at: Desk, query: Query) -> tuple[list[dict[str, Any]], str | None]:
    found = at.app.store.alerts.find(query)
    return safe_rows(found, _row), found[-1].id if len(found) == query.limit else None


def _groups(at: Desk, query: Query) -> tuple[list[dict[str, Any]], str | None]:
    groups = at.app.store.alerts.groups(query).to_dicts()
    rows = safe_rows(groups, lambda group: _group(at, query, group))
    return rows, str(groups[-1]["latest"]) if len(groups) == query.limit else None


def _group(at: Desk, query: Query, group: dict[str, Any]) -> dict[str, Any]:
    where = facts.group_where(group["rule_id"], group["source.ip"], group["destination.ip"])
    alerts = at.app.store.alerts.find(facts.within(query, where, facts.GROUP_IDS))
    newest = max(alerts, key=lambda alert: alert.last_seen)
    row = _row(newest) | {name: group[name] for name in ("alerts", "count", "level", "first_seen", "last_seen")}
    return row | {
        "pick": ",".join(f"{alert.id}:{alert.version}" for alert in alerts),
        "picked": len(alerts),
        "rule_id": group["rule_id"],
        "status": newest.status if len({alert.status for alert in alerts}) == 1 else "mixed",
        "owner": newest.owner if len({alert.owner for alert in alerts}) == 1 else None,
        "narrow": _narrow(group),
    }


def _narrow(group: dict[str, Any]) -> str:
    """The query that lists one group's alerts."""
    ends = [f"{name}:{group[name]}" if group[name] else f"-{name}:*" for name in ("source.ip", "destination.ip")]
    return f'rule_id:"{group["rule_id"]}" {" ".join(ends)}'


def _cards(at: Desk, alert: Alert) -> list[dict[str, Any]]:
    """Who and where: each entity with what the register knows of it."""
    cards = []
    for name, value in alert.entities.items():
        is_address = name.endswith(".ip")
        asset = at.app.register.find_asset(value) if is_address else None
        segment = at.app.register.segment_of(value) if is_address else None
        system = at.app.register.system(asset.system) if asset else None
        cards.append({"field": name, "value": value, "asset": asset, "segment": segment, "system": system})
    return cards


def _similar(at: Desk, alert: Alert) -> dict[str, int]:
    """How earlier alerts of the same rule ended."""
    rule = f'rule_id:"{alert.rule_id}"' if '"' not in alert.rule_id else ""
    if not rule:
        return {}
    return {verdict: facts.count(at.app, f"{rule} verdict:{verdict}") for verdict in ("true", "false", "benign")}
