"""Capture files: pcap and pcapng to pieces of packets (draft-ietf-opsawg-pcap, draft-ietf-opsawg-pcapng).

``walk`` finds where the records start; times, lengths and link types are gathered as arrays.
A file that breaks off or lies about a length keeps its valid prefix, and says so in ``notes``.
"""

from __future__ import annotations

import contextlib
import mmap
import struct
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cityguard.errors import DecodeError
from cityguard.model import Frames
from cityguard.sources import walk
from cityguard.sources.walk import MAX_PACKET

PIECE = 65_536
"""Packets in one piece at most."""
PIECE_BYTES = 32 << 20
"""Bytes of the file that one piece spans; its last packet may reach beyond."""
MAX_INTERFACES = 65_536
_STAY = 5  # pieces whose pages stay, for who reads them later than they were given
_POPULATE_READ = 22  # of Linux' madvise

Buffer = npt.NDArray[np.uint8]
Words = npt.NDArray[np.int64]

# first four bytes -> (byte order, nanoseconds per tick, length of a record header)
_PCAP = {
    b"\xd4\xc3\xb2\xa1": ("<", 1000, 16),
    b"\xa1\xb2\xc3\xd4": (">", 1000, 16),
    b"\x4d\x3c\xb2\xa1": ("<", 1, 16),
    b"\xa1\xb2\x3c\x4d": (">", 1, 16),
    b"\x34\xcd\xb2\xa1": ("<", 1000, 24),  # Kuznetzov's variant with 8 more bytes per record
    b"\xa1\xb2\xcd\x34": (">", 1000, 24),
}
_PCAPNG = b"\x0a\x0d\x0d\x0a"
_ORDER = {b"\x4d\x3c\x2b\x1a": "<", b"\x1a\x2b\x3c\x4d": ">"}


def sniff(head: bytes) -> bool:
    """Whether a file that begins with ``head`` (4 bytes or more) is a capture."""
    return head[:4] in _PCAP or head[:4] == _PCAPNG


def frames(buffer: Buffer) -> Capture:
    """Packets of a capture in pieces of at most ``PIECE`` packets and about ``PIECE_BYTES``.

    Args:
        buffer: uint8[n], the whole file (a memory map will do).

    Returns:
        An iterator of Frames, numbered from 1, times in ns; its ``notes`` are complete once it is exhausted.

    Raises:
        DecodeError: the header is not that of a capture.
    """
    return Capture(buffer)


@dataclass(frozen=True, slots=True)
class _Interface:
    link: int
    snaplen: int = 0
    shift: int = 0  # ticks are 2**-shift seconds, or
    ticks: int = 1_000_000  # this many a second
    offset: int = 0  # seconds to add


class Capture(Iterator[Frames]):
    """An open capture; iterate once."""

    def __init__(self, buffer: Buffer) -> None:
        self.notes: list[str] = []
        self._buffer = np.asarray(buffer)  # plain: a memmap object makes every slice dear
        self._pages, self._asked, self._passed, self._behind = _mapping(self._buffer), 0, 0, deque[int]()
        self._number = 1
        head = buffer[:24].tobytes()
        if head[:4] in _PCAP and len(head) == 24:
            self._pieces = self._pcap(head)
        elif head[:4] == _PCAPNG and head[8:12] in _ORDER:
            self._pieces = self._pcapng()
        else:
            raise DecodeError("not a capture file", place="byte 0", remedy="give a pcap or pcapng file")

    def __next__(self) -> Frames:
        return next(self._pieces)

    def _pcap(self, head: bytes) -> Iterator[Frames]:
        order, tick, size = _PCAP[head[:4]]
        link = struct.unpack_from(order + "I", head, 20)[0] & 0xFFFF  # the upper bits tell of the FCS
        end, place, broken = len(self._buffer), 24, False
        while place < end and not broken:
            self._ask_for(place)
            found, place, broken = walk.chain(self._buffer, place, order, size, tick)
            links = np.full(min(len(found.offset), PIECE), link, np.int32)
            for part in _pieces(found.offset):
                offset, length, time, wire = (
                    column[part] for column in (found.offset, found.length, found.time, found.wire)
                )
                yield self._frames(offset, length, time, wire, links[: len(offset)])
                self._release(int(offset[-1]))
        if place < end:
            self.notes.append(f"capture damaged or cut off at byte {place} of {end}, after {self._number - 1} packets")

    def _ask_for(self, place: int) -> None:
        """Bring the pages of the next window at once instead of one by one."""
        start = max(place // mmap.PAGESIZE * mmap.PAGESIZE, self._asked)
        stop = min(place + walk.WINDOW + MAX_PACKET, len(self._buffer))
        if self._pages is not None and start < stop:
            with contextlib.suppress(OSError):  # an older kernel
                self._pages.madvise(_POPULATE_READ, start, stop - start)
            self._asked = stop // mmap.PAGESIZE * mmap.PAGESIZE

    def _release(self, place: int) -> None:
        """What lies some pieces before was read: its pages need not stay in memory."""
        self._behind.append(place)
        if len(self._behind) <= _STAY:
            return
        page = self._behind.popleft() // mmap.PAGESIZE * mmap.PAGESIZE
        if self._pages is not None and page > self._passed:
            self._pages.madvise(mmap.MADV_DONTNEED, self._passed, page - self._passed)
            self._passed = page

    def _pcapng(self) -> Iterator[Frames]:
        end, place, why = len(self._buffer), 0, walk.SPECIAL
        order, interfaces = "<", list[_Interface]()
        while why in (walk.SPECIAL, walk.FULL):
            self._ask_for(place)
            starts, kinds, place, why = walk.blocks(self._buffer, place, order, PIECE)
            for part in _pieces(starts):
                yield self._blocks(starts[part], kinds[part], order, interfaces)
                self._release(int(starts[part.stop - 1]))
            if why != walk.SPECIAL:
                continue
            head = bytes(self._buffer[place : place + 12])
            if head[:4] == _PCAPNG:
                if head[8:] not in _ORDER:
                    why = walk.BROKEN
                    break
                order, interfaces = _ORDER[head[8:]], []
            length = struct.unpack_from(order + "4xI", head)[0]
            if length < 12 or length % 4 or place + length > end:
                why = walk.BROKEN
                break
            if head[:4] != _PCAPNG and length >= 20:
                if len(interfaces) == MAX_INTERFACES:
                    self.notes.append(f"more than {MAX_INTERFACES} interfaces, stopped at byte {place}")
                    return
                interfaces.append(_interface(bytes(self._buffer[place + 8 : place + length - 4]), order))
            place += length
        if why == walk.BROKEN or end - place:
            self.notes.append(f"capture damaged or cut off at byte {place} of {end}, after {self._number - 1} packets")

    def _blocks(self, at: Words, kind: Words, order: str, interfaces: list[_Interface]) -> Frames:
        u32, u16 = _reader(self._buffer, order + "u4"), _reader(self._buffer, order + "u2")
        simple, obsolete = kind == walk.SIMPLE, kind == walk.OBSOLETE
        far = np.where(simple, at - 12, at)  # keeps every read inside the block; masked below
        which = np.where(simple, 0, np.where(obsolete, u16(at + 8), u32(at + 8)))
        known = which < len(interfaces)
        which = np.where(known, which, len(interfaces))
        table = [*interfaces, _Interface(link=-1)]
        snaplen = np.array([one.snaplen or MAX_PACKET for one in table], np.int64)[which]
        wire = np.where(simple, u32(at + 8), u32(far + 24))
        captured = np.where(simple, np.minimum(wire, snaplen), u32(far + 20))
        begin = at + np.where(simple, 12, 28)
        room = at + u32(at + 4) - 4 - begin
        lying = captured > room
        if lying.any():
            self.notes.append(f"{int(lying.sum())} packets longer than their block, cut to it")
        time = np.where(simple, 0, _time((u32(far + 12) << 32) | u32(far + 16), which, table))
        link = np.array([one.link for one in table], np.int32)[which]
        length = np.ascontiguousarray(np.minimum(captured, room))
        # A wire length below what was captured is a lie of the file; the larger one is what was seen.
        return self._frames(begin, length, np.maximum(time, 0), np.maximum(wire, length), link)

    def _frames(self, offset: Words, length: Words, time: Words, wire: Words, link: npt.NDArray[np.int32]) -> Frames:
        number = np.arange(self._number, self._number + len(offset), dtype=np.int64)
        self._number += len(offset)
        return Frames(self._buffer, offset, length, number, time, wire, link)


def _pieces(starts: Words) -> Iterator[slice]:
    """Records in pieces of at most ``PIECE`` and ``PIECE_BYTES``."""
    first = 0
    while first < len(starts):
        beyond = int(np.searchsorted(starts, starts[first] + PIECE_BYTES))
        stop = min(max(beyond, first + 1), first + PIECE)
        yield slice(first, stop)
        first = stop


def _mapping(buffer: Buffer) -> mmap.mmap | None:
    """The memory map of a whole file, where the buffer is one."""
    base: object = buffer
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, memoryview):
        base = base.obj
    if isinstance(base, mmap.mmap) and len(base) == len(buffer) and hasattr(mmap, "MADV_DONTNEED"):
        return base
    return None


class _reader:  # noqa: N801 - used as a function
    """Unsigned integers at unaligned places of a buffer, as int64."""

    def __init__(self, buffer: Buffer, kind: str) -> None:
        width = int(kind[2:])
        self._last = len(buffer) - width
        self._view: npt.NDArray[np.unsignedinteger] = np.ndarray(
            (max(self._last + 1, 0),), np.dtype(kind), buffer=buffer, strides=(1,)
        )

    def __call__(self, at: Words) -> Words:
        # The one packet that would be read across either end of the file is masked by the caller.
        return self._view[np.clip(at, 0, self._last)].astype(np.int64)


def _interface(body: bytes, order: str) -> _Interface:
    link, _, snaplen = struct.unpack_from(order + "HHI", body)
    shift, ticks, offset, place = 0, 1_000_000, 0, 8
    while place + 4 <= len(body):
        code, length = struct.unpack_from(order + "HH", body, place)
        value = body[place + 4 : place + 4 + length]
        if code == 0 or len(value) < length:
            break
        if code == 9 and length == 1:  # if_tsresol
            power = value[0] & 0x7F
            shift, ticks = (min(power, 63), 0) if value[0] & 0x80 else (0, 10 ** min(power, 18))
        elif code == 14 and length == 8:  # if_tsoffset
            offset = struct.unpack(order + "q", value)[0]
        place += 4 + (length + 3) // 4 * 4
    return _Interface(link, snaplen, shift, ticks, max(min(offset, 1 << 33), -(1 << 33)))


def _time(raw: Words, which: Words, table: list[_Interface]) -> Words:
    """Ticks of each packet's interface to ns; what does not fit (hostile values) becomes 0."""
    giga = np.uint64(1_000_000_000)
    value = raw.view(np.uint64)
    ticks = np.array([max(one.ticks, 1) for one in table], np.uint64)[which]
    seconds, rest = np.divmod(value, ticks)
    nanos = np.where(ticks > giga, rest // np.maximum(ticks // giga, 1), rest * (giga // np.minimum(ticks, giga)))
    shift = np.array([one.shift for one in table], np.uint64)[which]
    binary = shift > 0
    if binary.any():
        spare = np.where(shift > 34, shift - np.minimum(shift, 34), 0).astype(np.uint64)  # finer than a nanosecond
        low = (value & ((np.uint64(1) << shift) - np.uint64(1))) >> spare
        seconds = np.where(binary, value >> shift, seconds)
        nanos = np.where(binary, (low * giga) >> np.minimum(shift, 34), nanos)
    offset = np.array([one.offset for one in table], np.int64)[which]
    whole = np.minimum(seconds, np.uint64(1 << 34)).astype(np.int64) + offset
    fits = (whole >= 0) & (whole < 9_000_000_000)  # until 2255, inside int64 nanoseconds
    return np.where(fits, np.where(fits, whole, 0) * 1_000_000_000 + nanos.astype(np.int64), 0)
