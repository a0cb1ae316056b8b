"""What a person may do to an alert: each step checked, audited, and refused when somebody else was faster."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import orjson

from cityguard import audit
from cityguard.audit import Actor
from cityguard.clock import Clock
from cityguard.errors import CityguardError, ConflictError, InputError
from cityguard.model import Alert, AlertStatus, Verdict
from cityguard.store.base import Store

Act = Literal["acknowledge", "escalate", "close", "assign", "note", "reopen"]

FROM: dict[Act, frozenset[AlertStatus]] = {
    "acknowledge": frozenset({"open"}),
    "escalate": frozenset({"open", "acknowledged"}),
    "close": frozenset({"open", "acknowledged", "escalated"}),
    "assign": frozenset({"open", "acknowledged", "escalated"}),
    "note": frozenset({"open", "acknowledged", "escalated", "closed"}),
    "reopen": frozenset({"closed"}),
}
"""States from which each act is allowed; ``docs/console.md`` draws it."""

TO: dict[Act, AlertStatus] = {
    "acknowledge": "acknowledged",
    "escalate": "escalated",
    "close": "closed",
    "reopen": "open",
}

MAX_NOTE = 2_000
MAX_BULK = 1_000


@dataclass(frozen=True, slots=True)
class Step:
    """One act with what it needs: a close carries a verdict, an assignment an owner, a note its words."""

    act: Act
    verdict: Verdict | None = None
    note: str = ""
    owner: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one alert of a bulk act. ``before`` and ``after`` are None where it was refused."""

    id: str
    before: Alert | None = None
    after: Alert | None = None
    error: str = ""

    @property
    def done(self) -> bool:
        return self.after is not None


def apply(store: Store, clock: Clock, who: Actor, alert_id: str, version: int, step: Step) -> Alert:
    """Take one step.

    Raises:
        InputError: the step lacks what it needs, or the alert's state does not allow it.
        ConflictError: ``version`` is no longer the stored one.
        KeyError: no such alert.
    """
    return _apply(store, clock, who, alert_id, version, step)[1]


def close(
    store: Store, alert_id: str, version: int, verdict: Verdict, note: str = "", *, actor: str, at: datetime
) -> Alert:
    """Close with a verdict, from the command line; raises as ``apply`` does."""
    return apply(store, lambda: at, Actor(actor), alert_id, version, Step("close", verdict, note))


def apply_all(store: Store, clock: Clock, who: Actor, alerts: Sequence[tuple[str, int]], step: Step) -> list[Outcome]:
    """Take the same step on an explicit list of (id, version): one refusal does not stop the others.

    Raises:
        InputError: the step lacks what it needs, or more than ``MAX_BULK`` alerts are named.
    """
    _complete(step)
    if len(alerts) > MAX_BULK:
        raise InputError(f"{len(alerts)} alerts in one act", remedy=f"at most {MAX_BULK}")
    return list(_each(store, clock, who, dict(alerts).items(), step))


def undo(store: Store, clock: Clock, who: Actor, outcomes: Iterable[Outcome]) -> list[Outcome]:
    """Put back what a person's own act changed, where nobody has touched the alert since."""
    return [
        _undo(store, clock, who, outcome.before, outcome.after)
        for outcome in outcomes
        if outcome.before and outcome.after
    ]


def _each(store: Store, clock: Clock, who: Actor, alerts: Iterable[tuple[str, int]], step: Step) -> Iterable[Outcome]:
    for alert_id, version in alerts:
        try:
            before, after = _apply(store, clock, who, alert_id, version, step)
            yield Outcome(alert_id, before, after)
        except KeyError:
            yield Outcome(alert_id, error="no such alert")
        except (InputError, ConflictError) as error:
            yield Outcome(alert_id, error=error.message)


def _apply(store: Store, clock: Clock, who: Actor, alert_id: str, version: int, step: Step) -> tuple[Alert, Alert]:
    _complete(step)
    before = store.alerts.get(alert_id)
    if before is None:
        raise KeyError(alert_id)
    if before.status not in FROM[step.act]:
        raise InputError(f"cannot {step.act} an alert that is {before.status}", place=alert_id)
    return before, _change(store, clock, who, before, version, f"alert.{step.act}", _changes(before, who, step))


def _change(
    store: Store, clock: Clock, who: Actor, before: Alert, version: int, action: str, changes: dict[str, Any]
) -> Alert:
    if before.version != version:
        raise ConflictError("somebody changed this alert", place=before.id, remedy="look at it again")
    # Audited first: an act that cannot be audited does not happen.
    audit.note(store.records, clock, who, action, before.id, _difference(before, changes))
    try:
        return store.alerts.update(before.id, version, changes)
    except CityguardError as error:
        audit.note(store.records, clock, who, f"{action}.refused", before.id, error.message)
        raise


def _undo(store: Store, clock: Clock, who: Actor, before: Alert, after: Alert) -> Outcome:
    changes = {name: getattr(before, name) for name in ("status", "verdict", "owner", "note")}
    now = store.alerts.get(after.id)
    if now is None:
        return Outcome(after.id, error="no such alert")
    try:
        return Outcome(after.id, now, _change(store, clock, who, now, after.version, "alert.undo", changes))
    except ConflictError as error:
        return Outcome(after.id, error=error.message)


def _complete(step: Step) -> None:
    if step.act not in FROM:
        raise InputError(f"'{step.act}' is no act", remedy=", ".join(FROM))
    if (step.act == "close") != (step.verdict is not None):
        raise InputError("closing needs a verdict, and only closing has one", remedy="true, false or benign")
    if step.act == "note" and not step.note.strip():
        raise InputError("the note is empty")
    if step.owner is not None and step.act != "assign":
        raise InputError("only an assignment names an owner")
    if len(step.note) > MAX_NOTE:
        raise InputError(f"the note has {len(step.note)} characters", remedy=f"at most {MAX_NOTE}")


def _changes(before: Alert, who: Actor, step: Step) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    if step.act in TO:
        changes["status"] = TO[step.act]
    if step.act == "close":
        changes["verdict"] = step.verdict
    if step.act == "reopen":
        changes["verdict"] = None
    if step.act == "assign":
        changes["owner"] = step.owner or None
    elif before.owner is None and step.act in ("acknowledge", "escalate", "close"):
        changes["owner"] = who.name  # who touches it first answers for it
    if step.note.strip():
        changes["note"] = step.note.strip()
    return changes


def _difference(before: Alert, changes: dict[str, Any]) -> str:
    moved = {name: [getattr(before, name), value] for name, value in changes.items()}
    return orjson.dumps(moved).decode()
