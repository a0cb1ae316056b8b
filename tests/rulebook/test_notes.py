"""What detectors say of rules is kept for the pages, and a rule over its budget is an alert."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.rulebook.make import NOW, rule, uuid

from cityguard import pipeline
from cityguard.app import App
from cityguard.config import Anomaly, Settings
from cityguard.detectors.notices import Notice as Told
from cityguard.detectors.telling import BUDGET
from cityguard.model import Query, Text
from cityguard.rulebook import notes
from cityguard.sigma.engine.account import Notice


@dataclass
class Records:
    held: dict[str, bytes] = field(default_factory=dict)
    writes: int = 0

    def get_value(self, key: str) -> bytes | None:
        return self.held.get(key)

    def put_value(self, key: str, value: bytes) -> None:
        self.held[key] = value
        self.writes += 1


class Detector:
    def __init__(self) -> None:
        self.rested: list[Notice] = []
        self.said = [Told("r2", "learning", "p", Text("学习中", "learning"))]

    def notices(self) -> tuple[Any, ...]:
        return tuple(self.said)


def test_a_rule_over_its_budget_is_told_for_a_day() -> None:
    records, detector = Records(), Detector()
    detector.rested.append(Notice("r1", Text("慢", "slow"), "r.yml:1", 80.0))
    notes.keep([detector], records, NOW)
    assert detector.rested == []
    notes.keep([detector], records, NOW + timedelta(minutes=1))
    found = notes.read(records.get_value(notes.STATE), NOW + timedelta(hours=2))
    assert {one.kind for one in found} == {"budget", "learning"}
    assert set(notes.budgets(found)) == {"r1"}
    assert {one.kind for one in notes.read(records.get_value(notes.STATE), NOW + timedelta(days=1))} == {"learning"}
    detector.rested.append(Notice("r1", Text("慢", "slow"), "r.yml:1", 90.0))
    notes.keep([detector], records, NOW + timedelta(hours=3))
    found = notes.read(records.get_value(notes.STATE), NOW + timedelta(hours=25))
    assert "90" in notes.budgets(found)["r1"].en


def test_nothing_is_written_while_nothing_changes() -> None:
    records, detector = Records(), Detector()
    for minute in range(5):
        notes.keep([detector, object()], records, NOW + timedelta(minutes=minute))
    assert records.writes == 1
    (kept,) = notes.read(records.get_value(notes.STATE), NOW)
    assert kept.at == NOW
    detector.said = []
    notes.keep([detector], records, NOW)
    assert notes.read(records.get_value(notes.STATE), NOW) == []


@pytest.mark.parametrize("raw", [None, b"", b"x", b"{}", b"[1]", b'[["a", "b"]]', b'[["a", "budget", "x", 1, 2]]'])
def test_a_state_that_cannot_be_read_says_nothing(raw: bytes | None) -> None:
    assert notes.read(raw, NOW) == []


def test_the_main_way_keeps_the_note_and_tells_one_alert_of_a_rule_over_its_budget(tmp_path: Path) -> None:
    rules = tmp_path / "rules"
    rules.mkdir()
    (rules / "a.yml").write_text(rule(1))
    app = App(Settings(home=str(tmp_path / "h"), anomaly=Anomaly(enabled=False)), rules=[rules], clock=lambda: NOW)
    engine: Any = app.detectors[0].engine  # type: ignore[attr-defined]
    engine.notices.append(Notice(uuid(1), Text("慢", "slow"), "a.yml:1", 70.0))
    (fresh,) = pipeline.settle(app)
    assert fresh.rule_id == BUDGET
    assert "70" in fresh.reason.en
    engine.notices.append(Notice(uuid(1), Text("慢", "slow"), "a.yml:1", 75.0))
    pipeline.settle(app)
    (held,) = app.store.alerts.find(Query())
    assert (held.id, held.rule_id) == (fresh.id, BUDGET)
    (one,) = app.coverage().rules
    assert one.state == "budget"
    assert "75" in one.reason.en
    app.close()
