"""Captured packets to tables: flows, and what their payloads say, by the protocols of ``app/`` and ``ot/``.

Options: ``only`` = ``flow`` (headers alone) or ``netflow`` (only the flow records found in the capture),
``vxlan_ports``, and in seconds ``idle_tcp`` (300), ``idle_other`` (60), ``active`` (1800): what ends a flow's record.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import cache

import numpy as np
import polars as pl

from cityguard.decoders import address, flow, netflow, ot, packet, stream, tunnel
from cityguard.decoders.base import Decoder, Options
from cityguard.decoders.events import End, Talk
from cityguard.decoders.faults import FAULTS, Faults
from cityguard.decoders.flow_table import Timeouts
from cityguard.decoders.known import NOTHING, Carried, Known
from cityguard.decoders.packet import TCP, UDP, Bools, Packets, Read, U8s, U64s, Window, Words
from cityguard.decoders.protocol import Out, Protocol, protocols
from cityguard.decoders.recognise import Recogniser, Seen, fitting
from cityguard.errors import InputError
from cityguard.model import DeadLetter, Decoded, EventBatch, Frames, LogSource

MAX_SHARED = 8_192
"""Conversations over UDP in which two protocols are spoken."""
MAX_SAMPLES = 20
"""Rejected packets shown per piece."""
_SAMPLE_BYTES = 65_536
_NETFLOW = "netflow"
_SECOND = 1_000_000_000


def decoder(options: Options) -> Decoder:
    """The decoder of one capture.

    Raises:
        InputError: an option is not known.
    """
    only = options.get("only", "")
    if only not in ("", "flow", "netflow"):
        raise InputError(f"only: {only!r} is not known", remedy="use flow or netflow, or leave it out")
    ports = options.get("vxlan_ports", list(tunnel.VXLAN_PORTS))
    if not isinstance(ports, list) or not all(isinstance(port, int) and 0 < port < 65_536 for port in ports):
        raise InputError("vxlan_ports: not a list of ports", remedy=f"vxlan_ports: {list(tunnel.VXLAN_PORTS)}")
    if only == "netflow":
        return _Netflow()
    return _Capture(payloads=only != "flow", timeouts=_timeouts(options), vxlan_ports=ports)


def _timeouts(options: Options) -> Timeouts:
    """Seconds that end a flow: ``idle_tcp``, ``idle_other``, ``active``."""
    usual = Timeouts()
    names = {"idle_tcp": usual.tcp, "idle_other": usual.other, "active": usual.active}
    given = {}
    for name, nanoseconds in names.items():
        seconds = options.get(name, nanoseconds // _SECOND)
        if not isinstance(seconds, int) or not 1 <= seconds <= 86_400:
            raise InputError(f"{name}: {seconds!r} is no number of seconds", remedy="1 to 86400")
        given[name] = seconds * _SECOND
    return Timeouts(given["idle_tcp"], given["idle_other"], given["active"])


class _Capture:
    """Flows and payloads of one source."""

    def __init__(self, *, payloads: bool, timeouts: Timeouts, vxlan_ports: list[int]) -> None:
        self._payloads = payloads
        self._reader = packet.Reader(vxlan_ports, payloads=payloads)
        self._open = flow.Open(timeouts)
        self._protocols = protocols()
        self._names: list[str | None] = [None, *(one.name for one in self._protocols)]
        self._recogniser = _recogniser()
        self._outs = [Out(one.name) for one in self._protocols]
        self._speakers = [
            one.speaker(out) if one.speaker else None for one, out in zip(self._protocols, self._outs, strict=True)
        ]
        met = {one.name: speaker for one, speaker in zip(self._protocols, self._speakers, strict=True) if speaker}
        for speaker in met.values():
            speaker.meet(met)
        self._frames = {
            kind: index + 1
            for index, (one, speaker) in enumerate(zip(self._protocols, self._speakers, strict=True))
            if speaker
            for kind in one.frames
        }
        self._faults = Faults(self._names)
        self._columnar = [index + 1 for index, one in enumerate(self._protocols) if one.columnar]
        self._known = Known()
        self._carried = {True: Carried(), False: Carried()}
        self._exports = _Exports()
        kinds = {name: kind for kind, name in enumerate(self._names) if name}
        self._exported = kinds.get(_NETFLOW, 0)
        openers = {
            index + 1: speaker.stream
            for index, speaker in enumerate(self._speakers)
            if speaker and index + 1 not in self._columnar
        }
        self._streams = stream.Streams(openers, kinds, self._faults)
        self._followed = np.array([kind in openers for kind in range(len(self._names))], np.bool_)
        self._spoken = np.array([False, *(speaker is not None for speaker in self._speakers)], np.bool_)
        self._by_first = _by_first()
        self._shared: OrderedDict[tuple[End, End], int] = OrderedDict()  # what else is spoken between two ends

    def decode(self, frames: Frames) -> Decoded:
        if not self._payloads and (reason := self._open.read(self._reader, frames)) is not None:
            batches = self._flows(self._open.closed(gather=True))
            return Decoded(tuple(batches), _samples(frames, reason), int((reason > 0).sum()))
        read = self._reader.decode(frames)
        batches, notes = self._taken(read)
        batches += self._flows(self._open.closed(gather=not self._payloads)) + self._said()
        dead, rejected = _samples(frames, read.reason), int((read.reason > 0).sum())
        return Decoded(tuple(batches), dead, rejected, notes=notes + self._faults.take())

    def _taken(self, read: Read) -> tuple[list[EventBatch], tuple[str, ...]]:
        packets = read.packets
        keys = flow.Keys(packets)
        self._open.add(flow.group(read.frames, packets, keys))
        batches, notes = list[EventBatch](), tuple[str, ...]()
        if self._payloads:
            self._link(read)
        if self._payloads and len(packets):
            hashes = flow.digest(keys.columns())
            batches += self._segments(read)
            exported = self._datagrams(read, hashes)
            batches += exported.batches
            notes = exported.notes
            self._expire(int(packets.time.max()))
        return batches, notes

    def _expire(self, now: int) -> None:
        for kind, speaker in enumerate(self._speakers, 1):
            try:
                if speaker is not None:
                    speaker.expire(now)
            except FAULTS as error:
                self._faults.add(kind, error)

    def flush(self) -> Decoded:
        batches, notes = self._taken(self._reader.flush())
        self._streams.close()
        for kind, speaker in enumerate(self._speakers, 1):
            try:
                if speaker is not None:
                    speaker.close()
            except FAULTS as error:
                self._faults.add(kind, error)
        rest = self._exports.flush()
        batches += self._flows(self._open.rest()) + self._said()
        return Decoded((*batches, *rest.batches), notes=notes + rest.notes + self._faults.take())

    def _link(self, read: Read) -> None:
        """Ethernet frames without IP; those that are understood are no longer rejected."""
        others = read.others
        rows = np.flatnonzero(np.isin(others.ethertype, list(self._frames)) & (others.mac >= 0))
        if not len(rows):
            return
        window, view = Window(read.frames.buffer), read.frames.buffer.data
        mac = others.mac[rows]
        ends = [window.u32(mac + at) << 16 | window.u16(mac + at + 4) for at in (6, 0)]
        columns = (*ends, others.ethertype[rows], others.place[rows], others.end[rows], others.vlan[rows])
        moments = (others.number[rows], others.time[rows])
        known = []
        for source, destination, kind, start, end, vlan, number, time in zip(
            *(column.tolist() for column in (*columns, *moments)), strict=True
        ):
            talk = Talk((0, source, -1), (0, destination, -1), 0, False, vlan, link=True)
            if self._told(self._frames[kind], bytes(view[start:end]), talk, stream.Moment(number, time)):
                known.append(number)
        read.reason[np.isin(read.frames.number[: len(read.reason)], known)] = 0

    def _segments(self, read: Read) -> list[EventBatch]:
        """TCP: connections are recognised by their first payloads and followed by their protocol's parser."""
        buffer, tcp = self._carried[True].join(
            read.frames.buffer, read.packets.take(np.flatnonzero(read.packets.proto == TCP))
        )
        if not len(tcp):
            return []
        keys = flow.Keys(tcp)
        hashes = flow.digest(keys.columns())
        seen = self._look(buffer, tcp, keys, hashes, tcp=True)
        kinds = seen.kinds
        batches = []
        if self._columnar:
            every = np.where(kinds > 0, kinds, self._known.of(hashes))
            for kind in self._columnar:
                batches += self._table(kind, buffer, tcp, keys, hashes, np.flatnonzero(every == kind))
        self._streams.add(buffer, tcp, keys, hashes, np.where(self._followed[kinds], kinds, 0), seen.tells)
        return batches

    def _look(self, buffer: U8s, packets: Packets, keys: flow.Keys, hashes: U64s, *, tcp: bool) -> Seen:
        """What conversations are recognised as in this piece; the packets of those that may be yet are kept."""
        seen = self._recogniser.look(
            buffer, packets, hashes, keys.forward, self._known.of(hashes), tcp=tcp, faults=self._faults
        )
        self._label(hashes, np.where(seen.vain, NOTHING, seen.kinds))
        self._carried[tcp].keep(buffer, packets, np.flatnonzero(seen.waits))
        return seen

    def _table(
        self, kind: int, buffer: U8s, tcp: Packets, keys: flow.Keys, hashes: U64s, rows: Words
    ) -> list[EventBatch]:
        speaker = self._speakers[kind - 1]
        if not len(rows) or speaker is None:
            return []
        try:
            table = speaker.table(buffer, tcp.take(rows), keys.take(rows), hashes[rows])
        except FAULTS as error:
            self._faults.add(kind, error)
            return []
        return [self._batch(kind - 1, "ot", table)] if table.height else []

    def _datagrams(self, read: Read, hashes: U64s) -> Decoded:
        """UDP: exported flows, and the datagrams of conversations whose protocol is known."""
        packets = read.packets
        exports = netflow_rows(read.frames, packets)
        rows = np.flatnonzero((packets.proto == UDP) & (packets.captured > 0) & ~exports)
        self._heard(read.frames.buffer, packets.take(rows))
        sent = np.flatnonzero(exports)
        self._label(hashes[sent], np.full(len(sent), self._exported))
        return self._exports.decode(read.frames, packets.take(sent))

    def _heard(self, buffer: U8s, packets: Packets) -> None:
        buffer, udp = self._carried[False].join(buffer, packets)
        if not len(udp):
            return
        keys = flow.Keys(udp)
        hashes = flow.digest(keys.columns())
        fresh = self._look(buffer, udp, keys, hashes, tcp=False).kinds
        kinds = np.where(fresh > 0, fresh, np.maximum(self._known.of(hashes), 0))
        rows = np.flatnonzero(self._spoken[kinds])
        for kind in np.unique(kinds[rows]).tolist():
            if only := self._protocols[kind - 1].only:
                mine = rows[kinds[rows] == kind]
                rows = np.setdiff1d(rows, mine[~fitting(only, buffer, udp.take(mine))], assume_unique=True)
        view, forward = buffer.data, keys.forward[rows].tolist()
        starts, ends = udp.payload[rows].tolist(), (udp.payload + udp.captured)[rows].tolist()
        columns = (rows, kinds[rows], udp.number[rows], udp.time[rows])
        for row, kind, number, time, ahead, start, end in zip(
            *(column.tolist() for column in columns), forward, starts, ends, strict=True
        ):
            talk, at = stream.talk(udp, keys, row), stream.Moment(number, time)
            data = bytes(view[start:end])
            self._tell(kind, data, talk if ahead else talk.turned(), at)

    def _tell(self, kind: int, data: bytes, talk: Talk, at: stream.Moment) -> None:
        """Give a datagram to its conversation's protocol; one that is not of it to the one whose mark it bears."""
        if self._told(kind, data, talk, at):
            return
        ends = (min(talk.source, talk.destination), max(talk.source, talk.destination))
        another = self._shared.get(ends)
        if another is None:
            another = self._other(data)
            if another in (0, kind):
                return
            self._shared[ends] = another
            if len(self._shared) > MAX_SHARED:
                self._shared.popitem(last=False)
        self._told(another, data, talk, at)

    def _told(self, kind: int, data: bytes, talk: Talk, at: stream.Moment) -> bool:
        """Whether a protocol's speaker takes a datagram; one it trips over is lost, and counted."""
        speaker = self._speakers[kind - 1]
        try:
            return speaker is None or speaker.datagram(data, talk, at)
        except FAULTS as error:
            self._faults.add(kind, error)
            return True

    def _other(self, data: bytes) -> int:
        for other in self._by_first.get(data[0], ()) if data else ():
            one = self._protocols[other]
            try:
                if any(mark.fits(data) for mark in one.marks) and one.starts(data[:512], False):
                    return other + 1
            except FAULTS as error:
                self._faults.add(other + 1, error)
        return 0

    def _label(self, hashes: U64s, kinds: Words) -> None:
        mine = np.flatnonzero(kinds)
        first = mine[np.sort(np.unique(hashes[mine], return_index=True)[1])]  # as they came, whatever their digests
        self._known.tell(hashes[first], kinds[first])

    def _flows(self, table: pl.DataFrame) -> list[EventBatch]:
        if not table.height:
            return []
        codes = np.maximum(self._known.of(flow.digest({name: table[name].to_numpy() for name in flow.KEYS})), 0)
        rows = flow.rows(table)
        answered = ((rows["source.packets"] > 0) & (rows["destination.packets"] > 0)).to_numpy()
        ports = np.where(answered & (codes == 0), rows["destination.port"].fill_null(-1).to_numpy(), -1)
        for transport, kinds in _ports().items():  # the payload did not tell: go by the port
            mine = (rows["network.transport"] == transport).fill_null(False).to_numpy() & (ports >= 0)
            codes[mine] = kinds[ports[mine]]
        named = pl.Series("network.protocol", self._names, pl.String)[codes]
        return [EventBatch("flow", "capture", rows.with_columns(named), logsource=_FLOW)]

    def _said(self) -> list[EventBatch]:
        """What the speakers have to tell."""
        batches = list[EventBatch]()
        for index, out in enumerate(self._outs):
            try:
                batches += [self._batch(index, dataset, table) for dataset, table in out.take()]
            except FAULTS as error:
                out.clear()
                self._faults.add(index + 1, error)
        return batches

    def _batch(self, index: int, dataset: str, table: pl.DataFrame) -> EventBatch:
        one = self._protocols[index]
        return EventBatch(dataset, "capture", table, logsource=one.sources.get(dataset) or _source(one, dataset))


@cache
def _recogniser() -> Recogniser:
    return Recogniser(protocols())


@cache
def _ports() -> dict[str, Words]:
    """Transport -> int64[65536]: the first protocol that names a port, 0 = none.

    A field bus over UDP is known by its first datagram or not at all: its port is anybody's.
    """
    tables = {"tcp": np.zeros(65_536, np.int64), "udp": np.zeros(65_536, np.int64)}
    for index, one in reversed(list(enumerate(protocols()))):
        tables["tcp"][list(one.tcp)] = index + 1
        if one.speaker is None or not one.speaker.__module__.startswith(ot.__name__):
            tables["udp"][list(one.udp)] = index + 1
    return tables


@cache
def _by_first() -> dict[int, list[int]]:
    """First byte of a datagram -> protocols over UDP whose mark may fit it."""
    table: dict[int, list[int]] = {}
    for index, one in enumerate(protocols()):
        for first in {mark.value[0] for mark in one.marks if one.over(tcp=False) and not mark.offset and not mark.mask}:
            table.setdefault(first, []).append(index)
    return table


_FLOW = LogSource(("network",), (), ("connection",))


def _source(protocol: Protocol, dataset: str) -> LogSource:
    """What Sigma calls rows of a protocol that does not say: as Zeek calls its logs, or a command of its field bus."""
    if dataset == "ot":
        return LogSource(("ot_command",), (protocol.name,), ())
    return LogSource(("network",), ("zeek",), (protocol.name,))


class _Netflow:
    """Only the flow records carried by the capture's datagrams; every other packet is rejected."""

    def __init__(self) -> None:
        self._reader = packet.Reader()
        self._exports = _Exports()

    def decode(self, frames: Frames) -> Decoded:
        read = self._reader.decode(frames)
        packets, reason = read.packets, read.reason
        rows = np.flatnonzero(netflow_rows(read.frames, packets))
        found = self._exports.decode(read.frames, packets.take(rows))
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
    """Which UDP datagrams carry exported flows: by header on the usual ports, by all its marks elsewhere."""
    udp: Bools = (packets.proto == UDP) & (packets.captured >= 16)
    read, at = Window(frames.buffer), packets.payload
    version, size = read.u16(at), read.u16(at + 2)
    usual = np.isin(packets.destination_port, netflow.PORTS) | np.isin(packets.source_port, netflow.PORTS)
    found: Bools = udp & usual & netflow.headed(version, size)
    whole = udp & ~found & (packets.captured == packets.claimed)
    view = frames.buffer.data
    for row in np.flatnonzero(whole & netflow.likely(version, size, packets.claimed)).tolist():
        start = int(at[row])
        found[row] = netflow.is_export(bytes(view[start : start + int(packets.claimed[row])]))
    return found


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
