"""Our tree and pySigma's in one neutral form: nested tuples, joined and sorted, every value by itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from sigma.conditions import (
    ConditionAND,
    ConditionFieldEqualsValueExpression,
    ConditionNOT,
    ConditionOR,
    ConditionValueExpression,
)
from sigma.rule import SigmaRule
from sigma.types import (
    Placeholder,
    SigmaBool,
    SigmaCasedString,
    SigmaCIDRExpression,
    SigmaCompareExpression,
    SigmaExists,
    SigmaExpansion,
    SigmaFieldReference,
    SigmaNull,
    SigmaNumber,
    SigmaRegularExpression,
    SigmaRegularExpressionFlag,
    SigmaString,
    SigmaTimestampPart,
    SpecialChars,
)

from cityguard.sigma.ast import (
    AllOf,
    AnyOf,
    Cidr,
    Compare,
    Node,
    Not,
    Null,
    Present,
    Reference,
    Regex,
    TimePart,
    Words,
)

Form = tuple[Any, ...]
MANY, ONE = "\ue000*", "\ue001?"  # no text of a rule holds these
DASHES = "-/–—―"
_TOKEN = re.compile(r"\.\*|\.|\[-/–—―\]|\\.|[^.\\]", re.DOTALL)
_FLAGS = re.compile(r"\(\?([ims]+)\)")
_WILD = {SpecialChars.WILDCARD_MULTI: MANY, SpecialChars.WILDCARD_SINGLE: ONE}
_LETTER = {
    SigmaRegularExpressionFlag.IGNORECASE: "i",
    SigmaRegularExpressionFlag.MULTILINE: "m",
    SigmaRegularExpressionFlag.DOTALL: "s",
}


def joined(how: str, items: Iterable[Form]) -> Form:
    """``and``, ``or``: flat, each item once, in one order."""
    flat = {part for item in items for part in (item[1:] if item[0] == how else (item,))}
    return (how, *sorted(flat, key=repr)) if len(flat) != 1 else flat.pop()


def negated(item: Form) -> Form:
    return item[1] if item[0] == "not" else ("not", item)


def text(field: str | None, parts: Iterable[str], cased: bool) -> Form:
    """A text with its wildcards; a keyword stands anywhere, so its outer ones say nothing."""
    kept: list[str] = []
    for part in parts:
        part = part if cased or part in (MANY, ONE) else part.lower().replace("ς", "σ")
        if part == MANY and kept and kept[-1] == MANY:
            continue
        if part not in (MANY, ONE) and kept and kept[-1] not in (MANY, ONE):
            kept[-1] += part
        else:
            kept.append(part)
    if field is None and kept != [MANY]:
        kept = kept[1:] if kept[:1] == [MANY] else kept
        kept = kept[:-1] if kept[-1:] == [MANY] else kept
    return ("any", field) if kept == [MANY] else ("text", field, cased, *kept)


def expression(field: str | None, pattern: str, flags: str) -> Form:
    """A regular expression; its flags may stand in front of it as well."""
    while inside := _FLAGS.match(pattern):
        flags, pattern = flags + inside[1], pattern[inside.end() :]
    if set(flags) == {"s"} and _is_wild("(?s)" + pattern):
        return _wild(field, pattern, True)
    return ("re", field, pattern, "".join(sorted(set(flags))))


# ---------------------------------------------------------------- ours


def ours(node: Node) -> Form:
    """A tree of cityguard."""
    if isinstance(node, AllOf | AnyOf):
        return joined("and" if isinstance(node, AllOf) else "or", map(ours, node.items))
    if isinstance(node, Not):
        return negated(ours(node.item))
    if isinstance(node, Words):
        return joined("or", (text(node.field, _sides(node, one), node.cased) for one in node.texts))
    if isinstance(node, Regex):
        return _regex(node)
    return _OURS[type(node)](node)


def _sides(node: Words, one: str) -> list[str]:
    before = [MANY] if node.mode in ("suffix", "contains") else []
    return [*before, *([one] if one else []), *([MANY] if node.mode in ("prefix", "contains") else [])]


def _regex(node: Regex) -> Form:
    if node.folded:
        return _wild(node.field, node.pattern, False)
    return expression(node.field, node.pattern, "")


def _wild(field: str | None, pattern: str, cased: bool) -> Form:
    """A pattern made of wildcards, taken back to them."""
    body = pattern.removeprefix("(?s)")
    tokens = _TOKEN.findall(body.removeprefix("^"))
    if tokens[-1:] == ["$"]:
        tokens.pop()
    else:
        tokens.append(".*")
    if not body.startswith("^"):
        tokens.insert(0, ".*")
    return joined("or", (text(field, parts, cased) for parts in _spelled(tokens)))


def _is_wild(pattern: str) -> bool:
    """True for what ``cased`` makes of wildcards, which a rule may as well write itself."""
    return re.fullmatch(r"\(\?s\)\^?(?:\.\*|\.|\[-/–—―\]|\\.|[^.\\()|+*?{}\[\]])*\$?", pattern, re.DOTALL) is not None


def _spelled(tokens: list[str]) -> Iterator[list[str]]:
    """Each dash class written out."""
    if "[-/–—―]" not in tokens:
        yield [{".*": MANY, ".": ONE}.get(token, token[-1]) for token in tokens]
        return
    at = tokens.index("[-/–—―]")
    for dash in DASHES:
        yield from _spelled([*tokens[:at], "\\" + dash, *tokens[at + 1 :]])


_OURS: dict[type, Callable[[Any], Form]] = {
    Present: lambda leaf: ("any", leaf.field),
    Null: lambda leaf: ("null", leaf.field),
    Cidr: lambda leaf: joined("or", (("cidr", leaf.field, network) for network in leaf.networks)),
    Compare: lambda leaf: ("number", leaf.field, leaf.operator, float(leaf.number)),
    TimePart: lambda leaf: ("time", leaf.field, leaf.part, leaf.number),
    Reference: lambda leaf: (
        *("field", leaf.field, leaf.other),
        leaf.mode in ("prefix", "contains"),
        leaf.mode in ("suffix", "contains"),
    ),
}


# ---------------------------------------------------------------- theirs


def theirs(rule: SigmaRule, lists: dict[str, list[str]]) -> Form:
    """A rule of pySigma, its placeholders filled from ``lists``."""
    return joined("or", (_theirs(condition.parsed, lists) for condition in rule.detection.parsed_condition))


def _theirs(item: Any, lists: dict[str, list[str]]) -> Form:
    if isinstance(item, ConditionAND | ConditionOR):
        how = "and" if isinstance(item, ConditionAND) else "or"
        return joined(how, (_theirs(arg, lists) for arg in item.args))
    if isinstance(item, ConditionNOT):
        return negated(_theirs(item.args[0], lists))
    if isinstance(item, ConditionValueExpression):
        return value(None, item.value, lists)
    assert isinstance(item, ConditionFieldEqualsValueExpression), item
    return value(item.field, item.value, lists)


def value(field: str | None, one: Any, lists: dict[str, list[str]]) -> Form:
    """One value of pySigma."""
    if isinstance(one, SigmaExpansion):
        return joined("or", (value(field, inner, lists) for inner in one.values))
    if isinstance(one, SigmaString | SigmaRegularExpression) and one.contains_placeholder():
        return joined("or", (value(field, made, {}) for made in one.replace_placeholders(_filler(lists))))
    if isinstance(one, SigmaString):
        parts = [part if isinstance(part, str) else _WILD[part] for part in one.s]  # type: ignore[index]
        return text(field, parts, isinstance(one, SigmaCasedString))
    if isinstance(one, SigmaTimestampPart):
        return ("time", field, one.timestamp_part.name.lower(), one.number)
    if isinstance(one, SigmaBool):
        return text(field, [str(one.boolean).lower()], False)
    if isinstance(one, SigmaNumber):
        return text(field, [str(one.number)], False)
    if isinstance(one, SigmaRegularExpression):
        return expression(field, one.regexp.to_plain_regex(), "".join(_LETTER[flag] for flag in one.flags))
    if isinstance(one, SigmaCompareExpression):
        return ("number", field, one.op.name.lower(), float(one.number.number))
    if isinstance(one, SigmaFieldReference):
        return ("field", field, one.field, one.starts_with, one.ends_with)
    if isinstance(one, SigmaExists):
        return ("any", field) if one.exists else ("not", ("any", field))
    if isinstance(one, SigmaCIDRExpression):
        return ("cidr", field, str(one.network))
    assert isinstance(one, SigmaNull), one
    return ("null", field)


def _filler(lists: dict[str, list[str]]) -> Callable[[Placeholder], Iterator[SigmaString]]:
    def fill(placeholder: Placeholder) -> Iterator[SigmaString]:
        for given in lists[placeholder.name]:
            yield SigmaString(given)

    return fill
