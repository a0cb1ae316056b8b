"""Cryptography in use: servers and certificates seen on the wire, the calendar, and an indicative posture."""

from __future__ import annotations

from typing import Any

from fastapi.responses import Response

from cityguard.cryptouse import asking, words
from cityguard.cryptouse import posture as views
from cityguard.cryptouse.calendar import calendar
from cityguard.cryptouse.inventory import STATES, Certificate, Inventory, Service, shares
from cityguard.errors import InputError
from cityguard.web.desk import PAGE_ROWS, At, Desk, Doors
from cityguard.web.view import page_of

doors = Doors(documented=False)

VIEWS = ("services", "systems", "departments", "certificates", "calendar", "posture")
_URGENT = frozenset(("expired", "weak_suite", "weak_version", "aggressive", "weak_key", "weak_signature"))


@doors.get("/crypto", "read")
def crypto(
    at: At,
    view: str = "",
    q: str = "",
    state: str = "",
    problem: str = "",
    system: str = "",
    department: str = "",
    days: int = 30,
    after: str = "",
) -> Response:
    """Who speaks 国密, who offers it in vain, who is weak; certificates and when they end."""
    shown = view if view in VIEWS else VIEWS[0]
    days = min(max(days, 1), int(asking.MAX_DAYS))
    whole = at.app.cryptography(days)
    mine = whole.narrowed(system=system, department=department)
    found = mine.narrowed(state=state, problem=problem)
    services = [one for one in found.services if _named(at, one, q)]
    certificates = [one for one in found.certificates if _shown(one, q)]
    listed: list[Any] = certificates if shown == "certificates" else services
    rows, following = page_of(listed, _place, after, PAGE_ROWS)
    return at.page(
        "crypto.html", view=shown, rows=rows, after=following, total=len(listed), found=found, states=STATES,
        counts=mine.states(), problems=mine.problems(), word=lambda code: words.problem(code).get(at.lang),
        state_word=lambda code: words.STATES[code].get(at.lang), role_word=lambda code: words.ROLES[code].get(at.lang),
        urgent=_URGENT, days=days, systems=at.book.systems, departments=at.book.departments,
        asked={"q": q, "state": state, "problem": problem, "system": system, "department": department},
        groups=_groups(found, shown), months=calendar(mine, at.app.clock(), at.app.settings.zone),
        lines=views.posture(mine), unknown=views.UNKNOWN, held=mine.certificates,
        over=sum("expired" in one.problems for one in mine.certificates),
        sometimes=mine.problems().get("sometimes_turned_down", 0),
        soon=sum("soon" in one.problems for one in mine.certificates),
    )  # fmt: skip


def _groups(found: Inventory, shown: str) -> list[Any]:
    return (
        shares(found, "system" if shown == "systems" else "department") if shown in ("systems", "departments") else []
    )


def _place(one: Service | Certificate) -> str:
    return one.sha256 if isinstance(one, Certificate) else f"{one.address} {one.port}"


def _named(at: Desk, one: Service, q: str) -> bool:
    system = at.book.system(one.owner.system)
    text = f"{one.address}:{one.port} {one.protocol} {one.owner.system} {system.name if system else ''}"
    text += " ".join(use.cipher or "" for use in one.used)
    return all(word in text.lower() for word in q.lower().split())


def _shown(one: Certificate, q: str) -> bool:
    places = " ".join(place.address for place in one.places)
    text = f"{one.subject} {one.issuer} {one.serial} {one.sha256} {one.key} {one.signature} {places}".lower()
    return all(word in text for word in q.lower().split())


def narrowed(at: Desk, days: float, system: str, department: str, state: str = "", problem: str = "") -> Inventory:
    """The inventory that the API is asked for.

    Raises:
        InputError: days out of bounds; no such system, department, state or problem.
    """
    narrow = {"system": system, "department": department, "state": state, "problem": problem}
    if wrong := asking.fault(at.book, days=days, **narrow):
        raise InputError(wrong.en)
    return at.app.cryptography(days).narrowed(**narrow)
