"""Devices of MELSEC requests (SLMP, BAP-C3002ENG, 5.2): where they read or write, how much, and what is written.

Subcommands: bit 0 tells points of a bit, bit 1 the wide device numbers of iQ-R (four bytes and two of code). With any
other bit (0x0080 device extension, 0x0040 monitoring condition) devices stand differently and are not read.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

MAX_VALUES = 16
"""Devices and values of one message that are written out."""
NAMES = {
    0x91: "SM",
    0xA9: "SD",
    0x9C: "X",
    0x9D: "Y",
    0x90: "M",
    0x92: "L",
    0x93: "F",
    0x94: "V",
    0xA0: "B",
    0xA8: "D",
    0xB4: "W",
    0xC1: "TS",
    0xC0: "TC",
    0xC2: "TN",
    0xC4: "CS",
    0xC3: "CC",
    0xC5: "CN",
    0xC7: "SS",
    0xC6: "SC",
    0xC8: "SN",
    0xA1: "SB",
    0xB5: "SW",
    0xA2: "DX",
    0xA3: "DY",
    0xCC: "Z",
    0xAF: "R",
    0xB0: "ZR",
    0x98: "S",
    0x62: "LZ",
    0x2C: "RD",
}
HEX = frozenset(("X", "Y", "B", "W", "SB", "SW", "DX", "DY"))
"""Devices whose numbers are written in hexadecimal."""
_BATCH, _RANDOM, _BLOCKS = (0x0401, 0x1401), (0x0403, 0x0801, 0x1402), (0x0406, 0x1406)
_BUFFER, _REMOTE = (0x0613, 0x1613), (0x1001, 0x1002, 0x1003, 0x1005, 0x1006)
_READS = frozenset((0x0401, 0x0403, 0x0406, 0x0613))


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request says; of its response: how many points of one bit, words and double words it brings."""

    address: str | None = None
    quantity: int | None = None
    value: str | None = None
    bits: int = 0
    words: int = 0
    doubles: int = 0
    reads: bool = False


def request(command: int, sub: int, body: bytes) -> Asked:
    """Where a request reads or writes, how much, and what it writes; ``body`` begins behind the subcommand."""
    place = f"{sub:04x}:"
    if command in _BUFFER and len(body) >= 6:
        start, count = struct.unpack_from("<IH", body)
        value = _joined(_words(body[6:], count)) if command == 0x1613 else None
        return Asked(f"{place}{start}", count, value, words=count, reads=command in _READS)
    if command in _REMOTE and len(body) >= 2:
        return Asked(place, value=f"0x{int.from_bytes(body[:2], 'little'):04x}")
    if sub & ~3:
        return Asked(place)
    wide, bits = bool(sub & 2), bool(sub & 1)
    if command in _BATCH:
        return _batch(command, place, body, wide, bits)
    if command in _RANDOM and len(body) >= 2:
        return _random(command, place, body, wide, bits)
    if command in _BLOCKS and len(body) >= 2:
        return _blocks(command, place, body, wide)
    return Asked(place)


def answered(asked: Asked, data: bytes) -> str | None:
    """What a response brings, in the order of its request."""
    if asked.bits:
        return _joined(_nibbles(data, asked.bits))
    found = _words(data, asked.words)
    if asked.doubles and len(found) < MAX_VALUES:
        rest = data[2 * asked.words :]
        many = min(asked.doubles, MAX_VALUES - len(found), len(rest) // 4)
        found += struct.unpack_from(f"<{many}I", rest)
    return _joined(found)


def device(data: bytes, at: int, wide: bool) -> str:
    """The device that stands there, whole: number and code."""
    size = 4 if wide else 3
    number, code = int.from_bytes(data[at : at + size], "little"), data[at + size]
    name = NAMES.get(code, f"0x{code:02X}:")
    return f"{name}{number:X}" if name in HEX else f"{name}{number}"


def _batch(command: int, place: str, body: bytes, wide: bool, bits: bool) -> Asked:
    """Devices side by side: the first, and how many points."""
    size = 6 if wide else 4
    if len(body) < size + 2:
        return Asked(place)
    count = int.from_bytes(body[size : size + 2], "little")
    data, address = body[size + 2 :], place + device(body, 0, wide)
    if command == 0x1401:
        return Asked(address, count, _joined(_nibbles(data, count) if bits else _words(data, count)))
    return Asked(address, count, bits=count if bits else 0, words=0 if bits else count, reads=True)


def _random(command: int, place: str, body: bytes, wide: bool, bits: bool) -> Asked:
    """Devices one by one, words before double words; each with its value where it is written."""
    size, writes = 6 if wide else 4, command == 0x1402
    if writes and bits:
        sizes, begin = [(body[0], 2 if wide else 1)], 1
    else:
        sizes, begin = [(body[0], 2), (body[1], 4)], 2
    names, values, at = list[str](), list[int](), begin
    for count, width in sizes:
        step = size + (width if writes else 0)
        for _ in range(count):
            if at + step > len(body) or len(names) >= MAX_VALUES:
                break
            names.append(device(body, at, wide))
            if writes:
                values.append(int.from_bytes(body[at + size : at + step], "little"))
            at += step
    counts = [count for count, _ in sizes]
    address = place + ",".join(names)
    if writes or command not in _READS:
        return Asked(address, sum(counts), _joined(values))
    return Asked(address, sum(counts), words=counts[0], doubles=counts[1], reads=True)


def _blocks(command: int, place: str, body: bytes, wide: bool) -> Asked:
    """Blocks of words, then blocks of bits in words of sixteen: the first device of each, and their points."""
    size, writes = 6 if wide else 4, command == 0x1406
    names, values, total, at = list[str](), list[int](), 0, 2
    for _ in range(body[0] + body[1]):
        if at + size + 2 > len(body):
            break
        count = int.from_bytes(body[at + size : at + size + 2], "little")
        if len(names) < MAX_VALUES:
            names.append(device(body, at, wide))
        at += size + 2
        total += count
        if writes:
            values += _words(body[at : at + 2 * MAX_VALUES], min(count, MAX_VALUES - len(values)))
            at += 2 * count
    address = place + ",".join(names)
    return Asked(address, total, _joined(values), words=0 if writes else total, reads=not writes)


def _words(data: bytes, count: int) -> list[int]:
    return list(struct.unpack_from(f"<{min(count, MAX_VALUES, len(data) // 2)}H", data))


def _nibbles(data: bytes, count: int) -> list[int]:
    """Points of a bit, two in a byte, the upper half first."""
    return [data[at // 2] >> (0 if at % 2 else 4) & 15 for at in range(min(count, MAX_VALUES, 2 * len(data)))]


def _joined(values: list[int]) -> str | None:
    return ",".join(map(str, values)) or None
