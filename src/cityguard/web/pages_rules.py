"""Rule coverage: which rules can find anything here, which cannot and why; noisy rules; layers for Navigator."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, cast

import orjson
from fastapi.responses import Response

from cityguard.errors import CityguardError, InputError
from cityguard.model import LEVELS, Query
from cityguard.rulebook import navigator
from cityguard.rulebook.coverage import STATES, Coverage, Covered, State, chosen
from cityguard.rulebook.noisy import Noise, by_rule
from cityguard.rulebook.switches import Act, Selector
from cityguard.web.auth import Fields, sole
from cityguard.web.desk import MAX_ROWS, PAGE_ROWS, At, Desk, Doors, download, missing
from cityguard.web.view import page_of

doors = Doors(documented=False)

VERDICT_SPAN = timedelta(days=30)
VIEWS = ("rules", "departments", "segments", "noisy", "sources")
URGENT: tuple[State, ...] = ("faulty", "budget", "placeholder", "no_field", "part", "off", "no_source", "active")


@doors.get("/coverage", "read")
def coverage(
    at: At, q: str = "", state: str = "", department: str = "", segment: str = "", view: str = "", after: str = ""
) -> Response:
    """Every rule with its state and reason; departments and segments; the noisiest rules; the sources."""
    shown = view if view in VIEWS else VIEWS[0]
    found = at.app.coverage(department, segment) if shown == VIEWS[0] else at.app.coverage()
    rules = chosen(found, q, state=state)
    rows, following = page_of(sorted(rules, key=_order), lambda one: one.id or one.place, after, 2 * PAGE_ROWS)
    noise = noises(at)
    places = sorted((one for one in found.places if f"{one.kind}s" == shown), key=lambda one: (-one.rows, one.id))
    return at.page(
        "coverage.html", found=found, rows=rows, after=following, total=len(rules), states=STATES, view=shown,
        departments=at.book.departments, segments=at.book.segments,
        asked={"q": q, "state": state, "department": department, "segment": segment},
        places=places, quiet=[one for one in places if not one.rows], noise=by_rule(noise),
        noisy=noise[:MAX_ROWS], segment_name=segment_namer(at), days=VERDICT_SPAN.days,
    )  # fmt: skip


def _order(one: Covered) -> tuple[int, int, str, str]:
    """What can be mended comes first, then the gravest."""
    grave = LEVELS.index(one.level) if one.level in LEVELS else len(LEVELS)
    return (URGENT.index(one.state), -grave, one.title.zh, one.id or one.place)


def noises(at: Desk) -> list[Noise]:
    """Rules by their alerts of the last month and what people said of them."""
    return at.app.noise(Query(start=at.app.clock() - VERDICT_SPAN))


def segment_namer(at: Desk) -> Any:
    """The name of a segment of the register, or its id."""
    names = {one.id: one.name for one in at.book.segments}
    return lambda key: names.get(key, key) or "—"


@doors.get("/coverage/layer/{domain}.json", "read")
def layer(at: At, domain: str) -> Response:
    """A layer for ATT&CK Navigator."""
    made = layer_of(at, at.app.coverage(), domain)
    body = orjson.dumps(made, option=orjson.OPT_INDENT_2)
    return download(f"cityguard-{domain}-{at.app.clock():%Y%m%d}.json", "json", body)


def layer_of(at: Desk, found: Coverage, domain: str) -> dict[str, Any]:
    """The layer of a domain, in the reader's language.

    Raises:
        HTTPException: 404, there is no such domain.
    """
    if domain not in navigator.DOMAINS:
        raise missing("domain")
    return navigator.layer(found, domain, city=at.app.settings.city, language=at.lang)


@doors.get("/coverage/{rule_id}", "read")
def rule(at: At, rule_id: str) -> Response:
    """One rule: what it needs, what came, where it is active, and what became of its alerts."""
    found = at.app.coverage()
    one = next((one for one in found.rules if one.id == rule_id), None)
    if one is None:
        raise missing("rule")
    known = next((known for known in at.app.rulebook.every if known.id == rule_id), None)
    return at.page(
        "coverage_rule.html", one=one, rule=known, found=found, noise=by_rule(noises(at)).get(rule_id),
        fields=_fields(found, known), segment_name=segment_namer(at), days=VERDICT_SPAN.days,
    )  # fmt: skip


def _fields(found: Coverage, rule: Any) -> list[tuple[str, int | None]]:
    """Fields of a rule and how many events of the covered sources had them; None: not by that name."""
    from cityguard.model import LogSource
    from cityguard.rulebook.reach import columns_of

    if rule is None or not hasattr(rule, "node"):
        return []
    fitting = [
        s for s in found.sources if LogSource.parse(s.logsource).covers(rule.category, rule.product, rule.service)
    ]
    return [
        (name, sum(max((one.columns.get(column, 0) for column in columns_of(name)), default=0) for one in fitting))
        for name in rule.fields
    ]


@doors.post("/coverage", "run")
def switch(at: At, fields: Fields) -> Response:
    """Switch one rule off or on."""
    act, rule_id, back = sole(fields, "do"), sole(fields, "rule"), sole(fields, "next") or "/coverage"
    try:
        switched(at, act, Selector(id=rule_id[:64]), sole(fields, "why"))
    except CityguardError as error:
        return at.back(back, error.brief, "bad")
    return at.back(back, at.text("已停用规则" if act == "disable" else "已启用规则"))


def switched(at: Desk, act: str, select: Selector, why: str) -> int:
    """Switch rules; returns how many are meant.

    Raises:
        InputError: an unknown act, or what ``App.switch`` refuses.
    """
    if act not in ("enable", "disable"):
        raise InputError("no such act", remedy="enable or disable")
    return at.app.switch(cast("Act", act), select, at.me.actor.name, why, at.me.actor.ip)
