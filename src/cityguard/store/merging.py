"""What becomes of an alert when it is seen again, and what a person may change: the same in every store."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, get_args

from cityguard.errors import InputError
from cityguard.model import MAX_EVENT_IDS, Alert, AlertStatus, Verdict
from cityguard.store.words import spaced

MAX_NOTE = 20_000
MAX_NAME = 200
_CHOICES: dict[str, tuple[str | None, ...]] = {
    "status": get_args(AlertStatus),
    "verdict": (*get_args(Verdict), None),
}


def collect(alerts: Iterable[Alert]) -> dict[str, dict[str, Alert]]:
    """Alerts of one call by id, then part. What one call says twice of a part is added up; an exact repeat is not."""
    found: dict[str, dict[str, Alert]] = {}
    for alert in alerts:
        parts = found.setdefault(alert.id, {})
        before = parts.get(alert.part)
        parts[alert.part] = alert if before is None or before == alert else _join(before, alert, alert.count)
    return found


def merge(stored: Alert | None, part: Alert, counted: int) -> Alert:
    """The alert after a part was seen.

    Args:
        stored: what is known of it, or None.
        part: what the part says.
        counted: what the same part said when it was merged before; 0 if it never was.

    Returns:
        Count, span and first event ids over all parts; triage fields as stored; whom it names (entities,
        department, system, segment) only where all parts agree; the rest from whoever is latest.
    """
    if stored is None:
        ids = tuple(sorted(set(part.event_ids))[:MAX_EVENT_IDS])
        return replace(part, event_ids=ids, version=1)
    return _join(stored, part, part.count - counted)


def _join(before: Alert, seen: Alert, more: int) -> Alert:
    is_later = seen.last_seen >= before.last_seen
    told = seen if is_later else before
    return replace(
        before,
        count=before.count + more,
        first_seen=min(before.first_seen, seen.first_seen),
        last_seen=max(before.last_seen, seen.last_seen),
        event_ids=tuple(sorted({*before.event_ids, *seen.event_ids})[:MAX_EVENT_IDS]),
        entities={name: text for name, text in before.entities.items() if seen.entities.get(name) == text},
        department=before.department if before.department == seen.department else None,
        system=before.system if before.system == seen.system else None,
        segment=before.segment if before.segment == seen.segment else None,
        level=told.level,
        reason=told.reason,
        advice=told.advice,
        explanation=told.explanation,
        score=told.score,
    )


def changed(alert: Alert, changes: Mapping[str, Any]) -> Alert:
    """The alert after a person's change; its version goes up by one.

    Raises:
        InputError: a field that is not for people to change, or a value it cannot have.
    """
    for name, value in changes.items():
        if name in _CHOICES:
            if value not in _CHOICES[name]:
                raise InputError(f"'{value}' is not a {name}", remedy=f"one of {', '.join(map(str, _CHOICES[name]))}")
        elif name in ("owner", "case_id"):
            if value is not None and not (isinstance(value, str) and 0 < len(value) <= MAX_NAME):
                raise InputError(f"{name} must be a name of at most {MAX_NAME} characters, or nothing")
        elif name == "note":
            if not isinstance(value, str) or len(value) > MAX_NOTE:
                raise InputError(f"note must be a text of at most {MAX_NOTE} characters")
        else:
            raise InputError(f"'{name}' cannot be changed", remedy="status, verdict, owner, note or case_id")
    return replace(alert, **dict(changes), version=alert.version + 1)


def searchable(alert: Alert) -> str:
    """The words an alert is found by."""
    return spaced(
        alert.title.zh,
        alert.title.en,
        alert.reason.zh,
        alert.reason.en,
        alert.rule_id,
        *alert.tags,
        *alert.entities.values(),
        *(text or "" for text in (alert.department, alert.system, alert.segment, alert.owner, alert.case_id)),
        alert.note,
    )
