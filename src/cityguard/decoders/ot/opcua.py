"""OPC UA connection protocol and secure conversation (OPC 10000-6, 6.7 and 7.1): one row per message.

Chunks are put together, bounded; the body is read when it is in the clear. What is encrypted keeps its headers.
"""

from __future__ import annotations

import re
import struct
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import orjson

from cityguard.decoders.events import Talk
from cityguard.decoders.ot import opcua_names as names
from cityguard.decoders.ot import opcua_services as services
from cityguard.decoders.ot.opcua_types import Reader, Short
from cityguard.decoders.protocol import Mark, Out, Protocol, Speaker
from cityguard.decoders.stream import Moment
from cityguard.model import LogSource

PORT = 4840
MAX_CHUNK = 1 << 20
MAX_MESSAGE = 1 << 20
"""Bytes of the messages one side is sending in chunks; beyond that the oldest is given up."""
MAX_WAITING = 1_024
_WEIGHT = 512
"""Bytes of one request that waits, roughly, without its address."""
MAX_FIELDS = 32_768
"""Characters of the details of one row."""
_HEAD = 8
_TYPES = frozenset((b"HEL", b"ACK", b"ERR", b"RHE", b"OPN", b"MSG", b"CLO"))
_PLAIN = {b"HEL": (32, 4_200), b"ACK": (28, 28), b"ERR": (16, 4_200), b"RHE": (16, 8_400)}
"""Sizes the messages of the connection protocol may have (7.1.2)."""
_search = re.compile(rb"(?:MSG|OPN|CLO|HEL|ACK|ERR|RHE)[FCA]").search
_size = struct.Struct("<I").unpack_from
_two = struct.Struct("<II").unpack_from
_five = struct.Struct("<5I").unpack_from

Fields = dict[str, Any]


def header(data: bytes | bytearray, at: int = 0) -> int:
    """Bytes of the chunk whose header stands there; 0 = there is none."""
    kind, last = bytes(data[at : at + 3]), data[at + 3]
    if kind not in _TYPES or last not in b"FCA":
        return 0
    size = int(_size(data, at + 4)[0])
    if kind in _PLAIN:
        low, high = _PLAIN[kind]
        return size if last == 0x46 and low <= size <= high else 0
    return size if 24 <= size <= MAX_CHUNK else 0


def starts(data: bytes, usual: bool) -> bool:
    """A sound header, and in a Hello or an OpenSecureChannel what must follow it."""
    if len(data) < _HEAD:
        return usual and data[:3] in _TYPES and data[3:4] in (b"F", b"C", b"A")
    size = header(data)
    if not size or usual:
        return size > 0
    kind = data[:3]
    if kind == b"HEL":
        return len(data) >= 32 and _size(data, 28)[0] + 32 == size
    if kind == b"OPN":
        return len(data) >= 16 and data[16:42].startswith(b"http://opcfoundation.org/"[: len(data[16:41])])
    if kind == b"ACK":
        return len(data) == size
    return len(data) <= size and kind in (b"MSG", b"CLO") and _service(data[24:]) is not None


def _service(body: bytes) -> int | None:
    """The type id a body in the clear begins with, of those that are known."""
    if body[:2] == b"\1\0" and len(body) >= 4:
        kind = int.from_bytes(body[2:4], "little")
    elif body[:3] == b"\2\0\0" and len(body) >= 7:
        kind = int.from_bytes(body[3:7], "little")
    else:
        return None
    return kind if kind in names.SERVICES else None


@dataclass(slots=True)
class _Asked:
    kind: int
    address: str | None
    quantity: int | None


class Stream:
    """One connection."""

    def __init__(self, out: Out, talk: Talk) -> None:
        self.done, self.held = False, 0
        self._row = out.rows("ot").add
        self._talks = (talk, talk.turned())
        self._buffers = (bytearray(), bytearray())
        self._lost = [False, False]
        self._parts: tuple[dict[int, bytearray], dict[int, bytearray]] = ({}, {})
        self._waiting: OrderedDict[int, _Asked] = OrderedDict()
        self._addresses = 0  # characters of the addresses that wait
        self._policy: str | None = None
        ends = (talk.source[2] == PORT, talk.destination[2] == PORT)
        self._client = (1 if ends[0] else 0) if ends[0] != ends[1] else talk.opener

    def feed(self, side: int, data: bytes, at: Moment) -> None:
        buffer = self._buffers[side]
        buffer += data
        begin = 0
        while len(buffer) - begin >= _HEAD:
            size = header(buffer, begin)
            if not size:
                found = _search(buffer, begin + 1)
                begin = found.start() if found else max(len(buffer) - 3, begin + 1)
                self._parts[side].clear()
                continue
            if len(buffer) - begin < size:
                break
            self._chunk(side, bytes(buffer[begin : begin + size]), at)
            begin += size
        del buffer[:begin]
        self._count()

    def gap(self, side: int) -> None:
        self._buffers[side].clear()
        self._parts[side].clear()
        self._count()

    def close(self) -> None:
        """Nothing is held back."""

    def _count(self) -> None:
        held = sum(map(len, self._buffers)) + sum(len(part) for parts in self._parts for part in parts.values())
        self.held = held + _WEIGHT * len(self._waiting) + self._addresses

    def _chunk(self, side: int, data: bytes, at: Moment) -> None:
        kind = data[:3]
        if kind in _PLAIN:
            self._connection(side, kind, data, at)
        elif kind == b"OPN":
            self._open(side, data, at)
        else:
            self._conversation(side, kind, data, at)

    def _add(self, side: int, kind: bytes, size: int, row: Fields, extra: Fields, at: Moment) -> None:
        row["ot.protocol"] = "opcua"
        row["ot.message.type"] = kind.decode().lower()
        text = orjson.dumps({"size": size} | extra).decode()
        if len(text) > MAX_FIELDS:
            small = {name: value for name, value in extra.items() if not isinstance(value, list | dict)}
            text = orjson.dumps({"size": size} | small).decode()
            row["event.flags"] = [*row.get("event.flags", ()), "truncated"]
        row["event.fields"] = text
        self._row(at.number, at.time, self._talks[side], row)

    def _connection(self, side: int, kind: bytes, data: bytes, at: Moment) -> None:
        """Hello, Acknowledge, Error, ReverseHello."""
        row: Fields = {"ot.is_request": kind in (b"HEL", b"RHE")}
        extra: Fields = {}
        read = Reader(data, _HEAD)
        try:
            if kind == b"ERR":
                code = read.u32()
                row |= {"ot.function.name": "Error", "ot.function.class": "error", "ot.status": names.status(code)}
                extra["reason"] = read.string()
            elif kind == b"RHE":
                row["ot.function.name"] = "ReverseHello"
                extra["server_uri"] = read.string()
                row["ot.address"] = read.string()
            else:
                row["ot.function.name"] = "Hello" if kind == b"HEL" else "Acknowledge"
                labels = ("version", "receive_buffer", "send_buffer", "max_message", "max_chunks")
                extra |= dict(zip(labels, _five(data, _HEAD), strict=True))
                if kind == b"HEL":
                    self._client = side
                    row["ot.address"] = Reader(data, 28).string()
        except Short:
            row["event.flags"] = ["truncated"]
        self._add(side, kind, len(data), row, extra, at)

    def _open(self, side: int, data: bytes, at: Moment) -> None:
        """OpenSecureChannel: its policy is in the clear, its body only without one."""
        read = Reader(data, _HEAD)
        row, extra = Fields(), Fields()
        try:
            extra["channel"] = read.u32()
            policy = read.string() or ""
            extra["security_policy"] = policy
            extra["certificate"] = bool(read.octets())
            read.octets()
            if not policy.endswith("#None"):
                self._policy = policy
                self._hidden(side, b"OPN", len(data), row, extra, at)
                return
            self._policy = policy
            extra["sequence"], request = read.u32(), read.u32()
        except Short:
            self._add(side, b"OPN", len(data), row | {"event.flags": ["truncated"]}, extra, at)
            return
        self._message(side, b"OPN", data[read.at :], request, len(data), row, extra, at)

    def _conversation(self, side: int, kind: bytes, data: bytes, at: Moment) -> None:
        """MSG and CLO: symmetric header, sequence header, a part of the body."""
        channel, token = _two(data, _HEAD)
        sequence, request = _two(data, 16)
        extra: Fields = {"channel": channel, "token": token}
        parts = self._parts[side]
        part = parts.get(request)
        clear = part is not None or _service(data[24:]) is not None or (self._policy or "").endswith("#None")
        if not clear:
            if data[3] == 0x46:
                self._hidden(side, kind, len(data), {}, extra, at)
            return
        extra["sequence"] = sequence
        if data[3] == 0x41:  # given up by the sender
            parts.pop(request, None)
            read = Reader(data, 24)
            row: Fields = {"ot.function.name": "Abort", "ot.function.class": "error", "ot.transaction_id": request}
            try:
                row["ot.status"] = names.status(read.u32())
                extra["reason"] = read.string()
            except Short:
                row["event.flags"] = ["truncated"]
            self._add(side, kind, len(data), row, extra, at)
            return
        if data[3] == 0x43:
            if part is None:
                if len(parts) >= 16:
                    parts.pop(next(iter(parts)))
                part = parts[request] = bytearray()
            part += data[24:]
            while sum(map(len, parts.values())) > MAX_MESSAGE:
                parts.pop(next(iter(parts)))
            return
        body = bytes(parts.pop(request)) + data[24:] if part is not None else data[24:]
        if part is not None:
            extra["chunked"] = len(body)
        self._message(side, kind, body, request, len(data), {}, extra, at)

    def _hidden(self, side: int, kind: bytes, size: int, row: Fields, extra: Fields, at: Moment) -> None:
        """Only the headers can be read."""
        names_of = {b"OPN": "OpenSecureChannel", b"CLO": "CloseSecureChannel"}
        row["ot.function.name"] = names_of.get(kind)
        row["ot.is_request"] = None if self._client < 0 else side == self._client
        row["event.flags"] = ["encrypted"]
        self._add(side, kind, size, row, extra, at)

    def _message(
        self, side: int, kind: bytes, body: bytes, request: int, size: int, row: Fields, extra: Fields, at: Moment
    ) -> None:
        """A body in the clear: type, header, parameters."""
        row["ot.transaction_id"] = request
        read = Reader(body)
        try:
            node = read.node()
            code = int(node[2:]) if node.startswith("i=") else -1
            known = names.SERVICES.get(code)
            if known is None:
                row["ot.function.code"] = code if 0 <= code < 1 << 31 else None
                row["event.flags"] = ["undecoded"]
                self._add(side, kind, size, row, extra, at)
                return
            row["ot.function.code"], row["ot.is_request"] = code, known[2]
            row["ot.function.name"], row["ot.function.class"] = known[:2]
            if known[2]:
                services.request_header(read, extra)
            else:
                self._respond(request, code, services.response_header(read, extra), row, extra)
        except Short:
            row["event.flags"] = ["truncated"]
            self._add(side, kind, size, row, extra, at)
            return
        if not services.body(code, read, row, extra):
            row["event.flags"] = ["truncated"]
        if known[2]:
            self._ask(request, _Asked(code, row.get("ot.address"), row.get("ot.quantity")))
        self._add(side, kind, size, row, extra, at)

    def _ask(self, request: int, asked: _Asked) -> None:
        """A request waits for its response, the oldest no more when there are too many."""
        self._take(request)
        self._waiting[request] = asked
        self._addresses += len(asked.address or "")
        if len(self._waiting) > MAX_WAITING:
            self._take(next(iter(self._waiting)))

    def _take(self, request: int) -> _Asked | None:
        asked = self._waiting.pop(request, None)
        self._addresses -= len(asked.address or "") if asked else 0
        return asked

    def _respond(self, request: int, code: int, result: int, row: Fields, extra: Fields) -> None:
        """What a response has of its request, and how the service ended."""
        asked = self._take(request)
        if asked and (code == names.FAULT or names.SERVICES[asked.kind][0][:-7] == names.SERVICES[code][0][:-8]):
            row["ot.address"], row["ot.quantity"] = asked.address, asked.quantity
            if code == names.FAULT:
                extra["request"] = names.SERVICES[asked.kind][0]
        row["ot.status"] = names.status(result)
        if result >> 31:
            row["ot.function.class"] = "error"
        if result:
            extra["status_code"] = result


class Opcua(Speaker):
    """OPC UA of a capture."""

    def stream(self, talk: Talk) -> Stream:
        return Stream(self.out, talk)


PROTOCOLS = (
    Protocol(
        "opcua",
        starts,
        Opcua,
        {"ot": LogSource(("ot_command",), ("opcua",), ())},
        tcp=(PORT,),
        marks=tuple(Mark(kind + b"F") for kind in (b"HEL", b"ACK", b"OPN", b"MSG", b"CLO")),
    ),
)
