"""The first frame of a vector, whatever stands around it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

Frame = TypeVar("Frame")
Size = Callable[[bytes, int], int]


def frame(
    data: bytes, start: bytes, size: Size, read: Callable[[bytes], Frame | None], broken: Size | None = None
) -> Frame | None:
    """What a pure reader makes of the first frame behind ``start``; None where there is none."""
    for place in _places(data, start):
        octets = size(data, place)
        if not 0 < octets <= len(data) - place:
            octets = broken(data, place) if broken is not None else 0
        if octets and (found := read(data[place : place + octets])) is not None:
            return found
    return None


def _places(data: bytes, start: bytes) -> Iterator[int]:
    place = data.find(start)
    while place >= 0:
        yield place
        place = data.find(start, place + 1)
