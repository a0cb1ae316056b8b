"""The tests rules carry, run through the detector itself wherever our own block has a say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import numpy as np

from cityguard.detectors.custom.lists import ThreatList, ThreatLists
from cityguard.detectors.custom.order import Ints
from cityguard.detectors.rules import ZONE, RuleDetector
from cityguard.detectors.screen import Screen
from cityguard.errors import InputError
from cityguard.model import Alert, EventBatch, LogSource
from cityguard.sigma import selftest, sequences
from cityguard.sigma.ast import Correlation, Example, Rule
from cityguard.sigma.match import match
from cityguard.sigma.rule import Ruleset
from cityguard.sigma.selftest import START, CheckResult

_FIRST = {"history": "a", "events": "e"}  # digit of event ids, so that no two are the same
_LATER = START + timedelta(days=366)  # when events of tests are received


def check(ruleset: Ruleset, lists: ThreatLists | None = None) -> list[CheckResult]:
    """Run every test that the rules carry.

    Args:
        ruleset: the rules.
        lists: threat lists for tests that bring none of their own.

    Returns:
        One result per test; a rule without tests gives none.
    """
    return list(_check(ruleset, lists or ThreatLists()))


def _check(ruleset: Ruleset, lists: ThreatLists) -> Iterator[CheckResult]:
    for rule in ruleset.rules:
        for example in rule.head.examples:
            if example.alerts is not None:
                yield _counted(rule, example, ruleset, lists)
            elif not rule.head.custom:
                yield selftest.plain(rule, example)
            else:
                yield _screened(rule, example, lists)
    for one in ruleset.correlations:
        parts = _parts(one, ruleset)
        heads = [*(rule.head for rule in parts.rules), *(other.head for other in parts.correlations)]
        ours = any(head.custom for head in heads)
        for example in one.head.examples:
            if example.alerts is None or not (ours or example.history or example.until_s):
                yield selftest.correlated(one, example, ruleset)
            else:
                yield _counted(one, example, ruleset, lists)


def _screened(rule: Rule, example: Example, lists: ThreatLists) -> CheckResult:
    """Event by event: the detection holds, and neither an exception nor a threat list takes the hit away."""
    screen, verdicts = Screen(_lists(example, lists), ZONE), []
    for event in example.events:
        try:
            batch = selftest.batch([{"@timestamp": START, **event}])
        except InputError as error:
            return selftest.result(rule, example, False, "events that can be read", str(error))
        place = np.flatnonzero(match(rule, batch).to_numpy()).astype(np.int64)
        verdicts.append(bool(len(screen.judge(rule, place, batch, _LATER).place)))
    return selftest.judged(rule, example, verdicts)


def _counted(one: Rule | Correlation, example: Example, ruleset: Ruleset, lists: ThreatLists) -> CheckResult:
    """All events together: the alerts they raise that what came before did not."""
    try:
        alerts = _alerts(one, example, _parts(one, ruleset), _lists(example, lists))
    except InputError as error:
        return selftest.result(one, example, False, "events that can be read", str(error))
    wanted = example.alerts or 0
    return selftest.result(one, example, alerts == wanted, f"{wanted} alerts", f"{alerts} alerts")


def _alerts(one: Rule | Correlation, example: Example, parts: Ruleset, lists: ThreatLists) -> int:
    detector = RuleDetector(parts, clock=lambda: _LATER, engine=_Meant(parts), lists=lists)
    before: set[str] = set()
    if example.history:
        batch = _batch(example.history, example.place, parts, "history")
        before = _ids(one, detector.detect(batch))
        newest = batch.table["@timestamp"].dt.epoch("us").max()
        assert isinstance(newest, int)
        before |= _ids(one, detector.forward(newest))
    found = (
        _ids(one, detector.detect(_batch(example.events, example.place, parts, "events"))) if example.events else set()
    )
    if example.until_s:
        found |= _ids(one, detector.forward(int((START.timestamp() + example.until_s) * 1_000_000)))
    return len((found | _ids(one, detector.finish())) - before)


def _ids(one: Rule | Correlation, alerts: list[Alert]) -> set[str]:
    return {alert.id for alert in alerts if alert.rule_id == one.id}


def _batch(events: tuple[dict[str, object], ...], place: str, parts: Ruleset, name: str) -> EventBatch:
    made = sorted(selftest.unrolled(events, place), key=lambda event: event["@timestamp"])
    named = [{**event, "event.id": _FIRST[name] + event["event.id"][1:]} for event in made]
    values = [sorted({value for value in column if value}) for column in _sources(parts)]
    source = LogSource(tuple(values[0]), tuple(values[1]), tuple(values[2]))
    return replace(selftest.batch(named), logsource=source, part=name)


def _sources(parts: Ruleset) -> tuple[list[str | None], list[str | None], list[str | None]]:
    rules = parts.rules
    return [one.category for one in rules], [one.product for one in rules], [one.service for one in rules]


def _parts(one: Rule | Correlation, ruleset: Ruleset) -> Ruleset:
    """What this one needs: the rules a correlation names, and the steps of sequences."""
    if isinstance(one, Rule):
        sequence = sequences.steps(one)
        wanted = {one.id, *(sequences.named(sequence) if sequence is not None else ())}
    else:
        wanted = selftest.needed_by(one, ruleset)
    return Ruleset(
        tuple(rule for rule in ruleset.rules if rule.id in wanted),
        tuple(other for other in ruleset.correlations if other.id in wanted),
    )


def _lists(example: Example, lists: ThreatLists) -> ThreatLists:
    given = {name: ThreatList.of((value, "") for value in values) for name, values in example.lists}
    return replace(lists, given={**lists.given, **given}) if given else lists


class _Meant:
    """Finds the hits of a test's events: whatever their log source, unless an event names the rule it is meant for."""

    def __init__(self, parts: Ruleset) -> None:
        self.parts = parts

    def rows(self, batch: EventBatch) -> Iterator[tuple[Rule, Ints]]:
        """Every rule that hits, with the numbers of its rows."""
        told = batch.table["rule"] if "rule" in batch.table.columns else None
        for rule in self.parts.rules:
            hit = match(rule, batch)
            if told is not None:
                hit = hit & (told.is_null() | told.is_in([rule.id, rule.head.name]))
            rows = np.flatnonzero(hit.to_numpy()).astype(np.int64)
            if len(rows):
                yield rule, rows
