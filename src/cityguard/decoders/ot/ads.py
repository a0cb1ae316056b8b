"""Beckhoff ADS: AMS packets (TE1000) over TCP 48898, and the discovery of routers over UDP 48899.

``ot.function.code`` is the command id, ``ot.address`` index group and offset, ``ot.unit_id`` the target's AMS port.
"""

from __future__ import annotations

import json
import struct
from typing import Any

from cityguard.decoders.events import Talk
from cityguard.decoders.protocol import Mark, Out, Protocol, Speaker
from cityguard.decoders.stream import Moment
from cityguard.decoders.wire.framed import Framed
from cityguard.decoders.wire.pairs import Pairs

PORT, DISCOVERY = 48898, 48899
MAX_FRAME = 1 << 20
MAX_WAITING = 65_536
"""Requests of a capture that wait for their responses."""
_HEAD = 38
_MAGIC = b"\x71\x14\x66\x03"

FUNCTIONS: dict[int, tuple[str, str | None]] = {
    0: ("Invalid", None),
    1: ("Read Device Info", "read"),
    2: ("Read", "read"),
    3: ("Write", "write"),
    4: ("Read State", "diagnostic"),
    5: ("Write Control", "control"),
    6: ("Add Device Notification", "read"),
    7: ("Delete Device Notification", "read"),
    8: ("Device Notification", "read"),
    9: ("Read Write", "write"),
}
_READING_GROUPS = frozenset((0xF003, 0xF007, 0xF008, 0xF009, 0xF00B, 0xF080))
"""Index groups whose read-write only asks: handles and information by name, sums of reads."""
_STATES = [
    "invalid",
    "idle",
    "reset",
    "init",
    "start",
    "run",
    "stop",
    "saveconfig",
    "loadconfig",
    "powerfailure",
    "powergood",
    "error",
    "shutdown",
    "suspend",
    "resume",
    "config",
    "reconfig",
    "stopping",
    "incompatible",
    "exception",
]
_DISCOVERY = {1: "Read Router Info", 6: "Add Route"}

_ams = struct.Struct("<6sH6sHHHIII").unpack_from
_two = struct.Struct("<II").unpack_from
_three = struct.Struct("<III").unpack_from
_four = struct.Struct("<IIII").unpack_from


def _net(raw: bytes) -> str:
    return ".".join(map(str, raw))


def _where(group: int, offset: int) -> str:
    return f"0x{group:x}:0x{offset:x}"


def _request(command: int, body: bytes) -> dict[str, Any]:
    """What a request asks for."""
    if command in (2, 6) and len(body) >= 12:
        group, offset, size = _three(body)
        return {"ot.address": _where(group, offset), "ot.quantity": min(size, 2**31 - 1)}
    if command == 3 and len(body) >= 12:
        group, offset, size = _three(body)
        wanted = {"ot.address": _where(group, offset), "ot.quantity": min(size, 2**31 - 1)}
        return wanted | {"ot.value": body[12 : 12 + min(size, 32)].hex() or None}
    if command == 9 and len(body) >= 16:
        group, offset, _, size = _four(body)
        written = body[16 : 16 + min(size, 64)]
        text = written.rstrip(b"\0")
        value = text.decode("latin-1") if group in (0xF003, 0xF009) and text.isascii() else written[:32].hex()
        return {"ot.address": _where(group, offset), "ot.quantity": min(size, 2**31 - 1), "ot.value": value or None}
    if command == 5 and len(body) >= 8:
        state, device = struct.unpack_from("<HH", body)
        return {"ot.value": f"{_STATES[state] if state < len(_STATES) else state},{device}"}
    if command == 7 and len(body) >= 4:
        return {"ot.value": str(int.from_bytes(body[:4], "little"))}
    return {}


def _response(command: int, body: bytes) -> dict[str, Any]:
    """What a response brings, after its result."""
    if command == 1 and len(body) >= 20:
        name = body[4:20].split(b"\0")[0].decode("latin-1")
        return {"ot.value": f"{name},{body[0]}.{body[1]}.{int.from_bytes(body[2:4], 'little')}"}
    if command in (2, 9) and len(body) >= 4:
        size = int.from_bytes(body[:4], "little")
        return {"ot.value": body[4 : 4 + min(size, 32)].hex() or None}
    if command == 4 and len(body) >= 4:
        state, device = struct.unpack_from("<HH", body)
        return {"ot.value": f"{_STATES[state] if state < len(_STATES) else state},{device}"}
    return {}


class Ads(Speaker):
    """Every AMS conversation of a capture."""

    def __init__(self, out: Out) -> None:
        super().__init__(out)
        self._pairs = Pairs[dict[str, Any]](MAX_WAITING)

    def stream(self, talk: Talk) -> Framed:
        return Framed(talk, _size, self._packet, MAX_FRAME)

    def datagram(self, data: bytes, talk: Talk, at: Moment) -> bool:
        if data[:4] != _MAGIC or len(data) < 24:
            return False
        invoke, service = _two(data, 4)
        answers = service & 0x8000_0000 > 0
        kind = service & 0x7FFF_FFFF
        fields: dict[str, Any] = {
            "ot.protocol": "ads",
            "ot.function.name": _DISCOVERY.get(kind, f"Discovery {kind}"),
            "ot.function.class": "program" if kind == 6 else "diagnostic",
            "ot.message.type": "response" if answers else "request",
            "ot.transaction_id": invoke,
            "ot.is_request": not answers,
            "event.fields": json.dumps({"ams.net_id": _net(data[12:18])}),
        }
        self.out.add("ot", at, talk, fields)
        return True

    def _packet(self, data: bytes, talk: Talk, at: Moment) -> None:
        target, port, source, source_port, command, flags, _, error, invoke = _ams(data, 6)
        answers = flags & 1 > 0
        name, kind = FUNCTIONS.get(command, (f"Command {command}", None))
        body = data[_HEAD:]
        fields: dict[str, Any] = {
            "ot.protocol": "ads",
            "ot.function.code": command,
            "ot.function.name": name,
            "ot.function.class": kind,
            "ot.unit_id": source_port if answers else port,
            "ot.message.type": "response" if answers else "request",
            "ot.transaction_id": invoke,
            "ot.is_request": not answers,
            "event.fields": json.dumps({"ams.target": _net(target), "ams.source": _net(source), "ams.error": error}),
        }
        key = (source, source_port, target, port) if answers else (target, port, source, source_port)
        if not answers:
            asked = _request(command, body)
            if command == 9 and asked and int.from_bytes(body[:4], "little") in _READING_GROUPS:
                fields["ot.function.class"] = "read"
            if command != 8:
                kept = {name: asked.get(name) for name in ("ot.address", "ot.quantity")}
                self._pairs.ask((key, invoke, command), kept | {"ot.function.class": fields["ot.function.class"]})
            fields |= asked
        else:
            fields |= self._pairs.answer((key, invoke, command)) or {}
            result = int.from_bytes(body[:4], "little") if len(body) >= 4 else 0
            status = error or result
            fields["ot.status"] = f"0x{status:x}"
            if status:
                fields["ot.function.class"] = "error"
            else:
                fields |= _response(command, body[4:])
        self.out.add("ot", at, talk, fields)


def _size(data: bytes | bytearray, at: int) -> int:
    """Bytes of the packet at a place: AMS/TCP header, then an AMS header that agrees with it."""
    room = len(data) - at
    if data[at]:
        return -1
    if room < _HEAD:
        return -1 if room >= 2 and data[at + 1] else 0
    size = int.from_bytes(data[at + 2 : at + 6], "little")
    command = data[at + 22] | data[at + 23] << 8
    inner = int.from_bytes(data[at + 26 : at + 30], "little")
    if data[at + 1] or inner + 32 != size or command > 9 or data[at + 25] & 0x7F:
        return -1
    return size + 6 if size + 6 <= MAX_FRAME else -1


def starts(data: bytes, usual: bool) -> bool:
    """A whole AMS header, or the mark of discovery."""
    if data[:4] == _MAGIC:
        return len(data) >= 24
    return len(data) >= _HEAD and _size(data, 0) > 0


PROTOCOLS = (Protocol("ads", starts, Ads, tcp=(PORT,), udp=(DISCOVERY,), marks=(Mark(_MAGIC),)),)
