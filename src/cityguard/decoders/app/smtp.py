"""SMTP (RFC 5321, 3207, 4954): one row per message and per login. Bodies are counted; of a head the subject is kept."""

from __future__ import annotations

import base64
import binascii
import json
from collections import deque
from typing import Any

from cityguard.decoders.events import Talk
from cityguard.decoders.protocol import Mark, Out, Protocol, Speaker
from cityguard.decoders.stream import Moment
from cityguard.decoders.wire.dialogue import Dialogue, readable, rest, word

MAX_RECIPIENTS = 64
MAX_ASKED = 256
"""Commands of one connection whose replies are to come."""
_COMMANDS = frozenset(
    ("HELO", "EHLO", "LHLO", "MAIL", "RCPT", "DATA", "RSET", "VRFY", "EXPN", "NOOP", "QUIT", "AUTH", "STARTTLS", "BDAT")
)


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""


def _address(text: str) -> str:
    begin, end = text.find("<"), text.find(">")
    return text[begin + 1 : end] if 0 <= begin < end else text.partition(":")[2].split(" ")[0]


class Conversation(Dialogue):
    """One connection."""

    def __init__(self, out: Out, talk: Talk) -> None:
        super().__init__(talk)
        self._out = out
        self._client: int | None = None
        self._asked: deque[str] = deque(maxlen=MAX_ASKED)  # commands whose replies are to come (RFC 2920)
        self._mail: dict[str, Any] = {}
        self._at: Moment | None = None
        self._data = self._body = False  # the client sends a message; its head is over
        self._login: tuple[Moment, str] | None = None
        self._lines = 0  # of a login that the client still has to say
        self._hello = ""
        self._left = 0  # bytes of a chunk (RFC 3030) to come
        self._sent: deque[tuple[Moment, dict[str, Any]]] = deque(maxlen=MAX_ASKED)  # messages not yet answered

    def line(self, side: int, text: bytes, at: Moment) -> None:
        if side == self._client and self._left > 0:
            self._left -= len(text) + 2
            self._content(text)
        elif side == self._client and (self._data or "DATA" in self._asked):
            self._content(text)
        elif side != self._client and text[:3].isdigit():
            if text[3:4] != b"-" and self._client is not None:
                self._reply(int(text[:3]), rest(text))
        elif self._lines and side == self._client:
            self._secret(text)
        elif word(text) in _COMMANDS and self._client in (None, side):
            self._client = side
            self._said(text, at)

    def _said(self, text: bytes, at: Moment) -> None:
        command, argument = word(text), rest(text)
        self._asked.append(command)
        if command in ("HELO", "EHLO", "LHLO"):
            self._hello = argument
        elif command == "MAIL":
            self._mail, self._at = {"from": _address(argument), "to": []}, at
        elif command == "RCPT" and len(self._mail.get("to", ())) < MAX_RECIPIENTS:
            self._mail.setdefault("to", []).append(_address(argument))
        elif command in ("DATA", "BDAT"):
            self._body = self._body and command == "BDAT"
            size = argument.split(" ")[0]
            self._left = int(size) if command == "BDAT" and size.isdigit() and len(size) < 10 else 0
            if command == "BDAT" and argument.upper().endswith("LAST"):
                self._asked[-1] = "END"
                self._sent.append((self._at or at, self._mail))
                self._at = None
        elif command == "RSET":
            self._mail = {}
        elif command == "AUTH":
            kind, _, first = argument.partition(" ")
            self._login = (at, "")
            if kind.upper() == "PLAIN":
                self._lines = 0 if first else 1
                self._login = (at, _plain(first))
            else:
                self._lines = 1 if first else 2
                self._login = (at, readable(_decoded(first)) if kind.upper() == "LOGIN" else "")

    def _secret(self, text: bytes) -> None:
        """A line of a login: of the first the user's name is read, the second is the password."""
        self._lines -= 1
        if self._login is None or self._login[1]:
            return
        raw = _decoded(text.decode("latin-1"))
        user = _plain(text.decode("latin-1")) if b"\0" in raw else readable(raw)
        self._login = (self._login[0], user)

    def _content(self, text: bytes) -> None:
        if text == b"." and self._left <= 0:
            self._data = False
            self._asked = deque(("SENT" if one == "DATA" else one for one in self._asked), MAX_ASKED)
            self._asked.append("END")
            if self._at is not None:
                self._sent.append((self._at, self._mail))
            self._mail, self._at = {}, None
            return
        if not self._body:
            self._body = not text
            if text[:8].lower() == b"subject:":
                self._mail.setdefault("subject", readable(text[8:]))
        self._mail["bytes"] = self._mail.get("bytes", 0) + len(text) + 2

    def _reply(self, code: int, said: str) -> None:
        if code == 334 or not self._asked:
            return
        command = self._asked.popleft()
        if self._login is not None and command in ("AUTH", ""):
            at, user = self._login
            self._login = None
            self._row("auth", at, "login", code, said, {"user.name": user or None})
        elif command == "DATA" and code == 354:
            self._data = True
        elif command == "STARTTLS" and code == 220:
            self.done, self.then = True, "tls"
        elif command == "END" and self._sent:
            self._message(*self._sent.popleft(), code, said)
        elif command in ("MAIL", "RCPT") and code >= 500 and self._at is not None:
            self._message(self._at, self._mail, code, said)
            self._mail, self._at = {}, None

    def _message(self, at: Moment, mail: dict[str, Any], code: int | None, said: str) -> None:
        mail = {"helo": self._hello} | mail
        sender = str(mail.get("from", ""))
        fields = {"user.name": sender or None, "event.fields": json.dumps({"email": mail}, ensure_ascii=False)}
        self._row("audit", at, "send", code, said, fields)

    def _row(self, dataset: str, at: Moment, action: str, code: int | None, said: str, more: dict[str, Any]) -> None:
        outcome = "unknown" if code is None else "success" if code < 400 else "failure"
        fields = {"event.action": action, "event.outcome": outcome, "message": said or None, "service.name": "smtp"}
        fields |= {"event.code": str(code) if code is not None else None} | more
        self._out.add(dataset, at, self.talk if self._client == 0 else self.talk.turned(), fields)

    def close(self) -> None:
        for at, mail in self._sent:
            self._message(at, mail, None, "")
        if self._at is not None and self._mail.get("to"):
            self._message(self._at, self._mail, None, "")


def _plain(text: str) -> str:
    """The user of a PLAIN response: authorisation, user and password between NULs (RFC 4616)."""
    parts = _decoded(text).split(b"\0")
    return readable(parts[1]) if len(parts) >= 3 else ""


class Smtp(Speaker):
    """Every SMTP connection of a capture."""

    def stream(self, talk: Talk) -> Conversation:
        return Conversation(self.out, talk)


def starts(data: bytes, usual: bool) -> bool:
    """A greeting that names SMTP, or a client's greeting."""
    if data[:4] in (b"220 ", b"220-"):
        return usual or b"SMTP" in data[:256].upper()
    return data[:5].upper() in (b"EHLO ", b"HELO ") and (usual or b"\r\n" in data[:300])


PROTOCOLS = (
    Protocol(
        "smtp",
        starts,
        Smtp,
        tcp=(25, 587, 2525),
        marks=(Mark(b"220 "), Mark(b"220-"), Mark(b"EHLO "), Mark(b"HELO ")),
        priority=2,
    ),
)
