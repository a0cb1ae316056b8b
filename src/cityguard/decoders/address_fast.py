"""Addresses and flow ids as text, compiled; equal to ``address``."""

from __future__ import annotations

from typing import Any

import numpy as np

from cityguard.fast import compiled

_HEX = np.frombuffer(b"0123456789abcdef", np.uint8)
_BASE64 = np.frombuffer(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", np.uint8)
_MASK = np.uint64(0xFFFFFFFF)


@compiled
def addresses(high: Any, low: Any, data: Any, ends: Any) -> None:
    """Canonical text (RFC 5952), IPv4 from ::ffff:0:0/96; 39 bytes of room for each."""
    at = 0
    groups = np.empty(8, np.int64)
    for row in range(len(low)):
        if high[row] == 0 and low[row] >> np.uint64(32) == np.uint64(0xFFFF):
            value = np.int64(low[row] & _MASK)
            for shift in (24, 16, 8, 0):
                octet = value >> shift & 255
                if octet >= 100:
                    data[at] = 48 + octet // 100
                    at += 1
                if octet >= 10:
                    data[at] = 48 + octet // 10 % 10
                    at += 1
                data[at] = 48 + octet % 10
                at += 1
                if shift:
                    data[at] = 46
                    at += 1
            ends[row] = at
            continue
        for nth in range(4):
            groups[nth] = np.int64(high[row] >> np.uint64(48 - 16 * nth) & np.uint64(0xFFFF))
            groups[4 + nth] = np.int64(low[row] >> np.uint64(48 - 16 * nth) & np.uint64(0xFFFF))
        start, length, run = -1, 1, 0  # the first of the longest runs of two zeros or more
        for nth in range(8):
            run = run + 1 if groups[nth] == 0 else 0
            if run > length:
                start, length = nth - run + 1, run
        nth = 0
        while nth < 8:
            if nth == start:
                data[at] = data[at + 1] = 58
                at += 2
                nth += length
                continue
            if nth > 0 and nth != start + length:
                data[at] = 58
                at += 1
            begun = False
            for shift in (12, 8, 4, 0):
                digit = groups[nth] >> shift & 15
                if digit or begun or shift == 0:
                    data[at] = _HEX[digit]
                    at += 1
                    begun = True
            nth += 1
        ends[row] = at


@compiled
def stations(values: Any, data: Any) -> None:
    """aa:bb:cc:dd:ee:ff, 17 bytes each; negative ones are left to be null."""
    for row in range(len(values)):
        at, value = row * 17, max(values[row], 0)
        for nth in range(6):
            octet = value >> (40 - 8 * nth) & 255
            data[at], data[at + 1] = _HEX[octet >> 4], _HEX[octet & 15]
            if nth < 5:
                data[at + 2] = 58
            at += 3


@compiled
def _rotated(value: Any, by: Any) -> Any:
    return (value << np.uint32(by) | value >> np.uint32(32 - by)) & np.uint32(0xFFFFFFFF)


@compiled
def community_ids(
    a_high: Any, a_low: Any, b_high: Any, b_low: Any, proto: Any, v6: Any, ports: Any, with_ports: Any, text: Any
) -> None:
    """Community ID v1, 30 bytes each: one block of SHA-1 (FIPS 180-4) and its base64."""
    block = np.empty(64, np.uint8)
    w = np.empty(80, np.uint32)
    digest = np.empty(21, np.uint8)
    for row in range(len(proto)):
        block[:] = 0
        size = 2
        ends = ((a_high[row], a_low[row]), (b_high[row], b_low[row]))
        for high, low in ends:
            if v6[row]:
                for nth in range(8):
                    block[size + nth] = high >> np.uint64(56 - 8 * nth) & np.uint64(255)
                    block[size + 8 + nth] = low >> np.uint64(56 - 8 * nth) & np.uint64(255)
                size += 16
            else:
                for nth in range(4):
                    block[size + nth] = low >> np.uint64(24 - 8 * nth) & np.uint64(255)
                size += 4
        block[size] = proto[row]
        size += 2
        if with_ports[proto[row]] and ports[row] > 0:
            one, other = ((ports[row] >> 32) - 1) & 0xFFFF, ((ports[row] & 0xFFFFFFFF) - 1) & 0xFFFF
            block[size], block[size + 1] = one >> 8, one & 255
            block[size + 2], block[size + 3] = other >> 8, other & 255
            size += 4
        block[size] = 0x80
        block[62], block[63] = size * 8 >> 8, size * 8 & 255
        for nth in range(16):
            at = 4 * nth
            w[nth] = (
                np.uint32(block[at]) << np.uint32(24)
                | np.uint32(block[at + 1]) << np.uint32(16)
                | np.uint32(block[at + 2]) << np.uint32(8)
                | np.uint32(block[at + 3])
            )
        for nth in range(16, 80):
            w[nth] = _rotated(w[nth - 3] ^ w[nth - 8] ^ w[nth - 14] ^ w[nth - 16], 1)
        h0, h1, h2 = np.uint32(0x67452301), np.uint32(0xEFCDAB89), np.uint32(0x98BADCFE)
        h3, h4 = np.uint32(0x10325476), np.uint32(0xC3D2E1F0)
        a, b, c, d, e = h0, h1, h2, h3, h4
        for nth in range(80):
            if nth < 20:
                mixed, k = (b & c) | (~b & d), np.uint32(0x5A827999)
            elif nth < 40:
                mixed, k = b ^ c ^ d, np.uint32(0x6ED9EBA1)
            elif nth < 60:
                mixed, k = (b & c) | (b & d) | (c & d), np.uint32(0x8F1BBCDC)
            else:
                mixed, k = b ^ c ^ d, np.uint32(0xCA62C1D6)
            added = np.uint32(_rotated(a, 5) + mixed + e + k + w[nth])
            a, b, c, d, e = added, a, np.uint32(_rotated(b, 30)), c, d
        found = (np.uint32(h0 + a), np.uint32(h1 + b), np.uint32(h2 + c), np.uint32(h3 + d), np.uint32(h4 + e))
        at = 0
        for word in found:
            for shift in (24, 16, 8, 0):
                digest[at] = np.int64(word) >> shift & 255
                at += 1
        digest[20] = 0
        to = row * 30
        text[to], text[to + 1] = 49, 58
        to += 2
        for nth in range(0, 21, 3):
            bits = np.int64(digest[nth]) << 16 | np.int64(digest[nth + 1]) << 8 | np.int64(digest[nth + 2])
            for shift in (18, 12, 6, 0):
                text[to] = _BASE64[bits >> shift & 63]
                to += 1
        text[to - 1] = 61
