"""Reading by pieces for somebody who keeps nothing: lines of small classes wait for more of their kind.

A table costs about the same whatever its rows, so a class of which a piece holds a few lines is read later, with those
of the pieces that follow. What waits is bounded, and read at the latest with the end of the input.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from cityguard.collect import boundary
from cityguard.decoders.base import Decoder
from cityguard.decoders.table import merge
from cityguard.errors import DecodeError
from cityguard.model import Decoded, Frames
from cityguard.sources.lines import PAD

LEAST = 256  # rows of a class that are worth a table of their own
PIECES = 2  # for which a line waits at most
MAX_BYTES = 8 << 20  # of lines that wait
FULL = 4 << 20  # bytes of a piece; a smaller one is the last, or somebody waits for it


@runtime_checkable
class Sorting(Decoder, Protocol):
    """A decoder that keeps nothing and can put lines of small classes back."""

    def larger(self, frames: Frames, least: int) -> tuple[Decoded, npt.NDArray[np.int64]]:
        """What ``decode`` gives but for classes of fewer than ``least`` lines, and the numbers of these."""


class Carried:
    """Such a decoder, and the lines that wait; of a piece that it fails on, none."""

    def __init__(self, decoder: Sorting) -> None:
        self._decoder = decoder
        self._held: list[Frames] = []
        self._pieces = 0

    def decode(self, frames: Frames) -> Decoded:
        """Tables of large classes, and now and then of what waited."""
        if frames.buffer.nbytes < FULL:
            return self._decoder.decode(frames)
        try:
            found, small = self._decoder.larger(frames, LEAST)
        except DecodeError:
            raise
        except boundary.FAULTS:
            found, small = boundary.decode(self._decoder, frames, divide=True), np.zeros(0, dtype=np.int64)
        self._pieces += 1
        if len(small):
            self._held.append(_own(frames.take(small)))
        if self._pieces < PIECES and sum(one.buffer.nbytes for one in self._held) < MAX_BYTES:
            return found
        return merge([found, self.flush()])

    def flush(self) -> Decoded:
        """Tables of all that waits."""
        held, self._held, self._pieces = self._held, [], 0
        return boundary.decode(self._decoder, _whole(held), divide=True) if held else Decoded()


def _own(frames: Frames) -> Frames:
    """The items in a buffer of their own."""
    held = frames.buffer.data
    spans = zip(frames.offset.tolist(), frames.length.tolist(), strict=True)
    data = np.frombuffer(b"".join([held[start : start + size] for start, size in spans]), np.uint8)
    return _over(data, np.cumsum(frames.length) - frames.length, [frames])


def _whole(held: list[Frames]) -> Frames:
    """All of them in one buffer, with room behind it to be read by whole words."""
    starts = np.cumsum([0, *(one.buffer.nbytes for one in held[:-1])])
    data = np.frombuffer(b"".join([*(one.buffer.tobytes() for one in held), PAD]), np.uint8)
    return _over(data, np.concatenate([one.offset + start for one, start in zip(held, starts, strict=True)]), held)


def _over(data: npt.NDArray[np.uint8], offset: npt.NDArray[np.int64], held: list[Frames]) -> Frames:
    return Frames(
        data,
        offset,
        np.concatenate([one.length for one in held]),
        np.concatenate([one.number for one in held]),
        np.concatenate([one.time for one in held]),
        np.concatenate([one.wire for one in held]),
        np.concatenate([one.link for one in held]),
        held[0].peer,
    )


def carried(decoder: Decoder) -> Decoder:
    """The decoder with lines that wait, where it can sort them; else itself."""
    return Carried(decoder) if isinstance(decoder, Sorting) else decoder
