"""The condition line: ``and or not``, parentheses, ``1 of``/``all of``, over the names of selections or of rules."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal, TypeAlias

from cityguard.errors import InputError
from cityguard.sigma.ast import AllOf, AnyOf, Clause, Node, Not

MAX_LENGTH = 16_384
MAX_DEPTH = 100
MAX_CLAUSES = 64
_TOKEN = re.compile(r"\s*(?:([()])|([^\s()]+))")
_WORDS = ("and", "or", "not")


@dataclass(frozen=True, slots=True)
class Name:
    """One selection (or rule)."""

    name: str


@dataclass(frozen=True, slots=True)
class Some:
    """``1 of pattern``, ``all of pattern``; ``them`` is every selection."""

    all: bool
    pattern: str


@dataclass(frozen=True, slots=True)
class Joined:
    """``not`` has one item, ``and`` and ``or`` two or more."""

    how: Literal["and", "or", "not"]
    items: tuple[Syntax, ...]


Syntax: TypeAlias = Name | Some | Joined


def syntax(text: str) -> Syntax:
    """What a condition says, before its names mean anything; ``not`` binds tighter than ``and``, that than ``or``.

    Raises:
        InputError: not the grammar of specification 2.1.
    """
    if len(text) > MAX_LENGTH:
        raise InputError(f"condition longer than {MAX_LENGTH} characters", remedy="split the rule")
    if "|" in text:
        raise InputError("aggregations after '|' left Sigma with version 2", remedy="write a correlation document")
    reader = _Reader([bracket or word for bracket, word in _TOKEN.findall(text)])
    made = reader.either(0)
    if reader.peek():
        raise InputError(f"'{reader.peek()}' is not expected in the condition", remedy="join parts with and / or")
    return made


def parse(text: str, selections: Mapping[str, Node]) -> Node:
    """The tree of one rule's condition.

    Raises:
        InputError: not the grammar of specification 2.1, or a name without a selection.
    """
    return tree(syntax(text), selections)


def tree(said: Syntax, selections: Mapping[str, Node]) -> Node:
    """Selections in place of their names.

    Raises:
        InputError: a name without a selection.
    """
    if isinstance(said, Name):
        return selections[_known(said.name, selections)]
    if isinstance(said, Some):
        items = tuple(selections[name] for name in _chosen(said, selections))
        if len(items) == 1:
            return items[0]
        return AllOf(items) if said.all else AnyOf(items)
    items = tuple(tree(item, selections) for item in said.items)
    if said.how == "not":
        return Not(items[0])
    return AllOf(items) if said.how == "and" else AnyOf(items)


def used(said: Syntax, selections: Iterable[str]) -> Iterator[str]:
    """Names of the selections that a condition speaks of."""
    if isinstance(said, Name):
        yield said.name
    elif isinstance(said, Some):
        yield from _matching(said.pattern, selections)
    else:
        for item in said.items:
            yield from used(item, selections)


# ---------------------------------------------------------------- conditions over rules


def names(said: Syntax) -> tuple[str, ...]:
    """Rules named, each once, in order of appearance."""
    return tuple(dict.fromkeys(used(said, ())))


def clauses(said: Syntax, order: tuple[str, ...]) -> tuple[Clause, ...]:
    """A boolean condition over rules as alternatives, each of rules needed and rules barred.

    Args:
        said: the condition.
        order: every rule it may name; ``Clause.needs`` and ``bars`` keep this order.

    Raises:
        InputError: ``1 of``, which is for selections; too many alternatives; or one that needs no rule at all.
    """
    place = {name: index for index, name in enumerate(order)}
    found = _alternatives(said, True)
    sound = {pair for pair in found if not pair[0] & pair[1]}
    least = [pair for pair in sound if not any(o[0] <= pair[0] and o[1] <= pair[1] and o != pair for o in sound)]
    if not least:
        raise InputError("the condition can never hold", remedy="a rule cannot be both needed and barred")
    if any(not needs for needs, _ in least):
        raise InputError("the condition holds without any rule", remedy="name with 'and' a rule that must have hits")
    made = (Clause(*(tuple(sorted(part, key=place.__getitem__)) for part in pair)) for pair in least)
    return tuple(sorted(made, key=lambda one: ([place[n] for n in one.needs], [place[n] for n in one.bars])))


_Pair: TypeAlias = tuple[frozenset[str], frozenset[str]]


def _alternatives(said: Syntax, sign: bool) -> set[_Pair]:
    if isinstance(said, Some):
        raise InputError("'of' chooses among selections, not rules", remedy="name each rule, joined by and / or")
    if isinstance(said, Name):
        one = frozenset((said.name,))
        return {(one, frozenset()) if sign else (frozenset(), one)}
    if said.how == "not":
        return _alternatives(said.items[0], not sign)
    parts = [_alternatives(item, sign) for item in said.items]
    if (said.how == "or") == sign:
        return _bounded({pair for part in parts for pair in part})
    found: set[_Pair] = {(frozenset(), frozenset())}
    for part in parts:
        found = _bounded({(a[0] | b[0], a[1] | b[1]) for a in found for b in part})
    return found


def _bounded(found: set[_Pair]) -> set[_Pair]:
    if len(found) > MAX_CLAUSES:
        raise InputError(f"the condition has more than {MAX_CLAUSES} alternatives", remedy="split the correlation")
    return found


# ---------------------------------------------------------------- names


def _known(name: str, selections: Iterable[str]) -> str:
    if name in selections:
        return name
    known = list(selections)
    near = difflib.get_close_matches(name, known, 1)
    remedy = f"did you mean '{near[0]}'?" if near else f"selections here: {_listed(known)}"
    raise InputError(f"the condition names '{name}', which is no selection", remedy=remedy)


def _chosen(said: Some, selections: Iterable[str]) -> list[str]:
    found = list(_matching(said.pattern, selections))
    if not found:
        raise InputError(
            f"no selection is named like '{said.pattern}'", remedy=f"selections here: {_listed(list(selections))}"
        )
    return found


def _matching(pattern: str, selections: Iterable[str]) -> Iterator[str]:
    """Names that fit; those that begin with ``_`` only where the pattern does."""
    everything = pattern.lower() == "them"
    plain = pattern.replace("[", "[[]").replace("?", "[?]")  # only * is a wildcard here
    for name in selections:
        if (everything or fnmatchcase(name, plain)) and (pattern.startswith("_") or not name.startswith("_")):
            yield name


def _listed(known: list[str]) -> str:
    return ", ".join(known[:20]) + (" …" if len(known) > 20 else "")


# ---------------------------------------------------------------- grammar


class _Reader:
    def __init__(self, tokens: list[str]) -> None:
        self.tokens = tokens
        self.at = 0

    def peek(self) -> str:
        token = self.tokens[self.at] if self.at < len(self.tokens) else ""
        return token.lower() if token.lower() in _WORDS else token

    def take(self) -> str:
        token = self.peek()
        self.at += 1
        return token

    def either(self, depth: int) -> Syntax:
        items = [self.both(depth)]
        while self.peek() == "or":
            self.take()
            items.append(self.both(depth))
        return items[0] if len(items) == 1 else Joined("or", tuple(items))

    def both(self, depth: int) -> Syntax:
        items = [self.single(depth)]
        while self.peek() == "and":
            self.take()
            items.append(self.single(depth))
        return items[0] if len(items) == 1 else Joined("and", tuple(items))

    def single(self, depth: int) -> Syntax:
        if depth > MAX_DEPTH:
            raise InputError(f"condition nested deeper than {MAX_DEPTH}", remedy="split the rule")
        word = self.take()
        if word == "not":
            return Joined("not", (self.single(depth + 1),))
        if word == "(":
            inner = self.either(depth + 1)
            self.close()
            return inner
        if self.peek().lower() == "of" and word.lower() in ("1", "any", "all"):
            self.take()
            return self.some(word.lower() == "all")
        if word in ("", "and", "or", ")"):
            raise InputError(
                f"a name is missing before '{word or 'the end'}' in the condition", remedy="name a selection there"
            )
        return Name(word)

    def some(self, every: bool) -> Syntax:
        pattern = self.take()
        if pattern == "(":
            pattern = self.take()
            self.close()
        if pattern in ("", "(", ")", *_WORDS):
            raise InputError("a pattern is missing after 'of'", remedy="write 'them' or a name such as selection_*")
        return Some(every, pattern)

    def close(self) -> None:
        if self.take() != ")":
            raise InputError("a parenthesis is not closed", remedy="add ')'")
