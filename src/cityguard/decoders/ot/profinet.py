"""PROFINET on Ethernet (IEC 61158-6-10): DCP, cyclic real-time data and alarms, to one row per frame.

``ot.function.code`` is the DCP service id, null for real-time frames; ``ot.address`` is the frame id of these and the
options of DCP blocks (of a set's response those of its request); ``ot.value`` what they say (station name, address).
"""

from __future__ import annotations

import ipaddress
import json
import struct
from typing import Any

from cityguard.decoders.events import Talk
from cityguard.decoders.protocol import Out, Protocol, Speaker
from cityguard.decoders.stream import Moment
from cityguard.decoders.wire.pairs import Pairs
from cityguard.model import LogSource

ETHERTYPE = 0x8892
MAX_BLOCKS = 32
MAX_WAITING = 4_096
"""Requests of a capture that wait for their responses."""

FUNCTIONS: dict[int, tuple[str, str | None]] = {
    3: ("DCP Get", "read"),
    4: ("DCP Set", "program"),
    5: ("DCP Identify", "diagnostic"),
    6: ("DCP Hello", "diagnostic"),
}
_FRAMES = {0xFEFC: "hello", 0xFEFD: "get-set", 0xFEFE: "identify-request", 0xFEFF: "identify-response"}
_OPTIONS = {
    (1, 1): "MAC address",
    (1, 2): "IP parameter",
    (1, 3): "full IP suite",
    (2, 1): "type of station",
    (2, 2): "name of station",
    (2, 3): "device id",
    (2, 4): "device role",
    (2, 5): "device options",
    (2, 6): "alias name",
    (2, 7): "device instance",
    (2, 8): "OEM device id",
    (5, 1): "start transaction",
    (5, 2): "end transaction",
    (5, 3): "signal",
    (5, 4): "response",
    (5, 5): "reset factory settings",
    (5, 6): "reset to factory",
    (6, 1): "device initiative",
    (255, 255): "all",
}
_CONTROLS = frozenset(((5, 3), (5, 5), (5, 6)))
_ERRORS = "ok,option unsupported,suboption unsupported,suboption not set,resource error,set not possible,in operation"
_SET, _RESPONSE = 4, (5, 4)
Block = tuple[int, int, bytes, int]
_head = struct.Struct(">HBBIHH").unpack_from


def _blocks(data: bytes, service: int, answers: bool) -> list[Block]:
    """Option, suboption, content and block info (-1 = none) of each block."""
    found: list[Block] = []
    place = 0
    while place + 2 <= len(data) and len(found) < MAX_BLOCKS:
        option, sub = data[place], data[place + 1]
        if service == 3 and not answers:  # a get lists options alone
            found.append((option, sub, b"", -1))
            place += 2
            continue
        if place + 4 > len(data):
            break
        size = data[place + 2] << 8 | data[place + 3]
        body = data[place + 4 : place + 4 + size]
        info = -1
        if (answers or service in (4, 6)) and option != 255 and (option, sub) != _RESPONSE and len(body) >= 2:
            info, body = body[0] << 8 | body[1], body[2:]
        found.append((option, sub, body, info))
        place += 4 + size + size % 2
    return found


def _text(option: int, sub: int, body: bytes) -> str | None:
    """What a block says, where it is text or addresses."""
    if (option, sub) == _RESPONSE and len(body) >= 3:
        names = _ERRORS.split(",")
        return names[body[2]] if body[2] < len(names) else str(body[2])
    if option == 1 and sub in (2, 3) and len(body) >= 12:
        return "/".join(str(ipaddress.IPv4Address(body[at : at + 4])) for at in (0, 4, 8))
    if option == 2 and sub in (1, 2, 6):
        return body[:240].decode("latin-1").rstrip("\0") or None
    return body[:16].hex() or None


class Profinet(Speaker):
    """Every PROFINET frame of a capture."""

    def __init__(self, out: Out) -> None:
        super().__init__(out)
        self._pairs: Pairs[dict[str, Any]] = Pairs(MAX_WAITING)

    def datagram(self, data: bytes, talk: Talk, at: Moment) -> bool:
        if len(data) < 4 or not talk.link:
            return False
        frame = data[0] << 8 | data[1]
        fields: dict[str, Any] = {"ot.protocol": "profinet_dcp" if frame in _FRAMES else "profinet_rt"}
        if frame in _FRAMES:
            if len(data) < 12:
                return False
            fields |= _dcp(data, frame)
            self._match(fields, talk)
        else:
            known = _real_time(data, frame)
            if known is None:
                return False
            fields |= known
        fields["network.protocol"] = "profinet"
        self.out.add("ot", at, talk, fields)
        return True

    def _match(self, fields: dict[str, Any], talk: Talk) -> None:
        """Give the response of a set the options, their number and the class of its request."""
        if fields["ot.function.code"] != _SET:
            return
        number = fields["ot.transaction_id"]
        if fields["ot.is_request"]:
            names = ("ot.address", "ot.quantity", "ot.function.class")
            self._pairs.ask((talk.source, talk.destination, number), {name: fields.get(name) for name in names})
            return
        asked = self._pairs.answer((talk.destination, talk.source, number)) or {}
        failed = fields["ot.function.class"] == "error"
        fields |= asked | ({"ot.function.class": "error"} if failed else {})


def _option(one: Block) -> tuple[int, int]:
    """The option a block is about: of a response block the one it answers."""
    option, sub, body, _ = one
    return (body[0], body[1]) if (option, sub) == _RESPONSE and len(body) >= 2 else (option, sub)


def _dcp(data: bytes, frame: int) -> dict[str, Any]:
    _, service, kind, transaction, _, size = _head(data)
    answers = kind & 1 > 0
    name, klass = FUNCTIONS.get(service, (f"DCP service {service}", None))
    blocks = _blocks(data[12 : 12 + size], service, answers)
    fields: dict[str, Any] = {
        "ot.function.code": service,
        "ot.function.name": name,
        "ot.function.class": "control" if any(_option(one) in _CONTROLS for one in blocks) else klass,
        "ot.message.type": "response" if answers else "request",
        "ot.transaction_id": transaction,
        "ot.is_request": not answers,
        "ot.quantity": len(blocks),
        "event.fields": json.dumps({"frame_id": f"0x{frame:04x}", "service_type": kind} | _station(blocks)),
    }
    if blocks:
        fields["ot.address"] = ",".join(_OPTIONS.get(one, f"{one[0]}.{one[1]}") for one in map(_option, blocks[:8]))
        said = [text for one in blocks[:8] if (text := _text(*one[:3])) is not None]
        fields["ot.value"] = ",".join(said)[:512] or None
    results = [one[2][2] for one in blocks if one[:2] == _RESPONSE and len(one[2]) >= 3]
    if results:
        fields["ot.status"] = str(results[0])
        if any(results):
            fields["ot.function.class"] = "error"
    if kind & 4:  # service not supported
        fields |= {"ot.status": "unsupported", "ot.function.class": "error"}
    return fields


def _station(blocks: list[Block]) -> dict[str, str]:
    """The name of station a message tells or sets."""
    name = next((_text(*one[:3]) for one in blocks if one[:2] == (2, 2)), None)
    return {"name_of_station": name} if name else {}


def _real_time(data: bytes, frame: int) -> dict[str, Any] | None:
    """A cyclic frame: data, cycle counter, data status, transfer status; or an alarm or clock frame."""
    fields: dict[str, Any] = {"ot.address": f"0x{frame:04x}"}
    if 0x0100 <= frame <= 0xBFFF or 0xC000 <= frame <= 0xFBFF:
        if len(data) < 8:
            return None
        status = data[-2]
        running = "run" if status & 0x10 else "stop"
        valid = "valid" if status & 0x04 else "invalid"
        fields |= {"ot.function.name": "RT cyclic data", "ot.message.type": "cyclic"}
        return fields | {"ot.status": f"{running},{valid},{'good' if status & 0x20 else 'problem'}"}
    if frame in (0xFC01, 0xFE01):
        urgent = "high" if frame == 0xFC01 else "low"
        return fields | {"ot.function.name": f"Alarm {urgent}", "ot.message.type": "alarm"}
    if frame < 0x0100 or 0xFF00 <= frame <= 0xFFFF:
        return fields | {"ot.function.name": "Clock synchronisation", "ot.message.type": "ptcp"}
    return None


SOURCES = {"ot": LogSource(("ot_command",), ("profinet", "profinet_dcp", "profinet_rt"), ())}
PROTOCOLS = (Protocol("profinet", speaker=Profinet, sources=SOURCES, frames=(ETHERTYPE,)),)
