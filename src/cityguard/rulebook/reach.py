"""Can a rule ever hold on what a source sends? The tree of its condition over the names that were seen."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import cached_property

from cityguard.sigma import fields
from cityguard.sigma.ast import AllOf, AnyOf, Node, Not, Null, Reference

_NONE: frozenset[str] = frozenset()


class Names:
    """Names a source has sent values for; answers for a rule's field as matching would look for it."""

    def __init__(self, names: Collection[str]) -> None:
        self.names = frozenset(names)
        self._known: dict[str, bool] = {}

    @cached_property
    def _unspaced(self) -> frozenset[str]:
        return frozenset(name.replace(" ", "") for name in self.names if " " in name)

    def __contains__(self, field: str) -> bool:
        if field not in self._known:
            self._known[field] = self._has(field)
        return self._known[field]

    def _has(self, field: str) -> bool:
        return field in self._unspaced or any(name in self.names for name in columns_of(field))


def columns_of(field: str) -> tuple[str, ...]:
    """Names under which a rule's field may stand in a table, its own first."""
    mapped = fields.COLUMN.get(field)
    others: Iterable[str] = (mapped,) if isinstance(mapped, str) else mapped or ()
    return (field, *others)


def missing(node: Node, names: Names, *, wanted: bool = True) -> frozenset[str]:
    """Fields that keep a condition from ever being ``wanted``; empty when it can be, as far as names tell.

    A comparison on a missing field is false and its negation true, so only what must be there counts: of
    alternatives the one that lacks least.
    """
    if isinstance(node, Not):
        return missing(node.item, names, wanted=not wanted)
    if isinstance(node, AllOf | AnyOf):
        each = [missing(item, names, wanted=wanted) for item in node.items]
        if isinstance(node, AllOf) is wanted:
            return _NONE.union(*each)
        return min(each, key=lambda lacks: (len(lacks), sorted(lacks)), default=_NONE)
    needs_value = wanted is not isinstance(node, Null)
    if not needs_value:
        return _NONE
    used = (node.field, node.other) if isinstance(node, Reference) else (node.field,)
    return frozenset(field for field in used if field is not None and field not in names)
