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


@compiled
def addresses(high: Any, low: Any) -> Any:
    """Addresses in canonical form (RFC 5952), IPv4-mapped ones as IPv4: octets and where each begins, as ``dotted``."""
    n = len(high)
    text = np.empty(n * 39, np.uint8)
    offsets = np.empty(n + 1, np.int64)
    group = np.empty(8, np.int64)
    at = 0
    for row in range(n):
        offsets[row] = at
        if high[row] == 0 and low[row] >> np.uint64(32) == np.uint64(0xFFFF):
            for shift in (24, 16, 8, 0):
                octet = np.int64(low[row] >> np.uint64(shift)) & 255
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
            continue
        for nth in range(4):
            group[nth] = np.int64(high[row] >> np.uint64(48 - 16 * nth)) & 0xFFFF
            group[nth + 4] = np.int64(low[row] >> np.uint64(48 - 16 * nth)) & 0xFFFF
        best, length, run = -1, 1, 0  # the longest run of at least two zeros, the first of equal ones
        for nth in range(8):
            run = run + 1 if group[nth] == 0 else 0
            if run > length:
                best, length = nth - run + 1, run
        nth = 0
        while nth < 8:
            if nth == best:
                text[at] = 58
                text[at + 1] = 58
                at += 2
                nth += length
                continue
            if nth and nth != best + length:  # without a run that is 0, which nth is not
                text[at] = 58
                at += 1
            begun = False
            for shift in (12, 8, 4, 0):
                digit = group[nth] >> shift & 15
                if digit or begun or shift == 0:
                    text[at] = 48 + digit if digit < 10 else 87 + digit
                    at += 1
                    begun = True
            nth += 1
    offsets[n] = at
    return text[:at], offsets
