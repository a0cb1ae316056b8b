"""Objects of a DNP3 application fragment (IEEE 1815-2012, clause 11 and annex A): headers, points, values.

A layout has a letter per member: b flags whose bit 7 is the state, d flags whose bits 6-7 are a double-bit state,
f flags, c control status, i I h H F D B values, T a time that is the value (48 bit, ms), t one beside the value,
r relative time (16 bit), x passed over.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from cityguard.decoders.wire.numbers import double, single

MAX_HEADERS = 64
MAX_POINTS = 256
"""Points of one fragment whose values are read; what is beyond is counted."""
MAX_TEXT = 200

_FORMS = {"b": "B", "d": "B", "f": "B", "c": "B", "t": "6s", "T": "6s", "r": "H", "x": "B", "F": "f", "D": "d"}
_ANALOG_EVENTS = {1: "fi", 2: "fh", 3: "fit", 4: "fht", 5: "fF", 6: "fD", 7: "fFt", 8: "fDt"}
_COUNTER_EVENTS = {1: "fI", 2: "fH", 3: "fI", 4: "fH", 5: "fIt", 6: "fHt", 7: "fIt", 8: "fHt"}
_LAYOUTS: dict[tuple[int, int], str] = {
    (group, variation): layout
    for group, table in {
        1: {2: "b"},
        2: {1: "b", 2: "bt", 3: "br"},
        3: {2: "d"},
        4: {1: "d", 2: "dt", 3: "dr"},
        10: {2: "b"},
        11: {1: "b", 2: "bt"},
        12: {1: "CROB", 2: "CROB"},
        13: {1: "b", 2: "bt"},
        20: {1: "fI", 2: "fH", 3: "fI", 4: "fH", 5: "I", 6: "H", 7: "I", 8: "H"},
        21: {
            1: "fI",
            2: "fH",
            3: "fI",
            4: "fH",
            5: "fIt",
            6: "fHt",
            7: "fIt",
            8: "fHt",
            9: "I",
            10: "H",
            11: "I",
            12: "H",
        },
        22: _COUNTER_EVENTS,
        23: _COUNTER_EVENTS,
        30: {1: "fi", 2: "fh", 3: "i", 4: "h", 5: "fF", 6: "fD"},
        31: {1: "fi", 2: "fh", 3: "fit", 4: "fht", 5: "i", 6: "h", 7: "fF", 8: "fD"},
        32: _ANALOG_EVENTS,
        33: _ANALOG_EVENTS,
        34: {1: "H", 2: "I", 3: "F"},
        40: {1: "fi", 2: "fh", 3: "fF", 4: "fD"},
        41: {1: "ic", 2: "hc", 3: "Fc", 4: "Dc"},
        42: _ANALOG_EVENTS,
        43: {1: "ci", 2: "ch", 3: "cit", 4: "cht", 5: "cF", 6: "cD", 7: "cFt", 8: "cDt"},
        50: {1: "T", 2: "Txxxx", 3: "T", 4: "Txxxxx"},
        51: {1: "T", 2: "T"},
        52: {1: "H", 2: "H"},
        81: {1: "Bxx"},
        102: {1: "B"},
        120: {3: "Ixx", 4: "H"},
        121: {1: "fxxI"},
        122: {1: "fxxI", 2: "fxxIt"},
    }.items()
    for variation, layout in table.items()
}
_CROB = struct.Struct("<BBIIB")
_BITS = {(1, 1): 1, (3, 1): 2, (10, 1): 1, (12, 3): 1, (80, 1): 1}
"""Packed points, by bits of one."""
_STRINGS = frozenset((110, 111, 112, 113, 114, 115))
"""Their variation is their length."""
_OPERATIONS = ("NUL", "PULSE_ON", "PULSE_OFF", "LATCH_ON", "LATCH_OFF")
_TRIPS = ("", "+CLOSE", "+TRIP", "+RESERVED")
_WIDTH = {0: 1, 1: 2, 2: 4, 3: 1, 4: 2, 5: 4}
_COUNT_WIDTH = {7: 1, 8: 2, 9: 4, 11: 1}
_PREFIX_WIDTH = {0: 0, 1: 1, 2: 2, 3: 4, 4: 1, 5: 2, 6: 4}


@cache
def layout(group: int, variation: int) -> tuple[struct.Struct, str] | None:
    """How one object is packed and what its members are; None = of no fixed size that we know."""
    letters = _LAYOUTS.get((group, variation))
    if letters is None:
        return None
    if letters == "CROB":
        return _CROB, "CROB"
    return struct.Struct("<" + "".join(_FORMS.get(one, one) for one in letters)), letters


@dataclass(slots=True)
class Header:
    """One object header and what follows it."""

    group: int
    variation: int
    qualifier: int
    first: int | None = None
    """First index of a range."""
    count: int | None = None
    """Points it speaks of; None = all."""
    indexes: list[int] = field(default_factory=list)
    values: list[str] = field(default_factory=list)
    flags: list[int] = field(default_factory=list)
    status: list[int] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    more: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Object and points as text: 30.1:0-4, 12.1:7, 60.2."""
        name = f"{self.group}.{self.variation}"
        if self.first is not None and self.count:
            last = self.first + self.count - 1
            return f"{name}:{self.first}" if last == self.first else f"{name}:{self.first}-{last}"
        if self.indexes:
            return f"{name}:{'+'.join(map(str, self.indexes[:16]))}"
        return name

    def told(self) -> dict[str, Any]:
        """All there is, for ``event.fields``."""
        found: dict[str, Any] = {"object": f"{self.group}.{self.variation}", "qualifier": self.qualifier}
        pairs = (("first", self.first), ("count", self.count), ("indexes", self.indexes), ("values", self.values))
        found |= {name: value for name, value in pairs if value not in (None, [])}
        lists = (("flags", self.flags), ("status", self.status), ("times", self.times))
        return found | {name: value for name, value in lists if value} | self.more


class Objects:
    """The headers of a fragment, one after the other; ``whole`` = nothing was left over or unknown."""

    def __init__(self, raw: bytes, begin: int, *, data: bool) -> None:
        """``data``: whether objects follow their headers (not so in a read)."""
        self.headers: list[Header] = []
        self.whole = True
        self._raw, self._at, self._data, self._left = raw, begin, data, MAX_POINTS
        while self._at < len(raw) and self.whole and len(self.headers) < MAX_HEADERS:
            self.whole = self._header()

    def _number(self, width: int) -> int | None:
        end = self._at + width
        if end > len(self._raw):
            return None
        value = int.from_bytes(self._raw[self._at : end], "little")
        self._at = end
        return value

    def _header(self) -> bool:
        raw, at = self._raw, self._at
        if len(raw) - at < 3:
            return False
        one = Header(raw[at], raw[at + 1], raw[at + 2])
        self._at = at + 3
        self.headers.append(one)
        prefix, span = one.qualifier >> 4 & 7, one.qualifier & 15
        if span in _WIDTH:
            first, last = self._number(_WIDTH[span]), self._number(_WIDTH[span])
            if first is None or last is None or last < first:
                return False
            one.first, one.count = first, last - first + 1
        elif span in _COUNT_WIDTH:
            one.count = self._number(_COUNT_WIDTH[span])
            if one.count is None:
                return False
        elif span != 6:
            return False
        if prefix not in _PREFIX_WIDTH:
            return False
        return self._points(one, prefix) if one.count else True

    def _points(self, one: Header, prefix: int) -> bool:
        sized, width = prefix >= 4, _PREFIX_WIDTH[prefix]
        if not self._data and not sized:
            return self._listed(one, width)
        bits = _BITS.get((one.group, one.variation))
        if bits and not prefix:
            return self._packed(one, bits)
        if sized or one.group == 0:
            return self._sized(one, width)
        if one.group in _STRINGS:
            return self._strings(one, width)
        known = layout(one.group, one.variation)
        if known is None and bits:
            known = struct.Struct("B"), "B"
        return known is not None and self._fixed(one, width, *known)

    def _listed(self, one: Header, width: int) -> bool:
        """Indexes alone, as in a read of single points."""
        for _ in range(one.count or 0 if width else 0):
            index = self._number(width)
            if index is None:
                return False
            if len(one.indexes) < MAX_POINTS:
                one.indexes.append(index)
        return True

    def _packed(self, one: Header, bits: int) -> bool:
        count = one.count or 0
        end = self._at + (count * bits + 7) // 8
        if end > len(self._raw):
            return False
        many = min(count, self._left)
        self._left -= many
        data, mask = self._raw[self._at : end], (1 << bits) - 1
        one.values = [str(data[nth * bits >> 3] >> (nth * bits & 7) & mask) for nth in range(many)]
        self._at = end
        return True

    def _fixed(self, one: Header, width: int, form: struct.Struct, letters: str) -> bool:
        """Objects of one size, each behind its index where there is one."""
        raw, count, step = self._raw, one.count or 0, width + form.size
        fits = min(count, (len(raw) - self._at) // step)
        many = min(fits, self._left)
        self._left -= many
        at = self._at
        for _ in range(many):
            if width:
                one.indexes.append(int.from_bytes(raw[at : at + width], "little"))
            if letters == "CROB":
                _crob(one, form.unpack_from(raw, at + width))
            else:
                _members(one, letters, form.unpack_from(raw, at + width))
            at += step
        self._at += step * fits
        return fits == count

    def _strings(self, one: Header, width: int) -> bool:
        size = one.variation
        for _ in range(min(one.count or 0, MAX_POINTS)):
            if self._at + width + size > len(self._raw):
                return False
            index = self._number(width)
            if width and index is not None:
                one.indexes.append(index)
            one.values.append(_text(self._raw[self._at : self._at + size]))
            self._at += size
        return (one.count or 0) <= MAX_POINTS

    def _sized(self, one: Header, width: int) -> bool:
        """Free-format objects: files, data sets, authentication, attributes; each tells its size."""
        for _ in range(min(one.count or 0, MAX_POINTS)):
            index = self._number(width) if one.group == 0 else None
            size = self._attribute_size() if one.group == 0 else self._number(width)
            if size is None or self._at + size > len(self._raw):
                return False
            if index is not None and width:
                one.indexes.append(index)
            _free(one, self._raw[self._at : self._at + size])
            self._at += size
        return (one.count or 0) <= MAX_POINTS

    def _attribute_size(self) -> int | None:
        """Type and length stand before an attribute's value (annex A, group 0)."""
        if self._at + 2 > len(self._raw):
            return None
        return 2 + self._raw[self._at + 1]


def _crob(one: Header, members: tuple[int, ...]) -> None:
    """Control relay output block (annex A, 12.1)."""
    code, count, on, off, status = members
    operation = code & 15
    name = _OPERATIONS[operation] if operation < len(_OPERATIONS) else f"OP_{operation}"
    one.values.append(name + _TRIPS[code >> 6])
    one.status.append(status)
    one.more.setdefault("control", []).append([code, count, on, off])


def _members(one: Header, letters: str, members: tuple[Any, ...]) -> None:
    for letter, value in zip(letters, members, strict=True):
        if letter in "bd":
            one.values.append(str(value >> (7 if letter == "b" else 6)))
            one.flags.append(value)
        elif letter == "f":
            one.flags.append(value)
        elif letter == "c":
            one.status.append(value)
        elif letter == "t":
            one.times.append(int.from_bytes(value, "little"))
        elif letter == "T":
            one.values.append(str(int.from_bytes(value, "little")))
        elif letter == "r":
            one.times.append(value)
        elif letter == "F":
            one.values.append(single(value))
        elif letter == "D":
            one.values.append(double(value))
        elif letter != "x":
            one.values.append(str(value))


def _free(one: Header, data: bytes) -> None:
    """What is known of an object that tells its own size."""
    if one.group == 70:
        _file(one, data)
    elif one.group == 0:
        one.values.append(_text(data[2:]) if data[:1] == b"\x01" else _attribute(data))
    elif one.group in _STRINGS:
        one.values.append(_text(data))
    else:
        one.more.setdefault("bytes", []).append(len(data))


def _attribute(data: bytes) -> str:
    kind, value = data[0], data[2:]
    if kind in (2, 3) and len(value) <= 8:
        return str(int.from_bytes(value, "little", signed=kind == 3))
    if kind == 4 and len(value) == 4:
        return single(struct.unpack("<f", value)[0])
    return value[:MAX_TEXT].hex()


_FILE_MODES = {0: "null", 1: "read", 2: "write", 3: "append"}


def _file(one: Header, data: bytes) -> None:
    """File objects (annex A, group 70): command, its status, transport, descriptor."""
    if one.variation == 3 and len(data) >= 26:
        offset, size = struct.unpack_from("<HH", data)
        one.values.append(_text(data[26 : 26 + size] if offset else b""))
        mode = struct.unpack_from("<H", data, 20)[0]
        one.more |= {"mode": _FILE_MODES.get(mode, str(mode)), "bytes": struct.unpack_from("<I", data, 16)[0]}
    elif one.variation == 4 and len(data) >= 13:
        handle, size, _, _, status = struct.unpack_from("<IIHHB", data)
        one.values.append(str(handle))
        one.status.append(status)
        one.more["bytes"] = size
    elif one.variation in (5, 6) and len(data) >= 8:
        handle, block = struct.unpack_from("<II", data)
        one.values.append(str(handle))
        one.more |= {"block": block & 0x7FFFFFFF, "last": block >> 31 == 1}
        if one.variation == 5:
            one.more["bytes"] = len(data) - 8
        elif len(data) > 8:
            one.status.append(data[8])
    elif one.variation == 7 and len(data) >= 20:
        size = struct.unpack_from("<H", data, 2)[0]
        one.values.append(_text(data[20 : 20 + size]))
        one.more["bytes"] = struct.unpack_from("<I", data, 6)[0]
    elif one.variation == 8:
        one.values.append(_text(data))
    else:
        one.more["size"] = len(data)


def _text(data: bytes) -> str:
    """Printable text as it is, anything else in hexadecimal; bounded. Commas would part values."""
    data = data[:MAX_TEXT]
    text = data.decode("utf-8", "replace")
    return text.replace(",", ";") if text.isprintable() and "\ufffd" not in text else data.hex()
