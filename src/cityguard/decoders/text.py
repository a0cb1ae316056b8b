"""Frames to a column of text: UTF-8, else GB18030, else Latin-1, told by a flag; terminal codes put aside."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from cityguard.decoders import misread
from cityguard.model import DeadLetter, Frames

MAX_DEAD = 100
"""Samples of rejected items one piece hands on; the rest is counted."""
DEAD_BYTES = 64 << 10
_ANSI = r"\x1b(?:\[[0-9:;<=>?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\^_])"
"""Terminal control sequences (ECMA-48, 5.4 and 5.6): colours, titles."""
_PLACE = ("log.offset", "event.original", "event.flags", "event.fields")
_SPLIT = ("unexpected end of data", "incomplete multibyte sequence")
"""What Python says of the first bytes of a character at the very end."""
_ESCAPE, _HIGH, _NEWLINE = 0x1B, 0x80, 0x0A
_ASCII = bytes(range(_HIGH)) + b"?" * _HIGH
_BLANK, _MARK = 0x0E, b"\xef\xbb\xbf"
_INLINE = 12
"""Bytes of a text that a string view holds itself."""
MAX_PLACE = (1 << 31) - 1
_FEW = 4
"""Of a buffer of which less than a part in so many is meant nothing is looked for, and nothing kept."""
Places = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Text:
    """One row per item: its text and, where something was wrong with it, flags."""

    values: pl.Series  # String, without NULs and terminal codes: what is parsed
    flags: pl.Series  # List(String), null where there is none
    raw: pl.Series  # String, as it came: what is kept


def joined(frames: Frames) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """The items' bytes one after another, and n + 1 offsets into them; no loop over items.

    Lines of a text may keep the line end that follows them.
    """
    if (gapless := _in_place(frames)) is not None:
        return gapless
    offsets = np.concatenate(([0], np.cumsum(frames.length))).astype(np.int64)
    edge = np.zeros(len(frames.buffer) + 1, np.int8)
    np.add.at(edge, frames.offset, 1)
    np.add.at(edge, frames.offset + frames.length, -1)
    inside = np.cumsum(edge[:-1], dtype=np.int8).astype(bool)
    rising = bool((frames.offset[1:] >= frames.offset[:-1]).all())
    if rising and edge.max(initial=0) <= 1 and np.count_nonzero(inside) == offsets[-1]:
        return frames.buffer[inside], offsets
    # items that overlap or are out of order cannot be cut out by one mask
    parts = [frames.item(index) for index in range(len(frames))]
    return np.frombuffer(b"".join(parts), np.uint8), offsets


def _in_place(frames: Frames) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]] | None:
    """The same without a copy, where nothing but line ends stands between the items."""
    start, end = frames.offset, frames.offset + frames.length
    if not len(start):
        return None
    gaps = start[1:] - end[:-1]
    if len(gaps) and (gaps.min() < 0 or gaps.max() > 2):
        return None
    between = end[:-1][gaps > 0]
    if not (frames.buffer[between] < 14).all() or not (frames.buffer[start[1:][gaps > 1] - 1] == _NEWLINE).all():
        return None
    offsets = np.concatenate((start, end[-1:])) - start[0]
    return frames.buffer[int(start[0]) : int(end[-1])], offsets.astype(np.int64)


def text(frames: Frames) -> Text:
    """Decode every item on its own; trailing NUL, CR and LF are framing and go."""
    if (found := _clean(frames)) is not None:
        return found
    data, offsets = joined(frames)
    raw = data.tobytes()
    cut = frames.wire > frames.length
    ascii_ = raw.isascii()
    try:
        if not ascii_:
            raw.decode()
        values, flags = _strings(raw, offsets), _flagged(cut)
    except (UnicodeDecodeError, pl.exceptions.ComputeError):  # the latter: a letter lies across two items
        values, flags = _mixed(data, raw, offsets, cut)
    values = values.str.strip_chars_end("\0\r\n").str.strip_prefix("\ufeff")
    clean = values
    if b"\0" in raw:
        clean = clean.str.replace_all("\0", "", literal=True)
    if _ESCAPE in raw:
        clean = clean.str.replace_all(_ANSI, "")
    if not ascii_:
        clean, flags = misread.repaired(clean, flags)
    return Text(clean, flags, values)


def _clean(frames: Frames) -> Text | None:
    """The same without a copy, of UTF-8 of which nothing has to be put aside: texts stay where they are."""
    start, size, data = frames.offset, frames.length, frames.buffer
    held = _held(data)
    if not len(start) or held is None or len(held) > MAX_PLACE or int(size.sum()) * _FEW < len(held):
        return None
    if held.find(0) >= 0 or held.find(_ESCAPE) >= 0:
        return None
    if not size.all() or (data[start + size - 1] < _BLANK).any() or (data[start] == _MARK[0]).any():
        return None
    array = pa.Array.from_buffers(
        pa.binary_view(), len(start), [None, pa.py_buffer(_views(data, start, size)), pa.py_buffer(held)]
    )
    try:
        values = pl.Series("", pl.from_arrow(array)).cast(pl.String)
    except pl.exceptions.ComputeError:  # not UTF-8
        return None
    clean, flags = values, _flagged(frames.wire > size)
    if not held.isascii():
        clean, flags = misread.repaired(clean, flags)
    return Text(clean, flags, values)


def _held(buffer: npt.NDArray[np.uint8]) -> bytes | None:
    """The bytes object that an array shows the whole of."""
    base: object = buffer
    while isinstance(base, np.ndarray):
        base = base.base
    return base if isinstance(base, bytes) and len(base) == buffer.nbytes else None


def _views(data: npt.NDArray[np.uint8], start: Places, size: Places) -> npt.NDArray[np.uint64]:
    """Arrow's string views of texts in one buffer: length and beginning, then the place; short texts themselves."""
    views = np.zeros((len(start), 2), np.uint64)
    views[:, 1] = start.astype(np.uint64) << np.uint64(32)
    inside = np.flatnonzero(size <= _INLINE)
    views[inside] = 0
    raw = views.view(np.uint8)
    for nth in range(4):
        np.copyto(raw[:, 4 + nth], data[np.minimum(start + nth, len(data) - 1)], where=size > nth)
    for nth in range(4, _INLINE):
        rows = inside[size[inside] > nth]
        raw[rows, 4 + nth] = data[start[rows] + nth]
    views[:, 0] |= size.astype(np.uint64)
    return views


def _mixed(
    data: npt.NDArray[np.uint8], raw: bytes, offsets: npt.NDArray[np.int64], cut: npt.NDArray[np.bool_]
) -> tuple[pl.Series, pl.Series]:
    """A block that is not UTF-8 throughout: only lines with bytes beyond ASCII are looked at one by one."""
    high = np.concatenate(([0], np.cumsum(data >= _HIGH, dtype=np.int64)))[offsets]
    odd = np.flatnonzero(high[1:] > high[:-1])
    pairs = [_one(raw[offsets[n] : offsets[n + 1]], bool(cut[n])) for n in odd]
    # Whole lines of ASCII stay where they are; Latin-1 reads any byte, and the others are replaced below.
    plain = _strings(raw.translate(_ASCII), offsets)
    values = plain.scatter(odd, pl.Series([value for value, _ in pairs], dtype=pl.String)) if len(odd) else plain
    flags = _flagged(cut).to_list()
    for n, (_, flag) in zip(odd.tolist(), pairs, strict=True):
        flags[n] = flag
    return values, pl.Series(flags, dtype=pl.List(pl.String))


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
    raw = raw.rstrip(b"\0\r\n")
    for encoding, flag in (("utf-8", ""), ("gb18030", "gb18030")):
        try:
            return raw.decode(encoding), [*flags, *filter(None, [flag])] or None
        except UnicodeDecodeError as error:
            # A character that the cut or the sender split in two is no other encoding; one that cannot begin so is.
            if error.reason in _SPLIT and error.start > 0:
                return raw[: error.start].decode(encoding, "replace"), ["truncated", *filter(None, [flag])]
    return raw.decode("latin-1"), [*flags, "undecoded"]


def placed(
    table: pl.DataFrame, frames: Frames, rows: npt.NDArray[np.int64], read: Text, spare: pl.Series | None = None
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
    raw, flags, number = read.raw, read.flags, frames.number
    if len(rows) != len(frames) or (np.diff(rows) != 1).any():
        index = pl.Series(rows)
        raw, flags, number = raw[index], flags[index], number[rows]
    own = [pl.Series("log.offset", number), raw.alias("event.original"), flags.alias("event.flags")]
    own += [spare.alias("event.fields")] if spare is not None else []
    return pl.DataFrame([*(column for column in table.get_columns() if column.name not in _PLACE), *own])
