"""BSAP (Bristol, document D4052) over UDP: serial frames in datagrams and BSAP/IP, to one row per message.

``ot.function.code`` is the operation of a remote database access (RDB) where the message is one, else the destination's
function; ``ot.address`` are signal names or addresses, ``ot.unit_id`` the local address of a serial frame.
"""

from __future__ import annotations

import json
import struct
from typing import Any

from cityguard.decoders.events import Talk
from cityguard.decoders.protocol import Mark, Out, Protocol, Speaker
from cityguard.decoders.stream import Moment
from cityguard.decoders.wire import crc
from cityguard.decoders.wire.pairs import Pairs

PORTS = (1234, 1235)
MAX_NAMES = 16
MAX_WAITING = 65_536
"""Requests of a capture that wait for their responses."""
_RDB, _RDB_EXTENSION = 0xA0, 0xA1

FUNCTIONS: dict[int, tuple[str, str | None]] = {
    0x00: ("Read Signal by Address", "read"),
    0x02: ("Read Logical by Address", "read"),
    0x04: ("Read Signal by Name", "read"),
    0x06: ("Read Logical by Name", "read"),
    0x0C: ("Read Signal by List Start", "read"),
    0x0D: ("Read Signal by List Continue", "read"),
    0x0E: ("Read Logical by List Start", "read"),
    0x0F: ("Read Logical by List Continue", "read"),
    0x80: ("Write Signal by Address", "write"),
    0x84: ("Write Signal by Name", "write"),
    0x8C: ("Write Signal by List Start", "write"),
    0x8D: ("Write Signal by List Continue", "write"),
}
"""Operations of remote database access."""
EXCHANGES: dict[int, tuple[str, str | None]] = {
    0x03: ("PEI", None),
    0x40: ("PEI RTU", None),
    0x48: ("Diagnostics", "diagnostic"),
    0x60: ("Communication Buffer", "diagnostic"),
    0x68: ("Flash Download", "program"),
    0x6A: ("Flash Configuration", "program"),
    0x70: ("Command Handler Request", "control"),
    0x71: ("Command Handler Response", "control"),
    0x78: ("Download Request", "program"),
    0x81: ("Dial-up Acknowledge", None),
    0x83: ("Acknowledge, Discarded", None),
    0x85: ("Poll", "read"),
    0x86: ("Down Transmit Acknowledge", None),
    0x87: ("Acknowledge, No Data", None),
    0x88: ("Time Synchronisation and Node Routing Table", "write"),
    0x89: ("Request Time Synchronisation", "read"),
    0x8A: ("Up Acknowledge with Poll", None),
    0x8B: ("Up Acknowledge", None),
    0x95: ("Negative Acknowledge, No Buffer", "error"),
    0xA1: ("RDB Extension", "control"),
    0xA2: ("Report by Exception", "read"),
    0xA3: ("Report by Exception Manager", "read"),
    0xA8: ("Alarm Acknowledge", "control"),
    0xA9: ("Alarm Initialise", "control"),
    0xAA: ("Alarm Report", "read"),
    0xB0: ("Peer to Peer Master", "write"),
    0xB1: ("Peer to Peer Slave", "read"),
}
"""Destination functions."""
_ip = struct.Struct("<HHHII").unpack_from


def _names(body: bytes, count: int) -> str | None:
    """NUL-terminated signal names, comma separated."""
    found = [name.decode("latin-1") for name in body.split(b"\0", min(count, MAX_NAMES))[: min(count, MAX_NAMES)]]
    return ",".join(name for name in found if name) or None


def _request(code: int, body: bytes) -> dict[str, Any]:
    """An RDB request after its operation: field select bytes, count, then names or addresses.

    Each low bit of the first byte says that one more byte of field selects follows; then security, then the count.
    """
    if len(body) < 3:
        return {}
    selects = (body[0] & 0x0F).bit_count()
    place = 1 + selects + (1 if code & 1 == 0 and code < 0x80 else 0)
    if code >= 0x80:
        place = 1
    if place >= len(body):
        return {}
    count, rest = body[place], body[place + 1 :]
    found: dict[str, Any] = {"ot.quantity": count}
    if code in (0x04, 0x06, 0x84):
        found["ot.address"] = _names(rest, count)
    elif code in (0x00, 0x02, 0x80):
        width = 2 if code < 0x80 else 3
        found["ot.address"] = ",".join(f"0x{rest[at + 1]:02x}{rest[at]:02x}" for at in _places(rest, count, width))
    return found


def _places(rest: bytes, count: int, width: int) -> range:
    most = min(count, MAX_NAMES, max(len(rest) - 1, 0) // width if width else 0)
    return range(0, most * width, width)


class Bsap(Speaker):
    """Every BSAP conversation of a capture."""

    def __init__(self, out: Out) -> None:
        super().__init__(out)
        self._pairs = Pairs[dict[str, Any]](MAX_WAITING)

    def datagram(self, data: bytes, talk: Talk, at: Moment) -> bool:
        if _is_serial(data):
            self._serial(data, talk, at)
            return True
        if _is_ip(data):
            self._ip(data, talk, at)
            return True
        return False

    def _serial(self, data: bytes, talk: Talk, at: Moment) -> None:
        """DLE STX, address, serial number, routing of a global message, functions, sequence, status, DLE ETX, CRC."""
        inner = data[2 : data.rfind(b"\x10\x03")].replace(b"\x10\x10", b"\x10")
        address, number = inner[0], inner[1]
        place, more = 2, {"serial": number}
        if address & 0x80:
            if len(inner) < 12:
                return
            more |= {"destination": inner[2] | inner[3] << 8, "source": inner[4] | inner[5] << 8}
            place = 7
        head = inner[place : place + 5]
        if len(head) < 4:
            exchange = head[0] if head else 0
            name, kind = EXCHANGES.get(exchange, (f"Function 0x{exchange:02x}", None))
            self._row(exchange, name, kind, address & 0x7F, None, True, {}, more, talk, at)
            return
        target, sequence, source = head[0], head[1] | head[2] << 8, head[3]
        body = inner[place + 5 :]
        self._message(target, source, sequence, body, address & 0x7F, more, talk, at)

    def _message(
        self,
        target: int,
        source: int,
        sequence: int,
        body: bytes,
        unit: int | None,
        more: dict[str, Any],
        talk: Talk,
        at: Moment,
    ) -> None:
        answers = source in (_RDB, _RDB_EXTENSION) and target != source
        fields: dict[str, Any] = {}
        exchange = source if answers else target
        if exchange == _RDB and not answers and body:
            code = body[0]
            name, kind = FUNCTIONS.get(code, (f"RDB 0x{code:02x}", None))
            fields = _request(code, body[1:])
            asked = {"code": code, "ot.address": fields.get("ot.address"), "ot.quantity": fields.get("ot.quantity")}
            self._pairs.ask((talk.source, talk.destination, sequence), asked)
        elif exchange == _RDB and answers:
            asked = self._pairs.answer((talk.destination, talk.source, sequence)) or {}
            known = asked.pop("code", None)
            code = known if known is not None else -1
            name, kind = FUNCTIONS.get(code, ("RDB Response", "read"))
            fields = asked | _answer(body)
            kind = "error" if fields.get("ot.status") not in (None, "0x00") else kind
            code = _RDB if code < 0 else code
        else:
            code = exchange
            name, kind = EXCHANGES.get(code, (f"Function 0x{code:02x}", None))
        self._row(code, name, kind, unit, sequence, not answers, fields, more, talk, at)

    def _ip(self, data: bytes, talk: Talk, at: Moment) -> None:
        """Header of 14 bytes (or 22), data length, then one sub-message after the other."""
        size, messages, function, sent, heard = _ip(data)
        more: dict[str, Any] = {"message_sequence": sent, "response_sequence": heard, "messages": messages}
        place = size
        rows = 0
        while messages and place + 4 <= len(data) and rows < 64:
            length = int.from_bytes(data[place : place + 4], "little")
            if length < 11 or place + length > len(data):
                break
            head = data[place + 4 : place + length]
            sequence = int.from_bytes(head[1:5], "little")
            if function == 5:
                self._message(0, _RDB, sequence, head[5:], None, more, talk, at)
            else:
                self._message(head[5], 0, sequence, head[7:], None, more, talk, at)
            rows += 1
            place += length
        if not rows:
            self._row(
                None, "Poll" if not messages else f"Message {function}", None, None, sent, True, {}, more, talk, at
            )

    def _row(
        self,
        code: int | None,
        name: str,
        kind: str | None,
        unit: int | None,
        sequence: int | None,
        asks: bool,
        fields: dict[str, Any],
        more: dict[str, Any],
        talk: Talk,
        at: Moment,
    ) -> None:
        self.out.add(
            "ot",
            at,
            talk,
            {
                "ot.protocol": "bsap",
                "ot.function.code": code,
                "ot.function.name": name,
                "ot.function.class": kind,
                "ot.unit_id": unit,
                "ot.transaction_id": sequence,
                "ot.message.type": "request" if asks else "response",
                "ot.is_request": asks,
                "event.fields": json.dumps(more),
            }
            | {name: value for name, value in fields.items() if value is not None},
        )


def _answer(body: bytes) -> dict[str, Any]:
    """Result byte, number of elements, data."""
    if not body:
        return {}
    found: dict[str, Any] = {"ot.status": f"0x{body[0]:02x}"}
    if len(body) > 2:
        found["ot.value"] = body[2:34].hex()
    return found


def _is_serial(data: bytes) -> bool:
    """DLE STX … DLE ETX and two bytes of check."""
    return len(data) >= 9 and data[:2] == b"\x10\x02" and data[-4:-2] == b"\x10\x03"


def _is_ip(data: bytes) -> bool:
    """A header whose length is 14 or 22, few messages, a known function, and a length that fits."""
    if len(data) < 14 or data[0] not in (14, 22) or data[1] or data[3]:
        return False
    messages, function = data[2], data[4] | data[5] << 8
    if messages == 0:
        return len(data) == data[0] and function in (0, 1, 5, 6)
    if function not in (0, 1, 5, 6, 0x84, 0x86) or len(data) < data[0] + 11:
        return False
    return int.from_bytes(data[data[0] : data[0] + 4], "little") <= len(data) - data[0]


def _is_sound(data: bytes) -> bool:
    """Whether the check of a serial frame is right: the one of HDLC, not inverted, over what lies between with ETX."""
    return crc.x25(data[2:-4].replace(b"\x10\x10", b"\x10") + b"\x03") ^ 0xFFFF == data[-2] | data[-1] << 8


def starts(data: bytes, usual: bool) -> bool:
    """On the usual ports either form; elsewhere a serial frame with the right check."""
    if _is_serial(data):
        return usual or _is_sound(data)
    return usual and _is_ip(data)


PROTOCOLS = (Protocol("bsap", starts, Bsap, udp=PORTS, marks=(Mark(b"\x10\x02"),)),)
