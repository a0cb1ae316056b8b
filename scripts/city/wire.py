"""Bytes on the wire, built by hand: a pcap writer and a NetFlow v9 exporter (RFC 3954)."""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_FIELDS = ((8, 4), (12, 4), (7, 2), (11, 2), (4, 1), (6, 1), (1, 4), (2, 4), (22, 4), (21, 4))
_RECORD = struct.Struct("!4s4sHHBBIIII")
_TEMPLATE = 256
_PER_DATAGRAM = 24


@dataclass(frozen=True, slots=True)
class Flow:
    """One exported record, one direction."""

    source: str
    destination: str
    sport: int
    dport: int
    protocol: int
    flags: int
    octets: int
    packets: int
    first: float
    last: float


def pcap(packets: Iterable[tuple[float, bytes]]) -> bytes:
    """A microsecond little-endian pcap of Ethernet frames (LINKTYPE 1)."""
    out = [struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)]
    for time, data in packets:
        out.append(struct.pack("<IIII", int(time), round(time % 1 * 1e6) % 1_000_000, len(data), len(data)) + data)
    return b"".join(out)


def udp(source: str, destination: str, sport: int, dport: int, payload: bytes) -> bytes:
    """An Ethernet frame of one UDP datagram over IPv4, checksum of UDP left at zero (RFC 768 allows it)."""
    length = 28 + len(payload)
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, length, 0, 0x4000, 64, 17, 0, _packed(source), _packed(destination))
    head = head[:10] + struct.pack("!H", _checksum(head)) + head[12:]
    ether = bytes.fromhex("02000a000001") + bytes.fromhex("02000a000002") + b"\x08\x00"
    return ether + head + struct.pack("!HHHH", sport, dport, 8 + len(payload), 0) + payload


def netflow9(flows: Sequence[Flow], boot: float, domain: int) -> list[tuple[float, bytes]]:
    """Datagrams of a v9 exporter: records in order of their end, the template in every 20th datagram."""
    template = struct.pack("!HHHH", 0, 8 + 4 * len(_FIELDS), _TEMPLATE, len(_FIELDS))
    template += b"".join(struct.pack("!HH", *field) for field in _FIELDS)
    ordered = sorted(flows, key=lambda f: (f.last, f.first, f.source, f.destination, f.sport))
    made = []
    for number, start in enumerate(range(0, len(ordered), _PER_DATAGRAM)):
        group = ordered[start : start + _PER_DATAGRAM]
        data = b"".join(_record(flow, boot) for flow in group)
        data += b"\0" * (-len(data) % 4)
        body = (template if number % 20 == 0 else b"") + struct.pack("!HH", _TEMPLATE, 4 + len(data)) + data
        sent = group[-1].last + 0.2
        count = len(group) + (number % 20 == 0)
        made.append((sent, struct.pack("!HHIIII", 9, count, _uptime(sent, boot), int(sent), number, domain) + body))
    return made


def _record(flow: Flow, boot: float) -> bytes:
    return _RECORD.pack(
        _packed(flow.source),
        _packed(flow.destination),
        flow.sport,
        flow.dport,
        flow.protocol,
        flow.flags,
        flow.octets,
        flow.packets,
        _uptime(flow.first, boot),
        _uptime(flow.last, boot),
    )


def _uptime(moment: float, boot: float) -> int:
    return round((moment - boot) * 1000)


def _packed(address: str) -> bytes:
    return ipaddress.IPv4Address(address).packed


def _checksum(head: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(head) // 2}H", head))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
