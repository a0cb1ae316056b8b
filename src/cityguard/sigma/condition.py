"""The condition line: ``and or not``, parentheses, ``1 of``/``all of``, over the names of selections."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from fnmatch import fnmatchcase

from cityguard.errors import InputError
from cityguard.sigma.ast import AllOf, AnyOf, Node, Not

MAX_LENGTH = 16_384
MAX_DEPTH = 100
_TOKEN = re.compile(r"\s*(?:([()])|([^\s()]+))")
_WORDS = {"and", "or", "not"}


def parse(text: str, selections: Mapping[str, Node]) -> Node:
    """Build the tree of one condition; ``not`` binds tighter than ``and``, ``and`` tighter than ``or``.

    Raises:
        InputError: not the grammar of specification 2.1, or a name without a selection.
    """
    if len(text) > MAX_LENGTH:
        raise InputError(f"condition longer than {MAX_LENGTH} characters")
    if "|" in text:
        raise InputError("aggregations after '|' left Sigma with version 2", remedy="write a correlation document")
    tokens = [bracket or word for bracket, word in _TOKEN.findall(text)]
    reader = _Reader(tokens, selections)
    node = reader.either(0)
    if reader.peek():
        raise InputError(f"'{reader.peek()}' is not expected in the condition", remedy="join parts with and / or")
    return node


class _Reader:
    def __init__(self, tokens: list[str], selections: Mapping[str, Node]) -> None:
        self.tokens = tokens
        self.selections = selections
        self.at = 0

    def peek(self) -> str:
        """The next token, keywords in lower case; empty at the end."""
        token = self.tokens[self.at] if self.at < len(self.tokens) else ""
        return token.lower() if token.lower() in _WORDS else token

    def take(self) -> str:
        token = self.peek()
        self.at += 1
        return token

    def either(self, depth: int) -> Node:
        items = [self.both(depth)]
        while self.peek() == "or":
            self.take()
            items.append(self.both(depth))
        return items[0] if len(items) == 1 else AnyOf(tuple(items))

    def both(self, depth: int) -> Node:
        items = [self.single(depth)]
        while self.peek() == "and":
            self.take()
            items.append(self.single(depth))
        return items[0] if len(items) == 1 else AllOf(tuple(items))

    def single(self, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise InputError(f"condition nested deeper than {MAX_DEPTH}", remedy="split the rule")
        word = self.take()
        if word == "not":
            return Not(self.single(depth + 1))
        if word == "(":
            node = self.either(depth + 1)
            if self.take() != ")":
                raise InputError("a parenthesis is not closed", remedy="add ')'")
            return node
        if self.peek().lower() == "of" and word.lower() in ("1", "any", "all"):
            self.take()
            return self.some(word.lower())
        if word in ("", "and", "or", ")"):
            raise InputError(f"a name is missing before '{word or 'the end'}' in the condition")
        return self.named(word)

    def some(self, how: str) -> Node:
        pattern = self.take()
        bracketed = pattern == "("
        pattern = self.take() if bracketed else pattern
        if bracketed and self.take() != ")":
            raise InputError("a parenthesis is not closed", remedy="add ')'")
        everything = pattern.lower() == "them"
        names = [
            name
            for name in self.selections
            if (everything or fnmatchcase(name, pattern.replace("[", "[[]").replace("?", "[?]")))
            and (pattern.startswith("_") or not name.startswith("_"))
        ]
        if not names:
            known = ", ".join(self.selections)
            raise InputError(f"no selection is named like '{pattern}'", remedy=f"selections here: {known}")
        items = tuple(self.selections[name] for name in names)
        if len(items) == 1:
            return items[0]
        return AllOf(items) if how == "all" else AnyOf(items)

    def named(self, token: str) -> Node:
        if token in self.selections:
            return self.selections[token]
        near = difflib.get_close_matches(token, self.selections, 1)
        remedy = f"did you mean '{near[0]}'?" if near else f"selections here: {', '.join(self.selections)}"
        raise InputError(f"the condition names '{token}', which is no selection", remedy=remedy)
