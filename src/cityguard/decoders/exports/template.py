"""Templates of NetFlow v9 (RFC 3954, 5.2) and IPFIX (RFC 7011, 3.4): what the bytes of a data set mean."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from cityguard.decoders.exports.registry import REVERSE, SECRET, Element, element

VARIABLE = 65_535
MAX_FIELDS = 512
OUTER = -1
"""Stands for the enterprise of what records say of the outer packet of a tunnel."""
_INNER = frozenset({4, 5, 6, 7, 8, 11, 12, 27, 28, 31, 32, 60, 139})
_PEN = 0x8000
_BASE, _PER_FIELD = 512, 448  # bytes a template costs while it is kept, with its parsed form

_pair = struct.Struct(">HH").unpack_from

Field = tuple[int, int, int]
"""Enterprise, element, length."""


class Place(NamedTuple):
    """A field inside the records of a template."""

    name: tuple[int, int]  # enterprise and element
    at: int  # offset among the fixed bytes, or -1 - nth for the nth field of variable length
    size: int
    what: Element


@dataclass(frozen=True)
class Template:
    """Fields in order; equal templates decode alike.

    ``layout`` names a fixed format (v5 ...); ``scopes`` is how many fields of an options template are its scope.
    """

    version: int
    fields: tuple[Field, ...]
    scopes: int = 0  # 0 = no options template

    @cached_property
    def _hash(self) -> int:
        return hash((self.version, self.fields, self.scopes))

    def __hash__(self) -> int:
        return self._hash

    @property
    def options(self) -> bool:
        return self.scopes > 0

    @cached_property
    def variable(self) -> bool:
        return self.version == 10 and any(length == VARIABLE for _, _, length in self.fields)

    @cached_property
    def size(self) -> int:
        """Bytes of a record, fields of variable length left out."""
        return sum(length for _, _, length in self.fields if not (self.variable and length == VARIABLE))

    @cached_property
    def least(self) -> int:
        """Bytes the shortest record takes."""
        return self.size + (sum(length == VARIABLE for _, _, length in self.fields) if self.variable else 0)

    @cached_property
    def places(self) -> dict[tuple[int, int], Place]:
        """Where each element stands; the first one counts where it comes twice, and fields of no bytes do not."""
        out: dict[tuple[int, int], Place] = {}
        at = loose = 0
        inner = self._inner()
        for nth, (enterprise, number, length) in enumerate(self.fields):
            where = at
            if self.variable and length == VARIABLE:
                loose += 1
                where = -loose
            else:
                at += length
            if not length or (self.options and self.version == 9 and nth < self.scopes):
                continue  # scopes of v9 are no elements but kinds of things (RFC 3954, 6.1)
            if (enterprise, number) in SECRET:
                continue
            what, name = self._element(nth), (enterprise, number)
            if nth < inner and not enterprise and number in _INNER:
                name, what = (OUTER, number), Element(f"outer{what.name[0].upper()}{what.name[1:]}", what.kind)
            out.setdefault(name, Place(name, where, length, what))
        return out

    def _inner(self) -> int:
        """From which field on a template tells of the packet inside a tunnel, 0 = of no tunnel.

        Elements that come twice stand in the order of the headers, outermost first (RFC 7011, 8): a second protocol
        tells a tunnel, and the first address behind the first protocol where the inner packet begins.
        """
        numbers = [number if not enterprise else -1 for enterprise, number, _ in self.fields]
        if self.options or numbers.count(4) < 2:
            return 0
        first = numbers.index(4)
        return next((nth for nth in range(first, len(numbers)) if numbers[nth] in (8, 12, 27, 28)), 0)

    def _element(self, nth: int) -> Element:
        enterprise, number, _ = self.fields[nth]
        return element(self.version, enterprise, number)

    @cached_property
    def is_flow(self) -> bool:
        """Whether its records tell of traffic: an end of it, and no more than how much of it."""
        return not self.options and any(
            enterprise in (0, REVERSE) and number in _ENDS for enterprise, number, _ in self.fields
        )

    @property
    def cost(self) -> int:
        """Bytes it takes to keep."""
        return _BASE + _PER_FIELD * len(self.fields)


# Addresses, prefixes, MAC, ports, AS, stations, tunnels' ends, labels: any of them makes a record one of traffic.
_ENDS = frozenset(
    {7, 8, 11, 12, 16, 17, 27, 28, 44, 45, 56, 57, 70, 80, 81, 169, 170, 225, 226, 281, 282, 315, 104, 313, 365, 366}
)


def read(body: bytes, place: int, version: int, *, options: bool) -> tuple[int, Template | None]:
    """One template record and where the next begins; None when it is unusable (nothing after it can be read then)."""
    _, count = _pair(body, place)
    place, scopes = place + 4, 0
    if options:
        if place + 2 > len(body):
            return place, None
        second = int.from_bytes(body[place : place + 2], "big")
        place += 2
        if version == 9:  # lengths in bytes of the scope and option parts
            scopes, count = count // 4, count // 4 + second // 4
        else:
            scopes = second
        if not 0 < scopes <= count:
            return place, None
    if count > MAX_FIELDS:
        return place, None
    fields: list[Field] = []
    for _ in range(count):
        if place + 4 > len(body):
            return place, None
        number, length = _pair(body, place)
        place, enterprise = place + 4, 0
        if version == 10 and number & _PEN:
            if place + 4 > len(body):
                return place, None
            enterprise, number = int.from_bytes(body[place : place + 4], "big"), number & 0x7FFF
            place += 4
        fields.append((enterprise, number, length))
    made = Template(version, tuple(fields), scopes)
    return place, made if made.least else None
