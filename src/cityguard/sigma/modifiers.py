"""``field|modifier|…: values`` to a tree: every modifier of specification 2.1, by the meanings in docs/rules.md."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_network
from typing import Any

from cityguard.errors import InputError
from cityguard.sigma.ast import AllOf, AnyOf, Mode, Node, Not, Null, Words
from cityguard.sigma.spec import ANY, KNOWN, Item, spec
from cityguard.sigma.values import Network, leaves_of

__all__ = ["KNOWN", "MAX_VALUES", "UnresolvedError", "build"]

MAX_VALUES = 20_000  # per item, after placeholders and encodings


class UnresolvedError(InputError):
    """A placeholder has no list: the rule is sound but cannot run here."""


def build(key: str | None, value: Any, placeholders: Mapping[str, Sequence[str]]) -> Node:
    """The tree of one selection line.

    Args:
        key: ``field|modifiers``; None or an empty field for keywords.
        value: what YAML gave: a scalar or a list of scalars.
        placeholders: name -> values for ``expand``.

    Raises:
        InputError: an unknown modifier, or a value that does not go with it.
        UnresolvedError: ``expand`` names a list that is not given.
    """
    field, bar, modifiers = (key or "").partition("|")
    item = Item(field or None, spec(modifiers if bar else None, keyword=not field))
    values = value if isinstance(value, list) else [value]
    if any(isinstance(entry, dict | list) for entry in values):
        raise InputError("a value must be text, a number, true, false or null", remedy="move the map into a selection")
    if "expand" in item.spec.names:
        values = list(_expanded(item, values, placeholders))
    node = _join(item, values)
    return Not(node) if "neq" in item.spec.names else node


def _join(item: Item, values: list[Any]) -> Node:
    if not values:
        if "expand" in item.spec.names:
            return AnyOf(())  # an empty list matches nothing
        if item.field is None:
            raise InputError("a list of keywords is empty", remedy="add a keyword")
        return Null(item.field)
    if "all" in item.spec.names:
        return _one(AllOf(tuple(_one(AnyOf(tuple(_any(item, [value])))) for value in values)))
    return _one(AnyOf(tuple(_any(item, values))))


def _one(node: AllOf | AnyOf) -> Node:
    return node.items[0] if len(node.items) == 1 else node


def _any(item: Item, values: list[Any]) -> Iterator[Node]:
    """Alternatives; plain words of one kind become one leaf."""
    if len(values) > MAX_VALUES:
        raise _too_many()
    words: dict[Mode, dict[str, None]] = {}
    total = 0
    for value in values:
        for leaf in leaves_of(item, value):
            total += 1
            if isinstance(leaf, Words):
                words.setdefault(leaf.mode, {}).update(dict.fromkeys(leaf.texts))
            else:
                yield leaf
            if total > MAX_VALUES:
                raise _too_many()
    for mode, texts in words.items():
        yield Words(item.field, mode, tuple(texts), item.spec.cased)


def _too_many() -> InputError:
    return InputError(f"more than {MAX_VALUES} values in one item", remedy="split the item")


# ---------------------------------------------------------------- placeholders

_PLACEHOLDER = re.compile(r"%([^%\\]{1,128})%")


def _expanded(item: Item, values: list[Any], placeholders: Mapping[str, Sequence[str]]) -> Iterator[Any]:
    """Values with the lists in their places. Where a list is the whole value, its networks stay networks."""
    plain = item.field is not None and not item.spec.kind and item.spec.names <= ANY
    for value in values:
        names = _PLACEHOLDER.findall(value) if isinstance(value, str) else []
        if not names:
            yield value
            continue
        missing = [name for name in names if name not in placeholders]
        if missing:
            raise UnresolvedError(
                f"placeholder '%{missing[0]}%' has no list", remedy="define it in placeholders.yml beside the rules"
            )
        lists = [placeholders[name] for name in names]
        for chosen in itertools.islice(itertools.product(*lists), MAX_VALUES + 1):
            if plain and value == f"%{names[0]}%" and (network := _network(str(chosen[0]))) is not None:
                yield network
                continue
            texts = iter(chosen)
            yield _PLACEHOLDER.sub(lambda _, texts=texts: str(next(texts)), value)  # type: ignore[misc]


def _network(text: str) -> Network | None:
    """``10.1.0.0/16`` as a network; None for a text that is none."""
    try:
        return ip_network(text) if "/" in text else None
    except ValueError:
        return None
