"""Mailboxes: POP3 (RFC 1939) and IMAP (RFC 3501, 9051), their logins. Passwords are passed over."""

from __future__ import annotations

import base64
import binascii

from cityguard.decoders.events import Talk
from cityguard.decoders.protocol import Mark, Out, Protocol, Speaker
from cityguard.decoders.stream import Moment
from cityguard.decoders.wire.dialogue import Dialogue, readable, rest, word


class _Logins(Dialogue):
    """What both have in common: a login and its outcome."""

    service = ""

    def __init__(self, out: Out, talk: Talk) -> None:
        super().__init__(talk)
        self._out = out
        self._client: int | None = None
        self._user = ""
        self._at: Moment | None = None

    def _outcome(self, success: bool, said: str) -> None:
        if self._at is None or self._client is None:
            return
        fields = {
            "event.action": "login",
            "event.outcome": "success" if success else "failure",
            "user.name": self._user or None,
            "message": said or None,
            "service.name": self.service,
        }
        self._out.add("auth", self._at, self.talk if self._client == 0 else self.talk.turned(), fields)
        self._at = None


class Pop(_Logins):
    """One POP3 connection."""

    service = "pop3"
    _command = ""
    _plain = False

    def line(self, side: int, text: bytes, at: Moment) -> None:
        if text[:2] == b"+ " and self._client != side:
            return
        if text[:3] == b"+OK" or text[:4] == b"-ERR":
            if self._client == 1 - side:
                self._reply(text[:1] == b"+", rest(text))
            return
        if self._client == side and self._plain:
            self._user, self._plain, self._at = _user(text), False, at
            return
        command = word(text)
        if command not in _POP or self._client not in (None, side):
            return
        self._client, self._command = side, command
        if command == "USER":
            self._user = rest(text)
        elif command == "APOP":
            self._user, self._at = rest(text).split(" ")[0], at
        elif command == "PASS":
            self._at = at
        elif command == "AUTH":
            kind, _, first = rest(text).partition(" ")
            self._plain = kind.upper() == "PLAIN" and not first
            if first:
                self._user, self._at = _user(first.encode()), at

    def _reply(self, good: bool, said: str) -> None:
        if self._command == "STLS" and good:
            self.done, self.then = True, "tls"
        elif self._at is not None:
            self._outcome(good, said)
        elif self._command == "USER" and not good:
            self._at = None
        if self._command in ("RETR", "LIST", "TOP", "UIDL") and good:
            self.done = True  # messages follow; the login is over


class Imap(_Logins):
    """One IMAP connection."""

    service = "imap"
    _tag = b""
    _plain = _literal = False

    def line(self, side: int, text: bytes, at: Moment) -> None:
        if self._client is None and text[:2] == b"* ":
            return
        parts = text.split(b" ", 3)
        if self._client in (None, side) and len(parts) >= 2 and not self._literal:
            self._said(side, parts, at)
        elif self._client == side and self._plain:
            self._user, self._plain = _user(text), False
        elif self._client == side and self._literal:  # the name stands on a line of its own (RFC 3501, 4.3)
            self._user, self._literal = _atom(text), False
        elif self._client == 1 - side and self._tag and parts[0] == self._tag and len(parts) >= 2:
            self._reply(parts[1].upper() == b"OK", readable(b" ".join(parts[2:])))

    def _said(self, side: int, parts: list[bytes], at: Moment) -> None:
        command = parts[1].upper()
        if command not in (b"LOGIN", b"AUTHENTICATE", b"STARTTLS", b"CAPABILITY", b"ID", b"SELECT", b"NOOP"):
            return
        self._client, self._tag = side, parts[0]
        if command == b"LOGIN" and len(parts) >= 3:
            self._user, self._at = _atom(b" ".join(parts[2:])), at
            self._literal = self._user.startswith("{") and self._user.endswith("}")
        elif command == b"AUTHENTICATE" and len(parts) >= 3:
            self._at, self._plain = at, parts[2].upper() == b"PLAIN"
            if self._plain and len(parts) >= 4:
                self._user, self._plain = _user(parts[3]), False
        elif command == b"SELECT":
            self.done = True
        elif command == b"STARTTLS":
            self.then = "tls"

    def _reply(self, good: bool, said: str) -> None:
        if self._at is not None:
            self._outcome(good, said)
        elif self.then:
            self.done = good
            self.then = "tls" if good else ""


def _atom(text: bytes) -> str:
    """The first argument: an atom, or a quoted string with its escapes (RFC 3501, 4.3)."""
    text = text.strip()
    if not text.startswith(b'"'):
        return readable(text.split(b" ")[0])
    out, at = bytearray(), 1
    while at < len(text) and text[at : at + 1] != b'"':
        at += text[at : at + 1] == b"\\"
        out += text[at : at + 1]
        at += 1
    return readable(bytes(out))


def _user(text: bytes) -> str:
    try:
        parts = base64.b64decode(text, validate=True).split(b"\0")
    except (binascii.Error, ValueError):
        return ""
    return readable(parts[1]) if len(parts) >= 3 else ""


_POP = frozenset(
    ("USER", "PASS", "APOP", "STLS", "CAPA", "STAT", "LIST", "RETR", "TOP", "UIDL", "QUIT", "AUTH", "DELE")
)


class Pops(Speaker):
    """Every POP3 connection of a capture."""

    def stream(self, talk: Talk) -> Pop:
        return Pop(self.out, talk)


class Imaps(Speaker):
    """Every IMAP connection of a capture."""

    def stream(self, talk: Talk) -> Imap:
        return Imap(self.out, talk)


def starts_pop(data: bytes, usual: bool) -> bool:
    """A greeting, or a command on the usual port."""
    if data[:3] == b"+OK":
        return usual or b"POP" in data[:128].upper()
    return usual and word(data.split(b"\r", 1)[0]) in _POP


def starts_imap(data: bytes, usual: bool) -> bool:
    """A greeting, or a tagged command on the usual port."""
    if data[:5] == b"* OK " or data[:10] == b"* PREAUTH ":
        return usual or b"IMAP" in data[:200].upper()
    parts = data[:64].split(b" ", 2)
    return usual and len(parts) >= 2 and parts[1].strip().upper() in (b"LOGIN", b"CAPABILITY", b"AUTHENTICATE")


PROTOCOLS = (
    Protocol("pop3", starts_pop, Pops, tcp=(110,), marks=(Mark(b"+OK "),)),
    Protocol("imap", starts_imap, Imaps, tcp=(143,), marks=(Mark(b"* OK "), Mark(b"* PREAUTH"))),
)
