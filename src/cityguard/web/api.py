"""The REST API: every button of the console, as a documented call. Bodies are strict; answers are JSON."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any, Literal

from fastapi import HTTPException
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from cityguard import triage
from cityguard.cryptouse.calendar import calendar
from cityguard.cryptouse.inventory import shares
from cityguard.cryptouse.posture import UNKNOWN, posture
from cityguard.errors import InputError
from cityguard.jobs.jobs import runs as job_runs
from cityguard.model import Verdict
from cityguard.rulebook.coverage import chosen
from cityguard.rulebook.switches import Selector
from cityguard.triage import Act, Outcome, Step
from cityguard.web import facts
from cityguard.web.accounts import ROLES
from cityguard.web.auth import PERMISSIONS
from cityguard.web.desk import MAX_ROWS, At, Desk, Doors, json, missing
from cityguard.web.pages_assurance import assessment_file, drill_file
from cityguard.web.pages_crypto import narrowed
from cityguard.web.pages_rules import layer_of, switched
from cityguard.web.pages_running import change_user, next_times
from cityguard.web.view import page_of
from cityguard.web.work import plans

doors = Doors("/api/v1", documented=True)
Role = Literal["admin", "analyst", "auditor", "operator"]


class Body(BaseModel):
    """A request body: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", str_max_length=4_000)


class StepBody(Body):
    """One act on an alert."""

    act: Act
    verdict: Verdict | None = None
    note: str = Field("", max_length=triage.MAX_NOTE)
    owner: str | None = Field(None, max_length=64)

    def step(self) -> Step:
        return Step(self.act, self.verdict, self.note, self.owner)


class TriageBody(StepBody):
    """One act on one alert, at the version that was read."""

    version: int = Field(ge=1)


class Picked(Body):
    """One alert of a bulk act."""

    id: str = Field(max_length=64)
    version: int = Field(ge=1)


class BulkBody(StepBody):
    """One act on an explicit list of alerts."""

    alerts: list[Picked] = Field(min_length=1, max_length=triage.MAX_BULK)


class SystemBody(Body):
    """What to scan or assess."""

    system: str = Field(max_length=200)


class PlanBody(Body):
    """Which drill plan to run."""

    plan: str = Field(max_length=200)


class SwitchBody(Body):
    """Which rules to switch, and why."""

    act: Literal["enable", "disable"]
    why: str = Field("", max_length=500)
    id: str = Field("", max_length=64)
    level: str = Field("", max_length=20)
    product: str = Field("", max_length=100)
    category: str = Field("", max_length=100)
    status: str = Field("", max_length=20)
    tag: str = Field("", max_length=200)
    path: str = Field("", max_length=500)

    def selector(self) -> Selector:
        return Selector(self.id, self.level, self.product, self.category, self.status, self.tag, self.path)


class UserBody(Body):
    """A new account."""

    name: str = Field(max_length=64)
    roles: list[Role] = Field(min_length=1, max_length=len(ROLES))


class UserAct(Body):
    """What to do to an account."""

    act: Literal["reset", "disable", "enable"]


class TokenBody(Body):
    """A new bearer token of one's own."""

    label: str = Field(max_length=100)
    roles: list[Role] = Field(min_length=1, max_length=len(ROLES))
    days: int = Field(90, ge=1, le=90)


# -- posture and alerts -------------------------------------------------------


@doors.get("/health", "public")
def health(at: At) -> Response:
    """Whether the console answers; says nothing else."""
    return json({"status": "ok"})


@doors.get("/me", "self")
def who_am_i(at: At) -> Response:
    """The account behind the request, its roles and what they allow."""
    allowed = sorted(name for name in PERMISSIONS if at.me.may(name))
    return json({"name": at.me.name, "roles": at.me.roles, "permissions": allowed})


@doors.get("/overview", "read")
def overview(at: At) -> Response:
    """The figures of the posture page, each with the list that made it, and departments by open alerts."""
    alerts, complete = facts.open_alerts(at.app)
    return json(
        {
            "figures": facts.figures(at.app),
            "departments": facts.departments(at.app, alerts),
            "hourly": facts.hourly(at.app),
            "techniques": facts.techniques(alerts),
            "complete": complete,
        }
    )


@doors.get("/chains", "read")
def chains(at: At) -> Response:
    """Ways from host to host among the open alerts: hosts, distinct acts, and the alerts in order."""
    alerts, complete = facts.open_alerts(at.app)
    found = facts.chains(at.app, alerts)
    return json(
        {"complete": complete, "chains": [{"hosts": c.hosts, "steps": c.steps, "alerts": c.alerts} for c in found]}
    )


@doors.get("/alerts", "read")
def alerts(at: At, q: str = "", since: str = "", until: str = "", limit: int = 50, after: str = "") -> Response:
    """Alerts that match a query, newest first, page by page."""
    query = at.ask("alerts", q, since=since, until=until, limit=_limit(limit), after=after)
    found = at.app.store.alerts.find(query)
    total = at.app.store.alerts.count(query)
    return _page(found, found[-1].id if len(found) == query.limit else None, total)


@doors.get("/alerts/groups", "read")
def alert_groups(at: At, q: str = "", since: str = "", until: str = "", limit: int = 50) -> Response:
    """Alerts grouped by rule, source and destination, with counts."""
    query = at.ask("alerts", q, since=since, until=until, limit=_limit(limit))
    return _page(at.app.store.alerts.groups(query).to_dicts(), None)


@doors.post("/alerts/triage", "triage")
def triage_many(at: At, body: BulkBody) -> Response:
    """One act on an explicit list of alerts; each answers for itself."""
    picked = [(one.id, one.version) for one in body.alerts]
    return json(_outcomes(triage.apply_all(at.app.store, at.app.clock, at.me.actor, picked, _known(at, body.step()))))


@doors.get("/alerts/{alert_id}", "read")
def alert(at: At, alert_id: str) -> Response:
    """One alert with its history."""
    found = at.app.store.alerts.get(alert_id)
    if found is None:
        raise missing("alert")
    history = facts.history(at.app, alert_id) if at.me.may("audit") or at.me.may("triage") else []
    return json({"alert": found, "history": history})


@doors.get("/alerts/{alert_id}/events", "read")
def alert_events(at: At, alert_id: str) -> Response:
    """The raw events of one alert."""
    found = at.app.store.alerts.get(alert_id)
    if found is None:
        raise missing("alert")
    return _page(at.app.store.events.get(found.event_ids).to_dicts(), None, found.count)


@doors.post("/alerts/{alert_id}/triage", "triage")
def triage_one(at: At, alert_id: str, body: TriageBody) -> Response:
    """One act on one alert; 409 when somebody was faster."""
    try:
        step = _known(at, body.step())
        return json(triage.apply(at.app.store, at.app.clock, at.me.actor, alert_id, body.version, step))
    except KeyError:
        raise missing("alert") from None


@doors.get("/events", "read")
def events(
    at: At, q: str = "", dataset: str = "", since: str = "24h", until: str = "", limit: int = 50, after: str = ""
) -> Response:
    """Raw events that match a query, newest first, page by page."""
    query = at.ask("events", q, since=since, until=until, limit=_limit(limit), after=after)
    rows = at.app.store.events.query(replace(query, dataset=dataset or None)).to_dicts()
    return _page(rows, str(rows[-1].get("event.id")) if len(rows) == query.limit else None)


# -- register, evidence, self-checks, drills ----------------------------------


@doors.get("/register/{kind}", "read")
def register(
    at: At, kind: Literal["departments", "systems", "assets", "segments", "stations"], limit: int = 50, after: str = ""
) -> Response:
    """Departments, systems, assets, segments or stations, in the register's order."""
    items = getattr(at.app.register, kind)
    rows, following = page_of(items, lambda item: str(item.id), after, _limit(limit))
    return _page(rows, following, len(items))


@doors.get("/evidence", "read")
def evidence(at: At, system: str, limit: int = 50, after: str = "") -> Response:
    """Evidence of one system, newest first."""
    every = facts.evidence(at.app, system)
    rows, following = page_of(every, lambda item: item.id, after, _limit(limit))
    return _page(rows, following, len(every))


@doors.get("/evidence/{evidence_id}", "read")
def evidence_one(at: At, evidence_id: str) -> Response:
    """One piece of evidence, whole."""
    found = at.app.store.records.find_evidence(ids=[evidence_id])
    if not found:
        raise missing("evidence")
    return json(found[0])


@doors.post("/scans", "run")
def start_scan(at: At, body: SystemBody) -> Response:
    """Run every check on a system; answers at once, the run is listed under /runs."""
    return json({"started": at.work.scan(at.me.actor, body.system)}, 202)


@doors.get("/assessments", "read")
def assessments(at: At, system: str = "", limit: int = 50, after: str = "") -> Response:
    """Self-checks without their items, newest first."""
    every = facts.assessments(at.app, system or None)
    rows, following = page_of(every, lambda one: one.id, after, _limit(limit))
    return _page([replace(one, results=()) for one in rows], following, len(every))


@doors.post("/assessments", "run")
def start_assessment(at: At, body: SystemBody) -> Response:
    """Hold a system against the catalogue; answers at once."""
    return json({"started": at.work.assess(at.me.actor, body.system)}, 202)


@doors.get("/assessments/due", "read")
def due(at: At) -> Response:
    """Graded systems whose self-check is overdue or due within 60 days."""
    return _page(facts.dues(at.app, at.app.clock()), None)


@doors.get("/assessments/{assessment_id}", "read")
def assessment(at: At, assessment_id: str) -> Response:
    """One self-check with every item."""
    one = at.app.store.records.get_assessment(assessment_id)
    if one is None:
        raise missing("assessment")
    return json(one)


@doors.get("/assessments/{assessment_id}/report.{kind}", "read")
def assessment_report(at: At, assessment_id: str, kind: str) -> Response:
    """The 自查报告 of a self-check as html, pdf, docx, xlsx or json."""
    return assessment_file(at, assessment_id, kind)


@doors.get("/drills", "read")
def drills(at: At, system: str = "", limit: int = 50, after: str = "") -> Response:
    """Backup drills, newest first."""
    every = facts.drills(at.app, system or None)
    rows, following = page_of(every, lambda run: run.id, after, _limit(limit))
    return _page(rows, following, len(every))


@doors.post("/drills", "run")
def start_drill(at: At, body: PlanBody) -> Response:
    """Really restore a backup by a plan; answers at once."""
    return json({"started": at.work.drill(at.me.actor, body.plan)}, 202)


@doors.get("/drills/plans", "read")
def drill_plans(at: At) -> Response:
    """Names of the drill plans there are."""
    return _page([path.stem for path in plans(at.app)], None)


@doors.get("/drills/{drill_id}", "read")
def drill(at: At, drill_id: str) -> Response:
    """One drill with steps and comparisons."""
    run = at.app.store.records.get_drill(drill_id)
    if run is None:
        raise missing("drill")
    return json(run)


@doors.get("/drills/{drill_id}/report.{kind}", "read")
def drill_report(at: At, drill_id: str, kind: str) -> Response:
    """The 演练报告 of a drill as html, pdf, docx or json."""
    return drill_file(at, drill_id, kind)


# -- running ------------------------------------------------------------------


@doors.get("/jobs", "read")
def jobs(at: At) -> Response:
    """Schedules with their next times, and what waits now."""
    found = at.app.store.records.find_schedules()
    rows = [{"schedule": one, "next": next_times(at, one)} for one in found]
    return json({"items": rows, "after": None, "total": len(rows), "waiting": at.work.waiting()})


@doors.post("/jobs/{job_id}/run", "run")
def run_job(at: At, job_id: str) -> Response:
    """Run a schedule now; answers at once."""
    return json({"started": at.work.job(at.me.actor, job_id)}, 202)


@doors.get("/runs", "read")
def runs(at: At, job: str = "", limit: int = 50) -> Response:
    """Runs of jobs, newest first."""
    return _page(job_runs(at.app.store.records, job or None, _limit(limit)), None)


@doors.get("/sources", "read")
def sources(at: At) -> Response:
    """The ledger per source: received = stored + dead + dropped + spooled."""
    return _page(facts.sources(at.app, at.app.clock()), None)


@doors.get("/dead-letters", "read")
def dead_letters(at: At, source: str = "", limit: int = 50) -> Response:
    """Items that could not be used: where they stood, why, and their bytes."""
    return _page(at.app.store.records.find_dead(source or None, limit=_limit(limit)), None)


@doors.get("/rules", "read")
def rules(at: At) -> Response:
    """Rules that run, those that cannot, and the faults of the rest."""
    ruleset = at.app.ruleset
    both: list[Any] = [*ruleset.rules, *ruleset.correlations]
    rows = [
        {"id": one.id, "title": one.title, "level": one.head.level, "tags": one.head.tags, "file": one.head.path.name}
        for one in both
    ]
    faults = [str(fault) for fault in ruleset.faults]
    return json({"items": rows, "after": None, "total": len(rows), "inactive": ruleset.inactive, "faults": faults})


@doors.get("/rules/coverage", "read")
def rules_coverage(
    at: At, q: str = "", state: str = "", department: str = "", segment: str = "", limit: int = 50, after: str = ""
) -> Response:
    """Each rule active or not, exactly why, and where; what came from each department, segment and source."""
    found = at.app.coverage(department, segment)
    every = chosen(found, q, state=state)
    rows, following = page_of(every, lambda one: one.id or one.place, after, _limit(limit))
    told = [replace(one, place=one.place.rpartition("/")[2]) for one in rows]
    about = {"since": found.since, "counts": found.counts, "places": found.places, "sources": found.sources}
    return json({"items": told, "after": following, "total": len(every), **about})


@doors.get("/rules/noisy", "read")
def rules_noisy(at: At, since: str = "30d", limit: int = 50) -> Response:
    """Rules by their alerts and the verdicts on them, the noisiest first."""
    query = at.ask("alerts", "", since=since)
    every = at.app.noise(replace(query, limit=50))
    rows = [{**asdict(one), "judged": one.judged, "precision": one.precision} for one in every[: _limit(limit)]]
    return _page(rows, None, len(every))


@doors.get("/rules/navigator/{domain}", "read")
def rules_navigator(at: At, domain: str) -> Response:
    """A layer for ATT&CK Navigator (format 4.5); ``domain`` is enterprise or ics."""
    return json(layer_of(at, at.app.coverage(), domain))


@doors.post("/rules/switch", "run")
def rules_switch(at: At, body: SwitchBody) -> Response:
    """Switch rules off (with a reason) or on; all that is given must fit."""
    return json({"rules": switched(at, body.act, body.selector(), body.why)})


# -- cryptography in use ------------------------------------------------------


@doors.get("/crypto", "read")
def crypto_inventory(
    at: At, days: float = 30, system: str = "", department: str = "", state: str = "", problem: str = ""
) -> Response:
    """Servers with what they encrypt with, in which state and with which problems; by system and department."""
    found = narrowed(at, days, system, department, state, problem)
    return json(
        {
            "since": found.since,
            "until": found.until,
            "complete": found.complete,
            "states": found.states(),
            "problems": found.problems(),
            "services": found.services,
            "systems": shares(found, "system"),
            "departments": shares(found, "department"),
            "clients_turned_down": found.clients,
            "outside": found.outside,
        }
    )


@doors.get("/crypto/certificates", "read")
def crypto_certificates(
    at: At, days: float = 30, system: str = "", department: str = "", state: str = "", problem: str = ""
) -> Response:
    """Certificates with where they are shown and what is to be said of them, the first to end first."""
    found = narrowed(at, days, system, department, state, problem)
    return json({"complete": found.complete, "certificates": found.certificates})


@doors.get("/crypto/calendar", "read")
def crypto_calendar(at: At, days: float = 30, system: str = "", department: str = "") -> Response:
    """Certificates that are over, then those that end in this and the next twelve months."""
    found = narrowed(at, days, system, department)
    return json({"months": calendar(found, at.app.clock(), at.app.settings.zone)})


@doors.get("/crypto/posture", "read")
def crypto_posture(at: At, days: float = 30, system: str = "", department: str = "") -> Response:
    """What traffic shows along the layers of GB/T 39786 (indicative), and what it cannot show."""
    found = narrowed(at, days, system, department)
    return json({"lines": posture(found), "unknown": UNKNOWN})


@doors.get("/audit", "audit")
def audit_log(at: At, limit: int = 50) -> Response:
    """The chained audit log, newest first."""
    return _page(at.app.store.records.find_audit(_limit(limit)), None)


# -- accounts -----------------------------------------------------------------


@doors.get("/users", "users")
def users(at: At) -> Response:
    """Accounts and their roles."""
    return _page(at.accounts.users(), None)


@doors.post("/users", "users")
def add_user(at: At, body: UserBody) -> Response:
    """Create an account; its one-time password is in this answer and nowhere else."""
    return json({"name": body.name, "password": change_user(at, "add", body.name, list(body.roles))}, 201)


@doors.post("/users/{name}", "users")
def act_on_user(at: At, name: str, body: UserAct) -> Response:
    """Reset a password, disable or enable an account."""
    return json({"name": name, "password": change_user(at, body.act, name, []) or None})


@doors.get("/tokens", "self")
def tokens(at: At) -> Response:
    """One's own bearer tokens, without their secrets."""
    return _page(at.accounts.tokens(at.me.name), None)


@doors.post("/tokens", "self")
def add_token(at: At, body: TokenBody) -> Response:
    """Make a bearer token; its secret is in this answer and nowhere else."""
    if not at.me.csrf:
        raise HTTPException(403, "a token cannot make tokens: log in")
    user = at.accounts.get(at.me.name)
    if user is None or not set(body.roles) <= at.me.roles:
        raise InputError("a token cannot do more than its maker")
    at.note("token.add", at.me.name, ",".join(body.roles))
    token, secret = at.accounts.add_token(user, body.label, body.roles, body.days)
    return json({"token": token, "secret": secret}, 201)


@doors.delete("/tokens/{token_id}", "self")
def drop_token(at: At, token_id: str) -> Response:
    """Revoke one of one's own tokens."""
    at.note("token.drop", token_id[:64])
    if not at.accounts.drop_token(token_id, at.me.name):
        raise missing("token")
    return json({"dropped": token_id})


@doors.get("/openapi.json", "self")
def openapi(at: At) -> Response:
    """This API in OpenAPI form, for people who are logged in."""
    describe: Callable[[], dict[str, Any]] = at.request.app.openapi
    return json(describe())


def _limit(limit: int) -> int:
    if not 1 <= limit <= MAX_ROWS:
        raise InputError(f"limit {limit}", remedy=f"1 to {MAX_ROWS}")
    return limit


def _page(items: Any, after: str | None, total: int | None = None) -> Response:
    return json({"items": items, "after": after, "total": len(items) if total is None else total})


def _known(at: Desk, step: Step) -> Step:
    if step.owner is not None and at.accounts.get(step.owner) is None:
        raise InputError(f"no user '{step.owner}'")
    return step


def _outcomes(outcomes: list[Outcome]) -> dict[str, Any]:
    rows = [
        {"id": one.id, "done": one.done, "version": one.after.version if one.after else None, "error": one.error}
        for one in outcomes
    ]
    return {"items": rows, "done": sum(one.done for one in outcomes), "refused": sum(not one.done for one in outcomes)}
