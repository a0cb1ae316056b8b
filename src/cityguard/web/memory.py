"""What one browser session should hear next and may undo; kept in memory, bounded, gone after a restart."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from cityguard.triage import Outcome

MAX_SESSIONS = 1_000


@dataclass(frozen=True, slots=True)
class Flash:
    """One message for the next page. ``kind`` is good, warn or bad."""

    text: str
    kind: str = "good"
    undo: bool = False


class Memory:
    """Flash messages and the last act of each session, by the session's CSRF token."""

    def __init__(self) -> None:
        self._flash: OrderedDict[str, Flash] = OrderedDict()
        self._done: OrderedDict[str, tuple[Outcome, ...]] = OrderedDict()
        self._lock = threading.Lock()

    def say(self, key: str, text: str, kind: str = "good", *, undo: bool = False) -> None:
        """Leave a message for the session's next page."""
        with self._lock:
            self._flash[key] = Flash(text, kind, undo)
            while len(self._flash) > MAX_SESSIONS:
                self._flash.popitem(last=False)

    def take(self, key: str) -> Flash | None:
        """The message, once."""
        with self._lock:
            return self._flash.pop(key, None)

    def keep(self, key: str, outcomes: Sequence[Outcome]) -> None:
        """Remember the last act of a session, for undo."""
        with self._lock:
            self._done[key] = tuple(outcomes)
            self._done.move_to_end(key)
            while len(self._done) > MAX_SESSIONS:
                self._done.popitem(last=False)

    def last(self, key: str) -> tuple[Outcome, ...]:
        """The last act, once: undone acts cannot be undone again."""
        with self._lock:
            return self._done.pop(key, ())
