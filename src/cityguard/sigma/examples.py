"""Reads the tests a rule carries: events, what came before them, and the answer expected."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from cityguard.errors import InputError
from cityguard.sigma.ast import Example
from cityguard.sigma.reader import Reader, nearest, shown, timespan

MAX_TESTS = 200  # per rule
MAX_LISTED = 10_000  # values of the lists a test brings along
_HERE = ("custom", "cityguard", "tests")
_KEYS = ("name", "event", "events", "match", "alerts", "history", "until", "lists", "description")


def read(reader: Reader, tests: Any) -> tuple[Example, ...]:
    """Every sound test; what is wrong with the others becomes faults of ``reader``."""
    if tests is None:
        return ()
    if not isinstance(tests, list) or len(tests) > MAX_TESTS:
        reader.fault(f"'tests' is a list of at most {MAX_TESTS} tests", *_HERE, remedy="begin each test with '-'")
        return ()
    return tuple(_read(reader, tests))


def _read(reader: Reader, tests: list[Any]) -> Iterator[Example]:
    for index, test in enumerate(tests):
        try:
            yield _example(test, index, reader.doc.place(*_HERE, index))
        except InputError as error:
            reader.blame(error, *_HERE, index, *((error.place,) if error.place else ()))


def _example(test: Any, index: int, place: str) -> Example:
    if not isinstance(test, dict):
        raise InputError(
            "a test is a map of events and the answer expected", remedy="write 'event: {...}' and 'match: true'"
        )
    for key in test:
        if key not in _KEYS:
            raise InputError(f"unknown key '{shown(key)}'", place=str(key), remedy=nearest(str(key), _KEYS))
    events = _events(test.get("events", [test["event"]] if "event" in test else None))
    match, alerts = test.get("match"), test.get("alerts")
    counted = isinstance(alerts, int) and not isinstance(alerts, bool) and match is None
    if events is None or not (isinstance(match, bool) or counted):
        raise InputError(
            "a test needs 'event' or 'events' (maps) and 'match: true|false', or 'alerts: N'",
            remedy="'match' asks a rule event by event, 'alerts' counts what the events raise together",
        )
    history = _events(test.get("history", []))
    if history is None:
        raise InputError("'history' is a list of events", place="history", remedy="write one map after each '-'")
    if match is not None and (history or "until" in test):
        raise InputError("'history' and 'until' go with 'alerts: N'", remedy="write 'alerts: 1' or 'alerts: 0'")
    return Example(
        name=str(test.get("name") or f"test {index + 1}"),
        events=events,
        match=match,
        alerts=alerts,
        place=place,
        history=history,
        until_s=timespan(test["until"]) if "until" in test else 0,
        lists=_lists(test.get("lists", {})),
    )


def _events(value: Any) -> tuple[dict[str, Any], ...] | None:
    sound = isinstance(value, list) and all(isinstance(event, dict) for event in value)
    return tuple(value) if sound else None


def _lists(value: Any) -> tuple[tuple[str, tuple[str, ...]], ...]:
    sound = isinstance(value, Mapping) and all(isinstance(one, list) for one in value.values())
    if not sound or sum(map(len, value.values())) > MAX_LISTED:
        raise InputError(
            f"'lists' maps names of lists to their values, at most {MAX_LISTED}",
            place="lists",
            remedy="write 'lists: {NAME: [value, ...]}'",
        )
    return tuple((str(name), tuple(str(one) for one in values)) for name, values in value.items())
