"""Documents to items: JSON (one object, an array, pretty-printed ones after one another, one a line), event XML."""

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
XML = (b"<?xml", b"<Events", b"<Event>", b"<Event ")
JOURNAL = b"__CURSOR="
"""How an entry in the Journal Export Format begins."""
_OPEN = re.compile(rb"<Event[\s>]")
_CLOSE = b"</Event>"
_LIST = msgspec.json.Decoder(list[msgspec.Raw])


def is_document(head: bytes) -> bool:
    """Whether JSON or event XML is anything but one object a line."""
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if text.startswith(JOURNAL):
        return True
    if text.startswith(XML):
        first = text.partition(b"\n")[0]
        return first.count(_CLOSE) != 1 or not first.rstrip().endswith(_CLOSE)
    if text[:1] == b"[":
        return True
    if text[:1] != b"{":
        return False
    first = text.partition(b"\n")[0].rstrip()
    return not first.endswith(b"}")


def frames(buffer: np.ndarray, *, line_bytes: int) -> Iterator[Frames]:
    """Objects of a JSON text, or events of an XML one, as frames.

    Args:
        buffer: uint8[n], the whole text.
        line_bytes: only for text that turns out to be one object a line.

    Yields:
        Frames numbered by the byte offset of each object. Text that is no JSON at all comes back as one item, so
        that the decoder rejects it.
    """
    text = buffer.tobytes()
    if text.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(XML):
        yield from _elements(text)
        return
    if text.startswith(JOURNAL):
        yield from _entries(text)
        return
    for start, end in _spans(text):
        yield from _objects(text, start, end)


def _spans(text: bytes) -> Iterator[tuple[int, int]]:
    begin = 3 if text.startswith(b"\xef\xbb\xbf") else 0
    for seam in _SEAM.finditer(text):
        yield begin, seam.start() + 1
        begin = seam.end()
    yield begin, len(text)


def _entries(text: bytes) -> Iterator[Frames]:
    """Entries of a journal, each up to its empty line; a value of raw bytes may hold empty lines itself."""
    starts, ends, place, begin = list[int](), list[int](), 0, 0
    while place < len(text):
        end = text.find(b"\n", place)
        end = len(text) if end < 0 else end
        if end == place:
            if place > begin:
                starts.append(begin)
                ends.append(place)
            begin = end + 1
        elif text.find(b"=", place, end) < 0:
            end += 8 + int.from_bytes(text[end + 1 : end + 9], "little") + 1
        place = end + 1
    if begin < len(text):
        starts.append(begin)
        ends.append(len(text))
    offset = np.array(starts, np.int64)
    yield from _framed(np.frombuffer(text, np.uint8), offset, np.array(ends, np.int64) - offset, 0)


def _elements(text: bytes) -> Iterator[Frames]:
    """``Event`` elements; what stands around them (declaration, ``Events``, comments) is no item."""
    starts, ends, end = list[int](), list[int](), 0
    for found in _OPEN.finditer(text):
        if found.start() < end:
            continue
        end = text.find(_CLOSE, found.start()) + len(_CLOSE)
        if end < len(_CLOSE):
            break
        starts.append(found.start())
        ends.append(end)
    if not starts:
        starts, ends = [0], [len(text)]
    offset = np.array(starts, np.int64)
    yield from _framed(np.frombuffer(text, np.uint8), offset, np.array(ends, np.int64) - offset, 0)


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
    yield from _framed(base, offset, length, start)


def _framed(base: np.ndarray, offset: np.ndarray, length: np.ndarray, start: int) -> Iterator[Frames]:
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
