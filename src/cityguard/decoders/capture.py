"""Captured packets to tables: flows, and what their payloads say (DNS, HTTP, TLS, Modbus, exported NetFlow).

Options: ``only`` = ``flow`` (headers alone) or ``netflow`` (only the flow records found in the capture).
"""

from __future__ import annotations

import numpy as np
import polars as pl

from cityguard.decoders import address, dns, events, flow, http, netflow, packet, stream, tls
from cityguard.decoders.base import Decoder, Options
from cityguard.decoders.ot import modbus
from cityguard.decoders.packet import TCP, UDP, Bools, Packets, U8s, U64s, Window, Words
from cityguard.errors import InputError
from cityguard.model import DeadLetter, Decoded, EventBatch, Frames, LogSource

MAX_SAMPLES = 20
"""Rejected packets shown per piece."""
MAX_LABELS = 500_000
_SAMPLE_BYTES = 65_536

_SOURCES = {
    "flow": LogSource(("network",), (), ("connection",)),
    "dns": LogSource(("dns", "network"), (), ("dns",)),
    "http": LogSource(("webserver", "proxy", "network"), (), ("http",)),
    "tls": LogSource(("network",), (), ("tls", "ssl")),
    "ot": LogSource(("ot_command",), ("modbus",), ()),
}
_TLS, _HTTP, _DNS = 1, 2, 3
_LABELS = [None, "tls", "http", "dns", "modbus", "netflow", "ssh", "rdp", "smb", "smtp", "ftp", "snmp", "ntp", "iec104"]
_LABELS += ["s7comm", "enip", "bacnet", "dnp3", "opcua"]
# Named by port where the payload did not tell, and only if both sides spoke.
_BY_PORT = {443: 1, 80: 2, 53: 3, 502: 4, 22: 6, 3389: 7, 445: 8, 25: 9, 21: 10, 161: 11, 123: 12, 2404: 13, 102: 14}
_BY_PORT |= {44818: 15, 47808: 16, 20000: 17, 4840: 18}
_HTTP_PORTS, _TLS_PORTS = (80, 8000, 8080), (443, 8443)
_STARTS = np.array([int.from_bytes(method, "big") for method in (*http.METHODS, b"HTTP")], np.int64)


def decoder(options: Options) -> Decoder:
    """The decoder of one capture.

    Raises:
        InputError: an option is not known.
    """
    only = options.get("only", "")
    if only not in ("", "flow", "netflow"):
        raise InputError(f"only: {only!r} is not known", remedy="use flow or netflow, or leave it out")
    return _Netflow() if only == "netflow" else _Capture(payloads=only != "flow")


class _Capture:
    """Flows and payloads of one source."""

    def __init__(self, *, payloads: bool) -> None:
        self._payloads = payloads
        self._open = flow.Open()
        self._labels: dict[int, int] = {}
        self._dns = dns.Transactions()
        self._http, self._tls = events.Rows("http"), events.Rows("tls")
        self._modbus, self._exports = modbus.Modbus(), _Exports()
        self._streams = stream.Streams(
            {
                _TLS: lambda ends: tls.Handshake(self._tls, ends),
                _HTTP: lambda ends: http.Conversation(self._http, ends),
                _DNS: lambda ends: dns.Tcp(self._dns, ends),
            }
        )

    def decode(self, frames: Frames) -> Decoded:
        packets, reason = packet.decode(frames)
        keys = flow.Keys(packets)
        self._open.add(flow.group(frames, packets, keys))
        batches, notes = list[EventBatch](), tuple[str, ...]()
        if self._payloads and len(packets):
            hashes = flow.digest(keys.columns())
            self._streamed(frames, packets, keys, hashes)
            self._datagrams(frames, packets, keys, hashes)
            self._dns.expire(int(packets.time.max()))
            batches += self._ot(frames, packets, keys, hashes)
            exported = self._exported(frames, packets, hashes)
            batches += exported.batches
            notes = exported.notes
        batches += self._flows(self._open.closed()) + self._application()
        return Decoded(tuple(batches), _samples(frames, reason), int((reason > 0).sum()), notes=notes)

    def flush(self) -> Decoded:
        self._streams.close()
        self._dns.close()
        rest = self._exports.flush()
        return Decoded(tuple(self._flows(self._open.rest()) + self._application()) + rest.batches, notes=rest.notes)

    def _streamed(self, frames: Frames, packets: Packets, keys: flow.Keys, hashes: U64s) -> None:
        rows = np.flatnonzero(packets.proto == TCP)
        tcp = packets.take(rows)
        kinds = _kinds(frames, tcp)
        self._label(hashes[rows], np.where(tcp.captured < 6, 0, kinds))
        self._streams.add(frames, tcp, keys.take(rows), hashes[rows], kinds)

    def _datagrams(self, frames: Frames, packets: Packets, keys: flow.Keys, hashes: U64s) -> None:
        ports = np.isin(packets.source_port, dns.PORTS) | np.isin(packets.destination_port, dns.PORTS)
        rows = np.flatnonzero((packets.proto == UDP) & ports & (packets.captured >= 12))
        view, good = frames.buffer.data, list[int]()
        starts, ends = packets.payload[rows].tolist(), (packets.payload + packets.captured)[rows].tolist()
        for row, start, end in zip(rows.tolist(), starts, ends, strict=True):
            ends_ = stream.talk(packets, keys, row)
            talk = ends_ if keys.forward[row] else ends_.turned()
            at = stream.Moment(int(packets.number[row]), int(packets.time[row]))
            if self._dns.add(bytes(view[start:end]), talk, at):
                good.append(row)
        self._label(hashes[good], np.full(len(good), _DNS))

    def _ot(self, frames: Frames, packets: Packets, keys: flow.Keys, hashes: U64s) -> list[EventBatch]:
        port = (packets.source_port == modbus.PORT) | (packets.destination_port == modbus.PORT)
        rows = np.flatnonzero((packets.proto == TCP) & port)
        if not len(rows):
            return []
        table = self._modbus.decode(frames.buffer, packets.take(rows), keys.take(rows), hashes[rows])
        if not table.height:
            return []
        seen = np.isin(packets.number, table["log.offset"].to_numpy())
        self._label(hashes[seen], np.full(int(seen.sum()), 4))
        return [EventBatch("ot", "capture", table, logsource=_SOURCES["ot"])]

    def _exported(self, frames: Frames, packets: Packets, hashes: U64s) -> Decoded:
        rows = np.flatnonzero(netflow_rows(frames, packets))
        self._label(hashes[rows], np.full(len(rows), 5))
        return self._exports.decode(frames, packets.take(rows))

    def _label(self, hashes: U64s, kinds: Words) -> None:
        mine = np.flatnonzero(kinds)
        first = np.sort(np.unique(hashes[mine], return_index=True)[1])  # as they came, whatever their digests
        for key, kind in zip(hashes[mine][first].tolist(), kinds[mine][first].tolist(), strict=True):
            if len(self._labels) < MAX_LABELS:
                self._labels.setdefault(key, kind)

    def _flows(self, table: pl.DataFrame) -> list[EventBatch]:
        if not table.height:
            return []
        hashes = flow.digest({name: table[name].to_numpy() for name in flow.KEYS})
        rows = flow.rows(table)
        ports = rows["destination.port"].replace_strict(_BY_PORT, default=0)
        answered = (rows["source.packets"] > 0) & (rows["destination.packets"] > 0)
        codes = (ports.fill_null(0) * answered).to_numpy()
        if self._labels:
            known = np.fromiter(self._labels, np.uint64, len(self._labels))
            order = np.argsort(known)
            at = np.minimum(np.searchsorted(known, hashes, sorter=order), len(known) - 1)
            seen = np.fromiter(self._labels.values(), np.int64, len(known))[order][at]
            codes = np.where(known[order][at] == hashes, seen, codes)
        named = pl.Series("network.protocol", _LABELS, pl.String)[codes]
        return [EventBatch("flow", "capture", rows.with_columns(named), logsource=_SOURCES["flow"])]

    def _application(self) -> list[EventBatch]:
        return [
            EventBatch(
                rows.dataset,
                "capture",
                table.with_columns(pl.lit(rows.dataset).alias("network.protocol")),
                logsource=_SOURCES[rows.dataset],
            )
            for rows in (self._dns.rows, self._http, self._tls)
            for table in rows.take()
        ]


class _Netflow:
    """Only the flow records carried by the capture's datagrams; every other packet is rejected."""

    def __init__(self) -> None:
        self._exports = _Exports()

    def decode(self, frames: Frames) -> Decoded:
        packets, reason = packet.decode(frames)
        rows = np.flatnonzero(netflow_rows(frames, packets))
        found = self._exports.decode(frames, packets.take(rows))
        other = np.setdiff1d(packets.number, packets.number[rows], assume_unique=True)
        reason[np.isin(frames.number, other)] = len(packet.REASONS)
        rejected = int((reason > 0).sum()) + found.rejected
        return Decoded(
            found.batches, (_samples(frames, reason) + found.dead)[:MAX_SAMPLES], rejected, notes=found.notes
        )

    def flush(self) -> Decoded:
        return self._exports.flush()


class _Exports:
    """NetFlow and IPFIX datagrams of a capture, each by its sender."""

    def __init__(self) -> None:
        self._decoder = netflow.Exports()

    def decode(self, frames: Frames, packets: Packets) -> Decoded:
        if not len(packets):
            return Decoded()
        peers = address.text(*packets.source).to_list()
        payloads = Frames(
            frames.buffer,
            packets.payload,
            packets.captured,
            packets.number,
            packets.time,
            packets.claimed,
            np.zeros(len(packets), np.int32),
        )
        return self._decoder.decode_from(payloads, peers)

    def flush(self) -> Decoded:
        return self._decoder.flush()


def netflow_rows(frames: Frames, packets: Packets) -> Bools:
    """Which UDP datagrams carry NetFlow or IPFIX: by header on the usual ports, by all its marks elsewhere."""
    udp: Bools = (packets.proto == UDP) & (packets.captured >= 16)
    read, at = Window(frames.buffer), packets.payload
    version, size = read.u16(at), read.u16(at + 2)
    usual = np.isin(packets.destination_port, netflow.PORTS) | np.isin(packets.source_port, netflow.PORTS)
    found: Bools = udp & usual & np.isin(version, (5, 9, 10))
    whole = udp & ~found & (packets.captured == packets.claimed)
    five = (version == 5) & (size > 0) & (size <= 30) & (packets.claimed == 24 + size * 48)
    nine = (version == 9) & (size > 0) & (size < 1000) & (packets.claimed > 24)
    ten = (version == 10) & (size == packets.claimed)
    view = frames.buffer.data
    for row in np.flatnonzero(whole & (five | nine | ten)).tolist():
        start = int(at[row])
        found[row] = netflow.is_export(bytes(view[start : start + int(packets.claimed[row])]))
    return found


def _kinds(frames: Frames, tcp: Packets) -> Words:
    """Which conversation a payload starts, 0 = none: by its first bytes, for DNS by port."""
    read, at = Window(frames.buffer), tcp.payload
    kinds = np.zeros(len(tcp), np.int64)
    some = np.flatnonzero(tcp.captured >= 6)
    first, second = read.u32(at[some]), read.u16(at[some] + 4)
    hello = ((first >> 16 == 0x1603) | (first >> 16 == 0x1601)) & (first >> 8 & 0xFF < 5)
    kinds[some[hello & np.isin(second & 0xFF, (1, 2))]] = _TLS
    kinds[some[np.isin(first, _STARTS)]] = _HTTP
    tiny = (tcp.claimed > 0) & (tcp.captured < 6)  # too short to tell by itself: go by port
    for ports, kind in ((_HTTP_PORTS, _HTTP), (_TLS_PORTS, _TLS)):
        kinds[tiny & (np.isin(tcp.source_port, ports) | np.isin(tcp.destination_port, ports))] = kind
    port = np.flatnonzero((tcp.claimed > 0) & ((tcp.source_port == 53) | (tcp.destination_port == 53)))
    size, flags, asked = (read.u16(at[port] + place) for place in (0, 4, 6))
    likely = (tcp.captured[port] < 14) | ((size >= 12) & (flags >> 11 & 15 <= 6) & (asked <= 16))
    kinds[port[likely]] = _DNS
    return kinds


def _samples(frames: Frames, reason: U8s) -> tuple[DeadLetter, ...]:
    """The first few rejected packets, different reasons first."""
    bad = np.flatnonzero(reason)
    _, firsts = np.unique(reason[bad], return_index=True)
    chosen = np.fromiter(dict.fromkeys([*bad[firsts], *bad[:MAX_SAMPLES]]), np.int64)[:MAX_SAMPLES]
    names = (*packet.REASONS, "no NetFlow or IPFIX")
    return tuple(
        DeadLetter("capture", int(frames.number[at]), names[reason[at]], frames.item(at)[:_SAMPLE_BYTES])
        for at in chosen.tolist()
    )
