"""A conversation as one string of bytes, so that a fuzzer can change it: chunks of flags, length and data."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

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
