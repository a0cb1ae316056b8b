"""Data sets that came before their template, bounded."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from cityguard.decoders.exports.store import Key

MAX_PENDING = 8 << 20
"""Bytes held for data sets that wait, with what each costs besides its own bytes."""
WAITING = 512  # bytes a set costs while it waits, besides its own


@dataclass(slots=True)
class Datagram:
    """What a datagram with waiting sets is remembered by."""

    number: int
    received: int  # ns
    exported: int  # ns
    boot: int  # ms
    flag: int  # as in groups.Datagrams
    used: bool  # whether anything of it was of use
    raw: bytes
    waiting: int = 0


@dataclass(slots=True)
class Pending:
    """By exporter and template."""

    sets: OrderedDict[tuple[str, Key], list[tuple[bytes, Datagram]]] = field(default_factory=OrderedDict)
    size: int = 0

    def add(self, place: tuple[str, Key], body: bytes, datagram: Datagram) -> None:
        self.sets.setdefault(place, []).append((body, datagram))
        self.size += len(body) + WAITING + (0 if datagram.waiting else len(datagram.raw))
        datagram.waiting += 1

    def take(self, place: tuple[str, Key]) -> list[tuple[bytes, Datagram]]:
        """The sets that wait for one template; they wait no longer."""
        found = self.sets.pop(place, [])
        for body, datagram in found:
            datagram.waiting -= 1
            self.size -= len(body) + WAITING + (0 if datagram.waiting else len(datagram.raw))
        return found
