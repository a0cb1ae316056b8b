"""Register values as text with commas between, compiled; equal to the numpy way in ``modbus_columns``."""

from __future__ import annotations

from typing import Any

from cityguard.fast import lean


@lean
def joined(numbers: Any, data: Any, ends: Any) -> None:
    """Rows of numbers below 65536 as decimal text, comma between.

    Args:
        numbers: int64[n, m], m >= 1.
        data: uint8[n * m * 6], filled from the front.
        ends: int64[n], where each row's text ends in ``data``.
    """
    at = 0
    rows, columns = numbers.shape
    for row in range(rows):
        for column in range(columns):
            if column:
                data[at] = 44
                at += 1
            value = numbers[row, column]
            width = 1 + (value > 9) + (value > 99) + (value > 999) + (value > 9999)
            for place in range(at + width - 1, at - 1, -1):
                data[place] = 48 + value % 10
                value //= 10
            at += width
        ends[row] = at
