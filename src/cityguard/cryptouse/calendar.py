"""When certificates end: what is over, what ends in each month to come, by whom."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, tzinfo

from cityguard.cryptouse.inventory import Certificate, Inventory

MONTHS = 13
"""Months shown: this one and a year."""


@dataclass(frozen=True, slots=True)
class Month:
    """Certificates that end in one month, the first to end first; ``first`` is its first day, None = already over."""

    first: date | None
    ending: tuple[Certificate, ...]


def calendar(found: Inventory, now: datetime, zone: tzinfo, months: int = MONTHS) -> list[Month]:
    """What is over, then month by month in the city's time zone; later ones are left out."""
    over: list[Certificate] = []
    here = now.astimezone(zone).date().replace(day=1)
    slots = {_later(here, count): list[Certificate]() for count in range(months)}
    for one in found.certificates:
        if one.not_after is None:
            continue
        if one.not_after < now:
            over.append(one)
        elif (first := _month(one.not_after, zone)) in slots:
            slots[first].append(one)
    return [Month(None, tuple(over)), *(Month(first, tuple(several)) for first, several in slots.items())]


def _month(moment: datetime, zone: tzinfo) -> date | None:
    """The month of a moment; certificates may end at the end of time, where no zone reaches."""
    try:
        return moment.astimezone(zone).date().replace(day=1)
    except OverflowError:
        return None


def _later(first: date, months: int) -> date:
    year, month = divmod(first.year * 12 + first.month - 1 + months, 12)
    return date(year, month + 1, 1)
