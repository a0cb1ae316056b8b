"""MySQL and MariaDB client protocol: logins, statements and their errors. Passwords are never kept."""

from __future__ import annotations

from typing import Any

from cityguard.decoders import secrets
from cityguard.decoders.events import Talk
from cityguard.decoders.protocol import Mark, Out, Protocol, Speaker
from cityguard.decoders.stream import Moment
from cityguard.decoders.wire.dialogue import readable

MAX_STATEMENT = 4_096
_KEEP = 8_192  # bytes of a packet that are looked at
_SSL, _CONNECT_DB, _PLUGIN_LENENC, _SECURE = 0x0800, 0x0008, 0x00200000, 0x8000
_COMMANDS = {
    0x01: "quit",
    0x02: "init_db",
    0x03: "query",
    0x04: "field_list",
    0x05: "create_db",
    0x06: "drop_db",
    0x08: "shutdown",
    0x09: "statistics",
    0x0C: "kill",
    0x0E: "ping",
    0x11: "change_user",
    0x12: "binlog_dump",
    0x16: "prepare",
    0x17: "execute",
}
_TOLD = frozenset(
    ("init_db", "query", "create_db", "drop_db", "shutdown", "kill", "change_user", "binlog_dump", "prepare")
)


class Conversation:
    """One connection."""

    def __init__(self, out: Out, talk: Talk) -> None:
        self.done, self.held, self.then = False, 0, ""
        self._out, self._talk = out, talk
        self._buffers = (bytearray(), bytearray())
        self._skip = [0, 0]
        self._server: int | None = None
        self._version = self._user = self._database = ""
        self._login: Moment | None = None
        self._asked: tuple[str, str, Moment] | None = None

    def feed(self, side: int, data: bytes, at: Moment) -> None:
        skip = min(self._skip[side], len(data))
        self._skip[side] -= skip
        buffer = self._buffers[side]
        buffer += data[skip:]
        while len(buffer) >= 4 and not self.done:
            size = int.from_bytes(buffer[:3], "little")
            if len(buffer) < 4 + size and len(buffer) < 4 + _KEEP:
                break
            body = bytes(buffer[4 : 4 + min(size, _KEEP)])
            number = buffer[3]
            self._skip[side] = max(0, 4 + size - len(buffer))
            del buffer[: 4 + size]
            if body:
                self._packet(side, number, body, at)
        self.held = len(self._buffers[0]) + len(self._buffers[1])

    def gap(self, side: int) -> None:
        self._buffers[side].clear()
        self._skip[side] = 0
        if self._server is None:
            self.done = True

    def close(self) -> None:
        if self._login is not None:
            self._row("auth", self._login, "login", "unknown", {"user.name": self._user or None})
        if self._asked is not None:
            self._statement("unknown", {})

    def _packet(self, side: int, number: int, body: bytes, at: Moment) -> None:
        if self._server is None:
            if number == 0 and body[0] == 10 and b"\0" in body[:64]:
                self._server = side
                self._version = readable(body[1 : body.index(b"\0")], 64)
            else:
                self.done = True
            return
        if side != self._server:
            if number == 1 and self._login is None and self._asked is None and len(body) >= 32:
                self._response(body, at)
            elif number == 0 and body[0] in _COMMANDS:
                self._command(body, at)
            return
        self._answer(body)

    def _response(self, body: bytes, at: Moment) -> None:
        """Handshake response 41: capabilities, packet size, character set, 23 of filler, user …"""
        capabilities = int.from_bytes(body[:4], "little")
        if capabilities & _SSL and len(body) == 32:
            self.done, self.then = True, "tls"
            return
        end = body.find(b"\0", 32)
        self._user = readable(body[32 : end if end > 0 else len(body)], 128)
        place = end + 1
        if 0 < place < len(body):
            secret = body[place] if capabilities & (_PLUGIN_LENENC | _SECURE) else 0
            place += 1 + secret
            if capabilities & _CONNECT_DB and place < len(body):
                stop = body.find(b"\0", place)
                self._database = readable(body[place : stop if stop > 0 else len(body)], 128)
        self._login = at

    def _command(self, body: bytes, at: Moment) -> None:
        if self._asked is not None:
            self._statement("success", {})
        name = _COMMANDS[body[0]]
        if name in _TOLD:
            text = "" if name == "change_user" else secrets.statement(readable(body[1:], MAX_STATEMENT))
            self._asked = (name, text, at)
        if name == "init_db":
            self._database = readable(body[1:], 128)

    def _answer(self, body: bytes) -> None:
        bad = body[0] == 0xFF
        more: dict[str, Any] = {}
        if bad and len(body) >= 3:
            text = body[9:] if body[3:4] == b"#" else body[3:]
            more = {"event.code": str(int.from_bytes(body[1:3], "little")), "error.message": readable(text, 512)}
        if self._login is not None:
            if bad or body[0] == 0x00:
                at, self._login = self._login, None
                self._row(
                    "auth", at, "login", "failure" if bad else "success", {"user.name": self._user or None} | more
                )
        elif self._asked is not None:
            self._statement("failure" if bad else "success", more)

    def _statement(self, outcome: str, more: dict[str, Any]) -> None:
        if self._asked is None:
            return
        action, text, at = self._asked
        self._asked = None
        self._row("audit", at, action, outcome, {"db.statement": text or None, "user.name": self._user or None} | more)

    def _row(self, dataset: str, at: Moment, action: str, outcome: str, more: dict[str, Any]) -> None:
        fields = {
            "event.action": action,
            "event.outcome": outcome,
            "service.name": "mysql",
            "db.name": self._database or None,
        }
        self._out.add(dataset, at, self._talk if self._server == 1 else self._talk.turned(), fields | more)


class Mysql(Speaker):
    """Every MySQL connection of a capture."""

    def stream(self, talk: Talk) -> Conversation:
        return Conversation(self.out, talk)


def starts(data: bytes, usual: bool) -> bool:
    """A server's greeting of protocol version 10 whose length fits and whose version is text."""
    if len(data) < 12 or data[3:5] != b"\0\x0a":
        return False
    size = int.from_bytes(data[:3], "little")
    end = data.find(b"\0", 5, 69)
    return 32 <= size <= 512 and end > 5 and data[5:end].isascii() and data[5:6].isdigit()


PROTOCOLS = (Protocol("mysql", starts, Mysql, tcp=(3306, 3307), marks=(Mark(b"\0\x0a", 3),)),)
