"""Requests that wait for their responses: bounded, the oldest forgotten first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

Request = TypeVar("Request")


class Pairs(Generic[Request]):
    """Requests by the key their response will carry.

    Args:
        limit: requests kept at most.
    """

    __slots__ = ("_limit", "_waiting")

    def __init__(self, limit: int = 256) -> None:
        self._limit = limit
        self._waiting: OrderedDict[Hashable, Request] = OrderedDict()

    def __len__(self) -> int:
        return len(self._waiting)

    def ask(self, key: Hashable, request: Request) -> None:
        """A request; one that waits under the same key is replaced."""
        waiting = self._waiting
        waiting[key] = request
        waiting.move_to_end(key)
        if len(waiting) > self._limit:
            waiting.popitem(last=False)

    def answer(self, key: Hashable) -> Request | None:
        """The request a response belongs to, once; None = not seen."""
        return self._waiting.pop(key, None)

    def peek(self, key: Hashable) -> Request | None:
        """The request, which goes on waiting: for responses in several parts."""
        return self._waiting.get(key)
