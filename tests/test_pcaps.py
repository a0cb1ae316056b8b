"""Every shipped capture is the one its YAML describes, and makes the alerts it promises."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from cityguard import config, content
from cityguard.app import throwaway
from cityguard.model import Query

ROOT = Path(__file__).parents[1]
CITY = ROOT / "examples" / "city"


@pytest.mark.parametrize("path", sorted((ROOT / "pcaps").glob("*.pcap")), ids=lambda path: path.stem)
def test_a_capture_makes_the_alerts_it_promises(path: Path) -> None:
    told = content.load(path.with_suffix(".yml")).data
    assert hashlib.sha256(path.read_bytes()).hexdigest() == told["sha256"]
    with throwaway(replace(config.load(CITY / "cityguard.yml", {}), listen=())) as app:
        done = app.ingest([path])
        alerts = app.store.alerts.find(Query(limit=1000))
        heads = [(app.ruleset.head(alert.rule_id), alert.level) for alert in alerts]
    assert done.received == told["packets"]
    found = {head.name: level for head, level in heads if head}
    assert set(told["alerts"]) <= set(found)
    assert not told.get("exact") or set(told["alerts"]) == set(found)
    if not told["alerts"]:
        assert not {"high", "critical"} & set(found.values())
