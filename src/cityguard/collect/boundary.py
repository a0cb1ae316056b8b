"""The boundary around decoders: what one of them trips over costs the items it stands in, never the input."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from cityguard.decoders.base import Decoder
from cityguard.decoders.table import merge
from cityguard.decoders.text import dead
from cityguard.errors import DecodeError
from cityguard.model import Decoded, Frames

FAULTS: Final = (Exception, pl.exceptions.PanicException)
"""Everything but a wish to stop. A panic of polars is no Exception."""
MAX_TRIES = 200
"""Halvings of one piece in search of the items at fault; what is not told apart by then is lost as a whole."""


def reason(error: BaseException) -> str:
    """A fault in one line, bounded."""
    return f"cannot be used: {type(error).__name__}: {' '.join(str(error).split())[:200]}"


def decode(decoder: Decoder, frames: Frames, *, divide: bool) -> Decoded:
    """Decode a piece; items the decoder fails on end in the dead letters, found by halving.

    Args:
        decoder: keeps its state, so a decoder of packets must not see one twice: not ``divide``.
        frames: n items.
        divide: whether halves may be tried; otherwise the whole piece is lost.

    Raises:
        DecodeError: the decoder refuses the input as such.
    """
    tries = MAX_TRIES if divide else 0
    waiting, done = [frames], list[Decoded]()
    while waiting:
        piece = waiting.pop()
        try:
            done.append(decoder.decode(piece))
        except DecodeError:
            raise
        except FAULTS as error:
            tries -= 1
            if len(piece) <= 1 or tries <= 0:
                rows = np.arange(len(piece), dtype=np.int64)
                done.append(Decoded((), dead(piece, rows, reason(error)), len(piece)))
                continue
            half = len(piece) // 2
            waiting += [_part(piece, slice(half, None)), _part(piece, slice(0, half))]
    return done[0] if len(done) == 1 else merge(done)


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
