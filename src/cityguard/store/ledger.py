"""What a chunk says in the ledger, in its source's unit."""

from __future__ import annotations

from cityguard.model import Chunk


def row(chunk: Chunk) -> tuple[str, int, int, int, int, int]:
    """(unit, received, stored, dead, dropped, events) of one chunk.

    A decoder says what it rejected; every other item it was given is in the tables it made. More rejected or
    dropped than received leaves a balance that is not 0, which is the point of a ledger.
    """
    dead = chunk.decoded.rejected
    stored = max(chunk.received - dead - chunk.dropped, 0)
    events = sum(len(batch) for batch in chunk.decoded.batches)
    return chunk.unit, chunk.received, stored, dead, chunk.dropped, events
