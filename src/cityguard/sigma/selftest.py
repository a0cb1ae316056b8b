"""The tests that rules carry: events in, the answer held against what the author wrote."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from cityguard.columns import BY_NAME
from cityguard.errors import InputError
from cityguard.model import EventBatch
from cityguard.sigma.ast import Correlation, Example, Rule
from cityguard.sigma.correlation import Correlator
from cityguard.sigma.match import match
from cityguard.sigma.reader import MAX_TIMESPAN_S, shown, timespan
from cityguard.sigma.rule import Ruleset

MAX_EVENTS = 10_000  # per test, after repetition
_TIMES = ("at", "ago", "times", "every")
START = datetime(2026, 3, 2, 2, 0, tzinfo=UTC)  # a Monday; events of tests count from here


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
    """Run every test that the rules carry, but for what our own block adds: ``detectors.trial`` runs that as well.

    A rule without tests gives no result.
    """
    results = [plain(rule, example) for rule in ruleset.rules for example in rule.head.examples]
    for one in ruleset.correlations:
        results += [correlated(one, example, ruleset) for example in one.head.examples]
    return results


def plain(rule: Rule, example: Example) -> CheckResult:
    """One test of a plain rule, event by event, whatever their log source."""
    if example.match is None:
        return result(rule, example, False, "match: true|false", "alerts: goes with correlations and custom.cityguard")
    try:
        return judged(rule, example, [bool(match(rule, batch([event]))[0]) for event in example.events])
    except InputError as error:
        return result(rule, example, False, "events that can be read", str(error))


def judged(rule: Rule, example: Example, verdicts: list[bool]) -> CheckResult:
    """The answer to each event held against what the test expects of all of them."""
    said = [verdict for verdict in verdicts if verdict is not example.match]
    expected = "match" if example.match else "no match"
    actual = expected if not said else f"{len(said)} of {len(verdicts)} events answer otherwise"
    return result(rule, example, not said, expected, actual)


def correlated(one: Correlation, example: Example, ruleset: Ruleset) -> CheckResult:
    """One test of a correlation: its events in time, and the alerts they raise."""
    if example.alerts is None:
        return result(one, example, False, "alerts: N", "match: goes with plain rules only")
    try:
        events = list(unrolled(example.events, example.place))
        table = batch(events)
    except InputError as error:
        return result(one, example, False, "events that can be read", str(error))
    needed = needed_by(one, ruleset)
    feed = {
        rule.id: table.table.filter(match(rule, table) & meant(events, rule))
        for rule in ruleset.rules
        if rule.id in needed
    }
    correlator = Correlator([other for other in ruleset.correlations if other.id in needed])
    fired = [*correlator.feed(feed, table), *correlator.finish()]
    alerts = len({firing.alert_id for firing in fired if firing.correlation.id == one.id})
    return result(one, example, alerts == example.alerts, f"{example.alerts} alerts", f"{alerts} alerts")


def result(rule: Rule | Correlation, example: Example, passed: bool, expected: str, actual: str) -> CheckResult:
    """What a test came to."""
    return CheckResult(rule.id, rule.title.zh, example.name, example.place, passed, expected, actual)


def needed_by(one: Correlation, ruleset: Ruleset) -> set[str]:
    """Ids of the correlation and of everything below it."""
    below = {other.id: other.rules for other in ruleset.correlations}
    found: set[str] = set()
    waiting = [one.id]
    while waiting:
        name = waiting.pop()
        found.add(name)
        waiting += [rule for rule in below.get(name, ()) if rule not in found]
    return found


def meant(events: list[dict[str, Any]], rule: Rule) -> pl.Series:
    """Events meant for this rule: ``rule:`` names one where log sources differ."""
    return pl.Series([event.get("rule") in (None, rule.id, rule.head.name) for event in events], dtype=pl.Boolean)


def unrolled(events: Sequence[dict[str, Any]], place: str) -> Iterator[dict[str, Any]]:
    """Events in time: ``at`` after the start, or ``ago`` before it; ``times`` of them, ``every`` so often.

    ``{n}`` in a text counts from 1.

    Raises:
        InputError: there are too many, or a time span is none.
    """
    made = 0
    for event in events:
        own = {key: value for key, value in event.items() if key not in _TIMES}
        if not isinstance(event.get("rule", ""), str):
            raise InputError("'rule' is one text", place=place, remedy="write the name or id of one rule")
        at = _seconds(event.get("at", 0)) - _seconds(event.get("ago", 0))
        every = _seconds(event.get("every", 0))
        for index in range(_times(event.get("times", 1))):
            made += 1
            if made > MAX_EVENTS:
                raise InputError(f"more than {MAX_EVENTS} events in one test", place=place)
            told = {key: _counted(value, index + 1) for key, value in own.items()}
            yield {"@timestamp": START + timedelta(seconds=at + index * every), "event.id": f"{made:032x}", **told}


def _seconds(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= MAX_TIMESPAN_S:
        return value
    return timespan(value)


def _times(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise InputError(f"'{shown(value)}' is no number of times", remedy="write a whole number")
    return value


def _counted(value: Any, number: int) -> Any:
    return value.replace("{n}", str(number)) if isinstance(value, str) else value


def batch(events: list[dict[str, Any]]) -> EventBatch:
    """Events given as flat maps as one batch; columns of the schema take its types.

    Raises:
        InputError: their values make no table.
    """
    try:
        table = pl.DataFrame(events, infer_schema_length=None, strict=False)
    except (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError) as error:
        raise InputError(f"the events make no table: {error}", remedy="give a field values of one kind") from None
    known = [
        pl.col(name).cast(BY_NAME[name].dtype, strict=False)
        for name in table.columns
        if name in BY_NAME
        and name != "@timestamp"
        and not isinstance(table.schema[name], pl.List)
        and not isinstance(BY_NAME[name].dtype, pl.List)
    ]
    return EventBatch("test", "test", table.with_columns(known), part="test")
