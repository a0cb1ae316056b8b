"""RTP (RFC 3550) that carries MPEG program streams, as cameras of GB/T 28181 send it: over UDP, or TCP by RFC 4571.

Recognised by the pack header (ISO/IEC 13818-1, 2.5.3.3) that begins a picture. A stream that an INVITE announced, by
the address and port of either end, is one ``ot`` row; any other is only named. Of a stream no more is looked at.
"""

from __future__ import annotations

import json
import struct
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from cityguard.decoders.app.sip import Calls
from cityguard.decoders.events import End, Talk
from cityguard.decoders.ot.gb28181 import Desk
from cityguard.decoders.ot.gb28181_memory import Call
from cityguard.decoders.protocol import Mark, Out, Protocol, Speaker
from cityguard.decoders.stream import Moment
from cityguard.model import LogSource

MAX_STREAMS: Final = 16_384
IDLE: Final = 60 * 1_000_000_000
"""ns of silence after which a stream is a new one."""
MAX_FIRST: Final = 64
"""Octets of a connection in which its first packet is told."""
_PACK: Final = b"\x00\x00\x01\xba"
_HEAD: Final = 12
_head = struct.Struct(">BBHII").unpack_from


@dataclass(frozen=True, slots=True)
class Packet:
    """What the head of an RTP packet says."""

    payload_type: int
    sequence: int
    timestamp: int
    ssrc: int


def read(data: bytes) -> Packet | None:
    """The head of a packet that begins a picture of a program stream; None of anything else."""
    if len(data) < _HEAD + 10 or data[0] & 0xCF != 0x80 or not _is_pack(data[_HEAD : _HEAD + 10]):
        return None
    _, second, sequence, timestamp, ssrc = _head(data)
    kind = second & 0x7F
    return None if 72 <= kind <= 76 else Packet(kind, sequence, timestamp, ssrc)


def framed(data: bytes) -> Packet | None:
    """The same behind the length that stands before each packet on a connection (RFC 4571, 2)."""
    if len(data) < 2 or int.from_bytes(data[:2], "big") < _HEAD + 10:
        return None
    return read(data[2:])


def _is_pack(data: bytes) -> bool:
    """A pack header with its marker bits, of MPEG-2 or MPEG-1."""
    if data[:4] != _PACK:
        return False
    if data[4] & 0xC4 == 0x44:
        return data[6] & 0x04 == 0x04 and data[8] & 0x04 == 0x04 and data[9] & 0x01 == 0x01
    return data[4] & 0xF1 == 0x21 and data[6] & 0x01 == 0x01 and data[8] & 0x01 == 0x01


class Streams(Speaker):
    """Every stream of pictures of a capture."""

    def __init__(self, out: Out) -> None:
        super().__init__(out)
        self._desk: Desk | None = None
        self._seen: OrderedDict[tuple[End, End, int], int] = OrderedDict()
        self._begun: list[tuple[Talk, Moment, Packet]] = []

    def meet(self, others: Mapping[str, Speaker]) -> None:
        calls = others.get("sip")
        self._desk = calls.desk if isinstance(calls, Calls) else None

    def datagram(self, data: bytes, talk: Talk, at: Moment) -> bool:
        found = read(data)
        if found is not None:
            self.sent(found, talk, at)
        return found is not None

    def stream(self, talk: Talk) -> Connection:
        return Connection(self, talk)

    def sent(self, packet: Packet, talk: Talk, at: Moment) -> None:
        """A packet that begins a picture, from ``talk.source``."""
        key = (talk.source, talk.destination, packet.ssrc)
        before = self._seen.get(key)
        self._seen[key] = at.time
        self._seen.move_to_end(key)
        if len(self._seen) > MAX_STREAMS:
            self._seen.popitem(last=False)
        if self._desk is not None and (before is None or at.time - before > IDLE) and len(self._begun) < MAX_STREAMS:
            self._begun.append((talk, at, packet))

    def expire(self, now: int) -> None:
        """A piece is over: its calls are known, over whichever transport they came."""
        begun, self._begun = self._begun, []
        for talk, at, packet in begun:
            call = self._call(talk, at)
            if call is not None:
                self.out.add("ot", at, talk, _row(call, talk, packet))

    def close(self) -> None:
        self.expire(0)

    def _call(self, talk: Talk, at: Moment) -> Call | None:
        if self._desk is None:
            return None
        return self._desk.announced(talk.destination, at.time) or self._desk.announced(talk.source, at.time)


def _row(call: Call, talk: Talk, packet: Packet) -> dict[str, Any]:
    media = call.media
    flags = ["ssrc_differs"] if media.stream_id is not None and media.stream_id != packet.ssrc else []
    said = {"name": media.name, "ssrc": f"{packet.ssrc:010}", "payload_type": packet.payload_type}
    return {
        "ot.protocol": "gb28181",
        "ot.function.name": "RTP/PS",
        "ot.unit_id": call.unit,
        "ot.platform_id": call.platform,
        "ot.message.type": "media",
        "ot.transaction_id": packet.ssrc,
        "ot.request_id": call.call_id,
        "ot.flags": flags or None,
        "event.fields": json.dumps({"gb28181": {"media": said}}, ensure_ascii=False),
    }


class Connection:
    """A connection of one stream: its first packet tells all."""

    def __init__(self, streams: Streams, talk: Talk) -> None:
        self.done, self.held = False, 0
        self._streams, self._talks = streams, (talk, talk.turned())
        self._first = [b"", b""]

    def feed(self, side: int, data: bytes, at: Moment) -> None:
        first = self._first[side] = (self._first[side] + data)[:MAX_FIRST]
        found = framed(first)
        if found is not None:
            self._streams.sent(found, self._talks[side], at)
        self.done = found is not None or len(first) >= MAX_FIRST
        self.held = 0 if self.done else len(self._first[0]) + len(self._first[1])

    def gap(self, side: int) -> None:
        self._first[side] = b""

    def close(self) -> None:
        """Nothing to give."""


def starts(data: bytes, usual: bool) -> bool:
    """A packet that begins a picture, with or without its length before it."""
    return read(data) is not None or framed(data) is not None


PROTOCOLS = (
    Protocol(
        "rtp",
        starts,
        Streams,
        sources={"ot": LogSource(("ot_command",), ("gb28181",), ())},
        udp=(),
        marks=(Mark(_PACK, _HEAD), Mark(_PACK, _HEAD + 2)),
        only=(Mark(_PACK, _HEAD),),
    ),
)
