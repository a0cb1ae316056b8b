"""LDAP v3 (RFC 4511) over TCP and UDP: binds, searches, changes, and their results. Passwords are passed over."""

from __future__ import annotations

import json
from collections import OrderedDict
from typing import Any

from cityguard.decoders.app.ntlm import account
from cityguard.decoders.events import End, Talk
from cityguard.decoders.protocol import Mark, Out, Protocol, Speaker
from cityguard.decoders.stream import Moment
from cityguard.decoders.wire.ber import Item, item, items
from cityguard.decoders.wire.dialogue import readable
from cityguard.decoders.wire.framed import Framed

MAX_MESSAGE = 1 << 20
MAX_WAITING = 4_096
_BIND, _SEARCH, _EXTENDED = 0, 3, 23
_REQUESTS = {0: "bind", 3: "search", 6: "modify", 8: "add", 10: "delete", 12: "rename", 14: "compare", 23: "extended"}
_ANSWERS = {1: 0, 5: 3, 7: 6, 9: 8, 11: 10, 13: 12, 15: 14, 24: 23}
_START_TLS = b"1.3.6.1.4.1.1466.20037"
_SASL = 14  # bind in progress
RESULTS = {
    0: "success",
    1: "operationsError",
    2: "protocolError",
    4: "sizeLimitExceeded",
    8: "strongerAuthRequired",
    10: "referral",
    14: "saslBindInProgress",
    16: "noSuchAttribute",
    32: "noSuchObject",
    34: "invalidDNSyntax",
    49: "invalidCredentials",
    50: "insufficientAccessRights",
    51: "busy",
    53: "unwillingToPerform",
    68: "entryAlreadyExists",
}


def _text(data: bytes, one: Item, most: int = 512) -> str:
    return readable(data[one.begin : one.end], most)


class Directory(Speaker):
    """Every LDAP conversation of a capture."""

    def __init__(self, out: Out) -> None:
        super().__init__(out)
        self._waiting: OrderedDict[tuple[End, End, int], tuple[Talk, Moment, str, dict[str, Any]]] = OrderedDict()
        self._users: OrderedDict[tuple[End, End], str] = OrderedDict()

    def stream(self, talk: Talk) -> Conversation:
        return Conversation(self, talk)

    def datagram(self, data: bytes, talk: Talk, at: Moment) -> bool:
        return self.message(data, talk, at) is not None

    def message(self, data: bytes, talk: Talk, at: Moment) -> str | None:
        """One message; returns its operation, "starttls" where encryption begins after it, None = it is none."""
        outer = item(data, 0, len(data))
        if outer is None or outer.number != 16:
            return None
        parts = list(items(data, outer.begin, outer.end))
        if len(parts) < 2 or parts[0].number != 2 or parts[1].form & 0xC0 != 0x40:
            return None
        number = int.from_bytes(data[parts[0].begin : min(parts[0].end, parts[0].begin + 8)], "big")
        operation = parts[1].number
        if operation in _REQUESTS:
            return self._asked(data, number, parts[1], talk, at)
        if operation in _ANSWERS:
            return self._answered(data, number, parts[1], talk)
        return "other"

    def _asked(self, data: bytes, number: int, one: Item, talk: Talk, at: Moment) -> str:
        action = _REQUESTS[one.number]
        inner = list(items(data, one.begin, one.end)) if one.form & 0x20 else []
        fields: dict[str, Any] = {}
        more: dict[str, Any] = {}
        if action == "bind" and len(inner) >= 3:
            fields["user.name"] = _text(data, inner[1]) or None
            more["mechanism"] = self._mechanism(data, inner[2], fields)
        elif action == "search" and len(inner) >= 2:
            more["base"] = _text(data, inner[0])
            more["scope"] = (
                ("base", "one", "sub")[min(data[inner[1].begin], 2)] if inner[1].end > inner[1].begin else ""
            )
            if len(inner) >= 8:
                more["attributes"] = [_text(data, name, 64) for name in items(data, inner[7].begin, inner[7].end)][:16]
        elif action == "extended" and inner:
            more["oid"] = _text(data, inner[0], 64)
        elif action == "delete":
            more["object"] = readable(data[one.begin : one.end], 512)
        elif inner:
            more["object"] = _text(data, inner[0])
        self._waiting[(talk.source, talk.destination, number)] = (talk, at, action, fields | {"more": more})
        if len(self._waiting) > MAX_WAITING:
            self._give(next(iter(self._waiting)), None, "")
        return action

    def _mechanism(self, data: bytes, one: Item, fields: dict[str, Any]) -> str:
        if one.number == 0:
            return "simple"
        secret = data[one.begin : min(one.end, one.begin + 16_384)]
        who = account(secret)
        if who is not None:
            fields |= who
            return "NTLM"
        first = item(data, one.begin, one.end)
        return _text(data, first, 32) if one.number == 3 and first is not None else "SASL"

    def _answered(self, data: bytes, number: int, one: Item, talk: Talk) -> str:
        inner = list(items(data, one.begin, one.end))
        if len(inner) < 3:
            return "other"
        code = int.from_bytes(data[inner[0].begin : min(inner[0].end, inner[0].begin + 4)], "big")
        key = (talk.destination, talk.source, number)
        if key not in self._waiting:
            return "other"
        starts_tls = self._waiting[key][3]["more"].get("oid") == _START_TLS.decode() and code == 0
        self._give(key, code, _text(data, inner[2], 256))
        return "starttls" if starts_tls else "other"

    def _give(self, key: tuple[End, End, int], code: int | None, said: str) -> None:
        talk, at, action, kept = self._waiting.pop(key)
        more = kept.pop("more")
        ends = (key[0], key[1])
        if action == "bind" and code == 0 and kept.get("user.name"):
            self._users[ends] = kept["user.name"]
            if len(self._users) > MAX_WAITING:
                self._users.popitem(last=False)
        outcome = "unknown" if code is None or code == _SASL else "success" if code == 0 else "failure"
        fields = {
            "event.action": "login" if action == "bind" else action,
            "event.outcome": outcome,
            "event.code": None if code is None else str(code),
            "event.reason": RESULTS.get(code) if code else None,
            "message": said or None,
            "service.name": "ldap",
            "user.name": self._users.get(ends),
            "event.fields": json.dumps({"ldap": more}, ensure_ascii=False),
        }
        fields |= {name: value for name, value in kept.items() if value is not None}
        self.out.add("auth" if action == "bind" else "audit", at, talk, fields)

    def close(self) -> None:
        for key in list(self._waiting):
            self._give(key, None, "")


class Conversation(Framed):
    """One connection."""

    def __init__(self, directory: Directory, talk: Talk) -> None:
        super().__init__(talk, _size, self._said, MAX_MESSAGE)
        self._directory = directory
        self.then = ""

    def _said(self, data: bytes, talk: Talk, at: Moment) -> None:
        if self._directory.message(data, talk, at) == "starttls":
            self.then = "tls"

    def feed(self, side: int, data: bytes, at: Moment) -> None:
        super().feed(side, data, at)
        self.done = self.done or bool(self.then)


def _size(data: bytes | bytearray, at: int) -> int:
    if data[at] != 0x30:
        return -1
    room = len(data) - at
    if room < 7:
        return 0
    size, head = data[at + 1], 2
    if size & 0x80:
        wide = size & 0x7F
        if not 1 <= wide <= 4:
            return -1
        size, head = int.from_bytes(data[at + 2 : at + 2 + wide], "big"), 2 + wide
    if room > head and data[at + head] != 2:
        return -1
    return head + size if size >= 5 else -1


def starts(data: bytes, usual: bool) -> bool:
    """A message with an id and an operation of the application's class."""
    if len(data) < 9 or data[0] != 0x30:
        return False
    outer = item(data, 0, 1 << 30)
    if outer is None:
        return False
    first = item(data, outer.begin, len(data))
    if first is None or first.number != 2 or first.form or first.end - first.begin > 4 or first.end >= len(data):
        return False
    tag = data[first.end]
    return tag & 0xC0 == 0x40 and tag & 0x1F in {*_REQUESTS, *_ANSWERS, 2, 16, 4, 19} and (usual or tag == 0x60)


PROTOCOLS = (Protocol("ldap", starts, Directory, tcp=(389, 3268), udp=(389,), marks=(Mark(b"\x30\x84\0\0"),)),)
