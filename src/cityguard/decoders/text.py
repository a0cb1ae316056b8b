"""Frames to a column of text: UTF-8, else GB18030, else Latin-1, told by a flag."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from cityguard.model import DeadLetter, Frames

MAX_DEAD = 100
"""Samples of rejected items one piece hands on; the rest is counted."""
DEAD_BYTES = 64 << 10
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Text:
    """One row per item: its text and, where something was wrong with it, flags."""

    values: pl.Series  # String
    flags: pl.Series  # List(String), null where there is none


def joined(frames: Frames) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """The items' bytes one after another, and n + 1 offsets into them; no loop over items."""
    offsets = np.concatenate(([0], np.cumsum(frames.length))).astype(np.int64)
    edge = np.zeros(len(frames.buffer) + 1, np.int8)
    np.add.at(edge, frames.offset, 1)
    np.add.at(edge, frames.offset + frames.length, -1)
    inside = np.cumsum(edge[:-1], dtype=np.int8).astype(bool)
    if edge.max(initial=0) <= 1 and np.count_nonzero(inside) == offsets[-1]:
        return frames.buffer[inside], offsets
    # items that overlap or are out of order cannot be cut out by one mask
    parts = [frames.item(index) for index in range(len(frames))]
    return np.frombuffer(b"".join(parts), np.uint8), offsets


def text(frames: Frames) -> Text:
    """Decode every item on its own; trailing NUL, CR and LF are framing and go."""
    data, offsets = joined(frames)
    raw = data.tobytes()
    cut = frames.wire > frames.length
    try:
        raw.decode()
    except UnicodeDecodeError:
        pairs = [_one(raw[a:b], bool(c)) for a, b, c in zip(offsets[:-1], offsets[1:], cut, strict=True)]
        values = pl.Series([value for value, _ in pairs], dtype=pl.String)
        flags = pl.Series([flag for _, flag in pairs], dtype=pl.List(pl.String))
    else:
        values = _strings(raw, offsets)
        flags = _flagged(cut)
    return Text(values.str.strip_chars_end("\0\r\n").str.strip_prefix("\ufeff"), flags)


def dead(frames: Frames, rows: npt.NDArray[np.int64], reason: str) -> tuple[DeadLetter, ...]:
    """Samples of rejected items. ``source`` is filled in by whoever knows it."""
    return tuple(
        DeadLetter("", int(frames.number[row]), reason, frames.item(int(row))[:DEAD_BYTES]) for row in rows[:MAX_DEAD]
    )


def _strings(raw: bytes, offsets: npt.NDArray[np.int64]) -> pl.Series:
    array = pa.LargeBinaryArray.from_buffers(
        pa.large_binary(), len(offsets) - 1, [None, pa.py_buffer(offsets), pa.py_buffer(raw)]
    )
    return pl.Series("", pl.from_arrow(array)).cast(pl.String)


def _flagged(cut: npt.NDArray[np.bool_]) -> pl.Series:
    column = pl.Series("cut", cut)
    return pl.select(pl.when(column).then(pl.lit(["truncated"])).otherwise(None)).to_series()


def _one(raw: bytes, cut: bool) -> tuple[str, list[str] | None]:
    flags = ["truncated"] if cut else []
    for encoding, flag in (("utf-8", ""), ("gb18030", "gb18030")):
        try:
            return raw.decode(encoding), [*flags, *filter(None, [flag])] or None
        except UnicodeDecodeError as error:
            # A character that the cut or the sender split in two is no other encoding.
            if error.end >= len(raw) - 1 and error.start >= len(raw) - 3 and error.start > 0:
                return raw[: error.start].decode(encoding, "replace"), ["truncated", *filter(None, [flag])]
    return raw.decode("latin-1"), [*flags, "undecoded"]
