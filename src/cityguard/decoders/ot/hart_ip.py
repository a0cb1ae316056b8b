"""HART-IP (FCG TS20085) over UDP and TCP to one row per message, with the HART command that it carries.

``ot.function.code`` is the HART command of a token-passing PDU (of a direct PDU its first command); ``ot.unit_id`` is
the polling address where the short form is used, ``ot.address`` the unique address otherwise.
"""

from __future__ import annotations

import struct
from typing import Any

from cityguard.decoders.events import Talk
from cityguard.decoders.protocol import Out, Protocol, Speaker
from cityguard.decoders.stream import Moment
from cityguard.decoders.wire.framed import Framed
from cityguard.decoders.wire.numbers import single
from cityguard.decoders.wire.pairs import Pairs

PORT = 5094
MAX_FRAME = 8_192
MAX_WAITING = 65_536
"""Requests of a capture that wait for their responses."""
_KINDS = {0: "request", 1: "response", 2: "publish", 15: "nak"}
_NAMES = {
    0: "Session Initiate",
    1: "Session Close",
    2: "Keep Alive",
    3: "Token-Passing PDU",
    4: "Direct PDU",
    5: "Read Audit Log",
}
_TOKEN, _DIRECT, _EXTENDED = 3, 4, 31

_NAMED = {
    0: ("Read Unique Identifier", "read"),
    1: ("Read Primary Variable", "read"),
    2: ("Read Loop Current and Percent of Range", "read"),
    3: ("Read Dynamic Variables and Loop Current", "read"),
    6: ("Write Polling Address", "program"),
    7: ("Read Loop Configuration", "read"),
    8: ("Read Dynamic Variable Classifications", "read"),
    9: ("Read Device Variables with Status", "read"),
    11: ("Read Unique Identifier Associated with Tag", "read"),
    12: ("Read Message", "read"),
    13: ("Read Tag, Descriptor, Date", "read"),
    14: ("Read Primary Variable Transducer Information", "read"),
    15: ("Read Device Information", "read"),
    16: ("Read Final Assembly Number", "read"),
    17: ("Write Message", "write"),
    18: ("Write Tag, Descriptor, Date", "write"),
    19: ("Write Final Assembly Number", "write"),
    20: ("Read Long Tag", "read"),
    21: ("Read Unique Identifier Associated with Long Tag", "read"),
    22: ("Write Long Tag", "write"),
    33: ("Read Device Variables", "read"),
    34: ("Write Primary Variable Damping Value", "write"),
    35: ("Write Primary Variable Range Values", "write"),
    36: ("Set Primary Variable Upper Range Value", "write"),
    37: ("Set Primary Variable Lower Range Value", "write"),
    38: ("Reset Configuration Changed Flag", "control"),
    39: ("EEPROM Control", "program"),
    40: ("Enter/Exit Fixed Current Mode", "control"),
    41: ("Perform Self Test", "diagnostic"),
    42: ("Perform Device Reset", "control"),
    43: ("Set Primary Variable Zero", "write"),
    44: ("Write Primary Variable Units", "write"),
    45: ("Trim Loop Current Zero", "write"),
    46: ("Trim Loop Current Gain", "write"),
    47: ("Write Primary Variable Transfer Function", "write"),
    48: ("Read Additional Device Status", "diagnostic"),
    49: ("Write Primary Variable Transducer Serial Number", "write"),
    50: ("Read Dynamic Variable Assignments", "read"),
    51: ("Write Dynamic Variable Assignments", "program"),
    52: ("Set Device Variable Zero", "write"),
    53: ("Write Device Variable Units", "write"),
    54: ("Read Device Variable Information", "read"),
    55: ("Write Device Variable Damping Value", "write"),
    56: ("Write Device Variable Transducer Serial Number", "write"),
    57: ("Read Unit Tag, Descriptor, Date", "read"),
    58: ("Write Unit Tag, Descriptor, Date", "write"),
    59: ("Write Number of Response Preambles", "program"),
    71: ("Lock Device", "control"),
    72: ("Squawk", "diagnostic"),
    73: ("Find Device", "diagnostic"),
    74: ("Read I/O System Capabilities", "read"),
    75: ("Poll Sub-Device", "read"),
    76: ("Read Lock Device State", "read"),
    77: ("Send Command to Sub-Device", "control"),
    78: ("Read Aggregated Commands", "read"),
    79: ("Write Device Variable", "write"),
    80: ("Read Device Variable Trim Points", "read"),
    81: ("Read Device Variable Trim Guidelines", "read"),
    82: ("Write Device Variable Trim Point", "write"),
    83: ("Reset Device Variable Trim", "write"),
    84: ("Read Sub-Device Identity Summary", "read"),
    85: ("Read I/O Channel Statistics", "diagnostic"),
    86: ("Read Sub-Device Statistics", "diagnostic"),
    87: ("Write I/O System Master Mode", "program"),
    88: ("Write I/O System Retry Count", "program"),
    89: ("Set Real-Time Clock", "write"),
    90: ("Read Real-Time Clock", "read"),
    95: ("Read Device Communication Statistics", "diagnostic"),
    96: ("Read Synchronous Action", "read"),
    97: ("Configure Synchronous Action", "program"),
    98: ("Read Command Action", "read"),
    99: ("Configure Command Action", "program"),
    101: ("Read Sub-Device to Burst Message Map", "read"),
    102: ("Map Sub-Device to Burst Message", "program"),
    103: ("Write Burst Period", "program"),
    104: ("Write Burst Trigger", "program"),
    105: ("Read Burst Mode Configuration", "read"),
    106: ("Flush Delayed Responses", "control"),
    107: ("Write Burst Device Variables", "program"),
    108: ("Write Burst Mode Command Number", "program"),
    109: ("Burst Mode Control", "control"),
    512: ("Read Country Code", "read"),
    513: ("Write Country Code", "program"),
    534: ("Read Device Variable Command Code", "read"),
}
FUNCTIONS: dict[int, tuple[str, str | None]] = dict(_NAMED)

_head = struct.Struct(">4B2H").unpack_from


def _floats(body: bytes, places: tuple[int, ...]) -> str | None:
    """Single-precision numbers at places, comma separated."""
    found = [struct.unpack_from(">f", body, at)[0] for at in places if at + 4 <= len(body)]
    return ",".join(single(one) for one in found) or None


def _packed(raw: bytes) -> str | None:
    """Text of four characters in three bytes (HART packed ASCII)."""
    bits = int.from_bytes(raw, "big")
    count = len(raw) * 8 // 6
    codes = [bits >> 6 * (count - 1 - at) & 0x3F for at in range(count)]
    return "".join(chr(code if code & 0x20 else code | 0x40) for code in codes).rstrip() or None


def _value(command: int, body: bytes, answers: bool) -> str | None:
    """What a command writes or a response brings, where its layout is fixed."""
    if answers and command in (1, 2, 3):
        return _floats(body, {1: (1,), 2: (0, 4), 3: (0, 5, 10, 15, 20)}[command])
    if answers and command == 9:
        return _floats(body, tuple(range(4, min(len(body), 4 + 8 * 8), 8)))
    if command in (20, 22):
        return body[:32].decode("latin-1").rstrip("\0 ") or None
    if command in (13, 18) and len(body) >= 21:
        return _packed(body[:6])
    if command in (12, 17) and len(body) >= 24:
        return _packed(body[:24])
    if answers:
        return None
    if command in (34, 40, 45, 46):
        return _floats(body, (0,))
    if command == 35:
        return _floats(body, (1, 5))
    if command == 79:
        return _floats(body, (3,))
    return str(body[0]) if command in (6, 42, 59, 71) and body else None


class HartIp(Speaker):
    """Every HART-IP session of a capture."""

    def __init__(self, out: Out) -> None:
        super().__init__(out)
        self._pairs = Pairs[dict[str, Any]](MAX_WAITING)

    def stream(self, talk: Talk) -> Framed:
        return Framed(talk, _size, self._message, MAX_FRAME)

    def datagram(self, data: bytes, talk: Talk, at: Moment) -> bool:
        size = _size(data, 0)
        if size < 8:
            return False
        self._message(data[:size], talk, at)
        return True

    def _message(self, data: bytes, talk: Talk, at: Moment) -> None:
        version, kind, what, status, sequence, _ = _head(data)
        answers = kind != 0
        fields: dict[str, Any] = {
            "ot.protocol": "hart_ip",
            "ot.function.name": _NAMES.get(what, f"Message {what}"),
            "ot.message.type": _KINDS.get(kind & 0x0F, f"type {kind}"),
            "ot.transaction_id": sequence,
            "ot.is_request": not answers,
        }
        if answers and status:
            fields |= {"ot.status": str(status), "ot.function.class": "error"}
        body = data[8:]
        if what == _TOKEN and version <= 2:
            fields |= self._token(body)
        elif what == _DIRECT:
            fields |= self._direct(body, answers)
        elif what == 0 and len(body) >= 5:
            fields["ot.value"] = f"{'primary' if body[0] else 'secondary'},{int.from_bytes(body[1:5], 'big')}"
        ends = (talk.destination, talk.source) if answers else (talk.source, talk.destination)
        key = (ends[0], sequence, what)
        if not answers:
            self._pairs.ask(key, {"ot.address": fields.get("ot.address"), "ot.unit_id": fields.get("ot.unit_id")})
        else:
            for name, value in (self._pairs.answer(key) or {}).items():
                if fields.get(name) is None:
                    fields[name] = value
        self.out.add("ot", at, talk, fields)

    def _token(self, body: bytes) -> dict[str, Any]:
        """A HART frame: delimiter, address, command, count, data, check."""
        if len(body) < 4:
            return {"event.flags": ["truncated"]} if body else {}
        delimiter = body[0]
        wide = 5 if delimiter & 0x80 else 1
        place = 1 + wide + (delimiter >> 5 & 3)
        if len(body) < place + 2:
            return {"event.flags": ["truncated"]}
        address, command, count = body[1 : 1 + wide], body[place], body[place + 1]
        data = body[place + 2 : place + 2 + count]
        answers = delimiter & 7 in (1, 6)
        where = {"ot.address": bytes((address[0] & 0x3F, *address[1:])).hex()} if wide == 5 else {}
        unit = {} if where else {"ot.unit_id": address[0] & 0x3F}
        return where | unit | _command(command, data, answers)

    def _direct(self, body: bytes, answers: bool) -> dict[str, Any]:
        """Device status, extended status, then commands; the first is the row's."""
        if len(body) < 5:
            return {"event.flags": ["truncated"]} if body else {}
        command, count = int.from_bytes(body[2:4], "big"), body[4]
        data = body[5 : 5 + count]
        code, data = (data[:1], data[1:]) if answers else (b"", data)
        return _command(command, code + b"\0" * answers + data, answers)


def _command(command: int, data: bytes, answers: bool) -> dict[str, Any]:
    code = -1
    if answers and len(data) >= 1:
        code, data = data[0], data[2:]
    if command == _EXTENDED and len(data) >= 2:
        command, data = int.from_bytes(data[:2], "big"), data[2:]
    name, kind = FUNCTIONS.get(command, (f"Command {command}", None))
    fields: dict[str, Any] = {
        "ot.function.code": command,
        "ot.function.name": name,
        "ot.function.class": kind,
        "ot.value": _value(command, data, answers),
    }
    if code >= 0:
        fields["ot.status"] = str(code)
        # bit 7: a fault on the line; 8 and 24-31 and from 96 on are warnings of some commands
        if code & 0x80 or (0 < code < 24 and code != 8) or 32 <= code < 96:
            fields["ot.function.class"] = "error"
    return fields


def _size(data: bytes | bytearray, at: int) -> int:
    """Bytes of the message at a place: version, type, id and status in range, count within bounds."""
    room = len(data) - at
    if data[at] not in (1, 2):
        return -1
    if room < 8:
        return 0
    if data[at + 1] & 0x0F not in _KINDS or data[at + 1] & 0x70 or data[at + 2] > 5:
        return -1
    size = data[at + 6] << 8 | data[at + 7]
    return size if 8 <= size <= MAX_FRAME else -1


def starts(data: bytes, usual: bool) -> bool:
    """A whole header on the usual ports; elsewhere a session's beginning of its exact size."""
    size = _size(data, 0) if data else -1
    return usual and (size == 0 or size >= 8)


PROTOCOLS = (Protocol("hart_ip", starts, HartIp, tcp=(PORT, 5095), udp=(PORT, 5095)),)
