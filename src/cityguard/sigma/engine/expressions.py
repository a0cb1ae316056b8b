"""Regular expressions kept compiled, for a few values at a time; polars would compile them anew for every batch.

Hyperscan and Rust's ``regex`` agree where both are told the same in words that mean the same: here an expression is
written out for Hyperscan (classes of characters by name become plain ones), and only ASCII values are asked. Whatever
is outside of that stays with the plain evaluator.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import re
import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from cityguard.sigma import regex
from cityguard.sigma.engine.cache import Kept, name_of
from cityguard.sigma.engine.scan import loaded, version

Test = Callable[[str], bool]
Ints = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]
MAX_KEPT = 1024  # compiled at a time
MAX_PATTERN = 1000
DEAR = 2_000_000  # ns of compiling from which on what was compiled is kept: such as hold ``.{0,80}`` take 20 to 80 ms
_INSIDE = {"d": "0-9", "w": "0-9A-Za-z_", "s": r"\x09-\x0d\x20"}
_BEYOND = r"\x{80}-\x{10ffff}"
_LOOSE = {name: told + _BEYOND for name, told in _INSIDE.items()}  # letters, digits and blanks of all the world
_FLAGS = re.compile(r"\(\?([ims]+)\)")
_TIMES = re.compile(r"\{[0-9]+(?:,[0-9]*)?\}")
_LETTERS = {"t": r"\x09", "n": r"\x0a", "r": r"\x0d", "f": r"\x0c", "v": r"\x0b"}


_kept = Kept(None)


def keep(kept: Kept) -> None:
    """Where expressions that are dear to compile are kept between runs."""
    global _kept
    _kept = kept


@lru_cache(maxsize=MAX_KEPT)
def compiled(pattern: str) -> Test | None:
    """A test of one value that is not empty; None where Hyperscan is not installed or may understand it otherwise."""
    if importlib.util.find_spec("hyperscan") is None or not regex.linear(pattern):
        return None
    found = _FLAGS.match(pattern)
    flags = found[1] if found else ""
    try:
        written = rewritten(pattern[found.end() if found else 0 :], "m" in flags)
    except (ValueError, IndexError):
        return None
    return _database(written, flags)


@lru_cache(maxsize=MAX_KEPT)
def possible(pattern: str) -> Test | None:
    """The same for any value, but only a no is certain; None where even that cannot be had."""
    found = _FLAGS.match(pattern)
    flags = found[1] if found else ""
    if "i" in flags or compiled(pattern) is None:  # letters beyond ASCII may be the same as some within
        return None
    hyperscan = importlib.import_module("hyperscan")
    return _database(
        rewritten(pattern[found.end() if found else 0 :], "m" in flags, _LOOSE), flags, hyperscan.HS_FLAG_UTF8
    )


def _made(written: str, flags: str, more: int) -> Any:
    hyperscan = importlib.import_module("hyperscan")
    more |= hyperscan.HS_FLAG_CASELESS if "i" in flags else 0
    more |= hyperscan.HS_FLAG_DOTALL if "s" in flags else 0
    more |= hyperscan.HS_FLAG_MULTILINE if "m" in flags else 0
    name = name_of("expression", version().encode(), str(more).encode(), written.encode("utf-8", "surrogatepass"))
    found = loaded(_kept.get(name))
    if found is not None:
        return found
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    begun = time.thread_time_ns()
    try:
        database.compile(expressions=[written.encode("ascii")], ids=[0], flags=more)
    except (hyperscan.error, UnicodeEncodeError):
        return None
    if time.thread_time_ns() - begun > DEAR:
        _kept.put(name, bytes(hyperscan.dumpb(database)))
    return database


def _database(written: str, flags: str, more: int = 0) -> Test | None:
    hyperscan = importlib.import_module("hyperscan")
    database = _made(written, flags, more | hyperscan.HS_FLAG_SINGLEMATCH | hyperscan.HS_FLAG_ALLOWEMPTY)
    if database is None:
        return None
    hits: list[int] = []
    scan, clear = database.scan, hits.clear

    def hit(number: int, _start: int, _end: int, _flags: int, _context: object) -> None:
        hits.append(number)

    def test(value: str) -> bool:
        scan(value.encode(), match_event_handler=hit)
        if hits:
            clear()
            return True
        return False

    return test


@lru_cache(maxsize=MAX_KEPT)
def _sweeper(pattern: str) -> Any:
    """A database that finds all ends of matches; None where what stands beside a value might change them."""
    found = _FLAGS.match(pattern)
    rest, flags = pattern[found.end() if found else 0 :], found[1] if found else ""
    if compiled(pattern) is None or re.search(r"[\^$]|\\b", rest.replace("[^", "[")):
        return None
    return _made(rewritten(rest, "m" in flags), flags, 0)  # one that matches nothing at all is refused


def sweep(pattern: str, offsets: Ints, buffer: Bytes) -> Ints | None:
    """Numbers of the values, laid end to end, that may match; None when that cannot be told, or of too many.

    Of every match inside a value its end is found in the whole as well, so no value is missed.
    """
    database = _sweeper(pattern) if buffer.max(initial=0) < 0x80 else None
    if database is None or not len(buffer):
        return None
    ends: list[int] = []
    append, most = ends.append, len(offsets) // 4

    def hit(_number: int, _start: int, end: int, _flags: int, _context: object) -> bool:
        append(end)
        return len(ends) > most

    with contextlib.suppress(importlib.import_module("hyperscan").ScanTerminated):
        database.scan(buffer.data, match_event_handler=hit)
    if len(ends) > most:
        return None
    return np.unique(np.searchsorted(offsets, np.array(ends, dtype=np.int64) - 1, "right") - 1)


def rewritten(pattern: str, lines: bool, names: Mapping[str, str] = _INSIDE) -> str:
    """An expression of Rust's dialect in words that mean the same to Hyperscan, over ASCII; or more, by ``names``.

    Raises:
        ValueError: it holds something that may not mean the same.
    """
    out: list[str] = []
    at = 0
    while at < len(pattern):
        char = pattern[at]
        if char == "\\":
            out.append(_escape(pattern[at + 1], names))
            at += 2
            if out[-1] == r"\b" and pattern[at : at + 1] in ("*", "+", "?", "{"):
                raise ValueError("a boundary with a name, or repeated")
            if out[-1] == r"\b" and names is not _INSIDE:
                out.pop()
        elif char == "[":
            told, at = _class(pattern, at + 1, names)
            out.append(told)
        elif char == "(" and pattern.startswith("(?", at):
            if not pattern.startswith("(?:", at):
                raise ValueError("a group of another kind")
            out.append("(?:")
            at += 3
        elif char in "*+?}":
            end = at + 1 + pattern.startswith("?", at + 1)
            if end < len(pattern) and pattern[end] in "*+?{":
                raise ValueError("a repeat of a repeat")
            out.append(pattern[at:end])
            at = end
        elif char == "^" and lines:
            raise ValueError("the start of a line: Hyperscan knows none behind the last line feed")
        elif char == "{" and not _TIMES.match(pattern, at):
            raise ValueError("a number of times in other words")
        else:
            out.append(r"\z" if char == "$" and not lines else _plain(char))
            at += 1
            if char in "^$" and pattern[at : at + 1] in ("*", "+", "?", "{"):
                raise ValueError("a place that is repeated")
    return "".join(out)


def _plain(char: str) -> str:
    if char in "()|^$.{,":
        return char
    if not 0x20 <= ord(char) < 0x7F:
        raise ValueError("beyond printable ASCII")
    return char if char.isalnum() or char in " _" else f"\\x{ord(char):02x}"


def _escape(char: str, names: Mapping[str, str]) -> str:
    if char == "b":
        return r"\b"
    if char in _INSIDE:
        return f"[{names[char]}]"
    if char.lower() in _INSIDE:
        return f"[^{_INSIDE[char.lower()]}]"
    if char in _LETTERS:
        return _LETTERS[char]
    if char.isalnum() or char in "<>" or not 0x20 <= ord(char) < 0x7F:
        raise ValueError("an escape that may mean something else")
    return f"\\x{ord(char):02x}"


def _class(pattern: str, at: int, names: Mapping[str, str]) -> tuple[str, int]:
    """A class of characters, from behind its bracket; and the place behind it."""
    out = "["
    if pattern[at] == "^":
        out, at, names = "[^", at + 1, _INSIDE
    first = True
    while pattern[at] != "]" or first:
        char, step = pattern[at], 1
        if char == "[" or pattern[at : at + 2] in ("&&", "--", "~~"):
            raise ValueError("a class of another kind")
        if char == "\\":
            char, step = pattern[at + 1], 2
            if char in _INSIDE or char in _LETTERS:
                out += names.get(char) or _LETTERS[char]
            elif char.isalnum() or not 0x20 <= ord(char) < 0x7F:
                raise ValueError("an escape in a class")
            else:
                out += f"\\x{ord(char):02x}"
        elif char == "-":
            if not (first or pattern[at + 1] == "]" or _ranges(pattern, at)):
                raise ValueError("a dash that may be a range")
            out += "-" if not first and pattern[at + 1] != "]" else r"\x2d"
        elif 0x20 <= ord(char) < 0x7F:
            out += char if char.isalnum() else f"\\x{ord(char):02x}"
        else:
            raise ValueError("beyond printable ASCII")
        at, first = at + step, False
    return out + "]", at + 1


def _ranges(pattern: str, at: int) -> bool:
    """Whether a dash stands between two letters or digits, where it can only be a range."""
    return pattern[at - 1].isalnum() and pattern[at - 2] != "\\" and pattern[at + 1].isalnum()
