"""What the decoders of single protocols trip over: it costs the conversation it happened in, and is told in a note."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import polars as pl

FAULTS: Final = (Exception, pl.exceptions.PanicException)
"""Everything but a wish to stop. A panic of polars is no Exception."""
MAX_KINDS = 256
"""Protocols of which a fault is kept."""


class Faults:
    """Faults of a piece by protocol: how many, and the first one's reason."""

    def __init__(self, names: Sequence[str | None] = ()) -> None:
        """``names`` of the protocols by kind."""
        self._names = names
        self._found: dict[int, tuple[int, str]] = {}

    def add(self, kind: int, error: BaseException) -> None:
        """One more of a protocol."""
        count, first = self._found.get(kind, (0, ""))
        if first or len(self._found) < MAX_KINDS:
            self._found[kind] = (count + 1, first or _reason(error))

    def take(self) -> tuple[str, ...]:
        """A note per protocol; counting starts anew."""
        found, self._found = self._found, {}
        return tuple(f"{self._name(kind)}: {count} lost, {first}" for kind, (count, first) in sorted(found.items()))

    def _name(self, kind: int) -> str:
        return (self._names[kind] if 0 <= kind < len(self._names) else None) or "payload"


def _reason(error: BaseException) -> str:
    """A fault in one line, bounded, as the boundary around whole decoders words it."""
    return f"cannot be used: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
