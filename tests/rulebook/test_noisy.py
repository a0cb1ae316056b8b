"""Noisy rules: what people said of their alerts."""

from __future__ import annotations

from pathlib import Path

from tests.store import make

from cityguard.model import Query, Text
from cityguard.rulebook.noisy import noise
from cityguard.store.embedded import EmbeddedStore


def test_rules_stand_in_the_order_of_alerts_that_were_not_true(tmp_path: Path) -> None:
    store = EmbeddedStore(tmp_path)
    said = {"r1": ["false"] * 4 + ["true", None], "r2": ["true"] * 6, "r3": ["benign", "false"], "r4": [None] * 9}
    for rule, verdicts in said.items():
        made = store.alerts.merge([make.alert(f"{rule}-{n}", rule_id=rule, count=2) for n in range(len(verdicts))])
        for alert, verdict in zip(made, verdicts, strict=True):
            if verdict:
                store.alerts.update(alert.id, alert.version, {"status": "closed", "verdict": verdict})
    found = noise(store.alerts.verdicts(Query()), {"r1": (Text("一", "one"), "high")})
    store.close()
    assert [one.rule_id for one in found] == ["r1", "r3", "r4", "r2"]
    first = found[0]
    assert (first.alerts, first.events, first.open, first.true, first.false, first.benign) == (6, 12, 1, 1, 4, 0)
    assert (first.title.en, first.level, first.precision) == ("one", "high", 0.2)
    assert {one.rule_id: one.precision for one in found[1:]} == {"r3": None, "r4": None, "r2": 1.0}
    assert found[1].title.zh == "r3"
