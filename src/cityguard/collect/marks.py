"""What a line is told by: the program behind its header and how its body begins, never what stands further inside.

Whoever fails to log in chooses a user name, whoever asks a web server an address: such words reach logs verbatim, in
the middle of a line. A mark counts only where no such word can be, in the header or where the body begins.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from cityguard.collect import literals
from cityguard.collect.collectors import Collector, Detect
from cityguard.decoders import envelope

Places = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

HEAD = 1024
"""Characters of a line that tell its kind."""
_RELAYED = r"^(?:[A-Z][a-z]{2} +[0-9]{1,2} [0-9:]{8} [0-9A-Za-z_.:-]{1,64} )?<-?[0-9]{1,4}>\s*"
"""A relay's header before a line that has a priority and no more."""


@dataclass(frozen=True, slots=True)
class Fronts:
    """Lines taken apart once for all collectors; n rows each."""

    line: pl.Series  # String, the first characters
    body: pl.Series  # String, what follows the header, without colons and blanks before it
    start: pl.Series  # UInt32, bytes before the body
    program: pl.Series  # String, null where the header names none


def fronts(lines: pl.Series) -> Fronts:
    """Take the headers off.

    Args:
        lines: String, n rows; null counts as empty.
    """
    line = lines.fill_null("").str.slice(0, HEAD)
    found = envelope.header(line)
    program, body = found["program"], found["message"].fill_null("")
    # ``date=… time=14:12:09`` or a second stamp is no host and no program.
    odd = program.str.contains(r"=|^[0-9]{4}-|^$|^[\[({<]").fill_null(value=False)
    if odd.any():
        program = program.zip_with(~odd, pl.Series([None], dtype=pl.String).new_from_index(0, len(line)))
        body = body.zip_with(~odd, line)
    body = body.str.strip_chars_start(" \t:").str.replace(_RELAYED, "")
    # Of ``sshd(pam_unix)`` the part before the bracket is the program.
    return Fronts(line, body, line.str.len_bytes() - body.str.len_bytes(), program.str.replace(r"\(.*$", ""))


def _quick(one: Detect) -> Detect:
    lines, body = (None if pattern is None else _ascii(pattern) for pattern in (one.lines, one.body))
    return Detect(lines, body, one.programs, one.keys, one.priority)


def _ascii(pattern: str) -> str:
    """The pattern with ``\\d`` for 0 to 9 alone: quicker to compile, and no stamp is written otherwise."""
    return re.sub(r"(?<!\\)((?:\\\\)*)\\d", r"\1[0-9]", pattern)


class Marks:
    """The tests of all collectors, in the order they are asked."""

    def __init__(self, known: Sequence[Collector]) -> None:
        """``known[0]`` has what none of the others knows; it is asked nothing."""
        self._tests = [(at, _quick(one.detect or Detect())) for at, one in enumerate(known) if at]
        self._programs = _Programs([one for _, one in self._tests])
        needs = [[_needs(pattern) for pattern in (one.lines, one.body)] for _, one in self._tests]
        words = {word for pair in needs for sets in pair or () for some in sets or () for word in some}
        self._words = literals.Words(words)
        self._needs = [[self._columns(sets) for sets in pair] for pair in needs]

    def _columns(self, sets: literals.Sets | None) -> list[Places] | None:
        if sets is None:
            return None
        return [np.array(sorted(self._words.column[word] for word in words), np.int64) for words in sets]

    def text(self, lines: pl.Series) -> Places:
        """Which test each line of text passes first; 0 = none."""
        out = np.zeros(len(lines), np.int64)
        if not len(lines):
            return out
        front, rest = fronts(lines), np.arange(len(lines))
        nameless = front.program.is_null().to_numpy()
        tags, code = self._programs.of(front.program)
        held = self._words.of(front.line)
        there: Bools = np.asarray(held.any(1))
        tagging: Bools = np.asarray(tags.any(0))
        for nth, (at, one) in enumerate(self._tests):
            ahead, begins = (_possible(there, sets) for sets in self._needs[nth])
            if not (ahead or begins or tagging[nth]):
                continue
            tagged, unnamed = tags[code[rest], nth], nameless[rest]
            hit = tagged & (one.body is None)
            asked = tagged if one.programs else unnamed
            if one.body is not None and begins and (asked := asked & _all(held, self._needs[nth][1], rest)).any():
                hit[asked] = _begins(front.body, one.body, rest[asked])
            # A program that is all of another collector's keeps its lines.
            free = (tagged | unnamed if one.programs else ~tags[code[rest], -1]) & ~hit
            if one.lines is not None and ahead and (asked := free & _all(held, self._needs[nth][0], rest)).any():
                hit[asked] = _ahead(front, one.lines, rest[asked])
            if hit.any():
                out[rest[hit]] = at
                rest = rest[~hit]
                if not len(rest):
                    break
        return out


def _needs(pattern: str | None) -> literals.Sets | None:
    """Words without which a pattern does not match; None = there is no pattern."""
    return None if pattern is None else literals.required(pattern)


def _possible(there: Bools, sets: Sequence[Places] | None) -> bool:
    return sets is not None and all(there[columns].any() for columns in sets)


def _all(held: Bools, sets: Sequence[Places] | None, rows: Places) -> Bools:
    """Lines that hold a word of each set."""
    out = np.ones(len(rows), np.bool_)
    for columns in sets or ():
        out &= np.asarray(held[columns].any(0))[rows]
    return out


class _Programs:
    """Whose a program's lines may be."""

    def __init__(self, tests: Sequence[Detect]) -> None:
        self._names: dict[str, set[int]] = {}
        self._starts: dict[str, set[int]] = {}
        self._own = {nth for nth, one in enumerate(tests) if one.programs and one.body is None}
        self._width = len(tests) + 1
        for nth, one in enumerate(tests):
            for name in one.programs:
                table = self._starts if name.endswith("*") else self._names
                table.setdefault(name.removesuffix("*"), set()).add(nth)

    def of(self, program: pl.Series) -> tuple[Bools, Places]:
        """Tests that name each program, the last column: one of them asks for no more; and the row of each line."""
        names = program.unique(maintain_order=True)
        table = np.zeros((len(names), self._width), np.bool_)
        for row, name in enumerate(names.to_list()):
            if found := self._tests(name or ""):
                table[row, list(found)] = True
                table[row, -1] = bool(found & self._own)
        places = pl.DataFrame({"name": names, "row": np.arange(len(names))})
        code = (
            program.alias("name")
            .to_frame()
            .join(places, on="name", how="left", nulls_equal=True, maintain_order="left")
        )
        return table, code["row"].to_numpy()

    def _tests(self, name: str) -> set[int]:
        found = set(self._names.get(name, ()))
        found.update(*(tests for start, tests in self._starts.items() if start and name.startswith(start)))
        # ``*`` alone is any program that is nobody's own, and none.
        return found if found & self._own else found | self._starts.get("", set())


def _begins(body: pl.Series, pattern: str, rows: Places) -> Bools:
    return body.gather(pl.Series(rows)).str.contains(f"^(?:{pattern})").to_numpy()


def _ahead(front: Fronts, pattern: str, rows: Places) -> Bools:
    """Lines whose mark stands in the header or right behind it."""
    at = pl.Series(rows)
    place = front.line.gather(at).str.find(pattern)
    # A mark that begins with a blank is a program's tag: it stands before the body, or there is no other tag.
    edge = front.start.gather(at)
    if pattern.startswith(r"\s"):
        place = place + front.program.gather(at).is_not_null().cast(pl.UInt32) * 2
    return (place <= edge).fill_null(value=False).to_numpy()
