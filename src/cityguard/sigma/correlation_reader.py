"""A ``correlation`` document to what must be counted: type, rules, grouping, window, condition."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeGuard

from cityguard.errors import InputError
from cityguard.sigma import condition
from cityguard.sigma.ast import CORRELATIONS, Clause, Correlation, Head, Kind
from cityguard.sigma.reader import Reader, nearest, shown, timespan

MAX_RULES = 100
MAX_GROUP_BY = 16
MAX_FIELDS = 8
MAX_ALIASES = 32
OPERATORS = ("gte", "gt", "lte", "lt", "eq", "neq")
KEYS = ("type", "rules", "group-by", "timespan", "condition", "aliases", "generate")
_HERE = ("correlation", "condition")


def read(reader: Reader, head: Head, value: Any) -> Correlation | None:
    """One correlation, its rules by the names given; None, with a fault, when it is none."""
    if not isinstance(value, dict):
        reader.fault("'correlation' must be a map", "correlation", remedy="add type, rules, timespan and condition")
        return None
    reader.known(value, KEYS, "correlation")
    kind = _kind(reader, value)
    if kind is None:
        return None
    asked = _Condition(reader, kind, value)
    rules = _rules(reader, value, asked.named)
    return Correlation(
        head=head,
        kind=kind,
        rules=rules,
        group_by=_group_by(reader, value),
        timespan_s=_span(reader, value),
        conditions=asked.comparisons(len(rules)),
        fields=asked.fields(),
        percentile=asked.percentile(),
        clauses=asked.clauses(rules),
        aliases=_aliases(reader, value, rules),
        generate=_generate(reader, value),
    )


def _kind(reader: Reader, value: Mapping[str, Any]) -> Kind | None:
    if "type" not in value:
        reader.missing(value, "type", "correlation")
        return None
    kind = str(value["type"] or "")
    if kind not in CORRELATIONS:
        reader.fault(
            f"correlation type '{shown(kind)}' is unknown", "correlation", "type", remedy=nearest(kind, CORRELATIONS)
        )
        return None
    return kind


def _rules(reader: Reader, value: Mapping[str, Any], named: tuple[str, ...]) -> tuple[str, ...]:
    """The rules listed; without a list those the boolean condition names, in order of appearance."""
    rules = tuple(reader.texts(value, "rules", "correlation"))
    if value.get("type") != "temporal_ordered":  # where the same rule may come again: a, b, then a
        rules = tuple(dict.fromkeys(rules))
    if len(rules or named) > MAX_RULES:
        reader.fault(f"more than {MAX_RULES} rules", "correlation", "rules", remedy="join correlations")
    if not rules and not named and not reader.faults:
        reader.missing(value, "rules", "correlation")
    for name in set(rules) ^ set(named) if rules and named else ():
        place = "rules" if name in rules else "condition"
        reader.fault(
            f"'{shown(name)}' stands in '{place}' only", "correlation", place, remedy="name the same rules in both"
        )
    return (rules or named)[:MAX_RULES]


def _group_by(reader: Reader, value: Mapping[str, Any]) -> tuple[str, ...]:
    found = reader.texts(value, "group-by", "correlation")
    if len(found) > MAX_GROUP_BY:
        reader.fault(
            f"more than {MAX_GROUP_BY} group-by fields", "correlation", "group-by", remedy="group by whom it is about"
        )
    return found[:MAX_GROUP_BY]


def _span(reader: Reader, value: Mapping[str, Any]) -> int:
    if "timespan" not in value:
        reader.missing(value, "timespan", "correlation")
        return 1
    try:
        return timespan(value["timespan"])
    except InputError as error:
        reader.blame(error, "correlation", "timespan")
        return 1


def _generate(reader: Reader, value: Mapping[str, Any]) -> bool:
    given = value.get("generate", False)
    if not isinstance(given, bool):
        reader.fault("'generate' must be true or false", "correlation", "generate", remedy="write true or false")
    return given is True


def _aliases(
    reader: Reader, value: Mapping[str, Any], rules: tuple[str, ...]
) -> tuple[tuple[str, tuple[tuple[str, str], ...]], ...]:
    given = value.get("aliases")
    if given is None:
        return ()
    if not isinstance(given, dict) or not all(isinstance(entry, dict) for entry in given.values()):
        reader.fault(
            "'aliases' maps an alias to rules and their fields",
            "correlation",
            "aliases",
            remedy="write for example {address: {rule_a: source.ip, rule_b: destination.ip}}",
        )
        return ()
    if len(given) > MAX_ALIASES:
        reader.fault(f"more than {MAX_ALIASES} aliases", "correlation", "aliases", remedy="leave out what is not used")
    for alias, entry in given.items():
        for rule in entry:
            if str(rule) not in rules:
                reader.fault(
                    f"alias '{shown(alias)}' names '{shown(rule)}', which is none of the rules",
                    *("correlation", "aliases", str(alias), str(rule)),
                    remedy=nearest(str(rule), rules),
                )
    return tuple(
        (str(alias), tuple((str(rule), str(field)) for rule, field in entry.items()))
        for alias, entry in list(given.items())[:MAX_ALIASES]
    )


class _Condition:
    """A map of comparisons, or (temporal types) a boolean condition over rules."""

    def __init__(self, reader: Reader, kind: Kind, value: Mapping[str, Any]) -> None:
        self.reader = reader
        self.kind = kind
        self.given = value.get("condition")
        self.temporal = kind.startswith("temporal")
        self.said = self._said() if isinstance(self.given, str) else None
        self.named = condition.names(self.said) if self.said is not None else ()

    def _said(self) -> condition.Syntax | None:
        if not self.temporal:
            self.reader.fault(
                f"'{self.kind}' compares a number, its condition is no text", *_HERE, remedy="write a map: {gte: 10}"
            )
            return None
        try:
            return condition.syntax(str(self.given))
        except InputError as error:
            self.reader.blame(error, *_HERE)
            return None

    def clauses(self, rules: tuple[str, ...]) -> tuple[Clause, ...]:
        if self.said is None or set(rules) != set(self.named):
            return ()
        try:
            return condition.clauses(self.said, rules)
        except InputError as error:
            self.reader.blame(error, *_HERE)
            return ()

    def comparisons(self, rules: int) -> tuple[tuple[str, float], ...]:
        if isinstance(self.given, str):
            return ()
        if self.given is None and self.temporal:
            return (("gte", float(rules)),)
        if not isinstance(self.given, dict):
            self.reader.fault("the condition must be a map", *_HERE, remedy="write for example {gte: 10}")
            return ()
        found = tuple(pair for pair in map(self._comparison, self.given.items()) if pair is not None)
        if not found and not self.reader.faults:
            self.reader.fault("the condition compares with nothing", *_HERE, remedy="add for example 'gte: 10'")
        return found

    def _comparison(self, pair: tuple[Any, Any]) -> tuple[str, float] | None:
        key, number = str(pair[0]), pair[1]
        if key in ("field", "percentile"):
            return None
        if key not in OPERATORS:
            self.reader.fault(f"unknown operator '{shown(key)}'", *_HERE, key, remedy=nearest(key, OPERATORS))
        elif not _number(number):
            self.reader.fault(f"'{key}' needs a number", *_HERE, key, remedy="write for example 10")
        else:
            return key, float(number)
        return None

    def fields(self) -> tuple[str, ...]:
        """``field``: one for values that are added or ranked, several for values that are counted together."""
        given = self.given if isinstance(self.given, dict) else {}
        if not self.kind.startswith("value_"):
            return ()
        found = self.reader.texts(given, "field", *_HERE)
        most = MAX_FIELDS if self.kind == "value_count" else 1
        if not found and not self.reader.faults:
            self.reader.fault(
                f"'{self.kind}' needs the field it looks at", *_HERE, remedy="add 'field:' to the condition"
            )
        if len(found) > most:
            self.reader.fault(
                f"'{self.kind}' looks at {most} field{'s' * (most > 1)} at most",
                *_HERE,
                "field",
                remedy="leave some out",
            )
        return found[:most]

    def percentile(self) -> float | None:
        given = self.given if isinstance(self.given, dict) else {}
        value = given.get("percentile")
        if self.kind != "value_percentile":
            if value is not None:
                self.reader.fault(
                    f"'{self.kind}' takes no percentile", *_HERE, "percentile", remedy="use value_percentile"
                )
            return None
        if not _number(value) or not 0 < value <= 100:
            self.reader.fault(
                "'value_percentile' needs 'percentile', above 0 and up to 100",
                *(*_HERE, "percentile"),
                remedy="add for example 'percentile: 95' to the condition",
            )
            return None
        return float(value)


def _number(value: Any) -> TypeGuard[float]:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) < 1e300 and not math.isnan(value)
