"""Time as one injected thing: aware UTC everywhere, the city's own zone only for people and calendars."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]
"""Returns the present as aware UTC. Tests pass a function of their own."""


def utc_now() -> datetime:
    """The present moment, aware UTC."""
    return datetime.now(UTC)


def iso(moment: datetime) -> str:
    """ISO 8601 with milliseconds and ``Z``; the form used in JSON, reports and file names' metadata.

    Raises:
        ValueError: the moment is naive.
    """
    if moment.tzinfo is None:
        raise ValueError("naive datetime")
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
