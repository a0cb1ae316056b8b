"""Handshakes over UDP that are under way, by their ends: bounded, the longest silent one given up first."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, Protocol, TypeVar

from cityguard.decoders.app.tls_session import Session
from cityguard.decoders.events import End

Ends = tuple[End, End]


class Handshake(Protocol):
    """What is kept of one: its row to be, and when it was last heard (ns)."""

    session: Session
    last: int


One = TypeVar("One", bound=Handshake)


class Handshakes(Generic[One]):
    """Handshakes of a capture.

    Args:
        wait: ns of silence after which one is given up.
        most: kept at a time.
    """

    def __init__(self, wait: int, most: int) -> None:
        self._wait, self._most = wait, most
        self._open: OrderedDict[Ends, One] = OrderedDict()

    def __contains__(self, ends: Ends) -> bool:
        return ends in self._open

    def get(self, ends: Ends, now: int) -> One | None:
        """The one under way; none if these ends were silent for so long that their ports are used again."""
        one = self._open.get(ends)
        return one if one is not None and now - one.last <= self._wait else None

    def heard(self, ends: Ends, now: int) -> None:
        """That it goes on."""
        self._open[ends].last = now
        self._open.move_to_end(ends)

    def begin(self, ends: Ends, one: One) -> One:
        """Keep a new one; what the same ends had before is given."""
        self.end(ends)
        if len(self._open) >= self._most:
            self._open.popitem(last=False)[1].session.give()
        self._open[ends] = one
        return one

    def end(self, ends: Ends) -> None:
        """Give the row of what these ends had, if anything."""
        if ends in self._open:
            self._open.pop(ends).session.give()

    def expire(self, now: int) -> None:
        """Give those that were silent for too long."""
        while self._open:
            ends = next(iter(self._open))
            if now - self._open[ends].last <= self._wait:
                return
            self.end(ends)

    def close(self) -> None:
        """Give all."""
        while self._open:
            self._open.popitem(last=False)[1].session.give()
