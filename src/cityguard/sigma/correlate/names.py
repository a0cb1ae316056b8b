"""Texts as small numbers: one growing dictionary, renewed when most of it is no longer used."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

Codes = npt.NDArray[np.int32]
MAX_TEXT = 512  # bytes of one text; longer ones are kept as their beginning and a hash
_HEAD = 128  # characters
_SINGLE = 1000
_VIEW = 16  # bytes polars needs for a text besides the text itself


class Names:
    """Gives every text its number and back; -1 stands for no text."""

    def __init__(self, texts: pl.Series | None = None) -> None:
        self._type = pl.Categorical(pl.Categories.random())
        self._alive = pl.Series([], dtype=pl.String).cast(self._type)  # a dictionary lives as long as a column of it
        self._parts = [pl.Series([None], dtype=pl.String)]  # texts by number + 1; each part twice as long as the next
        self._known = self._parts[0]
        self._single: dict[str, int] = {}
        self.size = 0
        if texts is not None:
            self.codes(texts)

    def codes(self, texts: pl.Series) -> Codes:
        """int32[n], the numbers of ``texts`` (String, nulls allowed); new texts get the next numbers, in order."""
        return self.many([texts])[0]

    def many(self, columns: Sequence[pl.Series]) -> list[Codes]:
        """The same for several columns of one length, in one go."""
        texts = pl.DataFrame([bounded(column).alias(str(index)) for index, column in enumerate(columns)])
        coded = texts.select_seq(pl.all().cast(self._type).to_physical().cast(pl.Int32).fill_null(-1))
        found = [coded[name].to_numpy() for name in coded.columns]
        if len(found) == 1:
            self._learn(texts["0"], found[0])
        elif max((int(codes.max(initial=-1)) for codes in found), default=-1) >= self.size:
            # numbers were given column by column, or row by row: learn them all at once
            self._learn(pl.concat([texts[name] for name in texts.columns]), np.concatenate(found))
        return found

    def code(self, text: str) -> int:
        """The number of one text, asked often."""
        if text not in self._single:
            if len(self._single) > _SINGLE:
                self._single.clear()
            self._single[text] = int(self.codes(pl.Series([text], dtype=pl.String))[0])
        return self._single[text]

    def _learn(self, texts: pl.Series, codes: Codes) -> None:
        if int(codes.max(initial=-1)) < self.size:
            return
        new = np.flatnonzero(codes >= self.size)
        given, first = np.unique(codes[new], return_index=True)
        self._parts.append(_at(texts, new[first]))
        self.size += len(given)
        while len(self._parts) > 1 and len(self._parts[-2]) < 2 * len(self._parts[-1]):
            last = self._parts.pop()
            self._parts[-1] = pl.concat([self._parts[-1], last], rechunk=True)
        self._known = pl.concat(self._parts, rechunk=False)

    def texts(self, codes: npt.NDArray[np.integer]) -> pl.Series:
        """String[n]; null for -1. Every other code must have been given by ``codes``."""
        return _at(self._known, codes.astype(np.int64) + 1)

    def renewed(self, live: npt.NDArray[np.integer]) -> tuple[Names, Codes]:
        """A dictionary of ``live`` codes only (ascending, each once), and old code -> new code (-1: gone)."""
        fresh = Names(self.texts(live))
        place = np.full(self.size + 1, -1, dtype=np.int32)  # the last entry answers for -1
        place[live] = np.arange(len(live), dtype=np.int32)
        return fresh, place


def _at(series: pl.Series, places: npt.NDArray[np.integer]) -> pl.Series:
    return series[pl.Series(places.astype(np.uint32))]


def bounded(texts: pl.Series) -> pl.Series:
    """No text longer than ``MAX_TEXT``: different long texts stay different, by their hash."""
    if texts.estimated_size() <= _VIEW * len(texts) + MAX_TEXT:
        return texts
    longest = texts.str.len_bytes().max()
    if not isinstance(longest, int) or longest <= MAX_TEXT:
        return texts
    places = (texts.str.len_bytes() > MAX_TEXT).arg_true()
    short = [
        f"{text[:_HEAD]}…{hashlib.blake2b(text.encode(), digest_size=16).hexdigest()}" for text in texts.gather(places)
    ]
    return texts.scatter(places, short)
