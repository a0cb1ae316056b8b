"""``field|modifier|…: values`` to a tree: every modifier of specification 2.1, by the meanings in docs/rules.md."""

from __future__ import annotations

import base64
import difflib
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any, cast

from cityguard.errors import InputError
from cityguard.sigma import regex, wildcard
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
from cityguard.sigma.wildcard import Pattern, Shape, Wild

MAX_VALUES = 20_000  # per item, after placeholders and encodings
_COMPARE = {"gt", "gte", "lt", "lte"}
_TIME = {"minute", "hour", "day", "week", "month", "year"}
_FLAGS = {"i": "i", "ignorecase": "i", "m": "m", "multiline": "m", "s": "s", "dotall": "s"}
_UTF16 = {"wide": "utf-16-le", "utf16le": "utf-16-le", "utf16be": "utf-16-be", "utf16": "utf-16"}
_SIDES = {"contains", "startswith", "endswith"}
_KINDS = {"re", "cidr", "exists", "fieldref"} | _COMPARE | _TIME  # what a value is; at most one
_PLAIN = {"all", "neq", "cased", "windash", "base64", "base64offset", "expand"}
KNOWN = frozenset(_KINDS | _PLAIN | _SIDES | set(_FLAGS) | set(_UTF16))


class UnresolvedError(InputError):
    """A placeholder has no list: the rule is sound but cannot run here."""


@dataclass(frozen=True, slots=True)
class Item:
    """One line of a selection: the field (None for keywords), its modifiers in order."""

    field: str | None
    modifiers: tuple[str, ...]
    placeholders: Mapping[str, Sequence[str]]

    def has(self, name: str) -> bool:
        return name in self.modifiers

    @property
    def kind(self) -> str:
        return next((name for name in self.modifiers if name in _KINDS), "")


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
    field, *modifiers = (key or "").split("|")
    item = Item(field or None, tuple(modifiers), placeholders)
    _check(item)
    values = list(_expanded(item, value if isinstance(value, list) else [value]))
    if any(isinstance(entry, dict | list) for entry in values):
        raise InputError("a value must be text, a number, true, false or null", remedy="move the map into a selection")
    node = _join(item, values)
    return Not(node) if item.has("neq") else node


def number_text(value: float) -> str:
    """A number as events' texts are compared with it: 3.0 is ``3``."""
    if isinstance(value, int):
        return str(value)
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)


def _check(item: Item) -> None:
    for name in item.modifiers:
        if name not in KNOWN:
            near = difflib.get_close_matches(name, KNOWN, 1)
            remedy = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(sorted(KNOWN))}"
            raise InputError(f"unknown modifier '{name}'", remedy=remedy)
    kinds = [name for name in item.modifiers if name in _KINDS]
    if len(kinds) > 1:
        raise InputError(f"modifiers '{kinds[0]}' and '{kinds[1]}' do not go together", remedy="use two lines")
    if item.kind not in ("", "re") and item.field is None:
        raise InputError(f"modifier '{item.kind}' needs a field", remedy="write field|" + item.kind)
    flags = [name for name in item.modifiers if name in _FLAGS]
    if flags and item.kind != "re":
        raise InputError(f"modifier '{flags[0]}' goes with 're' only", remedy="write field|re|" + flags[0])


def _join(item: Item, values: list[Any]) -> Node:
    if not values and item.has("expand"):
        return AnyOf(())  # an empty list matches nothing
    if not values:
        return Null(item.field)
    if item.has("all"):
        return _one(AllOf(tuple(_one(AnyOf(tuple(_any(item, [value])))) for value in values)))
    return _one(AnyOf(tuple(_any(item, values))))


def _one(node: AllOf | AnyOf) -> Node:
    return node.items[0] if len(node.items) == 1 else node


def _any(item: Item, values: list[Any]) -> Iterator[Node]:
    """Alternatives; plain words of one kind become one leaf."""
    words: dict[tuple[Mode, bool], dict[str, None]] = {}
    total = 0
    for value in values:
        for leaf in _MAKERS.get(item.kind, _text)(item, value):
            if isinstance(leaf, Words):
                words.setdefault((leaf.mode, leaf.cased), {}).update(dict.fromkeys(leaf.texts))
            else:
                yield leaf
            total += 1
            if total > MAX_VALUES:
                raise InputError(f"more than {MAX_VALUES} values in one item", remedy="split the item")
    for (mode, cased), texts in words.items():
        yield Words(item.field, mode, tuple(texts), cased)


# ---------------------------------------------------------------- placeholders

_PLACEHOLDER = re.compile(r"%([A-Za-z0-9_.-]+)%")


def _expanded(item: Item, values: list[Any]) -> Iterator[Any]:
    for value in values:
        names = _PLACEHOLDER.findall(value) if item.has("expand") and isinstance(value, str) else []
        missing = [name for name in names if name not in item.placeholders]
        if missing:
            raise UnresolvedError(
                f"placeholder '%{missing[0]}%' has no list", remedy="define it in placeholders.yml beside the rules"
            )
        lists = [item.placeholders[name] for name in names]
        for chosen in itertools.islice(itertools.product(*lists), MAX_VALUES):
            texts = iter(chosen)
            yield _PLACEHOLDER.sub(lambda _, texts=texts: str(next(texts)), value) if names else value  # type: ignore[misc]


# ---------------------------------------------------------------- values by kind


def _text(item: Item, value: Any) -> Iterable[Node]:
    if value is None:
        if item.field is None:
            raise InputError("null is no keyword", remedy="name a field")
        return [Null(item.field)]
    plain = _scalar(value)
    pattern = wildcard.parse(plain) if isinstance(value, str) else (plain,)
    if item.has("windash"):
        pattern = wildcard.windash(pattern)
    cased = item.has("cased")
    return [leaf for one in _encoded(item, pattern) for leaf in _words(item, _sided(item, one), cased)]


def _scalar(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return number_text(value)
    return str(value)


def _sided(item: Item, pattern: Pattern) -> Shape:
    form = wildcard.shape(pattern)
    both = item.has("contains") or item.field is None
    return Shape(
        form.inner,
        form.open_start or both or item.has("endswith"),
        form.open_end or both or item.has("startswith"),
    )


_MODES: dict[tuple[bool, bool], Mode] = {
    (False, False): "exact",
    (False, True): "prefix",
    (True, False): "suffix",
    (True, True): "contains",
}


def _words(item: Item, form: Shape, cased: bool) -> Iterator[Node]:
    if not form.inner and (form.open_start or form.open_end):
        yield Present(item.field)
        return
    dashes = sum(part is Wild.DASH for part in form.inner)
    if dashes > 2 or any(part in (Wild.MANY, Wild.ONE) for part in form.inner):
        yield Regex(item.field, wildcard.to_regex(form, cased=cased), folded=not cased)
        return
    mode = _MODES[form.open_start, form.open_end]
    choices = [wildcard.DASHES if part is Wild.DASH else (str(part),) for part in form.inner]
    for chosen in itertools.product(*choices):
        text = "".join(chosen)
        yield Words(item.field, mode, (text if cased else wildcard.fold(text),), cased)


def _encoded(item: Item, pattern: Pattern) -> Iterator[Pattern]:
    wide = next((_UTF16[name] for name in item.modifiers if name in _UTF16), None)
    offset = item.has("base64offset")
    if not (item.has("base64") or offset):
        yield pattern if wide is None else tuple(_wide(part, wide) for part in pattern)
        return
    if any(part in (Wild.MANY, Wild.ONE) for part in pattern):
        raise InputError("base64 of a text with wildcards", remedy=r"escape them as \* and \?")
    choices = [wildcard.DASHES if part is Wild.DASH else (str(part),) for part in pattern]
    for chosen in itertools.islice(itertools.product(*choices), MAX_VALUES):
        data = _bytes("".join(chosen), wide or "utf-8")
        for shift in range(3) if offset else (0,):
            yield (_base64(data, shift if offset else None),)


def _bytes(text: str, encoding: str) -> bytes:
    # "utf-16" alone would follow the machine's byte order
    return b"\xff\xfe" + text.encode("utf-16-le") if encoding == "utf-16" else text.encode(encoding)


def _base64(data: bytes, shift: int | None) -> str:
    if shift is None:
        return base64.b64encode(data).decode()
    # Only characters that depend on our bytes alone, wherever the text stands in what was encoded.
    first = (0, 2, 3)[shift]
    last = (None, -3, -2)[(len(data) + shift) % 3]
    return base64.b64encode(b" " * shift + data).decode()[first:last]


def _wide(part: str | Wild, encoding: str) -> str | Wild:
    if isinstance(part, Wild):
        return part
    try:
        return _bytes(part, encoding).decode("utf-8")
    except UnicodeDecodeError:
        raise InputError(f"'{part}' has no UTF-16 form that is text", remedy="add base64 or base64offset") from None


def _regex(item: Item, value: Any) -> Iterable[Node]:
    if not isinstance(value, str):
        raise InputError("a regular expression must be text", remedy="put it in quotes")
    flags = "".join(sorted({_FLAGS[name] for name in item.modifiers if name in _FLAGS}))
    pattern = value
    if item.has("startswith"):
        pattern = f"^(?:{pattern})"
    if item.has("endswith"):
        pattern = f"(?:{pattern})$"
    pattern = f"(?{flags}){pattern}" if flags else pattern
    regex.check(pattern)
    return [Regex(item.field, pattern)]


def _cidr(item: Item, value: Any) -> Iterable[Node]:
    try:
        return [Cidr(item.field, (str(ip_network(str(value))),))]
    except ValueError as error:
        raise InputError(f"not a network: {error}", remedy="write it like 10.1.0.0/16") from None


def _compare(item: Item, value: Any) -> Iterable[Node]:
    try:
        if isinstance(value, bool):
            raise ValueError
        return [Compare(item.field, cast("Operator", item.kind), float(value))]
    except (TypeError, ValueError):
        raise InputError(f"'{item.kind}' compares numbers, not {value!r}", remedy="write a number") from None


def _time(item: Item, value: Any) -> Iterable[Node]:
    try:
        if isinstance(value, bool):
            raise ValueError
        return [TimePart(item.field, cast("Part", item.kind), int(value))]
    except (TypeError, ValueError):
        raise InputError(f"'{item.kind}' takes a whole number, not {value!r}", remedy="write a number") from None


def _exists(item: Item, value: Any) -> Iterable[Node]:
    if not isinstance(value, bool):
        raise InputError("'exists' takes true or false", remedy="write true or false")
    return [Present(item.field) if value else Not(Present(item.field))]


def _reference(item: Item, value: Any) -> Iterable[Node]:
    if not isinstance(value, str) or not value or item.field is None:
        raise InputError("'fieldref' takes the name of a field", remedy="write the other field's name")
    form = _sided(item, (value,))
    return [Reference(item.field, value, _MODES[form.open_start, form.open_end], item.has("cased"))]


_MAKERS: dict[str, Callable[[Item, Any], Iterable[Node]]] = {
    "re": _regex,
    "cidr": _cidr,
    "exists": _exists,
    "fieldref": _reference,
    **dict.fromkeys(_COMPARE, _compare),
    **dict.fromkeys(_TIME, _time),
}
