"""PROFINET IO context management: connectionless DCE/RPC (C706, chapter 12) over UDP to one row per RPC packet.

``ot.function.code`` is the type of the request's first block (its response repeats it), ``ot.address`` where a record
is read or written (API/slot/subslot/index), ``ot.value`` the operation's record length or the station's name.
"""

from __future__ import annotations

import json
import struct
import uuid
from typing import Any

from cityguard.decoders.events import Talk
from cityguard.decoders.protocol import Mark, Out, Protocol, Speaker
from cityguard.decoders.stream import Moment
from cityguard.decoders.wire.pairs import Pairs

PORT = 34964
MAX_BLOCKS = 32
MAX_WAITING = 65_536
"""Requests of a capture that wait for their responses."""
_HEAD = 80
_INTERFACES = ("dea00001", "dea00002", "dea00003", "dea00004")

OPERATIONS: dict[int, tuple[str, str | None]] = {
    0: ("Connect", "control"),
    1: ("Release", "control"),
    2: ("Read", "read"),
    3: ("Write", "write"),
    4: ("Control", "control"),
    5: ("Read Implicit", "read"),
}
_TYPES = (
    "request ping response fault working nocall reject ack cl_cancel fack cancel_ack bind bind_ack bind_nak "
    "alter_context alter_context_resp auth3 shutdown co_cancel orphaned"
)
PACKETS = dict(enumerate(_TYPES.split()))
FUNCTIONS: dict[int, tuple[str, str | None]] = {
    0x0008: ("IODWriteReq", "write"),
    0x0009: ("IODReadReq", "read"),
    0x0101: ("ARBlockReq", "control"),
    0x0102: ("IOCRBlockReq", "control"),
    0x0103: ("AlarmCRBlockReq", "control"),
    0x0104: ("ExpectedSubmoduleBlockReq", "control"),
    0x0105: ("PrmServerBlockReq", "control"),
    0x0106: ("MCRBlockReq", "control"),
    0x0107: ("ARRPCBlockReq", "control"),
    0x0110: ("IODControlReq Prm End", "control"),
    0x0111: ("IODControlReq Prm End (plug)", "control"),
    0x0112: ("IOXBlockReq Application Ready", "control"),
    0x0113: ("IOXBlockReq Application Ready (plug)", "control"),
    0x0114: ("ReleaseBlockReq", "control"),
    0x0116: ("IOXBlockReq Ready for Companion", "control"),
    0x0117: ("IOXBlockReq Ready for RT_CLASS_3", "control"),
    0x0118: ("PrmBeginReq", "control"),
}
"""Types of a request's first block."""


class _Cursor:
    """Numbers in the packet's own byte order."""

    def __init__(self, data: bytes) -> None:
        self.order = "<" if data[4] >> 4 else ">"
        self.data = data

    def number(self, at: int, code: str) -> int:
        found: int = struct.unpack_from(self.order + code, self.data, at)[0]
        return found

    def uuid(self, at: int) -> str:
        raw = self.data[at : at + 16]
        return str(uuid.UUID(bytes_le=raw) if self.order == "<" else uuid.UUID(bytes=raw))


def _is_packet(data: bytes) -> bool:
    """A whole connectionless header of version 4 with an interface of PROFINET IO."""
    if len(data) < _HEAD or data[0] != 4 or data[1] > 19 or data[4] & 0x0F or data[4] >> 4 > 1:
        return False
    read = _Cursor(data)
    return read.uuid(24).startswith(_INTERFACES) and read.number(68, "H") <= 63


def _blocks(body: bytes) -> list[tuple[int, bytes]]:
    """Type and content (behind the version) of each block; blocks are big-endian whatever the packet is."""
    found: list[tuple[int, bytes]] = []
    place = 0
    while place + 6 <= len(body) and len(found) < MAX_BLOCKS:
        kind, size = struct.unpack_from(">HH", body, place)
        if size < 2:
            break
        found.append((kind, body[place + 6 : place + 4 + size]))
        place += 4 + size
        if kind in (0x0008, 0x8008):  # the record follows; further headers are aligned to four bytes
            place += _record_length(found[-1][1])
            place += -place % 4
    return found


def _record_length(content: bytes) -> int:
    """Bytes of the record behind a write header; a multiple write (index 0xE040) holds further headers instead."""
    if len(content) < 34 or content[28:30] == b"\xe0\x40":
        return 0
    return int.from_bytes(content[30:34], "big")


def _record(content: bytes) -> dict[str, Any]:
    """API, slot, subslot, index and length of a read or write header."""
    if len(content) < 34:
        return {}
    api, slot, sub = struct.unpack_from(">IHH", content, 18)
    index = int.from_bytes(content[28:30], "big")
    return {
        "ot.address": f"{api}/{slot}/{sub}/0x{index:04x}",
        "ot.quantity": min(int.from_bytes(content[30:34], "big"), 2**31 - 1),
    }


def _station(content: bytes) -> dict[str, Any]:
    """The name of the controller that opens an application relation."""
    size = int.from_bytes(content[50:52], "big") if len(content) >= 52 else 0
    name = content[52 : 52 + size].decode("latin-1")
    return {"ot.value": name[:240]} if name else {}


class ProfinetIo(Speaker):
    """Every context management conversation of a capture."""

    def __init__(self, out: Out) -> None:
        super().__init__(out)
        self._pairs = Pairs[dict[str, Any]](MAX_WAITING)

    def datagram(self, data: bytes, talk: Talk, at: Moment) -> bool:
        if not _is_packet(data):
            return False
        read = _Cursor(data)
        operation, kind = read.number(68, "H"), data[1] & 0x1F
        sequence = read.number(64, "I")
        name, klass = OPERATIONS.get(operation, (f"Operation {operation}", None))
        packet = PACKETS.get(kind, str(kind))
        size = read.number(74, "H")
        body = data[_HEAD : _HEAD + size]
        fields: dict[str, Any] = {
            "ot.protocol": "profinet_io",
            "ot.function.name": name,
            "ot.function.class": klass,
            "ot.message.type": packet,
            "ot.transaction_id": sequence,
            "ot.is_request": kind == 0,
        }
        more: dict[str, Any] = {"operation": operation, "activity": read.uuid(40), "fragment": read.number(76, "H")}
        key = (more["activity"], sequence)
        if kind == 0:
            found = _blocks(body[20:])
            fields |= self._asked(found, fields)
            more["blocks"] = [f"0x{one:04x}" for one, _ in found]
            kept = ("ot.function.code", "ot.address", "ot.quantity")
            self._pairs.ask(key, {name: fields.get(name) for name in kept})
        elif kind == 2:
            fields |= self._pairs.answer(key) or {}
            found = _blocks(body[20:])
            more["blocks"] = [f"0x{one:04x}" for one, _ in found]
            if len(body) >= 4:
                status = read.number(_HEAD, "I")
                fields["ot.status"] = f"0x{status:08x}"
                if status:
                    fields["ot.function.class"] = "error"
            if fields.get("ot.function.code") is None and found:
                fields["ot.function.code"] = found[0][0] & 0x7FFF
        elif kind in (3, 6):
            fields["ot.function.class"] = "error"
            if len(body) >= 4:
                fields["ot.status"] = f"0x{read.number(_HEAD, 'I'):08x}"
        fields["event.fields"] = json.dumps(more)
        self.out.add("ot", at, talk, fields)
        return True

    def _asked(self, blocks: list[tuple[int, bytes]], fields: dict[str, Any]) -> dict[str, Any]:
        if not blocks:
            return {}
        kind, content = blocks[0]
        found: dict[str, Any] = {"ot.function.code": kind}
        if kind in FUNCTIONS:
            found["ot.function.name"] = f"{fields['ot.function.name']} {FUNCTIONS[kind][0]}"
        if kind in (0x0008, 0x0009):
            found |= _record(content)
        elif kind == 0x0101:
            found |= _station(content)
        return found


def starts(data: bytes, usual: bool) -> bool:
    """A header whose interface is one of PROFINET IO, on any port: answers come from another one."""
    return _is_packet(data)


PROTOCOLS = (
    Protocol(
        "profinet_io",
        starts,
        ProfinetIo,
        udp=(PORT,),
        marks=(Mark(b"\x04\0", 0, b"\xff\xe0"),),
    ),
)
