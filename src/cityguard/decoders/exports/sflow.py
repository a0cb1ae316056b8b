"""sFlow version 5 (sflow.org, "sFlow Version 5", 2004; drop notifications 2020) to rows.

One row of ``flow`` per sampled packet (``flow.sampling`` says for how many it stands) and one of ``host`` per counter
sample of an interface.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cityguard.decoders import address
from cityguard.decoders.address import Words
from cityguard.decoders.exports.notes import Notes
from cityguard.decoders.exports.sequence import Sequences
from cityguard.model import Frames

PORT = 6343
MAX_TEXT = 1_024
MAX_RECORDS = 256
"""Records read of one sample."""
_RAW, _ETHERNET, _IP4, _IP6 = 1, 2, 3, 4
_LINKS = {1: 1, 7: 9, 11: 228, 12: 229, 15: 105}  # header protocol -> LINKTYPE

_words = {n: struct.Struct(f">{n}I").unpack_from for n in range(1, 14)}
_long = struct.Struct(">Q").unpack_from


@dataclass(slots=True)
class Sample:
    """One packet that an agent looked at, or dropped."""

    number: int  # of the datagram
    time: int  # ns, when it came
    peer: str
    agent: str
    flag: int
    rate: int = -1
    input: int = -1
    output: int = -1
    header: tuple[int, int, int, int] | None = None  # LINKTYPE, place in the buffer, bytes there, bytes on the wire
    told: dict[str, Any] = field(default_factory=dict)  # columns by what the agent worked out itself


@dataclass(slots=True)
class Counters:
    """One counter sample."""

    number: int
    time: int
    peer: str
    told: dict[str, Any]


@dataclass(slots=True)
class Found:
    """What some datagrams held."""

    samples: list[Sample] = field(default_factory=list)
    counters: list[Counters] = field(default_factory=list)


class Sflow:
    """Reads datagrams; knows nothing but the sequence numbers."""

    def __init__(self, sequences: Sequences, notes: Notes) -> None:
        self._sequences, self._notes = sequences, notes

    def decode(self, frames: Frames, which: Words, peers: Sequence[str]) -> Found:
        """Samples of the datagrams ``which``. What is cut short costs the rest of its datagram only."""
        out = Found()
        view, numbers = frames.buffer.data, frames.number
        for row, peer in zip(which.tolist(), peers, strict=True):
            start = int(frames.offset[row])
            raw = bytes(view[start : start + int(frames.length[row])])
            before = len(out.samples) + len(out.counters)
            try:
                whole = self._datagram(raw, start, int(numbers[row]), int(frames.time[row]), peer, out)
            except (struct.error, IndexError):
                whole = False
            if not whole and before == len(out.samples) + len(out.counters):
                self._notes.reject(frames, row, "sFlow without a sample that can be read")
            elif not whole:
                self._notes.add("sFlow datagram cut short")
        return out

    def _datagram(self, raw: bytes, start: int, number: int, time: int, peer: str, out: Found) -> bool:
        agent, place = _address(raw, 4)
        if agent is None:
            return False
        sub, sequence, _, count = _words[4](raw, place)
        place += 16
        flag = self._follow(peer, agent, sub, sequence)
        while count and place + 8 <= len(raw):
            kind, size = _words[2](raw, place)
            end = place + 8 + size
            if end > len(raw):
                return False
            self._sample(raw, place + 8, end, start, kind, Sample(number, time, peer, agent, flag), out)
            place, count = end, count - 1
        return not count

    def _follow(self, peer: str, agent: str, sub: int, sequence: int) -> int:
        flags = np.zeros(1, np.int64)
        self._notes.follow(self._sequences, (f"{peer} {agent}"[:120], 0, sub), [0], [sequence], [1], flags)
        return int(flags[0])

    def _sample(self, raw: bytes, place: int, end: int, start: int, kind: int, sample: Sample, out: Found) -> None:
        """One sample; what it does not hold is left out, what nobody specified is counted."""
        body = raw[:end]
        try:
            if kind in (1, 3, 5):
                out.samples.append(_flow(body, place, start, kind, sample))
            elif kind in (2, 4):
                out.counters.append(_counter(body, place, kind, sample))
            else:
                self._notes.add("sFlow sample of a kind not known")
        except (struct.error, IndexError):
            self._notes.add("sFlow sample cut short")


def _flow(raw: bytes, place: int, start: int, kind: int, sample: Sample) -> Sample:
    if kind == 1:
        _, source, rate, pool, drops, inside, outside, count = _words[8](raw, place)
        place += 32
        sample.rate, sample.told["sflow.source"] = rate, source & 0xFFFFFF
        sample.input, sample.output = _interface(inside), _interface(outside)
    elif kind == 3:
        _, _, source, rate, pool, drops, form, inside, other, outside, count = _words[11](raw, place)
        place += 44
        sample.rate, sample.told["sflow.source"] = rate, source
        sample.input = inside if form == 0 and inside != 0x3FFFFFFF else -1
        sample.output = outside if other == 0 and outside != 0x3FFFFFFF else -1
    else:
        _, _, source, drops, inside, outside, reason, count = _words[8](raw, place)
        place, pool = place + 32, 0
        sample.input, sample.output = _interface(inside), _interface(outside)
        sample.told |= {"event.action": "dropped", "sflow.source": source, "sflow.dropReason": reason}
    sample.told |= {"sflow.drops": drops, "sflow.pool": pool}
    for form, at, end in _records(raw, place, count):
        read = _FLOW.get(form)
        if form == _RAW:
            _raw(raw, at, end, start, sample)
        elif read is not None:
            sample.told |= {name: value for name, value in read(raw[:end], at).items() if name not in sample.told}
    return sample


def _records(raw: bytes, place: int, count: int) -> Iterator[tuple[int, int, int]]:
    """(format, begin, end) of the records of a sample; enterprises other than 0 carry theirs in the upper bits."""
    for _ in range(min(count, MAX_RECORDS)):
        form, size = _words[2](raw, place)
        begin, place = place + 8, place + 8 + size
        if place > len(raw):
            return
        yield form, begin, place


def _interface(value: int) -> int:
    """An interface's index; -1 for several, none, or one not known."""
    return value if value >> 30 == 0 and value != 0x3FFFFFFF else -1


def _raw(raw: bytes, at: int, end: int, start: int, sample: Sample) -> None:
    kind, length, stripped, size = _words[4](raw, at)
    size = min(size, end - at - 16)
    link = _LINKS.get(kind, -1)
    if sample.header is None and link >= 0 and size > 0:
        sample.header = (link, start + at + 16, size, max(length, size))
    sample.told |= {"network.frame_bytes": length}
    if stripped:
        sample.told["sflow.stripped"] = stripped


def _address(raw: bytes, at: int) -> tuple[str | None, int]:
    """An address and what follows it."""
    (kind,) = _words[1](raw, at)
    size = {1: 4, 2: 16}.get(kind, 0)
    if not size:
        return None, at + 4
    if at + 4 + size > len(raw):
        raise IndexError
    return address.one(raw[at + 4 : at + 4 + size]), at + 4 + size


def _text(raw: bytes, at: int) -> tuple[str | None, int]:
    (size,) = _words[1](raw, at)
    if at + 4 + size > len(raw):
        raise IndexError
    return raw[at + 4 : at + 4 + min(size, MAX_TEXT)].decode("utf-8", "replace") or None, at + 4 + (size + 3 & ~3)


def _ethernet(raw: bytes, at: int) -> dict[str, Any]:
    (length,) = _words[1](raw, at)
    kind = _words[1](raw, at + 20)[0]
    return {
        "network.frame_bytes": length,
        "source.mac": raw[at + 4 : at + 10].hex(":"),
        "destination.mac": raw[at + 12 : at + 18].hex(":"),
        "ethernetType": kind,
    }


def _ip(width: int) -> Callable[[bytes, int], dict[str, Any]]:
    def read(raw: bytes, at: int) -> dict[str, Any]:
        length, proto = _words[2](raw, at)
        source, destination = raw[at + 8 : at + 8 + width], raw[at + 8 + width : at + 8 + 2 * width]
        one, other, flags, tos = _words[4](raw, at + 8 + 2 * width)
        return {
            "source.bytes": length,
            "proto": proto,
            "source.ip": address.one(source),
            "destination.ip": address.one(destination),
            "source.port": one,
            "destination.port": other,
            "tcp.flags": flags,
            "ipClassOfService": tos,
        }

    return read


def _switch(raw: bytes, at: int) -> dict[str, Any]:
    one, priority, other, behind = _words[4](raw, at)
    return {"vlan": one, "dot1qPriority": priority, "postVlanId": other, "sflow.destinationPriority": behind}


def _router(raw: bytes, at: int) -> dict[str, Any]:
    hop, at = _address(raw, at)
    source, destination = _words[2](raw, at)
    name = "ipNextHopIPv6Address" if hop and ":" in hop else "ipNextHopIPv4Address"
    return {name: hop, "sourcePrefixLength": source, "destinationPrefixLength": destination}


def _gateway(raw: bytes, at: int) -> dict[str, Any]:
    hop, at = _address(raw, at)
    own, source, before, count = _words[4](raw, at)
    at += 16
    path: list[int] = []
    for _ in range(min(count, 64)):
        _, size = _words[2](raw, at)
        if at + 8 + 4 * size > len(raw):
            raise IndexError
        path += struct.unpack_from(f">{min(size, 256)}I", raw, at + 8)
        at += 8 + 4 * size
    (count,) = _words[1](raw, at)
    if at + 8 + 4 * count > len(raw):
        raise IndexError
    told = [f"{one >> 16}:{one & 0xFFFF}" for one in struct.unpack_from(f">{min(count, 64)}I", raw, at + 4)]
    name = "bgpNextHopIPv6Address" if hop and ":" in hop else "bgpNextHopIPv4Address"
    out = {name: hop, "source.as.number": source or own or None, "bgpPrevAdjacentAsNumber": before or None}
    if path:
        out |= {"destination.as.number": path[-1], "bgpNextAdjacentAsNumber": path[0]}
        out["bgpDestinationAsPath"] = " ".join(map(str, path[:64]))
    if told:
        out["bgpCommunities"] = ",".join(told)
    return out | {"bgpLocalPreference": _words[1](raw, at + 4 + 4 * count)[0]}


def _user(raw: bytes, at: int) -> dict[str, Any]:
    source, at = _text(raw, at + 4)
    destination, _ = _text(raw, at + 4)
    return {"user.name": source, "destinationUserName": destination}


def _url(raw: bytes, at: int) -> dict[str, Any]:
    url, at = _text(raw, at + 4)
    host, _ = _text(raw, at)
    return {"httpRequestTarget": url, "httpRequestHost": host}


def _nat(raw: bytes, at: int) -> dict[str, Any]:
    source, at = _address(raw, at)
    return {"source.nat.ip": source, "destination.nat.ip": _address(raw, at)[0]}


def _nat_ports(raw: bytes, at: int) -> dict[str, Any]:
    source, destination = _words[2](raw, at)
    return {"source.nat.port": source, "destination.nat.port": destination}


def _mpls(raw: bytes, at: int) -> dict[str, Any]:
    _, at = _address(raw, at)
    (count,) = _words[1](raw, at)
    labels = struct.unpack_from(f">{min(count, 32)}I", raw, at + 4)
    return {"mplsLabelStack": ",".join(str(one >> 12) for one in labels) or None}


_FLOW: dict[int, Callable[[bytes, int], dict[str, Any]]] = {
    _ETHERNET: _ethernet,
    _IP4: _ip(4),
    _IP6: _ip(16),
    1001: _switch,
    1002: _router,
    1003: _gateway,
    1004: _user,
    1005: _url,
    1006: _mpls,
    1007: _nat,
    1020: _nat_ports,
    1036: lambda raw, at: {"sflow.egressQueue": _words[1](raw, at)[0]},
    1037: lambda raw, at: {
        "sflow.aclNumber": _words[1](raw, at)[0],
        "sflow.aclName": _text(raw, at + 4)[0],
        "sflow.aclDirection": _words[1](raw, _text(raw, at + 4)[1])[0],
    },
    1038: lambda raw, at: {"sflow.function": _text(raw, at)[0]},
}

# Names of IF-MIB (RFC 2863) and EtherLike-MIB (RFC 3635); a trailing 8 = 64 bits.
_INTERFACE = (
    "ifIndex ifType ifSpeed8 ifDirection ifStatus ifInOctets8 ifInUcastPkts ifInMulticastPkts ifInBroadcastPkts "
    "ifInDiscards ifInErrors ifInUnknownProtos ifOutOctets8 ifOutUcastPkts ifOutMulticastPkts ifOutBroadcastPkts "
    "ifOutDiscards ifOutErrors ifPromiscuousMode"
)
_ETHERLIKE = (
    "dot3StatsAlignmentErrors dot3StatsFCSErrors dot3StatsSingleCollisionFrames dot3StatsMultipleCollisionFrames "
    "dot3StatsSQETestErrors dot3StatsDeferredTransmissions dot3StatsLateCollisions dot3StatsExcessiveCollisions "
    "dot3StatsInternalMacTransmitErrors dot3StatsCarrierSenseErrors dot3StatsFrameTooLongs "
    "dot3StatsInternalMacReceiveErrors dot3StatsSymbolErrors"
)
_VLAN = "vlanId vlanOctets8 vlanUcastPkts vlanMulticastPkts vlanBroadcastPkts vlanDiscards"
_CPU = "cpu5s cpu1m cpu5m memoryTotal8 memoryFree8"
_COUNTERS = {1: _INTERFACE.split(), 2: _ETHERLIKE.split(), 5: _VLAN.split(), 1001: _CPU.split()}


def _counter(raw: bytes, place: int, kind: int, sample: Sample) -> Counters:
    told: dict[str, Any] = {"sflow.agent": sample.agent}
    if kind == 2:
        told["sflow.sequence"], source, count = _words[3](raw, place)
        told["sflow.source"], told["sflow.sourceType"] = source & 0xFFFFFF, source >> 24
        place += 12
    else:
        told["sflow.sequence"], told["sflow.sourceType"], told["sflow.source"], count = _words[4](raw, place)
        place += 16
    other: list[str] = []
    for form, at, end in _records(raw, place, count):
        names = _COUNTERS.get(form)
        if names is None:
            other.append(f"{form >> 12}.{form & 0xFFF}:{end - at}")
            continue
        for name in names:
            if name.endswith("8"):
                told[name[:-1]] = min(_long(raw[:end], at)[0], (1 << 63) - 1)
            else:
                (told[name],) = _words[1](raw[:end], at)
            at += 8 if name.endswith("8") else 4
    if other:
        told["sflow.others"] = ",".join(other)  # enterprise.format:bytes
    return Counters(sample.number, sample.time, sample.peer, told)
