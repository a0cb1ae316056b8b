"""Bounded TCP reassembly for the conversations whose payload is looked into.

A connection is followed once a payload of it looks like a protocol we read (or its port says so). Each side's bytes
are put in order, every byte once; what is waiting for a gap is bounded. A gap is given up, and told to the parser, when
the other side has acknowledged bytes beyond it (the capture lacks them, they will not come again), when too much waits
behind it, and at the end; what waited is then given with the moments at which it came.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import chain
from typing import NamedTuple, Protocol

import numpy as np

from cityguard.decoders.events import Talk
from cityguard.decoders.faults import FAULTS, Faults
from cityguard.decoders.flow import Keys
from cityguard.decoders.packet import Bools, Packets, U8s, U64s, Words

AHEAD = 65_536
"""Bytes of one side that may wait for a gap to be filled."""
AHEAD_SEGMENTS = 64
MAX_STREAMS = 20_000
"""Connections followed at once; beyond that the one silent for longest is closed."""
MAX_HELD = 64 << 20
"""Bytes held by all of them together."""
MAX_TURNS = 4
"""Protocols one payload may lead through."""
_SHOW_ALL = [0, 0]
_NOBODY = Talk((0, 0, -1), (0, 0, -1), 0, False, -1)
_HALF, FULL = 1 << 31, 1 << 32  # of the circle of sequence numbers


class Moment(NamedTuple):
    """The packet that completed some bytes."""

    number: int
    time: int


_NEVER = Moment(0, 0)


class Parser(Protocol):
    """Takes both sides of one connection, in order. Never raises on any bytes."""

    done: bool  # nothing more is wanted
    held: int  # bytes it keeps
    # Optional: ``then: str``, set with ``done``: what follows is spoken in the protocol of that name (STARTTLS);
    # ``rest: list[tuple[int, bytes]]``: bytes of the sides that are already its.
    # ``skip: list[int]``: how many bytes of each side need not be shown; they are counted down here, and when none is
    # left the parser is fed nothing, to notice.
    # ``over(side, size) -> bool``: asked before ``gap``; True = the lost bytes do not matter, and were so many.

    def feed(self, side: int, data: bytes, at: Moment) -> None:
        """New bytes of a side (0 = the lower end of the key, 1 = the higher)."""

    def gap(self, side: int) -> None:
        """Bytes of a side are lost; what follows begins at a segment."""

    def close(self) -> None:
        """The connection is over: give what is left."""


class Side:
    """One direction of a connection."""

    __slots__ = ("ahead", "held", "hole", "moments", "next")

    def __init__(self) -> None:
        self.next: int | None = None
        self.ahead: dict[int, bytes] = {}
        self.moments: dict[int, Moment] = {}  # when what is ahead came
        self.held = 0
        self.hole = 0  # bytes of the gap given up last

    def restart(self, seq: int) -> None:
        """Numbering starts anew at ``seq``."""
        self.next, self.held = seq, 0
        self.ahead.clear()
        self.moments.clear()

    def push(self, seq: int, data: bytes) -> tuple[bytes, bool]:
        """Add a segment.

        Returns:
            The bytes now in order, and whether a gap before them had to be given up.
        """
        if self.next is None:
            self.next = seq
        late = -distance(seq, self.next)
        if late < 0:
            return self._wait(seq, data)
        fresh = data[late:]
        self.next = (self.next + len(fresh)) % FULL
        return (fresh + self._follow() if self.ahead else fresh), False

    def skip(self, count: int) -> None:
        """Bytes that are known to be missing (cut by the capture)."""
        if self.next is not None:
            self.next = (self.next + count) % FULL

    def first(self) -> int:
        """Where the first segment that waits begins; there is one."""
        base = self.next or 0
        return min(self.ahead, key=lambda start: distance(start, base))

    def give_up(self) -> list[tuple[bytes, Moment | None]]:
        """Jump over the gap: the segments behind it up to the next gap, each with the moment it came."""
        self._jump()
        found = list[tuple[bytes, Moment | None]]()
        while self.ahead and self.next is not None:
            seq = self.first()
            late = -distance(seq, self.next)
            if late < 0:
                break
            data, when = self.ahead.pop(seq), self.moments.pop(seq, None)
            self.held -= len(data)
            if late < len(data):
                found.append((data[late:], when))
                self.next = (self.next + len(data) - late) % FULL
        return found

    def hold(self, seq: int, data: bytes, at: Moment | None = None) -> bool:
        """Keep a segment that lies ahead; returns whether too much waits now."""
        known = len(self.ahead.get(seq, b""))
        if len(data) > known:
            self.held += len(data) - known
            self.ahead[seq] = data
            if at is not None:
                self.moments.setdefault(seq, at)
        return self.held > AHEAD or len(self.ahead) > AHEAD_SEGMENTS

    def _wait(self, seq: int, data: bytes) -> tuple[bytes, bool]:
        if not self.hold(seq, data):
            return b"", False
        self._jump()
        return self._follow(), True

    def _jump(self) -> None:
        """Go on behind the gap."""
        first = self.first()
        self.hole = 0 if self.next is None else distance(first, self.next)
        self.next = first

    def _follow(self) -> bytes:
        parts = []
        while self.ahead and self.next is not None:
            base, seq = self.next, self.first()
            late = -distance(seq, base)
            if late < 0:
                break
            data = self.ahead.pop(seq)
            self.moments.pop(seq, None)
            self.held -= len(data)
            fresh = data[late:]
            self.next = (base + len(fresh)) % FULL
            parts.append(fresh)
        return b"".join(parts)


def distance(seq: int, base: int) -> int:
    """How far ``seq`` lies after ``base`` on the 32-bit circle (RFC 9293, 3.4)."""
    return (seq - base + _HALF) % FULL - _HALF


class Stream:
    """One connection under way."""

    __slots__ = ("_over", "ended", "ends", "first", "held", "kind", "parser", "sides", "skip", "spoke")

    def __init__(self, parser: Parser, ends: Talk = _NOBODY, kind: int = 0) -> None:
        self.kind = kind
        self.ended = 0  # a bit per side that sent its FIN
        self.ends = ends
        self.sides = (Side(), Side())
        self.first = [-1, -1]  # the number of each side's SYN
        self.held = 0
        self.spoke = False  # a payload was seen
        self.speak(parser)

    def speak(self, parser: Parser) -> None:
        """What follows is for this parser."""
        self.parser = parser
        self.skip: list[int] = getattr(parser, "skip", _SHOW_ALL)
        self._over: Callable[[int, int], bool] = getattr(parser, "over", _never)

    def begun(self, side: int, seq: int) -> bool:
        """Whether this SYN has been seen before."""
        return self.first[side] == seq

    def open(self, side: int, seq: int) -> None:
        """A SYN: numbering of this side starts here, unless it is the same again."""
        if not (self.spoke and self.begun(side, seq)):
            self.first[side] = seq
            self.sides[side].restart((seq + 1) % FULL)

    def passes(self, side: int, seq: int, claimed: int) -> bool:
        """A segment in order that the parser need not see: counted only."""
        one = self.sides[side]
        if self.skip[side] < claimed or not claimed or one.next != seq or one.ahead or self.sides[1 - side].ahead:
            return False
        self.skip[side] -= claimed
        one.next = (seq + claimed) % FULL
        return True

    def noticed(self, side: int, at: Moment) -> int:
        """Nothing more is to be skipped. Returns as ``data`` does."""
        self.parser.feed(side, b"", at)
        return self._grown()

    def data(self, side: int, seq: int, data: bytes, missing: int, at: Moment) -> int:
        """A segment; returns by how many bytes the connection's holdings have grown."""
        self.spoke = True
        one = self.sides[side]
        if one.next is not None and distance(seq, one.next) > 0:
            if one.hold(seq, data, at):
                self._give_up(side)
            return self._grown()  # what the capture cut off its end shows as a gap once its turn has come
        if fresh := one.push(seq, data)[0]:
            self.parser.feed(side, fresh, at)
        if missing:
            one.skip(missing)
            self._gap(side, missing)
        return self._grown()

    def acknowledge(self, side: int, ack: int) -> int:
        """What of a side lies ahead, and the other side has: given out. Returns as ``data`` does."""
        one = self.sides[side]
        while one.ahead and distance(ack, one.first()) >= 0:
            self._give_up(side)
        return self._grown()

    def close(self) -> None:
        """The connection is over: what waits is given out in the order it came, then the parser gives what it has."""
        while not self.parser.done and (waiting := [side for side in (0, 1) if self.sides[side].ahead]):
            self._give_up(min(waiting, key=self._came))
        self.parser.close()

    def _came(self, side: int) -> int:
        one = self.sides[side]
        return one.moments.get(one.first(), _NEVER).number

    def _give_up(self, side: int) -> None:
        found = self.sides[side].give_up()
        self._gap(side, self.sides[side].hole)
        for data, when in found:
            self.parser.feed(side, data, when or _NEVER)

    def _gap(self, side: int, size: int) -> None:
        """Bytes of a side are lost: the parser goes on behind them, if it knows what they were."""
        if size <= 0 or not self._over(side, size):
            self.parser.gap(side)

    def _grown(self) -> int:
        held = self.sides[0].held + self.sides[1].held + self.parser.held
        grown, self.held = held - self.held, held
        return grown


def _never(side: int, size: int) -> bool:
    return False


Opener = Callable[[Talk], Parser]
"""Makes the parser of a new connection, given its ends in key order."""


class Streams:
    """All connections under way, by the digest of their key."""

    def __init__(
        self, openers: Mapping[int, Opener], names: Mapping[str, int] | None = None, faults: Faults | None = None
    ) -> None:
        """``openers`` by kind; ``names`` gives the kind of a protocol's name; ``faults`` counts what parsers raise."""
        self._openers, self._names = openers, names or {}
        self._faults = Faults() if faults is None else faults
        self._streams: OrderedDict[int, Stream] = OrderedDict()
        self._finished: set[int] = set()  # in this piece
        self._evicted: OrderedDict[int, int] = OrderedDict()  # closed to make room: their kinds
        self._held = 0

    def add(self, buffer: U8s, packets: Packets, keys: Keys, hashes: U64s, kinds: Words, tells: Bools) -> None:
        """Follow the TCP packets of a piece.

        Args:
            buffer: where the payloads are.
            packets: TCP packets, in order.
            keys: their keys.
            hashes: uint64[n], digest of each key.
            kinds: int64[n], key into the openers where the packet's conversation was recognised in this piece, else 0.
            tells: bool[n], whether it is the packet that told; before it something else may have been spoken.
        """
        followed = len(self._streams) + len(self._evicted)
        known = np.sort(np.fromiter(chain(self._streams, self._evicted), np.uint64, followed))
        place = np.minimum(np.searchsorted(known, hashes), max(len(known) - 1, 0))
        wanted = kinds > 0
        if len(known):
            wanted |= known[place] == hashes
        wanted &= (packets.claimed > 0) | ((packets.flags & 0x07) > 0)
        rows = np.flatnonzero(wanted)
        if not len(rows):
            return
        view = buffer.data
        columns = (
            rows,
            hashes[rows],
            kinds[rows],
            tells[rows],
            keys.forward[rows],
            packets.seq[rows],
            packets.payload[rows],
            packets.captured[rows],
            packets.claimed[rows],
            packets.flags[rows],
            packets.number[rows],
            packets.time[rows],
            packets.ack[rows],
        )
        self._finished.clear()
        streams, finished = self._streams, self._finished
        for row, key, kind, told, forward, seq, start, captured, claimed, flags, number, time, ack in zip(
            *(column.tolist() for column in columns), strict=True
        ):
            try:
                side = 0 if forward else 1
                stream = streams.get(key)
                if stream is not None and flags & 0x07 == 0 and stream.passes(side, seq, claimed):
                    if not stream.skip[side]:
                        self._held += stream.noticed(side, Moment(number, time))
                    continue
                opens = flags & 0x12 == 0x02
                if stream is not None and opens and stream.spoke and not stream.begun(side, seq):
                    self._close(key)  # the same ports again: another connection
                    stream = None
                if stream is None:
                    kind = kind or self._evicted.pop(key, 0)
                    if not kind or (key in finished and not opens and not told):
                        continue
                    opener = side if opens else 1 - side if flags & 0x12 == 0x12 else -1
                    stream = self._open(key, kind, replace(talk(packets, keys, row), opener=opener))
                    finished.discard(key)
                if flags & 0x02:
                    stream.open(side, seq)
                    seq = (seq + 1) % FULL
                if flags & 0x10 and stream.sides[1 - side].ahead:
                    self._held += stream.acknowledge(1 - side, ack)
                if claimed:
                    at = Moment(number, time)
                    self._held += stream.data(side, seq, bytes(view[start : start + captured]), claimed - captured, at)
                    streams.move_to_end(key)
                    if stream.parser.done:
                        self._turn(stream, at)
                stream.ended |= (flags & 0x01) << side
                if stream.parser.done or flags & 0x04 or stream.ended == 3:
                    self._close(key)
                    finished.add(key)
                while self._held > MAX_HELD and streams:
                    self._evict()
            except FAULTS as error:
                self._lose(key, kind, error)
                finished.add(key)

    @property
    def followed(self) -> U64s:
        """uint64[n]: keys of the connections followed now, and of those closed to make room."""
        every = len(self._streams) + len(self._evicted)
        return np.fromiter(chain(self._streams, self._evicted), np.uint64, every)

    def take_over(self, key: int, kind: int, ends: Talk, parser: Parser, following: tuple[int | None, ...]) -> None:
        """Follow a connection that was read elsewhere until now.

        Args:
            key: digest of its key.
            kind: key into the openers, for when it is opened anew.
            ends: its ends in key order.
            parser: where it stands.
            following: of each side the sequence number to come; None = nothing was heard of it.
        """
        if len(self._streams) >= MAX_STREAMS:
            self._evict()
        stream = self._streams[key] = Stream(parser, ends, kind)
        stream.spoke = True
        for side, seq in enumerate(following):
            stream.sides[side].next = seq

    def close(self) -> None:
        """The input has ended: close every connection."""
        for key in list(self._streams):
            self._close(key)

    def _open(self, key: int, kind: int, ends: Talk) -> Stream:
        if len(self._streams) >= MAX_STREAMS:
            self._evict()
        stream = self._streams[key] = Stream(self._openers[kind](ends), ends, kind)
        return stream

    def _evict(self) -> None:
        """Close the connection that has been silent for longest, to make room."""
        key = next(iter(self._streams))
        self._evicted[key] = self._streams[key].kind
        if len(self._evicted) > MAX_STREAMS:
            self._evicted.popitem(last=False)
        self._close(key)

    def _turn(self, stream: Stream, at: Moment) -> None:
        """The rest of a connection is spoken in another protocol, if the parser says so."""
        for _ in range(MAX_TURNS):
            kind = self._names.get(getattr(stream.parser, "then", ""), 0)
            if not stream.parser.done or kind not in self._openers:
                return
            rest = getattr(stream.parser, "rest", ())
            stream.parser.close()
            self._held -= stream.held
            stream.held, stream.kind = 0, kind
            stream.speak(self._openers[kind](stream.ends))
            for side, data in rest:
                stream.parser.feed(side, data, at)
            stream.held = stream.sides[0].held + stream.sides[1].held + stream.parser.held
            self._held += stream.held

    def _close(self, key: int) -> None:
        stream = self._streams.pop(key)
        self._held -= stream.held
        try:
            stream.close()
        except FAULTS as error:
            self._faults.add(stream.kind, error)

    def _lose(self, key: int, kind: int, error: BaseException) -> None:
        """A parser raised, which none should: its connection is not followed on, the others are."""
        stream = self._streams.pop(key, None)
        if stream is not None:
            self._held -= stream.held
        self._faults.add(kind if stream is None else stream.kind, error)


def talk(packets: Packets, keys: Keys, row: int) -> Talk:
    """The two sides of a packet's connection, in key order."""
    ports = int(keys.ports[row])
    return Talk(
        (int(keys.a_high[row]), int(keys.a_low[row]), (ports >> 32) - 1),
        (int(keys.b_high[row]), int(keys.b_low[row]), (ports & 0xFFFFFFFF) - 1),
        int(packets.proto[row]),
        bool(packets.v6[row]),
        int(packets.vlan[row]),
    )
