"""What the running detectors have to say of rules: over their budget, still learning, exceptions that expired."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

import orjson

from cityguard.model import Text

STATE = "rules.notes"  # name of the state the process that detects keeps for those that show
REST = timedelta(days=1)  # how long a rule counts as over its budget
BUDGET = "budget"
MAX_NOTES = 2_000


class Keeps(Protocol):
    """What of a store's records is needed."""

    def get_value(self, key: str) -> bytes | None: ...
    def put_value(self, key: str, value: bytes) -> None: ...


@dataclass(frozen=True, slots=True)
class Note:
    """One thing said of one rule."""

    rule_id: str
    kind: str  # budget, expired, list, learning, full
    at: datetime
    text: Text


def read(raw: bytes | None, now: datetime) -> list[Note]:
    """Notes as ``keep`` wrote them; none from what cannot be read. Budgets are told for ``REST``."""
    try:
        found = [
            Note(str(rule), str(kind), datetime.fromisoformat(at), Text(str(zh), str(en)))
            for rule, kind, at, zh, en in orjson.loads(raw or b"[]")[:MAX_NOTES]
        ]
        return [one for one in found if one.kind != BUDGET or now - one.at < REST]
    except (orjson.JSONDecodeError, TypeError, ValueError, KeyError):
        return []


def keep(detectors: Iterable[Any], records: Keeps, now: datetime) -> None:
    """Write down what detectors say now; alerts of rules that rest are the detector's own."""
    fresh: list[Note] = []
    others: list[Note] = []
    for detector in detectors:
        told = getattr(detector, "rested", None)
        if isinstance(told, list):
            fresh += [Note(one.rule_id, BUDGET, now, one.reason) for one in told]
            told.clear()
        tell = getattr(detector, "notices", None)
        if callable(tell):
            others += [Note(one.rule_id, one.kind, now, one.text) for one in tell()]
    raw = records.get_value(STATE)
    old = read(raw, now)
    known = {(one.rule_id, one.kind, one.text): one for one in old}
    kept = [known.get((one.rule_id, one.kind, one.text), one) for one in others]
    again = {one.rule_id for one in fresh}
    kept += [one for one in old if one.kind == BUDGET and one.rule_id not in again]
    _write(records, raw, [*fresh, *kept][:MAX_NOTES])


def _write(records: Keeps, raw: bytes | None, notes: list[Note]) -> None:
    rows = [[one.rule_id, one.kind, one.at.isoformat(), one.text.zh, one.text.en] for one in notes]
    made = orjson.dumps(sorted(rows))
    if made != (raw or b"[]"):
        records.put_value(STATE, made)


def budgets(notes: Iterable[Note]) -> Mapping[str, Text]:
    """Rules that rest, and why."""
    return {one.rule_id: one.text for one in notes if one.kind == BUDGET}
