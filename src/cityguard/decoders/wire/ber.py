"""Reading of ASN.1 BER (ITU-T X.690) in place, bounded in depth and number, and MMS data (ISO 9506-2, 14.4.2)."""

from __future__ import annotations

import struct
from typing import NamedTuple

from cityguard.decoders.wire.numbers import single

MAX_ITEMS = 4_096
MAX_DEPTH = 16
MAX_VALUES = 16
MAX_TEXT = 256
APPLICATION, CONTEXT = 0x40, 0x80
CONSTRUCTED = 0x20
_new = tuple.__new__
_SINGLE = struct.Struct(">f").unpack
_DOUBLE = struct.Struct(">d").unpack


class Item(NamedTuple):
    """One value: class and form of its tag, the tag's number, where its contents stand."""

    form: int
    number: int
    begin: int
    end: int


def item(data: bytes, at: int, end: int) -> Item | None:
    """The value that begins at ``at``; None when it does not fit before ``end``."""
    if at + 2 > end:
        return None
    head = data[at]
    form, number = head & 0xE0, head & 0x1F
    at += 1
    if number == 0x1F:
        number = 0
        for _ in range(4):
            if at >= end:
                return None
            octet = data[at]
            at += 1
            number = number << 7 | octet & 0x7F
            if octet < 0x80:
                break
        else:
            return None
    if at >= end:
        return None
    size = data[at]
    at += 1
    if size == 0x80:  # without a length: as far as what is around it
        return Item(form, number, at, end) if form & CONSTRUCTED else None
    if size > 0x80:
        wide = size & 0x7F
        if wide > 4 or at + wide > end:
            return None
        size = int.from_bytes(data[at : at + wide], "big")
        at += wide
    return Item(form, number, at, at + size) if at + size <= end else None


def items(data: bytes, begin: int, end: int) -> list[Item]:
    """Values side by side, until one does not fit."""
    found: list[Item] = []
    while begin + 2 <= end and len(found) < MAX_ITEMS:
        head, size = data[begin], data[begin + 1]
        if size < 0x80 and head & 0x1F != 0x1F:  # tag and length of an octet each, as nearly always
            stop = begin + 2 + size
            if stop > end or not head:
                break
            found.append(_new(Item, (head & 0xE0, head & 0x1F, begin + 2, stop)))
            begin = stop
            continue
        one = item(data, begin, end)
        if one is None:
            break
        found.append(one)
        begin = one.end
    return found


def children(data: bytes, parent: Item) -> list[Item]:
    """Values inside a constructed one; [] for others."""
    return items(data, parent.begin, parent.end) if parent.form & CONSTRUCTED else []


def integer(data: bytes, one: Item) -> int:
    """An INTEGER; of one longer than eight octets, the last eight."""
    return int.from_bytes(data[max(one.begin, one.end - 8) : one.end], "big", signed=True)


def unsigned(data: bytes, one: Item) -> int:
    """An INTEGER that is not negative, 64 bits at most."""
    return int.from_bytes(data[max(one.begin, one.end - 8) : one.end], "big")


def identifier(data: bytes, one: Item) -> int:
    """A number as the columns hold it: 63 bits."""
    return unsigned(data, one) & 0x7FFFFFFFFFFFFFFF


def text(data: bytes, one: Item) -> str:
    """A string, printable and cut."""
    raw = data[one.begin : min(one.end, one.begin + MAX_TEXT)].decode("latin-1")
    return raw if raw.isprintable() else "".join(char if char.isprintable() else "?" for char in raw)


def values(data: bytes, found: list[Item], depth: int = 0) -> list[str]:
    """Text of the leaves of MMS data, the first ``MAX_VALUES``."""
    out: list[str] = []
    for one in found:
        if len(out) >= MAX_VALUES or depth > MAX_DEPTH:
            break
        if one.form == CONTEXT | CONSTRUCTED and one.number in (1, 2):
            out += values(data, children(data, one), depth + 1)
        else:
            out.append(leaf(data, one))
    return out[:MAX_VALUES]


def leaf(data: bytes, one: Item) -> str:
    """The text of one value that is no array and no structure."""
    raw = data[one.begin : one.end]
    kind = one.number
    if kind == 3:
        return "true" if any(raw) else "false"
    if kind == 4 and raw:
        bits = "".join(f"{octet:08b}" for octet in raw[1:33])
        return bits[: max(len(bits) - (raw[0] & 7), 0)]
    if kind == 5:
        return str(integer(data, one))
    if kind == 6:
        return str(unsigned(data, one))
    if kind == 7 and len(raw) == 5:
        return single(_SINGLE(raw[1:])[0])
    if kind == 7 and len(raw) == 9:
        return str(_DOUBLE(raw[1:])[0])
    if kind in (10, 16):
        return text(data, one)
    if kind == 17 and len(raw) == 8:
        return utc(raw)
    return "0x" + raw[:32].hex()


def utc(raw: bytes) -> str:
    """Seconds of the epoch with six digits (IEC 61850-8-1, 8.1.3.6: seconds, fraction of 24 bits, quality)."""
    second, fraction = int.from_bytes(raw[:4], "big"), int.from_bytes(raw[4:7], "big")
    return f"{second}.{fraction * 1_000_000 >> 24:06d}"
