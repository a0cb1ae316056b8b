"""Words that a text must hold for a regular expression to match: so most patterns need not be tried at all."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from cityguard.patternwords import SHORT, Sets, required

__all__ = ["SHORT", "Sets", "Words", "required"]

Bools = npt.NDArray[np.bool_]
SLICE: Final = 2_000
"""Lines looked through at once: bounds what is held of them."""
FEW: Final = 16
"""For so few lines an automaton does not pay."""


class Words:
    """Which of many words each line holds, found in one pass over it."""

    def __init__(self, words: Iterable[str]) -> None:
        self.column = {word: nth for nth, word in enumerate(sorted(words, key=lambda word: (len(word), word)))}
        self._short = [word for word in self.column if len(word) <= SHORT]
        self._long = [word for word in self.column if len(word) > SHORT]

    def of(self, lines: pl.Series) -> Bools:
        """``lines`` is String without nulls, n rows; gives bool[words, n]."""
        out = np.zeros((len(self.column), len(lines)), np.bool_)
        if len(lines) <= FEW:
            for row, line in enumerate(lines.to_list()):
                out[:, row] = [word in line for word in self.column]
            return out
        for word in self._short:
            out[self.column[word]] = lines.str.contains(word, literal=True).to_numpy()
        for first in range(0, len(lines) if self._long else 0, SLICE):
            found = lines.slice(first, SLICE).str.extract_many(self._long, overlapping=True)
            rows = np.repeat(np.arange(first, first + len(found)), found.list.len().to_numpy())
            names = found.explode().drop_nulls()
            codes = names.replace_strict(self._long, range(len(self._short), len(out)), return_dtype=pl.Int64)
            out[codes.to_numpy(), rows] = True
        return out
