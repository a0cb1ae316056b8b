"""Values of DL/T 698.45 application units (its table of data types), read with bounds: depth, count, text."""

from __future__ import annotations

import struct
from datetime import datetime

from cityguard.decoders.ot.dlt645_data import CITY

MAX_DEPTH = 16
MAX_ITEMS = 1_024
"""Values of one unit."""
MAX_TEXT = 512
_FIXED = {
    3: 1, 5: 4, 6: 4, 15: 1, 16: 2, 17: 1, 18: 2, 20: 8, 21: 8, 22: 1, 23: 4, 24: 8, 25: 10, 26: 5, 27: 3, 28: 7,
    80: 2, 81: 4, 83: 4, 84: 3, 89: 2, 95: 5,
}  # fmt: skip
_SIGNED = frozenset((5, 15, 16, 20))
_NUMBERS = frozenset((5, 6, 15, 16, 17, 18, 20, 21, 22))
_TEXTS = frozenset((10, 12))


class Short(Exception):
    """The unit ends before the value does, or nests too deep."""


class Reader:
    """A place in a unit."""

    def __init__(self, data: bytes, at: int = 0) -> None:
        self.data, self.at = data, at
        self._items = 0

    def take(self, octets: int) -> bytes:
        """The next octets.

        Raises:
            Short: there are not so many.
        """
        if octets > len(self.data) - self.at:
            raise Short
        found = self.data[self.at : self.at + octets]
        self.at += octets
        return found

    def octet(self) -> int:
        return self.take(1)[0]

    def word(self) -> int:
        return int.from_bytes(self.take(2), "big")

    def count(self) -> int:
        """A length or count: one octet, or the octets that hold it behind 80h plus their number."""
        first = self.octet()
        if first < 0x80:
            return first
        if first & 0x7F > 4:
            raise Short
        return int.from_bytes(self.take(first & 0x7F), "big")

    def octets(self) -> bytes:
        """Octets behind their length."""
        return self.take(self.count())

    def id(self) -> str:
        """An OAD or OMD."""
        return self.take(4).hex().upper()

    def value(self, depth: int = 0) -> str:
        """The next value as text: numbers, times as ISO 8601, octets in hexadecimal, what is nested in brackets.

        Raises:
            Short: it is not all there, or nested too deep.
        """
        self._items += 1
        if depth > MAX_DEPTH or self._items > MAX_ITEMS:
            raise Short
        kind = self.octet()
        if kind == 0:
            return ""
        if kind in (1, 2):
            many = self.count()
            if many > len(self.data) - self.at:
                raise Short
            return "[" + ",".join([self.value(depth + 1) for _ in range(many)]) + "]"
        if kind in _FIXED:
            return _fixed(kind, self.take(_FIXED[kind]))
        if kind == 4:
            return self.take((self.count() + 7) // 8).hex().upper()
        if kind in (9, 10, 12, 85, 86, 87):
            raw = self.octets()
            text = raw.decode("utf-8", "replace") if kind in _TEXTS else raw.hex().upper()
            return "".join(one for one in text if one.isprintable())
        if kind == 82:
            return self.id() + "".join(f"/{self.id()}" for _ in range(self._some()))
        if kind == 88:
            self.octet()
            return f"{self.value(depth + 1)}..{self.value(depth + 1)}"
        if kind == 91:
            return self._column()
        if kind == 93:
            return self.take(4).hex().upper() + "/" + self.octets().hex().upper()
        if kind == 96:
            return "[" + ",".join([self._column() for _ in range(self._some())]) + "]"
        raise Short  # of no known length: what follows cannot be read either

    def _some(self) -> int:
        many = self.count()
        self._items += many
        if self._items > MAX_ITEMS:
            raise Short
        return many

    def _column(self) -> str:
        """A CSD: an OAD, or one with others it stands for."""
        if self.octet() == 0:
            return self.id()
        return self.id() + "".join(f"/{self.id()}" for _ in range(self._some()))


def _fixed(kind: int, raw: bytes) -> str:
    if kind in _NUMBERS:
        return str(int.from_bytes(raw, "big", signed=kind in _SIGNED))
    if kind == 3:
        return "true" if raw[0] else "false"
    if kind == 23:
        return f"{struct.unpack('>f', raw)[0]:.7g}"
    if kind == 24:
        return repr(struct.unpack(">d", raw)[0])
    if kind in (25, 28):
        when = moment(raw)
        return when.strftime("%Y-%m-%dT%H:%M:%S") if when else raw.hex().upper()
    if kind == 26:
        return f"{raw[0] << 8 | raw[1]:04d}-{raw[2]:02d}-{raw[3]:02d}"
    if kind == 27:
        return f"{raw[0]:02d}:{raw[1]:02d}:{raw[2]:02d}"
    return raw.hex().upper()


def moment(raw: bytes) -> datetime | None:
    """A date_time (10 octets, with weekday and milliseconds) or a date_time_s (7); None where it is no time."""
    if len(raw) not in (7, 10):
        return None
    year, month, day = raw[0] << 8 | raw[1], raw[2], raw[3]
    rest = raw[4:7] if len(raw) == 7 else raw[5:8]
    milliseconds = raw[8] << 8 | raw[9] if len(raw) == 10 else 0
    try:
        return datetime(year, month, day, rest[0], rest[1], rest[2], milliseconds % 1_000 * 1_000, tzinfo=CITY)
    except (ValueError, OverflowError):
        return None
