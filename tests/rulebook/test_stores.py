"""Coverage, backtest and verdicts over either store: the same events, the same answers."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from pathlib import Path

from tests.rulebook.make import rule, uuid
from tests.store import make

from cityguard import backtest, pipeline
from cityguard.app import App
from cityguard.config import Anomaly, Settings
from cityguard.model import Chunk, Decoded, EventBatch, LogSource, Query
from cityguard.store.base import Store

NOW = make.NOW
WINDOWS = LogSource(("process_creation",), ("windows",), ("sysmon",))


def city(folder: Path, store: Store) -> App:
    """Rules over flows and Windows, and an hour of both that came through the main way, one piece of it twice."""
    rules = folder / "rules"
    rules.mkdir()
    (rules / "a.yml").write_text(rule(1, detection="{one: {destination.port: 22}, condition: one}"))
    words = "{one: {CommandLine|contains: ' -enc '}, condition: one}"
    (rules / "b.yml").write_text(rule(2, detection=words, logsource="{product: windows, category: process_creation}"))
    (rules / "c.yml").write_text(rule(3, detection="{one: {tls.version: '1.0'}, condition: one}"))
    app = App(Settings(home=str(folder / "app"), anomaly=Anomaly(enabled=False)), rules=[rules], clock=lambda: NOW)
    app.__dict__["store"] = store
    lines = make.logins("w", ["x"] * 6, NOW).table.with_columns(
        make.pl.Series("CommandLine", ["a -enc b", "x", None, "c -ENC d", None, None])
    )
    pieces = [
        [make.flows("p1", 60, NOW, destination__department=["water", "data", None] * 20)],
        [make.flows("p2", 60, NOW + timedelta(minutes=30))],
        [EventBatch("auth", "win", lines, logsource=WINDOWS, part="w")],
    ]
    for number in (0, 1, 2, 1):
        pipeline.take(Chunk("s", f"p{number}", "line", 1, Decoded(tuple(pieces[number]))), app)
    pipeline.finish(app)
    return app


def test_sightings_equal_what_is_stored_also_when_a_piece_comes_twice(store: Store, tmp_path: Path) -> None:
    app = city(tmp_path, store)
    found = app.coverage()
    stored = store.events.aggregate(Query(), ["event.dataset", "observer.name"])
    assert {(one.dataset, one.collector): one.rows for one in found.sources} == {
        (dataset, name): count for dataset, name, count in stored.iter_rows()
    }
    departments = store.events.aggregate(Query(), ["destination.department"])
    assert {one.id: one.rows for one in found.places if one.kind == "department"} == {
        name or "": count for name, count in departments.iter_rows()
    }
    assert {one.id: one.state for one in found.rules} == {
        uuid(1): "active",
        uuid(2): "active",
        uuid(3): "no_field",
    }


def test_a_backtest_finds_in_either_store_what_the_pipeline_found(store: Store, tmp_path: Path) -> None:
    app = city(tmp_path, store)
    alerts = store.alerts.find(Query(limit=1_000))
    found = Counter({one.rule_id: 0 for one in alerts})
    for one in alerts:
        found[one.rule_id] += one.count
    assert set(found) == {uuid(1), uuid(2)}
    for number, events in ((1, 120), (2, 6)):
        named, ruleset = backtest.find(app.rulebook, uuid(number))
        outcome = backtest.run(named, ruleset, store.events)
        assert (outcome.hits, outcome.events, outcome.passed) == (found[uuid(number)], events, 126 - events)
        assert outcome.groups == sum(one.rule_id == uuid(number) for one in alerts)


def test_noise_is_told_from_either_store(store: Store, tmp_path: Path) -> None:
    app = city(tmp_path, store)
    told = {one.rule_id: (one.alerts, one.open) for one in app.noise(Query())}
    alerts = Counter(one.rule_id for one in store.alerts.find(Query(limit=1_000)))
    assert told == {name: (count, count) for name, count in alerts.items()}
