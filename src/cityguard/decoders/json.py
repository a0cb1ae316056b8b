"""JSON objects, one per item, to a table of dotted names. A bad item is rejected alone."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from cityguard.decoders import shapes, surrogates
from cityguard.decoders.base import Decoder, Options
from cityguard.decoders.columnar import collection_paused, table
from cityguard.decoders.envelope import beside, opened
from cityguard.decoders.text import Text, dead, placed, text
from cityguard.model import Decoded, EventBatch, Frames

_ITEM = msgspec.json.Decoder(dict[str, Any])
_LINES = msgspec.json.Decoder(dict[str, Any])
_ANY = msgspec.json.Decoder()
MAX_EACH = 1000
"""Rows one item may become."""
_FAULTS = (msgspec.MsgspecError, RecursionError, UnicodeError, ValueError)


def decoder(options: Options) -> Decoder:
    """Options: ``wanted``, names that always get a column (others may go to ``event.fields`` when there are many).

    ``header: syslog``, objects stand behind a header, from the first ``{`` on; or as ``envelope.opened``.
    ``each``: one row per element of the list at this dotted name, which then holds that element alone; ``[]``: the
    item itself is a list (or an object). At most ``MAX_EACH`` rows an item, and one where the list is empty.
    """
    return _Json(options, frozenset(options.get("wanted", ())))


class _Json:
    def __init__(self, options: Options, wanted: frozenset[str]) -> None:
        self._options = options
        self._starts = r"\{" if options.get("header") == "syslog" else ""
        self._each = str(options.get("each", ""))
        self._wanted = wanted

    def decode(self, frames: Frames) -> Decoded:
        if not len(frames):
            return Decoded()
        read = surrogates.replaced(text(frames))
        found = opened(read.values, self._options, self._starts)
        with collection_paused():
            if self._each:
                rows, within = spread(found.body, self._each)
                data, spare = table(rows, wanted=self._wanted) if rows else (pl.DataFrame(), None)
            else:
                data, spare, within = shapes.read(found.body, parsed, self._wanted)
        good = found.rows[within]
        bad = np.setdiff1d(np.arange(len(frames), dtype=np.int64), good)
        if found.header.width and len(good):
            data = beside(found.header[within], data)
        letters = dead(frames, bad, "not a JSON object")
        if not len(good):
            return Decoded((), letters, len(bad))
        return Decoded((EventBatch("", "", placed(data, frames, good, read, spare)),), letters, len(bad))

    def flush(self) -> Decoded:
        return Decoded()


Words = npt.NDArray[np.int64]


def objects(frames: Frames) -> tuple[list[dict[str, Any]], Words, Words, Text]:
    """Decode every item: the objects, the rows they came from, the rows that were bad, and the text of all rows."""
    read = surrogates.replaced(text(frames))
    rows, good = parsed(read.values)
    return rows, good, np.setdiff1d(np.arange(len(frames), dtype=np.int64), good), read


def parsed(lines: pl.Series) -> tuple[list[dict[str, Any]], Words]:
    """Decode every line: the objects, and the lines they came from."""
    everything = np.arange(len(lines), dtype=np.int64)
    try:
        rows = _LINES.decode_lines("\n".join(lines.str.replace_all("\n", " ", literal=True).to_list()))
        if len(rows) == len(lines):
            return rows, everything
    except _FAULTS:
        pass
    rows, good = [], []
    for index, value in enumerate(lines):
        try:
            rows.append(_ITEM.decode(value))
            good.append(index)
        except _FAULTS:
            continue
    return rows, np.array(good, dtype=np.int64)


def spread(lines: pl.Series, each: str) -> tuple[list[dict[str, Any]], Words]:
    """As ``parsed``, with one object per element of a list inside each line."""
    rows: list[dict[str, Any]] = []
    within: list[int] = []
    path = [] if each == "[]" else each.split(".")
    for index, line in enumerate(lines):
        try:
            made = list(_elements(_ANY.decode(line), path))
        except _FAULTS:
            continue
        rows.extend(made)
        within.extend([index] * len(made))
    return rows, np.array(within, dtype=np.int64)


def _elements(value: Any, path: list[str]) -> Iterator[dict[str, Any]]:
    if not path:
        found = value if isinstance(value, list) else [value]
        yield from islice((one for one in found if isinstance(one, dict)), MAX_EACH)
        return
    if not isinstance(value, dict):
        return
    held = value.get(path[0])
    if len(path) > 1:
        inner = _elements(held, path[1:]) if isinstance(held, dict) else iter((held,))
        yield from ({**value, path[0]: one} for one in inner)
    elif isinstance(held, list):
        yield from ({**value, path[0]: one} for one in islice(held or [None], MAX_EACH))
    else:
        yield value
