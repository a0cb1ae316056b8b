"""BACnet/IP (ANSI/ASHRAE 135, annex J, clauses 6 and 20) and BACnet on 802.3 (clause 7): one row per message.

A request waits, bounded, so that its acknowledgement, error, reject or abort gets its object and service.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

import orjson

from cityguard.decoders.events import End, Talk
from cityguard.decoders.layers import Kind
from cityguard.decoders.ot import bacnet_apdu as apdu
from cityguard.decoders.ot import bacnet_names as names
from cityguard.decoders.protocol import Mark, Out, Protocol, Speaker
from cityguard.decoders.stream import Moment
from cityguard.model import LogSource

PORTS = tuple(range(47808, 47824))
MAX_WAITING = 16_384
MAX_SEGMENTED = 512
"""Segmented messages put together at once."""
MAX_MESSAGE = 65_536
"""Bytes of one message put together from segments."""
_SHOWN = 512
"""Bytes of a payload a protocol is recognised by (``recognise.HEAD``)."""
_RESULT, _FORWARDED = 0, 4
_NPDU = frozenset((4, 9, 10, 11))
_TYPES = (
    "confirmed-request",
    "unconfirmed-request",
    "simple-ack",
    "complex-ack",
    "segment-ack",
    "error",
    "reject",
    "abort",
)
_CONFIRMED, _UNCONFIRMED, _SIMPLE, _COMPLEX, _SEGMENT_ACK, _ERROR, _REJECT, _ABORT = range(8)

Fields = dict[str, Any]
Key = tuple[End, End, bytes, bytes, int]
"""Who asked, who was asked, the network and address behind each that is not on this one, invoke id."""


def starts(data: bytes, usual: bool) -> bool:
    """A BVLC header whose length is that of the datagram, with a network header of version 1 where one follows."""
    if len(data) < 4 or data[0] != 0x81 or data[1] >= len(names.BVLC):
        return False
    size = int.from_bytes(data[2:4], "big")
    if size < 4 or (size != len(data) and not usual and not size > len(data) >= _SHOWN):
        return False
    begin = 10 if data[1] == _FORWARDED else 4
    return data[1] not in _NPDU or data[begin : begin + 1] == b"\1"


@dataclass(slots=True)
class _Network:
    """The network header (6.2)."""

    message: int | None = None
    goes: bytes = b""
    comes: bytes = b""
    """Network and address of the far ends that are not on this one: where a message goes and comes from."""
    fields: Fields = field(default_factory=dict)
    end: int = 0


@dataclass(slots=True)
class _Asked:
    service: int
    name: str
    kind: str | None
    address: str | None
    quantity: int | None


class Bacnet(Speaker):
    """BACnet of a capture."""

    def __init__(self, out: Out) -> None:
        super().__init__(out)
        self._row = out.rows("ot").add
        self._waiting: OrderedDict[Key, _Asked] = OrderedDict()
        self._segments: OrderedDict[tuple[Key, int], dict[int, bytes]] = OrderedDict()

    def datagram(self, data: bytes, talk: Talk, at: Moment) -> bool:
        if talk.link:
            if _network(data) is None:
                return False
            self._npdu(data, talk, at, {})
            return True
        if len(data) < 4 or data[0] != 0x81 or data[1] >= len(names.BVLC):
            return False
        size = int.from_bytes(data[2:4], "big")
        if size < 4:
            return False
        function, body = data[1], data[4:size]
        extra: Fields = {"bvlc": names.BVLC[function]}
        if function not in _NPDU:
            self._bvlc(function, body, talk, at, extra, cut=size > len(data))
        elif function == _FORWARDED:
            extra["forwarded_from"] = ".".join(map(str, body[:4])) + f":{int.from_bytes(body[4:6], 'big')}"
            self._npdu(body[6:], talk, at, extra, cut=size > len(data))
        else:
            self._npdu(body, talk, at, extra, cut=size > len(data))
        return True

    def _add(self, row: Fields, extra: Fields, talk: Talk, at: Moment, *, cut: bool = False) -> None:
        row["ot.protocol"] = "bacnet"
        if cut:
            row["event.flags"] = ["truncated"]
        if extra:
            row["event.fields"] = orjson.dumps(extra).decode()
        self._row(at.number, at.time, talk, row)

    def _bvlc(self, function: int, body: bytes, talk: Talk, at: Moment, extra: Fields, *, cut: bool) -> None:
        """A function of the link layer itself, or one that is cut short."""
        row: Fields = {
            "ot.function.name": names.BVLC[function],
            "ot.function.class": names.BVLC_CLASSES.get(function),
            "ot.message.type": "bvlc",
            "ot.is_request": function not in (_RESULT, 3, 7),
        }
        if cut:
            row["event.flags"] = ["truncated"]
        elif function == _RESULT and len(body) >= 2:
            code = int.from_bytes(body[:2], "big")
            row["ot.status"] = names.BVLC_RESULTS.get(code, f"0x{code:04X}")
            row["ot.function.class"] = "error" if code else None
        elif function == 5 and len(body) >= 2:
            row["ot.value"] = str(int.from_bytes(body[:2], "big"))
        elif function in (1, 3, 7):
            row["ot.quantity"] = len(body) // 10
        elif function == 8 and len(body) >= 6:
            row["ot.address"] = ".".join(map(str, body[:4])) + f":{int.from_bytes(body[4:6], 'big')}"
        self._add(row, extra, talk, at)

    def _npdu(self, data: bytes, talk: Talk, at: Moment, extra: Fields, *, cut: bool = False) -> None:
        head = _network(data)
        if head is None:
            row: Fields = {"ot.message.type": "npdu", "event.flags": ["undecoded"]}
            self._add(row, extra, talk, at)
            return
        extra |= head.fields
        if head.message is not None:
            self._network_message(head.message, data[head.end :], talk, at, extra)
            return
        self._apdu(data[head.end :], head, talk, at, extra, cut=cut)

    def _network_message(self, kind: int, body: bytes, talk: Talk, at: Moment, extra: Fields) -> None:
        """A message of the network layer (6.4)."""
        name, group = names.NETWORK.get(kind, (f"Network message 0x{kind:02X}", None))
        row: Fields = {
            "ot.function.name": name,
            "ot.function.class": group,
            "ot.message.type": "network",
            "ot.is_request": group in ("diagnostic", "write", "control"),
        }
        if kind in (0, 1, 2, 4, 5, 0x13):
            networks = [str(int.from_bytes(body[i : i + 2], "big")) for i in range(0, min(len(body), 32) - 1, 2)]
            row["ot.value"] = ",".join(networks) or None
        elif kind == 3 and len(body) >= 3:
            row["ot.status"], row["ot.address"] = str(body[0]), str(int.from_bytes(body[1:3], "big"))
        self._add(row, extra, talk, at)

    def _apdu(self, data: bytes, head: _Network, talk: Talk, at: Moment, extra: Fields, *, cut: bool) -> None:
        """A message of the application layer (20.1)."""
        kind = data[0] >> 4 if data else 8
        if kind > _ABORT:
            self._add({"ot.message.type": "apdu", "event.flags": ["undecoded"]}, extra, talk, at)
            return
        row: Fields = {"ot.message.type": _TYPES[kind], "ot.is_request": kind <= _UNCONFIRMED}
        if kind == _UNCONFIRMED:
            if len(data) < 2:
                row["event.flags"] = ["truncated"]
            else:
                _name(row, data[1], names.UNCONFIRMED)
                apdu.unconfirmed(data[1], data[2:], row, extra)
        elif len(data) < (4 if kind == _CONFIRMED else 3):
            row["event.flags"] = ["truncated"]
        elif kind == _CONFIRMED:
            self._request(data, head, talk, row, extra)
        else:
            self._answer(kind, data, head, talk, row, extra)
        self._add(row, extra, talk, at, cut=cut)

    def _request(self, data: bytes, head: _Network, talk: Talk, row: Fields, extra: Fields) -> None:
        segmented, invoke = data[0] & 8 > 0, data[2]
        begin = 6 if segmented else 4
        if len(data) < begin:
            row["event.flags"] = ["truncated"]
            return
        service = data[begin - 1]
        row["ot.transaction_id"] = invoke
        kind = _name(row, service, names.CONFIRMED)
        key = (talk.source, talk.destination, head.comes, head.goes, invoke)
        body: bytes | None = data[begin:]
        if segmented:
            extra["segment"] = data[3]
            body = self._whole((key, 0), data[3], data[0] & 4 > 0, data[begin:])
        if body is not None:
            apdu.confirmed(service, body, row, extra)
        asked = _Asked(service, row["ot.function.name"], kind, row.get("ot.address"), row.get("ot.quantity"))
        self._waiting[key] = asked
        self._waiting.move_to_end(key)
        if len(self._waiting) > MAX_WAITING:
            self._waiting.popitem(last=False)

    def _answer(self, kind: int, data: bytes, head: _Network, talk: Talk, row: Fields, extra: Fields) -> None:
        invoke = data[1]
        row["ot.transaction_id"] = invoke
        key = (talk.destination, talk.source, head.goes, head.comes, invoke)
        asked = self._waiting.get(key)
        begin, service = 3, data[2]
        if kind == _COMPLEX and data[0] & 8:
            begin = 5
            if len(data) < begin:
                row["event.flags"] = ["truncated"]
                return
            service = data[4]
        if kind in (_SIMPLE, _COMPLEX, _ERROR):
            asked = asked if asked and asked.service == service else None
            row["ot.function.class"] = _name(row, service, names.CONFIRMED)
        elif asked:
            row["ot.function.code"], row["ot.function.name"] = asked.service, asked.name
            row["ot.function.class"] = asked.kind
        if asked:
            row["ot.address"] = asked.address
            row["ot.quantity"] = asked.quantity
        if kind == _COMPLEX:
            body: bytes | None = data[begin:]
            if data[0] & 8:
                extra["segment"] = data[2]
                body = self._whole((key, 1), data[2], data[0] & 4 > 0, data[begin:])
            if body is not None:
                apdu.acknowledged(service, body, row, extra)
        elif kind == _SEGMENT_ACK:
            extra |= {"segment": data[2], "negative": data[0] & 2 > 0}
        elif kind in (_ERROR, _REJECT, _ABORT):
            row["ot.function.class"] = "error"
            _failed(kind, data, row, extra)
        if kind != _SEGMENT_ACK and not (kind == _COMPLEX and data[0] & 4):
            self._waiting.pop(key, None)

    def _whole(self, key: tuple[Key, int], number: int, more: bool, data: bytes) -> bytes | None:
        """A segment (5.3); returns the message when this is its last and all before it are there."""
        parts = self._segments.pop(key, {})
        if number == 0:
            parts = {}
        if sum(map(len, parts.values())) + len(data) > MAX_MESSAGE:
            return None
        parts[number] = data
        if more:
            self._segments[key] = parts
            if len(self._segments) > MAX_SEGMENTED:
                self._segments.popitem(last=False)
            return None
        return (
            b"".join(parts[index] for index in range(len(parts)))
            if all(map(parts.__contains__, range(number + 1)))
            else None
        )


def _name(row: Fields, service: int, table: tuple[tuple[str, str | None], ...]) -> str | None:
    """Name a service; returns its class."""
    name, kind = table[service] if service < len(table) else (f"Service {service}", None)
    row["ot.function.code"], row["ot.function.name"], row["ot.function.class"] = service, name, kind
    return kind


def _failed(kind: int, data: bytes, row: Fields, extra: Fields) -> None:
    if kind == _ERROR:
        told = apdu.error(data[3:])
        if told:
            extra["error_class"], row["ot.status"] = told
    else:
        row["ot.status"] = names.named(names.REJECTS if kind == _REJECT else names.ABORTS, data[2])


def _network(data: bytes) -> _Network | None:
    """Read the network header; None when it is none."""
    if len(data) < 2 or data[0] != 1:
        return None
    control, at = data[1], 2
    head = _Network()
    for bit, name in ((0x20, "dnet"), (0x08, "snet")):
        if not control & bit:
            continue
        if at + 3 > len(data):
            return None
        size = data[at + 2]
        if at + 3 + size > len(data):
            return None
        head.fields[name] = int.from_bytes(data[at : at + 2], "big")
        if size:
            head.fields[name[0] + "adr"] = data[at + 3 : at + 3 + size].hex()
        if name == "snet":
            head.comes = data[at : at + 3 + size]
        elif head.fields[name] != 0xFFFF:
            head.goes = data[at : at + 3 + size]
        at += 3 + size
    if control & 0x20:
        at += 1
    if control & 0x80:
        if at >= len(data):
            return None
        head.message = data[at]
        at += 1 if head.message < 0x80 else 3
    head.end = at
    return head


PROTOCOLS = (
    Protocol(
        "bacnet",
        starts,
        Bacnet,
        {"ot": LogSource(("ot_command",), ("bacnet",), ())},
        udp=PORTS,
        frames=(Kind.LLC_BACNET,),
        marks=(Mark(b"\x81\0\0", 0, b"\xff\xf0\xf8"),),
    ),
)
