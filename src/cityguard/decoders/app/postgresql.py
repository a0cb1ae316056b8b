"""PostgreSQL frontend/backend protocol 3 (also openGauss, Kingbase): logins, statements, errors; no passwords."""

from __future__ import annotations

from typing import Any

from cityguard.decoders import secrets
from cityguard.decoders.events import Talk
from cityguard.decoders.protocol import Mark, Out, Protocol, Speaker
from cityguard.decoders.stream import Moment
from cityguard.decoders.wire.dialogue import readable

MAX_STATEMENT = 4_096
_KEEP = 8_192  # bytes of a message that are looked at
_MAX = 1 << 30
_SSL, _GSS, _CANCEL, _THREE = 80877103, 80877104, 80877102, 0x00030000
_FRONT = frozenset(b"BCDEFHPQSXpfcd")
_BACK = frozenset(b"123ACDEGHIKNRSTVWZdnstcv")


class Conversation:
    """One connection."""

    def __init__(self, out: Out, talk: Talk) -> None:
        self.done, self.held, self.then = False, 0, ""
        self._out, self._talk = out, talk
        self._buffers = (bytearray(), bytearray())
        self._skip = [0, 0]
        self._client: int | None = None
        self._wants = False  # an answer of one byte to a wish for encryption
        self._user = self._database = self._program = ""
        self._login: Moment | None = None
        self._asked: tuple[str, Moment] | None = None

    def feed(self, side: int, data: bytes, at: Moment) -> None:
        skip = min(self._skip[side], len(data))
        self._skip[side] -= skip
        buffer = self._buffers[side]
        buffer += data[skip:]
        if self._client is None or (side == self._client and not self._user):
            self._startup(side, at)
        elif self._wants and side != self._client and buffer:
            answer = bytes(buffer[:1])
            del buffer[:1]
            self._wants = False
            if answer == b"S":
                self.done, self.then = True, "tls"
        while self._user and len(buffer) >= 5 and not self.done:
            kind, size = buffer[0], int.from_bytes(buffer[1:5], "big")
            known = _FRONT if side == self._client else _BACK
            if kind not in known or not 4 <= size <= _MAX:
                self.done = True
                break
            if len(buffer) < 1 + size and len(buffer) < _KEEP:
                break
            body = bytes(buffer[5 : min(1 + size, _KEEP)])
            self._skip[side] = max(0, 1 + size - len(buffer))
            del buffer[: 1 + size]
            self._message(side, kind, body, at)
        self.held = len(self._buffers[0]) + len(self._buffers[1])

    def _startup(self, side: int, at: Moment) -> None:
        buffer = self._buffers[side]
        while len(buffer) >= 8 and not self._user:
            size, code = int.from_bytes(buffer[:4], "big"), int.from_bytes(buffer[4:8], "big")
            if not 8 <= size <= 10_000 or code not in (_SSL, _GSS, _CANCEL, _THREE, 0x00030033):
                self.done = True
                return
            if len(buffer) < size:
                return
            self._client = side
            body = bytes(buffer[8:size])
            del buffer[:size]
            if code in (_SSL, _GSS):
                self._wants = True
            elif code in (_THREE, 0x00030033):
                self._parameters(body, at)
            else:
                self.done = True
                return

    def _parameters(self, body: bytes, at: Moment) -> None:
        parts = body.split(b"\0")
        named = dict(zip(parts[::2], parts[1::2], strict=False))
        self._user = readable(named.get(b"user", b""), 128) or "?"
        self._database = readable(named.get(b"database", named.get(b"user", b"")), 128)
        self._program = readable(named.get(b"application_name", b""), 128)
        self._login = at

    def _message(self, side: int, kind: int, body: bytes, at: Moment) -> None:
        if side == self._client:
            if kind in b"QP":
                text = body.split(b"\0", 2)
                statement = text[0] if kind == 0x51 else text[1] if len(text) > 1 else b""
                self._statement("success", {})
                self._asked = (secrets.statement(readable(statement, MAX_STATEMENT)), at)
            return
        if kind == 0x52 and body[:4] == b"\0\0\0\0" and self._login is not None:
            self._logged_in("success", {})
        elif kind == 0x45:
            more = _error(body)
            if self._login is not None:
                self._logged_in("failure", more)
            else:
                self._statement("failure", more)
        elif kind == 0x43:
            self._statement("success", {})

    def _logged_in(self, outcome: str, more: dict[str, Any]) -> None:
        if self._login is not None:
            at, self._login = self._login, None
            self._row("auth", at, "login", outcome, more)

    def _statement(self, outcome: str, more: dict[str, Any]) -> None:
        if self._asked is not None:
            text, at = self._asked
            self._asked = None
            self._row("audit", at, "query", outcome, {"db.statement": text or None} | more)

    def _row(self, dataset: str, at: Moment, action: str, outcome: str, more: dict[str, Any]) -> None:
        fields: dict[str, Any] = {
            "event.action": action,
            "event.outcome": outcome,
            "service.name": "postgresql",
            "user.name": self._user,
            "db.name": self._database or None,
            "process.name": self._program or None,
        }
        self._out.add(dataset, at, self._talk if self._client == 0 else self._talk.turned(), fields | more)

    def gap(self, side: int) -> None:
        self._buffers[side].clear()
        self._skip[side] = 0
        self.done = True

    def close(self) -> None:
        self._logged_in("unknown", {})
        self._statement("unknown", {})


def _error(body: bytes) -> dict[str, Any]:
    """Fields of an error: a letter and text each."""
    named = {part[:1]: part[1:] for part in body.split(b"\0") if part}
    return {
        "event.code": readable(named.get(b"C", b""), 16) or None,
        "error.message": readable(named.get(b"M", b""), 512) or None,
    }


class Postgresql(Speaker):
    """Every PostgreSQL connection of a capture."""

    def stream(self, talk: Talk) -> Conversation:
        return Conversation(self.out, talk)


def starts(data: bytes, usual: bool) -> bool:
    """A start-up message with its user, or a wish for encryption of its exact size."""
    if len(data) < 8:
        return False
    size, code = int.from_bytes(data[:4], "big"), int.from_bytes(data[4:8], "big")
    if code in (_SSL, _GSS):
        return size == 8
    return code in (_THREE, 0x00030033) and 8 < size <= 10_000 and b"user\0" in data


PROTOCOLS = (
    Protocol(
        "postgresql",
        starts,
        Postgresql,
        tcp=(5432, 54321),
        marks=(Mark(b"\0\0\0\x08\x04\xd2\x16\x2f"), Mark(b"\0\x03\0\0", 4), Mark(b"\0\x03\0\x33", 4)),
    ),
)
