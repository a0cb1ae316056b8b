"""Charts as SVG numbers, computed on the server: pages are complete without a line of JavaScript."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cityguard.model import LEVELS


@dataclass(frozen=True, slots=True)
class Bar:
    """One rectangle in user units; ``kind`` is the CSS class that colours it."""

    x: float
    y: float
    width: float
    height: float
    kind: str
    label: str


def stacked(
    columns: Sequence[tuple[str, Mapping[str, int]]],
    *,
    width: float = 720,
    height: float = 120,
    kinds: Sequence[str] = LEVELS,
) -> list[Bar]:
    """Columns of stacked bars, the gravest at the bottom.

    Args:
        columns: (label, count per kind), left to right.
        width: of the drawing, in user units.
        height: of the tallest column.
        kinds: in order from the least to the gravest.
    """
    top = max((sum(counts.values()) for _, counts in columns), default=0) or 1
    step = width / max(len(columns), 1)
    bars: list[Bar] = []
    for index, (label, counts) in enumerate(columns):
        y = height
        for kind in reversed(kinds):
            count = counts.get(kind, 0)
            size = height * count / top
            y -= size
            if count:
                text = f"{label} {kind} {count}"
                bars.append(
                    Bar(round(index * step + 1, 2), round(y, 2), round(step - 2, 2), round(size, 2), kind, text)
                )
    return bars


def tops(columns: Sequence[tuple[str, Mapping[str, int]]], *, width: float = 720, height: float = 120) -> list[Bar]:
    """Where the sum of each column of ``stacked`` is written: above it, in the middle."""
    sums = [sum(counts.values()) for _, counts in columns]
    top, step = max(sums, default=0) or 1, width / max(len(columns), 1)
    return [
        Bar(round((index + 0.5) * step, 2), round(height - height * count / top - 3, 2), 0, 0, "sum", str(count))
        for index, count in enumerate(sums)
        if count
    ]


def share(counts: Mapping[str, int], *, width: float = 160, top: int = 0, kinds: Sequence[str] = LEVELS) -> list[Bar]:
    """One horizontal bar split by kind, the gravest first; ``top`` is the count that fills the width."""
    total = max(top, sum(counts.values()), 1)
    x = 0.0
    bars: list[Bar] = []
    for kind in reversed(kinds):
        count = counts.get(kind, 0)
        if count:
            size = width * count / total
            bars.append(Bar(round(x, 2), 0, round(max(size, 2), 2), 10, kind, f"{kind} {count}"))
            x += size
    return bars
