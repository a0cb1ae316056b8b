"""RADIUS (RFC 2865, 2866): logins and accounting, a request with its answer. Passwords are not read."""

from __future__ import annotations

import ipaddress
import json
from collections import OrderedDict
from typing import Any

from cityguard.decoders.events import End, Talk
from cityguard.decoders.protocol import Out, Protocol, Speaker
from cityguard.decoders.stream import Moment
from cityguard.decoders.wire.dialogue import readable

PORTS = (1812, 1813, 1645, 1646, 3799)
MAX_WAITING = 16_384
WAIT = 30 * 1_000_000_000
_ACCEPT, _REJECT, _CHALLENGE = 2, 3, 11
_NAMES = {1: "login", 4: "accounting", 40: "disconnect", 43: "change-of-authorization", 12: "status"}
_ANSWERS = {2: 1, 3: 1, 11: 1, 5: 4, 41: 40, 42: 40, 44: 43, 45: 43}
_STATUS = {1: "start", 2: "stop", 3: "interim", 7: "on", 8: "off"}


def attributes(data: bytes) -> dict[int, bytes]:
    """Attributes by type; of one that stands several times the first."""
    found: dict[int, bytes] = {}
    at = 20
    while at + 2 <= len(data) and data[at + 1] >= 2:
        found.setdefault(data[at], data[at + 2 : at + data[at + 1]])
        at += data[at + 1]
    return found


def is_packet(data: bytes) -> bool:
    """Whether lengths of packet and attributes agree."""
    if len(data) < 20 or data[0] not in {*_NAMES, *_ANSWERS}:
        return False
    size = data[2] << 8 | data[3]
    if not 20 <= size <= min(len(data), 4_096):
        return False
    at = 20
    while at < size:
        if at + 2 > size or data[at + 1] < 2:
            return False
        at += data[at + 1]
    return at == size


class Radius(Speaker):
    """Every RADIUS conversation of a capture."""

    def __init__(self, out: Out) -> None:
        super().__init__(out)
        self._waiting: OrderedDict[tuple[End, End, int, int], tuple[Talk, Moment, dict[str, Any]]] = OrderedDict()

    def datagram(self, data: bytes, talk: Talk, at: Moment) -> bool:
        if not is_packet(data):
            return False
        code, number = data[0], data[1]
        said = attributes(data[: data[2] << 8 | data[3]])
        if code in _NAMES:
            key = (talk.source, talk.destination, number, code)
            if key in self._waiting and self._waiting[key][2]["authenticator"] != data[4:20]:
                self._give(key, None, {})
            self._waiting.setdefault(key, (talk, at, {"said": said, "authenticator": data[4:20]}))
            if len(self._waiting) > MAX_WAITING:
                self._give(next(iter(self._waiting)), None, {})
            return True
        key = (talk.destination, talk.source, number, _ANSWERS[code])
        if key in self._waiting:
            self._give(key, code, said)
        return True

    def _give(self, key: tuple[End, End, int, int], code: int | None, answer: dict[int, bytes]) -> None:
        talk, at, kept = self._waiting.pop(key)
        said: dict[int, bytes] = kept["said"]
        action = _NAMES[key[3]]
        outcome = "success" if code in (2, 5, 41, 44) else "failure" if code in (3, 42, 45) else "unknown"
        more = {
            "called": readable(said.get(30, b""), 128),
            "calling": readable(said.get(31, b""), 128),
            "nas": _address(said.get(4, b"")) or readable(said.get(32, b""), 128),
            "framed_address": _address(said.get(8, b"")) or _address(answer.get(8, b"")),
            "status": _STATUS.get(int.from_bytes(said.get(40, b"")[-4:], "big")) if 40 in said else None,
            "challenge": code == _CHALLENGE,
        }
        fields = {
            "event.action": action,
            "event.outcome": outcome,
            "user.name": readable(said.get(1, b""), 128) or None,
            "message": readable(answer.get(18, b""), 256) or None,
            "service.name": "radius",
            "event.fields": json.dumps({"radius": {name: value for name, value in more.items() if value}}),
        }
        self.out.add("auth" if key[3] == 1 else "audit", at, talk, fields)

    def expire(self, now: int) -> None:
        while self._waiting:
            key = next(iter(self._waiting))
            if now - self._waiting[key][1].time <= WAIT:
                return
            self._give(key, None, {})

    def close(self) -> None:
        for key in list(self._waiting):
            self._give(key, None, {})


def _address(raw: bytes) -> str | None:
    return str(ipaddress.IPv4Address(raw)) if len(raw) == 4 else None


def starts(data: bytes, usual: bool) -> bool:
    """A packet whose lengths agree, on the usual ports."""
    return usual and is_packet(data)


PROTOCOLS = (Protocol("radius", starts, Radius, udp=PORTS),)
