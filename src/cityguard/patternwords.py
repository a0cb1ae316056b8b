"""Words that a text must hold for a regular expression (of Rust's dialect) to match: most need not be tried at all."""

from __future__ import annotations

from typing import Final

Sets = list[frozenset[str]]
SHORT: Final = 2
"""Words up to so many characters are common."""
_LETTERS: Final = {"t": "\t", "n": "\n", "r": "\r"}
_ZERO_WIDTH: Final = "bBAz<>"
_REPEATS: Final = "?*+{"


def required(pattern: str) -> Sets:
    """Words of a Rust regular expression: every match contains at least one of each set; none = no telling."""
    try:
        found, end = _branches(pattern, 0)
    except (IndexError, ValueError):
        return []
    if end != len(pattern) or not found:
        return []
    best = max(found, key=_worth)
    # Long words cost more to look for than they save beyond the best; single short ones cost next to nothing.
    short = [one for one in found if len(one) == 1 and _worth(one) <= SHORT and one != best]
    return [best, *dict.fromkeys(short)]


def _branches(pattern: str, at: int) -> tuple[Sets, int]:
    """Alternatives up to the end or the closing bracket of their group."""
    found: list[Sets] = []
    while True:
        one, at = _branch(pattern, at)
        found.append(one)
        if at == len(pattern) or pattern[at] == ")":
            break
        at += 1
    if len(found) == 1:
        return found[0], at
    if not all(found):
        return [], at
    return [frozenset[str]().union(*(max(sets, key=_worth) for sets in found))], at


def _branch(pattern: str, at: int) -> tuple[Sets, int]:
    """One alternative: its words in a row, and what its groups need."""
    run, found = "", list[frozenset[str]]()
    while at < len(pattern) and pattern[at] not in "|)":
        inner: Sets = []
        letter = ""
        if pattern[at] == "(":
            inner, at = _group(pattern, at)
        elif pattern[at] == "[":
            at = _class(pattern, at)
        elif pattern[at] in "^$":
            at = _once(pattern, at + 1)
            continue
        elif pattern[at] == "\\":
            letter, at, zero = _escape(pattern, at)
            if zero:
                at = _once(pattern, at)
                continue
        else:
            letter, at = ("" if pattern[at] == "." else pattern[at]), at + 1
        least, at, repeated = _repeat(pattern, at)
        if letter and least and not repeated:
            run += letter
            continue
        found.append(frozenset([run + letter if letter and least else run]))
        run = ""
        if least:
            found += inner
    found.append(frozenset([run]))
    return [one for one in found if _worth(one)], at


def _worth(words: frozenset[str]) -> int:
    return min(map(len, words), default=0)


def _group(pattern: str, at: int) -> tuple[Sets, int]:
    at += 1
    if pattern.startswith("?:", at):
        at += 2
    elif pattern.startswith(("?P<", "?<"), at):
        at = pattern.index(">", at) + 1
    elif pattern[at] == "?":
        raise ValueError("flags change what letters stand for")
    inner, at = _branches(pattern, at)
    if pattern[at] != ")":
        raise ValueError("an open group")
    return inner, at + 1


def _class(pattern: str, at: int) -> int:
    """The place behind a class of characters."""
    at += 1
    if pattern[at] == "^":
        at += 1
    first = at
    while pattern[at] != "]" or at == first:
        if pattern[at] == "[":
            at = _class(pattern, at)
        else:
            at += 2 if pattern[at] == "\\" else 1
    return at + 1


def _escape(pattern: str, at: int) -> tuple[str, int, bool]:
    """The letter an escape stands for, if one; the place behind it; whether it has no width."""
    name = pattern[at + 1]
    at += 2
    if name in "pPx" and pattern[at] == "{":
        return "", pattern.index("}", at) + 1, False
    if name == "p" or name == "P":
        return "", at + 1, False
    if name in "xuU":
        raise ValueError("a number for a letter")
    if name in "bB" and pattern.startswith("{", at):
        raise ValueError("a word boundary with a name, or a repeated one")
    if name.isalnum() or name in "<>":
        return _LETTERS.get(name, ""), at, name in _ZERO_WIDTH
    return name, at, False


def _repeat(pattern: str, at: int) -> tuple[int, int, bool]:
    """How often at least, the place behind the quantifier, and whether there is one."""
    if at == len(pattern) or pattern[at] not in _REPEATS:
        return 1, at, False
    if pattern[at] == "{":
        end = pattern.index("}", at)
        told = pattern[at + 1 : end].partition(",")[0] or "0"
        if not (told.isascii() and told.isdigit()):
            raise ValueError("a number written otherwise")
        least = int(told)
    else:
        end, least = at, int(pattern[at] == "+")
    end += 1
    return least, _once(pattern, end + (end < len(pattern) and pattern[end] == "?")), True


def _once(pattern: str, at: int) -> int:
    """The place behind what may not be repeated (again), as it is: with a quantifier there is no telling."""
    if at < len(pattern) and pattern[at] in _REPEATS:
        raise ValueError("a repeat of a repeat or of a place")
    return at
