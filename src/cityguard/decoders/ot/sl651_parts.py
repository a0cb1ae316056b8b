"""Messages of SL 651-2014 in several packets (mode M3): put together by station and function, bounded in all.

A packet is one of ``total`` (SYN); only the first has the serial number and the time. Packets may be sent again.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import NamedTuple

from cityguard.decoders.ot.sl651_frame import Frame
from cityguard.decoders.stream import Moment

MAX_OPEN = 4
"""Messages of one stream under way."""
MAX_AGE = 60_000_000_000
"""ns from the first packet to the last."""
MAX_KEPT = 65_536
"""Octets of a message that are kept; what is beyond is counted (pictures)."""
MAX_SIZE = 16 << 20


class Message(NamedTuple):
    """A message: the frame that began it, its body, and what it took."""

    frame: Frame
    body: bytes
    size: int
    """Octets of the whole body."""
    at: Moment
    parts: int
    whole: bool


@dataclass(slots=True)
class _Open:
    frame: Frame
    at: Moment
    parts: dict[int, bytes] = field(default_factory=dict)
    sizes: dict[int, int] = field(default_factory=dict)
    kept: int = 0

    def add(self, frame: Frame) -> None:
        if frame.number in self.sizes:
            return
        self.sizes[frame.number] = len(frame.body)
        room = MAX_KEPT - self.kept
        self.parts[frame.number] = frame.body[:room]
        self.kept += min(len(frame.body), room)
        if frame.number == 1:
            self.frame = frame

    def message(self, at: Moment, *, whole: bool) -> Message:
        body = b"".join(self.parts[number] for number in sorted(self.parts)) if 1 in self.parts else b""
        return Message(self.frame, body, sum(self.sizes.values()), at, len(self.sizes), whole)


class Parts:
    """What one stream has under way."""

    __slots__ = ("_open",)

    def __init__(self) -> None:
        self._open: OrderedDict[tuple[bool, str, int], _Open] = OrderedDict()

    @property
    def held(self) -> int:
        """Octets kept."""
        return sum(one.kept for one in self._open.values())

    def take(self, frame: Frame, at: Moment) -> list[Message]:
        """A sound frame of several packets; returns what it completes, and what is given up."""
        over = self.expire(at)
        key = (frame.up, frame.station, frame.code)
        one = self._open.get(key)
        if one is not None and (one.frame.total != frame.total or _begins_anew(one, frame)):
            over.append(self._open.pop(key).message(at, whole=False))
            one = None
        if one is None:
            one = self._open[key] = _Open(frame, at)
            if len(self._open) > MAX_OPEN:
                over.append(self._open.popitem(last=False)[1].message(at, whole=False))
        one.add(frame)
        if len(one.sizes) == frame.total or sum(one.sizes.values()) > MAX_SIZE:
            del self._open[key]
            over.append(one.message(at, whole=len(one.sizes) == frame.total))
        return over

    def expire(self, at: Moment) -> list[Message]:
        """Messages whose packets stay away."""
        late = [key for key, one in self._open.items() if at.time - one.at.time > MAX_AGE]
        return [self._open.pop(key).message(at, whole=False) for key in late]

    def close(self) -> list[Message]:
        """The stream is over."""
        left = [one.message(one.at, whole=False) for one in self._open.values()]
        self._open.clear()
        return left


def _begins_anew(one: _Open, frame: Frame) -> bool:
    """The first packet of another message: its serial number is not the same."""
    return frame.number == 1 and 1 in one.parts and one.parts[1] != frame.body[: len(one.parts[1])]
