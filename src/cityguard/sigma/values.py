"""Values of one item to leaves: texts with their wildcards and encodings, and every other kind of value."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any, cast

from cityguard.errors import InputError
from cityguard.sigma import encodings, regex, wildcard
from cityguard.sigma.ast import (
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
from cityguard.sigma.decimals import number_text
from cityguard.sigma.reader import shown
from cityguard.sigma.spec import ANY, COMPARE, TIMES, Item
from cityguard.sigma.wildcard import Pattern, Shape, Wild

Network = IPv4Network | IPv6Network


def leaves_of(item: Item, value: Any) -> Iterable[Node]:
    """The alternatives one value stands for.

    Raises:
        InputError: the value does not go with the item's modifiers.
    """
    return _MAKERS.get(item.spec.kind, _text)(item, value)


# ---------------------------------------------------------------- texts


def _text(item: Item, value: Any) -> Iterable[Node]:
    asked = item.spec
    if isinstance(value, Network):
        return (Cidr(item.field, (str(value),)),)
    if value is None:
        if item.field is None:
            raise InputError("null is no keyword", remedy="name a field")
        if asked.names - ANY:
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
    low, high = TIMES[kind]
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
    **dict.fromkeys(COMPARE, _compare),
    **dict.fromkeys(TIMES, _time),
}
