"""Partial evaluation: what a class of events makes constant goes out of a rule's tree before anything runs."""

from __future__ import annotations

from collections.abc import Mapping

from cityguard.sigma.ast import AllOf, AnyOf, Node, Not, Words
from cityguard.sigma.engine.predicate import ONE_FIELD
from cityguard.sigma.engine.verdicts import one_by_one

Constants = Mapping[str, str | None]
"""Field -> its folded text in every event of the class; None: some text that no rule names whole."""


def specialise(node: Node, constants: Constants) -> Node | bool:
    """The tree as it stands for a class; True or False where it is decided. Unchanged parts stay the same objects."""
    if isinstance(node, Not):
        item = specialise(node.item, constants)
        if isinstance(item, bool):
            return not item
        return node if item is node.item else Not(item)
    if isinstance(node, AllOf | AnyOf):
        return _several(node, constants)
    if not isinstance(node, ONE_FIELD) or node.field is None or node.field not in constants:
        return node
    text = constants[node.field]
    if text is None:
        return False if isinstance(node, Words) and node.mode == "exact" and not node.cased else node
    return decided(node, text)


def _several(node: AllOf | AnyOf, constants: Constants) -> Node | bool:
    every = isinstance(node, AllOf)
    left: list[Node] = []
    same = True
    for item in node.items:
        made = specialise(item, constants)
        if isinstance(made, bool):
            if made is not every:
                return made
            same = False
            continue
        same &= made is item
        left.append(made)
    if same and left:
        return node
    if not left:
        return every
    return left[0] if len(left) == 1 else type(node)(tuple(left))


def decided(node: Node, text: str) -> Node | bool:
    """One leaf over a value known but for its case; the leaf itself where case matters or it is no text test."""
    if isinstance(node, Words) and not node.cased:
        quick = one_by_one(node)
        assert quick is not None
        return quick(text, text)
    return node
