"""The REST API of OT policy: what the console's OT page shows and decides, as documented calls."""

from __future__ import annotations

from datetime import date
from typing import Literal

from fastapi.responses import Response
from pydantic import Field

from cityguard.app import moment
from cityguard.otpolicy.desk import Signature
from cityguard.web.api import Body
from cityguard.web.desk import MAX_ROWS, At, Doors, json

doors = Doors("/api/v1", documented=True)


class LearnBody(Body):
    """From when to when to learn."""

    since: str = Field("7d", max_length=40)
    until: str = Field("", max_length=40)


class DecisionBody(Body):
    """A person's decision on proposed lines and places."""

    owner: str = Field("", max_length=200)
    reason: str = Field(min_length=1, max_length=500)
    expires: date | None = None
    places: list[str] = Field(default_factory=list, max_length=1_000)
    accept: list[str] = Field(default_factory=list, max_length=1_000)
    reject: list[str] = Field(default_factory=list, max_length=1_000)
    remove: list[str] = Field(default_factory=list, max_length=1_000)
    mode: Literal["enforced", "learning"] = "enforced"


@doors.get("/ot/matrix", "read")
def ot_matrix(at: At, since: str = "24h", until: str = "") -> Response:
    """Messages by station, master and class, with their course over time."""
    now = at.app.clock()
    found = at.app.ot.matrix(moment(since, now), moment(until, now) if until else now)
    cells = [
        {
            "station": station,
            "master": master,
            "counts": cell.counts,
            "series": [{"at": when, "counts": counts} for when, counts in cell.series.items()],
        }
        for (station, master), cell in found.cells.items()
    ]
    return json(
        {"start": found.start, "end": found.end, "width_s": found.width_s, "stations": found.about, "cells": cells}
    )


@doors.get("/ot/policy", "read")
def ot_policy(at: At) -> Response:
    """The policy in force: lines, how each place is treated, rejected lines."""
    found = at.app.ot.policy
    return json({"scopes": found.scopes, "lines": found.lines, "rejected": found.rejected})


@doors.get("/ot/proposal", "read")
def ot_proposal(at: At) -> Response:
    """Every proposed line as a sentence, what it would change, and why to look twice."""
    return json({"about": at.app.ot.proposal.about, "changes": at.app.ot.diff()})


@doors.post("/ot/proposal", "run")
def ot_propose(at: At, body: LearnBody) -> Response:
    """Learn from a time range and propose; nothing is in force by it."""
    now, who = at.app.clock(), at.me.actor
    learned = at.app.ot.learn(moment(body.since, now), moment(body.until, now) if body.until else now, who)
    made = at.app.ot.propose(who)
    return json({"events": learned.events, "deeds": learned.deeds.height, "lines": len(made.lines)})


@doors.post("/ot/decisions", "run")
def ot_decide(at: At, body: DecisionBody) -> Response:
    """Put lines in force, reject or remove them, enforce places or set them back to learning; audited."""
    done = at.app.ot.decide(
        at.me.actor,
        Signature(body.owner, body.reason, body.expires),
        places=tuple(body.places),
        accept=tuple(body.accept),
        reject=tuple(body.reject),
        remove=tuple(body.remove),
        mode=body.mode,
    )
    return json(
        {
            "accepted": [one.id for one in done.accepted],
            "rejected": [one.id for one in done.rejected],
            "removed": [one.id for one in done.removed],
            "held": [one.id for one in done.held],
        }
    )


@doors.get("/ot/violations", "read")
def ot_violations(at: At, since: str = "30d", until: str = "") -> Response:
    """Alerts about the policy and about silent stations, newest first."""
    now = at.app.clock()
    found = at.app.ot.violations(moment(since, now), moment(until, now) if until else now, MAX_ROWS)
    return json({"items": found, "total": len(found)})


@doors.get("/ot/stations", "read")
def ot_stations(at: At) -> Response:
    """Registered stations and when each was last heard, silent ones first."""
    return json({"items": at.app.ot.roll_call()})
