"""Whole frames kept until a piece is over, so that what they say can be read as columns; who sent them, and when."""

from __future__ import annotations

from collections import OrderedDict
from typing import Protocol

import numpy as np

from cityguard.decoders import stream
from cityguard.decoders.events import Ends, Talk
from cityguard.decoders.flow import Keys
from cityguard.decoders.packet import Packets, U8s, Words
from cityguard.decoders.stream import Moment
from cityguard.decoders.wire.inorder import ends_of

MAX_TALKS = 65_536
"""Conversations over UDP whose ends are remembered."""


class Gathered:
    """Frames in order, each with the direction of the conversation it was sent in."""

    __slots__ = ("_closed", "_heard", "_next", "_talks", "_time", "_who", "frames", "number")

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.number: list[int] = []
        self._time: list[int] = []
        self._who: list[int] = []
        self._talks: dict[int, Talk] = {}
        self._closed: list[int] = []
        self._heard: OrderedDict[Talk, int] = OrderedDict()
        self._next = 0

    def begin(self, talk: Talk) -> int:
        """A conversation; the number of its first direction, that of the other is one higher."""
        way = self._next
        self._talks[way], self._talks[way + 1] = talk, talk.turned()
        self._next += 2
        return way

    def between(self, talk: Talk) -> int:
        """The direction of a datagram."""
        turned = talk.source > talk.destination
        key = talk.turned() if turned else talk
        way = self._heard.get(key)
        if way is None:
            way = self._heard[key] = self.begin(key)
            if len(self._heard) > MAX_TALKS:
                self.over(self._heard.popitem(last=False)[1])
        self._heard.move_to_end(key)
        return way + turned

    def over(self, way: int) -> None:
        """A conversation is over; its ends are needed until its frames are taken."""
        self._closed.append(way)

    def add(self, frame: bytes, at: Moment, way: int) -> None:
        """Keep a whole frame."""
        self.frames.append(frame)
        self.number.append(at[0])
        self._time.append(at[1])
        self._who.append(way)

    def take(self) -> Taken:
        """What was kept; it starts anew."""
        talks = {way: self._talks[way] for way in set(self._who)}
        taken = Taken(self.frames, self.number, self._time, self._who, talks)
        self.frames, self.number, self._time, self._who = [], [], [], []
        for way in self._closed:
            self._talks.pop(way, None)
            self._talks.pop(way + 1, None)
        self._closed.clear()
        return taken


class Source(Protocol):
    """Whole frames in one buffer, and who sent each when."""

    buffer: U8s
    begin: Words
    size: Words
    number: Words
    time: Words

    def talk(self, row: int) -> Talk:
        """Sender and receiver of a frame."""

    def ends(self, rows: Words) -> Ends:
        """When and between whom some frames were sent."""


class Taken:
    """Frames that were gathered one by one."""

    __slots__ = ("_talks", "_who", "begin", "buffer", "frames", "number", "size", "time")

    def __init__(
        self, frames: list[bytes], number: list[int], time: list[int], who: list[int], talks: dict[int, Talk]
    ) -> None:
        self.frames = frames
        self.buffer: U8s = np.frombuffer(b"".join(frames), np.uint8)
        self.size: Words = np.fromiter(map(len, frames), np.int64, len(frames))
        self.begin: Words = np.cumsum(self.size) - self.size
        self.number: Words = np.array(number, np.int64)
        self.time: Words = np.array(time, np.int64)
        self._who: Words = np.array(who, np.int64)
        self._talks = talks

    @property
    def ways(self) -> Words:
        """int64[n]: the direction each was sent in; even and odd are the two of one conversation."""
        return self._who

    def talk(self, row: int) -> Talk:
        """Sender and receiver of a frame."""
        return self._talks[int(self._who[row])]

    def ends(self, rows: Words) -> Ends:
        """When and between whom some frames were sent."""
        few, place = np.unique(self._who[rows], return_inverse=True)
        ways = [self._talks[one] for one in few.tolist()]
        halves = np.array([(*way.source[:2], *way.destination[:2]) for way in ways], np.uint64).reshape(-1, 4)[place]
        rest = [(way.source[2], way.destination[2], way.vlan, way.proto, way.v6) for way in ways]
        ports = np.array(rest, np.int64).reshape(-1, 5)[place]
        return Ends(
            self.number[rows],
            self.time[rows],
            ports[:, 4].astype(np.bool_),
            ports[:, 3].astype(np.uint8),
            (halves[:, 0], halves[:, 1]),
            (halves[:, 2], halves[:, 3]),
            ports[:, 0],
            ports[:, 1],
            ports[:, 2],
            np.full(len(rows), -1, np.int64),
        )


class Segments:
    """TCP segments of a piece that are a whole frame each."""

    __slots__ = ("_keys", "_packets", "_rows", "begin", "buffer", "number", "size", "time")

    def __init__(self, buffer: U8s, packets: Packets, keys: Keys, rows: Words) -> None:
        """``rows``: places of the packets."""
        self._packets, self._keys, self._rows = packets, keys, rows
        self.buffer = buffer
        self.begin: Words = packets.payload[rows]
        self.size: Words = packets.captured[rows]
        self.number: Words = packets.number[rows]
        self.time: Words = packets.time[rows]

    def talk(self, row: int) -> Talk:
        """Sender and receiver of a frame."""
        place = int(self._rows[row])
        talk = stream.talk(self._packets, self._keys, place)
        return talk if self._keys.forward[place] else talk.turned()

    def ends(self, rows: Words) -> Ends:
        """When and between whom some frames were sent."""
        return ends_of(self._packets, self._rows[rows])
