"""Telnet (RFC 854): logins by what is prompted and typed; options are taken out, passwords are passed over."""

from __future__ import annotations

import re

from cityguard.decoders.events import Talk
from cityguard.decoders.protocol import Mark, Out, Protocol, Speaker
from cityguard.decoders.stream import Moment
from cityguard.decoders.wire.dialogue import readable

_IAC, _SB, _SE = 0xFF, 0xFA, 0xF0
_TAIL = 256
_MOST = 64 << 10
_PROMPTS = (b"login:", b"username:", b"user name:", b"user:", "用户名:".encode(), "用户名：".encode())
_FAILED = (b"incorrect", b"failed", b"invalid", b"denied", b"wrong", b"bad password", b"error:", "失败".encode())
_WORKED = (b"last login", b"welcome", b"logged in")
_PASSWORD = re.compile(
    rb"(?:pass(?:word|code|phrase)|\xe5\xaf\x86\xe7\xa0\x81|\xe5\x8f\xa3\xe4\xbb\xa4)[^\r\n:]{0,64}(?::|\xef\xbc\x9a)$"
)
"""A prompt for a password, 密码 or 口令."""
_ENDS = (b"$", b"#", b">", b"%", b"]")


def plain(data: bytes) -> bytes:
    """Bytes without telnet's commands and negotiations."""
    if _IAC not in data:
        return data
    out, place = bytearray(), 0
    while place < len(data):
        byte = data[place]
        if byte != _IAC:
            out.append(byte)
            place += 1
            continue
        kind = data[place + 1] if place + 1 < len(data) else 0
        if kind == _IAC:
            out.append(_IAC)
            place += 2
        elif kind == _SB:
            end = data.find(b"\xff\xf0", place)
            place = len(data) if end < 0 else end + 2
        else:
            place += 3 if 0xFB <= kind <= 0xFE else 2
    return bytes(out)


class Conversation:
    """One connection: a row per login."""

    def __init__(self, out: Out, talk: Talk) -> None:
        self.done, self.held = False, 0
        self._out, self._talk = out, talk
        self._server: int | None = 1 - talk.opener if talk.opener >= 0 else None
        self._tail = b""  # what the server said last, in lower case
        self._typed = bytearray()
        self._state = ""  # user, password, judged
        self._user, self._at = "", Moment(0, 0)
        self._seen = 0

    def feed(self, side: int, data: bytes, at: Moment) -> None:
        text = plain(data)
        self._seen += len(text)
        if self._server is None and any(prompt in text.lower() for prompt in _PROMPTS):
            self._server = side
        if side == self._server:
            self._prompted(text)
        elif self._server is not None:
            self._type(text, at)
        self.done = self.done or self._seen > _MOST

    def _prompted(self, text: bytes) -> None:
        self._tail = (self._tail + text.lower())[-_TAIL:]
        tail = self._tail.rstrip()
        asks = tail.endswith(_PROMPTS) and not tail.endswith(b"last login:")  # a banner, cut by a segment
        if self._state == "judged":
            if asks or any(one in self._tail for one in _FAILED):
                self._row("failure")
            elif any(one in self._tail for one in _WORKED) or tail.endswith(_ENDS):
                self._row("success")
                self.done = True
        if asks:
            self._state, self._tail = "user", b""
            self._typed.clear()
        elif _PASSWORD.search(tail):
            self._state, self._tail = "password", b""
            self._typed.clear()

    def _type(self, text: bytes, at: Moment) -> None:
        for byte in text[:1_024]:
            if byte in (8, 127):
                del self._typed[-1:]
            elif byte in (10, 13):
                self._entered(at)
            elif byte and len(self._typed) < 128:
                self._typed.append(byte)

    def _entered(self, at: Moment) -> None:
        if self._state == "user" and self._typed:
            self._user, self._at, self._state = readable(bytes(self._typed)), at, "named"
        elif self._state == "password":
            self._at, self._state, self._tail = at, "judged", b""
        self._typed.clear()

    def _row(self, outcome: str) -> None:
        fields = {
            "event.action": "login",
            "event.outcome": outcome,
            "user.name": self._user or None,
            "service.name": "telnet",
        }
        talk = self._talk if self._server == 1 else self._talk.turned()
        self._out.add("auth", self._at, talk, fields)
        self._state = ""

    def gap(self, side: int) -> None:
        self._tail = b""
        self._typed.clear()

    def close(self) -> None:
        if self._state == "judged":
            self._row("unknown")


class Telnet(Speaker):
    """Every Telnet connection of a capture."""

    def stream(self, talk: Talk) -> Conversation:
        return Conversation(self.out, talk)


def starts(data: bytes, usual: bool) -> bool:
    """An option negotiation; a prompt on the usual port."""
    options = len(data) >= 3 and data[0] == _IAC and 0xFB <= data[1] <= 0xFE and data[2] < 50
    return (options and (usual or (len(data) >= 6 and data[3] == _IAC))) or (
        usual and any(prompt in data.lower() for prompt in _PROMPTS)
    )


PROTOCOLS = (Protocol("telnet", starts, Telnet, tcp=(23, 2323), marks=(Mark(b"\xff\xfb"), Mark(b"\xff\xfd"))),)
