"""The tests that rules carry: events in, the answer held against what the author wrote."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from cityguard.columns import BY_NAME
from cityguard.errors import InputError
from cityguard.model import EventBatch
from cityguard.sigma.ast import Correlation, Example, Rule
from cityguard.sigma.correlation import Correlator
from cityguard.sigma.document import timespan
from cityguard.sigma.match import match
from cityguard.sigma.rule import Ruleset

MAX_EVENTS = 10_000  # per test, after repetition
START = datetime(2026, 3, 2, 2, 0, tzinfo=UTC)  # a Monday; events of correlation tests count from here


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One test of one rule: what was expected and what happened."""

    rule_id: str
    title: str
    name: str
    place: str
    passed: bool
    expected: str
    actual: str


def check(ruleset: Ruleset) -> list[CheckResult]:
    """Run every test that the rules carry; a rule without tests gives no result."""
    results = [_plain(rule, example) for rule in ruleset.rules for example in rule.head.examples]
    for one in ruleset.correlations:
        results += [_correlated(one, example, ruleset) for example in one.head.examples]
    return results


def _plain(rule: Rule, example: Example) -> CheckResult:
    if example.match is None:
        return _result(rule, example, False, "match: true|false", "alerts: goes with correlations only")
    verdicts = [bool(match(rule, batch([event]))[0]) for event in example.events]
    said = [verdict for verdict in verdicts if verdict is not example.match]
    expected = "match" if example.match else "no match"
    actual = expected if not said else f"{len(said)} of {len(verdicts)} events answer otherwise"
    return _result(rule, example, not said, expected, actual)


def _correlated(one: Correlation, example: Example, ruleset: Ruleset) -> CheckResult:
    if example.alerts is None:
        return _result(one, example, False, "alerts: N", "match: goes with plain rules only")
    try:
        events = list(_unrolled(example))
    except InputError as error:
        return _result(one, example, False, "events that can be read", str(error))
    table = batch(events)
    needed = _needed(one, ruleset)
    feed = {
        rule.id: table.table.filter(match(rule, table) & _meant(events, rule))
        for rule in ruleset.rules
        if rule.id in needed
    }
    correlator = Correlator([other for other in ruleset.correlations if other.id in needed])
    fired = [*correlator.feed(feed, table), *correlator.finish()]
    alerts = len({firing.alert_id for firing in fired if firing.correlation.id == one.id})
    return _result(one, example, alerts == example.alerts, f"{example.alerts} alerts", f"{alerts} alerts")


def _result(rule: Rule | Correlation, example: Example, passed: bool, expected: str, actual: str) -> CheckResult:
    return CheckResult(rule.id, rule.title.zh, example.name, example.place, passed, expected, actual)


def _needed(one: Correlation, ruleset: Ruleset) -> set[str]:
    """Ids of the correlation and of everything below it."""
    below = {other.id: other.rules for other in ruleset.correlations}
    found: set[str] = set()
    waiting = [one.id]
    while waiting:
        name = waiting.pop()
        found.add(name)
        waiting += [rule for rule in below.get(name, ()) if rule not in found]
    return found


def _meant(events: list[dict[str, Any]], rule: Rule) -> pl.Series:
    """Events meant for this rule: ``rule:`` names one where log sources differ."""
    return pl.Series([event.get("rule") in (None, rule.id, rule.head.name) for event in events], dtype=pl.Boolean)


def _unrolled(example: Example) -> Iterator[dict[str, Any]]:
    """Events in time: ``at`` after the start, ``times`` of them, ``every`` so often; ``{n}`` counts from 1."""
    made = 0
    for event in example.events:
        own = {key: value for key, value in event.items() if key not in ("at", "times", "every")}
        at, every = _seconds(event.get("at", 0)), _seconds(event.get("every", 0))
        for index in range(int(event.get("times", 1))):
            made += 1
            if made > MAX_EVENTS:
                raise InputError(f"more than {MAX_EVENTS} events in one test", place=example.place)
            told = {key: _counted(value, index + 1) for key, value in own.items()}
            yield {"@timestamp": START + timedelta(seconds=at + index * every), "event.id": f"{made:032x}", **told}


def _seconds(value: Any) -> int:
    return value if isinstance(value, int) else timespan(value)


def _counted(value: Any, number: int) -> Any:
    return value.replace("{n}", str(number)) if isinstance(value, str) else value


def batch(events: list[dict[str, Any]]) -> EventBatch:
    """Events given as flat maps as one batch; columns of the schema take its types."""
    table = pl.DataFrame(events, infer_schema_length=None, strict=False)
    known = [
        pl.col(name).cast(BY_NAME[name].dtype, strict=False)
        for name in table.columns
        if name in BY_NAME
        and name != "@timestamp"
        and not isinstance(table.schema[name], pl.List)
        and not isinstance(BY_NAME[name].dtype, pl.List)
    ]
    return EventBatch("test", "test", table.with_columns(known), part="test")
