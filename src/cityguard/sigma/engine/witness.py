"""Witnesses: of each rule a few words, one of which must occur in an event for the rule to hold."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from cityguard.patternwords import required
from cityguard.sigma import regex
from cityguard.sigma.ast import AllOf, AnyOf, Leaf, Mode, Node, Not, Regex, Words
from cityguard.sigma.match import _as_json
from cityguard.sigma.wildcard import fold

Literal = tuple[str | None, Mode, str]
"""Field (None: any value of the row), how it stands in the value, folded text."""
Costs = Mapping[Literal, float]
"""Share of events in which a literal was seen; those not named are guessed by their length."""

MAX_LITERALS = 2000  # of one rule; a rule with more is asked for every row
_FLAGS = re.compile(r"\(\?([a-z]+)\)")


def witness(node: Node, costs: Costs) -> tuple[float, frozenset[Literal]] | None:
    """The cheapest set of literals without one of which the tree cannot hold; None when there is no such set."""
    if isinstance(node, AllOf):
        found = [one for one in (witness(item, costs) for item in node.items) if one is not None]
        return min(found, key=lambda one: (one[0], len(one[1])), default=None)
    if isinstance(node, AnyOf):
        return _union([witness(item, costs) for item in node.items])
    if isinstance(node, Not):
        return _negated(node.item, costs)
    literals = of_leaf(node)
    if literals is None:
        return None
    return sum(cost(one, costs) for one in literals), literals


def _union(found: list[tuple[float, frozenset[Literal]] | None]) -> tuple[float, frozenset[Literal]] | None:
    total, literals = 0.0, set[Literal]()
    for one in found:
        if one is None:
            return None
        total += one[0]
        literals |= one[1]
    return (total, frozenset(literals)) if len(literals) <= MAX_LITERALS else None


def _negated(node: Node, costs: Costs) -> tuple[float, frozenset[Literal]] | None:
    """Below a ``not`` the laws of De Morgan hold; a leaf that must be absent bears no witness."""
    if isinstance(node, Not):
        return witness(node.item, costs)
    if isinstance(node, AllOf | AnyOf):
        turned = tuple(Not(item) for item in node.items)
        return witness(AnyOf(turned) if isinstance(node, AllOf) else AllOf(turned), costs)
    return None


def of_leaf(leaf: Leaf) -> frozenset[Literal] | None:
    """Literals of one leaf; None when it can hold without any."""
    if isinstance(leaf, Words):
        told = _as_json(leaf) if leaf.field is None else leaf
        assert isinstance(told, Words)
        texts = [fold(text) for text in told.texts] if leaf.cased else told.texts
        mode: Mode = "contains" if leaf.field is None else leaf.mode
        if mode != "exact" and not all(texts):
            return None
        return frozenset((leaf.field, mode, text) for text in texts)
    if isinstance(leaf, Regex):
        words = needles(leaf.pattern)
        return frozenset((leaf.field, "contains", word) for word in words) if words else None
    return None


@lru_cache(maxsize=8192)
def needles(pattern: str) -> frozenset[str]:
    """Folded words one of which stands in whatever the pattern matches; empty when there is no telling."""
    found = _FLAGS.match(pattern)
    flags = found[1] if found else ""
    if "x" in flags or not regex.linear(pattern):
        return frozenset()
    sets = [_folded(one, "i" in flags) for one in required(pattern[found.end() if found else 0 :])]
    return max((one for one in sets if all(one)), key=_worth, default=frozenset())


def _folded(words: frozenset[str], insensitive: bool) -> frozenset[str]:
    if not insensitive:
        return frozenset(map(fold, words))
    # without regard to case a letter may stand for others than its fold: 's' for the long s, most beyond ASCII
    return frozenset(max(re.split(r"[^\x00-\x7f]|[sS]", word), key=len).lower() for word in words)


def _worth(words: frozenset[str]) -> float:
    return min(map(len, words), default=0) - 0.01 * len(words)


def cost(literal: Literal, costs: Costs) -> float:
    """Share of events in which the literal is expected."""
    known = costs.get(literal)
    return guess(literal) if known is None else known + guess(literal) / 200


def guess(literal: Literal) -> float:
    """The same for a literal nothing is known of: longer is rarer, the ends of values are rarer than their middle."""
    length = len(literal[2])
    return 20.0 / (1 + length) ** 2 * (0.3 if literal[1] in ("exact", "suffix") else 1.0)
