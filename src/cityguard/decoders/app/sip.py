"""SIP (RFC 3261) over UDP and TCP: one row per transaction's final answer; registrations are logins.

Messages of GB/T 28181 (video) are told by ``ot.gb28181`` as ``ot`` rows; of them only registrations are rows here.
"""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from collections.abc import Hashable
from typing import Any

from cityguard.decoders.app import sip_message
from cityguard.decoders.app.sip_message import Head, is_first, person, uri
from cityguard.decoders.events import Talk
from cityguard.decoders.ot import gb28181_message
from cityguard.decoders.ot.gb28181 import Desk
from cityguard.decoders.protocol import Mark, Out, Protocol, Speaker
from cityguard.decoders.stream import Moment
from cityguard.model import LogSource

MAX_BODY = 1 << 20
MAX_WAITING = 16_384
MAX_LOST = 1_000
"""Times a connection finds its way back to a first line; then it is given up."""
MAX_LOST_BYTES = 1 << 18
_TAIL = 320
"""Octets a first line may have begun in."""
WAIT = 32 * 1_000_000_000
"""ns a request waits for its final answer (timer B, 64*T1)."""
_USER = re.compile(r'username="?([^",;\s]{1,128})', re.IGNORECASE)


class Calls(Speaker):
    """Every SIP conversation of a capture."""

    def __init__(self, out: Out) -> None:
        super().__init__(out)
        self.desk = Desk(out)
        self._waiting: OrderedDict[Hashable, tuple[Talk, Moment, dict[str, Any], bool]] = OrderedDict()

    def stream(self, talk: Talk) -> Stream:
        return Stream(self, talk)

    def datagram(self, data: bytes, talk: Talk, at: Moment) -> bool:
        found = sip_message.head(data) or sip_message.head(data + b"\r\n\r\n")
        if found is None or not is_first(data):
            return self._within(data, talk, at)
        self.said(found, data[found.size :], talk, at)
        return True

    def _within(self, data: bytes, talk: Talk, at: Moment) -> bool:
        """A message behind octets that are none of it: the gateways of cameras put them there."""
        start = sip_message.begins(data)
        frame = gb28181_message.read(data[start:]) if start > 0 else None
        if frame is None:
            return False
        self.video(frame, talk, at)
        return True

    def said(self, head: Head, body: bytes, talk: Talk, at: Moment) -> None:
        """One message and what follows it in its datagram."""
        if gb28181_message.is_video(head):
            self.video(gb28181_message.framed(head, body), talk, at)
        else:
            self.spoken(head, talk, at)

    def video(self, frame: gb28181_message.Frame, talk: Talk, at: Moment) -> None:
        """One message of GB/T 28181."""
        self.desk.said(frame, talk, at)
        if frame.method == "REGISTER":
            self.spoken(frame.head, talk, at, min(talk.source, talk.destination))

    def spoken(self, head: Head, talk: Talk, at: Moment, where: Hashable = None) -> None:
        """One message as part of its transaction; ``where`` tells transactions of one name apart."""
        headers = head.headers
        key = (head.get("call-id"), head.get("cseq"), where)
        method = head.method
        if method is None:
            code = head.code
            if code is not None and code >= 200 and key in self._waiting:
                self._give(key, code, head.first[12:])
            return
        if method == "ACK":
            return
        caller, callee = uri(head.get("from")), uri(head.get("to"))
        user = _USER.search(headers.get("authorization", headers.get("proxy-authorization", "")))
        more: dict[str, str | None] = {"method": method, "uri": head.uri, "from": caller, "to": callee}
        more |= {
            "call_id": head.get("call-id")[:256],
            "contact": uri(head.get("contact")),
            "body": headers.get("content-type"),
        }
        fields: dict[str, Any] = {
            "event.action": "login" if method == "REGISTER" else method.lower(),
            "user.name": (user[1] if user else person(caller)) or None,
            "service.name": "sip",
            "user_agent.original": head.get("user-agent") or None,
            "event.fields": json.dumps(
                {"sip": {name: value for name, value in more.items() if value}}, ensure_ascii=False
            ),
        }
        if key in self._waiting:
            return  # sent again
        self._waiting[key] = (talk, at, fields, method == "REGISTER")
        if len(self._waiting) > MAX_WAITING:
            self._give(next(iter(self._waiting)), None, "")

    def _give(self, key: Hashable, code: int | None, reason: str) -> None:
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
        self._pending: list[tuple[Head, int, Moment] | None] = [None, None]  # heads whose body is still to come
        self._lost, self._lost_bytes, self._video = 0, 0, False

    def feed(self, side: int, data: bytes, at: Moment) -> None:
        skip = min(self._skip[side], len(data))
        self._skip[side] -= skip
        self._buffers[side].extend(data[skip:])
        while self._buffers[side] and not self.done and self._next(side, at):
            pass
        self.held = len(self._buffers[0]) + len(self._buffers[1])

    def _next(self, side: int, at: Moment) -> bool:
        """Take one message off a side; False = more of it must come."""
        buffer = self._buffers[side]
        waiting = self._pending[side]
        if waiting is not None:
            if len(buffer) < waiting[1]:
                return False
            self._whole(side, at)
            return True
        idle = len(buffer) - len(buffer.lstrip(b"\r\n"))
        del buffer[:idle]
        if not buffer:
            return False
        start = bytes(buffer[: sip_message.MAX_HEAD])
        if not is_first(start):
            return not sip_message.may_begin(start) and self._find(side, at)
        head = sip_message.head(start)
        if head is None:
            return len(buffer) > sip_message.MAX_HEAD and self._find(side, at)
        del buffer[: head.size]
        body = min(head.length or 0, MAX_BODY)
        if gb28181_message.is_video(head):
            self._video = True
            self._pending[side] = (head, min(body, gb28181_message.MAX_MESSAGE - head.size), at)
            if body > gb28181_message.MAX_MESSAGE - head.size:
                self._whole(side, at)
        else:
            self._calls.spoken(head, self._talks[side], at)
            self._pass(side, body)
        return True

    def _whole(self, side: int, at: Moment) -> None:
        """The body of a message has come, or will not."""
        waiting, self._pending[side] = self._pending[side], None
        if waiting is None:
            return
        head, size, _ = waiting
        buffer = self._buffers[side]
        cut = len(buffer) < size or (head.length or 0) > size
        frame = gb28181_message.framed(head, bytes(buffer[:size]), cut=cut)
        self._calls.video(frame, self._talks[side], at)
        self._pass(side, min(head.length or 0, MAX_BODY))

    def _pass(self, side: int, count: int) -> None:
        buffer = self._buffers[side]
        self._skip[side] = max(0, count - len(buffer))
        del buffer[:count]

    def _find(self, side: int, at: Moment) -> bool:
        """Go on at the next first line; True = there is one. A connection that is lost too often is given up."""
        buffer = self._buffers[side]
        place = sip_message.begins(bytes(memoryview(buffer)[1:])) + 1
        gone = place or max(len(buffer) - _TAIL, 0)
        self._lost += 1 if place else 0
        self._lost_bytes += gone
        del buffer[:gone]
        if self._lost > MAX_LOST or self._lost_bytes > MAX_LOST_BYTES:
            self.done = True
            if self._video:
                self._calls.desk.malformed(self._talks[side], at)
        return place > 0

    def gap(self, side: int) -> None:
        if (waiting := self._pending[side]) is not None:
            self._whole(side, waiting[2])
        self._buffers[side].clear()
        self._skip[side] = 0

    def close(self) -> None:
        """Transactions outlive connections; messages do not."""
        for side in (0, 1):
            if (waiting := self._pending[side]) is not None:
                self._whole(side, waiting[2])


def starts(data: bytes, usual: bool) -> bool:
    """A request or status line of SIP/2.0, or what may become one; on its own ports also behind other octets."""
    if is_first(data[:1_024]) or (usual and data[:8] == b"SIP/2.0 "):
        return True
    if usual and sip_message.begins(data) >= 0:
        return True
    return sip_message.may_begin(data, least=1 if usual else 9) and (usual or b":" in data)


def within(data: bytes) -> bool:
    """Whether a message of GB/T 28181 lies anywhere in the first octets of a connection."""
    return gb28181_message.read(data) is not None


PROTOCOLS = (
    Protocol(
        "sip",
        starts,
        Calls,
        sources={"ot": LogSource(("ot_command",), ("gb28181",), ())},
        tcp=(5060, 5061),
        udp=(5060, 5061),
        within=within,
        needles=(b" SIP/2.0\r\n", b"SIP/2.0 "),
        marks=(Mark(b"SIP/2.0 "), *(Mark(method + b" ") for method in sip_message.METHODS)),
    ),
)
