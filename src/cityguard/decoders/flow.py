"""Packets to direction-merged flows: one row per connection, both ways counted.

``Keys`` says who talks to whom, ``Open`` holds the flows under way (``flow_table``, or ``flow_fast`` where numba is
installed), ``rows`` writes those that have ended. Memory follows the number of open flows and not the length of the
capture. Where a capture is cut in pieces changes nothing.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import polars as pl

from cityguard import fast
from cityguard.decoders import address, flow_fast, flow_record, flow_table, tunnel
from cityguard.decoders.flow_table import SLICE, Rows, Slice, Table, Timeouts
from cityguard.decoders.layers import ICMP6, TCP
from cityguard.decoders.packet import FRAGMENTED, INCOMPLETE, OVERLAP, Bools, Packets, Reader, U8s, U64s, Words
from cityguard.model import Frames

MAX_OPEN = 65_536
"""Flows held at most (and a slice of packets more); beyond that those silent for longest are given out: half stay."""
SWEEP = 262_144
"""Packets after which flows that have fallen silent are given out."""
GATHER = 65_536
LINGER = 10 * 1_000_000_000
"""ns of the packets' clock."""

KEYS = ("a_high", "a_low", "b_high", "b_low", "ports", "rest")
_SYN, _FIN, _RST = flow_table.SYN, flow_table.FIN, flow_table.RST

# Answers of ICMP (RFC 792 …) and ICMPv6 (RFC 4443, 4861 …) queries; other types have one way only.
_ICMP_PAIRS = {8: 0, 0: 8, 13: 14, 14: 13, 15: 16, 16: 15, 17: 18, 18: 17, 10: 9, 9: 10}
_ICMP6_PAIRS = {128: 129, 129: 128, 133: 134, 134: 133, 135: 136, 136: 135, 130: 131, 131: 130, 144: 145, 145: 144}
_ICMP6_PAIRS |= {139: 140, 140: 139}
_ANSWERS = np.full(512, -1, np.int64)
_ANSWERS[list(_ICMP_PAIRS)] = list(_ICMP_PAIRS.values())
_ANSWERS[[256 + kind for kind in _ICMP6_PAIRS]] = list(_ICMP6_PAIRS.values())
_SECRET = np.frombuffer(secrets.token_bytes(2 * (2 * len(KEYS) + 1) * 8), np.uint64).reshape(2, -1)
_LOW, _HALF = np.uint64(0xFFFFFFFF), np.uint64(32)
_NO_PORTS = np.zeros(65_536, np.bool_)
_STATES = ("rst", "fin", "established", "syn_only", "one_way")
_MARKS = {FRAGMENTED: "fragmented", OVERLAP: "overlapping_fragments", INCOMPLETE: "incomplete_fragments"}


class _Endpoints(Protocol):
    """What a key is made of; ``packet.Packets`` and ``events.Ends`` have it."""

    @property
    def v6(self) -> Bools: ...
    @property
    def proto(self) -> U8s: ...
    @property
    def source(self) -> tuple[U64s, U64s]: ...
    @property
    def destination(self) -> tuple[U64s, U64s]: ...
    @property
    def source_port(self) -> Words: ...
    @property
    def destination_port(self) -> Words: ...
    @property
    def icmp(self) -> Words: ...
    @property
    def vlan(self) -> Words: ...


class Keys:
    """Who talks to whom, with the ends in a fixed order: a before b by address, then port. Made when first asked."""

    forward: Bools
    a_high: U64s
    a_low: U64s
    b_high: U64s
    b_low: U64s
    ports: U64s
    rest: U64s

    def __init__(self, packets: _Endpoints) -> None:
        self._packets = packets

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        self._make()
        return self.__dict__[name]

    def _make(self) -> None:
        packets = self._packets
        source, destination = _ports(packets)
        (sh, sl), (dh, dl) = packets.source, packets.destination
        swap = (sl > dl) | ((sl == dl) & (source > destination))
        if packets.v6.any():
            swap = (sh > dh) | ((sh == dh) & swap)
        swap &= ~_one_way(packets)
        self.forward = ~swap
        self.a_high, self.b_high = np.where(swap, dh, sh), np.where(swap, sh, dh)
        self.a_low, self.b_low = np.where(swap, dl, sl), np.where(swap, sl, dl)
        first, second = np.where(swap, destination, source), np.where(swap, source, destination)
        self.ports = ((first + 1) << 32 | (second + 1)).view(np.uint64)
        vlan = packets.vlan + 1
        self.rest = (vlan << 9 | packets.v6.astype(np.int64) << 8 | packets.proto).view(np.uint64)

    def take(self, which: Words) -> Keys:
        """A selection, in the given order."""
        taken = object.__new__(Keys)
        taken.forward = self.forward[which]
        for name in KEYS:
            setattr(taken, name, getattr(self, name)[which])
        return taken

    def columns(self) -> dict[str, npt.NDArray[np.uint64]]:
        return {name: getattr(self, name) for name in KEYS}


def digest(keys: dict[str, npt.NDArray[np.uint64]]) -> U64s:
    """64 bits that stand for a key within this process; equal keys, equal digest.

    Two multilinear hashes of 32 bits (Lemire and Kaser, "Strongly universal string hashing is fast") with multipliers
    drawn at start: whatever two keys a sender picks, they meet once in 2**64 draws. Never give a digest out.
    """
    sums = [np.full(len(keys["rest"]), first, np.uint64) for first in _SECRET[:, 0]]
    for place, name in enumerate(KEYS):
        column = keys[name]
        if not column.any():  # adds nothing; the upper halves of IPv4
            continue
        low, high = column & _LOW, column >> _HALF
        for total, factors in zip(sums, _SECRET, strict=True):
            total += low * factors[1 + 2 * place]
            total += high * factors[2 + 2 * place]
    return (sums[0] & ~_LOW) | (sums[1] >> _HALF)


def _pairs(packets: _Endpoints) -> Words:
    """The ICMP type that answers each packet's; -1 where there is none or it is not ICMP."""
    at = (packets.icmp >> 8) + np.where(packets.proto == ICMP6, 256, 0)
    return np.where(packets.icmp < 0, -1, _ANSWERS[np.maximum(at, 0)])


def _one_way(packets: _Endpoints) -> Bools:
    if not (packets.icmp >= 0).any():
        return np.zeros(len(packets.icmp), np.bool_)
    return (packets.icmp >= 0) & (_pairs(packets) < 0)


def _ports(packets: _Endpoints) -> tuple[Words, Words]:
    """Ports; for ICMP the type and its answer's, or type and code, as Community ID has it."""
    source, destination = packets.source_port, packets.destination_port
    if not (packets.icmp >= 0).any():
        return source, destination
    ping, other = packets.icmp >= 0, _pairs(packets)
    code = np.where(other >= 0, other, packets.icmp & 255)
    return np.where(ping, packets.icmp >> 8, source), np.where(ping, code, destination)


@dataclass(frozen=True, slots=True)
class Piece:
    """Packets to be counted."""

    buffer: U8s
    packets: Packets
    keys: Keys


def group(frames: Frames, packets: Packets, keys: Keys) -> Piece:
    """What ``Open.add`` takes: packets, their keys, and the frames whose buffer they point into."""
    return Piece(frames.buffer, packets, keys)


class Open:
    """Flows under way. ``add`` pieces in order; take what has ended with ``closed``, the rest with ``rest``."""

    def __init__(self, timeouts: Timeouts | None = None, *, compiled: bool | None = None) -> None:
        timeouts = timeouts or Timeouts()
        self._compiled = fast.ON if compiled is None else compiled
        self._table: Table | flow_fast.Table = flow_fast.Table(timeouts) if self._compiled else Table(timeouts)
        self._room = flow_record.Room()
        self._idle = timeouts.idle()
        self._seen = 0
        self._newest = 0
        self._given = -1  # the clock of the packets when flows were last given out

    def add(self, piece: Piece) -> None:
        """Count packets; sweeps fall on the same packets however they come in pieces."""
        table, n = self._table, len(piece.packets)
        if not n:
            return
        if isinstance(table, Table):
            hashes = digest(piece.keys.columns())
            for which in self._slices(n):
                table.update(_slice(piece, hashes, which), piece.buffer, self._seen)
                self._counted(which, int(piece.packets.time[which].max()))
        else:
            ways = flow_record.Ways(_NO_PORTS, _NO_PORTS, _NO_PORTS, _ANSWERS, table.secret)
            self._count(table, self._room.of_packets(piece.packets, piece.buffer, ways))

    def read(self, reader: Reader, frames: Frames) -> U8s | None:
        """Count the packets of frames without decoding more of them than flows need, where that is compiled.

        Returns:
            Per frame a code of ``packet.REASONS``; None = nothing was done, decode them and ``add`` the packets.
        """
        table = self._table
        if isinstance(table, Table):
            return None
        ways = flow_record.Ways(*reader.ways(), _ANSWERS, table.secret)
        reason = np.zeros(len(frames), np.uint8)
        plain, rest = self._room.of_frames(frames, ways, reason)
        packets, place = reader.rest(frames, rest, reason)
        self._count(table, self._room.joined(plain, frames, packets, place, ways))
        return reason

    def _count(self, table: flow_fast.Table, batch: flow_record.Batch) -> None:
        for which in self._slices(len(batch)):
            self._counted(which, table.update(batch, which, self._seen))

    def _slices(self, n: int) -> Iterator[slice]:
        start = 0
        while start < n:
            stop = min(n, start + SLICE - self._seen % SLICE, start + SWEEP - self._seen % SWEEP)
            yield slice(start, stop)
            start = stop

    def _counted(self, which: slice, newest: int) -> None:
        self._newest = max(self._newest, newest)
        self._seen += which.stop - which.start
        if self._seen % SWEEP == 0 or (self._seen % SLICE == 0 and self._table.used > MAX_OPEN):
            self._sweep()

    def _sweep(self) -> None:
        rows = self._table.rows[: self._table.used]
        ended = self._newest - rows[:, flow_table.LAST] > self._idle[rows[:, flow_table.REST] & 255]
        left = np.flatnonzero(~ended)
        if len(left) > MAX_OPEN:
            order = np.lexsort((rows[left, flow_table.RANK], rows[left, flow_table.LAST]))
            ended[left[order[: len(left) - MAX_OPEN // 2]]] = True
        self._table.drop(ended)

    def closed(self, *, gather: bool = False) -> pl.DataFrame:
        """Flows that have ended so far.

        Args:
            gather: wait for ``GATHER`` of them, or until ``LINGER`` is over: a table costs much, its rows little.
        """
        count = sum(map(len, self._table.done))
        if self._given < 0:
            self._given = self._newest
        if gather and count < GATHER and self._newest - self._given < LINGER:
            return pl.DataFrame()
        self._given = self._newest
        done, self._table.done = self._table.done, []
        return _table(done)

    def rest(self) -> pl.DataFrame:
        """Everything still open, and what has ended so far."""
        self._table.drop(np.ones(self._table.used, np.bool_))
        return self.closed()


def _slice(piece: Piece, hashes: U64s, which: slice) -> Slice:
    packets, keys = piece.packets, piece.keys
    key = (keys.a_high, keys.a_low, keys.b_high, keys.b_low, keys.ports, keys.rest)
    return Slice(
        (key[0][which], key[1][which], key[2][which], key[3][which], key[4][which], key[5][which]),
        hashes[which],
        keys.forward[which],
        packets.proto[which],
        packets.number[which],
        packets.time[which],
        packets.wire[which],
        packets.size[which],
        packets.flags[which],
        packets.seq[which],
        packets.claimed[which],
        packets.icmp[which],
        packets.mac[which],
        packets.marks[which],
        packets.tunnel[which],
        packets.outer[which],
        packets.outers,
        packets.stations,
    )


_COLUMNS = {
    **dict(zip(KEYS, range(flow_table.A_HIGH, flow_table.REST + 1), strict=True)),
    "first": flow_table.FIRST,
    "start": flow_table.START,
    "end": flow_table.END,
    "packets": flow_table.PACKETS,
    "a_packets": flow_table.A_PACKETS,
    "bytes": flow_table.BYTES,
    "a_bytes": flow_table.A_BYTES,
    "frame_bytes": flow_table.FRAME_BYTES,
    "flags": flow_table.FLAGS,
    "way": flow_table.WAY,
    "icmp": flow_table.ICMP_FIRST,
    "a_mac": flow_table.A_MAC,
    "b_mac": flow_table.B_MAC,
    "marks": flow_table.MARKS,
    "tunnel": flow_table.TUNNEL,
    "outer_a_high": flow_table.OUTER_A_HIGH,
    "outer_a_low": flow_table.OUTER_A_LOW,
    "outer_b_high": flow_table.OUTER_B_HIGH,
    "outer_b_low": flow_table.OUTER_B_LOW,
    "retransmits": flow_table.RETRANSMITS,
    "out_of_order": flow_table.OUT_OF_ORDER,
}
_UNSIGNED = {*KEYS, "outer_a_high", "outer_a_low", "outer_b_high", "outer_b_low"}


def _table(done: list[Rows]) -> pl.DataFrame:
    """Rows that have ended, in order of their first packet, as columns."""
    if not done:
        return pl.DataFrame()
    order = np.argsort(np.concatenate([rows[:, flow_table.RANK] for rows in done]), kind="stable")
    columns = {name: np.concatenate([rows[:, at] for rows in done])[order] for name, at in _COLUMNS.items()}
    return pl.DataFrame(
        {name: column.view(np.uint64) if name in _UNSIGNED else column for name, column in columns.items()}
    )


def rows(table: pl.DataFrame) -> pl.DataFrame:
    """Flows as rows of the dataset ``flow``; the source is who opened it (SYN), else who was heard first."""
    column = {name: table[name].to_numpy() for name in table.columns}
    forward, rest = column["way"] > 0, column["rest"].view(np.int64)
    proto, v6, vlan = rest & 255, (rest >> 8 & 1).astype(np.bool_), (rest >> 9) - 1
    ports, icmp = column["ports"].view(np.int64), column["icmp"]
    a_port = np.where(icmp >= 0, -1, (ports >> 32) - 1)
    b_port = np.where(icmp >= 0, -1, (ports & 0xFFFFFFFF) - 1)
    a, b = (address.text(column[f"{end}_high"], column[f"{end}_low"]) for end in "ab")
    way = pl.Series("way", forward)

    def ends(name: str, one: pl.Series, other: pl.Series) -> list[pl.Series]:
        return [one.zip_with(way, other).alias("source." + name), other.zip_with(way, one).alias("destination." + name)]

    a_bytes, a_packets, start, end = (table[name] for name in ("a_bytes", "a_packets", "start", "end"))
    moments = _moment(start), _moment(end)
    tcp = proto == TCP
    return pl.DataFrame(
        [
            moments[0].alias("@timestamp"),
            table["first"].alias("log.offset"),
            *ends("ip", a, b),
            *ends("port", _number(a_port, pl.Int32), _number(b_port, pl.Int32)),
            *ends("mac", address.mac(column["a_mac"]), address.mac(column["b_mac"])),
            *ends("bytes", a_bytes, table["bytes"] - a_bytes),
            *ends("packets", a_packets, table["packets"] - a_packets),
            address.transport(proto).alias("network.transport"),
            table["bytes"].alias("network.bytes"),
            table["packets"].alias("network.packets"),
            table["frame_bytes"].alias("network.frame_bytes"),
            address.community_id(table, proto, v6, ports).alias("network.community_id"),
            _number(vlan, pl.Int32).alias("network.vlan.id"),
            _tunnels(column["tunnel"]).alias("network.tunnel"),
            *_outer(column, forward),
            moments[0].alias("event.start"),
            moments[1].alias("event.end"),
            (end - start).alias("event.duration"),
            _only(tcp, (column["flags"] | column["flags"] >> 8) & 255, pl.Int32).alias("tcp.flags"),
            _only(tcp, column["retransmits"], pl.Int64).alias("tcp.retransmits"),
            _only(tcp, column["out_of_order"], pl.Int64).alias("tcp.out_of_order"),
            _state(column["flags"], tcp, forward),
            _number(np.where(icmp < 0, -1, icmp >> 8), pl.Int32).alias("icmp.type"),
            _number(np.where(icmp < 0, -1, icmp & 255), pl.Int32).alias("icmp.code"),
            _marks(column["marks"]).alias("event.flags"),
        ]
    )


def _number(values: npt.NDArray[np.generic], kind: type[pl.DataType]) -> pl.Series:
    """Numbers; negative ones become null."""
    series = pl.Series("", values).cast(kind)
    return series.set(series < 0, None)


def _only(where: Bools, values: Words, kind: type[pl.DataType]) -> pl.Series:
    return _number(np.where(where, values, -1), kind)


def _outer(column: dict[str, npt.NDArray[Any]], forward: Bools) -> list[pl.Series]:
    names = ("outer.source.ip", "outer.destination.ip")
    inside = np.flatnonzero(column["tunnel"])
    if not len(inside):
        return [pl.repeat(None, len(forward), dtype=pl.String, eager=True).alias(name) for name in names]
    a, b = (
        address.text(column[f"outer_{end}_high"][inside], column[f"outer_{end}_low"][inside]) for end in "ab"
    )  # fmt: skip
    place = np.zeros(len(forward), np.int64)
    place[inside] = np.arange(len(inside))
    known = pl.Series(np.isin(np.arange(len(forward)), inside))
    way = pl.Series(forward[inside])
    return [
        pl.select(pl.when(known).then(one.zip_with(way, other)[place])).to_series().alias(name)
        for name, one, other in ((names[0], a, b), (names[1], b, a))
    ]


def _tunnels(codes: Words) -> pl.Series:
    """Names of the tunnels gone through, the outermost first; null where there is none."""
    known, inverse = np.unique(codes, return_inverse=True)
    names = [
        [tunnel.NAMES[code >> shift & 15] for shift in range(60, -1, -4) if code >> shift & 15] or None
        for code in known.tolist()
    ]
    return pl.Series("", names, pl.List(pl.String))[inverse]


def _marks(marks: Words) -> pl.Series:
    known, inverse = np.unique(marks, return_inverse=True)
    names = [[name for bit, name in _MARKS.items() if mark & bit] or None for mark in known.tolist()]
    return pl.Series("", names, pl.List(pl.String))[inverse]


def _state(flags: Words, tcp: Bools, forward: Bools) -> pl.Series:
    a, b = flags & 255, flags >> 8
    both, answered = a | b, np.where(forward, b, a) > 0
    code = np.full(len(a), 4)
    code[(both & _SYN > 0) & ~answered] = 3
    code[answered] = 2
    code[both & _FIN > 0] = 1
    code[both & _RST > 0] = 0
    code[~tcp] = 5
    return pl.Series("flow.state", [*_STATES, None], pl.String)[code]


def _moment(time: pl.Series) -> pl.Series:
    series = (time // 1000).cast(pl.Datetime("us", "UTC"))
    return series.set(time <= 0, None)
