"""Headers from the link layer inwards, for a whole piece of frames at once: the innermost IP packet of each.

Every frame has a cursor: the ``place`` of its next header and the ``kind`` of it (an EtherType, or a name of ``Kind``).
A step reads one header of every frame that is still under way, grouped by kind; what a frame nests is bounded by the
number of steps. An IP header that is read becomes the frame's record; when a further one is found inside a tunnel it
takes its place and the outermost one is kept beside. What does not decode inside a tunnel leaves the outer record.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from cityguard.decoders.window import Bools, Window, Words
from cityguard.model import Frames

REASONS = ("", "no IP", "link type not supported", "cut short", "bad IP header", "bad length")
"""Why a packet was rejected, by code."""
NO_IP, LINK, SHORT, HEADER, LENGTH = range(1, 6)

ICMP, TCP, UDP, ICMP6, SCTP = 1, 6, 17, 58, 132
MAX_STEPS = 32
"""Headers below the transport of one frame at most; what is nested deeper counts as its last IP packet."""
_MAX_EXTENSIONS = 8
_EXTENSIONS = np.zeros(256, np.bool_)  # of IPv6, that lead to a further header
_EXTENSIONS[[0, 43, 60, 135, 139, 140, 44, 51]] = True
_FRAGMENT, _AH = 44, 51
MAPPED = np.uint64(0xFFFF_0000_0000)
"""::ffff:0:0/96, low half: how IPv4 addresses are held."""


class Kind:
    """Kinds of header: EtherTypes where there is one, small numbers where not. 0 = nothing that is followed."""

    IP = 1
    """IPv4 or IPv6 by its version."""
    LLC = 2
    DOT11 = 3
    DOT11_TURNED = 5
    """802.11 whose first two bytes may have changed places."""
    IP_V4 = 0x0800
    IP_V6 = 0x86DD
    ETHERNET = 0x6558
    PPP = 0x880B
    MPLS = 0x8847
    PPPOE = 0x8864
    ERSPAN_2 = 0x88BE
    ERSPAN_3 = 0x22EB
    NSH = 0x894F
    LLC_BACNET = 0xFF82
    """No EtherType (none is assigned there): LLC of service access point 0x82, unnumbered."""


def _record(**fields: str) -> np.dtype[np.void]:
    return np.dtype(list(fields.items()))


_IP4 = _record(
    version="u1",
    tos="u1",
    total=">u2",
    id="V2",
    fragment=">u2",
    ttl="u1",
    proto="u1",
    sum="V2",
    source=">u4",
    destination=">u4",
)
_IP6 = _record(version=">u4", length=">u2", next="u1", hops="u1", s1=">u8", s0=">u8", d1=">u8", d0=">u8")

Step = Callable[["Layers", Words], Words]
"""Reads the header at the cursor of some frames; gives back those that go on."""


def known(steps: dict[int, Step]) -> Bools:
    """bool[65536]: kinds of header that are read."""
    found = np.zeros(65_536, np.bool_)
    found[[*steps, Kind.IP, Kind.IP_V4, Kind.IP_V6]] = True
    return found


class Layers:
    """The columns under way, one entry per frame."""

    def __init__(self, frames: Frames, steps: dict[int, Step], carriers: Callable[[Layers, Words], Words]) -> None:
        n = len(frames)
        self.frames, self.read = frames, Window(frames.buffer)
        self._steps, self._carriers = steps, carriers
        self._known = known(steps)
        self.reason = np.zeros(n, np.uint8)
        self.end = frames.offset + frames.length  # first byte not captured
        self.stop = frames.offset + frames.wire  # first byte that is not of the packet, captured or not
        self.place = frames.offset.copy()
        self.kind = np.zeros(n, np.int64)
        self.vlan, self.mac = np.full(n, -1, np.int64), np.full(n, -1, np.int64)
        self.inner_mac = self.mac  # allocated by the first tunnel that carries Ethernet
        self.via = np.zeros(n, np.int64)  # tunnels gone through, four bits each, outermost highest
        # The record: the innermost IP packet so far.
        self.found = np.zeros(n, np.bool_)
        self.v6 = np.zeros(n, np.bool_)
        self.ip = np.zeros(n, np.int64)  # where its header starts
        self.size = np.zeros(n, np.int64)
        self.proto = np.zeros(n, np.int64)
        self.body = np.zeros(n, np.int64)  # where its payload starts
        self.first = np.ones(n, np.bool_)  # it begins with the transport header
        self.passed = np.zeros(n, np.bool_)  # a fragment that is not put together
        self.fragment = np.full(n, -1, np.int64)  # where the word with the fragment offset is, -1 = whole
        self.high_s, self.low_s = np.zeros(n, np.uint64), np.full(n, MAPPED)
        self.high_d, self.low_d = np.zeros(n, np.uint64), np.full(n, MAPPED)
        self.tunnel = np.zeros(n, np.int64)
        self.outer: dict[str, npt.NDArray[np.uint64]] = {}
        self.wrapped = np.zeros(n, np.bool_)

    def drop(self, rows: Words, reason: int) -> None:
        """These are not followed any further; without a record they are rejected."""
        self.reason[rows] = np.where(self.found[rows], 0, reason)

    def keep(self, rows: Words, good: Bools, reason: int) -> Words:
        """Those that are good; the others are dropped."""
        if good.all():
            return rows
        self.drop(rows[~good], reason)
        return rows[good]

    def room(self, rows: Words, size: int | Words) -> Words:
        """Those with ``size`` bytes captured at their cursor."""
        return self.keep(rows, self.place[rows] + size <= self.end[rows], SHORT)

    def to(self, rows: Words, kind: int | Words, place: Words) -> Words:
        """Move the cursor."""
        self.kind[rows], self.place[rows] = kind, place
        return rows

    def station(self, rows: Words, place: Words) -> None:
        """Note where the Ethernet header of these frames is; that of an outer record stays."""
        inner = self.found[rows]
        if not inner.any():
            self.mac[rows] = place
            return
        if self.inner_mac is self.mac:
            self.inner_mac = np.full(len(self.mac), -1, np.int64)
        self.mac[rows[~inner]] = place[~inner]
        self.inner_mac[rows[inner]] = place[inner]

    def run(self, rows: Words) -> None:
        """Follow these frames, whose cursor is behind the link header, to their innermost packet."""
        for _ in range(MAX_STEPS):
            if not len(rows):
                break
            rows = self._step(rows)
        self.reason[~self.found & (self.reason == 0)] = NO_IP

    def _step(self, rows: Words) -> Words:
        kinds = self.kind[rows]
        rows = self.keep(rows, self._known[kinds], NO_IP)
        kinds = self.kind[rows] if len(rows) < len(kinds) else kinds
        found = []
        for kind in np.flatnonzero(np.bincount(kinds)).tolist():
            mine = rows[kinds == kind]
            if kind == Kind.IP:
                kind_now = self.read.u8(self.place[mine]) >> 4
                mine = self.keep(mine, (kind_now == 4) | (kind_now == 6), HEADER)
                version = self.read.u8(self.place[mine]) >> 4
                self.kind[mine] = np.where(version == 4, Kind.IP_V4, Kind.IP_V6)
                found.append(mine)
            elif kind == Kind.IP_V4:
                found.append(self._four(mine))
            elif kind == Kind.IP_V6:
                found.append(self._six(mine))
            else:
                found.append(self._steps[kind](self, mine))
        return np.concatenate(found) if found else rows[:0]

    def _four(self, rows: Words) -> Words:
        rows = self.room(rows, 20)
        at = self.place[rows]
        head = self.read.rows(at, _IP4)
        version = head["version"].astype(np.int64)
        size, total = (version & 15) * 4, head["total"].astype(np.int64)
        room = self.stop[rows] - at
        total = np.where(total == 0, room, np.minimum(total, room))  # 0: segmented by the network card
        ok = (version >> 4 == 4) & (size >= 20)
        if not (ok & (total >= size)).all():
            self.drop(rows[~ok], HEADER)
            self.drop(rows[ok & (total < size)], LENGTH)
            keep = np.flatnonzero(ok & (total >= size))
            rows, head, at, size, total = rows[keep], head[keep], at[keep], size[keep], total[keep]
        self._record(rows, at, total)
        self.low_s[rows] = head["source"].astype(np.uint64) | MAPPED
        self.low_d[rows] = head["destination"].astype(np.uint64) | MAPPED
        proto = head["proto"].astype(np.int64)
        self.proto[rows] = proto
        self.body[rows] = at + size
        cut = (head["fragment"] & 0x3FFF) > 0
        if cut.any():
            parts = rows[cut]
            self.first[parts] = head["fragment"][cut] & 0x1FFF == 0
            self.fragment[parts] = at[cut] + 6
            rows = rows[~cut]
        return self._carriers(self, rows)

    def _six(self, rows: Words) -> Words:
        rows = self.room(rows, 40)
        at = self.place[rows]
        head = self.read.rows(at, _IP6)
        good = head["version"] >> 28 == 6
        if not good.all():
            self.drop(rows[~good], HEADER)
            rows, head, at = rows[good], head[good], at[good]
        length = head["length"].astype(np.int64)
        room = self.stop[rows] - at
        total = np.where(length == 0, room, np.minimum(length + 40, room))  # 0: jumbogram or segmented by the card
        good = total >= 40
        if not good.all():
            self.drop(rows[~good], LENGTH)
            rows, head, at, total = rows[good], head[good], at[good], total[good]
        self._record(rows, at, total)
        self.v6[rows] = True
        self.high_s[rows], self.low_s[rows] = head["s1"], head["s0"]
        self.high_d[rows], self.low_d[rows] = head["d1"], head["d0"]
        self.proto[rows] = head["next"]
        self.body[rows] = at + 40
        self._extensions(rows)
        return self._carriers(self, rows[self.fragment[rows] < 0])

    def _record(self, rows: Words, at: Words, total: Words) -> None:
        """The record of these frames is the packet at ``at``; one they had is the tunnel's."""
        again = rows[self.found[rows]]
        if len(again):
            self._keep_outer(again)
            self.v6[again], self.first[again], self.fragment[again] = False, True, -1
            self.high_s[again] = self.high_d[again] = 0
            self.tunnel[again] = self.via[again]
            if self.inner_mac is not self.mac:
                self.mac[again] = np.where(self.inner_mac[again] < 0, self.mac[again], self.inner_mac[again])
        self.found[rows] = True
        self.ip[rows], self.size[rows], self.stop[rows] = at, total, at + total

    def _keep_outer(self, rows: Words) -> None:
        for name in ("high_s", "low_s", "high_d", "low_d"):
            column = self.outer.setdefault(name, np.zeros(len(self.kind), np.uint64))
            fresh = rows[~self.wrapped[rows]]
            column[fresh] = getattr(self, name)[fresh]
        self.wrapped[rows] = True

    def _extensions(self, rows: Words) -> None:
        for _ in range(_MAX_EXTENSIONS):
            more = _EXTENSIONS[self.proto[rows]] & self.first[rows]
            rows = rows[more]
            rows = rows[self.body[rows] + 8 <= np.minimum(self.end[rows], self.stop[rows])]
            if not len(rows):
                return
            at, kind = self.body[rows], self.proto[rows]
            units = self.read.u8(at + 1)
            size = np.where(kind == _FRAGMENT, 8, np.where(kind == _AH, (units + 2) * 4, (units + 1) * 8))
            part = kind == _FRAGMENT
            if part.any():
                told = self.read.u16(at[part] + 2)
                parts = rows[part]
                self.first[parts] = told >> 3 == 0
                self.fragment[parts] = np.where(told & 0xFFF9 > 0, at[part] + 2, self.fragment[parts])
            self.proto[rows] = self.read.u8(at)
            self.body[rows] = at + size
