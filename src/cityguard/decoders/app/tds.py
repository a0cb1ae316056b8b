"""Microsoft SQL Server, TDS (MS-TDS): logins with user, host and program, batches of SQL, errors; no passwords."""

from __future__ import annotations

from typing import Any

from cityguard.decoders import secrets
from cityguard.decoders.events import Talk
from cityguard.decoders.protocol import Mark, Out, Protocol, Speaker
from cityguard.decoders.stream import Moment

MAX_STATEMENT = 4_096
_MAX_MESSAGE = 16_384  # bytes of one message that are put together
_BATCH, _RPC, _RESPONSE, _LOGIN, _PRELOGIN = 1, 3, 4, 16, 18
_KINDS = frozenset((1, 2, 3, 4, 6, 7, 8, 14, 16, 17, 18))
_ERROR, _LOGIN_ACK = 0xAA, 0xAD


class Conversation:
    """One connection."""

    def __init__(self, out: Out, talk: Talk) -> None:
        self.done, self.held = False, 0
        self._out, self._talk = out, talk
        self._buffers = (bytearray(), bytearray())
        self._parts = (bytearray(), bytearray())
        self._client: int | None = None
        self._who: dict[str, Any] = {}
        self._login: Moment | None = None
        self._asked: tuple[str, str, Moment] | None = None

    def feed(self, side: int, data: bytes, at: Moment) -> None:
        buffer = self._buffers[side]
        buffer += data
        while len(buffer) >= 8 and not self.done:
            size = buffer[2] << 8 | buffer[3]
            if buffer[0] not in _KINDS or size < 8:
                self.done = True  # TLS inside, or none of it
                break
            if len(buffer) < size:
                break
            part = self._parts[side]
            room = _MAX_MESSAGE - len(part)
            part += buffer[8 : min(size, 8 + room)]
            kind, last = buffer[0], buffer[1] & 1
            del buffer[:size]
            if last:
                body = bytes(part)
                part.clear()
                self._message(side, kind, body, at)
        self.held = sum(map(len, self._buffers)) + sum(map(len, self._parts))

    def _message(self, side: int, kind: int, body: bytes, at: Moment) -> None:
        if kind == _LOGIN and len(body) >= 94:
            self._client, self._who, self._login = side, _login(body), at
        elif kind in (_BATCH, _RPC) and self._client in (None, side):
            self._client = side
            self._statement("unknown", {})
            text = _sql(body) if kind == _BATCH else _procedure(body)
            self._asked = ("query" if kind == _BATCH else "execute", secrets.statement(text), at)
        elif kind == _RESPONSE and self._client == 1 - side:
            self._answer(body)

    def _answer(self, body: bytes) -> None:
        error = _error(body)
        if self._login is not None:
            at, self._login = self._login, None
            outcome = "failure" if error else "success" if _LOGIN_ACK in body[:4_096] else "unknown"
            self._row("auth", at, "login", outcome, error)
        else:
            self._statement("failure" if error else "success", error)

    def _statement(self, outcome: str, more: dict[str, Any]) -> None:
        if self._asked is not None:
            action, text, at = self._asked
            self._asked = None
            self._row("audit", at, action, outcome, {"db.statement": text or None} | more)

    def _row(self, dataset: str, at: Moment, action: str, outcome: str, more: dict[str, Any]) -> None:
        fields = {"event.action": action, "event.outcome": outcome, "service.name": "mssql"} | self._who | more
        self._out.add(dataset, at, self._talk if self._client == 0 else self._talk.turned(), fields)

    def gap(self, side: int) -> None:
        self._buffers[side].clear()
        self._parts[side].clear()
        self.done = True

    def close(self) -> None:
        if self._login is not None:
            self._row("auth", self._login, "login", "unknown", {})
        self._statement("unknown", {})


def _wide(raw: bytes) -> str:
    return "".join(one for one in raw.decode("utf-16-le", "replace") if one.isprintable() or one in "\n\t").strip()


def _login(body: bytes) -> dict[str, Any]:
    """LOGIN7: offsets and lengths (in characters) of host, user, password, program, server … from byte 36 on."""

    def text(at: int) -> str | None:
        offset, size = int.from_bytes(body[at : at + 2], "little"), int.from_bytes(body[at + 2 : at + 4], "little")
        return _wide(body[offset : offset + 2 * min(size, 128)]) or None

    return {"host.name": text(36), "user.name": text(40), "process.name": text(48), "db.name": text(68)}


def _sql(body: bytes) -> str:
    """A batch behind its headers."""
    size = int.from_bytes(body[:4], "little")
    skip = size if 4 < size <= min(len(body), 512) else 0
    return _wide(body[skip : skip + 2 * MAX_STATEMENT])


def _procedure(body: bytes) -> str:
    size = int.from_bytes(body[:4], "little")
    skip = size if 4 < size <= min(len(body), 512) else 0
    count = int.from_bytes(body[skip : skip + 2], "little")
    if count == 0xFFFF:
        return f"procedure {int.from_bytes(body[skip + 2 : skip + 4], 'little')}"
    return _wide(body[skip + 2 : skip + 2 + 2 * min(count, 256)])


def _error(body: bytes) -> dict[str, Any]:
    """An error token at the beginning of a response: number, state, class, message."""
    if len(body) < 12 or body[0] != _ERROR:
        return {}
    size = int.from_bytes(body[9:11], "little")
    return {
        "event.code": str(int.from_bytes(body[3:7], "little")),
        "error.message": _wide(body[11 : 11 + 2 * min(size, 256)]) or None,
    }


class Tds(Speaker):
    """Every TDS connection of a capture."""

    def stream(self, talk: Talk) -> Conversation:
        return Conversation(self.out, talk)


def starts(data: bytes, usual: bool) -> bool:
    """A prelogin or login packet whose length and header are right."""
    if len(data) < 9 or data[0] not in (_LOGIN, _PRELOGIN) or data[1] & 0xFE or data[7]:
        return False
    size = data[2] << 8 | data[3]
    if data[0] == _PRELOGIN:
        return 26 <= size <= 4_096 and data[8] == 0 and size >= len(data)
    return 100 <= size <= 32_768 and (usual or int.from_bytes(data[8:12], "little") == size - 8)


PROTOCOLS = (Protocol("tds", starts, Tds, tcp=(1433,), marks=(Mark(b"\x12\x01"), Mark(b"\x10\x01"))),)
