"""Streams of frames behind a start octet, among noise: found again after what does not fit, and given up in time.

Serial gateways join and cut frames at will. A resynchronisation is one run of octets passed over between two frames;
a stream that needs too many of them is none of the protocol's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from cityguard.decoders.events import Talk
from cityguard.decoders.stream import Moment
from cityguard.decoders.wire.framed import Size, Unit

MAX_RUNS = 1_000
"""Resynchronisations of one stream."""
MAX_PASSED = 1 << 18
"""Octets passed over one after the other."""
Sound = Callable[[bytes, int, int], bool]
"""Whether the check of the frame at a place, of so many octets, is right."""
Spoiled = Callable[[Talk, Moment], None]
"""Told once when a stream is given up, with the side that spoiled it."""


class Sought:
    """A stream parser of one connection; never raises on any bytes as long as its functions do not."""

    __slots__ = (
        "_astray",
        "_broken",
        "_buffers",
        "_filler",
        "_last",
        "_most",
        "_passed",
        "_runs",
        "_size",
        "_spoiled",
        "_start",
        "_talks",
        "_unit",
        "done",
        "held",
    )

    def __init__(
        self,
        talk: Talk,
        start: bytes,
        size: Size,
        unit: Unit,
        most: int,
        spoiled: Spoiled,
        filler: bytes = b"",
        broken: Size | None = None,
    ) -> None:
        """Args:
        talk: the ends in key order.
        start: the octet frames begin with.
        size: octets of the frame at a place that has ``start``.
        unit: takes the frames.
        most: octets of one frame at most; ``size`` must not tell more.
        spoiled: told when the stream is given up.
        filler: octets that may stand between frames and mean nothing.
        broken: octets of a frame that tells a wrong length; 0 = there is none.
        """
        self.done, self.held = False, 0
        self._talks = (talk, talk.turned())
        self._start, self._size, self._unit, self._most = start, size, unit, most
        self._spoiled, self._filler, self._broken = spoiled, filler, broken
        self._buffers = [b"", b""]
        self._last = [Moment(0, 0), Moment(0, 0)]
        self._runs = self._passed = 0
        self._astray = [False, False]  # the side's last octets were noise: what follows belongs to the same run

    def feed(self, side: int, data: bytes, at: Moment) -> None:
        self._last[side] = at
        self._buffers[side] = self._read(side, self._buffers[side] + data, at, last=False)
        self.held = len(self._buffers[0]) + len(self._buffers[1])

    def gap(self, side: int) -> None:
        """What was begun will not be ended, but a frame may stand behind a false beginning."""
        self._read(side, self._buffers[side], self._last[side], last=True)
        self._buffers[side] = b""
        self.held = len(self._buffers[0]) + len(self._buffers[1])

    def close(self) -> None:
        self.gap(0)
        self.gap(1)

    def _read(self, side: int, raw: bytes, at: Moment, *, last: bool) -> bytes:
        """Take the frames out of some octets; returns what waits for more."""
        place, sound, end = 0, 0, len(raw)
        while not self.done:
            place = raw.find(self._start, place)
            if place < 0:
                self._pass(side, raw[sound:], at)
                return b""
            size = self._size(raw, place)
            if size > self._most or size < 0 or (last and (size == 0 or place + size > end)):
                size = self._broken(raw, place) if self._broken is not None else 0
                if not size:
                    place += 1
                    continue
            if size == 0 or place + size > end:
                self._pass(side, raw[sound:place], at)
                return raw[place:] if end - place <= self._most else b""
            if self._pass(side, raw[sound:place], at):
                break
            self._passed, self._astray[side] = 0, False
            self._unit(raw[place : place + size], self._talks[side], at)
            place += size
            sound = place
        return b""

    def _pass(self, side: int, octets: bytes, at: Moment) -> bool:
        """Octets between frames; returns whether there were too many."""
        noise = len(octets.strip(self._filler)) if self._filler else len(octets)
        if not noise:
            return False
        self._runs += not self._astray[side]
        self._astray[side] = True
        self._passed += noise
        if not self.done and (self._runs > MAX_RUNS or self._passed > MAX_PASSED):
            self.done = True
            self._spoiled(self._talks[side], at)
        return self.done


def one_by_one(data: bytes, size: Size, filler: bytes = b"", broken: Size | None = None) -> Iterator[bytes]:
    """Frames one behind the other, as a datagram holds them; ends where none begins. Arguments as of ``Sought``."""
    place = 0
    while place < len(data):
        if filler and data[place] == filler[0]:
            place += 1
            continue
        octets = size(data, place)
        if not 0 < octets <= len(data) - place:
            octets = broken(data, place) if broken is not None else 0
        if octets <= 0:
            return
        yield data[place : place + octets]
        place += octets


def leads(data: bytes, size: Size, sound: Sound, filler: bytes, broken: Size) -> bool:
    """Whether a frame stands behind nothing but filler: with the right check, or filling the payload to its end."""
    place = len(data) - len(data.lstrip(filler))
    if place >= len(data):
        return False
    octets = size(data, place)
    if not 0 < octets <= len(data) - place:
        return place + broken(data, place) == len(data)
    return sound(data, place, octets) or place + octets == len(data)


def lies(
    data: bytes,
    begins: re.Pattern[bytes],
    size: Size,
    sound: Sound,
    preamble: bytes = b"",
    broken: Size | None = None,
) -> bool:
    """Whether a frame lies anywhere in some octets: with the right check; else behind its preamble, or all there is.

    Args:
        data: the first octets of one side.
        begins: matches, without taking any, where a frame may begin; linear.
        size: octets of the frame at a place.
        sound: whether its check is right.
        preamble: what senders wake the line with, in full.
        broken: octets of a frame that tells a wrong length, its check right; 0 = there is none. Asked behind the
            preamble and at the very beginning: elsewhere a weak check would be found to fit too often.
    """
    for found in begins.finditer(data):
        place = found.start()
        octets = size(data, place)
        if not 0 < octets <= len(data) - place:
            woken = place == 0 or (preamble != b"" and data[:place].endswith(preamble))
            if woken and broken is not None and broken(data, place):
                return True
            continue
        if sound(data, place, octets):
            return True
        if preamble and data[:place].endswith(preamble):
            return True
        if place + octets == len(data) and not data[:place].strip(preamble[:1]):
            return True
    return False
