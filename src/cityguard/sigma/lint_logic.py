"""The linter on meaning: conditions that cannot hold, selections nobody asks for, modifiers that say nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from cityguard.sigma import condition, reach, regex
from cityguard.sigma.ast import Correlation, Filter, Not, Regex, Rule, leaves
from cityguard.sigma.detection import RESERVED, Detection
from cityguard.sigma.findings import Notes
from cityguard.sigma.reader import Lists, Reader, shown

_UPPER = re.compile(r"\b(?:AND|OR|NOT|OF|THEM|ALL|ANY)\b")
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
LITERAL = 3  # characters that let an expression be tried on few values only


def detection(notes: Notes, made: Rule | Filter, lists: Lists) -> None:
    """Condition, selections and modifiers of one rule or filter."""
    part = "filter" if isinstance(made, Filter) else "detection"
    skip = RESERVED | {"rules"} if isinstance(made, Filter) else RESERVED
    read = Detection(Reader(notes.doc), lists, part, skip)
    read.read(notes.doc.data)
    _condition(notes, read, part)
    _modifiers(notes, part)
    for leaf in leaves(made.node, positive=False):
        if isinstance(leaf, Regex) and not leaf.folded:
            _regex(notes, leaf, part)
    found = reach.verdict(made.node, read.selections.values())
    if found is not None:
        says = "can never hold" if found == "never" else "holds for every event"
        notes.error(found, f"the condition {says}", part, "condition", remedy="look at its selections and 'not'")
    if isinstance(made, Filter) and not _negates(read):
        notes.warn(
            "filter",
            "a filter's condition says what must hold as well; without 'not' only what it selects is left",
            *("filter", "condition"),
            remedy="write 'not' before what is to be excepted",
        )


def _condition(notes: Notes, read: Detection, part: str) -> None:
    asked = {name for said in read.said for name in condition.used(said, read.selections)}
    for name in read.selections:
        if name not in asked:
            notes.warn("unused", f"selection '{shown(name)}' is not used", part, name, remedy="use it or take it out")
    if "timeframe" in notes.doc.data[part]:
        notes.warn(
            "unused", "'timeframe' left Sigma with version 2", part, "timeframe", remedy="write a correlation document"
        )
    texts = notes.doc.data[part]["condition"]
    for text in texts if isinstance(texts, list) else [texts]:
        if word := _UPPER.search(text):
            low = word[0].lower()
            notes.warn(
                "portable", f"other tools read '{low}' in lower case only", part, "condition", remedy=f"write {low}"
            )


def _negates(read: Detection) -> bool:
    return any(_has_not(said) for said in read.said) or any(isinstance(one, Not) for one in read.selections.values())


def _has_not(said: condition.Syntax) -> bool:
    return isinstance(said, condition.Joined) and (said.how == "not" or any(map(_has_not, said.items)))


def _modifiers(notes: Notes, part: str) -> None:
    for key, value, where in _items(notes.doc.data[part], (part,)):
        names = key.split("|")[1:]
        if "all" in names and (not isinstance(value, list) or len(value) < 2) and "expand" not in names:
            notes.warn("modifier", "'all' of a single value says nothing", *where, remedy="leave 'all' out")
        if "cidr" in names and "expand" in names:
            remedy = "leave 'cidr' out: networks of a list are networks without it"
            notes.warn("portable", "other tools take no placeholder for a network", *where, remedy=remedy)
        if "utf16le" in names:
            notes.warn("portable", "other tools know 'utf16le' as 'wide'", *where, remedy="write wide")
        if key.startswith("|") or not key:
            continue
        if "re" not in names and value in ("*", ["*"]):
            notes.warn("modifier", "a lone '*' asks for any value", *where, remedy="write exists: true, which says so")


def _items(data: Any, where: tuple[str | int, ...]) -> Iterator[tuple[str, Any, tuple[str | int, ...]]]:
    """Lines of all selections: key, value, place."""
    for name, selection in data.items():
        for index, one in enumerate(selection) if isinstance(selection, list) else ((None, selection),):
            here = (*where, str(name)) if index is None else (*where, str(name), index)
            for key, value in one.items() if isinstance(one, dict) else ():
                yield str(key), value, (*here, str(key))


def _regex(notes: Notes, leaf: Regex, part: str) -> None:
    if regex.linear(leaf.pattern):
        return
    remedy = "write it without lookaround and backreferences"
    message = f"only Python can run the expression '{shown(leaf.pattern)}'; it looks at cut values, within a budget"
    if len(regex.literal(leaf.pattern)) < LITERAL:
        message += f", and it holds no text of {LITERAL} characters that would tell where to look"
    notes.warn("regex", message, part, remedy=remedy)


# ---------------------------------------------------------------- correlations


def correlation(notes: Notes, made: Correlation) -> None:
    """Conditions that hold always or never, groups that are everybody, names other tools cannot read."""
    here = ("correlation", "condition")
    least = float(len(made.rules)) if made.kind.startswith("temporal") else float("inf")
    if made.kind in ("event_count", "value_count", "temporal"):
        if not _satisfiable(made.conditions, 1.0 if made.kind != "value_count" else 0.0, least):
            notes.error("never", "the condition can never hold", *here, remedy=f"a count from 1 to {least:g}")
        elif made.kind != "value_count" and made.conditions and all(_trivial(*one) for one in made.conditions):
            notes.warn("always", "the condition holds for every single hit", *here, remedy="ask for more than one")
    if not made.group_by:
        notes.warn(
            "group", "no 'group-by': all events are one group", "correlation", remedy="group by whom it is about"
        )
    for alias, mapping in made.aliases:
        if alias not in (*made.group_by, *made.fields):
            notes.warn(
                "alias", f"alias '{shown(alias)}' is not used", "correlation", "aliases", alias, remedy="take it out"
            )
        for rule in sorted(set(made.rules) - {rule for rule, _ in mapping}):
            notes.warn(
                "alias",
                f"alias '{shown(alias)}' does not say what rule '{shown(rule)}' calls it",
                *("correlation", "aliases", alias),
                remedy=f"add '{shown(rule)}:' and its field",
            )
    if made.kind.startswith("temporal") and len(made.rules) < 2:
        notes.warn("temporal", f"'{made.kind}' of a single rule", "correlation", "rules", remedy="use event_count")
    for name in made.rules if made.clauses else ():
        if not _PLAIN_NAME.fullmatch(name):
            notes.warn(
                "portable",
                f"other tools cannot read '{shown(name)}' in a condition over rules",
                *here,
                remedy="name rules with letters, digits and _ there",
            )


def _satisfiable(asked: tuple[tuple[str, float], ...], least: float, most: float) -> bool:
    """True when some whole number from ``least`` to ``most`` satisfies every comparison."""
    low, high, barred = least, most, set()
    for name, limit in asked:
        if name in ("gte", "gt", "eq"):
            low = max(low, limit if name != "gt" else float(int(limit // 1)) + 1)
        if name in ("lte", "lt", "eq"):
            high = min(high, limit if name != "lt" else -float(int(-limit // 1)) - 1)
        if name == "neq":
            barred.add(limit)
    number = -float(int(-low // 1))
    while number in barred:
        number += 1
    return number <= high


def _trivial(name: str, limit: float) -> bool:
    return (name == "gte" and limit <= 1) or (name == "gt" and limit < 1)
