"""What sources sent, day by day: the small table that rule coverage is told from, and its bounds."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

from cityguard.model import Sighting

KEEP = timedelta(days=8)  # a week back from any moment of a day
MAX_KEYS = 5_000  # sources x departments x segments of one day; beyond it departments and segments are left out
MAX_FOLDED = 1_000  # such rows without department and segment; beyond it they are counted, not kept
MAX_NAMES = 1_000  # columns of one row


def key(item: Sighting) -> str:
    """The same for sightings that are added up."""
    parts = (item.dataset, item.collector, item.logsource, item.department or "", item.segment or "")
    return hashlib.blake2b("\x1f".join(parts).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def merged(old: Sighting | None, new: Sighting) -> Sighting:
    """Both together; names beyond ``MAX_NAMES`` are left out, those known longer stay."""
    columns = dict(old.columns) if old else {}
    for name, (count, last) in new.columns.items():
        known = columns.get(name)
        if known is not None:
            columns[name] = (known[0] + count, max(known[1], last))
        elif len(columns) < MAX_NAMES:
            columns[name] = (count, last)
    if old is None:
        return replace(new, columns=columns)
    return replace(old, rows=old.rows + new.rows, last_seen=max(old.last_seen, new.last_seen), columns=columns)


def folded(item: Sighting) -> Sighting:
    """The same without department and segment, for a day that has too many of them."""
    return replace(item, department=None, segment=None)


def together(items: Iterable[Sighting]) -> list[Sighting]:
    """One per day and key, in the order they first came; without days past, seen from the newest of them."""
    items = list(items)
    oldest = max((one.day for one in items), default=date.min + KEEP) - KEEP
    found: dict[tuple[date, str], Sighting] = {}
    for item in items:
        if item.day < oldest:
            continue
        place = (item.day, key(item))
        found[place] = merged(found.get(place), item)
    return list(found.values())


def start_of(day: date) -> int:
    """µs since the epoch at which a day begins (UTC)."""
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1_000_000
