"""A backtest over what is stored says what the pipeline said when the same events came."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.rulebook.make import rule, uuid
from tests.store import make

from cityguard import backtest, pipeline
from cityguard.app import App
from cityguard.config import Anomaly, Settings
from cityguard.errors import ContentErrors, InputError
from cityguard.model import EventBatch, LogSource, Query
from cityguard.sigma.engine.engine import Engine

NOW = make.NOW
COUNT = f"""
title: Many
name: many
id: {uuid(7)}
level: high
correlation: {{type: event_count, rules: [telnet], group-by: [source.ip], timespan: 20m, condition: {{gte: 3}}}}
"""
NATIVE = rule(
    3,
    name="native",
    logsource="{product: windows, category: process_creation}",
    detection="{one: {CommandLine|contains: ' -enc '}, condition: one}",
)
FOLDERS = "{one: {destination.port: 443}, condition: one}"


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    """Rules, and events that came through the main way in several pieces."""
    rules = tmp_path / "rules"
    rules.mkdir()
    (rules / "telnet.yml").write_text(rule(1, name="telnet", detection="{one: {destination.port: 22}, condition: one}"))
    (rules / "count.yml").write_text(COUNT)
    (rules / "native.yml").write_text(NATIVE)
    settings = Settings(home=str(tmp_path / "home"), anomaly=Anomaly(enabled=False))
    one = App(settings, rules=[rules], clock=lambda: NOW)
    for part in range(3):
        pipeline.process(make.flows(f"p{part}", 60, NOW + timedelta(minutes=7 * part)), one)
    native = make.logins("w", ["x"] * 4).table.with_columns(CommandLine=pl.Series(["a -enc b", "a", None, "c -ENC d"]))
    source = LogSource(("process_creation",), ("windows",), ("sysmon",))
    pipeline.process(EventBatch("auth", "win", native, logsource=source, part="w"), one)
    yield one
    one.close()


def outcome_of(app: App, name: str, **options: object) -> backtest.Outcome:
    found, ruleset = backtest.find(app.rulebook, name)
    return backtest.run(found, ruleset, app.store.events, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("page", [7, 10_000])
@pytest.mark.parametrize("name", ["many", "native", uuid(7)])
def test_it_finds_what_was_found_when_the_events_came(
    app: App, name: str, page: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backtest, "PAGE", page)
    outcome = outcome_of(app, name)
    alerts = [one for one in app.store.alerts.find(Query(limit=1000)) if one.rule_id == outcome.rule.id]
    assert alerts
    assert outcome.groups == len(alerts)
    assert outcome.hits == sum(one.count for one in alerts) or name != "native"
    assert sum(outcome.per_day.values()) == outcome.groups
    assert outcome.events + outcome.passed == 184


def test_a_rule_that_only_feeds_others_is_tested_for_itself(app: App) -> None:
    outcome = outcome_of(app, "telnet")
    assert outcome.hits == 60
    assert outcome.events == 180
    assert [count for _, count in outcome.entities["source.ip"]] == [3] * backtest.TOP


def stored(app: App) -> tuple[object, ...]:
    count = app.store.events.aggregate(Query(), [])["count"][0]
    return count, app.store.alerts.count(Query()), app.store.records.find_audit(), app.store.records.find_dead()


def test_nothing_is_stored_and_the_time_is_kept_to(app: App) -> None:
    before = (app.store.events.aggregate(Query(), []), app.store.alerts.count(Query()), app.store.records.find_audit())
    whole, part = (
        outcome_of(app, "telnet"),
        outcome_of(app, "telnet", start=NOW + timedelta(minutes=7), end=NOW + timedelta(minutes=8)),
    )
    after = (app.store.events.aggregate(Query(), []), app.store.alerts.count(Query()), app.store.records.find_audit())
    assert before[0].equals(after[0])
    assert before[1:] == after[1:]
    assert (whole.hits, part.hits) == (60, 20)


def test_a_file_that_is_no_rule_yet_is_tested_with_those_it_stands_on(app: App, tmp_path: Path) -> None:
    draft = tmp_path / "draft.yml"
    draft.write_text(rule(9, detection=FOLDERS))
    assert outcome_of(app, str(draft)).hits == 60
    draft.write_text(COUNT.replace(uuid(7), uuid(10)).replace("name: many", "name: more"))
    found, ruleset = backtest.find(app.rulebook, str(draft), [tmp_path / "rules"])
    assert backtest.run(found, ruleset, app.store.events).groups == outcome_of(app, "many").groups
    draft.write_text(rule(9, detection="{one: {a|contain: 1}, condition: one}"))
    with pytest.raises(ContentErrors, match="contains"):
        backtest.find(app.rulebook, str(draft))
    with pytest.raises(InputError, match="no rule"):
        backtest.find(app.rulebook, "nobody")


def test_the_limit_of_rows_is_told(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backtest, "PAGE", 10)
    outcome = outcome_of(app, "telnet", limit=50)
    assert outcome.stopped
    assert outcome.events == 50


def test_alerts_and_entities_are_bounded(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backtest, "MAX_ALERTS", 3)
    monkeypatch.setattr(backtest, "MAX_NAMED", 2)
    outcome = outcome_of(app, "telnet")
    assert outcome.groups == 3
    assert outcome.overflow > 0
    assert len(outcome.entities["source.ip"]) <= 4


def test_a_rule_over_its_budget_does_not_rest_in_a_backtest(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    real, made = Engine.compile, []

    def compile_(*given: Any, **named: Any) -> Engine:
        made.append(real(*given, **named))
        made[-1].account.budget_ms = 0.0
        return made[-1]

    monkeypatch.setattr(Engine, "compile", compile_)
    assert outcome_of(app, "telnet").hits == 60
    assert made[0].account.budget_ms == math.inf


def test_a_file_is_tested_with_the_registers_lists(app: App, tmp_path: Path) -> None:
    draft = tmp_path / "draft.yml"
    draft.write_text(rule(9, detection="{one: {destination.port|expand: '%segments.ot%'}, condition: one}"))
    with pytest.raises(InputError, match="placeholder"):
        backtest.find(app.rulebook, str(draft))
    found, ruleset = backtest.find(app.rulebook, str(draft), lists={"segments.ot": ["22"]})
    assert backtest.run(found, ruleset, app.store.events).hits == 60
