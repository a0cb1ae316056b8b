"""MQTT 3.1, 3.1.1 and 5 (OASIS): connections with client and user, publications and subscriptions with their topics.

Publications whose topic commands a device are rows of ``ot`` too, and frames of meters in them (``mqtt_command``).
"""

from __future__ import annotations

import json
from typing import Any

from cityguard.decoders.app import mqtt_command
from cityguard.decoders.events import Talk
from cityguard.decoders.ot import carried_meter
from cityguard.decoders.protocol import Mark, Out, Protocol, Speaker
from cityguard.decoders.stream import Moment
from cityguard.decoders.wire.dialogue import readable
from cityguard.decoders.wire.framed import Framed
from cityguard.model import LogSource

MAX_PACKET = 1 << 20
MAX_TOPICS = 16
_KINDS = (
    "reserved connect connack publish puback pubrec pubrel pubcomp subscribe suback unsubscribe unsuback pingreq "
    "pingresp disconnect auth"
)
KINDS = tuple(_KINDS.split())
_CONNECT, _CONNACK, _PUBLISH, _SUBSCRIBE, _UNSUBSCRIBE, _DISCONNECT = 1, 2, 3, 8, 10, 14


def _length(data: bytes | bytearray, at: int) -> tuple[int, int]:
    """A variable byte integer: value and its width; width 0 = more is needed, -1 = malformed."""
    value = 0
    for width in range(4):
        if at + width >= len(data):
            return 0, 0
        value |= (data[at + width] & 0x7F) << 7 * width
        if data[at + width] < 0x80:
            return value, width + 1
    return 0, -1


def _string(data: bytes, at: int) -> tuple[bytes, int]:
    if at + 2 > len(data):
        return b"", len(data)
    end = at + 2 + int.from_bytes(data[at : at + 2], "big")
    return data[at + 2 : end], min(end, len(data))


class Conversation(Framed):
    """One connection."""

    def __init__(self, out: Out, talk: Talk) -> None:
        super().__init__(talk, _size, self._packet, MAX_PACKET)
        self._out = out
        self._who: dict[str, Any] = {}
        self._client = ""
        self._five = False
        self._login: tuple[Talk, Moment, dict[str, Any]] | None = None

    def _packet(self, data: bytes, talk: Talk, at: Moment) -> None:
        kind = data[0] >> 4
        _, width = _length(data, 1)
        body = data[1 + width :]
        if kind == _CONNECT:
            self._connect(body, talk, at)
        elif kind == _CONNACK and len(body) >= 2 and self._login is not None:
            self._logged_in(body[1])
        elif kind == _PUBLISH:
            topic, place = _string(body, 0)
            name, qos, retain = readable(topic, 512), data[0] >> 1 & 3, bool(data[0] & 1)
            more = {"topic": name, "qos": qos, "retain": retain, "bytes": len(body) - place}
            self._row(talk, at, "publish", more)
            self._command(name, body, place + (2 if qos else 0), retain, talk, at)
        elif kind in (_SUBSCRIBE, _UNSUBSCRIBE):
            self._row(talk, at, KINDS[kind], {"topics": self._topics(body, kind == _SUBSCRIBE)})

    def _command(self, topic: str, body: bytes, place: int, retained: bool, talk: Talk, at: Moment) -> None:
        if mqtt_command.kind(topic) is None:
            return
        payload = body[self._past(body, place) :]
        for fields in mqtt_command.rows(topic, payload, self._client, retained=retained, captured=at.time):
            self._out.add("ot", at, talk, {"network.protocol": "mqtt"} | fields)

    def _connect(self, body: bytes, talk: Talk, at: Moment) -> None:
        name, place = _string(body, 0)
        if name not in (b"MQTT", b"MQIsdp") or place + 4 > len(body):
            return
        level, flags = body[place], body[place + 1]
        self._five = level >= 5
        place = self._past(body, place + 4)
        client, place = _string(body, place)
        if flags & 0x04:  # a will: its properties, topic and payload
            place = self._past(body, place)
            _, place = _string(body, place)
            _, place = _string(body, place)
        user = _string(body, place)[0] if flags & 0x80 else b""
        self._client = readable(client, 256)
        self._who = {"user.name": readable(user, 128) or None}
        more = {"client": self._client, "version": level, "password": bool(flags & 0x40)}
        self._login = (talk, at, more)

    def _past(self, body: bytes, place: int) -> int:
        """Behind the properties that version 5 has here."""
        if not self._five:
            return place
        size, width = _length(body, place)
        return place + max(width, 0) + size

    def _topics(self, body: bytes, asks: bool) -> list[str]:
        place = self._past(body, 2)
        found: list[str] = []
        while place < len(body) and len(found) < MAX_TOPICS:
            topic, place = _string(body, place)
            place += 1 if asks else 0
            found.append(readable(topic, 512))
        return found

    def _logged_in(self, code: int | None) -> None:
        if self._login is None:
            return
        talk, at, more = self._login
        self._login = None
        outcome = "unknown" if code is None else "failure" if code else "success"
        fields = {
            "event.action": "login",
            "event.outcome": outcome,
            "event.code": None if code is None else str(code),
            "service.name": "mqtt",
            "network.protocol": "mqtt",
            "event.fields": json.dumps({"mqtt": more}, ensure_ascii=False),
        }
        self._out.add("auth", at, talk, fields | self._who)

    def _row(self, talk: Talk, at: Moment, action: str, more: dict[str, Any]) -> None:
        fields = {
            "event.action": action,
            "service.name": "mqtt",
            "network.protocol": "mqtt",
            "event.fields": json.dumps({"mqtt": more}, ensure_ascii=False),
        }
        self._out.add("audit", at, talk, fields | self._who)

    def close(self) -> None:
        self._logged_in(None)


def _size(data: bytes | bytearray, at: int) -> int:
    kind, flags = data[at] >> 4, data[at] & 0x0F
    if kind == 0 or (kind in (6, 8, 10) and flags != 2) or (kind not in (3, 6, 8, 10) and flags):
        return -1
    size, width = _length(data, at + 1)
    if width <= 0:
        return width
    return 1 + width + size


class Mqtt(Speaker):
    """Every MQTT connection of a capture."""

    def stream(self, talk: Talk) -> Conversation:
        return Conversation(self.out, talk)


def starts(data: bytes, usual: bool) -> bool:
    """A CONNECT packet with the protocol's name."""
    if len(data) < 10 or data[0] != 0x10:
        return False
    _, width = _length(data, 1)
    return width > 0 and data[1 + width : 7 + width] in (b"\0\x04MQTT", b"\0\x06MQIs")


SOURCES = {
    "ot": LogSource(("ot_command",), ("mqtt", *carried_meter.PRODUCTS), ()),
    "auth": LogSource(("network",), ("zeek",), ("mqtt",)),
    "audit": LogSource(("network",), ("zeek",), ("mqtt",)),
}
PROTOCOLS = (Protocol("mqtt", starts, Mqtt, SOURCES, tcp=(1883,), marks=(Mark(b"\x10"),)),)
