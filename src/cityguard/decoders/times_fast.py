"""Stamps of RFC 3339 in their plain form, compiled: ``2026-03-05T14:12:09.123456+08:00``; equal to ``times``."""

from __future__ import annotations

from typing import Any, Final

from cityguard.fast import compiled

ODD, LOCAL, KNOWN = 0, 1, 2
"""Left to the patterns; without an offset, to be read in a zone; in UTC."""
_LONGEST: Final = 35


@compiled
def _two(data: Any, i: Any) -> Any:
    """Two digits, or -1."""
    a, b = data[i], data[i + 1]
    return (a - 48) * 10 + (b - 48) if 48 <= a <= 57 and 48 <= b <= 57 else -1


@compiled
def iso(data: Any, offsets: Any, micros: Any, kinds: Any) -> None:
    """Microseconds since 1970 of each text.

    Args:
        data: uint8, all texts.
        offsets: int64[n + 1].
        micros: int64[n] to be filled, by UTC where ``kinds`` says so.
        kinds: uint8[n] to be filled.
    """
    for row in range(len(offsets) - 1):
        kinds[row] = 0
        i, end = offsets[row], offsets[row + 1]
        if end - i < 19 or end - i > _LONGEST:
            continue
        if data[i + 4] != 45 or data[i + 7] != 45 or (data[i + 10] != 84 and data[i + 10] != 32):
            continue
        if data[i + 13] != 58 or data[i + 16] != 58:
            continue
        century, year, month, day = _two(data, i), _two(data, i + 2), _two(data, i + 5), _two(data, i + 8)
        hour, minute, second = _two(data, i + 11), _two(data, i + 14), _two(data, i + 17)
        if century < 1 or year < 0 or not 1 <= month <= 12 or day < 1:
            continue
        if not (0 <= hour <= 23 and 0 <= minute <= 59 and 0 <= second <= 60):
            continue
        year += century * 100
        most = 31 - (month == 4 or month == 6 or month == 9 or month == 11)
        if month == 2:
            most = 28 + (year % 4 == 0 and (year % 100 != 0 or year % 400 == 0))
        if day > most:
            continue
        i += 19
        micro = 0
        if i < end and data[i] == 46:
            i += 1
            digits, unit = 0, 100_000
            while i < end and 48 <= data[i] <= 57:
                micro += (data[i] - 48) * unit
                unit //= 10
                digits += 1
                i += 1
            if digits == 0 or digits > 9:
                continue
        kind, shift = 1, 0
        if i < end:
            kind = 2
            if data[i] == 90:
                i += 1
            elif data[i] == 43 or data[i] == 45:
                sign = 1 if data[i] == 43 else -1
                middle = i + 3 < end and data[i + 3] == 58
                if end - i != (6 if middle else 5):
                    continue
                hours, minutes = _two(data, i + 1), _two(data, end - 2)
                if hours < 0 or not 0 <= minutes <= 59:
                    continue
                shift = hours * 3600 + minutes * 60
                if shift > 50_400:
                    continue
                shift *= sign
                i = end
            if i != end:
                continue
        # Days from the civil date: March starts the year.
        y = year - (month <= 2)
        era = y // 400
        rest = y - era * 400
        days = era * 146_097 + rest * 365 + rest // 4 - rest // 100
        days += (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1 - 719_468
        micros[row] = (days * 86_400 + hour * 3600 + minute * 60 + second - shift) * 1_000_000 + micro
        kinds[row] = kind
