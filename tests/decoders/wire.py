"""Packets and captures built by hand, byte by byte."""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from cityguard.decoders import capture
from cityguard.model import Decoded, Frames
from cityguard.sources import pcap

CLIENT, SERVER = "10.0.0.1", "10.0.0.2"
MACS = bytes.fromhex("020000000002020000000001")  # destination, source
START = 1_700_000_000 * 10**9
SYN, ACK, FIN, RST, PUSH = 0x02, 0x10, 0x01, 0x04, 0x08


def ether(payload: bytes, kind: int = 0x0800, macs: bytes = MACS) -> bytes:
    return macs + struct.pack(">H", kind) + payload


def ip4(source: str, destination: str, proto: int, payload: bytes, *, fragment: int = 0, options: bytes = b"") -> bytes:
    size = 20 + len(options)
    head = struct.pack(">BBHHHBBH", 0x40 | size // 4, 0, size + len(payload), 1, fragment, 64, proto, 0)
    return head + ipaddress.ip_address(source).packed + ipaddress.ip_address(destination).packed + options + payload


def ip6(source: str, destination: str, proto: int, payload: bytes) -> bytes:
    head = struct.pack(">IHBB", 6 << 28, len(payload), proto, 64)
    return head + ipaddress.ip_address(source).packed + ipaddress.ip_address(destination).packed + payload


def udp(source: int, destination: int, payload: bytes) -> bytes:
    return struct.pack(">HHHH", source, destination, 8 + len(payload), 0) + payload


def tcp(source: int, destination: int, payload: bytes = b"", *, seq: int = 0, flags: int = ACK) -> bytes:
    return struct.pack(">HHIIBBHHH", source, destination, seq % 2**32, 0, 0x50, flags, 8192, 0, 0) + payload


def frames(packets: Sequence[bytes], *, times: Sequence[int] | None = None, link: int = 1) -> Frames:
    """One piece; packets a millisecond apart unless told."""
    size = np.array([len(packet) for packet in packets], np.int64)
    return Frames(
        np.frombuffer(b"".join(packets), np.uint8),
        np.cumsum(size) - size,
        size,
        np.arange(1, len(packets) + 1),
        np.array(times if times is not None else [START + i * 10**6 for i in range(len(packets))], np.int64),
        size.copy(),
        np.full(len(packets), link, np.int32),
    )


def savefile(packets: Sequence[bytes], *, order: str = "<", nano: bool = False, link: int = 1) -> bytes:
    """A pcap file; packets a millisecond apart."""
    out = struct.pack(order + "IHHiIII", 0xA1B23C4D if nano else 0xA1B2C3D4, 2, 4, 0, 0, 262144, link)
    for index, packet in enumerate(packets):
        part = index * 1_000_000 if nano else index * 1000
        out += struct.pack(order + "IIII", 1_700_000_000, part, len(packet), len(packet)) + packet
    return out


class Talker:
    """A TCP connection spoken by hand."""

    def __init__(self, port: int, client_port: int = 40000, source: str = CLIENT, destination: str = SERVER) -> None:
        self.packets: list[bytes] = []
        self._ends = ((source, client_port), (destination, port))
        self.seq = [1000, 2**32 - 20]  # the server's numbers wrap on the way

    def segment(self, side: int, payload: bytes = b"", *, flags: int = ACK, seq: int | None = None) -> bytes:
        (source, source_port), (destination, port) = self._ends[side], self._ends[1 - side]
        seq = self.seq[side] if seq is None else seq
        return ether(ip4(source, destination, 6, tcp(source_port, port, payload, seq=seq, flags=flags)))

    def shake(self) -> Talker:
        self.packets += [self.segment(0, flags=SYN), self.segment(1, flags=SYN | ACK)]
        self.seq = [self.seq[0] + 1, self.seq[1] + 1]
        return self

    def say(self, side: int, payload: bytes, *, mss: int = 1400) -> Talker:
        for at in range(0, len(payload), mss):
            part = payload[at : at + mss]
            self.packets.append(self.segment(side, part))
            self.seq[side] += len(part)
        return self


def decode(packets: Sequence[bytes], *, pieces: int = 1, times: Sequence[int] | None = None, **options: Any) -> Decoded:
    """Run the capture decoder over packets, in so many pieces."""
    whole = frames(packets, times=times)
    one = capture.decoder(options)
    out = []
    for rows in np.array_split(np.arange(len(packets)), pieces):
        columns = (whole.offset, whole.length, whole.number, whole.time, whole.wire, whole.link)
        out.append(one.decode(Frames(whole.buffer, *(column[rows] for column in columns))))
    return merge([*out, one.flush()])


def read(data: bytes, **options: Any) -> Decoded:
    """Run the capture decoder over a capture file."""
    one = capture.decoder(options)
    parts = [one.decode(piece) for piece in pcap.frames(np.frombuffer(data, np.uint8))]
    return merge([*parts, one.flush()])


def merge(parts: Sequence[Decoded]) -> Decoded:
    return Decoded(
        tuple(batch for part in parts for batch in part.batches),
        tuple(letter for part in parts for letter in part.dead),
        sum(part.rejected for part in parts),
        notes=tuple(note for part in parts for note in part.notes),
    )


def table(decoded: Decoded, dataset: str, collector: str = "capture") -> pl.DataFrame:
    """All rows of one dataset, by number."""
    tables = [one.table for one in decoded.batches if (one.dataset, one.collector) == (dataset, collector)]
    return pl.concat(tables, how="diagonal").sort("log.offset", maintain_order=True) if tables else pl.DataFrame()
