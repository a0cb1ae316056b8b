"""State and cursors as one durable step on any store: two places in turn, and one value that says which counts.

Killed before that value is written, everything is as it was at the step before; killed after it, as it is now.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import orjson

HEAD = "checkpoint"


@dataclass(slots=True)
class Cursor:
    """How far a spool was taken. ``ends`` are blocks since the last checkpoint, the last one perhaps unfinished."""

    done: int = 0
    ends: list[int] = field(default_factory=list)
    tries: int = 0
    turns: list[int] = field(default_factory=list)  # when each block was taken, counted over all spools

    def checkpointed(self, done: int) -> None:
        """What detectors hold is durable up to here."""
        if done <= self.done:
            return
        kept = [(end, turn) for end, turn in zip(self.ends, self.turns, strict=False) if end > done]
        self.done, self.tries = done, 0
        self.ends, self.turns = [end for end, _ in kept], [turn for _, turn in kept]


class Values(Protocol):
    """Small values by name, each durable when ``put_value`` returns."""

    def get_value(self, key: str) -> bytes | None: ...
    def put_value(self, key: str, value: bytes) -> None: ...


class Checkpoint:
    """The last step that is durable."""

    def __init__(self, values: Values) -> None:
        self._values = values
        head = orjson.loads(values.get_value(HEAD) or b"{}")
        self._places: dict[str, int] = head.get("places", {})
        self._prints: dict[str, str] = head.get("prints", {})
        self.done: dict[str, int] = head.get("done", {})  # listener -> last record whose effects the states hold

    def state(self, name: str) -> bytes | None:
        """A state as of the last step; None when there is none."""
        place = self._places.get(name)
        # before there were steps, a state stood under its own name
        return self._values.get_value(name if place is None else f"{name}@{place}")

    def commit(self, states: Mapping[str, bytes], done: Mapping[str, int]) -> None:
        """Make states and cursors durable together. A state that is as it was is not written again."""
        places, prints = dict(self._places), dict(self._prints)
        for name, state in states.items():
            print_ = hashlib.blake2b(state, digest_size=16).hexdigest()
            if prints.get(name) == print_:
                continue
            places[name], prints[name] = 1 - places.get(name, 1), print_
            self._values.put_value(f"{name}@{places[name]}", state)
        head = {"places": places, "prints": prints, "done": dict(done)}
        self._values.put_value(HEAD, orjson.dumps(head))
        self._places, self._prints, self.done = places, prints, dict(done)
