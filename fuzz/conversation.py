"""A conversation as one string of bytes, so that a fuzzer can change it: chunks of flags, length and data."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

SIDE, GAP, DATAGRAM = 1, 2, 4
MAX_CHUNKS = 64
_head = struct.Struct("<BH")


@dataclass(frozen=True, slots=True)
class Chunk:
    """What one side says at once; ``gap`` = bytes before it are lost, ``datagram`` = not part of a stream."""

    data: bytes
    side: int = 0
    gap: bool = False
    datagram: bool = False


def pack(chunks: Iterable[Chunk]) -> bytes:
    """Chunks as bytes; what is longer than 65,535 bytes is cut."""
    return b"".join(
        _head.pack(SIDE * one.side | GAP * one.gap | DATAGRAM * one.datagram, len(one.data[:65_535]))
        + one.data[:65_535]
        for one in chunks
    )


def unpack(raw: bytes) -> Iterator[Chunk]:
    """Any bytes as chunks; a length beyond the end takes what is there."""
    place = 0
    for _ in range(MAX_CHUNKS):
        if place + 3 > len(raw):
            return
        flags, size = _head.unpack_from(raw, place)
        data = raw[place + 3 : place + 3 + size]
        place += 3 + len(data)
        yield Chunk(data, flags & SIDE, bool(flags & GAP), bool(flags & DATAGRAM))


def changed(
    raw: bytes,
    size: int,
    seed: int,
    change: Callable[[bytes, int], bytes],
    mend: Callable[[bytes], bytes] | None = None,
) -> bytes:
    """A conversation changed within its chunks, so that their lengths stay right; now and then as mere bytes.

    Args:
        raw: the conversation.
        size: bytes it may have.
        seed: of the choice.
        change: changes bytes, given how many there may be.
        mend: makes the checksums of a chunk right again; mostly done.
    """
    rng = random.Random(seed)
    chunks = list(unpack(raw))
    if not chunks or rng.randrange(8) == 0:
        return change(raw, size)
    at = rng.randrange(len(chunks))
    kind = rng.randrange(16)
    if kind == 0:
        chunks.insert(at, chunks[rng.randrange(len(chunks))])
    elif kind == 1:
        chunks[at] = replace(chunks[at], side=1 - chunks[at].side)
    elif kind == 2:
        chunks[at] = replace(chunks[at], gap=not chunks[at].gap)
    elif kind == 3 and len(chunks[at].data) > 1:
        half = rng.randrange(1, len(chunks[at].data))
        first, second = chunks[at].data[:half], chunks[at].data[half:]
        chunks[at : at + 1] = [replace(chunks[at], data=first), replace(chunks[at], data=second, gap=False)]
    elif kind == 4:
        del chunks[at]
    else:
        room = max(size - len(raw), 0) + len(chunks[at].data)
        data = change(chunks[at].data, max(room, 1))
        chunks[at] = replace(chunks[at], data=mend(data) if mend is not None and rng.randrange(4) else data)
    return pack(chunks)[:size]
