"""Rules that name other rules as the steps before them: names become ids."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from cityguard.errors import CityguardError, InputError
from cityguard.sigma import custom, imported
from cityguard.sigma.ast import Rule
from cityguard.sigma.reader import identifier


def linked(rules: Sequence[Rule], faults: list[CityguardError]) -> tuple[Rule, ...]:
    """The rules with their steps resolved; those whose steps are no active rules fall out, with a fault."""
    names = imported.Names((one.head.name, one.id, one.head.path) for one in rules)
    known = {one.id for one in rules}
    return tuple(made for one in rules if (made := _linked(one, names.to(one.head.path), known, faults)) is not None)


def steps(rule: Rule) -> custom.Sequence | None:
    """The rule's sequence, where it has one."""
    ours = rule.head.custom
    return ours.memory if ours is not None and isinstance(ours.memory, custom.Sequence) else None


def fed(rules: Iterable[Rule]) -> Iterator[tuple[str, bool]]:
    """Every rule that is a step or an end of another: its id, and whether it may raise alerts of its own."""
    for rule in rules:
        one = steps(rule)
        for name in () if one is None else named(one):
            if one is not None and name != rule.id:
                yield name, one.generate


def named(one: custom.Sequence) -> tuple[str, ...]:
    """All rules a sequence names, the end last."""
    return (*one.steps, *((one.until,) if one.until else ()))


def _linked(rule: Rule, names: Mapping[str, str], known: set[str], faults: list[CityguardError]) -> Rule | None:
    one = steps(rule)
    if one is None or rule.head.custom is None:
        return rule
    ids = {name: names.get(name, identifier(name)) for name in named(one)}
    unknown = next((name for name, found in ids.items() if found not in known), None)
    if unknown is not None:
        remedy = "name a plain rule by its 'name' or 'id'"
        message = f"sequence refers to '{unknown}', which is not an active rule"
        faults.append(InputError(message, place=rule.head.place, remedy=remedy))
        return None
    made = replace(one, steps=tuple(ids[name] for name in one.steps), until=ids[one.until] if one.until else None)
    return replace(rule, head=replace(rule.head, custom=replace(rule.head.custom, memory=made)))
