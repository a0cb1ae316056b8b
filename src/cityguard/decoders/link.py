"""Link layers: where the network header of a frame begins, by LINKTYPE (https://www.tcpdump.org/linktypes.html)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cityguard.decoders.layers import LINK, NO_IP, SHORT, Kind, Layers
from cityguard.decoders.window import Words

TAGS = (0x8100, 0x88A8, 0x9100, 0x9200, 0x9300)
_CISCO_META, _VN_TAG, _FABRIC_PATH, _ITAG, _TRILL = 0x8909, 0x8926, 0x8903, 0x88E7, 0x22F3
_MAX_TLVS = 32
_PPP = {0x21: Kind.IP_V4, 0x57: Kind.IP_V6, 0x281: Kind.MPLS, 0x283: Kind.MPLS}
_NLPID = {0xCC: Kind.IP_V4, 0x8E: Kind.IP_V6}
_DLT = {1: Kind.ETHERNET, 9: Kind.PPP, 12: Kind.IP, 14: Kind.IP, 101: Kind.IP, 105: Kind.DOT11}
_SAP_IP = 0x0606


def start(work: Layers) -> Words:
    """Set every frame's cursor behind its link header; gives back the frames that go on."""
    found = []
    for link in np.unique(work.frames.link).tolist():
        rows = np.flatnonzero(work.frames.link == link)
        known = _LINKS.get(link)
        if known is None:
            work.drop(rows, LINK)
            continue
        size, step = known
        found.append(step(work, work.room(rows, size)))
    return np.concatenate(found) if found else np.zeros(0, np.int64)


# ------------------------------------------------------------------ link types


def _fixed(kind: int, size: int) -> Callable[[Layers, Words], Words]:
    """A header of fixed size before something known."""
    return lambda work, rows: work.to(rows, kind, work.place[rows] + size)


def _at(kind_at: int, size: int) -> Callable[[Layers, Words], Words]:
    """A header of fixed size with an EtherType at a fixed place."""

    def step(work: Layers, rows: Words) -> Words:
        begin = work.place[rows]
        return work.to(rows, work.read.u16(begin + kind_at), begin + size)

    return step


def _cooked(work: Layers, rows: Words) -> Words:
    begin = work.place[rows]
    kind = work.read.u16(begin + 14)
    return work.to(rows, np.where(kind == 4, Kind.LLC, kind), begin + 16)


def _loopback(work: Layers, rows: Words) -> Words:
    begin = work.place[rows]
    family = work.read.u32(begin)  # in the byte order of the machine that captured; small, so one end is zero
    family = np.where(family > 0xFFFF, family >> 24, family)
    six = np.isin(family, (10, 24, 28, 30))
    return work.to(rows, np.where(family == 2, Kind.IP_V4, np.where(six, Kind.IP_V6, 0)), begin + 4)


def _radiotap(work: Layers, rows: Words) -> Words:
    return work.to(rows, Kind.DOT11, work.place[rows] + work.read.u16_little(work.place[rows] + 2))


def _prism(work: Layers, rows: Words) -> Words:
    begin = work.place[rows]
    newer = work.read.u32(begin) & 0xFFFFFF00 == 0x80211000  # the AVS header tells its length
    told = np.where(newer, work.read.u32(begin + 4), 144)
    rows = work.keep(rows, told < 65_536, SHORT)
    return work.to(rows, Kind.DOT11, work.place[rows] + told[told < 65_536])


def _ppi(work: Layers, rows: Words) -> Words:
    begin = work.place[rows]
    kind = _table(_DLT, work.read.u32_little(begin + 4))
    return work.to(rows, kind, begin + work.read.u16_little(begin + 2))


def _pktap(work: Layers, rows: Words) -> Words:
    begin = work.place[rows]
    size, kind = work.read.u32_little(begin), _table(_DLT, work.read.u32_little(begin + 8))
    good = size < 65_536
    rows = work.keep(rows, good, SHORT)
    return work.to(rows, kind[good], begin[good] + size[good])


def _pflog(work: Layers, rows: Words) -> Words:
    begin = work.place[rows]
    return work.to(rows, Kind.IP, begin + ((work.read.u8(begin) + 3) & ~3))


def _nflog(work: Layers, rows: Words) -> Words:
    """Records of length, type and value until the one with the packet (type 9)."""
    place, done = work.place[rows] + 4, np.zeros(len(rows), np.bool_)
    for _ in range(_MAX_TLVS):
        kind = work.read.u16_little(place + 2)
        done |= (kind == 9) & (place + 4 <= work.end[rows])
        size = np.maximum((work.read.u16_little(place) + 3) & ~3, 4)
        place = np.where(done | (place + 4 > work.end[rows]), place, place + size)
    return work.to(work.keep(rows, done, NO_IP), Kind.IP, place[done] + 4)


def _frame_relay(work: Layers, rows: Words) -> Words:
    """Q.922 address, then RFC 2427 (control, NLPID) or Cisco's EtherType."""
    place = work.place[rows]
    last = np.zeros(len(rows), np.bool_)
    for _ in range(4):  # the address ends with a set lowest bit
        octet = work.read.u8(place)
        place = place + ~last
        last |= octet & 1 > 0
    unnumbered = work.read.u8(place) == 3
    padded = place + 1 + (unnumbered & (work.read.u8(place + 1) == 0))
    nlpid = work.read.u8(padded)
    kind = np.where(unnumbered, _table(_NLPID, nlpid), work.read.u16(place))
    place_next = np.where(unnumbered, padded + 1, place + 2)
    snap = unnumbered & (nlpid == 0x80)
    oui, pid = work.read.u32(padded + 1) >> 8, work.read.u16(padded + 4)
    bridged = (oui == 0x0080C2) & ((pid == 7) | (pid == 1))
    kind = np.where(snap, np.where(oui == 0, pid, np.where(bridged, Kind.ETHERNET, 0)), kind)
    return work.to(rows, kind, np.where(snap, padded + 6, place_next))


def _multilink(work: Layers, rows: Words) -> Words:
    """FRF.16: whole frames only (both the first and the last of its parts)."""
    whole = work.read.u8(work.place[rows]) & 0xC0 == 0xC0
    rows = work.keep(rows, whole, NO_IP)
    return _frame_relay(work, work.to(rows, 0, work.place[rows] + 2))


def _token_ring(work: Layers, rows: Words) -> Words:
    begin = work.place[rows]
    routed = work.read.u8(begin + 8) & 0x80 > 0
    return work.to(rows, Kind.LLC, begin + 14 + np.where(routed, work.read.u8(begin + 14) & 31, 0))


def _sun_atm(work: Layers, rows: Words) -> Words:
    begin = work.place[rows]
    return work.to(rows, np.where(work.read.u8(begin) & 15 == 2, Kind.LLC, 0), begin + 4)


_LINKS: dict[int, tuple[int, Callable[[Layers, Words], Words]]] = {
    0: (4, _loopback),  # NULL
    1: (14, _fixed(Kind.ETHERNET, 0)),
    6: (16, _token_ring),
    8: (16, _fixed(Kind.IP, 16)),  # SLIP
    9: (2, _fixed(Kind.PPP, 0)),
    10: (13, _fixed(Kind.LLC, 13)),  # FDDI
    12: (1, _fixed(Kind.IP, 0)),  # RAW, as some systems number it
    14: (1, _fixed(Kind.IP, 0)),
    50: (2, _fixed(Kind.PPP, 0)),  # PPP in HDLC-like framing
    51: (8, _fixed(Kind.PPPOE, 0)),
    100: (8, _fixed(Kind.LLC, 0)),  # ATM, RFC 1483
    101: (1, _fixed(Kind.IP, 0)),
    104: (4, _at(2, 4)),  # Cisco HDLC
    105: (24, _fixed(Kind.DOT11, 0)),
    107: (4, _frame_relay),
    108: (4, _loopback),  # LOOP
    113: (16, _cooked),
    117: (4, _pflog),
    119: (24, _prism),
    123: (12, _sun_atm),
    127: (8, _radiotap),
    138: (18, _at(16, 18)),  # IP over IEEE 1394
    163: (24, _prism),
    182: (6, _multilink),
    192: (8, _ppi),
    204: (3, _fixed(Kind.PPP, 1)),  # with a direction before
    205: (5, _at(3, 5)),
    228: (1, _fixed(Kind.IP_V4, 0)),
    229: (1, _fixed(Kind.IP_V6, 0)),
    239: (8, _nflog),
    240: (18, _fixed(Kind.ETHERNET, 4)),
    258: (12, _pktap),
    274: (22, _fixed(Kind.ETHERNET, 8)),
    276: (20, _at(0, 20)),  # Linux cooked v2
}
"""LINKTYPE -> (bytes it has at least, how it is read)."""


# --------------------------------------------------------- headers below IP


def _ethernet(work: Layers, rows: Words) -> Words:
    rows = work.room(rows, 14)
    begin = work.place[rows]
    kind = work.read.u16(begin + 12)
    work.station(rows, begin)
    work.to(rows, kind, begin + 14)
    length = kind <= 1500  # 802.3: a length, then LLC
    if length.any():
        short = rows[length]
        work.kind[short] = Kind.LLC
        isl = np.isin(work.read.u32(begin[length]), (0x01000C00, 0x03000C00))  # Cisco ISL: a frame in a frame
        wrapped = short[isl & (work.read.u8(begin[length] + 4) == 0)]
        work.to(wrapped, Kind.ETHERNET, work.place[wrapped] + 12)
    return rows


def _llc(work: Layers, rows: Words) -> Words:
    rows = work.room(rows, 3)
    at = work.place[rows]
    head = work.read.u32(at)
    snap = (head >> 8 == 0xAAAA03) & (at + 8 <= work.end[rows])
    sap = head >> 16 == _SAP_IP
    routed = (head >> 8 == 0xFEFE03) & (head & 0xFF == 0xCC)  # NLPID of IP
    kind = np.where(snap, work.read.u16(at + 6), np.where(sap | routed, Kind.IP_V4, 0))
    kind = np.where(head >> 8 == 0x828203, Kind.LLC_BACNET, kind)
    bridged = snap & (work.read.u32(at + 3) >> 8 == 0x0080C2) & np.isin(work.read.u16(at + 6), (1, 7))
    kind = np.where(bridged, Kind.ETHERNET, kind)
    return work.to(rows, kind, at + np.where(snap, np.where(bridged, 10, 8), np.where(routed, 4, 3)))


def _dot11(work: Layers, rows: Words) -> Words:
    """Data frames in the clear: IEEE 802.11, clause 9.2."""
    rows = work.room(rows, 24)
    at = work.place[rows]
    control, flags = work.read.u8(at), work.read.u8(at + 1)
    turned = (work.kind[rows] == Kind.DOT11_TURNED) & (control & 0x0C != 8) & (flags & 0x0C == 8)
    control, flags = np.where(turned, flags, control), np.where(turned, control, flags)
    plain = (control & 0x0F == 8) & (control & 0x40 == 0) & (flags & 0x40 == 0)  # data, with data, not protected
    plain &= work.read.u16_little(at + 22) & 15 == 0  # and not a later fragment
    rows, at, control, flags = work.keep(rows, plain, NO_IP), at[plain], control[plain], flags[plain]
    quality = control & 0x80 > 0
    size = 24 + np.where(flags & 3 == 3, 6, 0)
    bundle = quality & (work.read.u8(at + size) & 0x80 > 0)  # A-MSDU: the first of its frames
    size = size + np.where(quality, 2, 0) + np.where(quality & (flags & 0x80 > 0), 4, 0) + np.where(bundle, 14, 0)
    return work.to(rows, Kind.LLC, at + size)


def _tag(work: Layers, rows: Words) -> Words:
    rows = work.room(rows, 4)
    at = work.place[rows]
    outer = (work.vlan[rows] < 0) & ~work.found[rows]
    work.vlan[rows[outer]] = work.read.u16(at[outer]) & 0xFFF
    kind = work.read.u16(at + 2)
    return work.to(rows, np.where(kind <= 1500, Kind.LLC, kind), at + 4)


def _mpls(work: Layers, rows: Words) -> Words:
    rows = work.room(rows, 5)
    at = work.place[rows]
    bottom = work.read.u8(at + 2) & 1 == 1
    version = work.read.u8(at + 4) >> 4
    kind = np.where(version == 4, Kind.IP_V4, np.where(version == 6, Kind.IP_V6, 0))
    # A pseudowire (RFC 4448) does not say that it carries Ethernet, nor whether a control word comes first.
    word = (version == 0) & _sensible(work, at + 8)
    bare = (kind == 0) & ~word & _sensible(work, at + 4)
    kind = np.where(word | bare, Kind.ETHERNET, kind)
    return work.to(rows, np.where(bottom, kind, Kind.MPLS), at + 4 + np.where(bottom & word, 4, 0))


def _sensible(work: Layers, at: Words) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    kinds = (Kind.IP_V4, Kind.IP_V6, 0x0806, Kind.MPLS, Kind.PPPOE, *TAGS)
    return np.isin(work.read.u16(at + 12), kinds)


def _pppoe(work: Layers, rows: Words) -> Words:
    rows = work.room(rows, 8)
    at = work.place[rows]
    rows = work.keep(rows, work.read.u16(at) == 0x1100, NO_IP)
    return work.to(rows, Kind.PPP, work.place[rows] + 6)


def _ppp(work: Layers, rows: Words) -> Words:
    """RFC 1661, with or without address and control field, with or without the protocol field compressed."""
    rows = work.room(rows, 2)
    at = work.place[rows]
    at = at + np.where(work.read.u16(at) == 0xFF03, 2, 0)
    first = work.read.u8(at)
    cisco = (first & 0x7F == 0x0F) & (at + 4 <= work.end[rows])  # Cisco HDLC under the same link type
    brief = first & 1 == 1
    protocol = np.where(brief, first, work.read.u16(at))
    kind = np.where(cisco, work.read.u16(at + 2), _table(_PPP, protocol))
    return work.to(rows, kind, at + np.where(cisco, 4, np.where(brief, 1, 2)))


def _trill(work: Layers, rows: Words) -> Words:
    rows = work.room(rows, 6)
    at = work.place[rows]
    options = (work.read.u16(at) >> 6) & 31
    return work.to(rows, Kind.ETHERNET, at + 6 + options * 4)


def _table(table: dict[int, int], values: Words) -> Words:
    found = np.zeros(len(values), np.int64)
    for value, kind in table.items():
        found[values == value] = kind
    return found


def _skip(size: int, kind: int) -> Callable[[Layers, Words], Words]:
    def step(work: Layers, rows: Words) -> Words:
        rows = work.room(rows, size)
        return work.to(rows, kind, work.place[rows] + size)

    return step


def _skip_to_type(size: int) -> Callable[[Layers, Words], Words]:
    """A tag of ``size`` bytes that ends with an EtherType."""

    def step(work: Layers, rows: Words) -> Words:
        rows = work.room(rows, size)
        at = work.place[rows]
        return work.to(rows, work.read.u16(at + size - 2), at + size)

    return step


STEPS: dict[int, Callable[[Layers, Words], Words]] = dict.fromkeys(TAGS, _tag) | {
    Kind.ETHERNET: _ethernet,
    Kind.LLC: _llc,
    Kind.DOT11: _dot11,
    Kind.DOT11_TURNED: _dot11,
    Kind.MPLS: _mpls,
    Kind.MPLS + 1: _mpls,
    Kind.PPPOE: _pppoe,
    Kind.PPP: _ppp,
    _CISCO_META: _skip_to_type(8),
    _VN_TAG: _skip_to_type(6),
    _FABRIC_PATH: _skip(2, Kind.ETHERNET),
    _ITAG: _skip(4, Kind.ETHERNET),
    _TRILL: _trill,
}
"""Headers between link and network layer, by kind."""
