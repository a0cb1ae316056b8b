"""Loops compiled by numba where it is installed (the extra ``fast``); equal bit by bit to the numpy way."""

from __future__ import annotations

from typing import Any

import numpy as np

from cityguard.fast import compiled


@compiled
def sets(buffer: Any, begin: Any, end: Any) -> Any:
    """As ``walk.sets``; int64[4, n]."""
    count = 0
    for one in range(len(begin)):
        at, stop = begin[one], end[one]
        while at + 4 <= stop:
            length = np.int64(buffer[at + 2]) << 8 | np.int64(buffer[at + 3])
            if length < 4:
                break
            count += 1
            at += length
    out = np.empty((4, count), np.int64)
    nth = 0
    for one in range(len(begin)):
        at, stop = begin[one], end[one]
        while at + 4 <= stop:
            length = np.int64(buffer[at + 2]) << 8 | np.int64(buffer[at + 3])
            if length < 4:
                break
            out[0, nth] = one
            out[1, nth] = np.int64(buffer[at]) << 8 | np.int64(buffer[at + 1])
            out[2, nth] = at + 4
            out[3, nth] = min(at + length, stop) - at - 4
            nth += 1
            at += length
    return out


@compiled
def unsigned(buffer: Any, starts: Any, offset: int, size: int) -> Any:
    """As ``values.unsigned``: big-endian numbers at ``starts + offset``; -1 where 63 bits do not hold them."""
    out = np.empty(len(starts), np.int64)
    for row in range(len(starts)):
        at = starts[row] + offset
        value = np.uint64(0)
        for octet in range(size):
            value = value << np.uint64(8) | np.uint64(buffer[at + octet])
        out[row] = np.int64(value) if value < np.uint64(1 << 63) else -1
    return out


@compiled
def dotted(values: Any) -> Any:
    """IPv4 addresses (uint32) as text: octets one after the other, and where each begins (int64[n + 1])."""
    n = len(values)
    text = np.empty(n * 15, np.uint8)
    offsets = np.empty(n + 1, np.int64)
    at = 0
    for row in range(n):
        offsets[row] = at
        for shift in (24, 16, 8, 0):
            octet = (np.int64(values[row]) >> shift) & 255
            if octet >= 100:
                text[at] = 48 + octet // 100
                at += 1
            if octet >= 10:
                text[at] = 48 + octet // 10 % 10
                at += 1
            text[at] = 48 + octet % 10
            at += 1
            if shift:
                text[at] = 46
                at += 1
    offsets[n] = at
    return text[:at], offsets


@compiled
def fields(buffer: Any, starts: Any, offsets: Any, sizes: Any) -> Any:
    """Several fields of each record in one pass over the buffer: ``unsigned`` of each, int64[k, n]."""
    out = np.empty((len(offsets), len(starts)), np.int64)
    for row in range(len(starts)):
        for nth in range(len(offsets)):
            at = starts[row] + offsets[nth]
            size = sizes[nth]
            if size == 4:
                value = np.uint64(buffer[at]) << np.uint64(24) | np.uint64(buffer[at + 1]) << np.uint64(16)
                value |= np.uint64(buffer[at + 2]) << np.uint64(8) | np.uint64(buffer[at + 3])
            elif size == 2:
                value = np.uint64(buffer[at]) << np.uint64(8) | np.uint64(buffer[at + 1])
            elif size == 1:
                value = np.uint64(buffer[at])
            else:
                value = np.uint64(0)
                for octet in range(size):
                    value = value << np.uint64(8) | np.uint64(buffer[at + octet])
            out[nth, row] = np.int64(value) if value < np.uint64(1 << 63) else -1
    return out
