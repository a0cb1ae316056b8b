"""Pages of the auditor: register, checks and their evidence, self-checks, backup drills, and the files they give."""

from __future__ import annotations

import tempfile
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastapi.responses import Response

from cityguard.app import DRILL_FORMATS, REPORT_FORMATS
from cityguard.errors import CityguardError
from cityguard.model import VERDICTS, Assessment, DrillRun, System
from cityguard.web import facts
from cityguard.web.auth import Fields, sole
from cityguard.web.desk import MAX_ROWS, PAGE_ROWS, At, Desk, Doors, download, missing
from cityguard.web.view import page_of, safe_rows
from cityguard.web.work import plans

doors = Doors(documented=False)
_rendering = threading.BoundedSemaphore(1)  # a PDF costs a second and 300 MB: one at a time


@doors.get("/register", "read")
def register(at: At, q: str = "", tab: str = "systems", department: str = "", after: str = "") -> Response:
    """Departments, systems, assets, segments and stations."""
    book = at.app.register
    tables: dict[str, Any] = {
        "systems": book.systems,
        "assets": book.assets,
        "departments": book.departments,
        "segments": book.segments,
        "stations": book.stations,
    }
    kind = tab if tab in tables else "systems"
    items = [item for item in tables[kind] if _matches(item, q) and _belongs(at, item, kind, department)]
    rows, following = page_of(items, lambda item: str(item.id), after, PAGE_ROWS)
    counts = {name: len(entries) for name, entries in tables.items()}
    return at.page(
        "register.html", tab=kind, q=q, rows=rows, after=following, total=len(items), counts=counts,
        book=book, department=department,
    )  # fmt: skip


@doors.get("/register/systems/{system_id}", "read")
def system_page(at: At, system_id: str) -> Response:
    """One system: grade, people, assets, and what is known about it."""
    system = _system(at, system_id)
    evidence = facts.evidence(at.app, system_id)
    return at.page(
        "system.html",
        system=system,
        department=at.app.register.department(system.department),
        assets=at.app.register.assets_of(system),
        alerts=facts.count(at.app, f'system:"{system_id}" -status:closed') if '"' not in system_id else 0,
        evidence=evidence[:10],
        verdicts=Counter(item.verdict for item in evidence),
        assessments=facts.assessments(at.app, system_id)[:5],
        drills=facts.drills(at.app, system_id)[:5],
    )


@doors.get("/scans", "read")
def scans(at: At) -> Response:
    """Systems with the state of their evidence."""
    rows = []
    for system in at.app.register.systems:
        evidence = facts.evidence(at.app, system.id)
        verdicts = Counter(item.verdict for item in evidence)
        rows.append({"system": system, "verdicts": verdicts, "last": evidence[0].collected_at if evidence else None})
    return at.page("scans.html", rows=rows, waiting=at.work.waiting(), verdicts=VERDICTS)


@doors.post("/scans", "run")
def start_scan(at: At, fields: Fields) -> Response:
    """Run every check on a system."""
    system = sole(fields, "system")
    return _start(at, "/scans", lambda: at.work.scan(at.me.actor, system))


@doors.get("/scans/{system_id}", "read")
def evidence_list(at: At, system_id: str, verdict: str = "", after: str = "") -> Response:
    """Evidence of one system."""
    system = _system(at, system_id)
    every = facts.evidence(at.app, system_id)
    chosen = [item for item in every if not verdict or item.verdict == verdict]
    rows, following = page_of(chosen, lambda item: item.id, after, PAGE_ROWS)
    return at.page(
        "evidence.html", system=system, rows=rows, after=following, total=len(chosen), verdict=verdict,
        counts=Counter(item.verdict for item in every), verdicts=VERDICTS,
    )  # fmt: skip


@doors.get("/evidence/{evidence_id}", "read")
def evidence_page(at: At, evidence_id: str) -> Response:
    """One piece of evidence, whole."""
    found = at.app.store.records.find_evidence(ids=[evidence_id])
    if not found:
        raise missing("evidence")
    return at.page("evidence_one.html", item=found[0], system=at.app.register.system(found[0].system))


@doors.get("/assessments", "read")
def assessments(at: At, system: str = "", due: str = "", after: str = "") -> Response:
    """Self-checks, and who is due."""
    late = facts.dues(at.app, at.app.clock())
    every = facts.assessments(at.app, system or None)
    rows, following = page_of(every, lambda one: one.id, after, PAGE_ROWS)
    return at.page(
        "assessments.html",
        rows=safe_rows(rows, _assessment_row),
        after=following,
        total=len(every),
        dues=[row for row in late if row.overdue] if due else late,
        due=due,
        system=system,
        systems=[one for one in at.app.register.systems if one.grade],
        waiting=at.work.waiting(),
    )


@doors.post("/assessments", "run")
def start_assessment(at: At, fields: Fields) -> Response:
    """Hold a system against the catalogue."""
    system = sole(fields, "system")
    return _start(at, "/assessments", lambda: at.work.assess(at.me.actor, system))


@doors.get("/assessments/{assessment_id}", "read")
def assessment_page(at: At, assessment_id: str, verdict: str = "") -> Response:
    """One self-check: conclusion, control points, every item with its evidence."""
    one = _assessment(at, assessment_id)
    results = [row for row in one.results if not verdict or row.verdict == verdict]
    return at.page(
        "assessment.html",
        one=one,
        points=_points(one),
        results=results[:MAX_ROWS],
        total=len(results),
        verdict=verdict,
        verdicts=VERDICTS,
        formats=REPORT_FORMATS,
        system=at.app.register.system(one.system),
        department=at.app.register.department(one.department),
    )


@doors.get("/assessments/{assessment_id}/report.{kind}", "read")
def assessment_report(at: At, assessment_id: str, kind: str) -> Response:
    """The 自查报告 as a file."""
    return assessment_file(at, assessment_id, kind)


@doors.get("/drills", "read")
def drills(at: At, conclusion: str = "", after: str = "") -> Response:
    """Drill runs, plans, and how the newest of each plan ended."""
    every = facts.latest_drills(at.app) if conclusion else facts.drills(at.app)
    chosen = [run for run in every if not conclusion or run.conclusion == conclusion]
    rows, following = page_of(chosen, lambda run: run.id, after, PAGE_ROWS)
    return at.page(
        "drills.html",
        rows=rows,
        after=following,
        total=len(chosen),
        conclusion=conclusion,
        plans=[path.stem for path in plans(at.app)],
        waiting=at.work.waiting(),
        register=at.app.register,
    )


@doors.post("/drills", "run")
def start_drill(at: At, fields: Fields) -> Response:
    """Really restore a backup."""
    plan = sole(fields, "plan")
    return _start(at, "/drills", lambda: at.work.drill(at.me.actor, plan))


@doors.get("/drills/{drill_id}", "read")
def drill_page(at: At, drill_id: str) -> Response:
    """One drill: times against targets, steps, every comparison, conclusion."""
    run = _drill(at, drill_id)
    return at.page("drill.html", run=run, formats=DRILL_FORMATS, system=at.app.register.system(run.system))


@doors.get("/drills/{drill_id}/report.{kind}", "read")
def drill_report(at: At, drill_id: str, kind: str) -> Response:
    """The 演练报告 as a file."""
    return drill_file(at, drill_id, kind)


# -- shared with the API ------------------------------------------------------


def assessment_file(at: Desk, assessment_id: str, kind: str) -> Response:
    """Render one self-check and hand it over."""
    one = _assessment(at, assessment_id)
    if kind not in REPORT_FORMATS:
        raise missing("format")
    at.note("report.download", assessment_id, kind)
    return _rendered(
        f"等保自查报告-{one.system_name}-{at.view.day(one.made_at)}.{kind}",
        kind,
        lambda out: at.app.report_assessment(one, out, [kind], at.lang),
    )


def drill_file(at: Desk, drill_id: str, kind: str) -> Response:
    """Render one drill and hand it over."""
    run = _drill(at, drill_id)
    if kind not in DRILL_FORMATS:
        raise missing("format")
    at.note("report.download", drill_id, kind)
    return _rendered(
        f"备份恢复演练报告-{run.title}-{at.view.day(run.started)}.{kind}",
        kind,
        lambda out: at.app.report_drill(run, out, [kind], at.lang),
    )


def _rendered(name: str, kind: str, write: Callable[[Path], list[Path]]) -> Response:
    with _rendering, tempfile.TemporaryDirectory(prefix="cityguard-report-") as folder:
        files = [path for path in write(Path(folder)) if path.suffix == f".{kind}" and path.name != "manifest.json"]
        return download(name, kind, files[0].read_bytes())


def _start(at: Desk, to: str, start: Callable[[], str]) -> Response:
    try:
        start()
    except CityguardError as error:
        return at.back(to, error.brief, "bad")
    return at.back(to, at.text("已开始，完成后刷新可见；进度见计划任务"))


def _system(at: Desk, system_id: str) -> System:
    system = at.app.register.system(system_id)
    if system is None:
        raise missing("system")
    return system


def _assessment(at: Desk, assessment_id: str) -> Assessment:
    one = at.app.store.records.get_assessment(assessment_id)
    if one is None:
        raise missing("assessment")
    return one


def _drill(at: Desk, drill_id: str) -> DrillRun:
    run = at.app.store.records.get_drill(drill_id)
    if run is None:
        raise missing("drill")
    return run


def _matches(item: Any, text: str) -> bool:
    words = text.lower().split()
    values = (str(getattr(item, name)) for name in item.__dataclass_fields__)
    whole = " ".join(values).lower()
    return all(word in whole for word in words)


def _belongs(at: Desk, item: Any, kind: str, department: str) -> bool:
    if not department or kind == "departments":
        return not department or item.id == department
    if kind == "assets" or (kind == "stations" and not item.department):
        system = at.app.register.system(item.system or "")
        return system is not None and system.department == department
    return bool(item.department == department)


def _assessment_row(one: Assessment) -> dict[str, Any]:
    counts = {verdict: int(one.counts.get(verdict, 0)) for verdict in VERDICTS}
    return {"one": one, "counts": counts, "grade": max(one.s_grade, one.a_grade), "rates": list(one.rates)}


def _points(one: Assessment) -> list[dict[str, Any]]:
    """Control points in the catalogue's order, with the verdicts of their items."""
    points: dict[tuple[str, str], dict[str, Any]] = {}
    for row in one.results:
        point = points.setdefault(
            (row.class_name, row.control_point),
            {
                "class": row.class_name,
                "class_en": row.class_en or row.class_name,
                "point": row.control_point,
                "point_en": row.control_point_en or row.control_point,
                "counts": Counter(),
            },
        )
        point["counts"][row.verdict] += 1
    return list(points.values())
