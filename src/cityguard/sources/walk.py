"""Where the records of a capture start: each tells where the next one is, so they form one chain through the file.

Compiled where numba is installed. In numpy a window is cut into parts, a record is guessed at the head of each, and all
chains are followed at once; a guess counts only when the chain before it arrives there. Both find the same records.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cityguard import fast

WINDOW = 32 << 20
"""Bytes walked at once."""
MAX_RECORDS = 65_536
"""Records given at once where the walk is compiled: their columns fit into memory that is used again and again."""
MAX_PACKET = 262_144
"""Bytes of one packet at most (what libpcap allows); a larger length is a damaged file."""
SIMPLE, ENHANCED, OBSOLETE, INTERFACE, SECTION = 3, 6, 2, 1, 0x0A0D0D0A
FULL, SPECIAL, BROKEN, OVER = range(4)
"""Why a walk over blocks ended: enough of them, an interface or section to be read, damage, the end of the file."""

_AHEAD = 16 << 10
_PART = 32 << 10
_LOOK = 8_192  # bytes looked through for a guess
_TRIES = 32
Buffer = npt.NDArray[np.uint8]
Words = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Records:
    """Packets of a pcap file, one entry each."""

    offset: Words  # first byte of the packet
    length: Words  # bytes of it in the file
    time: Words  # ns
    wire: Words  # its length on the wire; where the file tells less than it holds, what it holds


def chain(buffer: Buffer, place: int, order: str, size: int, tick: int = 1_000) -> tuple[Records, int, bool]:
    """Records of a pcap file that begin in the window from ``place``, or the first of them.

    Args:
        buffer: the whole file.
        place: where a record starts.
        order: byte order, ``<`` or ``>``.
        size: bytes of a record header.
        tick: ns of the unit in which fractions of a second are told.

    Returns:
        The records; where the next one would be, and whether that one is damaged or cut off.
    """
    stop = min(place + WINDOW, len(buffer))
    if fast.ON:
        room = min((stop - place) // size + 1, MAX_RECORDS)
        found = Records(*(np.empty(room, np.int64) for _ in range(4)))
        columns = (found.offset, found.length, found.time, found.wire)
        count, place, broken = _walk(*fast.views(buffer), place, stop, order == "<", size, tick, *columns)
        return Records(*(column[:count] for column in columns)), int(place), bool(broken)
    starts, place, broken = _together(buffer, place, stop, order, size)
    view: npt.NDArray[np.void] = np.ndarray((max(len(buffer) - 15, 0),), "V16", buffer=buffer, strides=(1,))
    heads = view[starts].view(order + "u4").reshape(-1, 4).astype(np.int64)
    length = heads[:, 2]
    time = heads[:, 0] * 1_000_000_000 + heads[:, 1] * tick
    return Records(starts + size, length, time, np.maximum(heads[:, 3], length)), place, broken


def blocks(buffer: Buffer, place: int, order: str, count: int) -> tuple[Words, Words, int, int]:
    """Packet blocks of a pcapng file from ``place`` on: starts, kinds, where the next block is, and why it ended.

    Ends after ``count`` of them or a window, and before each block that changes how packets are read.
    """
    if fast.ON:
        starts, kinds = np.empty(count, np.int64), np.empty(count, np.int64)
        found, place, why = _blocks(buffer, place, order == "<", starts, kinds)
        return starts[:found].copy(), kinds[:found].copy(), int(place), int(why)
    return _blocks_one_by_one(buffer, place, order, count)


@fast.inlined
def _u32(buffer: Any, at: Any, little: Any) -> Any:
    a, b, c, d = np.int64(buffer[at]), np.int64(buffer[at + 1]), np.int64(buffer[at + 2]), np.int64(buffer[at + 3])
    return a | b << 8 | c << 16 | d << 24 if little else a << 24 | b << 16 | c << 8 | d


@fast.inlined
def _turned(value: Any) -> Any:
    return (value & 0xFF) << 24 | (value & 0xFF00) << 8 | value >> 8 & 0xFF00 | value >> 24


@fast.lean
def _walk(
    buffer: Any, _: Any, words: Any, place: Any, stop: Any, little: Any, size: Any, tick: Any,
    offset: Any, length: Any, time: Any, wire: Any,
) -> Any:  # fmt: skip
    count, end = 0, len(buffer)
    ahead = place
    while place < stop and count < len(offset):
        if place + size > end:
            return count, place, True
        # Each record says where the next is, so the memory of both would be waited for in turn; asked for in one
        # straight run it comes by itself.
        while ahead < place + _AHEAD:
            fast.prefetch(buffer, ahead)
            ahead += 64
        captured = np.int64(words[place + 8])
        told = np.int64(words[place + 12])
        second, fraction = np.int64(words[place]), np.int64(words[place + 4])
        if not little:
            captured, told, second, fraction = _turned(captured), _turned(told), _turned(second), _turned(fraction)
        if captured > MAX_PACKET or place + size + captured > end:
            return count, place, True
        offset[count], length[count] = place + size, captured
        time[count] = second * 1_000_000_000 + fraction * tick
        wire[count] = max(captured, told)
        count += 1
        place += size + captured
    return count, place, False


@fast.lean
def _blocks(buffer: Any, place: Any, little: Any, starts: Any, kinds: Any) -> Any:
    count, end, stop = 0, len(buffer), place + WINDOW
    while place + 12 <= end:
        if count == len(starts) or place >= stop:
            return count, place, FULL
        kind, length = _u32(buffer, place, little), _u32(buffer, place + 4, little)
        if kind == SECTION:
            return count, place, SPECIAL
        if length < 12 or length % 4 or place + length > end:
            return count, place, BROKEN
        if kind == INTERFACE:
            return count, place, SPECIAL
        if (kind in (ENHANCED, OBSOLETE) and length >= 32) or (kind == SIMPLE and length >= 16):
            starts[count], kinds[count] = place, kind
            count += 1
        place += length
    return count, place, OVER


def _blocks_one_by_one(buffer: Buffer, place: int, order: str, count: int) -> tuple[Words, Words, int, int]:
    view, end, stop = buffer.data, len(buffer), place + WINDOW
    starts: list[int] = []
    kinds: list[int] = []
    head_at, add, why = struct.Struct(order + "II").unpack_from, starts.append, OVER
    least = {OBSOLETE: 32, SIMPLE: 16, ENHANCED: 32}
    while place + 12 <= end:
        if len(starts) == count or place >= stop:
            why = FULL
            break
        kind, length = head_at(view, place)
        if kind in (SECTION, INTERFACE) or length < 12 or length % 4 or place + length > end:
            bad = length < 12 or length % 4 or place + length > end
            why = BROKEN if bad and kind != SECTION else SPECIAL
            break
        if length >= least.get(kind, length + 1):
            add(place)
            kinds.append(kind)
        place += length
    return np.array(starts, np.int64), np.array(kinds, np.int64), place, why


# ------------------------------------------------------------- many chains at once


def _together(buffer: Buffer, place: int, stop: int, order: str, size: int) -> tuple[Words, int, bool]:
    guesses = _guesses(buffer, place, stop, order, size)
    if len(guesses) < 16:
        return _one_by_one(buffer, place, stop, order, size)
    limits = np.append(guesses[1:], stop)
    steps, ends, broken = _follow(buffer, guesses, limits, order, size)
    found: list[Words] = []
    at = 0
    while True:
        # Chains that arrive where the next one begins are one.
        joins = np.flatnonzero((ends[at:-1] != guesses[at + 1 :]) | broken[at:-1])
        last = at + int(joins[0]) if len(joins) else len(guesses) - 1
        found.append(_chained(steps, at, last + 1))
        place = int(ends[last])
        if broken[last] or last == len(guesses) - 1:
            return np.concatenate(found), place, bool(broken[last])
        # A guess was wrong: go on from here until a later one is met.
        while True:
            at = int(np.searchsorted(guesses, place))
            limit = int(guesses[at]) if at < len(guesses) else stop
            if at < len(guesses) and limit == place:
                break
            starts, place, cut = _one_by_one(buffer, place, limit, order, size)
            found.append(starts)
            if cut or place >= stop:
                return np.concatenate(found), place, cut


def _chained(steps: npt.NDArray[np.int64], first: int, stop: int) -> Words:
    """Starts of the chains ``first`` to ``stop`` in order; -1 = the chain was over."""
    flat = steps[:, first:stop].T.ravel()
    return flat[flat >= 0]


def _follow(
    buffer: Buffer, guesses: Words, limits: Words, order: str, size: int
) -> tuple[npt.NDArray[np.int64], Words, npt.NDArray[np.bool_]]:
    """All chains, step by step: int64[steps, chains] of starts, where each ends, and whether it is broken there."""
    end = len(buffer)
    lengths: npt.NDArray[np.uint32] = np.ndarray((end - 11,), order + "u4", buffer=buffer, offset=8, strides=(1,))
    place, broken = guesses.copy(), np.zeros(len(guesses), np.bool_)
    steps = []
    under_way = np.arange(len(guesses))
    while len(under_way):
        at = place[under_way]
        captured = lengths[np.minimum(at, end - 12)].astype(np.int64)
        following = at + (size + captured)
        good = (captured <= MAX_PACKET) & (following <= end)
        if not good.all():
            broken[under_way[~good]] = True
            under_way, at, following = under_way[good], at[good], following[good]
        row = np.full(len(guesses), -1, np.int64)
        row[under_way] = at
        steps.append(row)
        place[under_way] = following
        under_way = under_way[following < limits[under_way]]
    return np.array(steps), place, broken


def _guesses(buffer: Buffer, place: int, stop: int, order: str, size: int) -> Words:
    """``place``, and one start in most parts of the window that looks like a record's, ascending."""
    off = 2 if order == "<" else 0  # the upper half of the seconds hardly changes
    mark = buffer[place + off : place + off + 2].tobytes()
    found = [place]
    for begin in range(place + _PART, stop - _LOOK, _PART):
        text = buffer[begin : begin + _LOOK].tobytes()
        at = -1
        for _ in range(_TRIES):
            at = text.find(mark, at + 1)
            if at < 0:
                break
            if at >= off and _likely(buffer, begin + at - off, order, size, mark, off):
                found.append(begin + at - off)
                break
    return np.array(found, np.int64)


def _likely(buffer: Buffer, place: int, order: str, size: int, mark: bytes, off: int) -> bool:
    head = struct.Struct(order + "4I").unpack_from
    for _ in range(3):
        if place + 16 > len(buffer):
            return False
        _, fraction, captured, wire = head(buffer.data, place)
        if fraction >= 1_000_000_000 or captured > MAX_PACKET or wire < captured:
            return False
        if buffer[place + off : place + off + 2].tobytes() != mark:
            return False
        place += size + captured
    return True


def _one_by_one(buffer: Buffer, place: int, stop: int, order: str, size: int) -> tuple[Words, int, bool]:
    view, end, starts = buffer.data, len(buffer), list[int]()
    captured_at, add = struct.Struct(order + "8xI").unpack_from, starts.append
    while place < stop:
        if place + size > end:
            return np.array(starts, np.int64), place, True
        (captured,) = captured_at(view, place)
        if captured > MAX_PACKET or place + size + captured > end:
            return np.array(starts, np.int64), place, True
        add(place)
        place += size + captured
    return np.array(starts, np.int64), place, False
