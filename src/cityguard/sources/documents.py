"""JSON documents to items: one object, an array of them, pretty-printed ones after one another, or one a line."""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec
import numpy as np

from cityguard.model import Frames
from cityguard.sources import lines

MAX_BYTES = 256 << 20
"""Of a JSON document that is not one object a line; it has to be held whole."""
_SEAM = re.compile(rb"^\}\s*?\n(?=\{)", re.MULTILINE)
_LIST = msgspec.json.Decoder(list[msgspec.Raw])


def is_document(head: bytes) -> bool:
    """Whether JSON text is anything but one object a line."""
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if text[:1] == b"[":
        return True
    if text[:1] != b"{":
        return False
    first = text.partition(b"\n")[0].rstrip()
    return not first.endswith(b"}")


def frames(buffer: np.ndarray, *, line_bytes: int) -> Iterator[Frames]:
    """Objects of a JSON text as frames.

    Args:
        buffer: uint8[n], the whole text.
        line_bytes: only for text that turns out to be one object a line.

    Yields:
        Frames numbered by the byte offset of each object. Text that is no JSON at all comes back as one item, so
        that the decoder rejects it.
    """
    text = buffer.tobytes()
    for start, end in _spans(text):
        yield from _objects(text, start, end)


def _spans(text: bytes) -> Iterator[tuple[int, int]]:
    begin = 3 if text.startswith(b"\xef\xbb\xbf") else 0
    for seam in _SEAM.finditer(text):
        yield begin, seam.start() + 1
        begin = seam.end()
    yield begin, len(text)


def _objects(text: bytes, start: int, end: int) -> Iterator[Frames]:
    piece = text[start:end]
    if not piece.strip():
        return
    base = np.frombuffer(piece, np.uint8)
    offset, length = np.array([0]), np.array([len(piece)])
    if piece.lstrip()[:1] == b"[":
        try:
            items = _LIST.decode(piece)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            items = []
        if items:
            # Each Raw is a view into ``piece``: its address tells where it stands.
            views = [np.frombuffer(memoryview(item), np.uint8) for item in items]
            offset = np.array([view.ctypes.data for view in views]) - base.ctypes.data
            length = np.array([len(view) for view in views])
    for first in range(0, len(offset), lines.PIECE):
        part = slice(first, first + lines.PIECE)
        count = len(offset[part])
        yield Frames(
            base,
            offset[part].astype(np.int64),
            length[part].astype(np.int64),
            (offset[part] + start).astype(np.int64),
            np.zeros(count, np.int64),
            length[part].astype(np.int64),
            np.zeros(count, np.int32),
        )
