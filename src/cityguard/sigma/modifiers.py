"""``field|modifier|…: values`` to a tree: every modifier of specification 2.1, by the meanings in docs/rules.md."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any, cast

from cityguard.errors import InputError
from cityguard.sigma import encodings, regex, wildcard
from cityguard.sigma.ast import (
    AllOf,
    AnyOf,
    Cidr,
    Compare,
    Mode,
    Node,
    Not,
    Null,
    Operator,
    Part,
    Present,
    Reference,
    Regex,
    TimePart,
    Words,
)
from cityguard.sigma.reader import nearest, shown
from cityguard.sigma.wildcard import Pattern, Shape, Wild

MAX_VALUES = 20_000  # per item, after placeholders and encodings
_COMPARE = {"gt", "gte", "lt", "lte"}
_TIME = {"minute": (0, 59), "hour": (0, 23), "day": (1, 31), "week": (1, 53), "month": (1, 12), "year": (1, 9999)}
_FLAGS = {"i": "i", "ignorecase": "i", "m": "m", "multiline": "m", "s": "s", "dotall": "s"}
_SIDES = {"contains", "startswith", "endswith"}
_ANY = {"all", "neq", "expand"}  # go with every kind of value
_GOES_WITH: dict[str, set[str]] = {
    "re": _ANY | _SIDES | set(_FLAGS),
    "fieldref": _ANY | _SIDES | {"cased"},
    "": _ANY | _SIDES | {"cased"} | encodings.KNOWN,
    **dict.fromkeys(("cidr", "exists", *_COMPARE, *_TIME), _ANY),
}
"""What a value is (at most one such modifier) -> what else may stand beside it."""

Network = IPv4Network | IPv6Network
KNOWN = frozenset(_GOES_WITH.keys() - {""}).union(*_GOES_WITH.values())


class UnresolvedError(InputError):
    """A placeholder has no list: the rule is sound but cannot run here."""


@dataclass(frozen=True, slots=True)
class Spec:
    """What the modifiers of one item ask for."""

    names: frozenset[str]
    kind: str  # what a value is: "" for texts
    steps: tuple[str, ...]  # windash and encodings, in order
    open_start: bool  # anything may stand before a value
    open_end: bool
    cased: bool
    flags: str  # of a regular expression


@dataclass(frozen=True, slots=True)
class Item:
    """One line of a selection: the field (None for keywords) and its modifiers."""

    field: str | None
    spec: Spec


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


def number_text(value: float) -> str:
    """A number as events' texts are compared with it: 3.0 is ``3``."""
    if isinstance(value, int):
        return str(value)
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)


@lru_cache(maxsize=4096)
def spec(modifiers: str | None, *, keyword: bool) -> Spec:
    """Read ``contains|all``; None for no modifier at all.

    Raises:
        InputError: an unknown modifier, or some that do not go together.
    """
    names = modifiers.split("|") if modifiers is not None else []
    for name in names:
        if name not in KNOWN:
            raise InputError(f"unknown modifier '{shown(name)}'", remedy=nearest(name, sorted(KNOWN)))
    kinds = list(dict.fromkeys(name for name in names if name in _GOES_WITH))
    if len(kinds) > 1:
        raise InputError(f"modifiers '{kinds[0]}' and '{kinds[1]}' do not go together", remedy="use two lines")
    kind = kinds[0] if kinds else ""
    for name in names:
        if name != kind and name not in _GOES_WITH[kind]:
            _mismatch(name, kind)
    if keyword and kind not in ("", "re"):
        raise InputError(f"modifier '{kind}' needs a field", remedy="write field|" + kind)
    both = "contains" in names or (keyword and kind == "")
    return Spec(
        names=frozenset(names),
        kind=kind,
        steps=encodings.steps(names),
        open_start=both or "endswith" in names,
        open_end=both or "startswith" in names,
        cased="cased" in names,
        flags="".join(sorted({_FLAGS[name] for name in names if name in _FLAGS})),
    )


def _mismatch(name: str, kind: str) -> None:
    if name in _FLAGS:
        raise InputError(f"modifier '{name}' goes with 're' only", remedy="write field|re|" + name)
    raise InputError(f"modifiers '{kind}' and '{name}' do not go together", remedy=f"leave '{name}' out")


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
    make = _MAKERS.get(item.spec.kind, _text)
    for value in values:
        for leaf in make(item, value):
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
    plain = item.field is not None and not item.spec.kind and item.spec.names <= _ANY
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


# ---------------------------------------------------------------- texts


def _text(item: Item, value: Any) -> Iterable[Node]:
    asked = item.spec
    if isinstance(value, Network):
        return (Cidr(item.field, (str(value),)),)
    if value is None:
        if item.field is None:
            raise InputError("null is no keyword", remedy="name a field")
        if asked.names - _ANY:
            raise InputError("null goes with no modifier of texts", remedy="write the field alone, or use 'exists'")
        return (Null(item.field),)
    if value == "" and item.field is None:
        raise InputError("an empty keyword stands in every event", remedy="leave it out")
    pattern = wildcard.parse(value) if isinstance(value, str) else (_scalar(value),)
    if not asked.steps:
        return _words(item, pattern)
    return (leaf for one in encodings.apply(pattern, asked.steps) for leaf in _words(item, one))


def _scalar(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return number_text(value)
    return str(value)


_MODES: dict[tuple[bool, bool], Mode] = {
    (False, False): "exact",
    (False, True): "prefix",
    (True, False): "suffix",
    (True, True): "contains",
}


def _words(item: Item, pattern: Pattern) -> Iterable[Node]:
    asked = item.spec
    if len(pattern) == 1 and isinstance(pattern[0], str):  # nearly all
        mode = _MODES[asked.open_start, asked.open_end]
        return (Words(item.field, mode, (pattern[0] if asked.cased else wildcard.fold(pattern[0]),), asked.cased),)
    form = wildcard.shape(pattern)
    return _shaped(item, Shape(form.inner, form.open_start or asked.open_start, form.open_end or asked.open_end))


def _shaped(item: Item, form: Shape) -> Iterator[Node]:
    cased = item.spec.cased
    if not form.inner and (form.open_start or form.open_end):
        yield Present(item.field)
        return
    dashes = sum(part is Wild.DASH for part in form.inner)
    if dashes > 2 or any(part in (Wild.MANY, Wild.ONE) for part in form.inner):
        yield Regex(item.field, wildcard.to_regex(form, cased=cased), folded=not cased)
        return
    mode = _MODES[form.open_start, form.open_end]
    for text in wildcard.spelled(form.inner):
        yield Words(item.field, mode, (text if cased else wildcard.fold(text),), cased)


# ---------------------------------------------------------------- values of other kinds


def _regex(item: Item, value: Any) -> Iterable[Node]:
    if not isinstance(value, str):
        raise InputError("a regular expression must be text", remedy="put it in quotes")
    names, pattern = item.spec.names, value
    if "startswith" in names:
        pattern = f"^(?:{pattern})"
    if "endswith" in names:
        pattern = f"(?:{pattern})$"
    pattern = f"(?{item.spec.flags}){pattern}" if item.spec.flags else pattern
    regex.check(pattern)
    return [Regex(item.field, pattern)]


def _cidr(item: Item, value: Any) -> Iterable[Node]:
    try:
        return [Cidr(item.field, (str(ip_network(str(value))),))]
    except ValueError as error:
        raise InputError(f"not a network: {shown(error)}", remedy="write it like 10.1.0.0/16") from None


def _compare(item: Item, value: Any) -> Iterable[Node]:
    try:
        if isinstance(value, bool):
            raise ValueError
        number = float(value)
        if number != number or abs(number) == float("inf"):
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        raise InputError(
            f"'{item.spec.kind}' compares numbers, not '{shown(value)}'", remedy="write a number"
        ) from None
    return [Compare(item.field, cast("Operator", item.spec.kind), number)]


def _time(item: Item, value: Any) -> Iterable[Node]:
    kind = item.spec.kind
    try:
        if isinstance(value, bool | float):
            raise ValueError
        number = int(value)
    except (TypeError, ValueError):
        raise InputError(f"'{kind}' takes a whole number, not '{shown(value)}'", remedy="write a number") from None
    low, high = _TIME[kind]
    if not low <= number <= high:
        raise InputError(f"'{kind}' is never {shown(number)}", remedy=f"write a number from {low} to {high}")
    return [TimePart(item.field, cast("Part", kind), number)]


def _exists(item: Item, value: Any) -> Iterable[Node]:
    if not isinstance(value, bool):
        raise InputError("'exists' takes true or false", remedy="write true or false")
    return [Present(item.field) if value else Not(Present(item.field))]


def _reference(item: Item, value: Any) -> Iterable[Node]:
    if not isinstance(value, str) or not value or item.field is None or wildcard.wild(wildcard.parse(value)):
        raise InputError("'fieldref' takes the name of a field", remedy="write the other field's name")
    return [Reference(item.field, value, _MODES[item.spec.open_start, item.spec.open_end], item.spec.cased)]


_MAKERS: dict[str, Callable[[Item, Any], Iterable[Node]]] = {
    "re": _regex,
    "cidr": _cidr,
    "exists": _exists,
    "fieldref": _reference,
    **dict.fromkeys(_COMPARE, _compare),
    **dict.fromkeys(_TIME, _time),
}
