"""Where a vehicle was last: times that go back and places too far to have been reached, told as flags."""

from __future__ import annotations

from collections import OrderedDict
from math import asin, cos, radians, sin, sqrt

MAX_VEHICLES = 65_536
BACK = 60.0
"""Seconds a report may be older than the one before it."""
FASTEST = 300.0
"""km/h; nothing on wheels is faster."""
NEAR = 2.0
"""km a position may be off."""
_EARTH = 6_371.0
_CLOSE = 0.017  # degrees, less than 2 km


class Tracks:
    """The last report of each vehicle, those silent for longest forgotten first."""

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last: OrderedDict[str, tuple[float, float, float]] = OrderedDict()

    def step(self, vehicle: str, time: float, latitude: float, longitude: float) -> list[str]:
        """A report: ``time_back`` where it is older than the last, ``position_jump`` where it is out of reach of it."""
        before = self._last.pop(vehicle, None)
        fix = bool(latitude or longitude)
        if before is None or not fix:
            if fix or before is not None:
                self._keep(vehicle, before or (time, latitude, longitude))
            return []
        flags = []
        if time < before[0] - BACK:
            flags.append("time_back")
            self._keep(vehicle, before)
        else:
            reach = NEAR + FASTEST * max(time - before[0], 0) / 3_600
            far = abs(latitude - before[1]) + abs(longitude - before[2]) > _CLOSE
            if far and kilometres(before[1:], (latitude, longitude)) > reach:
                flags.append("position_jump")
            self._keep(vehicle, (time, latitude, longitude))
        return flags

    def _keep(self, vehicle: str, place: tuple[float, float, float]) -> None:
        self._last[vehicle] = place
        if len(self._last) > MAX_VEHICLES:
            self._last.popitem(last=False)


def kilometres(one: tuple[float, float], other: tuple[float, float]) -> float:
    """The way between two places on the globe (haversine)."""
    (a, b), (c, d) = (tuple(map(radians, one)), tuple(map(radians, other)))
    half = sin((c - a) / 2) ** 2 + cos(a) * cos(c) * sin((d - b) / 2) ** 2
    return 2 * _EARTH * asin(min(1.0, sqrt(half)))
