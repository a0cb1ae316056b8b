"""Requests that wait for their responses, bounded: what was asked is known again when it is answered."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Any

MAX_WAITING = 65_536
"""Requests of one protocol in one capture that wait; beyond that the oldest is forgotten."""


class Pairs:
    """Requests by a key of connection and transaction id."""

    def __init__(self, most: int = MAX_WAITING) -> None:
        self._waiting: OrderedDict[Hashable, dict[str, Any]] = OrderedDict()
        self._most = most

    def ask(self, key: Hashable, fields: dict[str, Any]) -> None:
        """A request with what its response should repeat; one asked again takes the place of the first."""
        self._waiting.pop(key, None)
        self._waiting[key] = fields
        if len(self._waiting) > self._most:
            self._waiting.popitem(last=False)

    def answer(self, key: Hashable, *, last: bool = True) -> dict[str, Any]:
        """What the request of a response said; {} where none was seen. ``last`` = no further response will come."""
        found = self._waiting.pop(key, None) if last else self._waiting.get(key)
        return found or {}
