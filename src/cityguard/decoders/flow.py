"""Packets to direction-merged flows: one row per connection, both ways counted.

Each piece is grouped by itself; the small tables are merged as they pile up, so memory follows the number of
open flows and not the length of the capture. A silence longer than ``IDLE`` ends a flow.
"""

from __future__ import annotations

import secrets
from typing import Protocol

import numpy as np
import numpy.typing as npt
import polars as pl

from cityguard.decoders import address
from cityguard.decoders.packet import ICMP6, TCP, Bools, Packets, U8s, U64s, Window, Words
from cityguard.model import Frames

IDLE = 300 * 1_000_000_000
"""ns of silence that end a flow."""
MAX_OPEN = 2_000_000
"""Flows held at most; beyond that all are given out, and what follows begins new ones."""
_MERGE = 500_000  # rows of unmerged tables that are worth a merge

KEYS = ("a_high", "a_low", "b_high", "b_low", "ports", "rest")
_SYN, _FIN, _RST, _ACK = 0x02, 0x01, 0x04, 0x10
_LATER = 1 << 61

# Answers of ICMP (RFC 792 …) and ICMPv6 (RFC 4443, 4861 …) queries; other types have one way only.
_ICMP_PAIRS = {8: 0, 0: 8, 13: 14, 14: 13, 15: 16, 16: 15, 17: 18, 18: 17, 10: 9, 9: 10}
_ICMP6_PAIRS = {128: 129, 129: 128, 133: 134, 134: 133, 135: 136, 136: 135, 130: 131, 131: 130, 144: 145, 145: 144}
_ICMP6_PAIRS |= {139: 140, 140: 139}
_SECRET = np.frombuffer(secrets.token_bytes(2 * (2 * len(KEYS) + 1) * 8), np.uint64).reshape(2, -1)
_LOW, _HALF = np.uint64(0xFFFFFFFF), np.uint64(32)
_STATES = ("rst", "fin", "established", "syn_only", "one_way")


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
    """Who talks to whom, with the ends in a fixed order: a before b by address, then port."""

    def __init__(self, packets: _Endpoints) -> None:
        source, destination = _ports(packets)
        (sh, sl), (dh, dl) = packets.source, packets.destination
        swap = (sh > dh) | ((sh == dh) & ((sl > dl) | ((sl == dl) & (source > destination))))
        swap &= ~_one_way(packets)
        self.forward: Bools = ~swap
        self.a_high, self.b_high = np.where(swap, dh, sh), np.where(swap, sh, dh)
        self.a_low, self.b_low = np.where(swap, dl, sl), np.where(swap, sl, dl)
        first, second = np.where(swap, destination, source), np.where(swap, source, destination)
        self.ports: U64s = ((first + 1) << 32 | (second + 1)).astype(np.uint64)
        vlan = packets.vlan + 1
        self.rest: U64s = (vlan << 9 | packets.v6.astype(np.int64) << 8 | packets.proto).astype(np.uint64)

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
    table = np.full(512, -1, np.int64)
    for base, pairs in ((0, _ICMP_PAIRS), (256, _ICMP6_PAIRS)):
        for kind, other in pairs.items():
            table[base + kind] = other
    at = (packets.icmp >> 8) + np.where(packets.proto == ICMP6, 256, 0)
    return np.where(packets.icmp < 0, -1, table[np.maximum(at, 0)])


def _one_way(packets: _Endpoints) -> Bools:
    return (packets.icmp >= 0) & (_pairs(packets) < 0)


def _ports(packets: _Endpoints) -> tuple[Words, Words]:
    """Ports; for ICMP the type and its answer's, or type and code, as Community ID has it."""
    source, destination = packets.source_port, packets.destination_port
    if not (packets.icmp >= 0).any():
        return source, destination
    ping, other = packets.icmp >= 0, _pairs(packets)
    code = np.where(other >= 0, other, packets.icmp & 255)
    return np.where(ping, packets.icmp >> 8, source), np.where(ping, code, destination)


def group(frames: Frames, packets: Packets, keys: Keys) -> pl.DataFrame:
    """Flows of one piece, unmerged. Columns: the key, ``first last start end first_time last_time origin``, sums."""
    if not len(packets):
        return pl.DataFrame()
    forward, tcp = keys.forward, packets.proto == TCP
    syn = tcp & ((packets.flags & _SYN) > 0)
    opener = forward ^ ((packets.flags & _ACK) > 0)  # a SYN/ACK speaks for the other side
    row, number = np.arange(len(packets)), packets.number
    origin = np.where(syn, number * 2 + opener, _LATER + number * 2 + forward)
    columns = keys.columns() | {
        "row": row,
        "time": packets.time,
        "origin": origin,
        "packets": np.ones(len(row), np.int64),
        "a_packets": forward.astype(np.int64),
        "bytes": packets.size,
        "a_bytes": np.where(forward, packets.size, 0),
        "frame_bytes": packets.wire,
        "a_flags": np.where(forward, packets.flags, 0).astype(np.uint8),
        "b_flags": np.where(forward, 0, packets.flags).astype(np.uint8),
    }
    table = _sum(pl.DataFrame(columns), [*KEYS])
    table = _split(table, columns, packets)
    return _first(frames, packets, keys, table)


def _sum(table: pl.DataFrame, by: list[str]) -> pl.DataFrame:
    return table.group_by(by).agg(
        pl.col("row").min().alias("first"),
        pl.col("row").max().alias("last"),
        pl.col("time").min().alias("start"),
        pl.col("time").max().alias("end"),
        pl.col("origin").min(),
        pl.col("packets", "a_packets", "bytes", "a_bytes", "frame_bytes").sum(),
        pl.col("a_flags", "b_flags").bitwise_or(),
    )


def _split(table: pl.DataFrame, columns: dict[str, npt.NDArray[np.generic]], packets: Packets) -> pl.DataFrame:
    """Cut flows with a silence in them. Only those that last longer than ``IDLE`` are looked at twice."""
    long = (table["end"] - table["start"]) > IDLE
    if not long.any():
        return table
    hashes = digest({name: columns[name] for name in KEYS})  # type: ignore[misc]
    suspects = table.filter(long)
    mine = np.flatnonzero(np.isin(hashes, digest({name: suspects[name].to_numpy() for name in KEYS})))
    mine = mine[np.lexsort((packets.number[mine], hashes[mine]))]
    gap = np.diff(packets.time[mine], prepend=packets.time[mine[:1]]) > IDLE
    new = np.diff(hashes[mine], prepend=hashes[mine[:1]]) != 0
    again = pl.DataFrame({name: column[mine] for name, column in columns.items()} | {"epoch": np.cumsum(gap | new)})
    rest = table.join(again.select(KEYS).unique(), on=KEYS, how="anti")
    return pl.concat([rest, _sum(again, [*KEYS, "epoch"]).drop("epoch").select(rest.columns)])


def _first(frames: Frames, packets: Packets, keys: Keys, table: pl.DataFrame) -> pl.DataFrame:
    """Add what the first and last packet of a flow alone can say."""
    at, last = table["first"].to_numpy(), table["last"].to_numpy()
    mac, read = packets.mac[at], Window(frames.buffer)
    destination = read.u32(mac) << 16 | read.u16(mac + 4)
    source = read.u32(mac + 6) << 16 | read.u16(mac + 10)
    forward = keys.forward[at]
    return table.with_columns(
        pl.Series("first", packets.number[at]),
        pl.Series("last", packets.number[last]),
        pl.Series("first_time", packets.time[at]),
        pl.Series("last_time", packets.time[last]),
        pl.Series("icmp", packets.icmp[at]),
        pl.Series("a_mac", np.where(mac < 0, -1, np.where(forward, source, destination))),
        pl.Series("b_mac", np.where(mac < 0, -1, np.where(forward, destination, source))),
    )


class Open:
    """Flows under way. ``add`` pieces in order; take what has ended with ``closed``, the rest with ``rest``."""

    def __init__(self) -> None:
        self._parts: list[pl.DataFrame] = []
        self._rows = self._merged = 0

    def add(self, piece: pl.DataFrame) -> None:
        if piece.height:
            self._parts.append(piece)
            self._rows += piece.height

    def closed(self) -> pl.DataFrame:
        """Flows that ended, once enough has piled up to be worth looking; often none."""
        if self._rows < max(_MERGE, 2 * self._merged):
            return pl.DataFrame()
        table = self._merge()
        newest = int(table["last_time"].to_numpy().max())
        ended = (newest - table["last_time"]) > IDLE
        if int((~ended).sum()) > MAX_OPEN:
            ended = pl.Series([True]).new_from_index(0, table.height)
        self._keep(table.filter(~ended))
        return table.filter(ended)

    def rest(self) -> pl.DataFrame:
        """Everything still open, in order of first packet."""
        table = self._merge() if self._parts else pl.DataFrame()
        self._parts, self._rows, self._merged = [], 0, 0
        return table

    def _keep(self, table: pl.DataFrame) -> None:
        self._parts, self._rows, self._merged = [table], table.height, table.height

    def _merge(self) -> pl.DataFrame:
        if len(self._parts) == 1:
            return self._parts[0].sort("first")
        table = pl.concat(self._parts)
        hashes = digest({name: table[name].to_numpy() for name in KEYS})
        table = (
            table.with_columns(pl.Series("hash", hashes)).sort("hash", "first").drop("hash")
        )  # one flow's rows together, in time
        same = np.ones(table.height - 1, np.bool_)
        for name in KEYS:
            column = table[name].to_numpy()
            same &= column[1:] == column[:-1]
        silence = table["first_time"].to_numpy()[1:] - table["last_time"].to_numpy()[:-1]
        begins = np.concatenate([[True], ~same | (silence > IDLE)])
        heads = np.flatnonzero(begins)
        tails = np.append(heads[1:], table.height) - 1
        out = {name: table[name].to_numpy()[heads] for name in (*KEYS, "first", "first_time", "icmp", "a_mac", "b_mac")}
        out |= {name: table[name].to_numpy()[tails] for name in ("last", "last_time")}
        for name in ("packets", "a_packets", "bytes", "a_bytes", "frame_bytes"):
            out[name] = np.add.reduceat(table[name].to_numpy(), heads)
        for name in ("start", "origin"):
            out[name] = np.minimum.reduceat(table[name].to_numpy(), heads)
        out["end"] = np.maximum.reduceat(table["end"].to_numpy(), heads)
        for name in ("a_flags", "b_flags"):
            out[name] = np.bitwise_or.reduceat(table[name].to_numpy(), heads)
        return pl.DataFrame(out).select(table.columns).sort("first")


def rows(table: pl.DataFrame) -> pl.DataFrame:
    """Flows as rows of the dataset ``flow``; the source is who opened it (SYN), else who was heard first."""
    forward = (table["origin"].to_numpy() & 1).astype(np.bool_)
    rest = table["rest"].to_numpy().astype(np.int64)
    proto, v6, vlan = rest & 255, (rest >> 8 & 1).astype(np.bool_), (rest >> 9) - 1
    ports = table["ports"].to_numpy().astype(np.int64)
    a_port, b_port = (ports >> 32) - 1, (ports & 0xFFFFFFFF) - 1
    icmp = table["icmp"].to_numpy()
    a, b = (address.text(table[f"{end}_high"].to_numpy(), table[f"{end}_low"].to_numpy()) for end in "ab")
    way = pl.Series("way", forward)

    def ends(name: str, one: pl.Series, other: pl.Series) -> list[pl.Series]:
        return [one.zip_with(way, other).alias("source." + name), other.zip_with(way, one).alias("destination." + name)]

    def number(values: npt.NDArray[np.generic], kind: type[pl.DataType]) -> pl.Series:
        series = pl.Series("", values).cast(kind)
        return series.set(series < 0, None)

    a_port, b_port = np.where(icmp >= 0, -1, a_port), np.where(icmp >= 0, -1, b_port)
    a_bytes, a_packets = table["a_bytes"], table["a_packets"]
    start, end = table["start"], table["end"]
    return pl.DataFrame(
        [
            _moment(start).alias("@timestamp"),
            table["first"].alias("log.offset"),
            *ends("ip", a, b),
            *ends("port", number(a_port, pl.Int32), number(b_port, pl.Int32)),
            *ends("mac", address.mac(table["a_mac"].to_numpy()), address.mac(table["b_mac"].to_numpy())),
            *ends("bytes", a_bytes, table["bytes"] - a_bytes),
            *ends("packets", a_packets, table["packets"] - a_packets),
            address.transport(proto).alias("network.transport"),
            table["bytes"].alias("network.bytes"),
            table["packets"].alias("network.packets"),
            table["frame_bytes"].alias("network.frame_bytes"),
            address.community_id(table, proto, v6, ports).alias("network.community_id"),
            number(vlan, pl.Int32).alias("network.vlan.id"),
            _moment(start).alias("event.start"),
            _moment(end).alias("event.end"),
            (end - start).alias("event.duration"),
            _flags(table, proto),
            _state(table, proto, forward),
            number(np.where(icmp < 0, -1, icmp >> 8), pl.Int32).alias("icmp.type"),
            number(np.where(icmp < 0, -1, icmp & 255), pl.Int32).alias("icmp.code"),
        ]
    )


def _flags(table: pl.DataFrame, proto: Words) -> pl.Series:
    flags = (table["a_flags"] | table["b_flags"]).cast(pl.Int32)
    return flags.set(pl.Series(proto != TCP), None).alias("tcp.flags")


def _state(table: pl.DataFrame, proto: Words, forward: Bools) -> pl.Series:
    a, b = table["a_flags"].to_numpy(), table["b_flags"].to_numpy()
    both, answered = a | b, np.where(forward, b, a) > 0
    code = np.full(len(a), 4)
    code[(both & _SYN > 0) & ~answered] = 3
    code[answered] = 2
    code[both & _FIN > 0] = 1
    code[both & _RST > 0] = 0
    code[proto != TCP] = 5
    return pl.Series("flow.state", [*_STATES, None], pl.String)[code]


def _moment(time: pl.Series) -> pl.Series:
    series = (time // 1000).cast(pl.Datetime("us", "UTC"))
    return series.set(time <= 0, None)
