"""JSON objects, one per item, to a table of dotted names. A bad item is rejected alone."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from cityguard.decoders.base import Decoder, Options
from cityguard.decoders.columnar import collection_paused, table
from cityguard.decoders.text import Text, dead, text
from cityguard.model import Decoded, EventBatch, Frames

_ITEM = msgspec.json.Decoder(dict[str, Any])
_LINES = msgspec.json.Decoder(dict[str, Any])
_FAULTS = (msgspec.MsgspecError, RecursionError, UnicodeError, ValueError)


def decoder(options: Options) -> Decoder:
    """Options: ``wanted``, names that always get a column (others may go to ``event.fields`` when there are many)."""
    return _Json(frozenset(options.get("wanted", ())))


class _Json:
    def __init__(self, wanted: frozenset[str]) -> None:
        self._wanted = wanted

    def decode(self, frames: Frames) -> Decoded:
        if not len(frames):
            return Decoded()
        with collection_paused():
            rows, good, bad, read = objects(frames)
            data, spare = table(rows, wanted=self._wanted) if rows else (pl.DataFrame(), None)
        letters = dead(frames, bad, "not a JSON object")
        if not rows:
            return Decoded((), letters, len(bad))
        return Decoded((EventBatch("", "", placed(data, frames, good, read, spare)),), letters, len(bad))

    def flush(self) -> Decoded:
        return Decoded()


_PLACE = ("log.offset", "event.original", "event.flags", "event.fields")
Words = npt.NDArray[np.int64]


def objects(frames: Frames) -> tuple[list[dict[str, Any]], Words, Words, Text]:
    """Decode every item: the objects, the rows they came from, the rows that were bad, and the text of all rows."""
    read = text(frames)
    everything = np.arange(len(frames), dtype=np.int64)
    try:
        rows = _LINES.decode_lines("\n".join(read.values.str.replace_all("\n", " ", literal=True).to_list()))
        if len(rows) == len(frames):
            return rows, everything, everything[:0], read
    except _FAULTS:
        pass
    rows, good = [], []
    for index, value in enumerate(read.values):
        try:
            rows.append(_ITEM.decode(value))
            good.append(index)
        except _FAULTS:
            continue
    kept = np.array(good, dtype=np.int64)
    return rows, kept, np.setdiff1d(everything, kept), read


def placed(
    table: pl.DataFrame, frames: Frames, rows: Words, read: Text, spare: pl.Series | None = None
) -> pl.DataFrame:
    """The table with the columns a decoder itself fills, whatever the sender called its own fields.

    Args:
        table: native columns, n rows.
        frames: the items.
        rows: int64[n], the item of each row.
        read: the text of all items.
        spare: what found no column, as ``columnar.table`` gives it: becomes ``event.fields``.

    Returns:
        The table with ``log.offset``, ``event.original``, ``event.flags`` and, with ``spare``, ``event.fields``.
    """
    index = pl.Series(rows)
    own = [
        pl.Series("log.offset", frames.number[rows]),
        read.values.gather(index).alias("event.original"),
        read.flags.gather(index).alias("event.flags"),
    ]
    own += [spare.alias("event.fields")] if spare is not None else []
    return pl.DataFrame([*(column for column in table.get_columns() if column.name not in _PLACE), *own])
