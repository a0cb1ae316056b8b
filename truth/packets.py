"""Bytes put on a wire: a capture file of TCP connections and UDP datagrams made around given payloads."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path

CLIENT, SERVER = 0, 1
_SYN, _ACK, _PUSH, _FIN = 0x02, 0x10, 0x08, 0x01
_CLIENTS, _SERVERS = int(IPv4Address("10.77.0.1")), int(IPv4Address("10.78.0.1"))
_MAC = bytes.fromhex("020000000001020000000002")


@dataclass(frozen=True, slots=True)
class Part:
    """One payload: who sends it (``CLIENT`` or ``SERVER``) and its bytes."""

    side: int
    data: bytes


@dataclass(slots=True)
class Wire:
    """Conversations one after the other; the n-th is between 10.77.0.1 + n and 10.78.0.1 + n.

    Every packet has the same time, so that what is told of a message does not hang on how it was cut.
    """

    port: int
    second: int
    """Time of every packet, seconds since the epoch."""
    frames: list[bytes] = field(default_factory=list)
    count: int = 0

    def tcp(self, parts: list[Part]) -> str:
        """A connection with its handshake and close, a segment for each part. Returns the client's address."""
        seq = [1_000, 2_000]

        def send(side: int, flags: int, data: bytes = b"") -> None:
            ports = (40_000, self.port) if side == CLIENT else (self.port, 40_000)
            ack = seq[1 - side] if flags & _ACK else 0
            head = struct.pack("!HHIIBBHHH", *ports, seq[side], ack, 0x50, flags, 65_535, 0, 0)
            self._packet(side, 6, head + data)
            seq[side] += len(data) + (1 if flags & (_SYN | _FIN) else 0)

        send(CLIENT, _SYN)
        send(SERVER, _SYN | _ACK)
        send(CLIENT, _ACK)
        for part in parts:
            if part.data:
                send(part.side, _PUSH | _ACK, part.data)
        for side in (CLIENT, SERVER):
            send(side, _FIN | _ACK)
        return self._next()

    def udp(self, parts: list[Part]) -> str:
        """A datagram for each part. Returns the client's address."""
        for part in parts:
            ports = (40_000, self.port) if part.side == CLIENT else (self.port, 40_000)
            if part.data:
                self._packet(part.side, 17, struct.pack("!HHHH", *ports, 8 + len(part.data), 0) + part.data)
        return self._next()

    def write(self, path: Path) -> None:
        """The capture file: pcap, Ethernet."""
        parts = [struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262_144, 1)]
        for frame in self.frames:
            parts += [struct.pack("<IIII", self.second, 0, len(frame), len(frame)), frame]
        path.write_bytes(b"".join(parts))

    def _next(self) -> str:
        client = str(IPv4Address(_CLIENTS + self.count))
        self.count += 1
        return client

    def _packet(self, side: int, protocol: int, segment: bytes) -> None:
        ends = (_CLIENTS + self.count, _SERVERS + self.count)
        source, destination = ends if side == CLIENT else ends[::-1]
        number = len(self.frames) & 0xFFFF
        head = struct.pack("!BBHHHBBHII", 0x45, 0, 20 + len(segment), number, 0, 64, protocol, 0, source, destination)
        total = sum(struct.unpack("!10H", head))
        check = ~(total + (total >> 16)) & 0xFFFF if total <= 0xFFFF else ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
        self.frames.append(_MAC + b"\x08\x00" + head[:10] + struct.pack("!H", check) + head[12:] + segment)
