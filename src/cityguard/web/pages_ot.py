"""OT: who acts on what, the policy with its proposal, violations, and registered stations that are not heard."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from fastapi.responses import Response

from cityguard.app import moment
from cityguard.errors import CityguardError, InputError
from cityguard.otpolicy import review, words
from cityguard.otpolicy.decide import Decided
from cityguard.otpolicy.desk import Signature
from cityguard.otpolicy.diff import summary
from cityguard.otpolicy.matrix import ORDER, Cell, Matrix
from cityguard.otpolicy.policy import Policy
from cityguard.register.register import Register
from cityguard.web import charts
from cityguard.web.auth import Fields, sole
from cityguard.web.desk import PAGE_ROWS, At, Desk, Doors
from cityguard.web.view import page_of

doors = Doors(documented=False)

VIEWS = ("matrix", "sites", "policy", "proposal", "violations", "stations")
SPANS = ("1h", "24h", "7d", "30d")
MASTERS = 8
STATIONS = 25
CHART = 1_120.0
VIOLATION_DAYS = 30


@doors.get("/ot", "read")
def ot(
    at: At, view: str = "", q: str = "", since: str = "24h", segment: str = "", only: str = "",
    station: str = "", master: str = "", after: str = "", col: str = "",
) -> Response:  # fmt: skip
    """Sites and devices, the matrix of masters and stations, policy, proposal, violations, stations."""
    shown = view if view in VIEWS else VIEWS[0]
    policy, fault = _policy(at)
    names, now = at.app.ot.names, at.app.clock()
    values: dict[str, Any] = {
        "seen": None,
        "cell": None,
        "rows": [],
        "after": None,
        "total": 0,
        "changes": [],
        "told": None,
    }
    if shown in ("matrix", "sites"):
        seen = at.app.ot.matrix(_since(since, now), now)
        asked = {"q": q, "segment": segment, "only": only}
        values |= {"seen": seen} | (_matrix(seen, asked, (after, col), names) if shown == "matrix" else {})
        values["cell"] = _detail(seen, station, master) if shown == "matrix" else None
        values["sites"] = _sites(seen, policy, at.book) if shown == "sites" else []
    else:
        values |= _listed(at, shown, policy, names, q, after)
    blank: dict[str, Any] = {
        "sites": [], "masters": [], "columns": (0, 0, None), "strange": set(), "unlisted": [], "learned": None,
        "places": [],
    }  # fmt: skip
    return at.page(
        "ot.html", view=shown, policy=policy, fault=fault, names=names, figures=_figures(at, policy), spans=SPANS,
        classes=ORDER, modes=words.MODES, spoken=words.PROTOCOLS, span_word=words.span, only_tells=words.NEVER_BLOCKS,
        asked={"q": q, "since": since, "segment": segment, "only": only, "station": station, "master": master},
        **(blank | values),
    )  # fmt: skip


def _since(text: str, now: datetime) -> datetime:
    try:
        start = moment(text, now)
    except InputError:
        start = now
    return start if start < now else now - timedelta(days=1)


def _policy(at: Desk) -> tuple[Policy, str]:
    """The policy in force, or an empty one and what is wrong with its file."""
    try:
        return at.app.ot.policy, ""
    except CityguardError as error:
        return Policy(), error.brief


def _proposal(at: Desk) -> Policy:
    try:
        return at.app.ot.proposal
    except CityguardError:
        return Policy()


# -- figures ---------------------------------------------------------------------


def _figures(at: Desk, policy: Policy) -> list[dict[str, Any]]:
    """Each figure with the list behind it."""
    now = at.app.clock()
    today = now.astimezone(at.app.settings.zone).date()
    stations = at.app.ot.roll_call()
    found = _violations(at)
    soon = sum(one.expires is not None and one.expires <= today + review.SOON for one in policy.lines)
    silent = sum(one.silent for one in stations)
    unsettled = sum(one.status != "closed" for one in found)
    proposed = len(_proposal(at).lines)
    return [
        {"key": "violations", "n": unsettled, "label": "未结的违反与静默", "view": "violations", "tone": "bad"},
        {"key": "proposed", "n": proposed, "label": "待决的拟议行", "view": "proposal", "tone": "warn"},
        {"key": "lines", "n": len(policy.lines), "label": "现行策略行", "view": "policy", "tone": ""},
        {"key": "expiring", "n": soon, "label": "到期或 30 日内到期", "view": "policy", "tone": "warn"},
        {"key": "stations", "n": len(stations), "label": "登记站点", "view": "stations", "tone": ""},
        {"key": "silent", "n": silent, "label": "登记但静默", "view": "stations", "tone": "bad"},
    ]


def _violations(at: Desk) -> list[Any]:
    now = at.app.clock()
    return at.app.ot.violations(now - timedelta(days=VIOLATION_DAYS), now + timedelta(days=1))


# -- the matrix --------------------------------------------------------------------


def _matrix(seen: Matrix, asked: Mapping[str, str], cursors: tuple[str, str], names: words.Names) -> dict[str, Any]:
    """The part of the matrix that is asked for: a page of stations, a page of masters, what wants a look first.

    Args:
        asked: ``q`` (words that station and master hold together), ``segment``, ``only`` (not empty: changes).
        cursors: the last station and the last master of the page before.
    """
    strange = {one for one in seen.masters if not names.is_registered(one)}
    changing = {master for (_, master), cell in seen.cells.items() if cell.changes}
    risk = {one: (one in strange) + (one in changing) for one in seen.masters}
    pairs = _pairs(seen, asked, names)
    worst: dict[str, int] = {}
    for station, master in pairs:
        worst[station] = max(worst.get(station, 0), risk[master])
    chosen = sorted((one for one in seen.stations if one in worst), key=lambda one: -worst[one])
    rows, following = page_of(chosen, str, cursors[0], STATIONS)
    here = set(rows)
    mine = {master for station, master in pairs if station in here}
    masters = sorted((one for one in seen.masters if one in mine), key=lambda one: -risk[one])
    shown, more = page_of(masters, str, cursors[1], MASTERS)
    found = {master for _, master in pairs}
    return {
        "rows": rows,
        "after": following,
        "total": len(chosen),
        "masters": shown,
        "columns": (masters.index(shown[0]) + 1 if shown else 0, len(masters), more),
        "strange": strange,
        "unlisted": [one for one in seen.masters if one in strange & found],
    }


def _pairs(seen: Matrix, asked: Mapping[str, str], names: words.Names) -> list[tuple[str, str]]:
    """(station, master) of the cells that are asked for."""
    sought = asked["q"].lower().split()
    masters = {one: f"{one} {names.master(one).zh}".lower() for one in seen.masters} if sought else {}
    stations: dict[str, str] = {}
    for one in seen.stations if sought else ():
        about = seen.about.get(one, {})
        spoken = words.PROTOCOLS.get(about.get("protocol", ""), "")
        text = f"{one} {names.place(one).zh} {about.get('ip', '')} {about.get('protocol', '')} {spoken}"
        stations[one] = text.lower()
    return [
        (station, master)
        for (station, master), cell in seen.cells.items()
        if (not asked["segment"] or seen.about.get(station, {}).get("segment") == asked["segment"])
        and (not asked["only"] or cell.changes)
        and all(word in stations[station] or word in masters[master] for word in sought)
    ]


@dataclass(frozen=True, slots=True)
class Detail:
    """One cell over time: bars of a chart, and a row per class."""

    station: str
    master: str
    cell: Cell
    bars: list[charts.Bar]
    labels: list[tuple[float, datetime]]


def _detail(seen: Matrix, station: str, master: str) -> Detail | None:
    cell = seen.cell(station, master)
    if cell is None:
        return None
    width = timedelta(seconds=seen.width_s)
    first = min(cell.series)
    first -= (first - seen.start) // width * width
    count = max(1, -(-(seen.end - first) // width))
    moments = [first + nth * width for nth in range(min(count, 60))]
    columns = [(f"{one:%m-%d %H:%M}", cell.series.get(one, {})) for one in moments]
    labels = [
        (max(36.0, (nth + 0.5) * CHART / len(moments)), moments[nth])
        for nth in range(0, len(moments), max(1, len(moments) // 6))
    ]
    return Detail(
        station, master, cell, charts.stacked(columns, width=CHART, height=90, kinds=tuple(reversed(ORDER))), labels
    )


def _sites(seen: Matrix, policy: Policy, book: Register) -> list[dict[str, Any]]:
    """Segments with OT traffic, or marked OT: devices, masters, who changes things, how they are treated."""
    modes = {one.place: one.mode for one in policy.scopes}
    lines = Counter(one.scope for one in policy.lines)
    known = {one.id: one for one in book.segments}
    ids = dict.fromkeys([*(about["segment"] for about in seen.about.values()), *(s.id for s in book.segments if s.ot)])
    rows = []
    for key in ids:
        mine = [one for one in seen.stations if seen.about[one]["segment"] == key]
        cells = [(pair, cell) for pair, cell in seen.cells.items() if pair[0] in set(mine)]
        rows.append(
            {
                "id": key,
                "segment": known.get(key),
                "stations": len(mine),
                "protocols": sorted({seen.about[one]["protocol"] for one in mine}),
                "masters": len({pair[1] for pair, _ in cells}),
                "writers": sorted({pair[1] for pair, cell in cells if cell.changes}),
                "messages": sum(cell.total for _, cell in cells),
                "changes": sum(cell.changes for _, cell in cells),
                "lines": lines[f"segment:{key}"] + sum(lines[one] for one in mine),
                "mode": modes.get(f"segment:{key}", "learning"),
                "own": sum(modes.get(one) == "enforced" for one in mine),
            }
        )
    return sorted(rows, key=lambda row: (-row["changes"], -row["messages"], str(row["id"])))


# -- lists -------------------------------------------------------------------------


def _listed(at: Desk, shown: str, policy: Policy, names: words.Names, q: str, after: str) -> dict[str, Any]:
    today = at.app.clock().astimezone(at.app.settings.zone).date()
    asked = q.lower().split()
    if shown == "policy":
        lines = [review.row(one, names, today) for one in policy.lines]
        found = [one for one in lines if all(word in _said(one) for word in asked)]
        rows, following = page_of(found, lambda one: str(one.id), after, PAGE_ROWS)
        return {"rows": rows, "after": following, "total": len(found), "today": today, "soon": today + review.SOON}
    if shown == "proposal":
        proposal = _proposal(at)
        changes = [
            c for c in at.app.ot.diff() if all(word in f"{c.text.zh} {c.text.en} {c.line.id}".lower() for word in asked)
        ]
        rows, following = page_of(changes, lambda one: str(one.line.id), after, PAGE_ROWS)
        places = dict.fromkeys(change.line.scope for change in changes)
        return {
            "rows": rows, "after": following, "total": len(changes), "told": summary(changes, proposal),
            "about": proposal.about, "learned": at.app.ot.baseline, "places": _places(at, list(places)), "today": today,
        }  # fmt: skip
    if shown == "violations":
        alerts = [a for a in _violations(at) if all(word in f"{a.reason.zh} {a.reason.en}".lower() for word in asked)]
        rows, following = page_of(alerts, lambda one: str(one.id), after, PAGE_ROWS)
        return {"rows": rows, "after": following, "total": len(alerts), "days": VIOLATION_DAYS}
    heard = [
        h
        for h in at.app.ot.roll_call()
        if all(w in f"{h.station.id} {h.station.name} {h.station.protocol}".lower() for w in asked)
    ]
    rows, following = page_of(heard, lambda one: str(one.station.id), after, PAGE_ROWS)
    return {"rows": rows, "after": following, "total": len(heard)}


def _said(row: review.LineRow) -> str:
    return f"{row.id} {row.text.zh} {row.text.en} {row.owner}".lower()


def _places(at: Desk, scopes: Sequence[str]) -> list[str]:
    """Segments of the proposed stations, then those stations that stand in none."""
    segments = at.app.ot.segments()
    found = dict.fromkeys(f"segment:{segments[one]}" if segments.get(one) else one for one in scopes)
    return list(found)


# -- acts ----------------------------------------------------------------------------


@doors.post("/ot", "run")
def act(at: At, fields: Fields) -> Response:
    """Learn, propose, or decide; each is audited."""
    back = sole(fields, "next") or "/ot"
    try:
        said = acted(at, fields)
    except CityguardError as error:
        return at.back(back, error.brief, "bad")
    return at.back(back, said)


def acted(at: Desk, fields: dict[str, list[str]]) -> str:
    """One act of the page, and what to say of it.

    Raises:
        InputError: an unknown act, or what ``Desk`` refuses.
    """
    do, desk, who = sole(fields, "do"), at.app.ot, at.me.actor
    if do == "propose":
        now = at.app.clock()
        desk.learn(moment(sole(fields, "since") or "7d", now), now, who)
        desk.propose(who)
        return at.text("已学习并拟出策略，请逐行查看")
    signed = Signature(sole(fields, "owner"), sole(fields, "why"), _day(sole(fields, "expires")))
    ids = tuple(fields.get("pick", []))
    if do in ("accept", "reject", "remove"):
        if not ids:
            raise InputError("no line is picked", remedy="pick lines first")
        return _told(at, desk.decide(who, signed, **{do: ids}))  # type: ignore[arg-type]
    if do in ("enforce", "learning"):
        place = sole(fields, "place")
        if not place:
            raise InputError("which place?", remedy="choose a segment or station")
        mode = "enforced" if do == "enforce" else "learning"
        return _told(at, desk.decide(who, signed, places=(place,), accept=ids if do == "enforce" else (), mode=mode))
    raise InputError("no such act", remedy="propose, enforce, learning, accept, reject or remove")


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise InputError(f"'{text[:40]}' is no day", remedy="e.g. 2027-03-01") from None


def _told(at: Desk, done: Decided) -> str:
    parts = [
        f"{at.text(label)} {len(lines)}"
        for label, lines in (
            ("生效", done.accepted),
            ("拒绝", done.rejected),
            ("移除", done.removed),
            ("须逐条确认", done.held),
        )
        if lines
    ]
    return "; ".join([at.text("决定已记录"), *parts])
