"""EtherNet/IP encapsulation (ODVA CIP volume 2, chapter 2) on TCP and UDP: one row per message, then those of its CIP.

Commands are rows of ``ot.protocol`` enip; explicit messages inside are rows of cip (``ot/cip.py``) after them; implicit
(I/O) data on UDP 2222 is a row of cip without a function code.
"""

from __future__ import annotations

import struct
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import orjson

from cityguard.decoders.events import Talk
from cityguard.decoders.ot import cip
from cityguard.decoders.protocol import Mark, Out, Protocol, Speaker
from cityguard.decoders.stream import Moment
from cityguard.model import LogSource

PORT, IO_PORT = 44818, 2222
MAX_WAITING = 1 << 18
"""Bytes, roughly, of the requests of one connection that wait for their response."""
MAX_TALKS = 128
"""Conversations over UDP whose requests are remembered."""
_WEIGHT = 256
"""Bytes of one request that waits, roughly."""
MAX_ITEMS = 16
MAX_CYCLIC = 512
"""Bytes of cyclic data that are written out."""
_HEAD = 24
_COMMANDS = {
    0x0000: "NOP",
    0x0001: "ListTargets",
    0x0004: "ListServices",
    0x0063: "ListIdentity",
    0x0064: "ListInterfaces",
    0x0065: "RegisterSession",
    0x0066: "UnRegisterSession",
    0x006F: "SendRRData",
    0x0070: "SendUnitData",
    0x0072: "IndicateStatus",
    0x0073: "Cancel",
    0x00C8: "StartDTLS",
}
_DIAGNOSTIC = frozenset((0x0001, 0x0004, 0x0063, 0x0064, 0x0072))
_RR, _UNIT = 0x6F, 0x70
_STATUSES = {
    0x01: "Invalid or unsupported command",
    0x02: "Insufficient memory",
    0x03: "Incorrect data",
    0x64: "Invalid session handle",
    0x65: "Invalid length",
    0x69: "Unsupported protocol revision",
    0x6A: "Encapsulated service not allowed on this port",
}
_SHORT = {0x0065: (4,), 0x0066: (0,), 0x0004: (0,), 0x0063: (0,), 0x0064: (0,)}
"""Lengths of requests without a choice."""
_ITEM_ADDRESS, _ITEM_CONNECTED, _ITEM_UNCONNECTED, _ITEM_SEQUENCED = 0x00A1, 0x00B1, 0x00B2, 0x8002
_ITEMS = frozenset((0x0000, 0x000C, 0x0086, 0x0091, 0xA1, 0xB1, 0xB2, 0x0100, 0x8000, 0x8001, 0x8002, 0x8003))
_head = struct.Struct("<HHII8sI").unpack_from
_pair = struct.Struct("<HH").unpack_from
_word = struct.Struct("<H").unpack_from
_long = struct.Struct("<I").unpack_from
_two = struct.Struct("<II").unpack_from
_who = struct.Struct("<HHHBBHI").unpack_from

Fields = dict[str, Any]
Item = tuple[int, bytes]


def size(data: bytes | bytearray, at: int) -> int:
    """Bytes of the message whose header stands there; 0 = there is no header."""
    command, length, _, status, _, _ = _head(data, at)
    if command not in _COMMANDS or (status & 0xFFFF not in _STATUSES and status & 0xFFFF) or status >> 16:
        return 0
    return _HEAD + int(length)


def starts(data: bytes, usual: bool) -> bool:
    """A sound header; elsewhere than on the usual ports also everything that can be checked of what follows."""
    if usual and _io(data):
        return True
    if len(data) < _HEAD:
        return usual and int.from_bytes(data[:2], "little") in _COMMANDS
    whole = size(data, 0)
    command, length, session, _, _, options = _head(data, 0)
    if not whole or options:
        return False
    if usual:
        return True
    if command == 0x65:
        return length == 4 and len(data) == whole and not session and data[_HEAD:] == b"\1\0\0\0"
    return command in (_RR, _UNIT) and len(data) >= whole and bool(_items(data[_HEAD + 6 : whole]))


def _io(data: bytes) -> bool:
    """Two items: a sequenced address and connected data that fill the datagram."""
    if len(data) < 18 or data[:6] != b"\2\0\2\x80\x08\0":
        return False
    kind, length = _pair(data, 14)
    return kind == _ITEM_CONNECTED and bool(18 + length == len(data))


def _items(data: bytes) -> list[Item]:
    """Items of the common packet format (2-6); [] when they do not fit."""
    if len(data) < 2:
        return []
    count = _word(data, 0)[0]
    if not 1 <= count <= MAX_ITEMS:
        return []
    found, at = list[Item](), 2
    for _ in range(count):
        if at + 4 > len(data):
            return []
        kind, length = _pair(data, at)
        at += 4
        if at + length > len(data) or kind not in _ITEMS:
            return []
        found.append((kind, data[at : at + length]))
        at += length
    return found


class Waiting:
    """Requests of one connection, by what their responses repeat; several may wait under one key."""

    def __init__(self) -> None:
        self.held = 0
        self._asked: OrderedDict[tuple[int, int], list[cip.Asked]] = OrderedDict()

    def ask(self, key: tuple[int, int], asked: cip.Asked) -> None:
        """The same message again (a retry) replaces the one before."""
        before = self._asked.pop(key, [])
        queue = self._asked[key] = [*[one for one in before if one != asked][-3:], asked]
        self.held += sum(map(_weight, queue)) - sum(map(_weight, before))
        while self.held > MAX_WAITING:
            self.held -= sum(map(_weight, self._asked.popitem(last=False)[1]))

    def answer(self, key: tuple[int, int], service: int) -> cip.Asked | None:
        """The oldest one of this service, else the oldest that wraps one."""
        queue = self._asked.get(key)
        if not queue:
            return None
        for one in queue:
            if service in (one.service, *(inner.service for inner in one.inner)):
                queue.remove(one)
                self.held -= _weight(one)
                if not queue:
                    del self._asked[key]
                return one
        return None


def _weight(asked: cip.Asked) -> int:
    return _WEIGHT * (1 + len(asked.inner))


class Messages:
    """Rows of the messages between two ends."""

    def __init__(self, out: Out) -> None:
        self._add = out.rows("ot").add
        self.waiting = Waiting()

    def take(self, data: bytes, talk: Talk, at: Moment, asks: bool | None) -> None:
        """One whole message; ``asks`` = whether its sender is the client, None = not known."""
        command, length, session, status, context, options = _head(data, 0)
        row: Fields = {
            "ot.protocol": "enip",
            "ot.function.code": command,
            "ot.function.name": _COMMANDS[command],
            "ot.transaction_id": int.from_bytes(context, "little") & 0x7FFFFFFFFFFFFFFF,
            "ot.status": f"0x{status & 0xFFFF:02X}",
        }
        extra: Fields = {"session": session, "length": length}
        if options:
            extra["options"] = options
        if context != bytes(8):
            extra["sender_context"] = context.hex()
        rows = list[Fields]()
        if command in (_RR, _UNIT):
            found, told = self._cip(command, context, data[_HEAD:], row)
            rows += found
            asks = told if told is not None else asks
        elif command == 0x63 and length:
            extra |= _identity(data[_HEAD:])
        elif command == 0x65 and asks is None:
            asks = session == 0
        if asks is None and command in _SHORT:
            asks = length in _SHORT[command]
        row["ot.is_request"] = asks
        row["ot.message.type"] = None if asks is None else "request" if asks else "response"
        if status:
            row["ot.function.class"] = "error"
            extra["status"] = _STATUSES.get(status & 0xFFFF)
        elif command in _DIAGNOSTIC:
            row["ot.function.class"] = "diagnostic"
        row["event.fields"] = orjson.dumps(extra).decode()
        self._add(at.number, at.time, talk, row)
        for one in rows:
            self._add(at.number, at.time, talk, one)

    def _cip(self, command: int, context: bytes, data: bytes, row: Fields) -> tuple[list[Fields], bool | None]:
        """Rows of what is inside, and whether it is a request."""
        items = _items(data[6:])
        if not items:
            if len(data) > 6:
                row["event.flags"] = ["undecoded"]
            return [], None
        transaction = int.from_bytes(context, "little") & 0x7FFFFFFFFFFFFFFF
        message, key, connection = b"", (0, transaction), None
        for kind, body in items:
            if kind == _ITEM_ADDRESS and len(body) >= 4:
                connection = _long(body, 0)[0]
            elif kind == _ITEM_CONNECTED and len(body) >= 2:
                transaction = _word(body, 0)[0]
                message, key = body[2:], (1, transaction)
            elif kind == _ITEM_UNCONNECTED:
                message = body
        if not message:
            return [], None
        if cip.is_request(message):
            rows, asked = cip.request(message)
            if asked:
                self.waiting.ask(key, asked)
        else:
            rows = cip.response(message, self.waiting.answer(key, message[0] & 0x7F))
        if not rows:
            row["event.flags"] = ["undecoded"]
            return [], None
        for one in rows:
            one["ot.transaction_id"] = transaction
        if connection is not None:
            row["ot.address"] = f"0x{connection:08X}"
        return rows, bool(rows[0]["ot.is_request"])


def _identity(data: bytes) -> Fields:
    """The first identity of a ListIdentity response (2-4.2.3)."""
    found = _items(data)
    body = found[0][1] if found else b""
    if len(body) < 34 or found[0][0] != 0x0C:
        return {}
    vendor, kind, product, major, minor, status, serial = _who(body, 18)
    end = 33 + body[32]
    return {
        "identity.version": _word(body, 0)[0],
        "identity.ip": ".".join(map(str, body[6:10])),
        "identity.port": int.from_bytes(body[4:6], "big"),
        "identity.vendor": vendor,
        "identity.device_type": kind,
        "identity.product_code": product,
        "identity.revision": f"{major}.{minor}",
        "identity.status": status,
        "identity.serial": serial,
        "identity.product_name": body[33:end].decode("latin-1"),
        "identity.state": body[end] if end < len(body) else None,
    }


class Stream:
    """One TCP connection."""

    def __init__(self, out: Out, talk: Talk) -> None:
        self.done, self.held = False, 0
        self._talks = (talk, talk.turned())
        self._messages = Messages(out)
        self._buffers = (bytearray(), bytearray())
        self._client = _client(talk)

    def feed(self, side: int, data: bytes, at: Moment) -> None:
        buffer = self._buffers[side]
        buffer += data
        asks = None if self._client is None else side == self._client
        for message in _split(buffer):
            self._messages.take(message, self._talks[side], at, asks)
        self._count()

    def gap(self, side: int) -> None:
        self._buffers[side].clear()
        self._count()

    def close(self) -> None:
        """Nothing is held back."""

    def _count(self) -> None:
        self.held = len(self._buffers[0]) + len(self._buffers[1]) + self._messages.waiting.held


def _split(buffer: bytearray) -> Iterator[bytes]:
    """Whole messages off the front; bytes where no header begins are thrown away one by one."""
    begin = 0
    while len(buffer) - begin >= _HEAD:
        whole = size(buffer, begin)
        if not whole:
            begin += 1
            continue
        if len(buffer) - begin < whole:
            break
        yield bytes(buffer[begin : begin + whole])
        begin += whole
    del buffer[:begin]


def _client(talk: Talk) -> int | None:
    """Which side asks: not the one with the usual port, else the one that opened the connection."""
    ends = (talk.source[2] == PORT, talk.destination[2] == PORT)
    if ends[0] != ends[1]:
        return 1 if ends[0] else 0
    return talk.opener if talk.opener >= 0 else None


class Enip(Speaker):
    """EtherNet/IP of a capture."""

    def __init__(self, out: Out) -> None:
        super().__init__(out)
        self._talks: OrderedDict[tuple[Any, Any], Messages] = OrderedDict()

    def stream(self, talk: Talk) -> Stream:
        return Stream(self.out, talk)

    def datagram(self, data: bytes, talk: Talk, at: Moment) -> bool:
        if _io(data):
            self._implicit(data, talk, at)
            return True
        if len(data) < _HEAD or size(data, 0) != len(data):
            return False
        client = _client(talk)
        key = (min(talk.source, talk.destination), max(talk.source, talk.destination))
        messages = self._talks.pop(key, None) or Messages(self.out)
        self._talks[key] = messages
        if len(self._talks) > MAX_TALKS:
            self._talks.popitem(last=False)
        messages.take(data, talk, at, None if client is None else client == 0)
        return True

    def _implicit(self, data: bytes, talk: Talk, at: Moment) -> None:
        """Cyclic data of a class 0 or 1 connection (volume 2, 3-2)."""
        connection, sequence = _two(data, 6)
        row = {
            "ot.protocol": "cip",
            "ot.function.name": "I/O data",
            "ot.message.type": "io",
            "ot.address": f"0x{connection:08X}",
            "ot.quantity": len(data) - 18,
            "ot.transaction_id": sequence,
        }
        if len(data) > 18:
            row["ot.value"] = "0x" + data[18 : 18 + MAX_CYCLIC].hex()
        self.out.add("ot", at, talk, row)


PROTOCOLS = (
    Protocol(
        "enip",
        starts,
        Enip,
        {"ot": LogSource(("ot_command",), ("enip", "cip"), ())},
        tcp=(PORT,),
        udp=(PORT, IO_PORT),
        marks=(Mark(b"\x65\0\4\0\0\0\0\0"), Mark(b"\x6f\0"), Mark(b"\x70\0")),
    ),
)
