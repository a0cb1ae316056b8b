"""SIP (RFC 3261) over UDP and TCP: one row per transaction's final answer; registrations are logins."""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from typing import Any

from cityguard.decoders.events import Talk
from cityguard.decoders.protocol import Mark, Out, Protocol, Speaker
from cityguard.decoders.stream import Moment
from cityguard.decoders.wire.dialogue import readable

MAX_HEAD = 16_384
MAX_BODY = 1 << 20
MAX_WAITING = 16_384
WAIT = 32 * 1_000_000_000
"""ns a request waits for its final answer (timer B, 64*T1)."""
METHODS = (
    *(b"INVITE", b"ACK", b"BYE", b"CANCEL", b"REGISTER", b"OPTIONS", b"MESSAGE", b"SUBSCRIBE", b"NOTIFY"),
    *(b"INFO", b"PRACK", b"UPDATE", b"REFER", b"PUBLISH"),
)
_SHORT = {
    "f": "from",
    "t": "to",
    "i": "call-id",
    "m": "contact",
    "l": "content-length",
    "c": "content-type",
    "v": "via",
}
_USER = re.compile(r'username="?([^",;\s]{1,128})', re.IGNORECASE)


def message(data: bytes) -> tuple[str, dict[str, str], int] | None:
    """First line, headers in lower case and the head's length; None where no head ends in it."""
    end = data.find(b"\r\n\r\n", 0, MAX_HEAD)
    if end < 0:
        return None
    lines = data[:end].split(b"\r\n")
    headers: dict[str, str] = {}
    for line in lines[1:128]:
        name, _, value = line.partition(b":")
        key = name.strip().lower().decode("latin-1")
        headers.setdefault(_SHORT.get(key, key), readable(value))
    return readable(lines[0]), headers, end + 4


def _uri(text: str) -> str:
    begin, end = text.find("<"), text.find(">")
    uri = text[begin + 1 : end] if 0 <= begin < end else text.split(";")[0]
    return uri.strip()[:256]


def _person(uri: str) -> str:
    name = uri.partition(":")[2].partition("@")[0] if "@" in uri else ""
    return name.partition(";")[0]


class Calls(Speaker):
    """Every SIP conversation of a capture."""

    def __init__(self, out: Out) -> None:
        super().__init__(out)
        self._waiting: OrderedDict[tuple[str, str], tuple[Talk, Moment, dict[str, Any], bool]] = OrderedDict()

    def stream(self, talk: Talk) -> Stream:
        return Stream(self, talk)

    def datagram(self, data: bytes, talk: Talk, at: Moment) -> bool:
        found = message(data) or message(data + b"\r\n\r\n")
        if found is None or not _is_first(data):
            return False
        self.said(found[0], found[1], talk, at)
        return True

    def said(self, first: str, headers: dict[str, str], talk: Talk, at: Moment) -> None:
        """One message."""
        key = (headers.get("call-id", ""), headers.get("cseq", ""))
        if first.startswith("SIP/2.0 "):
            code = first[8:11]
            if code.isdigit() and int(code) >= 200 and key in self._waiting:
                self._give(key, int(code), first[12:])
            return
        method = first.split(" ")[0]
        if method == "ACK":
            return
        caller, callee = _uri(headers.get("from", "")), _uri(headers.get("to", ""))
        user = _USER.search(headers.get("authorization", headers.get("proxy-authorization", "")))
        more: dict[str, str | None] = {
            "method": method,
            "uri": first.split(" ")[1][:256] if " " in first else "",
            "from": caller,
            "to": callee,
        }
        more |= {
            "call_id": key[0][:256],
            "contact": _uri(headers.get("contact", "")),
            "body": headers.get("content-type"),
        }
        fields: dict[str, Any] = {
            "event.action": "login" if method == "REGISTER" else method.lower(),
            "user.name": (user[1] if user else _person(caller)) or None,
            "service.name": "sip",
            "user_agent.original": headers.get("user-agent") or None,
            "event.fields": json.dumps(
                {"sip": {name: value for name, value in more.items() if value}}, ensure_ascii=False
            ),
        }
        if key in self._waiting:
            return  # sent again
        self._waiting[key] = (talk, at, fields, method == "REGISTER")
        if len(self._waiting) > MAX_WAITING:
            self._give(next(iter(self._waiting)), None, "")

    def _give(self, key: tuple[str, str], code: int | None, reason: str) -> None:
        talk, at, fields, login = self._waiting.pop(key)
        challenged = code in (401, 407)
        outcome = "unknown" if code is None or challenged else "success" if code < 300 else "failure"
        fields |= {"event.outcome": outcome, "event.code": None if code is None else str(code)}
        fields["event.reason"] = reason[:128] or None
        self.out.add("auth" if login else "audit", at, talk, fields)

    def expire(self, now: int) -> None:
        while self._waiting:
            key = next(iter(self._waiting))
            if now - self._waiting[key][1].time <= WAIT:
                return
            self._give(key, None, "")

    def close(self) -> None:
        for key in list(self._waiting):
            self._give(key, None, "")


class Stream:
    """Messages on a TCP connection, by Content-Length."""

    def __init__(self, calls: Calls, talk: Talk) -> None:
        self.done, self.held = False, 0
        self._calls, self._talks = calls, (talk, talk.turned())
        self._buffers = (bytearray(), bytearray())
        self._skip = [0, 0]

    def feed(self, side: int, data: bytes, at: Moment) -> None:
        skip = min(self._skip[side], len(data))
        self._skip[side] -= skip
        buffer = self._buffers[side]
        buffer += data[skip:]
        while buffer:
            idle = len(buffer) - len(buffer.lstrip(b"\r\n"))
            del buffer[:idle]
            found = message(bytes(buffer[:MAX_HEAD]))
            if found is None:
                self.done = len(buffer) > MAX_HEAD
                break
            first, headers, size = found
            if not _is_first(bytes(buffer[:64])):
                self.done = True
                break
            length = headers.get("content-length", "0").strip()
            body = min(int(length), MAX_BODY) if length.isdigit() and len(length) < 9 else 0
            self._calls.said(first, headers, self._talks[side], at)
            self._skip[side] = max(0, size + body - len(buffer))
            del buffer[: size + body]
        self.held = len(self._buffers[0]) + len(self._buffers[1])

    def gap(self, side: int) -> None:
        self._buffers[side].clear()
        self._skip[side] = 0

    def close(self) -> None:
        """Nothing to give: transactions outlive connections."""


def _is_first(data: bytes) -> bool:
    line = data.split(b"\r\n", 1)[0]
    return line.startswith(b"SIP/2.0 ") or (
        line.split(b" ", 1)[0] in METHODS and line.endswith((b" SIP/2.0", b" SIP/2"))
    )


def starts(data: bytes, usual: bool) -> bool:
    """A request or status line of SIP/2.0."""
    return _is_first(data[:1_024]) or (usual and data[:8] == b"SIP/2.0 ")


PROTOCOLS = (
    Protocol(
        "sip",
        starts,
        Calls,
        tcp=(5060, 5061),
        udp=(5060, 5061),
        marks=(Mark(b"SIP/2.0 "), *(Mark(method + b" ") for method in METHODS)),
    ),
)
