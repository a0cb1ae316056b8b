"""What S7comm messages speak of: items with area, type and address, their values, blocks, services, system lists.

The protocol is unpublished; names and layouts are those its public dissectors agree on.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from cityguard.decoders.wire.numbers import single

MAX_ITEMS = 64
"""Items of one message that are read."""
MAX_TEXT = 200

_ANY = struct.Struct(">BHHB")
_WORD = struct.Struct(">H")

AREAS = {
    0x03: "SI",
    0x05: "SF",
    0x06: "AI",
    0x07: "AQ",
    0x1C: "C",
    0x1D: "T",
    0x1E: "IEC_C",
    0x1F: "IEC_T",
    0x80: "P",
    0x81: "I",
    0x82: "Q",
    0x83: "M",
    0x84: "DB",
    0x85: "DI",
    0x86: "L",
    0x87: "V",
}
_COUNTED = frozenset((0x1C, 0x1D, 0x1E, 0x1F))
"""Areas addressed by number, not by byte and bit."""
TYPES: dict[int, tuple[str, str, int]] = {
    1: ("BIT", "X", 1),
    2: ("BYTE", "B", 1),
    3: ("CHAR", "B", 1),
    4: ("WORD", "W", 2),
    5: ("INT", "W", 2),
    6: ("DWORD", "D", 4),
    7: ("DINT", "D", 4),
    8: ("REAL", "D", 4),
    9: ("DATE", "W", 2),
    10: ("TOD", "D", 4),
    11: ("TIME", "D", 4),
    12: ("S5TIME", "W", 2),
    15: ("DT", "B", 8),
    0x1C: ("COUNTER", "", 2),
    0x1D: ("TIMER", "", 2),
    0x1E: ("IEC_COUNTER", "", 2),
    0x1F: ("IEC_TIMER", "", 2),
}
"""Transport size of an item: name, letter of the notation, bytes."""
_FORMS = {2: "B", 4: "H", 5: "h", 6: "I", 7: "i", 8: "f", 9: "H", 10: "I", 11: "i", 12: "H", 0x1C: "H", 0x1D: "H"}
_IN_BITS = frozenset((3, 4, 5))
"""Transport sizes of data whose length counts bits."""
RETURNS = {
    0x00: "reserved",
    0x01: "hardware error",
    0x03: "access denied",
    0x05: "address out of range",
    0x06: "type not supported",
    0x07: "type inconsistent",
    0x0A: "object does not exist",
    0xFF: "success",
}
_BLOCKS = {
    "08": "OB",
    "09": "CMOD",
    "0A": "DB",
    "0B": "SDB",
    "0C": "FC",
    "0D": "SFC",
    "0E": "FB",
    "0F": "SFB",
}


@dataclass(frozen=True, slots=True)
class Item:
    """One variable of a read or write."""

    address: str
    kind: int = 0
    """Transport size; 0 = of another addressing."""
    count: int = 1

    @property
    def type(self) -> str:
        return TYPES[self.kind][0] if self.kind in TYPES else f"TYPE_{self.kind}"


def items(raw: bytes, begin: int, count: int) -> list[Item]:
    """The item specifications of a parameter block."""
    found = list[Item]()
    at = begin
    for _ in range(min(count, MAX_ITEMS)):
        if at + 3 > len(raw) or raw[at] != 0x12:
            break
        size = raw[at + 1]
        found.append(_item(raw[at + 2 : at + 2 + size]))
        at += 2 + size
    return found


def _item(raw: bytes) -> Item:
    syntax = raw[0] if raw else 0
    if syntax == 0x10 and len(raw) >= 10:
        kind, count, block, area = _ANY.unpack_from(raw, 1)
        return Item(_notation(area, block, kind, int.from_bytes(raw[7:10], "big")), kind, count)
    if syntax == 0xB2 and len(raw) >= 6:
        return Item("SYM:" + raw[1:].hex())
    if syntax == 0xB0 and len(raw) >= 7:
        size, block, start = raw[2], *struct.unpack_from(">HH", raw, 3)
        return Item(f"DB{block}.DBB{start}", 2, size)
    return Item(f"SYNTAX_{syntax:#04x}:" + raw[1:].hex()[:MAX_TEXT])


def _notation(area: int, block: int, kind: int, place: int) -> str:
    """An address in the notation of STEP 7: DB1.DBX0.0, MW100, I0.1, T5."""
    name = AREAS.get(area, f"AREA_{area:#04x}.")
    if area in _COUNTED:
        return f"{name}{place}"
    octet, bit = place >> 3, place & 7
    letter = TYPES[kind][1] if kind in TYPES else "B"
    if area in (0x84, 0x85):
        short = "DB" if area == 0x84 else "DI"
        return f"{name}{block}.{short}{letter or 'W'}{octet}" + (f".{bit}" if letter == "X" else "")
    if letter == "X":
        return f"{name}{octet}.{bit}"
    return f"{name}{letter}{octet}"


def data_items(raw: bytes, begin: int, count: int) -> Iterator[tuple[int, int, bytes]]:
    """Return code, transport size and bytes of each data item; all but the last are padded to even."""
    at = begin
    for _ in range(min(count, MAX_ITEMS)):
        if at + 1 > len(raw):
            return
        code = raw[at]
        if at + 4 > len(raw):
            yield code, 0, b""
            return
        size = raw[at + 1]
        length = _WORD.unpack_from(raw, at + 2)[0]
        octets = (length + 7) // 8 if size in _IN_BITS else length
        if size == 0:
            octets = 0 if code != 0xFF else octets
        yield code, size, raw[at + 4 : at + 4 + octets]
        at += 4 + octets + (octets & 1)


def values(item: Item | None, data: bytes, most: int) -> list[str]:
    """The values of a data item, by the type its request named; without one they stand in hexadecimal."""
    if not data or most < 1:
        return []
    if item is None or item.kind not in TYPES:
        return [data[:MAX_TEXT].hex()]
    if item.kind == 1:
        return [str(octet & 1) for octet in data[:most]]
    if item.kind == 3:
        return [text(data)]
    form, width = _FORMS.get(item.kind), TYPES[item.kind][2]
    if form is None:
        return [data[at : at + width].hex() for at in range(0, min(len(data), most * width), width)]
    many = min(len(data) // width, most)
    return [single(value) if form == "f" else str(value) for value in struct.unpack_from(f">{many}{form}", data)]


def text(data: bytes) -> str:
    """Characters without what fills them up; what cannot be printed becomes a dot."""
    cut = data[:MAX_TEXT].rstrip(b"\0 ")
    return "".join(chr(octet) if 32 <= octet < 127 and octet != 44 else "." for octet in cut)


def block(name: str) -> str:
    """A block's file name (``_0A00001P``) as STEP 7 calls it (``DB1``), with where it lies: P passive, A active."""
    plain = name.lstrip("_$")
    kind, number = _BLOCKS.get(plain[:2]), plain[2:7]
    if kind is None or not number.isascii() or not number.isdigit():
        return name
    return f"{kind}{int(number)}"


def service(raw: bytes) -> tuple[str, str]:
    """Name and argument of a PI service (parameter block after the function code): ('_INSE', '0A00001P')."""
    if len(raw) < 9:
        return "", ""
    size = _WORD.unpack_from(raw, 7)[0]
    argument = raw[9 : 9 + size]
    rest = raw[9 + size :]
    name = text(rest[1 : 1 + rest[0]]) if rest else ""
    if name in ("_INSE", "_DELE", "_INS2") and len(argument) > 2:
        names = [text(argument[at : at + 8]) for at in range(2, min(len(argument), 2 + 8 * MAX_ITEMS), 8)]
        return name, "+".join(map(block, names))
    return name, text(argument)


def system_list(raw: bytes) -> tuple[str | None, list[str]]:
    """A system status list (SZL): which one, and the texts of those that identify a module."""
    if len(raw) < 4:
        return None, []
    one, index = struct.unpack_from(">HH", raw)
    name = f"SZL 0x{one:04x}/0x{index:04x}"
    if len(raw) < 8 or one & 0xFF not in (0x11, 0x1C):
        return name, []
    size, count = struct.unpack_from(">HH", raw, 4)
    width = 20 if one & 0xFF == 0x11 else 32
    if size < 2 + width:
        return name, []
    records = (raw[at + 2 : at + 2 + width] for at in range(8, min(len(raw), 8 + size * min(count, 16)), size))
    return name, [said for record in records if (said := text(record).strip(". "))]
