"""What the running detectors have to say of rules: over their budget, still learning, exceptions that expired."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

import orjson

from cityguard.ids import alert_id
from cityguard.model import Alert, Text

STATE = "rules.notes"  # name of the state the process that detects keeps for those that show
REST = timedelta(days=1)  # how long a rule counts as over its budget
BUDGET = "budget"
RULE = "rules.budget"  # rule id of the alert about it
MAX_NOTES = 2_000
_TITLE = Text("检测规则超出时间预算，暂停使用", "A rule is over its time budget and rests")
_ADVICE = Text(
    "为该规则增加必须出现的固定文字，或收窄日志源；不需要时停用",
    "give the rule a text that must occur, narrow its log source, or switch it off",
)


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


def keep(detectors: Iterable[Any], records: Keeps, now: datetime) -> list[Alert]:
    """Write down what detectors say now; returns an alert for every rule that has just been given a rest."""
    fresh: list[Note] = []
    others: list[Note] = []
    for detector in detectors:
        engine = getattr(detector, "engine", None)
        told = getattr(engine, "notices", None)
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
    return [_alert(one) for one in fresh]


def _write(records: Keeps, raw: bytes | None, notes: list[Note]) -> None:
    rows = [[one.rule_id, one.kind, one.at.isoformat(), one.text.zh, one.text.en] for one in notes]
    made = orjson.dumps(sorted(rows))
    if made != (raw or b"[]"):
        records.put_value(STATE, made)


def _alert(note: Note) -> Alert:
    """One alert a rule and day."""
    day = int(note.at.timestamp()) // 86_400 * 86_400
    return Alert(
        id=alert_id(RULE, "1", (note.rule_id,), day),
        rule_id=RULE,
        title=_TITLE,
        level="medium",
        source="sigma",
        first_seen=note.at,
        last_seen=note.at,
        reason=note.text,
        advice=_ADVICE,
        part=f"budget:{note.at.isoformat()}",
    )


def budgets(notes: Iterable[Note]) -> Mapping[str, Text]:
    """Rules that rest, and why."""
    return {one.rule_id: one.text for one in notes if one.kind == BUDGET}
