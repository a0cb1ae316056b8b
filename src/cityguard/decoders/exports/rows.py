"""Records of one template to rows of the dataset ``flow``.

An element that has a column of the schema goes there; every other one becomes a native column under its IANA name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from cityguard.decoders import address
from cityguard.decoders.address import Bools, U64s, Words
from cityguard.decoders.events import Ends
from cityguard.decoders.exports import times, values
from cityguard.decoders.exports.template import OUTER, Place
from cityguard.decoders.exports.values import Records
from cityguard.decoders.flow import Keys

ICMP, TCP, ICMP6 = 1, 6, 58
_MAPPED = 0xFFFF_0000_0000
MAX_UNKNOWN = 64
"""Columns for elements nobody named, per template."""

Names = tuple[tuple[int, int], ...]


def _of(*numbers: int) -> Names:
    return tuple((0, number) for number in numbers)


_BACK = 29305
# Column <- elements that may fill it, the best first; what is not taken stays a native column.
_BYTES, _PACKETS = _of(1, 231, 85), _of(2, 298, 86)
_BACK_BYTES = (*_of(232), (_BACK, 1), (_BACK, 85), (3054, 176))
_BACK_PACKETS = (*_of(299), (_BACK, 2), (_BACK, 86), (3054, 177))
_PORTS = {"source.port": _of(7, 182, 180), "destination.port": _of(11, 183, 181)}
_NATS = {"source.nat.ip": _of(225, 281, 40001), "destination.nat.ip": _of(226, 282, 40002)}
_OUTERS = {"outer.source.ip": ((OUTER, 8), (OUTER, 27)), "outer.destination.ip": ((OUTER, 12), (OUTER, 28))}
_NAT_PORTS = {"source.nat.port": _of(227, 40003), "destination.nat.port": _of(228, 40004)}
_MACS = {"source.mac": _of(56, 365, 81), "destination.mac": _of(80, 57)}
LONGS = {
    "source.as.number": _of(16),
    "destination.as.number": _of(17),
    "observer.ingress.interface.id": _of(10),
    "observer.egress.interface.id": _of(14),
    "network.frame_bytes": _of(352, 353),
}
_TEXTS = {"user.name": _of(371, 40000, 56702), "network.application": _of(96, 56701)}
_RATES, _SAMPLERS = _of(34, 50, 305), _of(302, 48)
REASONS = ("", "idle_timeout", "active_timeout", "end_of_flow", "forced_end", "lack_of_resources")
WAYS = ("inbound", "outbound")
_FIREWALL = ("ignored", "flow_created", "flow_deleted", "flow_denied", "flow_alert", "flow_updated")
_NAT_EVENTS = {
    1: "nat_created",
    2: "nat_deleted",
    3: "nat_exhausted",
    4: "nat44_created",
    5: "nat44_deleted",
    6: "nat64_created",
    7: "nat64_deleted",
    8: "nat44_bib_created",
    9: "nat44_bib_deleted",
    10: "nat64_bib_created",
    11: "nat64_bib_deleted",
    12: "nat_ports_exhausted",
    13: "quota_exceeded",
    14: "address_binding_created",
    15: "address_binding_deleted",
    16: "port_block_allocated",
    17: "port_block_released",
    18: "threshold_reached",
}


@dataclass(frozen=True, slots=True)
class Origin:
    """Where records came from, one entry per record."""

    number: Words  # of the datagram
    received: Words  # ns, 0 = unknown
    exported: Words  # ns
    boot: Words  # ms since 1970 when the exporter started, 0 = unknown
    rate: Words  # 1 of N as its exporter told, -1 = unknown
    peer: pl.Series  # String


class _Taken:
    """The fields of a template, and which of them have found their column."""

    def __init__(self, records: Records) -> None:
        self.records = records
        self.places = records.template.places
        self.used: set[tuple[int, int]] = set()

    def first(self, names: Names) -> Place | None:
        return next((self.places[name] for name in names if name in self.places), None)

    def number(self, names: Names, *, better: bool = False) -> Words | None:
        """The first of some elements that is there; with ``better`` another one where that is 0."""
        out: Words | None = None
        for name in names:
            place = self.places.get(name)
            if place is None:
                continue
            if out is None:
                out = values.unsigned(self.records, place)
                self.used.add(name)
                if not better:
                    return out
            elif (out <= 0).any():
                out = np.where(out > 0, out, values.unsigned(self.records, place))
        return out


def table(records: Records, origin: Origin, samplers: Mapping[int, int], *, community_id: bool) -> pl.DataFrame:
    """Rows of ``records``, in their order.

    Args:
        records: of one template of flows.
        origin: of each record.
        samplers: rates by sampler id, as their exporter told.
        community_id: whether ``network.community_id`` is worked out.
    """
    taken, n = _Taken(records), len(records)
    found = times.read(records, origin, taken.used)
    proto = _or(taken.number(_of(4)), n)
    source, destination, six = _addresses(taken, n)
    icmp = _icmp(taken, proto, n)
    ping = icmp >= 0
    ports = {name: _or(taken.number(names, better=True), n) for name, names in _PORTS.items()}
    portless = (proto == ICMP) | (proto == ICMP6)
    if portless.any():
        ports = {name: np.where(portless, -1, port) for name, port in ports.items()}
    told_vlan = taken.number(_of(58, 243), better=True)
    vlan = np.where(_or(told_vlan, n) > 0, _or(told_vlan, n) & 0xFFF, -1)
    columns = [
        *found.columns,
        pl.Series("log.offset", origin.number),
        values.address_text(*source).alias("source.ip"),
        _count("source.port", ports["source.port"], pl.Int32),
        values.address_text(*destination).alias("destination.ip"),
        _count("destination.port", ports["destination.port"], pl.Int32),
        _transport(proto),
        _count("network.vlan.id", vlan, pl.Int32),
        origin.peer.alias("observer.ip"),
        *_volume(taken, n),
        *_macs(taken, n),
        _count("tcp.flags", _flags(taken, proto, n), pl.Int32, n),
        _rate(taken, origin, samplers),
        _count("icmp.type", np.where(ping, icmp >> 8, -1), pl.Int32),
        _count("icmp.code", np.where(ping, icmp & 255, -1), pl.Int32),
        _word("flow.state", REASONS, taken.number(_of(136)), n),
        _word("network.direction", WAYS, taken.number(_of(61)), n),
    ]
    if community_id:
        ends = Ends(
            origin.number,
            found.time,
            six,
            np.clip(proto, 0, 255).astype(np.uint8),
            source,
            destination,
            ports["source.port"],
            ports["destination.port"],
            vlan,
            icmp,
        )
        columns.append(community(ends, proto))
    columns += _told(taken, n)
    return pl.DataFrame(columns + _native(taken, {column.name for column in columns}))


def _or(found: Words | None, n: int) -> Words:
    return np.full(n, -1, np.int64) if found is None else found


def _count(name: str, found: Words | None, kind: type[pl.Int32] | type[pl.Int64], n: int = 0) -> pl.Series:
    """Numbers where negative, or what the type does not hold, stands for unknown."""
    if found is None:
        return pl.Series(name, [None], kind).new_from_index(0, n)
    none = found < 0
    if kind is pl.Int32:
        none |= found >= 1 << 31
        found = np.where(none, 0, found).astype(np.int32) if none.any() else found.astype(np.int32)
    out = pl.Series(name, found)
    return out.set(pl.Series(none), None) if none.any() else out


def _word(name: str, words: tuple[str, ...], found: Words | None, n: int) -> pl.Series:
    if found is None:
        return pl.Series(name, [None], pl.String).new_from_index(0, n)
    inside = (found >= 0) & (found < len(words))
    known = [word or None for word in words]
    return pl.Series(name, [*known, None], pl.String)[np.where(inside, found, len(words))]


def _transport(proto: Words) -> pl.Series:
    if not len(proto) or (proto == proto[0]).all():
        name = address.transport(proto[:1])[0] if len(proto) and 0 <= proto[0] < 256 else None
        return pl.Series("network.transport", [name], pl.String).new_from_index(0, len(proto))
    out = address.transport(np.clip(proto, 0, 255)).alias("network.transport")
    none = (proto < 0) | (proto > 255)
    return out.set(pl.Series(none), None) if none.any() else out


def _addresses(taken: _Taken, n: int) -> tuple[tuple[U64s, U64s], tuple[U64s, U64s], Bools]:
    source, destination = _side(taken, _of(8, 366, 44), _of(27, 170), n), _side(taken, _of(12, 45), _of(28, 169), n)
    return source, destination, version_six(source, destination)


def version_six(*sides: tuple[U64s, U64s]) -> Bools:
    """Whether an end of each record has an IPv6 address."""
    six = np.zeros(len(sides[0][0]), np.bool_)
    for high, low in sides:
        if high.any() or not (low >> np.uint64(32) == 0xFFFF).all():
            six |= (high != 0) | ((low >> np.uint64(32) != 0xFFFF) & (low != 0))
    return six


def _side(taken: _Taken, fours: Names, sixes: Names, n: int) -> tuple[U64s, U64s]:
    """One end: IPv4 unless there is none or it is 0.0.0.0 and the IPv6 address is not ::."""
    four, six = taken.first(fours), taken.first(sixes)
    taken.used.update(place.name for place in (four, six) if place is not None)
    if four is not None:
        high, low = values.halves(taken.records, four)
        if six is None:
            return high, low
        upper, lower = values.halves(taken.records, six)
        turn = (low == _MAPPED) & ((upper | lower) != 0)
        return np.where(turn, upper, high), np.where(turn, lower, low)
    if six is not None:
        return values.halves(taken.records, six)
    return np.zeros(n, np.uint64), np.full(n, _MAPPED, np.uint64)


def _icmp(taken: _Taken, proto: Words, n: int) -> Words:
    """Type * 256 + code of ICMP flows, -1 of others.

    Many exporters put it into the destination port; some put the type alone there, which is told by a type 0 whose
    code would not be 0.
    """
    mine = (proto == ICMP) | (proto == ICMP6)
    told = _or(taken.number(_of(32, 139), better=True), n)
    kind, code = taken.number(_of(176, 178), better=True), taken.number(_of(177, 179), better=True)
    if not mine.any():
        return np.full(n, -1, np.int64)
    if kind is not None:
        told = np.where(kind >= 0, np.maximum(told, kind << 8 | np.maximum(_or(code, n), 0)), told)
    port = _or(taken.number(_PORTS["destination.port"]), n)
    port = np.where((port > 0) & (port < 256), port << 8, port)
    found = np.maximum(told, port) & 0xFFFF
    return np.where(mine & (np.maximum(told, port) >= 0) & ((found > 0) | (proto == ICMP)), found, -1)


def _volume(taken: _Taken, n: int) -> list[pl.Series]:
    out = []
    for names, back, what in ((_BYTES, _BACK_BYTES, "bytes"), (_PACKETS, _BACK_PACKETS, "packets")):
        one, other = taken.number(names, better=True), taken.number(back, better=True)
        total = one
        if other is not None:
            mine = _or(one, n)
            both = np.minimum(np.maximum(mine, 0), 1 << 62) + np.minimum(np.maximum(other, 0), (1 << 62) - 1)
            total = np.where(np.maximum(mine, other) < 0, -1, both)
        out += [
            _count(f"source.{what}", one, pl.Int64, n),
            _count(f"destination.{what}", other, pl.Int64, n),
            _count(f"network.{what}", total, pl.Int64, n),
        ]
    return out


def _macs(taken: _Taken, n: int) -> list[pl.Series]:
    out = []
    for name, names in _MACS.items():
        found = taken.number(names, better=True)
        if found is None:
            out.append(pl.Series(name, [None], pl.String).new_from_index(0, n))
        else:
            out.append(address.mac(np.where((found > 0) & (found < 1 << 48), found, -1)).alias(name))
    return out


def _flags(taken: _Taken, proto: Words, n: int) -> Words | None:
    found = taken.number(_of(6))
    return None if found is None else np.where((proto == TCP) | (proto < 0), found, -1)


def _rate(taken: _Taken, origin: Origin, samplers: Mapping[int, int]) -> pl.Series:
    """1 of N: as the record says, as its sampler does, as its exporter does; 1 of 1 and 0 are no sampling."""
    rate = origin.rate
    sampler = taken.first(_SAMPLERS)
    if sampler is not None and samplers:
        known, inverse = np.unique(values.unsigned(taken.records, sampler), return_inverse=True)
        told = np.array([samplers.get(int(one), -1) for one in known], np.int64)[inverse]
        rate = np.where(told > 0, told, rate)
    own = taken.number(_RATES, better=True)
    space = taken.places.get((0, 306))
    if own is not None and space is not None:
        apart = values.unsigned(taken.records, space)
        own = np.where((own > 0) & (apart > 0), (own + apart) // np.maximum(own, 1), own)
    rate = rate if own is None else np.where(own > 0, own, rate)
    return sampling(rate)


def sampling(rate: Words) -> pl.Series:
    """1 of N; 1 of 1 and less are no sampling."""
    if not (rate > 1).any():
        return pl.Series("flow.sampling", [None], pl.Int32).new_from_index(0, len(rate))
    return _count("flow.sampling", np.where(rate > 1, rate, -1), pl.Int32)


def _told(taken: _Taken, n: int) -> list[pl.Series]:
    """Columns that only some templates fill."""
    out = list[pl.Series]()
    for name, names in LONGS.items():
        found = taken.number(names)
        if found is not None:
            if name.endswith("as.number"):
                found = np.where(found > 0, found, -1)
            out.append(_count(name, found, pl.Int64, n))
    for name, names in (*_NATS.items(), *_OUTERS.items()):
        place = taken.first(names)
        if place is not None:
            taken.used.add(place.name)
            out.append(values.address_text(*values.halves(taken.records, place)).alias(name))
    for name, names in _NAT_PORTS.items():
        found = taken.number(names)
        if found is not None:
            out.append(_count(name, np.where(found > 0, found, -1), pl.Int32, n))
    for name, names in _TEXTS.items():
        place = taken.first(names)
        made = values.series(taken.records, place) if place is not None else None
        if place is not None and made is not None:
            taken.used.add(place.name)
            out.append(made.alias(name))
    return out + _actions(taken, n) + _labels(taken)


def _actions(taken: _Taken, n: int) -> list[pl.Series]:
    """``event.action`` of firewall (NSEL) and NAT events; the numbers stay as native columns."""
    wall, nat = taken.first(_of(233, 40005)), taken.first(_of(230))
    if wall is not None:
        return [_word("event.action", _FIREWALL, values.unsigned(taken.records, wall), n)]
    if nat is not None:
        words = tuple(_NAT_EVENTS.get(one, "") for one in range(max(_NAT_EVENTS) + 1))
        return [_word("event.action", words, values.unsigned(taken.records, nat), n)]
    return []


def _labels(taken: _Taken) -> list[pl.Series]:
    """Labels of a stack given section by section, outermost first, as text; a section of zeros is none."""
    mine = [taken.places[name] for name in _of(*range(70, 80)) if name in taken.places]
    mine = [place for place in mine if place.size == 3 and place.at >= 0]
    if not mine:
        return []
    taken.used.update(place.name for place in mine)
    sections = [values.unsigned(taken.records, place) for place in mine]
    texts = [
        pl.Series(f"{nth}", one >> 4).cast(pl.String).set(pl.Series(one <= 0), None) for nth, one in enumerate(sections)
    ]
    joined = pl.DataFrame(texts).select(pl.concat_str(pl.all(), separator=",", ignore_nulls=True)).to_series()
    return [joined.set(joined == "", None).alias("mplsLabelStack")]


def _native(taken: _Taken, names: set[str]) -> list[pl.Series]:
    out, unknown = list[pl.Series](), 0
    for name, place in taken.places.items():
        if name in taken.used or place.what.name in names or name == (0, 210):
            continue
        unknown += not place.what.known
        if unknown > MAX_UNKNOWN and not place.what.known:
            continue
        made = values.series(taken.records, place)
        if made is not None:
            names.add(made.name)
            out.append(made)
    return out


def community(ends: Ends, proto: Words) -> pl.Series:
    """Community ID v1 of each record; null where the protocol is not told, or told as a number that is none."""
    keys = Keys(ends)
    one = pl.DataFrame({name: getattr(keys, name) for name in ("a_high", "a_low", "b_high", "b_low")})
    ids = address.community_id(one, np.clip(proto, 0, 255), ends.v6, keys.ports.astype(np.int64))
    none = (proto < 0) | (proto > 255)
    return (ids.set(pl.Series(none), None) if none.any() else ids).alias("network.community_id")
