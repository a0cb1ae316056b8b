"""Correlations and the rules they name: names become ids, inner ones come first, circles and strangers fall out."""

from __future__ import annotations

import difflib
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cityguard.errors import CityguardError, InputError
from cityguard.sigma import imported
from cityguard.sigma.ast import Clause, Correlation, Filter, Rule
from cityguard.sigma.filters import meant
from cityguard.sigma.reader import identifier, shown

MAX_NEAR = 50  # faults that look for the name that was meant, which takes a moment among thousands


@dataclass(frozen=True, slots=True)
class Inactive:
    """A sound rule that cannot run here, and why."""

    title: str
    place: str
    reason: str
    id: str = ""
    name: str = ""


@dataclass(slots=True)
class Linked:
    """What became of the correlations."""

    ready: list[Correlation]  # each after those it refers to
    inactive: list[Inactive]
    faults: list[CityguardError]


def link(rules: Iterable[Rule], correlations: Sequence[Correlation], inactive: Sequence[Inactive]) -> Linked:
    """Resolve what correlations name.

    One that names an inactive rule is inactive itself; one that names nothing, or itself by a circle, is a fault.
    """
    every: tuple[Rule | Correlation, ...] = (*rules, *correlations)
    names = imported.Names(
        (
            *((one.name, one.id, _file(one)) for one in inactive),  # an active one goes before it
            *((one.head.name, one.id, one.head.path) for one in every),
        )
    )
    asleep = {one.id: one.title for one in inactive}
    known = {one.id for one in rules}
    resolved = [_resolve(one, names.to(one.head.path)) for one in correlations]
    made = Linked([], [], [])
    waiting = _in_order(resolved, known, made)
    for one in waiting:
        unknown = next(rule for rule in one.rules if rule not in known)
        if unknown in asleep:
            asleep[one.id] = one.title.en
            made.inactive.append(_asleep(one, asleep[unknown]))
    _spread(waiting, asleep, made)
    stuck = {one.id for one in waiting} - {one.id for one in made.inactive}
    lost = [one for one in waiting if one.id in stuck]
    for place, one in enumerate(lost):
        made.faults.append(_stuck(one, known, stuck, names.to(one.head.path) if place < MAX_NEAR else {}))
    return made


def _in_order(correlations: list[Correlation], known: set[str], made: Linked) -> list[Correlation]:
    """Those all of whose rules are known become ready, one after the other; the rest is given back."""
    open_: dict[str, int] = {}
    feeds: dict[str, list[Correlation]] = {}
    now: deque[Correlation] = deque()
    for one in correlations:
        missing = {rule for rule in one.rules if rule not in known}
        open_[one.id] = len(missing)
        for rule in missing:
            feeds.setdefault(rule, []).append(one)
        if not missing:
            now.append(one)
    while now:
        one = now.popleft()
        made.ready.append(one)
        known.add(one.id)
        for outer in feeds.get(one.id, ()):
            open_[outer.id] -= 1
            if not open_[outer.id]:
                now.append(outer)
    return [one for one in correlations if open_[one.id]]


def _spread(waiting: list[Correlation], asleep: dict[str, str], made: Linked) -> None:
    """What refers to an inactive correlation is inactive too."""
    feeds: dict[str, list[Correlation]] = {}
    for one in waiting:
        for rule in one.rules:
            feeds.setdefault(rule, []).append(one)
    now = deque(one.id for one in made.inactive)
    while now:
        inner = now.popleft()
        for one in feeds.get(inner, ()):
            if one.id not in asleep:
                asleep[one.id] = one.title.en
                made.inactive.append(_asleep(one, asleep[inner]))
                now.append(one.id)


def _asleep(one: Correlation, needs: str) -> Inactive:
    reason = f"it refers to '{shown(needs)}', which is inactive"
    return Inactive(one.title.en, one.head.place, reason, one.id, one.head.name)


def _stuck(one: Correlation, known: set[str], stuck: set[str], names: Mapping[str, str]) -> InputError:
    strange = next((rule for rule in one.rules if rule not in known and rule not in stuck), None)
    if strange is None:
        inner = next(rule for rule in one.rules if rule in stuck)
        return InputError(
            f"the correlation refers to '{inner}', which refers back to it or to another circle",
            place=one.head.place,
            remedy="let correlations refer to rules, or to correlations that do not need them",
        )
    near = difflib.get_close_matches(strange[:100], names, 1)
    remedy = f"did you mean '{near[0]}'?" if near else "name a rule by its 'name' or 'id'"
    return InputError(
        f"correlation refers to '{shown(strange)}', which is not an active rule", place=one.head.place, remedy=remedy
    )


def _resolve(one: Correlation, names: Mapping[str, str]) -> Correlation:
    def known(rules: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(names.get(rule, identifier(rule)) for rule in rules)

    aliases = tuple(
        (alias, tuple((known((rule,))[0], field) for rule, field in mapping)) for alias, mapping in one.aliases
    )
    clauses = tuple(Clause(known(clause.needs), known(clause.bars)) for clause in one.clauses)
    return replace(one, rules=known(one.rules), aliases=aliases, clauses=clauses)


def strangers(filters: Iterable[Filter], rules: Sequence[Rule], inactive: Sequence[Inactive]) -> Iterable[InputError]:
    """Filters that name what is no rule, or a rule whose log source they do not cover."""
    by_import = _reach(rules)
    asleep = {name for one in inactive for name in (one.id, one.name) if name}
    told = 0
    for one in filters:
        by_name = by_import.get(imported.of(one.head.path), {})
        for name in one.rules or ():
            rule = by_name.get(name)
            if rule is not None and not meant(one, rule):
                message = f"the filter's log source is not that of '{shown(name)}'"
                yield InputError(message, place=one.head.place, remedy="write the rule's own logsource, or a wider one")
            elif rule is None and name not in asleep:
                near = difflib.get_close_matches(name[:100], by_name, 1) if told < MAX_NEAR else []
                told += 1
                remedy = f"did you mean '{near[0]}'?" if near else "name a rule by its 'name' or 'id', or write 'any'"
                yield InputError(
                    f"the filter names '{shown(name)}', which is no rule", place=one.head.place, remedy=remedy
                )


def _reach(rules: Iterable[Rule]) -> dict[str, dict[str, Rule]]:
    """By import, the rules its filters may name, by id and name; those of the city and the shipped ones: every rule."""
    found: dict[str, dict[str, Rule]] = {"": {}}
    for rule in rules:
        names = {name: rule for name in (rule.id, rule.head.name) if name}
        found.setdefault(imported.of(rule.head.path), {}).update(names)
    others = {name: rule for key, names in found.items() if key for name, rule in names.items()}
    return found | {"": others | found[""]}


def _file(one: Inactive) -> Path:
    return Path(one.place.rpartition(":")[0])
