"""What each kind of job does: validated arguments in, an outcome out. The only list of what jobs can do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Event
from typing import TYPE_CHECKING, Any

from cityguard.drill import drill
from cityguard.errors import InputError
from cityguard.model import JobKind, JobOutcome

if TYPE_CHECKING:
    from cityguard.app import App


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a job came to."""

    outcome: JobOutcome
    detail: str = ""
    targets: dict[str, str] = field(default_factory=dict)
    evidence: tuple[str, ...] = ()
    files: tuple[str, ...] = ()


Action = Callable[["App", Mapping[str, Any], Event], Outcome]
"""Called with an installation whose store takes nothing from a run that lost its slot, validated arguments, and the
event that ends it. Only a scan can end at once: the others are computations, or processes with a bound of their own."""


def scan(app: App, arguments: Mapping[str, Any], stop: Event) -> Outcome:
    """Ask every check (or the named ones) of a system."""
    done = app.scan(arguments["system"], targets=arguments.get("targets"), checks=arguments.get("checks"), stop=stop)
    targets = {target.address: target.refusal or "ok" for target in done.targets}
    targets |= {host.address: host.failed for host in done.hosts if host.failed}
    targets |= {name: "failed" for name in done.failed if name.startswith("check:")}
    detail = f"{len(done.evidence)} evidence, {len(done.failed)} failed"
    evidence = tuple(one.id for one in done.evidence)
    return Outcome("partial" if done.failed else "ok", detail, dict(sorted(targets.items())), evidence)


def assessment(app: App, arguments: Mapping[str, Any], stop: Event) -> Outcome:
    """Hold a system against the catalogue."""
    done = app.assess(arguments["system"])
    return Outcome("ok", f"{done.conclusion} ({done.id})", evidence=done.evidence)


def restore(app: App, arguments: Mapping[str, Any], stop: Event) -> Outcome:
    """Do a backup drill."""
    if not app.settings.backups:
        raise InputError("no folder of drill plans", remedy="set 'backups' in cityguard.yml")
    run = app.drill(app.settings.resolve(app.settings.backups) / arguments["plan"])
    outcomes: dict[str, JobOutcome] = {"成功": "ok", "部分成功": "partial"}
    proof = drill.evidence(run, app.register.system(run.system))
    detail = f"{run.conclusion}: {run.reason.get(app.settings.language)}"
    return Outcome(outcomes.get(run.conclusion, "failed"), detail, {run.plan: run.conclusion}, (proof.id,))


def report(app: App, arguments: Mapping[str, Any], stop: Event) -> Outcome:
    """Assess a system and write its report below ``reports`` in the data folder."""
    done = app.assess(arguments["system"])
    out = app.settings.home_path / "reports" / done.id
    formats = {"formats": arguments["formats"]} if "formats" in arguments else {}
    files = app.report_assessment(done, out, language=arguments.get("language"), **formats)
    return Outcome("ok", done.conclusion, evidence=done.evidence, files=tuple(str(file) for file in files))


def retention(app: App, arguments: Mapping[str, Any], stop: Event) -> Outcome:
    """Delete events older than the retention."""
    return Outcome("ok", f"{app.retain()} events deleted")


def forest(app: App, arguments: Mapping[str, Any], stop: Event) -> Outcome:
    """Fit the isolation forests again."""
    days = {"days": arguments["days"]} if "days" in arguments else {}
    done = app.forest.refit(app.store.events, app.clock(), **days)
    targets = {segment: f"fitted {version}" for segment, version in done.models.items()}
    targets |= {segment: f"kept as it was: {count} windows" for segment, count in done.skipped.items()}
    return Outcome("ok", f"{len(done.models)} segments fitted on {done.windows} windows", targets)


ACTIONS: dict[JobKind, Action] = {
    "scan": scan,
    "assessment": assessment,
    "drill": restore,
    "report": report,
    "retention": retention,
    "forest": forest,
}
LIMIT_S: dict[JobKind, float] = {
    "scan": 4 * 3600,
    "assessment": 1800,
    "drill": 24 * 3600,  # the drill has its own, shorter bound
    "report": 3600,
    "retention": 3600,
    "forest": 2 * 3600,
}
"""Seconds after which a run is given up as lost."""
