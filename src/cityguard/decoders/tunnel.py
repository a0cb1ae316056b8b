"""IP packets that carry others: where the inner header begins.

IP in IP (RFC 2003, 2473, 4213), GRE (RFC 2784, 2890; version 1 of RFC 2637), ERSPAN I to III, EtherIP (RFC 3378),
MPLS in IP and UDP, VXLAN (RFC 7348) and its generic extension, Geneve (RFC 8926), GTP-U (TS 29.281), Teredo (RFC 4380),
L2TP (RFC 2661), CAPWAP (RFC 5415), network service header (RFC 8300).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from cityguard.decoders.layers import NO_IP, UDP, Kind, Layers
from cityguard.decoders.window import Words

VXLAN_PORTS = (4789, 8472)
NAMES = (
    "",
    "ipip",
    "ipv6",
    "gre",
    "erspan",
    "etherip",
    "mpls",
    "vxlan",
    "vxlan-gpe",
    "geneve",
    "gtp",
    "teredo",
    "l2tp",
    "capwap",
)
"""What ``network.tunnel`` calls them, by code."""
_IPIP, _IPV6, _GRE, _ERSPAN, _ETHERIP, _MPLS, _VXLAN, _GPE, _GENEVE, _GTP, _TEREDO, _L2TP, _CAPWAP = range(1, 14)
_MAX_DEPTH = 1 << 56  # of ``via``: fifteen tunnels in one another
_MAX_EXTENSIONS = 16
_ARUBA = 0x8200  # and the next: 802.11 of an access point
_ERSPAN_I = 4  # pseudo kind: ERSPAN II without its header
_PROTOS = {4: Kind.IP_V4, 41: Kind.IP_V6, 137: Kind.MPLS}
_NEXT = {1: Kind.IP_V4, 2: Kind.IP_V6, 3: Kind.ETHERNET, 4: Kind.NSH, 5: Kind.MPLS}  # of VXLAN-GPE and NSH

Carrier = Callable[[Layers, Words, Words], Words]
"""Takes frames and where the tunnel's header begins; moves the cursors of those that carry a packet."""


class Carriers:
    """Which IP packets carry another, by protocol and by UDP port."""

    def __init__(self, vxlan_ports: Iterable[int] = VXLAN_PORTS) -> None:
        ports = dict.fromkeys(vxlan_ports, _vxlan) | _UDP  # what is usual elsewhere stays that
        self._ports = {port: step for port, step in ports.items() if 0 < port < 65_536}
        self.wanted = np.zeros(65_536, np.bool_)
        """Destination ports of UDP that may carry a packet."""
        self.wanted[list(self._ports)] = True
        self.served = np.zeros(65_536, np.bool_)
        """Source ports: of those the side that serves may speak from its port."""
        self.served[[3544, 5247]] = True

    def __call__(self, work: Layers, rows: Words) -> Words:
        proto = work.proto[rows]
        carrier = _CARRIERS[proto]
        if not carrier.any():
            return rows[:0]
        rows, proto = rows[carrier], proto[carrier]
        deep = work.via[rows] >= _MAX_DEPTH
        rows, proto = rows[~deep], proto[~deep]
        found = [self._udp(work, rows[proto == UDP])]
        for number in np.unique(proto[proto != UDP]).tolist():
            mine = rows[proto == number]
            found.append(_IP[number](work, mine, work.body[mine]))
        return np.concatenate(found)

    def _udp(self, work: Layers, rows: Words) -> Words:
        at = work.body[rows]
        ports = np.where(at + 8 <= work.end[rows], work.read.u16(at + 2), 0)
        sources = work.read.u16(at)
        answers = self.served[sources]
        wanted = self.wanted[ports] | answers
        if not wanted.any():
            return rows[:0]
        ports = np.where(answers & ~self.wanted[ports], sources, ports)
        rows, at, ports = rows[wanted], at[wanted] + 8, ports[wanted]
        found = []
        for port in np.unique(ports).tolist():
            mine = ports == port
            found.append(self._ports[port](work, rows[mine], at[mine]))
        return np.concatenate(found)


def _into(work: Layers, rows: Words, tunnel: int | Words, kind: int | Words, place: Words) -> Words:
    """Those whose cursor can move on to something known."""
    work.to(rows, kind, place)
    work.via[rows] = work.via[rows] << 4 | tunnel
    return rows


def _captured(work: Layers, rows: Words, at: Words, size: int) -> tuple[Words, Words]:
    good = at + size <= np.minimum(work.end[rows], work.stop[rows])
    return (rows, at) if good.all() else (rows[good], at[good])


def _inside(tunnel: int, kind: int, size: int = 0) -> Carrier:
    """A tunnel with a header of fixed size that carries one kind."""

    def step(work: Layers, rows: Words, at: Words) -> Words:
        rows, at = _captured(work, rows, at, size + 4)
        return _into(work, rows, tunnel, kind, at + size)

    return step


def _gre(work: Layers, rows: Words, at: Words) -> Words:
    rows, at = _captured(work, rows, at, 4)
    flags, kind = work.read.u16(at), work.read.u16(at + 2)
    version = flags & 7
    key, seq = flags & 0x2000 > 0, flags & 0x1000 > 0
    first = (flags & 0xC000 > 0) & (version == 0)  # checksum or routing: four bytes for either
    last = (flags & 0x0080 > 0) & (version == 1)  # acknowledgement
    size = 4 + 4 * (first.astype(np.int64) + key + seq + last)
    good = ((version == 0) & (flags & 0x4000 == 0)) | ((version == 1) & (kind == Kind.PPP))
    mirrored = (kind == Kind.ERSPAN_2) | (kind == Kind.ERSPAN_3)
    kind = np.where((kind == Kind.ERSPAN_2) & ~seq, _ERSPAN_I, kind)
    redirected = kind == 0x883E  # WCCP: a header of four bytes unless the packet begins at once
    size = size + np.where(redirected & (work.read.u8(at + size) >> 4 != 4), 4, 0)
    kind = np.where(redirected, Kind.IP_V4, kind)
    kind = np.where(kind & 0xFFE0 == _ARUBA, Kind.DOT11, kind)
    rows, at, kind, mirrored = rows[good], (at + size)[good], kind[good], mirrored[good]
    return _into(work, rows, np.where(mirrored, _ERSPAN, _GRE), kind, at)


def _vxlan(work: Layers, rows: Words, at: Words) -> Words:
    rows, at = _captured(work, rows, at, 8)
    good = work.read.u8(at) & 0x08 > 0  # a network identifier is there
    extended = good & (work.read.u8(at) & 0x04 > 0)
    kind = np.where(extended, _next(work.read.u8(at + 3)), Kind.ETHERNET)
    return _into(work, rows[good], _VXLAN, kind[good], at[good] + 8)


def _gpe(work: Layers, rows: Words, at: Words) -> Words:
    rows, at = _captured(work, rows, at, 8)
    flags = work.read.u8(at)
    following = work.read.u8(at + 3)  # told by a flag, which some senders forget
    kind = np.where((flags & 0x04 > 0) | (following > 0), _next(following), Kind.ETHERNET)
    good = (flags & 0x30 == 0) & (kind > 0)
    return _into(work, rows[good], _GPE, kind[good], at[good] + 8)


def _next(code: Words) -> Words:
    found = np.zeros(len(code), np.int64)
    for value, kind in _NEXT.items():
        found[code == value] = kind
    return found


def _geneve(work: Layers, rows: Words, at: Words) -> Words:
    rows, at = _captured(work, rows, at, 8)
    head = work.read.u8(at)
    good = head >> 6 == 0
    return _into(work, rows[good], _GENEVE, work.read.u16(at + 2)[good], (at + 8 + (head & 63) * 4)[good])


def _gtp(work: Layers, rows: Words, at: Words) -> Words:
    rows, at = _captured(work, rows, at, 8)
    flags = work.read.u8(at)
    good = (flags >> 4 == 3) & (work.read.u8(at + 1) == 0xFF)
    rows, at, flags = rows[good], at[good], flags[good]
    optional = flags & 7 > 0
    following = np.where(flags & 4 > 0, work.read.u8(at + 11), 0)
    place = at + np.where(optional, 12, 8)
    for _ in range(_MAX_EXTENSIONS):
        if not following.any():
            break
        size = work.read.u8(place) * 4
        size = np.where(size == 0, 4, size)
        place = np.where(following > 0, place + size, place)
        following = np.where(following > 0, work.read.u8(place - 1), 0)
    good = following == 0
    return _into(work, rows[good], _GTP, Kind.IP, place[good])


def _teredo(work: Layers, rows: Words, at: Words) -> Words:
    rows, at = _captured(work, rows, at, 8)
    signed = work.read.u16(at) == 1
    at = at + np.where(signed, 13 + work.read.u8(at + 2) + work.read.u8(at + 3), 0)
    at = at + np.where(work.read.u16(at) == 0, 8, 0)  # where the sender was seen
    good = work.read.u8(at) >> 4 == 6
    return _into(work, rows[good], _TEREDO, Kind.IP_V6, at[good])


def _l2tp(work: Layers, rows: Words, at: Words) -> Words:
    rows, at = _captured(work, rows, at, 6)
    flags = work.read.u16(at)
    good = (flags & 0x800F) == 2  # version 2, data
    rows, at, flags = rows[good], at[good], flags[good]
    place = at + 6 + np.where(flags & 0x4000 > 0, 2, 0) + np.where(flags & 0x0800 > 0, 4, 0)
    offset = flags & 0x0200 > 0
    place = place + np.where(offset, 2 + work.read.u16(place), 0)
    return _into(work, rows, _L2TP, Kind.PPP, place)


def _capwap(work: Layers, rows: Words, at: Words) -> Words:
    rows, at = _captured(work, rows, at, 8)
    head = work.read.u32(at)
    good = (head >> 24 == 0) & (head & 0x80 == 0)  # in the clear, no fragment
    rows, at, head = rows[good], at[good], head[good]
    radio = head & 0x100 > 0
    kind = np.where(radio, Kind.DOT11_TURNED, Kind.ETHERNET)
    return _into(work, rows, _CAPWAP, kind, at + (head >> 19 & 31) * 4)


def _erspan_2(work: Layers, rows: Words) -> Words:
    rows = work.room(rows, 8)
    rows = work.keep(rows, work.read.u8(work.place[rows]) >> 4 == 1, NO_IP)
    return work.to(rows, Kind.ETHERNET, work.place[rows] + 8)


def _erspan_3(work: Layers, rows: Words) -> Words:
    rows = work.room(rows, 12)
    rows = work.keep(rows, work.read.u8(work.place[rows]) >> 4 == 2, NO_IP)
    at = work.place[rows]
    last = work.read.u16(at + 10)
    kind = np.where(last >> 10 & 31 == 2, Kind.IP, Kind.ETHERNET)
    return work.to(rows, kind, at + 12 + np.where(last & 1 > 0, 8, 0))


def _service(work: Layers, rows: Words) -> Words:
    rows = work.room(rows, 8)
    at = work.place[rows]
    size = (work.read.u16(at) & 63) * 4
    rows, at, size = work.keep(rows, size >= 8, NO_IP), at[size >= 8], size[size >= 8]
    return work.to(rows, _next(work.read.u8(at + 3)), at + size)


_IP: dict[int, Carrier] = {
    4: _inside(_IPIP, Kind.IP_V4),
    41: _inside(_IPV6, Kind.IP_V6),
    47: _gre,
    97: _inside(_ETHERIP, Kind.ETHERNET, 2),
    137: _inside(_MPLS, Kind.MPLS),
}
_UDP: dict[int, Carrier] = {
    1701: _l2tp,
    2152: _gtp,
    3544: _teredo,
    4754: _gre,
    4790: _gpe,
    5247: _capwap,
    6081: _geneve,
    6635: _inside(_MPLS, Kind.MPLS),
}
_CARRIERS = np.zeros(256, np.bool_)
_CARRIERS[[*_IP, UDP]] = True

STEPS: dict[int, Callable[[Layers, Words], Words]] = {
    Kind.ERSPAN_2: _erspan_2,
    Kind.ERSPAN_3: _erspan_3,
    Kind.NSH: _service,
    _ERSPAN_I: lambda work, rows: work.to(rows, Kind.ETHERNET, work.place[rows]),
}
"""Headers inside tunnels, by kind."""
