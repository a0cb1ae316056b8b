"""Redis (RESP): logins and the commands that change the server or run code. Values and passwords are not kept."""

from __future__ import annotations

from typing import Any

from cityguard.decoders import secrets
from cityguard.decoders.events import Talk
from cityguard.decoders.protocol import Mark, Out, Protocol, Speaker
from cityguard.decoders.stream import Moment
from cityguard.decoders.wire.dialogue import readable

MAX_PARTS = 1_024
_KEEP = 256  # bytes of one part
_MAX_BULK = 512 << 20
TOLD = frozenset(
    (
        *("AUTH", "HELLO", "CONFIG", "SLAVEOF", "REPLICAOF", "MODULE", "EVAL", "EVALSHA", "SCRIPT", "FUNCTION"),
        *("FLUSHALL", "FLUSHDB", "SAVE", "BGSAVE", "SHUTDOWN", "DEBUG", "CLIENT", "ACL", "MONITOR", "KEYS", "MIGRATE"),
        *("CLUSTER", "FAILOVER", "SYNC", "PSYNC", "INFO", "DUMP", "RESTORE", "SWAPDB", "BGREWRITEAOF", "FCALL"),
    )
)
"""Commands that make a row."""
_SHOWN = TOLD - {
    "AUTH",
    "HELLO",
    "ACL",
    "MIGRATE",
    "EVAL",
    "EVALSHA",
    "FCALL",
    "FUNCTION",
    "SCRIPT",
    "RESTORE",
    "DEBUG",
}
"""Those whose words are kept; scripts, values and logins are not."""
_SECRET = ("pass", "auth", "user", "secret", "key")


class Conversation:
    """One connection: replies are matched with commands in order."""

    def __init__(self, out: Out, talk: Talk) -> None:
        self.done, self.held = False, 0
        self._out, self._talk = out, talk
        self._buffers = (bytearray(), bytearray())
        self._client: int | None = None
        self._skip = [0, 0]
        self._parts: list[bytes] = []
        self._left = 0  # parts of the command to come
        self._waiting: list[tuple[tuple[bytes, ...], Moment] | None] = []
        self._user = ""

    def feed(self, side: int, data: bytes, at: Moment) -> None:
        skip = min(self._skip[side], len(data))
        self._skip[side] -= skip
        buffer = self._buffers[side]
        buffer += data[skip:]
        if self._client is None and buffer[:1] == b"*":
            self._client = side
        while buffer and not self.done and (self._command(at) if side == self._client else self._reply()):
            pass
        if len(buffer) > 65_536:
            self.done = True
        self.held = len(self._buffers[0]) + len(self._buffers[1])

    def _command(self, at: Moment) -> bool:
        """Take one step of a command off the client's bytes; False = more is needed."""
        buffer = self._buffers[self._client or 0]
        end = buffer.find(b"\r\n", 0, 64)
        if end < 0:
            self.done = len(buffer) > 64
            return False
        head = bytes(buffer[:end])
        number = int(head[1:]) if head[1:].isdigit() and len(head) < 12 else -1
        if not self._left:
            if head[:1] != b"*" or number < 0 or number > 1 << 20:
                self.done = True
                return False
            self._left, self._parts = number, []
            del buffer[: end + 2]
            return True
        if head[:1] != b"$" or number < 0 or number > _MAX_BULK:
            self.done = True
            return False
        if len(buffer) < end + 2 + min(number, _KEEP) + (2 if number <= _KEEP else 0):
            return False
        if len(self._parts) < MAX_PARTS:
            self._parts.append(bytes(buffer[end + 2 : end + 2 + min(number, _KEEP)]))
        whole = end + 2 + number + 2
        self._skip[self._client or 0] = max(0, whole - len(buffer))
        del buffer[:whole]
        self._left -= 1
        if not self._left:
            told = self._parts and self._parts[0][:16].decode("latin-1").upper() in TOLD
            self._waiting.append((tuple(self._parts[:4]), at) if told else None)
            if len(self._waiting) > 1_024:
                self.done = True
        return True

    def _reply(self) -> bool:
        """Only the first byte of a reply matters; of one that is no simple line the rest is not followed."""
        side = 1 - (self._client or 0)
        buffer = self._buffers[side]
        end = buffer.find(b"\r\n", 0, 1_024)
        if end < 0:
            return False
        head = bytes(buffer[:end])
        if self._waiting:
            self._give(self._waiting.pop(0), head)
        if head[:1] in b"+-:":
            del buffer[: end + 2]
            return True
        if head[:1] == b"$" and head[1:].lstrip(b"-").isdigit() and len(head) < 12:
            whole = end + 2 + max(int(head[1:]), -2) + 2 if int(head[1:]) >= 0 else end + 2
            self._skip[side] = max(0, whole - len(buffer))
            del buffer[:whole]
            return True
        buffer.clear()  # nested replies: whoever comes next is judged by its own first line
        self._waiting = [one for one in self._waiting if one is not None]
        return False

    def _give(self, asked: tuple[tuple[bytes, ...], Moment] | None, reply: bytes) -> None:
        if asked is None:
            return
        parts, at = asked
        name = parts[0].decode("latin-1").upper()
        bad = reply[:1] == b"-"
        if name == "CONFIG" and len(parts) > 3 and any(one in parts[2].decode("latin-1").lower() for one in _SECRET):
            parts = (*parts[:3], secrets.HIDDEN.encode())
        login = name == "AUTH"
        if login:
            self._user = readable(parts[1], 128) if len(parts) == 3 else "default"
        said = [readable(part, 128) for part in parts[1:]] if name in _SHOWN else []
        fields: dict[str, Any] = {
            "event.action": "login" if login else name.lower(),
            "event.outcome": "failure" if bad else "success" if reply else "unknown",
            "service.name": "redis",
            "user.name": self._user or None,
            "db.statement": None if login else secrets.command(" ".join((name, *said))),
            "error.message": readable(reply[1:], 256) if bad else None,
        }
        talk = self._talk if self._client == 0 else self._talk.turned()
        self._out.add("auth" if login else "audit", at, talk, fields)

    def gap(self, side: int) -> None:
        self._buffers[side].clear()
        self.done = True

    def close(self) -> None:
        for asked in self._waiting:
            self._give(asked, b"")


class Redis(Speaker):
    """Every Redis connection of a capture."""

    def stream(self, talk: Talk) -> Conversation:
        return Conversation(self.out, talk)


def starts(data: bytes, usual: bool) -> bool:
    """An array of bulk strings that begins with a word."""
    if data[:1] != b"*":
        return False
    lines = data[:64].split(b"\r\n", 3)
    return (
        len(lines) >= 3
        and lines[0][1:].isdigit()
        and lines[1][:1] == b"$"
        and lines[1][1:].isdigit()
        and lines[2][:1].isalpha()
    )


PROTOCOLS = (
    Protocol("redis", starts, Redis, tcp=(6379, 6380), marks=tuple(Mark(b"*%d\r\n" % count) for count in range(1, 10))),
)
