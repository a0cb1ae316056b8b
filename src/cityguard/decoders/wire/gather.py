"""Many parts of a buffer side by side: as one buffer, or as a column of text."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from cityguard import fast
from cityguard.decoders.packet import U8s, Words
from cityguard.fast import lean


@lean
def _copied(data: Any, begin: Any, end: Any, out: Any, places: Any) -> None:
    """Copy part after part.

    Args:
        data: uint8[n].
        begin: int64[parts].
        end: int64[parts].
        out: uint8[total] to be filled.
        places: int64[parts + 1] to be filled: where each begins in ``out``.
    """
    place = 0
    for one in range(len(begin)):
        places[one] = place
        start = begin[one]
        size = end[one] - start
        for byte in range(size):
            out[place + byte] = data[start + byte]
        place += size
    places[len(begin)] = place


def side_by_side(data: U8s, begin: Words, end: Words) -> tuple[U8s, Words]:
    """Parts of a buffer one after the other, and where each begins (one more than there are parts)."""
    if not fast.ON:
        view = data.data
        parts = [view[one:other] for one, other in zip(begin.tolist(), end.tolist(), strict=True)]
        return np.frombuffer(b"".join(parts), np.uint8), np.concatenate([[0], np.cumsum(end - begin)])
    out = np.empty(int((end - begin).sum()), np.uint8)
    places = np.empty(len(begin) + 1, np.int64)
    readable = data[:]
    readable.flags.writeable = False  # one compiled form for all
    _copied(readable, np.ascontiguousarray(begin), np.ascontiguousarray(end), out, places)
    return out, places


def texts(data: U8s, begin: Words, end: Words) -> pl.Series:
    """ASCII texts as a column; null where ``begin`` is negative."""
    none: npt.NDArray[np.bool_] = begin < 0
    some = none.any()
    if some:
        begin, end = np.where(none, 0, begin), np.where(none, 0, end)
    out, places = side_by_side(data, begin, end)
    array = pa.LargeStringArray.from_buffers(len(begin), pa.py_buffer(places), pa.py_buffer(out))
    series = pl.Series("", pl.from_arrow(array), pl.String)
    return series.set(pl.Series(none), None) if some else series
