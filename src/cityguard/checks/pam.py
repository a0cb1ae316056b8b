"""Which modules PAM really loads: the stacks every login and every new password go through, includes followed."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from cityguard.checks.linux import Collected

Kind = Literal["auth", "password"]
ENTRIES: dict[Kind, tuple[str, ...]] = {
    "auth": ("common-auth", "system-auth", "password-auth"),
    "password": ("common-password", "system-auth", "password-auth"),
}
FALLBACK: dict[Kind, tuple[str, ...]] = {"auth": ("sshd", "login"), "password": ("passwd",)}
MAX_DEPTH = 4
_LINE = re.compile(r"-?(auth|account|password|session)\s+(\[[^\]]*\]|\S+)\s+(\S+)\s*(.*)")
_ARGUMENT = re.compile(r"(\w+)=(-?\w+)")


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of a stack. ``binds``: its failure is a failure."""

    module: str
    arguments: str
    binds: bool

    @property
    def values(self) -> dict[str, str]:
        return dict(_ARGUMENT.findall(self.arguments))


@dataclass(slots=True)
class Stack:
    """The rules of one entry point. ``whole`` is False when a file it includes was not collected."""

    rules: list[Rule]
    whole: bool = True


def stacks(text: Collected, kind: Kind) -> list[Stack]:
    """The stack of every entry point that was collected."""
    for wanted in (ENTRIES[kind], FALLBACK[kind]):
        if titles := [title for name in wanted if (title := _title(text, name))]:
            return [_stack(text, title, kind) for title in titles]
    return []


def loaded(found: list[Stack], wanted: Callable[[Rule], bool]) -> tuple[bool | None, list[list[Rule]]]:
    """Whether every stack loads such a rule, and the rules by stack; None = not collected.

    A module in one entry point alone leaves the other door open.
    """
    matching = [[rule for rule in stack.rules if rule.binds and wanted(rule)] for stack in found]
    if any(not rules and stack.whole for rules, stack in zip(matching, found, strict=True)):
        return False, matching
    return (True if matching and all(matching) else None), matching


def _title(text: Collected, name: str) -> str | None:
    return next((title for title in text.sections if title == name or title.endswith(f"/{name}")), None)


def _stack(text: Collected, title: str, kind: Kind) -> Stack:
    stack = Stack([])
    _fill(stack, text, title, kind, 0)
    return stack


def _fill(stack: Stack, text: Collected, title: str, kind: Kind, depth: int) -> None:
    for line in text.sections[title]:
        match = _LINE.match(line)
        if line.startswith("@include"):
            _follow(stack, text, line.split()[-1], kind, depth)
        elif match and match[1] == kind and match[2] in ("include", "substack"):
            _follow(stack, text, match[3], kind, depth)
        elif match and match[1] == kind:
            module = match[3].rpartition("/")[2].removesuffix(".so")
            stack.rules.append(Rule(module, match[4], match[2] in ("required", "requisite") or match[2][0] == "["))


def _follow(stack: Stack, text: Collected, name: str, kind: Kind, depth: int) -> None:
    title = _title(text, name.rpartition("/")[2])
    if title is None or depth >= MAX_DEPTH:
        stack.whole = False
    else:
        _fill(stack, text, title, kind, depth + 1)
