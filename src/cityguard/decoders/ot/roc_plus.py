"""ROC Plus (Emerson D301180X012) over TCP and UDP to one row per message.

``ot.function.code`` is the opcode, ``ot.unit_id`` the device's unit, ``ot.address`` the point: type.logical.parameter.
"""

from __future__ import annotations

import json
from typing import Any

from cityguard.decoders.events import Talk
from cityguard.decoders.protocol import Protocol, Speaker
from cityguard.decoders.stream import Moment
from cityguard.decoders.wire import crc
from cityguard.decoders.wire.framed import Framed

PORT = 4000
MAX_FRAME = 263
MAX_POINTS = 16

FUNCTIONS: dict[int, tuple[str, str | None]] = {
    6: ("System Configuration", "read"),
    7: ("Read Real-Time Clock", "read"),
    8: ("Set Real-Time Clock", "write"),
    10: ("Read Configurable Opcode Point Data", "read"),
    11: ("Write Configurable Opcode Point Data", "write"),
    17: ("Login Request", "control"),
    24: ("Store and Forward", None),
    50: ("Request I/O Point Position", "read"),
    100: ("Access User-Defined Information", "read"),
    103: ("System Information", "read"),
    105: ("Request Today's and Yesterday's Min/Max Values", "read"),
    107: ("Request History Tag", "read"),
    108: ("Request History Tag and Periodic Index", "read"),
    118: ("Request Alarm Data", "read"),
    119: ("Request Event Data", "read"),
    135: ("Request Single History Point Data", "read"),
    136: ("Request Multiple History Point Data", "read"),
    137: ("Request History Index for a Day", "read"),
    138: ("Request Daily and Periodic History for a Day", "read"),
    139: ("History Information Data", "read"),
    148: ("Reset Node", "control"),
    166: ("Set Single Point Parameters", "write"),
    167: ("Request Single Point Parameters", "read"),
    180: ("Request Parameters", "read"),
    181: ("Write Parameters", "write"),
    203: ("General File Transfer", "program"),
    205: ("Peer-to-Peer Network Messages", None),
    206: ("Read Transaction History Data", "read"),
    224: ("SRBX Signal", "read"),
    225: ("Acknowledge SRBX", "control"),
    255: ("Error Indicator", "error"),
}


def _asked(code: int, data: bytes) -> dict[str, Any]:
    """What a request names: points, a clock, an operator."""
    if code == 180 and data:
        points = [f"{data[at]}.{data[at + 1]}.{data[at + 2]}" for at in range(1, min(len(data) - 2, 3 * MAX_POINTS), 3)]
        return {"ot.quantity": data[0], "ot.address": ",".join(points) or None}
    if code == 181 and len(data) >= 4:
        return {
            "ot.quantity": data[0],
            "ot.address": f"{data[1]}.{data[2]}.{data[3]}",
            "ot.value": data[4:36].hex() or None,
        }
    if code in (166, 167) and len(data) >= 4:
        found: dict[str, Any] = {"ot.address": f"{data[0]}.{data[1]}.{data[3]}", "ot.quantity": data[2]}
        return found | ({"ot.value": data[4:36].hex() or None} if code == 166 else {})
    if code in (10, 11) and len(data) >= 3:
        found = {"ot.address": f"table {data[0]}.{data[1]}", "ot.quantity": data[2]}
        return found | ({"ot.value": data[3:35].hex() or None} if code == 11 else {})
    if code == 8 and len(data) >= 7:
        year = int.from_bytes(data[5:7], "little")
        return {"ot.value": f"{year:04}-{data[4]:02}-{data[3]:02}T{data[2]:02}:{data[1]:02}:{data[0]:02}"}
    if code == 17 and len(data) >= 3:
        return {"user.name": data[:3].decode("latin-1").strip("\0 ") or None}
    if code == 255:
        return {"ot.status": ",".join(f"{data[at]}" for at in range(0, min(len(data), 16), 2)) or None}
    return {}


class RocPlus(Speaker):
    """Every ROC Plus conversation of a capture."""

    def stream(self, talk: Talk) -> Framed:
        return Framed(talk, _size, self._message, MAX_FRAME)

    def datagram(self, data: bytes, talk: Talk, at: Moment) -> bool:
        size = _size(data, 0) if data else -1
        if not 0 < size <= len(data):
            return False
        self._message(data[:size], talk, at)
        return True

    def _message(self, data: bytes, talk: Talk, at: Moment) -> None:
        unit, group, other, other_group, code = data[:5]
        asks = talk.destination[2] == PORT or (talk.source[2] != PORT and code != 255)
        name, kind = FUNCTIONS.get(code, (f"Opcode {code}", None))
        fields: dict[str, Any] = {
            "ot.protocol": "roc_plus",
            "ot.function.code": code,
            "ot.function.name": name,
            "ot.function.class": kind,
            "ot.unit_id": unit if asks else other,
            "ot.message.type": "request" if asks else "response",
            "ot.is_request": asks,
            "event.fields": json.dumps({"destination": f"{unit}.{group}", "source": f"{other}.{other_group}"}),
        }
        found = _asked(code, data[6:-2]) if asks or code in (180, 167, 255) else {}
        fields |= {name: value for name, value in found.items() if name != "user.name" and value is not None}
        if "user.name" in found:
            fields["ot.value"] = found["user.name"]
        if crc.modbus(data[:-2]) != data[-2] | data[-1] << 8:
            fields["event.flags"] = ["bad_checksum"]
        self.out.add("ot", at, talk, fields)


def _size(data: bytes | bytearray, at: int) -> int:
    """Bytes of the message at a place: six of header, its data, a CRC; the opcode must be known."""
    room = len(data) - at
    if room < 6:
        return 0
    if data[at + 4] not in FUNCTIONS:
        return -1
    size = data[at + 5] + 8
    if room >= size and crc.modbus(bytes(data[at : at + size - 2])) != data[at + size - 2] | data[at + size - 1] << 8:
        return -1
    return size


def starts(data: bytes, usual: bool) -> bool:
    """A known opcode and a right CRC on the usual port."""
    size = _size(data, 0) if len(data) >= 8 else 0
    return usual and 0 < size <= len(data)


PROTOCOLS = (Protocol("roc_plus", starts, RocPlus, tcp=(PORT,), udp=(PORT,)),)
