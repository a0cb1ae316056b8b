"""A correlation as the machinery sees it: rules by number, steps, and how many hits it takes at least."""

from __future__ import annotations

import math
from dataclasses import dataclass

from cityguard.sigma.ast import Correlation

MICRO = 1_000_000


@dataclass(frozen=True, slots=True)
class Plan:
    """What is worked out of a correlation once."""

    one: Correlation
    span: int  # µs
    rules: tuple[str, ...]  # ids, each once
    weight: tuple[int, ...]  # how often the correlation names each
    chains: tuple[tuple[int, ...], ...]  # temporal_ordered: any of these, one after the other
    clauses: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]  # needed and barred rules, by number
    least: int  # fewer hits than this in a window can never hold
    sets: tuple[int, ...]  # rules as bits: without all of one of these it can never hold; empty: any may

    @property
    def kind(self) -> str:
        return self.one.kind

    @property
    def looks_at_text(self) -> bool:
        return self.one.kind == "value_count"

    @property
    def looks_at_number(self) -> bool:
        return self.one.kind.startswith("value_") and self.one.kind != "value_count"


def plan(one: Correlation) -> Plan:
    """Work a correlation out."""
    rules = tuple(dict.fromkeys(one.rules))
    number = {rule: index for index, rule in enumerate(rules)}
    clauses = tuple((tuple(number[r] for r in c.needs), tuple(number[r] for r in c.bars)) for c in one.clauses)
    chains: tuple[tuple[int, ...], ...] = ()
    if one.kind == "temporal_ordered":
        chains = tuple(needs for needs, _ in clauses) or (tuple(number[rule] for rule in one.rules),)
    return Plan(
        one=one,
        span=one.timespan_s * MICRO,
        rules=rules,
        weight=tuple(one.rules.count(rule) for rule in rules),
        chains=chains,
        clauses=clauses,
        least=_least(one, chains, clauses),
        sets=_sets(one, number, clauses),
    )


def _sets(
    one: Correlation, number: dict[str, int], clauses: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]
) -> tuple[int, ...]:
    if not one.grows or not one.kind.startswith("temporal") or len(number) > 63:
        return ()
    if clauses:
        return tuple(sum(1 << rule for rule in needs) for needs, _ in clauses)
    every = (1 << len(number)) - 1
    whole = one.kind == "temporal_ordered" or ("gte", float(len(one.rules))) in one.conditions
    return (every,) if whole else ()


def _least(
    one: Correlation,
    chains: tuple[tuple[int, ...], ...],
    clauses: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...],
) -> int:
    if not one.grows:
        return 1
    if chains:
        return max(1, min(map(len, chains)))
    if clauses:
        return max(1, min(len(needs) for needs, _ in clauses))
    if one.kind == "temporal" and len(set(one.rules)) < len(one.rules):
        return 1
    if one.kind in ("event_count", "value_count", "temporal"):
        floors = [math.floor(limit) + 1 if name == "gt" else math.ceil(limit) for name, limit in one.conditions]
        return max([1, *floors])
    return 1
