"""Events made from a rule's own tree: one that should satisfy it, and others that nearly do."""

from __future__ import annotations

import random
import re._constants as constants  # type: ignore[import-not-found]
import re._parser as parser  # type: ignore[import-not-found]
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import Any

from cityguard.sigma.ast import (
    AllOf,
    AnyOf,
    Cidr,
    Compare,
    Leaf,
    Node,
    Not,
    Null,
    Present,
    Reference,
    Regex,
    TimePart,
    Words,
)

Event = dict[str, Any]
KEYWORDS = "message"  # where words stand that may stand anywhere


@dataclass(slots=True)
class Wish:
    """What one field should be."""

    whole: str | None = None
    first: str = ""
    last: str = ""
    inside: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        if self.whole is not None:
            return self.whole
        missing = [part for part in self.inside if part not in self.first + self.last]
        return " ".join(part for part in (self.first, *missing, self.last) if part) or "x"


def positive(node: Node, chance: random.Random) -> Event:
    """An event that satisfies a tree, as far as wishes for one field do not contradict each other."""
    wishes: dict[str, Wish] = {}
    _want(node, wishes, chance, True)
    return {name: wish.text for name, wish in wishes.items()}


def _want(node: Node, wishes: dict[str, Wish], chance: random.Random, held: bool) -> None:
    if isinstance(node, Not):
        _want(node.item, wishes, chance, not held)
    elif isinstance(node, AllOf | AnyOf):
        if isinstance(node, AllOf) is held:
            for item in node.items:
                _want(item, wishes, chance, held)
        elif node.items:
            _want(chance.choice(node.items), wishes, chance, held)
    elif held:
        _hold(node, wishes, chance)
    elif isinstance(node, Null) and node.field is not None:
        wishes.setdefault(node.field, Wish())


def _hold(leaf: Leaf, wishes: dict[str, Wish], chance: random.Random) -> None:
    if isinstance(leaf, Null):
        return
    wish = wishes.setdefault(leaf.field or KEYWORDS, Wish())
    if isinstance(leaf, Words):
        text = chance.choice(leaf.texts)
        if leaf.mode == "exact":
            wish.whole = text
        elif leaf.mode == "prefix":
            wish.first = text
        elif leaf.mode == "suffix":
            wish.last = text
        else:
            wish.inside.append(text)
    elif isinstance(leaf, Regex):
        wish.inside.append(sample(leaf.pattern))
    elif isinstance(leaf, Cidr):
        wish.whole = str(ip_network(leaf.networks[0])[0])
    elif isinstance(leaf, Compare):
        wish.whole = str(leaf.number + {"gt": 1, "gte": 0, "lt": -1, "lte": 0}[leaf.operator])
    elif isinstance(leaf, TimePart):
        wish.whole = f"2026-{leaf.number if leaf.part == 'month' else 3:02d}-11T04:05:06"
    elif isinstance(leaf, Reference):
        wishes.setdefault(leaf.other, wish)
    else:
        assert isinstance(leaf, Present)


def near(event: Event, chance: random.Random) -> Iterator[Event]:
    """Events that differ a little: a letter, its case, a value that is missing, a list, or longer."""
    if not event:
        return
    name = chance.choice(list(event))
    text = str(event[name])
    cut = chance.randrange(len(text) + 1)
    yield {**event, name: text[:cut] + text[cut + 1 :]}
    yield {**event, name: text[:cut] + "K" + text[cut:]}
    yield {key: value.upper() for key, value in event.items()}
    yield {key: value for key, value in event.items() if key != name}
    yield {**event, name: chance.choice(["", "é" + text, text + "\n", text * 2])}


def sample(pattern: str) -> str:
    """A short text that a regular expression is likely to match."""
    try:
        return _sample(parser.parse(pattern))
    except Exception:  # noqa: BLE001  another dialect: then the event is only nearly one
        return pattern


def _sample(tree: Any) -> str:
    out = ""
    for op, argument in tree:
        if op is constants.LITERAL:
            out += chr(argument)
        elif op in (constants.ANY, constants.NOT_LITERAL):
            out += "~"
        elif op is constants.IN:
            out += _member(argument)
        elif op in (constants.MAX_REPEAT, constants.MIN_REPEAT):
            out += _sample(argument[2]) * max(argument[0], min(1, argument[1]))
        elif op is constants.SUBPATTERN:
            out += _sample(argument[3])
        elif op is constants.BRANCH:
            out += _sample(argument[1][0])
        elif op is constants.ASSERT:
            out += _sample(argument[1])
    return out


_KINDS = {
    constants.CATEGORY_SPACE: " ",
    constants.CATEGORY_DIGIT: "7",
    constants.CATEGORY_WORD: "w",
    constants.CATEGORY_NOT_SPACE: "w",
    constants.CATEGORY_NOT_DIGIT: "w",
    constants.CATEGORY_NOT_WORD: " ",
}


def _member(items: Any) -> str:
    """A character of a class."""
    if items[0][0] is constants.NEGATE:
        told = {chr(value) for op, value in items if op is constants.LITERAL}
        return next(char for char in "~w7 _" if char not in told)
    op, value = items[0]
    if op is constants.LITERAL:
        return chr(value)
    return chr(value[0]) if op is constants.RANGE else _KINDS.get(value, "w")
