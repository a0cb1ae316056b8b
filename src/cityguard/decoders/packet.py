"""Packets to columns: link, network and transport headers of a whole piece at once.

Ethernet (802.3/SNAP, 802.1Q/ad, PPPoE, MPLS), Linux cooked v1/v2, loopback, PPP, Cisco HDLC and raw IP;
IPv4 (RFC 791), IPv6 with its extension headers (RFC 8200); ports of TCP, UDP, SCTP, DCCP and UDP-Lite; ICMP.
A tunnel is seen as its outer packet. No read leaves the packet, whatever its length fields claim.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cityguard.model import Frames

Words = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
U64s = npt.NDArray[np.uint64]
U8s = npt.NDArray[np.uint8]

REASONS = ("", "no IP", "link type not supported", "cut short", "bad IP header", "bad length")
"""Why a packet was rejected, by code."""
_NO_IP, _LINK, _SHORT, _HEADER, _LENGTH = range(1, 6)

ICMP, TCP, UDP, ICMP6, SCTP = 1, 6, 17, 58, 132
_PORTS = (TCP, UDP, SCTP, 33, 136)
_V4, _V6, _MPLS, _PPPOE = 0x0800, 0x86DD, 0x8847, 0x8864
_TAGS = (0x8100, 0x88A8, 0x9100)
_PPP = {0x0021: _V4, 0x0057: _V6}
_MAX_TAGS = 8
_MAX_EXTENSIONS = 8
_EXTENSIONS = (0, 43, 60, 135, 44, 51)
_FRAGMENT, _AH = 44, 51
_MAPPED = np.uint64(0xFFFF_0000_0000)  # ::ffff:0:0/96, low half


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
_TCP = _record(source=">u2", destination=">u2", seq=">u4", ack=">u4", size="u1", flags="u1", rest="V6")


@dataclass(frozen=True, slots=True)
class Packets:
    """IP packets of one piece, one entry each; all arrays have the same length. IPv4 is held as ::ffff:a.b.c.d."""

    number: Words  # packet number in the source
    time: Words  # ns
    wire: Words  # bytes on the wire
    size: Words  # bytes from the IP header on, uncut
    v6: Bools
    proto: U8s
    source: tuple[U64s, U64s]  # high and low half
    destination: tuple[U64s, U64s]
    source_port: Words  # -1 = none (other protocol, later fragment, cut off)
    destination_port: Words
    icmp: Words  # type * 256 + code, -1 = none
    flags: U8s  # TCP flags
    seq: Words
    payload: Words  # where the transport payload starts in the buffer
    captured: Words  # its bytes at hand
    claimed: Words  # its bytes on the wire
    vlan: Words  # outermost tag, -1 = none
    mac: Words  # where the Ethernet header starts in the buffer, -1 = none

    def __len__(self) -> int:
        return len(self.number)

    def take(self, which: Words | Bools) -> Packets:
        """A selection, in the given order."""
        return Packets(
            self.number[which],
            self.time[which],
            self.wire[which],
            self.size[which],
            self.v6[which],
            self.proto[which],
            (self.source[0][which], self.source[1][which]),
            (self.destination[0][which], self.destination[1][which]),
            self.source_port[which],
            self.destination_port[which],
            self.icmp[which],
            self.flags[which],
            self.seq[which],
            self.payload[which],
            self.captured[which],
            self.claimed[which],
            self.vlan[which],
            self.mac[which],
        )


class Window:
    """Reads at arbitrary places of a buffer, as arrays.

    A place outside is moved inside and reads something else; the caller masks it.
    """

    def __init__(self, buffer: U8s) -> None:
        # A buffer shorter than any header is padded, so that every view exists.
        self._buffer = buffer if len(buffer) >= 64 else np.pad(buffer, (0, 64 - len(buffer)))
        self.size = len(self._buffer)

    def rows(self, at: Words, kind: np.dtype[np.void]) -> npt.NDArray[np.void]:
        """One record of ``kind`` per place."""
        width = kind.itemsize
        view: npt.NDArray[np.void] = np.ndarray(
            (len(self._buffer) - width + 1,), f"V{width}", buffer=self._buffer, strides=(1,)
        )
        return view[np.clip(at, 0, len(view) - 1)].view(kind)

    def u8(self, at: Words) -> Words:
        return self._buffer[np.clip(at, 0, len(self._buffer) - 1)].astype(np.int64)

    def u16(self, at: Words) -> Words:
        return self.u8(at) << 8 | self.u8(at + 1)

    def u32(self, at: Words) -> Words:
        return self.u16(at) << 16 | self.u16(at + 2)


@dataclass(frozen=True, slots=True)
class Others:
    """Frames of one piece that carry no IP, one entry each."""

    number: Words
    time: Words  # ns
    wire: Words  # bytes on the wire
    ethertype: Words
    place: Words  # first byte after the EtherType and its tags
    end: Words  # first byte not captured
    vlan: Words  # outermost tag, -1 = none
    mac: Words  # where the Ethernet header starts in the buffer, -1 = none

    def __len__(self) -> int:
        return len(self.number)


@dataclass(frozen=True, slots=True)
class Read:
    """A piece, decoded: ``packets`` and ``others`` point into the buffer of ``frames``."""

    frames: Frames
    packets: Packets
    others: Others
    reason: U8s  # per frame that was given, a code of ``REASONS`` (0 = decoded)


class Reader:
    """Decodes the pieces of one capture, in order."""

    def decode(self, frames: Frames) -> Read:
        """Decode a piece of packets."""
        work = _Work(frames)
        work.link()
        work.tags()
        work.network()
        others = work.others()
        packets, reason = work.transport()
        return Read(frames, packets, others, reason)


def decode(frames: Frames) -> tuple[Packets, U8s]:
    """Decode a piece of packets.

    Returns:
        The IP packets, in the order of the frames, and per frame a code of ``REASONS`` (0 = decoded).
    """
    work = _Work(frames)
    work.link()
    work.tags()
    work.network()
    return work.transport()


class _Work:
    """The columns under way; each step fills some of them for the frames still alive."""

    def __init__(self, frames: Frames) -> None:
        n = len(frames)
        self.frames, self.read = frames, Window(frames.buffer)
        self.reason = np.zeros(n, np.uint8)
        self.end = frames.offset + frames.length  # first byte not captured
        self.place = frames.offset.copy()  # the header looked at next
        self.kind = np.full(n, -1, np.int64)  # its EtherType
        self.vlan, self.mac = np.full(n, -1, np.int64), np.full(n, -1, np.int64)
        self.size, self.stop = np.zeros(n, np.int64), np.zeros(n, np.int64)
        self.proto, self.first = np.zeros(n, np.int64), np.ones(n, np.bool_)
        self.high_s, self.low_s = np.zeros(n, np.uint64), np.full(n, _MAPPED)
        self.high_d, self.low_d = np.zeros(n, np.uint64), np.full(n, _MAPPED)

    def reject(self, rows: Words, bad: Bools, reason: int) -> Words:
        """Mark the bad ones; returns the others."""
        if not bad.any():
            return rows
        self.reason[rows[bad]] = reason
        return rows[~bad]

    def link(self) -> None:
        for link in np.unique(self.frames.link):
            rows = np.flatnonzero(self.frames.link == link)
            step = _LINKS.get(int(link))
            if step is None:
                self.reason[rows] = _LINK
                continue
            size, decode_link = step
            rows = self.reject(rows, self.frames.length[rows] < size, _SHORT)
            decode_link(self, rows, size)

    def tags(self) -> None:
        for _ in range(_MAX_TAGS):
            kind = self.kind
            rows = np.flatnonzero((kind == _MPLS) | (kind == _PPPOE) | np.isin(kind, _TAGS))
            if not len(rows):
                return
            rows = self.reject(rows, self.place[rows] + 8 > self.end[rows], _SHORT)
            self.kind[self.reason > 0] = -1
            at, was = self.place[rows], kind[rows]
            tag, label, session = rows[np.isin(was, _TAGS)], rows[was == _MPLS], rows[was == _PPPOE]
            outer = tag[self.vlan[tag] < 0]
            self.vlan[outer] = self.read.u16(self.place[outer]) & 0xFFF
            self.kind[tag] = self.read.u16(self.place[tag] + 2)
            last = self.read.u8(self.place[label] + 2) & 1
            self.kind[label] = np.where(last == 1, _by_version(self.read.u8(self.place[label] + 4)), _MPLS)
            self.kind[session] = _by_ppp(self.read.u16(self.place[session] + 6))
            self.place[rows] = at + np.where(was == _PPPOE, 8, 4)

    def network(self) -> None:
        alive = self.reason == 0
        four, six = np.flatnonzero(alive & (self.kind == _V4)), np.flatnonzero(alive & (self.kind == _V6))
        self.reason[alive & (self.kind != _V4) & (self.kind != _V6)] = _NO_IP
        if len(four):
            self._four(four)
        if len(six):
            self._six(six)

    def others(self) -> Others:
        """What was rejected for carrying no IP but has an EtherType."""
        rows = np.flatnonzero((self.reason == _NO_IP) & (self.kind >= 0x0600))
        frames = self.frames
        return Others(
            frames.number[rows],
            frames.time[rows],
            frames.wire[rows],
            self.kind[rows],
            self.place[rows],
            self.end[rows],
            self.vlan[rows],
            self.mac[rows],
        )

    def _four(self, rows: Words) -> None:
        rows = self.reject(rows, self.place[rows] + 20 > self.end[rows], _SHORT)
        at = self.place[rows]
        head = self.read.rows(at, _IP4)
        version = head["version"].astype(np.int64)
        size, total = (version & 15) * 4, head["total"].astype(np.int64)
        room = self.frames.offset[rows] + self.frames.wire[rows] - at
        total = np.where(total == 0, room, np.minimum(total, room))  # 0: segmented by the network card
        ok = (version >> 4 == 4) & (size >= 20)
        self.reason[rows[~ok]] = _HEADER
        self.reason[rows[ok & (total < size)]] = _LENGTH
        keep = np.flatnonzero(ok & (total >= size))
        if len(keep) < len(rows):
            rows, head, at, size, total = rows[keep], head[keep], at[keep], size[keep], total[keep]
        self.low_s[rows] = head["source"].astype(np.uint64) | _MAPPED
        self.low_d[rows] = head["destination"].astype(np.uint64) | _MAPPED
        self.proto[rows] = head["proto"]
        self.first[rows] = head["fragment"] & 0x1FFF == 0
        self.size[rows], self.stop[rows] = total, at + total
        self.place[rows] = at + size

    def _six(self, rows: Words) -> None:
        rows = self.reject(rows, self.place[rows] + 40 > self.end[rows], _SHORT)
        at = self.place[rows]
        head = self.read.rows(at, _IP6)
        good = head["version"] >> 28 == 6
        if not good.all():
            self.reason[rows[~good]] = _HEADER
            rows, head, at = rows[good], head[good], at[good]
        length = head["length"].astype(np.int64)
        room = self.frames.offset[rows] + self.frames.wire[rows] - at
        total = np.where(length == 0, room, np.minimum(length + 40, room))  # 0: jumbogram or segmented by the card
        self.high_s[rows], self.low_s[rows] = head["s1"], head["s0"]
        self.high_d[rows], self.low_d[rows] = head["d1"], head["d0"]
        self.proto[rows] = head["next"]
        self.size[rows], self.stop[rows] = total, at + total
        self.place[rows] = at + 40
        self._extensions(rows)

    def _extensions(self, rows: Words) -> None:
        for _ in range(_MAX_EXTENSIONS):
            more = np.isin(self.proto[rows], _EXTENSIONS) & self.first[rows]
            rows = rows[more & (self.place[rows] + 8 <= np.minimum(self.end[rows], self.stop[rows]))]
            if not len(rows):
                return
            at, kind = self.place[rows], self.proto[rows]
            units = self.read.u8(at + 1)
            size = np.where(kind == _FRAGMENT, 8, np.where(kind == _AH, (units + 2) * 4, (units + 1) * 8))
            self.first[rows] = (kind != _FRAGMENT) | (self.read.u16(at + 2) >> 3 == 0)
            self.proto[rows] = self.read.u8(at)
            self.place[rows] = at + size

    def transport(self) -> tuple[Packets, U8s]:
        rows = np.flatnonzero(self.reason == 0)
        n = len(rows)
        at, stop, end = self.place[rows], self.stop[rows], self.end[rows]
        end = np.minimum(end, stop)
        proto, whole = self.proto[rows], self.first[rows]
        ports = [np.full(n, -1, np.int64), np.full(n, -1, np.int64)]
        icmp, seq, head = np.full(n, -1, np.int64), np.zeros(n, np.int64), np.zeros(n, np.int64)
        flags = np.zeros(n, np.uint8)

        tcp = np.flatnonzero((proto == TCP) & whole & (at + 20 <= end))
        fields = self.read.rows(at[tcp], _TCP)
        ports[0][tcp], ports[1][tcp] = fields["source"], fields["destination"]
        seq[tcp], flags[tcp] = fields["seq"], fields["flags"]
        head[tcp] = np.maximum(fields["size"] >> 4, 5).astype(np.int64) * 4

        known = (proto == TCP) & (head == 0)
        for other in _PORTS[1:]:
            known |= proto == other
        some = np.flatnonzero(known & whole & (at + 4 <= end))
        ports[0][some], ports[1][some] = self.read.u16(at[some]), self.read.u16(at[some] + 2)
        head[proto == UDP] = 8
        head[(proto == TCP) & (head == 0)] = 20
        udp = np.flatnonzero((proto == UDP) & whole & (at + 8 <= end))
        told = self.read.u16(at[udp] + 4)
        stop[udp] = np.where(told >= 8, np.minimum(stop[udp], at[udp] + told), stop[udp])

        pings = np.flatnonzero(((proto == ICMP) | (proto == ICMP6)) & whole & (at + 2 <= end))
        icmp[pings] = self.read.u16(at[pings])

        body = at + head
        none = ~whole | ((proto != TCP) & (proto != UDP))
        claimed = np.where(none, 0, np.maximum(stop - body, 0))
        captured = np.minimum(claimed, np.maximum(self.end[rows] - body, 0))
        return Packets(
            self.frames.number[rows],
            self.frames.time[rows],
            self.frames.wire[rows],
            self.size[rows],
            self.kind[rows] == _V6,
            proto.astype(np.uint8),
            (self.high_s[rows], self.low_s[rows]),
            (self.high_d[rows], self.low_d[rows]),
            ports[0],
            ports[1],
            icmp,
            flags,
            seq,
            body,
            captured,
            claimed,
            self.vlan[rows],
            self.mac[rows],
        ), self.reason


def _by_version(octet: Words) -> Words:
    version = octet >> 4
    return np.where(version == 4, _V4, np.where(version == 6, _V6, 0))


def _by_ppp(protocol: Words) -> Words:
    return np.where(protocol == 0x21, _V4, np.where(protocol == 0x57, _V6, 0))


def _ethernet(work: _Work, rows: Words, size: int) -> None:
    start = work.frames.offset[rows]
    kind = work.read.u16(start + 12)
    work.mac[rows] = start
    work.kind[rows], work.place[rows] = kind, start + size
    short = rows[(kind <= 1500) & (work.frames.length[rows] >= 22)]
    if len(short):  # 802.3 with LLC: only SNAP carries an EtherType
        at = work.frames.offset[short] + size
        snap = short[(work.read.u32(at) >> 8) == 0xAAAA03]
        work.kind[snap] = work.read.u16(work.place[snap] + 6)
        work.place[snap] += 8


def _at(kind_at: int) -> Callable[[_Work, Words, int], None]:
    """A link header of fixed size with an EtherType at a fixed place."""

    def step(work: _Work, rows: Words, size: int) -> None:
        start = work.frames.offset[rows]
        work.kind[rows], work.place[rows] = work.read.u16(start + kind_at), start + size

    return step


def _raw(work: _Work, rows: Words, size: int) -> None:
    work.kind[rows] = _by_version(work.read.u8(work.frames.offset[rows]))


def _loopback(work: _Work, rows: Words, size: int) -> None:
    start = work.frames.offset[rows]
    family = work.read.u32(start)  # in the byte order of the machine that captured; small, so one end is zero
    family = np.where(family > 0xFFFF, family >> 24, family)
    six = np.isin(family, (10, 24, 28, 30))
    work.kind[rows], work.place[rows] = np.where(family == 2, _V4, np.where(six, _V6, 0)), start + size


def _point(work: _Work, rows: Words, size: int) -> None:
    start = work.frames.offset[rows]
    start = start + np.where(work.read.u16(start) == 0xFF03, 2, 0)
    rows_ok = start + 2 <= work.end[rows]
    work.kind[rows] = np.where(rows_ok, _by_ppp(work.read.u16(start)), 0)
    work.place[rows] = start + 2


_LINKS: dict[int, tuple[int, Callable[[_Work, Words, int], None]]] = {
    0: (4, _loopback),  # NULL
    1: (14, _ethernet),
    9: (2, _point),  # PPP
    12: (1, _raw),
    14: (1, _raw),
    50: (2, _point),  # PPP in HDLC-like framing
    101: (1, _raw),
    104: (4, _at(2)),  # Cisco HDLC
    108: (4, _loopback),  # LOOP
    113: (16, _at(14)),  # Linux cooked v1
    228: (1, _raw),
    229: (1, _raw),
    276: (20, _at(0)),  # Linux cooked v2
}
"""LINKTYPE -> (bytes of its header, how it is read). https://www.tcpdump.org/linktypes.html"""
