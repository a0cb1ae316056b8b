"""Sums that do not depend on the order of adding: whole numbers and billionths apart, both in integers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
LARGEST = float(1 << 52)  # larger numbers count as this: whole numbers are exact up to it
_PARTS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Sums:
    """Running sums over hits; differences of two places are exact however large what stands before them."""

    whole: Ints
    part: Ints
    count: Ints

    @classmethod
    def of(cls, number: Floats, *, negative: bool) -> Sums:
        """Args: number: float64[n], NaN for none; ``negative``: numbers below 0 are added too, else left out."""
        given = np.isfinite(number) & (negative | (number >= 0))
        clipped = np.clip(np.where(given, number, 0.0), -LARGEST, LARGEST)
        whole = np.floor(clipped)
        part = np.rint((clipped - whole) * _PARTS)
        return cls(_running(whole), _running(part), _running(given))

    def between(self, left: Ints, right: Ints, *, mean: bool) -> Floats:
        """Sum (or mean) over every [left, right); NaN where nothing was added."""
        count = self.count[right] - self.count[left]
        whole = self.whole[right] - self.whole[left] + (self.part[right] - self.part[left]) // _PARTS
        total = whole + ((self.part[right] - self.part[left]) % _PARTS) / _PARTS
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(count > 0, total / count if mean else total, np.nan)


def _running(values: npt.NDArray[np.generic]) -> Ints:
    return np.concatenate((np.zeros(1, dtype=np.int64), np.cumsum(values.astype(np.int64))))


def percentile(number: Floats, window: Ints, windows: int, share: float) -> Floats:
    """The percentile of every window's numbers, between neighbours in proportion; NaN where there is none.

    Args:
        number: float64[n], NaN for none.
        window: int64[n], which window each belongs to.
        windows: how many there are.
        share: 0 … 100; 50 is the median.
    """
    given = np.isfinite(number)
    number, window = number[given], window[given]
    order = np.lexsort((number, window))
    number = number[order]
    count = np.bincount(window, minlength=windows)
    begin = np.cumsum(count) - count
    found = np.full(windows, np.nan)
    some = np.flatnonzero(count)
    place = (count[some] - 1) * (share / 100)
    low = np.floor(place).astype(np.int64)
    high = np.minimum(low + 1, count[some] - 1)
    under, over = number[begin[some] + low], number[begin[some] + high]
    found[some] = under + (over - under) * (place - low)
    return found
