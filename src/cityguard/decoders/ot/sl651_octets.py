"""Octets of many frames of SL 651-2014 at once: which are ordinary, whether checks are right, what time is told."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

import numpy as np
import numpy.typing as npt

from cityguard.decoders.ot import sl651_frame
from cityguard.decoders.ot import sl651_names as names
from cityguard.decoders.packet import Bools, U8s, Window, Words
from cityguard.decoders.wire import crc

SHORT = 8
"""Octets of a body that has a serial number and a time alone."""
_ZONE = 8 * 3_600

U16s = npt.NDArray[np.uint16]


def are_plain(buffer: U8s, begin: Words, size: Words) -> Bools:
    """Which segments are what ``sl651_frame.plain`` takes for one whole frame."""
    read = Window(buffer)
    way = read.u16(begin + 11)
    told = (way & 0xFFF) + sl651_frame.HEX_HEAD + 3
    found: Bools = (size >= sl651_frame.HEX_HEAD + SHORT + 3) & (told == size) & (way & 0x7000 == 0)
    found &= (read.u16(begin) == 0x7E7E) & (read.u8(begin + 13) == names.STX) & _KNOWN[read.u8(begin + 10)]
    end = read.u8(begin + size - 3)
    found &= np.where(way & 0x8000 > 0, _DOWN[end], _UP[end])
    return found


def _octets(of: Iterable[int]) -> Bools:
    found = np.zeros(256, np.bool_)
    found[list(of)] = True
    return found


_KNOWN = _octets(names.FUNCTIONS)
_UP = _octets((names.ETX, names.ETB))
_DOWN = _octets(set(names.ENDS) - {names.ETX, names.ETB})


@cache
def _pairs() -> U16s:
    """The check after two octets more, by the check before xor the octets, the first one low."""
    single = np.array([crc.arc(bytes([value])) for value in range(256)], np.uint16)
    value = np.arange(65_536, dtype=np.uint32)
    once = (value >> 8) ^ single[value & 0xFF]
    twice: U16s = ((once >> 8) ^ single[once & 0xFF]).astype(np.uint16)
    return twice


def checks(table: U8s) -> Bools:
    """Whether the check of each frame is right.

    Args:
        table: uint8[n, size], frames of one length, size > 4.
    """
    body = table[:, :-2]
    value = np.full(len(table), 0xFFFF, np.uint16)
    if body.shape[1] & 1:
        single = np.array([crc.arc(bytes([one])) for one in range(256)], np.uint16)
        value = (value >> np.uint16(8)) ^ single[(value ^ body[:, 0]) & np.uint16(0xFF)]
        body = body[:, 1:]
    words, pairs = np.ascontiguousarray(np.ascontiguousarray(body).view("<u2").T), _pairs()
    for word in words:
        value = pairs[value ^ word]
    told = table[:, -2].astype(np.uint16) << np.uint16(8) | table[:, -1]
    right: Bools = value == told
    return right


_DIGITS = np.array(
    [value if value < 10 and octet >> 4 < 10 else -1 for octet in range(256) for value in (octet & 15,)], np.int64
)
TENS = np.where(_DIGITS < 0, -1, np.arange(256) // 16 * 10 + _DIGITS)
"""Packed digits -> number; -1 = none."""
_MONTHS = (np.datetime64("2000-01") + np.arange(1_201)).astype("datetime64[D]").astype(np.int64)


def seconds(table: U8s) -> Words:
    """YYMMDDHHmm or YYMMDDHHmmSS of the city's zone as seconds of the epoch; -1 = no time."""
    parts = TENS[table]
    year, month, day, hour, minute = (parts[:, place] for place in range(5))
    second = parts[:, 5] if table.shape[1] > 5 else np.zeros(len(parts), np.int64)
    place = np.clip(year * 12 + month - 1, 0, 1_199)
    good = (parts >= 0).all(axis=1) & (month >= 1) & (month <= 12) & (hour < 24) & (minute < 60) & (second < 60)
    good &= (day >= 1) & (day <= _MONTHS[place + 1] - _MONTHS[place])
    found = (_MONTHS[place] + day - 1) * 86_400 + hour * 3_600 + minute * 60 + second - _ZONE
    return np.where(good, found, -1)
