"""From a tree to steps: children over the same field are gathered, so that each field is asked once."""

from __future__ import annotations

from cityguard.sigma.ast import AllOf, AnyOf, Node, Not, Reference
from cityguard.sigma.engine.predicate import ONE_FIELD, Joined, Keyword, Negated, Plainly, Single, Step
from cityguard.sigma.engine.reference import Referred

SEVERAL = ""  # stands for "more than one field"; no rule can name a field so


def only_field(node: Node) -> str | None:
    """The one field a tree looks at; ``SEVERAL`` when there are more; None when it looks at none."""
    if isinstance(node, Not):
        return only_field(node.item)
    if isinstance(node, AllOf | AnyOf):
        found = {only_field(item) for item in node.items} - {None}
        return found.pop() if len(found) == 1 else (SEVERAL if found else None)
    return node.field if isinstance(node, ONE_FIELD) and node.field is not None else SEVERAL


def build(node: Node, made: dict[int, tuple[Node, Step]]) -> Step:
    """Steps of a tree. ``made`` keeps what was built, by identity of the node: rules share parts between classes."""
    kept = made.get(id(node))
    if kept is not None:
        return kept[1]
    step = _step(node, made)
    made[id(node)] = (node, step)
    return step


def _step(node: Node, made: dict[int, tuple[Node, Step]]) -> Step:
    field = only_field(node)
    if field != SEVERAL:
        return Single(field or "", node)
    if isinstance(node, Not):
        return Negated(build(node.item, made))
    if isinstance(node, AllOf | AnyOf):
        return _gathered(node, made)
    if isinstance(node, ONE_FIELD):
        return Keyword(node)
    return Referred(node) if isinstance(node, Reference) else Plainly(node)


def _gathered(node: AllOf | AnyOf, made: dict[int, tuple[Node, Step]]) -> Step:
    alike: dict[str, list[Node]] = {}
    steps: list[Step] = []
    for item in flat(node):
        field = only_field(item)
        if field == SEVERAL:
            steps.append(build(item, made))
        else:
            alike.setdefault(field or "", []).append(item)
    gathered = (items[0] if len(items) == 1 else type(node)(tuple(items)) for items in alike.values())
    steps += [build(item, made) for item in gathered]
    return steps[0] if len(steps) == 1 else Joined(isinstance(node, AllOf), steps)


def flat(node: AllOf | AnyOf) -> list[Node]:
    """Items of a node, with those of nodes of its kind below it."""
    found: list[Node] = []
    for item in node.items:
        found += flat(item) if isinstance(item, AllOf | AnyOf) and type(item) is type(node) else [item]
    return found
