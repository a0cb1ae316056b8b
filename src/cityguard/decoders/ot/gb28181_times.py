"""The time a message of GB/T 28181 tells: ``Date``, or the time of its report; without a zone it is the city's."""

from __future__ import annotations

import email.utils
from datetime import UTC, datetime, timedelta, timezone

from cityguard.decoders.ot.gb28181_commands import Manscdp
from cityguard.decoders.ot.gb28181_message import Frame

CITY = timezone(timedelta(hours=8))
_NAMES = ("DeviceTime", "AlarmTime", "Time")


def told(frame: Frame, body: Manscdp | None) -> datetime | None:
    """The time, UTC; None where none is told or it is no time."""
    if text := frame.head.get("date"):
        return read(text)
    words = (body.node.word(name) for name in _NAMES) if body is not None else ()
    return next((found for word in words if word and (found := read(word)) is not None), None)


def read(text: str) -> datetime | None:
    """ISO 8601 as the standard writes it, or the form of RFC 2616."""
    text = text.strip()[:64]
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        try:
            found = email.utils.parsedate_to_datetime(text)
        except (ValueError, TypeError, IndexError, OverflowError):
            return None
    try:
        return (found if found.tzinfo else found.replace(tzinfo=CITY)).astimezone(UTC)
    except OverflowError:
        return None
