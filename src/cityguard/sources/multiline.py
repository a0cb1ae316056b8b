"""Lines that belong together: a record begins where a line says so, what follows is part of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from cityguard.model import Frames
from cityguard.sources.lines import one_each

_ASCII = bytes(range(128)) + b"?" * 128


@dataclass(slots=True)
class _Held:
    """The record that the next piece may go on with, at most ``line_bytes`` of it."""

    raw: bytes
    number: int
    wire: int
    is_cut: bool


def frames(pieces: Iterable[Frames], begins: str, *, line_bytes: int) -> Iterator[Frames]:
    """Join lines to records.

    Args:
        pieces: lines in order, as ``lines.frames`` gives them.
        begins: a Rust regular expression of the first line of a record; bytes beyond ASCII are ``?`` to it.
        line_bytes: where a record is cut; ``wire`` keeps its real length.

    Yields:
        Records; lines before the first one stay lines of their own. Pieces end where they ended before, except that
        the last record of each is given with the next.
    """
    held: _Held | None = None
    for piece in pieces:
        if not len(piece):
            continue
        first = np.flatnonzero(_begins(piece, begins))
        edge = int(first[0]) if len(first) else len(piece)
        if edge and held is not None:
            _append(held, piece, edge, line_bytes)
        elif edge:
            yield piece.take(np.arange(edge))
        if not len(first):
            continue
        if held is not None:
            yield _single(held)
        last = np.append(first[1:], len(piece)) - 1
        wire = piece.number[last] + piece.wire[last] - piece.number[first]
        length = np.minimum(piece.offset[last] + piece.length[last] - piece.offset[first], line_bytes)
        if len(first) > 1:
            rows = first[:-1]
            yield Frames(
                piece.buffer,
                piece.offset[rows],
                length[:-1],
                piece.number[rows],
                piece.time[rows],
                wire[:-1],
                piece.link[rows],
                piece.peer,
            )
        start = int(piece.offset[first[-1]])
        raw = piece.buffer[start : start + int(length[-1])].tobytes()
        held = _Held(raw, int(piece.number[first[-1]]), int(wire[-1]), bool(wire[-1] > length[-1]))
    if held is not None:
        yield _single(held)


def _begins(piece: Frames, pattern: str) -> npt.NDArray[np.bool_]:
    start, stop = int(piece.offset[0]), int(piece.offset[-1] + piece.length[-1])
    raw = piece.buffer[start:stop].tobytes().translate(_ASCII)
    offsets = np.append(piece.offset - start, stop - start).astype(np.int64)
    array = pa.LargeBinaryArray.from_buffers(
        pa.large_binary(), len(piece), [None, pa.py_buffer(offsets), pa.py_buffer(raw)]
    )
    found: npt.NDArray[np.bool_] = pl.Series("", pl.from_arrow(array)).cast(pl.String).str.contains(pattern).to_numpy()
    return found


def _append(held: _Held, piece: Frames, rows: int, line_bytes: int) -> None:
    stop = int(piece.offset[rows - 1] + piece.length[rows - 1])
    whole = held.raw + b"\n" + piece.buffer[int(piece.offset[0]) : stop].tobytes()
    held.raw = whole[:line_bytes]
    lost = held.is_cut or len(whole) > line_bytes or bool((piece.wire[:rows] > piece.length[:rows]).any())
    held.is_cut = lost
    held.wire = int(piece.number[rows - 1] + piece.wire[rows - 1]) - held.number


def _single(held: _Held) -> Frames:
    made = one_each([held.raw])
    # Line ends between pieces may have been longer than the one put there: only what was cut has another length.
    wire = np.array([max(held.wire, len(held.raw) + 1) if held.is_cut else len(held.raw)], np.int64)
    number = np.array([held.number], np.int64)
    return Frames(made.buffer, made.offset, made.length, number, made.time, wire, made.link)
