"""Text to lines: newlines found as one array operation, over-long lines cut, offsets kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cityguard.model import Frames

PIECE = 100_000
"""Lines in one piece at most."""
PAD = b"\n" * 64
"""Behind the text, so that its last line can be read by whole words."""
_NEWLINE, _RETURN = 10, 13
_FILLED = np.ones(256, np.bool_)
_FILLED[list(b"\0\t\v\f\r ")] = False

Words = npt.NDArray[np.int64]


_STEP = 1 << 20
"""Bytes looked through at a time: what comes of them stays near."""


@dataclass(frozen=True, slots=True)
class Ahead:
    """Whole lines up to ``end``; what follows, ``len(PAD)`` bytes or more, comes again with the next block."""

    data: bytes
    end: int


def frames(blocks: Iterable[bytes | Ahead], *, line_bytes: int, place: int = 0) -> Iterator[Frames]:
    """Lines of a text in pieces of at most ``PIECE``; blank lines are left out.

    Args:
        blocks: the text, in pieces of any size.
        line_bytes: where a line is cut; ``wire`` keeps its real length.
        place: offset of the first byte.

    Yields:
        Frames whose ``number`` is the byte offset of the line in the text.
    """
    kept = b""  # the unfinished line, at most line_bytes of it; ``place`` is the offset of its first byte
    lost = 0  # bytes of it that were cut
    for given in blocks:
        if isinstance(given, Ahead):
            block, end = given.data, given.end
            del given  # a block is large: it goes with the last of its pieces
            if not kept and not lost:
                whole = _pieces(block, place, 0, 0, line_bytes, end)
                place += end
                del block
                yield from whole
                continue
            block = block[:end]
        else:
            block = given
        end = block.rfind(b"\n") + 1
        if not end:
            kept, lost = _hold(kept, block, lost, line_bytes)
            continue
        seam, cut = len(kept), lost
        pieces = _pieces(b"".join((kept, memoryview(block)[:end], PAD)), place, seam, cut, line_bytes)
        place += seam + cut + end
        kept, lost = _hold(b"", block[end:], 0, line_bytes)
        del block  # it is large, and the pieces have their own
        yield from pieces
    if kept:
        yield from _pieces(kept + b"\n" + PAD, place, len(kept), lost, line_bytes)


def one_each(items: list[bytes], *, first: int = 0) -> Frames:
    """Frames of ready items, numbered from ``first``: records, datagrams."""
    length = np.fromiter((len(item) for item in items), np.int64, len(items))
    return Frames(
        buffer=np.frombuffer(b"".join(items), np.uint8),
        offset=np.cumsum(length) - length,
        length=length,
        number=np.arange(first, first + len(items), dtype=np.int64),
        time=np.zeros(len(items), np.int64),
        wire=length,
        link=np.zeros(len(items), np.int32),
    )


def _hold(kept: bytes, more: bytes, lost: int, line_bytes: int) -> tuple[bytes, int]:
    room = max(line_bytes - len(kept), 0)
    return kept + more[:room], lost + max(len(more) - room, 0)


def _pieces(text: bytes, place: int, seam: int, lost: int, line_bytes: int, end: int | None = None) -> Iterator[Frames]:
    """Cut ``text`` up to ``end`` (behind a newline; without it ``PAD`` follows).

    ``lost`` bytes are missing at ``seam``, inside its first line.
    """
    buffer = np.frombuffer(text, np.uint8)
    stop = _newlines(buffer[: len(buffer) - len(PAD) if end is None else end])
    start = np.empty_like(stop)
    start[0], start[1:] = 0, stop[:-1] + 1
    number = start + place
    number[1:] += lost
    wire = stop - start
    wire[0] += lost
    length = np.minimum(stop - start, line_bytes)
    # a CR at the place where a line was cut is no line end
    length -= (length > 0) & (wire <= line_bytes) & (buffer[np.maximum(start + length - 1, 0)] == _RETURN)
    wire = np.where(wire > line_bytes, wire, length)
    keep = (length > 0) & _FILLED[buffer[start]]
    if not keep.all():
        # A byte other than blanks and NUL makes a line; counted with one running sum instead of a look at each line.
        seen = np.concatenate(([0], np.cumsum(_FILLED[buffer], dtype=np.int32)))
        keep = seen[start + length] > seen[start]
    start, length, number, wire = start[keep], length[keep], number[keep], wire[keep]
    for first in range(0, len(start), PIECE):
        part = slice(first, first + PIECE)
        count = len(start[part])
        yield Frames(
            buffer,
            start[part],
            length[part],
            number[part],
            np.zeros(count, np.int64),
            wire[part],
            np.zeros(count, np.int32),
        )


def _newlines(buffer: npt.NDArray[np.uint8]) -> Words:
    steps = range(0, len(buffer), _STEP)
    return np.concatenate([np.flatnonzero(buffer[at : at + _STEP] == _NEWLINE) + at for at in steps])
