"""Packets to columns: from the link layer to the transport header of the innermost packet, a whole piece at once.

What is read below IP stands in ``link``, what is inside IP in ``tunnel``; ``layers`` walks through both. Fragments are
held until their datagram is whole or given up (``fragments``). IPv4 (RFC 791), IPv6 with its extension headers
(RFC 8200); ports of TCP, UDP, SCTP, DCCP and UDP-Lite; ICMP. No read leaves the packet, whatever its lengths claim.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from cityguard import fast
from cityguard.decoders import layers, link, packet_fast, tunnel
from cityguard.decoders.fragments import FRAGMENTED, INCOMPLETE, OVERLAP, Fragments, Whole
from cityguard.decoders.layers import ICMP, ICMP6, NO_IP, REASONS, SCTP, TCP, UDP, Layers
from cityguard.decoders.window import Bools, U8s, U64s, Window, Words
from cityguard.model import Frames

__all__ = [
    "FRAGMENTED", "ICMP", "ICMP6", "INCOMPLETE", "OVERLAP", "REASONS", "SCTP", "TCP", "UDP",
    "Bools", "Others", "Packets", "Read", "Reader", "U8s", "U64s", "Window", "Words", "decode",
]  # fmt: skip

_PORTS = np.zeros(256, np.bool_)
_PORTS[[TCP, UDP, SCTP, 33, 136]] = True
_TCP = np.dtype({"names": ["source", "destination", "seq", "ack", "size", "flags"], "offsets": [0, 2, 4, 8, 12, 13],
                 "formats": [">u2", ">u2", ">u4", ">u4", "u1", "u1"], "itemsize": 20})  # fmt: skip
_STEPS = link.STEPS | tunnel.STEPS
_KNOWN = layers.known(_STEPS)
_MAX_NESTED = 4
"""Datagrams reassembled inside of reassembled ones."""
_RAW = 101
_NONE = np.zeros(0, np.int64)


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
    source_port: Words  # -1 = none (other protocol, datagram without its first fragment, cut off)
    destination_port: Words
    icmp: Words  # type * 256 + code, -1 = none
    flags: U8s  # TCP flags
    seq: Words
    ack: Words
    payload: Words  # where the transport payload starts in the buffer
    captured: Words  # its bytes at hand
    claimed: Words  # its bytes on the wire
    vlan: Words  # outermost tag, -1 = none
    mac: Words  # where the Ethernet header starts in the buffer, -1 = none, -2 - n = row n of ``stations``
    marks: U8s  # FRAGMENTED, OVERLAP, INCOMPLETE
    tunnel: Words  # codes of tunnel.NAMES gone through, four bits each, the outermost highest; 0 = none
    outer: Words  # row of ``outers``, -1 = none
    outers: tuple[U64s, U64s, U64s, U64s]  # outermost source and destination of packets in tunnels, high and low halves
    stations: tuple[Words, Words]  # MAC of destination and source, of packets whose Ethernet header is not at hand

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
            self.ack[which],
            self.payload[which],
            self.captured[which],
            self.claimed[which],
            self.vlan[which],
            self.mac[which],
            self.marks[which],
            self.tunnel[which],
            self.outer[which],
            self.outers,
            self.stations,
        )


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
    reason: U8s  # per frame that was given, a code of ``REASONS`` (0 = decoded, or held as a fragment)


class Reader:
    """Decodes the pieces of one capture, in order; holds fragments from piece to piece.

    A datagram in fragments comes as so many packets when its last fragment does: each with its own number, time and
    length, all with the ports of the whole, the last with the payload.
    """

    def __init__(
        self,
        vxlan_ports: Iterable[int] = tunnel.VXLAN_PORTS,
        *,
        payloads: bool = True,
        compiled: bool | None = None,
    ) -> None:
        """Args:
        vxlan_ports: UDP ports of destination that mean VXLAN.
        payloads: False = payloads of reassembled datagrams are not wanted, which saves a copy of the piece.
        compiled: use numba; None = where it is there.
        """
        self._carriers = tunnel.Carriers(vxlan_ports)
        self._fragments = Fragments()
        self._payloads = payloads
        self._compiled = fast.ON if compiled is None else compiled

    def decode(self, frames: Frames) -> Read:
        """Decode a piece of packets."""
        n = len(frames)
        easy = np.zeros(n, np.bool_)
        if self._compiled and n:
            easy = packet_fast.plain(frames, self._carriers.wanted, self._carriers.served)
        rest = np.flatnonzero(~easy)
        work = Layers(frames.take(rest) if easy.any() else frames, _STEPS, self._carriers)
        work.run(link.start(work))
        rows = np.flatnonzero(work.found)
        parts = rows[work.fragment[rows] >= 0]
        wholes = self._fragments.add(work, parts) if len(parts) else []
        rows = rows[(work.fragment[rows] < 0) | work.passed[rows]] if len(parts) else rows
        reason = np.zeros(n, np.uint8)
        reason[rest] = work.reason
        return self._joined(frames, work, wholes, rows, rest, np.flatnonzero(easy), reason)

    def ways(self) -> tuple[Bools, Bools, Bools]:
        """Destination and source ports of UDP that may carry a packet, and EtherTypes that lead further."""
        return self._carriers.wanted, self._carriers.served, _KNOWN

    def rest(self, frames: Frames, rest: Words, reason: U8s) -> tuple[Packets, Words]:
        """Packets of some frames of a piece, without payloads, and the row of the frame each came with, ascending.

        Args:
            frames: the piece.
            rest: rows of it, ascending.
            reason: per frame of the piece a code of ``REASONS``; filled for ``rest``.
        """
        work = Layers(frames.take(rest), _STEPS, self._carriers)
        work.run(link.start(work))
        rows = np.flatnonzero(work.found)
        parts = rows[work.fragment[rows] >= 0]
        wholes = self._fragments.add(work, parts) if len(parts) else []
        rows = rows[(work.fragment[rows] < 0) | work.passed[rows]] if len(parts) else rows
        reason[rest] = work.reason
        found, places = [_transport(work, rows)], [rows]
        if wholes:
            again, triggers = self._whole_again(wholes, [np.zeros(0, np.uint8)])
            found += again
            places += triggers
        packets, place = _concat(found), rest[np.concatenate(places)] if len(rest) else _NONE
        if len(found) > 1:
            order = np.argsort(place, kind="stable")
            packets, place = packets.take(order), place[order]
        return packets, place

    def flush(self) -> Read:
        """The capture is over: packets of the datagrams that never became whole."""
        work = Layers(_no_frames(), _STEPS, self._carriers)
        none = np.zeros(0, np.int64)
        return self._joined(work.frames, work, self._fragments.flush(), none, none, none, np.zeros(0, np.uint8))

    def _joined(
        self, frames: Frames, work: Layers, wholes: list[Whole], rows: Words, rest: Words, easy: Words, reason: U8s
    ) -> Read:
        """All packets in order: the easy ones, those of ``rows``, and reassembled datagrams where their last part came.

        Args:
            frames: the piece.
            work: the walk through the frames ``rest`` of it.
            wholes: datagrams that are over.
            rows: rows of ``work`` with a packet.
            rest: rows of the piece.
            easy: rows of the piece that are plain packets.
            reason: per frame of the piece.
        """
        others = _others(work)
        base, found, places = 0, [_transport(work, rows)], [rest[rows]]
        if wholes:
            chunks = [np.zeros(0, np.uint8)]
            if self._payloads:
                base, end = _span(frames)
                chunks[0] = frames.buffer[base:end]
            again, triggers = self._whole_again(wholes, chunks)
            found += again
            places += [rest[one] if len(rest) else one for one in triggers]
            if self._payloads:
                frames = replace(frames, buffer=np.concatenate(chunks), offset=frames.offset - base)
                found[0], others = _moved(found[0], -base), _others_moved(others, -base)
        packets, place = _concat(found), np.concatenate(places)
        if len(easy):
            packets = _with_plain(frames, self._carriers, easy, packets, place)
        elif len(found) > 1:
            packets = packets.take(np.argsort(place, kind="stable"))
        return Read(frames, packets, others, reason)

    def _whole_again(self, wholes: list[Whole], chunks: list[U8s]) -> tuple[list[Packets], list[Words]]:
        """Packets of reassembled datagrams, and the row of the frame each came with; their bytes go to ``chunks``."""
        found, places, length = [], [], len(chunks[0])
        for nested in range(_MAX_NESTED + 1):
            if not wholes:
                break
            pieces, inner = _rebuilt(wholes, self._carriers)
            again = [
                at
                for at in np.flatnonzero(inner.found & (inner.fragment >= 0)).tolist()
                if nested < _MAX_NESTED and not wholes[at].marks & INCOMPLETE
            ]
            held = np.zeros(len(wholes), np.bool_)
            held[again] = True
            packets, triggers = _each_part(_transport(inner, np.flatnonzero(inner.found)), inner, wholes, held)
            found.append(_moved(packets, length) if self._payloads else _bare(packets, pieces))
            places.append(triggers)
            chunks.append(pieces)
            length += len(pieces)
            wholes = self._fragments.add_wholes(inner, np.array(again, np.int64), wholes) if again else []
        return found, places


def decode(frames: Frames) -> tuple[Packets, U8s]:
    """Decode a piece by itself; fragments are not put together.

    Returns:
        The IP packets, in the order of the frames, and per frame a code of ``REASONS`` (0 = decoded).
    """
    work = Layers(frames, _STEPS, tunnel.Carriers())
    work.run(link.start(work))
    return _transport(work, np.flatnonzero(work.found)), work.reason


def _transport(work: Layers, rows: Words) -> Packets:
    n, frames = len(rows), work.frames
    at, stop, end = work.body[rows], work.stop[rows], work.end[rows]
    end = np.minimum(end, stop)
    proto, whole = work.proto[rows], work.first[rows]
    ports = [np.full(n, -1, np.int64), np.full(n, -1, np.int64)]
    icmp, seq, head = np.full(n, -1, np.int64), np.zeros(n, np.int64), np.zeros(n, np.int64)
    ack, flags = np.zeros(n, np.int64), np.zeros(n, np.uint8)

    tcp = np.flatnonzero((proto == TCP) & whole & (at + 20 <= end))
    read = work.read.rows(at[tcp], _TCP)
    ports[0][tcp], ports[1][tcp] = read["source"], read["destination"]
    seq[tcp], ack[tcp], flags[tcp] = read["seq"], read["ack"], read["flags"]
    head[tcp] = np.maximum(read["size"] >> 4, 5).astype(np.int64) * 4

    known = _PORTS[proto] & (head == 0)
    some = np.flatnonzero(known & whole & (at + 4 <= end))
    both = work.read.u32(at[some])
    ports[0][some], ports[1][some] = both >> 16, both & 0xFFFF
    udp = proto == UDP
    head[udp] = 8
    head[(proto == TCP) & (head == 0)] = 20
    udp = np.flatnonzero(udp & whole & (at + 8 <= end))
    told = work.read.u16(at[udp] + 4)
    stop[udp] = np.where(told >= 8, np.minimum(stop[udp], at[udp] + told), stop[udp])

    pings = np.flatnonzero(((proto == ICMP) | (proto == ICMP6)) & whole & (at + 2 <= end))
    icmp[pings] = work.read.u16(at[pings])

    body = at + head
    none = ~whole | ((proto != TCP) & (proto != UDP))
    claimed = np.where(none, 0, np.maximum(stop - body, 0))
    captured = np.minimum(claimed, np.maximum(work.end[rows] - body, 0))
    outer, outers = _outers(work, rows)
    return Packets(
        frames.number[rows],
        frames.time[rows],
        frames.wire[rows],
        work.size[rows],
        work.v6[rows],
        proto.astype(np.uint8),
        (work.high_s[rows], work.low_s[rows]),
        (work.high_d[rows], work.low_d[rows]),
        ports[0],
        ports[1],
        icmp,
        flags,
        seq,
        ack,
        body,
        captured,
        claimed,
        work.vlan[rows],
        work.mac[rows],
        np.where(work.fragment[rows] < 0, 0, FRAGMENTED | np.where(work.passed[rows], INCOMPLETE, 0)).astype(np.uint8),
        work.tunnel[rows],
        outer,
        outers,
        (_NONE, _NONE),
    )


def _outers(work: Layers, rows: Words) -> tuple[Words, tuple[U64s, U64s, U64s, U64s]]:
    outer = np.full(len(rows), -1, np.int64)
    none = np.zeros(0, np.uint64)
    if not work.outer:
        return outer, (none, none, none, none)
    mine = np.flatnonzero(work.wrapped[rows])
    outer[mine] = np.arange(len(mine))
    high_s, low_s, high_d, low_d = (work.outer[name][rows[mine]] for name in ("high_s", "low_s", "high_d", "low_d"))
    return outer, (high_s, low_s, high_d, low_d)


def _others(work: Layers) -> Others:
    """What was rejected for carrying no IP but has an EtherType."""
    rows = np.flatnonzero((work.reason == NO_IP) & (work.kind >= 0x0600))
    frames = work.frames
    return Others(
        frames.number[rows],
        frames.time[rows],
        frames.wire[rows],
        work.kind[rows],
        work.place[rows],
        work.end[rows],
        work.vlan[rows],
        work.mac[rows],
    )


# ------------------------------------------------------- reassembled datagrams


def _no_frames() -> Frames:
    none = np.zeros(0, np.int64)
    return Frames(np.zeros(0, np.uint8), none, none, none, none, none, np.zeros(0, np.int32))


def _span(frames: Frames) -> tuple[int, int]:
    """The part of the buffer the piece lies in."""
    if not len(frames):
        return 0, 0
    return int(frames.offset.min()), int((frames.offset + frames.length).max())


def _rebuilt(wholes: list[Whole], carriers: tunnel.Carriers) -> tuple[U8s, Layers]:
    """Decode datagrams as if each had come in one packet."""
    raw = [np.frombuffer(one.link + one.packet, np.uint8) for one in wholes]
    size = np.array([len(one) for one in raw], np.int64)
    buffer = np.concatenate(raw)
    begin = np.cumsum(size) - size
    head = np.array([len(one.link) for one in wholes], np.int64)
    wire = np.array([one.wire for one in wholes], np.int64)
    number = np.array([one.parts[-1][0] for one in wholes], np.int64)
    time = np.array([one.parts[-1][1] for one in wholes], np.int64)
    offset = begin + head
    frames = Frames(buffer, offset, size - head, number, time, wire, np.full(len(raw), _RAW, np.int32))
    work = Layers(frames, _STEPS, carriers)
    work.vlan[:] = [one.vlan for one in wholes]
    work.mac[:] = np.where(head > 0, begin, -1)
    work.via[:] = work.tunnel[:] = [one.tunnel for one in wholes]
    for at, one in enumerate(wholes):
        if one.outer is not None:
            for name, half in zip(("high_s", "low_s", "high_d", "low_d"), one.outer, strict=True):
                work.outer.setdefault(name, np.zeros(len(wholes), np.uint64))[at] = half
            work.wrapped[at] = True
    work.run(link.start(work))
    return buffer, work


def _each_part(packets: Packets, work: Layers, wholes: list[Whole], held: Bools) -> tuple[Packets, Words]:
    """One packet per fragment: its own number, time and lengths; the payload goes with the last."""
    rows = np.flatnonzero(work.found)
    chosen = [(row, at) for row, at in enumerate(rows.tolist()) if not held[at]]
    counts = [len(wholes[at].parts) for _, at in chosen]
    which = np.repeat(np.array([row for row, _ in chosen], np.int64), counts)
    out, parts = packets.take(which), [part for _, at in chosen for part in wholes[at].parts]
    number, time, wire, size = np.array(parts, np.int64).reshape(-1, 4).T.copy()
    last = np.zeros(len(parts), np.bool_)
    last[np.cumsum(counts, dtype=np.int64) - 1] = True
    # Inside a tunnel the fragments are those of the outer packet: its inner size is counted once.
    deeper = out.tunnel != np.repeat(np.array([wholes[at].tunnel for _, at in chosen], np.int64), counts)
    marks = np.repeat(np.array([wholes[at].marks for _, at in chosen], np.uint8), counts)
    triggers = np.repeat(np.array([wholes[at].trigger for _, at in chosen], np.int64), counts)
    return replace(
        out,
        number=number,
        time=time,
        wire=wire,
        size=np.where(deeper, np.where(last, out.size, 0), size),
        flags=np.where(last, out.flags, 0).astype(np.uint8),
        captured=np.where(last, out.captured, 0),
        claimed=np.where(last, out.claimed, 0),
        marks=(marks | FRAGMENTED).astype(np.uint8),
    ), triggers


def _moved(packets: Packets, by: int) -> Packets:
    return replace(packets, payload=packets.payload + by, mac=np.where(packets.mac < 0, packets.mac, packets.mac + by))


def _others_moved(others: Others, by: int) -> Others:
    mac = np.where(others.mac < 0, -1, others.mac + by)
    return replace(others, place=others.place + by, end=others.end + by, mac=mac)


def _bare(packets: Packets, buffer: U8s) -> Packets:
    """Without payloads; the stations are read now, their headers are not kept."""
    known = np.flatnonzero(packets.mac >= 0)
    at, read = packets.mac[known], Window(buffer)
    to, source = (read.u32(at + side) << 16 | read.u16(at + side + 4) for side in (0, 6))
    mac = np.full(len(packets), -1, np.int64)
    mac[known] = -2 - np.arange(len(known))
    none = np.zeros(len(packets), np.int64)
    return replace(packets, payload=none, captured=none, mac=mac, stations=(to, source))


_INTS, _SMALL = packet_fast.INTS, {"v6": np.bool_, "proto": np.uint8, "flags": np.uint8}


def _with_plain(frames: Frames, carriers: tunnel.Carriers, easy: Words, packets: Packets, place: Words) -> Packets:
    """Add the plain packets; all in order of their frames."""
    n, count = len(easy) + len(packets), len(packets)
    at = np.empty(n, np.int64)
    if count:
        at[np.argsort(np.concatenate([easy, place]), kind="stable")] = np.arange(n)
    else:
        at = np.arange(n)
    mine = at[len(easy) :]
    ints: dict[str, Words] = {name: np.empty(n, np.int64) for name in _INTS}
    small: dict[str, Any] = {name: np.empty(n, kind) for name, kind in _SMALL.items()}
    halves = [np.empty(n, np.uint64) for _ in range(4)]
    views = (halves[0].view(np.int64), halves[1].view(np.int64), halves[2].view(np.int64), halves[3].view(np.int64))
    packet_fast.write(frames, carriers.wanted, carriers.served, easy, at[: len(easy)], ints, small, views)
    marks, tunnels, outer = np.zeros(n, np.uint8), np.zeros(n, np.int64), np.full(n, -1, np.int64)
    if count:
        for name, column in {**ints, **small, "marks": marks, "tunnel": tunnels, "outer": outer}.items():
            column[mine] = getattr(packets, name)
        for half, column in zip(halves, (*packets.source, *packets.destination), strict=True):
            half[mine] = column
    return Packets(
        source=(halves[0], halves[1]),
        destination=(halves[2], halves[3]),
        marks=marks,
        tunnel=tunnels,
        outer=outer,
        outers=packets.outers,
        stations=packets.stations,
        **(ints | small),
    )


def _concat(all_: list[Packets]) -> Packets:
    if len(all_) == 1:
        return all_[0]
    outer, mac, count, known = [], [], 0, 0
    for one in all_:
        outer.append(np.where(one.outer < 0, -1, one.outer + count))
        mac.append(np.where(one.mac < -1, one.mac - known, one.mac))
        count += len(one.outers[0])
        known += len(one.stations[0])

    def pairs(name: str) -> tuple[npt.NDArray[Any], ...]:
        return tuple(np.concatenate(halves) for halves in zip(*(getattr(one, name) for one in all_), strict=True))

    joined = {
        one.name: pairs(one.name)
        if one.name in ("source", "destination", "outers", "stations")
        else np.concatenate([getattr(part, one.name) for part in all_])
        for one in fields(Packets)
    }
    return Packets(**joined | {"outer": np.concatenate(outer), "mac": np.concatenate(mac)})  # type: ignore[arg-type]
