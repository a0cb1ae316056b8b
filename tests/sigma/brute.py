"""Correlations read word by word, one window at a time, written apart from the product: slow, and easy to believe."""

from __future__ import annotations

import itertools
import math
import operator
import re
from dataclasses import dataclass
from fractions import Fraction

ASKED = {
    "gte": operator.ge,
    "gt": operator.gt,
    "lte": operator.le,
    "lt": operator.lt,
    "eq": operator.eq,
    "neq": operator.ne,
}


@dataclass(frozen=True)
class Hit:
    """One hit of one group; ``time`` in the unit of ``Asked.span``."""

    time: int
    rule: str
    value: str | None = None
    other: str | None = None


@dataclass(frozen=True)
class Asked:
    """A correlation."""

    kind: str
    rules: tuple[str, ...]
    span: int
    conditions: tuple[tuple[str, float], ...] = ()
    percentile: float = 50
    pair: bool = False  # value_count over both values
    clause: str = ""  # Python's own and, or, not over rules

    @property
    def turns(self) -> bool:
        """More hits can make it false again."""
        names = {name for name, _ in self.conditions}
        averages = ("value_avg", "value_median", "value_percentile")
        return self.kind in averages or bool(names - {"gt", "gte"}) or "not" in self.clause


def alerts(asked: Asked, hits: list[Hit]) -> dict[int, int]:
    """Bucket -> number of hits behind the alert."""
    hits = sorted((hit for hit in hits if hit.rule in asked.rules), key=lambda hit: hit.time)
    return _closing(asked, hits) if asked.turns else _sliding(asked, hits)


def _sliding(asked: Asked, hits: list[Hit]) -> dict[int, int]:
    behind: dict[int, set[int]] = {}
    for hit in hits:
        window = [n for n, other in enumerate(hits) if hit.time - asked.span <= other.time <= hit.time]
        if _holds(asked, [hits[n] for n in window], hit):
            behind.setdefault(hit.time // asked.span, set()).update(window)
    return {bucket: len(those) for bucket, those in behind.items()}


def _closing(asked: Asked, hits: list[Hit]) -> dict[int, int]:
    found: dict[int, int] = {}
    while hits:
        opened = hits[0].time
        window = [hit for hit in hits if hit.time <= opened + asked.span]
        hits = hits[len(window) :]
        if _holds(asked, window, None):
            found[opened // asked.span] = len(window)
    return found


def _holds(asked: Asked, window: list[Hit], last: Hit | None) -> bool:
    seen = {hit.rule for hit in window}
    if asked.kind == "temporal_ordered":
        return _ordered(asked, window, last)
    if asked.kind == "temporal" and asked.clause:
        return bool(eval(asked.clause, {}, {rule: rule in seen for rule in asked.rules}))
    if asked.kind == "temporal":
        named = sum(rule in seen for rule in asked.rules)
        return _all(asked.conditions or (("gte", len(asked.rules)),), named)
    numbers = [Fraction(hit.value) for hit in window if hit.value is not None and _number(hit.value)]
    if asked.kind == "event_count":
        return _all(asked.conditions, len(window))
    if asked.kind == "value_count":
        values = {(hit.value, hit.other if asked.pair else "") for hit in window}
        return _all(asked.conditions, sum(None not in value for value in values))
    if asked.kind == "value_sum":
        numbers = [number for number in numbers if number >= 0]
        return bool(numbers) and _all(asked.conditions, sum(numbers, Fraction(0)))
    if asked.kind == "value_avg":
        return bool(numbers) and _all(asked.conditions, sum(numbers, Fraction(0)) / len(numbers))
    share = Fraction(50) if asked.kind == "value_median" else Fraction(asked.percentile)
    return bool(numbers) and _all(asked.conditions, _percentile(sorted(numbers), share))


def _number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _percentile(numbers: list[Fraction], share: Fraction) -> Fraction:
    place = (len(numbers) - 1) * share / 100
    low = math.floor(place)
    high = min(low + 1, len(numbers) - 1)
    return numbers[low] + (numbers[high] - numbers[low]) * (place - low)


def _all(conditions: tuple[tuple[str, float], ...], value: float | Fraction) -> bool:
    return all(ASKED[name](value, Fraction(str(limit))) for name, limit in conditions)


def _ordered(asked: Asked, window: list[Hit], last: Hit | None) -> bool:
    """Every set of rules that satisfies the condition, in the order they are named, each by a hit of its own."""
    if not asked.clause:
        return _chain(window, asked.rules, None, frozenset(), last)
    seen = {rule.upper(): any(hit.rule == rule for hit in window) for rule in asked.rules}
    clause = re.sub(
        r"not (\w)", lambda found: f"not {found[1].upper()}", asked.clause
    )  # what is barred need not be in order
    for size in range(1, len(asked.rules) + 1):
        for chosen in itertools.combinations(asked.rules, size):
            named = {rule: rule in chosen for rule in asked.rules}
            if eval(clause, {}, named | seen) and _chain(window, chosen, None, frozenset(), last):
                return True
    return False


def _chain(
    window: list[Hit], rules: tuple[str, ...], since: int | None, used: frozenset[int], last: Hit | None
) -> bool:
    if not rules:
        return True
    for n, hit in enumerate(window):
        if hit.rule != rules[0] or n in used or (since is not None and hit.time < since):
            continue
        if len(rules) == 1 and last is not None and (hit.time != last.time or last.rule != rules[0]):
            continue  # a window that slides is asked at its last hit
        if _chain(window, rules[1:], hit.time, used | {n}, last):
            return True
    return False
