"""HTTP/1 (RFC 9110, 9112): requests and responses of a connection, paired in order, one row each pair.

Bodies are counted, not kept. After a gap the reader finds its way again at the next message that begins a segment.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from cityguard.decoders.events import Rows, Talk
from cityguard.decoders.protocol import Mark, Protocol, Speaker
from cityguard.decoders.stream import Moment
from cityguard.model import LogSource

METHODS = (
    b"GET ",
    b"POST",
    b"HEAD",
    b"PUT ",
    b"DELE",
    b"OPTI",
    b"PATC",
    b"CONN",
    b"TRAC",
    b"PROP",
    b"MKCO",
    b"REPO",
    b"SEAR",
    b"LOCK",
    b"UNLO",
    b"MOVE",
    b"COPY",
)
"""How a request begins, four bytes."""
MAX_HEAD = 65_536
"""Bytes of a message's head."""
MAX_WAITING = 128
"""Requests of one connection that wait for their responses."""
_MAX_VALUE = 4_096
_MAX_HEADERS = 256
_ENDLESS = 1 << 62
_EXCHANGE = 1_024  # bytes a waiting request costs besides its head


@dataclass(slots=True)
class _Message:
    start: str
    headers: dict[str, str]
    head: int  # bytes of the head
    body: int = 0  # bytes of the body so far


@dataclass(slots=True)
class _Exchange:
    request: _Message
    at: Moment
    side: int


@dataclass(slots=True)
class _Side:
    buffer: bytearray = field(default_factory=bytearray)
    lost: bool = False  # looking for the next message
    left: int = 0  # bytes of body to come
    chunked: bool = False
    message: _Message | None = None  # its body is under way


class Conversation:
    """One connection; adds a row per exchange."""

    def __init__(self, rows: Rows, ends: Talk) -> None:
        self.done, self.held = False, 0
        self._rows, self._talks = rows, (ends, ends.turned())
        self._sides = (_Side(), _Side())
        self._waiting: deque[_Exchange] = deque()
        self._kept = 0  # bytes of the requests that wait

    def feed(self, side: int, data: bytes, at: Moment) -> None:
        one = self._sides[side]
        if one.lost:
            if data[:4] not in METHODS and data[:5] != b"HTTP/":
                return
            one.lost = False
        one.buffer += data
        while one.buffer and not one.lost and self._step(side, one, at):
            pass
        self._count()

    def gap(self, side: int) -> None:
        one = self._sides[side]
        self._finish(side, one)
        while self._waiting and self._waiting[0].side != side:  # which answer is theirs can no longer be told
            self._give(None)
        one.buffer.clear()
        one.lost, one.left, one.chunked = True, 0, False
        self._count()

    def close(self) -> None:
        for side, one in enumerate(self._sides):
            self._finish(side, one)
        while self._waiting:
            self._give(None)

    def _count(self) -> None:
        self.held = len(self._sides[0].buffer) + len(self._sides[1].buffer) + self._kept

    def _step(self, side: int, one: _Side, at: Moment) -> bool:
        """Use up what can be; False when more bytes are needed."""
        if one.left:
            count = min(one.left, len(one.buffer))
            one.left -= count
            del one.buffer[:count]
            if one.message is not None:
                one.message.body += count
            if not one.left and not one.chunked:
                self._finish(side, one)
            return count > 0
        if one.chunked:
            return self._chunk(side, one)
        return self._head(side, one, at)

    def _chunk(self, side: int, one: _Side) -> bool:
        end = one.buffer.find(b"\n")
        if end < 0:
            if len(one.buffer) > 256:
                self.gap(side)
            return False
        line = bytes(one.buffer[:end]).split(b";")[0].strip()
        del one.buffer[: end + 1]
        if not line:  # the line end behind a chunk
            return True
        try:
            one.left = int(line[:8], 16)
        except ValueError:
            self.gap(side)
            return False
        if one.left == 0:
            one.chunked = False
            self._finish(side, one)
        return True

    def _head(self, side: int, one: _Side, at: Moment) -> bool:
        while one.buffer and one.buffer[0] in b"\r\n":  # trailers' end, or blank lines before a request (RFC 9112, 2.2)
            del one.buffer[:1]
        end, width = one.buffer.find(b"\r\n\r\n"), 4
        bare = one.buffer.find(b"\n\n", 0, end if end >= 0 else len(one.buffer))
        if bare >= 0:
            end, width = bare, 2
        if end < 0:
            if len(one.buffer) > MAX_HEAD:
                self.gap(side)
            return False
        message = _parse(bytes(one.buffer[:end]), end + width)
        del one.buffer[: end + width]
        if message.start.startswith("HTTP/"):
            self._response(side, one, message, at)
        elif _is_request(message.start):
            self._request(side, one, message, at)
        else:
            self.gap(side)
        return True

    def _request(self, side: int, one: _Side, message: _Message, at: Moment) -> None:
        self._waiting.append(_Exchange(message, at, side))
        self._kept += message.head + _EXCHANGE
        if len(self._waiting) > MAX_WAITING:
            self._give(None)
        self._body(side, one, message, has_body=False)

    def _response(self, side: int, one: _Side, message: _Message, at: Moment) -> None:
        code = _code(message.start)
        if 100 <= code < 200 and code != 101:
            return  # an interim answer
        method = self._waiting[0].request.start.split(" ", 1)[0] if self._waiting else ""
        none = method == "HEAD" or code in (101, 204, 304)
        if code == 101 or (method == "CONNECT" and code < 300):
            one.message = message
            self._finish(side, one)
            self.done = True  # another protocol from here
            return
        if none:
            one.message = message
            self._finish(side, one)
            return
        self._body(side, one, message, has_body=True)

    def _body(self, side: int, one: _Side, message: _Message, *, has_body: bool) -> None:
        one.message = message
        length = message.headers.get("content-length", "")
        if "chunked" in message.headers.get("transfer-encoding", "").lower():
            one.chunked = True
        elif length.isascii() and length.isdigit() and len(length) < 19:
            one.left = int(length)
        elif has_body:
            one.left = _ENDLESS  # until the connection closes
        if not one.left and not one.chunked:
            self._finish(side, one)

    def _finish(self, side: int, one: _Side) -> None:
        message, one.message = one.message, None
        if message is None or not message.start.startswith("HTTP/"):
            return
        while self._waiting and self._waiting[0].side == side:  # a stray answer from the asker's own side
            self._give(None)
        if self._waiting:
            self._give(message)

    def _give(self, response: _Message | None) -> None:
        """A row of the request that has waited longest, with its response if there was one."""
        exchange = self._waiting.popleft()
        self._kept -= exchange.request.head + _EXCHANGE
        fields = _request_fields(exchange.request)
        if response is not None:
            fields |= _response_fields(response)
        self._rows.add(exchange.at.number, exchange.at.time, self._talks[exchange.side], fields)


def _parse(raw: bytes, size: int) -> _Message:
    lines = raw.replace(b"\r\n", b"\n").split(b"\n", _MAX_HEADERS + 1)
    headers: dict[str, str] = {}
    for line in lines[1 : _MAX_HEADERS + 1]:
        name, colon, value = line.partition(b":")
        if colon:
            headers.setdefault(_text(name).strip().lower(), _text(value).strip())
    return _Message(_text(lines[0]), headers, size)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace").replace("\0", "\\x00")


def _is_request(start: str) -> bool:
    return start[:4].encode("utf-8", "replace")[:4] in METHODS and start.count(" ") >= 1


def _code(start: str) -> int:
    part = start.split(" ", 2)[1:2]
    return int(part[0]) if part and len(part[0]) == 3 and part[0].isascii() and part[0].isdigit() else 0


def _request_fields(message: _Message) -> dict[str, Any]:
    method, _, rest = message.start.partition(" ")
    target, _, version = rest.rpartition(" ")
    if not version.startswith("HTTP/"):  # HTTP/0.9 has no version
        target, version = rest, ""
    host = message.headers.get("host", "")
    path, query = target, ""
    if "://" in target[:16]:
        authority, slash, path = target.split("://", 1)[1].partition("/")
        host, path = host or authority, slash + path or "/"
    path, _, query = path.partition("?")
    return {
        "http.request.method": method,
        "http.version": version[5:] or None,
        "http.request.bytes": message.head + message.body,
        "http.request.body.bytes": message.body,
        "http.request.referrer": _cut(message.headers.get("referer")),
        "url.original": _cut(target),
        "url.path": _cut(path),
        "url.query": _cut(query),
        "url.domain": _cut(_without_port(host)),
        "user_agent.original": _cut(message.headers.get("user-agent")),
    }


def _response_fields(message: _Message) -> dict[str, Any]:
    kind = message.headers.get("content-type", "").split(";")[0].strip().lower()
    return {
        "http.response.status_code": _code(message.start) or None,
        "http.response.bytes": message.head + message.body,
        "http.response.body.bytes": message.body,
        "http.response.mime_type": _cut(kind),
    }


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdigit() and "]" not in port else host


def _cut(value: str | None) -> str | None:
    return value[:_MAX_VALUE] if value else None


class Web(Speaker):
    """Every HTTP connection of a capture."""

    def stream(self, talk: Talk) -> Conversation:
        return Conversation(self.out.rows("http"), talk)


def starts(data: bytes, usual: bool) -> bool:
    """A method, or a status line; a first byte or two on the usual port."""
    return data[:4] in METHODS or data[:4] == b"HTTP" or (usual and len(data) < 6)


PROTOCOLS = (
    Protocol(
        "http",
        starts,
        Web,
        {"http": LogSource(("webserver", "proxy", "network"), (), ("http",))},
        tcp=(80, 8000, 8080),
        marks=tuple(Mark(method) for method in (*METHODS, b"HTTP")),
    ),
)
