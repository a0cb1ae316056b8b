"""What a chunk says in the ledger, in its source's unit, and what the store refused of it."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from cityguard.model import Chunk

MAX_PARTS = 10_000  # refused parts remembered until their chunk is booked


class Refusals:
    """Rows a store refused for good, by part, from their append until their chunk is booked."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._parts: dict[tuple[str, str], dict[str, int]] = {}

    def add(self, dataset: str, part: str, places: Iterable[tuple[str, int]]) -> None:
        """Remember (event.id, place of the item it came from); the same again changes nothing."""
        with self._guard:
            self._parts.setdefault((dataset, part), {}).update(places)
            while len(self._parts) > MAX_PARTS:
                del self._parts[next(iter(self._parts))]

    def of(self, chunk: Chunk) -> tuple[int, int]:
        """(items, events) refused of a chunk."""
        items: set[int] = set()
        events = 0
        with self._guard:
            for batch in chunk.decoded.batches:
                found = self._parts.get((batch.dataset, batch.part), {})
                items.update(found.values())
                events += len(found)
        return len(items), events

    def forget(self, chunk: Chunk) -> None:
        """Forget a chunk that is booked."""
        with self._guard:
            for batch in chunk.decoded.batches:
                self._parts.pop((batch.dataset, batch.part), None)


def row(chunk: Chunk, refused: tuple[int, int] = (0, 0)) -> tuple[str, int, int, int, int, int]:
    """(unit, received, stored, dead, dropped, events) of one chunk.

    A decoder says what it rejected and the store what it refused (items, events); every other item is in the
    tables. An item is dead when any of its events was refused. More rejected or dropped than received leaves a
    balance that is not 0, which is the point of a ledger. A chunk of what a decoder had held received nothing: what
    is rejected in it was booked as stored when it came.

    Args:
        chunk: after all its batches were appended.
        refused: items and events of it that are dead letters of the store.
    """
    usable = chunk.received - chunk.decoded.rejected - chunk.dropped
    usable = max(usable, 0) if chunk.received else usable
    lost = min(refused[0], max(usable, 0))
    events = sum(len(batch) for batch in chunk.decoded.batches) - refused[1]
    return chunk.unit, chunk.received, usable - lost, chunk.decoded.rejected + lost, chunk.dropped, events
