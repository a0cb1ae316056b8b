"""Windows event log files (EVTX) to records, each as JSON text; a bad record costs only itself."""

from __future__ import annotations

import io
from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np

from cityguard.errors import DecodeError
from cityguard.model import Frames
from cityguard.sources import lines

MAGIC = b"ElfFile\x00"
PIECE = 20_000
"""Records in one piece at most."""
PIECE_BYTES = 16 << 20
_STEP = 500


HEADER, CHUNK = 4096, 65_536


def cut_off(buffer: np.ndarray) -> str:
    """What a shortened file lacks, as a note; empty when the file is as long as its header says."""
    if len(buffer) < HEADER:
        return "cut off within its header"
    chunks = int.from_bytes(buffer[42:44].tobytes(), "little")
    there = (len(buffer) - HEADER) // CHUNK
    return f"cut off: {there} of {chunks} chunks are there" if there < chunks else ""


def frames(buffer: np.ndarray) -> Iterator[Frames]:
    """Records in pieces, numbered from 0; a record that cannot be read is an item of no bytes.

    Args:
        buffer: uint8[n], the whole file.

    Raises:
        DecodeError: the file header is not that of an event log.
    """
    import evtx

    try:
        records: Iterator[Any] = iter(evtx.PyEvtxParser(_Held(buffer), number_of_threads=1).records_json())
    except (OSError, RuntimeError, ValueError) as error:
        raise DecodeError(f"not an event log: {str(error)[:200]}", place="byte 0") from None
    items: list[str] = []
    size = done = 0
    # The parser goes on behind a bad record; each costs input, so this ends (a bound all the same).
    left = len(buffer) // 24 + 2
    while left > 0:
        first = len(items)
        try:
            for record in islice(records, min(left, _STEP)):
                items.append(record["data"])  # noqa: PERF401 - what came before a fault is kept
            over = len(items) - first < min(left, _STEP)
        except (RuntimeError, ValueError, OSError):
            items.append("")
            over = False
        left -= len(items) - first
        size += sum(map(len, items[first:]))
        if over:
            break
        if len(items) >= PIECE or size >= PIECE_BYTES:
            yield _framed(items, done)
            done += len(items)
            items, size = [], 0
    if items:
        yield _framed(items, done)


class _Held(io.RawIOBase):
    """Bytes in memory as a file that is read without a copy of the whole."""

    def __init__(self, buffer: np.ndarray) -> None:
        self._view, self._at = memoryview(buffer.data).cast("B"), 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0, /) -> int:
        self._at = max(offset + (0, self._at, len(self._view))[whence], 0)
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, size: int | None = -1, /) -> bytes:
        end = len(self._view) if size is None or size < 0 else self._at + size
        piece = self._view[self._at : end].tobytes()
        self._at += len(piece)
        return piece


def _framed(items: list[str], first: int) -> Frames:
    whole = "".join(items)
    if not whole.isascii():
        return lines.one_each([item.encode("utf-8", "replace") for item in items], first=first)
    length = np.fromiter(map(len, items), np.int64, len(items))
    return Frames(
        buffer=np.frombuffer(whole.encode("ascii"), np.uint8),
        offset=np.cumsum(length) - length,
        length=length,
        number=np.arange(first, first + len(items), dtype=np.int64),
        time=np.zeros(len(items), np.int64),
        wire=length,
        link=np.zeros(len(items), np.int32),
    )
