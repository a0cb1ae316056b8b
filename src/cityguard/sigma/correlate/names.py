"""Texts as small numbers: one growing dictionary, renewed when most of it is no longer used."""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt
import polars as pl

Codes = npt.NDArray[np.int32]
MAX_TEXT = 512  # bytes of one text; longer ones are kept as their beginning and a hash
_HEAD = 128  # characters


class Names:
    """Gives every text its number and back; -1 stands for no text."""

    def __init__(self, texts: pl.Series | None = None) -> None:
        self._type = pl.Categorical(pl.Categories.random())
        self._alive = pl.Series([], dtype=pl.String).cast(self._type)  # a dictionary lives as long as a column of it
        self._known = pl.Series([], dtype=pl.String)  # texts by number
        self._newer: list[pl.Series] = []  # the ones after them
        self.size = 0
        if texts is not None:
            self.codes(texts)

    def codes(self, texts: pl.Series) -> Codes:
        """int32[n], the numbers of ``texts`` (String, nulls allowed); new texts get the next numbers, in order."""
        texts = bounded(texts)
        codes = texts.cast(self._type).to_physical().cast(pl.Int32).fill_null(-1).to_numpy()
        if len(codes) and int(codes.max()) >= self.size:
            new = np.flatnonzero(codes >= self.size)
            _, first = np.unique(codes[new], return_index=True)
            self._newer.append(texts.gather(new[first]))
            self.size += len(first)
        return codes

    def texts(self, codes: npt.NDArray[np.integer]) -> pl.Series:
        """String[n]; null for -1. Every other code must have been given by ``codes``."""
        if self._newer:
            self._join(int(codes.max(initial=-1)))
        wanted = pl.Series(codes, dtype=pl.Int64)
        if self._newer and (wanted >= len(self._known)).any():
            wanted_new = wanted - len(self._known)
            old = self._known.gather(wanted.set((wanted < 0) | (wanted_new >= 0), None))
            return self._newer[0].gather(wanted_new.set(wanted_new < 0, None)).zip_with(wanted_new >= 0, old)
        return self._known.gather(wanted.set(wanted < 0, None))

    def _join(self, largest: int) -> None:
        """Newer texts are put together when they are asked for, and with the older ones when they have become many."""
        if largest < len(self._known):
            return
        if len(self._newer) > 1:
            self._newer = [pl.concat(self._newer, rechunk=True)]
        if len(self._newer[0]) * 4 > len(self._known):
            self._known, self._newer = pl.concat([self._known, self._newer[0]], rechunk=True), []

    def renewed(self, live: npt.NDArray[np.integer]) -> tuple[Names, Codes]:
        """A dictionary of ``live`` codes only (ascending, each once), and old code -> new code (-1: gone)."""
        fresh = Names(self.texts(live))
        place = np.full(self.size + 1, -1, dtype=np.int32)  # the last entry answers for -1
        place[live] = np.arange(len(live), dtype=np.int32)
        return fresh, place


def bounded(texts: pl.Series) -> pl.Series:
    """No text longer than ``MAX_TEXT``: different long texts stay different, by their hash."""
    longest = texts.str.len_bytes().max()
    if not isinstance(longest, int) or longest <= MAX_TEXT:
        return texts
    places = (texts.str.len_bytes() > MAX_TEXT).arg_true()
    short = [
        f"{text[:_HEAD]}…{hashlib.blake2b(text.encode(), digest_size=16).hexdigest()}" for text in texts.gather(places)
    ]
    return texts.scatter(places, short)
