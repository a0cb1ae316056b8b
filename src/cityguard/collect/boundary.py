"""The boundary around decoders: what one of them trips over costs the items it stands in, never the input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from cityguard.decoders.base import Decoder
from cityguard.decoders.table import merge
from cityguard.decoders.text import dead
from cityguard.errors import DecodeError
from cityguard.model import Decoded, EventBatch, Frames

FAULTS: Final = (Exception, pl.exceptions.PanicException)
"""Everything but a wish to stop. A panic of polars is no Exception."""
FEW: Final = 16
"""Items that are tried one by one rather than halved on: the search takes at most 1 + 2/FEW tries an item."""


def reason(error: BaseException) -> str:
    """A fault in one line, bounded."""
    return f"cannot be used: {type(error).__name__}: {' '.join(str(error).split())[:200]}"


def decode(decoder: Decoder, frames: Frames, *, divide: bool) -> Decoded:
    """Decode a piece; items the decoder fails on, however many, end in the dead letters, and no other with them.

    Args:
        decoder: keeps its state, so a decoder of packets must not see one twice: not ``divide``.
        frames: n items.
        divide: whether parts may be tried; otherwise the whole piece is lost.

    Raises:
        DecodeError: the decoder refuses the input as such.
    """
    waiting, done = [slice(0, len(frames))], list[Decoded]()
    while waiting:
        rows = waiting.pop()
        piece = frames if rows == slice(0, len(frames)) else _part(frames, rows)
        try:
            done.append(decoder.decode(piece))
        except DecodeError:
            raise
        except FAULTS as error:
            if len(piece) <= 1 or not divide:
                lost = dead(piece, np.arange(len(piece), dtype=np.int64), reason(error))
                done.append(Decoded((), lost, len(piece)))
                continue
            waiting += reversed(parts(rows))
    if len(done) == 1:
        return done[0]
    whole = merge(done)
    return replace(whole, batches=gathered(whole.batches))


def parts(rows: slice) -> list[slice]:
    """What to try next where a run of two items or more fails: its halves, or, when few are left, each alone."""
    start, stop = rows.start, rows.stop
    step = 1 if stop - start <= FEW else (stop - start + 1) // 2
    return [slice(at, min(at + step, stop)) for at in range(start, stop, step)]


def gathered(batches: Sequence[EventBatch]) -> tuple[EventBatch, ...]:
    """Batches of the same columns in one again, in their order: a table a row would cost every later step dear."""
    alike: dict[tuple[object, ...], list[EventBatch]] = {}
    for batch in batches:
        key = (batch.dataset, batch.collector, batch.logsource, *batch.table.schema.items())
        alike.setdefault(key, []).append(batch)
    out: list[EventBatch] = []
    for group in alike.values():
        try:
            out.append(replace(group[0], table=pl.concat([batch.table for batch in group])))
        except FAULTS:  # a column of Python's own objects
            out += group
    return tuple(out)


def flush(decoder: Decoder) -> Decoded:
    """What a decoder still holds at the end; a fault there becomes a note."""
    try:
        return decoder.flush()
    except FAULTS as error:
        return Decoded(notes=(f"what was still open at the end is lost; it {reason(error)}",))


def _part(frames: Frames, rows: slice) -> Frames:
    def cut(column: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        return column[rows]

    return replace(
        frames,
        offset=cut(frames.offset),
        length=cut(frames.length),
        number=cut(frames.number),
        time=cut(frames.time),
        wire=cut(frames.wire),
        link=frames.link[rows],
    )
