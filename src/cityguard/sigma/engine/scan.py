"""Which of many literals stand in which of many values: one pass over the values, laid end to end."""

from __future__ import annotations

import importlib
import importlib.util
import platform
import re
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from cityguard.sigma.ast import Mode
from cityguard.sigma.engine.columns import Column, Ints, laid_out
from cityguard.sigma.engine.presence import Presence, presence_of

Bytes = npt.NDArray[np.uint8]
Found = tuple[Ints, Ints]
"""Value and literal of each hit, by number."""
SHIFT = 40  # a hit is one integer: number of the literal above, end offset below
MAX_BYTES = 1 << 30  # of one call
_FEW = 16  # values looked up one by one

NONE: Found = (np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))


class Automaton(Protocol):
    """Finds where literals end in a buffer."""

    def ends(self, buffer: Bytes) -> Found:
        """(number of the literal, offset behind its end) of every occurrence, overlapping ones as well."""

    def dump(self) -> bytes:
        """The compiled form, to be kept; empty when making it anew is as good."""


def loaded(kept: bytes) -> Any:
    """A database that was kept, ready to scan; None when there is none, or of another version or processor."""
    if not kept:
        return None
    hyperscan = importlib.import_module("hyperscan")
    try:
        database = hyperscan.loadb(kept, hyperscan.HS_MODE_BLOCK)
        database.scratch = hyperscan.Scratch(database)
    except hyperscan.error:
        return None
    return database


class Hyperscan:
    """One block-mode database of literals."""

    def __init__(self, literals: Sequence[bytes], kept: bytes = b"") -> None:
        self._hs = importlib.import_module("hyperscan")
        self._database = loaded(kept) or self._compiled(literals)

    def _compiled(self, literals: Sequence[bytes]) -> Any:
        database = self._hs.Database(mode=self._hs.HS_MODE_BLOCK)
        # as expressions, not as "pure literals": those end at a NUL
        written = [re.sub(rb"[^A-Za-z0-9_]", lambda found: b"\\x%02x" % found[0][0], one) for one in literals]
        database.compile(expressions=written, ids=list(range(len(written))), flags=self._hs.HS_FLAG_DOTALL)
        return database

    def ends(self, buffer: Bytes) -> Found:
        hits: list[int] = []
        append = hits.append
        self._database.scan(
            buffer.data, match_event_handler=lambda number, _s, end, _f, _c: append(number << SHIFT | end)
        )
        found = np.array(hits, dtype=np.int64)
        return found >> SHIFT, found & (1 << SHIFT) - 1

    def dump(self) -> bytes:
        return bytes(self._hs.dumpb(self._database))


class AhoCorasick:
    """The same by an Aho-Corasick automaton."""

    def __init__(self, literals: Sequence[bytes]) -> None:
        module = importlib.import_module("ahocorasick_rs")
        self._automaton = module.BytesAhoCorasick(list(literals), matchkind=module.MatchKind.Standard)

    def ends(self, buffer: Bytes) -> Found:
        hits = self._automaton.find_matches_as_indexes(buffer, overlapping=True)
        if not hits:
            return NONE
        found = np.array(hits, dtype=np.int64)
        return found[:, 0], found[:, 2]

    def dump(self) -> bytes:
        return b""


class Scanner:
    """Literals of one field of one class.

    Args:
        literals: how each stands in a value, and its folded text; a literal's number is its place.
        backend: ``hyperscan``, ``ahocorasick`` or ``none`` (polars alone).
        kept: what ``dump`` gave for the same literals.
    """

    def __init__(self, literals: Sequence[tuple[Mode, str]], backend: str, kept: bytes = b"") -> None:
        exact = {text: number for number, (mode, text) in enumerate(literals) if mode == "exact"}
        self._exact = exact
        self._among = pa.array(list(exact), pa.large_string())
        self._numbers = np.array(list(exact.values()), dtype=np.int64)
        inside = [(number, mode, text) for number, (mode, text) in enumerate(literals) if mode != "exact"]
        self._texts = [text for _, _, text in inside]
        written = [text.encode("utf-8", "surrogatepass") for text in self._texts]
        self._ids = np.array([number for number, _, _ in inside], dtype=np.int64)
        self._lengths = np.array([len(one) for one in written], dtype=np.int64)
        self._prefix = np.array([mode == "prefix" for _, mode, _ in inside], dtype=np.bool_)
        self._backend = backend
        self._letters = all(any(not ("0" <= char <= "9" or char == "-") for char in text) for _, text in literals)
        self._suffix = np.array([mode == "suffix" for _, mode, _ in inside], dtype=np.bool_)
        self.automaton = automaton(written, backend, kept) if inside else None

    @cached_property
    def presence(self) -> Presence | None:
        """The same literals as words that may stand anywhere; None without Hyperscan."""
        texts = [*self._exact, *self._texts]
        return presence_of(tuple(texts)) if self._backend == "hyperscan" and all(texts) else None

    def over(self, column: Column) -> Found:
        """Which literals stand in which values of a column. May name too many, never too few."""
        return NONE if self._letters and not column.letters else self.hits(column.folded)

    def hits(self, values: pa.LargeStringArray) -> Found:
        """The same for folded texts."""
        found = [self._equal(values)]
        if self._texts and len(values):
            found.append(self._within(values) if self.automaton is not None else self._slowly(values))
        if len(found) == 1:
            return found[0]
        return np.concatenate([one[0] for one in found]), np.concatenate([one[1] for one in found])

    def _equal(self, values: pa.LargeStringArray) -> Found:
        if not self._exact or not len(values):
            return NONE
        if len(values) <= _FEW:
            told = values.to_pylist()
            return _table([(place, self._exact[text]) for place, text in enumerate(told) if text in self._exact])
        where = pc.index_in(values, self._among)
        places = np.flatnonzero(np.asarray(pc.is_valid(where).to_numpy(zero_copy_only=False)))
        if not len(places):
            return NONE
        return places, self._numbers[np.asarray(where.drop_null().to_numpy())]

    def occurrences(self, column: Column) -> npt.NDArray[np.int64]:
        """How often each literal is found in the distinct values, wherever in them."""
        counted = np.zeros(len(self._exact) + len(self._texts), dtype=np.int64)
        if self.automaton is not None:
            numbers = self.automaton.ends(laid_out(column.folded)[1])[0]
            counted[self._ids] = np.bincount(numbers, minlength=len(self._texts))
        return counted

    def _within(self, values: pa.LargeStringArray) -> Found:
        assert self.automaton is not None
        offsets, buffer = laid_out(values)
        if len(buffer) > MAX_BYTES:
            half = len(values) // 2
            first, second = self._within(values.slice(0, half)), self._within(values.slice(half))
            return np.concatenate((first[0], second[0] + half)), np.concatenate((first[1], second[1]))
        numbers, ends = self.automaton.ends(buffer)
        if not len(numbers):
            return NONE
        starts = ends - self._lengths[numbers]
        value = np.searchsorted(offsets, starts, "right") - 1
        inside = ends <= offsets[value + 1]  # else it runs across the border of two values
        inside &= ~self._prefix[numbers] | (starts == offsets[value])
        inside &= ~self._suffix[numbers] | (ends == offsets[value + 1])
        return value[inside], self._ids[numbers[inside]]

    def _slowly(self, values: pa.LargeStringArray) -> Found:
        """Without an automaton of our own: polars looks all words up; where they stand is left to the exact step."""
        texts = pl.Series(pl.from_arrow(values))
        found = texts.str.extract_many(self._texts, overlapping=True)
        value = np.repeat(np.arange(len(found)), np.asarray(found.list.len().fill_null(0)))
        words = found.filter(found.list.len() > 0).explode()
        by_text: dict[str, list[int]] = {}
        for text, number in zip(self._texts, self._ids.tolist(), strict=True):
            by_text.setdefault(text, []).append(number)
        pairs = [(place, number) for place, word in zip(value.tolist(), words, strict=True) for number in by_text[word]]
        return _table(pairs)


def _table(pairs: list[tuple[int, int]]) -> Found:
    both = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return both[:, 0], both[:, 1]


def automaton(literals: Sequence[bytes], backend: str, kept: bytes = b"") -> Automaton | None:
    """What runs over the buffer; None for the back end ``none``."""
    if backend == "hyperscan":
        return Hyperscan(literals, kept)
    return AhoCorasick(literals) if backend == "ahocorasick" else None


def available(wanted: str) -> str:
    """The back end to use: the one wanted, or for ``auto`` the fastest that is installed.

    Raises:
        ValueError: no such back end.
    """
    if wanted not in ("auto", "hyperscan", "ahocorasick", "none"):
        raise ValueError(f"no scanner is called {wanted}")
    for name, module in (("hyperscan", "hyperscan"), ("ahocorasick", "ahocorasick_rs")):
        if wanted in ("auto", name) and importlib.util.find_spec(module) is not None:
            return name
    return "none"


def version() -> str:
    """What a compiled database depends on besides its literals."""
    hyperscan = importlib.import_module("hyperscan")
    return f"{hyperscan.__version__} {platform.machine()}"
