"""HTTP/1 and 0.9 (RFC 9110, 9112): requests and responses of a connection, paired in order, one row each pair.

Bodies are counted and their first bytes looked at, not kept. After a gap the reader finds its way again at the next
message that begins a segment. What a CONNECT opens is handed to the protocol that is spoken in it.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, field

from cityguard.decoders.app.http_message import (
    MAX_BODY_SHOWN,
    Message,
    both_fields,
    code,
    is_request,
    parse,
    request_fields,
    response_fields,
    written,
)
from cityguard.decoders.events import Talk
from cityguard.decoders.protocol import Mark, Out, Protocol, Speaker, spoken
from cityguard.decoders.stream import Moment
from cityguard.model import LogSource

_NAMES = (
    "GET HEAD POST PUT DELETE OPTIONS PATCH CONNECT TRACE TRACK PROPFIND PROPPATCH MKCOL COPY MOVE LOCK UNLOCK REPORT "
    "SEARCH QUERY MERGE CHECKOUT CHECKIN UNCHECKOUT VERSION-CONTROL MKWORKSPACE MKACTIVITY MKCALENDAR UPDATE LABEL "
    "BASELINE-CONTROL ORDERPATCH ACL BIND UNBIND REBIND LINK UNLINK SUBSCRIBE UNSUBSCRIBE NOTIFY POLL BCOPY BDELETE "
    "BMOVE BPROPFIND BPROPPATCH RPC_IN_DATA RPC_OUT_DATA RPC_CONNECT SOURCE PURGE DEBUG CCM_POST X-MS-ENUMATTS M-SEARCH"
)
METHODS = tuple(f"{name} ".encode() for name in _NAMES.split())
"""How a request begins (RFC 9110, 4918, 3253 … and what Exchange, Icecast, RPC proxies and caches add)."""
_HEADS = frozenset(method[:4] for method in METHODS)
MAX_HEAD = 65_536
"""Bytes of a message's head."""
MAX_WAITING = 128
"""Requests of one connection that wait for their responses."""
MAX_TUNNEL = 4_096
"""Bytes of a tunnel that are kept until it is known what is spoken in it."""
_OLD = re.compile(rb"[A-Z]{3,16} +[^ \r\n][^\r\n]*\r?\n")
_ENDLESS = 1 << 62
_EXCHANGE = 1_024  # bytes a waiting request costs besides its head


@dataclass(slots=True)
class _Exchange:
    request: Message
    at: Moment
    side: int


@dataclass(slots=True)
class _Side:
    buffer: bytearray = field(default_factory=bytearray)
    lost: bool = False  # looking for the next message
    left: int = 0  # bytes of body to come
    chunked: bool = False
    trailing: bool = False  # behind the last chunk
    message: Message | None = None  # its body is under way
    at: Moment | None = None  # when its head was complete


class Conversation:
    """One connection; adds a row per exchange."""

    def __init__(self, out: Out, ends: Talk) -> None:
        self.done, self.held = False, 0
        self.then, self.rest = "", list[tuple[int, bytes]]()
        self.skip, self._wished = [0, 0], [0, 0]  # bytes of each side's body that need not be shown
        self._rows, self._talks = out.rows("http"), (ends, ends.turned())
        self._sides = (_Side(), _Side())
        self._waiting: deque[_Exchange] = deque()
        self._kept = 0  # bytes of the requests that wait
        self._old = -1  # the side that asked as HTTP/0.9 does
        self._tunnel = False

    def feed(self, side: int, data: bytes, at: Moment) -> None:
        one = self._sides[side]
        self._settle(side, one)
        if self._tunnel:
            self._through(side, data)
            return
        if one.lost:
            if data[:4] not in _HEADS and data[:5] != b"HTTP/":
                return
            one.lost = False
        one.buffer += data
        while one.buffer and not one.lost and not self._tunnel and self._step(side, one, at):
            pass
        self._wish(side, one)
        self._count()

    def gap(self, side: int) -> None:
        one = self._sides[side]
        self._settle(side, one)
        self._finish(side, one)
        while self._waiting and self._waiting[0].side != side:  # which answer is theirs can no longer be told
            self._give(None, None)
        one.buffer.clear()
        one.lost, one.left, one.chunked = True, 0, False
        self.skip[side] = self._wished[side] = 0
        self._count()

    def over(self, side: int, size: int) -> bool:
        """Lost bytes that lie within a body are counted with it."""
        one = self._sides[side]
        self._settle(side, one)
        message = one.message
        if message is None or one.buffer or size > one.left or one.lost:
            return False
        message.body += size
        message.shown += bytes(MAX_BODY_SHOWN - len(message.shown)) if message.shown else b""
        one.left -= size
        if not one.left and not one.chunked:
            self._finish(side, one)
        self._wish(side, one)
        return True

    def close(self) -> None:
        for side, one in enumerate(self._sides):
            self._settle(side, one)
            self._finish(side, one)
        while self._waiting:
            self._give(None, None)

    def _count(self) -> None:
        self.held = len(self._sides[0].buffer) + len(self._sides[1].buffer) + self._kept

    def _settle(self, side: int, one: _Side) -> None:
        """Count what was skipped of a body."""
        passed = self._wished[side] - self.skip[side]
        self._wished[side] = self.skip[side]
        if passed and one.message is not None:
            one.message.body += passed
            one.left -= passed
            if not one.left and not one.chunked:
                self._finish(side, one)

    def _wish(self, side: int, one: _Side) -> None:
        shown = one.message is not None and len(one.message.shown) >= MAX_BODY_SHOWN
        self.skip[side] = self._wished[side] = one.left if shown and not one.buffer else 0

    def _step(self, side: int, one: _Side, at: Moment) -> bool:
        """Use up what can be; False when more bytes are needed."""
        if one.left:
            count = min(one.left, len(one.buffer))
            one.left -= count
            message = one.message
            if message is not None:
                message.body += count
                if len(message.shown) < MAX_BODY_SHOWN:
                    message.shown += one.buffer[: min(count, MAX_BODY_SHOWN - len(message.shown))]
            del one.buffer[:count]
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
            one.left = int(line[:16], 16)
        except ValueError:
            self.gap(side)
            return False
        if one.left <= 0:
            one.left, one.chunked, one.trailing = 0, False, True
            self._finish(side, one)
        return True

    def _trailer(self, one: _Side) -> bool:
        """Fields behind the last chunk (RFC 9112, 7.1.2) are passed over; False = more is needed to tell."""
        while one.trailing:
            end = one.buffer.find(b"\n", 0, MAX_HEAD)
            if end < 0:
                one.trailing = len(one.buffer) <= MAX_HEAD
                return not one.trailing
            line = bytes(one.buffer[:end]).strip()
            name, colon, _ = line.partition(b":")
            if line and (not colon or b" " in name):
                one.trailing = False  # no trailer: the next message begins
                return True
            one.trailing = bool(line)
            del one.buffer[: end + 1]
        return True

    def _head(self, side: int, one: _Side, at: Moment) -> bool:
        if one.trailing and not self._trailer(one):
            return False
        while one.buffer and one.buffer[0] in b"\r\n":  # trailers' end, or blank lines before a request (RFC 9112, 2.2)
            del one.buffer[:1]
        if self._old == 1 - side:
            return self._bare_answer(side, one, at)
        end, width = one.buffer.find(b"\r\n\r\n"), 4
        bare = one.buffer.find(b"\n\n", 0, end if end >= 0 else len(one.buffer))
        if bare >= 0:
            end, width = bare, 2
        if end < 0 or one.buffer[0] not in b"H":
            old = _OLD.match(one.buffer)
            if old and b" HTTP/" not in old.group() and (end < 0 or end < old.end()):
                return self._bare_request(side, one, bytes(old.group()), at)
        if end < 0:
            if len(one.buffer) > MAX_HEAD:
                self.gap(side)
            return False
        message = parse(bytes(one.buffer[:end]), end + width)
        del one.buffer[: end + width]
        if message.is_response:
            self._response(side, one, message, at)
        elif is_request(message.start):
            self._request(side, one, message, at)
        else:
            self.gap(side)
        return True

    def _bare_request(self, side: int, one: _Side, line: bytes, at: Moment) -> bool:
        """A request of HTTP/0.9: one line."""
        del one.buffer[: len(line)]
        self._old = side
        self._request(side, one, parse(line.rstrip(), len(line)), at)
        return True

    def _bare_answer(self, side: int, one: _Side, at: Moment) -> bool:
        """What follows it is the body, up to the end; unless the server speaks a newer HTTP."""
        if one.buffer[:5] == b"HTTP/"[: len(one.buffer)]:
            self._old = -1
            return len(one.buffer) >= 5
        if one.message is None:
            one.message, one.at, one.left = Message("", {}, 0), at, _ENDLESS
        return bool(one.buffer)

    def _request(self, side: int, one: _Side, message: Message, at: Moment) -> None:
        self._waiting.append(_Exchange(message, at, side))
        self._kept += message.head + _EXCHANGE
        if len(self._waiting) > MAX_WAITING:
            self._give(None, None)
        self._body(side, one, message, at, until_close=False)

    def _response(self, side: int, one: _Side, message: Message, at: Moment) -> None:
        status = code(message.start)
        if 100 <= status < 200 and status != 101:
            return  # an interim answer
        mine = bool(self._waiting) and self._waiting[0].side != side
        method = self._waiting[0].request.start.split(" ", 1)[0] if mine else ""
        one.message, one.at = message, at
        asked = self._waiting[0].request if mine else None
        if status == 101 or (method == "CONNECT" and 200 <= status < 300):
            self._finish(side, one)
            self._tunnel = method == "CONNECT"
            self.done = not self._tunnel  # another protocol from here
            if self.done and message.headers.get("upgrade", "").lower() == "websocket":
                self._upgrade(side, asked, message)
            for place, other in enumerate(self._sides):
                if self._tunnel and other.buffer:
                    self._through(place, bytes(other.buffer))
                other.buffer.clear()
        elif method == "HEAD" or status in (204, 304):
            self._finish(side, one)
        else:
            self._body(side, one, message, at, until_close=True)

    def _body(self, side: int, one: _Side, message: Message, at: Moment, *, until_close: bool) -> None:
        one.message, one.at = message, at
        length = message.headers.get("content-length", "").split(",")[0].strip()
        if "chunked" in message.headers.get("transfer-encoding", "").lower():
            one.chunked = True
        elif length.isascii() and length.isdigit() and len(length) < 19:
            one.left = int(length)
        elif until_close:
            one.left = _ENDLESS
        if not one.left and not one.chunked:
            self._finish(side, one)

    def _through(self, side: int, data: bytes) -> None:
        """Bytes of a tunnel: kept until it is known what they are."""
        if sum(len(part) for _, part in self.rest) + len(data) > MAX_TUNNEL:
            self.done, self.rest = True, []
            return
        self.rest.append((side, data))
        whole = b"".join(part for place, part in self.rest if place == side)
        found = spoken(whole, self._talks[side].destination[2])
        if found is not None:
            self.then, self.done = found, True

    def _upgrade(self, side: int, asked: Message | None, answer: Message) -> None:
        """A WebSocket from here (RFC 6455, 4): its reader gets both heads and what follows them."""
        self.then = "websocket"
        for place, head in ((1 - side, asked), (side, answer)):
            if head is not None:
                self.rest.append((place, written(head)))
        self.rest += [(place, bytes(other.buffer)) for place, other in enumerate(self._sides) if other.buffer]

    def _finish(self, side: int, one: _Side) -> None:
        """A message is over: a response takes the request that has waited longest."""
        message, one.message = one.message, None
        if message is None or (message.start and not message.is_response):
            return
        while self._waiting and self._waiting[0].side == side:  # a stray answer from the asker's own side
            self._give(None, None)
        if self._waiting:
            self._give(message, one.at)
        elif one.at is not None and message.start:
            fields = response_fields(message) | both_fields(None, message)
            fields["http.version"] = message.start[5:8]
            self._rows.add(one.at.number, one.at.time, self._talks[1 - side], fields)

    def _give(self, response: Message | None, at: Moment | None) -> None:
        """A row of the request that has waited longest, with its response if there was one."""
        exchange = self._waiting.popleft()
        self._kept -= exchange.request.head + _EXCHANGE
        fields = request_fields(exchange.request) | both_fields(exchange.request, response)
        if response is not None:
            fields |= response_fields(response)
            if at is not None and at.time >= exchange.at.time > 0:
                fields["event.duration"] = at.time - exchange.at.time
        self._rows.add(exchange.at.number, exchange.at.time, self._talks[exchange.side], fields)


class Web(Speaker):
    """Every HTTP connection of a capture."""

    def stream(self, talk: Talk) -> Conversation:
        return Conversation(self.out, talk)


def starts(data: bytes, usual: bool) -> bool:
    """A request line or a status line; on the usual port also one of HTTP/0.9, and a first byte or two."""
    if len(data) < 6:
        return usual and data[:1].isupper()
    if data[:5] == b"HTTP/":
        return data[5:6] in (b"0", b"1", b"2")
    blank = data.find(b" ", 0, 24)
    if blank < 0 or data[: blank + 1] not in _METHOD_SET:
        return False
    end = data.find(b"\n")
    if end < 0:
        return data[blank + 1 : blank + 2] in (b"/", b"h", b"*", b"H") or data[:8] == b"CONNECT "
    return b" HTTP/" in data[:end] or (usual and len(data[:end].strip()) > blank)


_METHOD_SET = frozenset(METHODS)


def version_2(data: bytes, usual: bool) -> bool:
    """The preface of HTTP/2 (RFC 9113, 3.4)."""
    return data[:14] == b"PRI * HTTP/2.0"


PROTOCOLS = (
    Protocol(
        "http",
        starts,
        Web,
        {"http": LogSource(("webserver", "proxy", "network"), (), ("http",))},
        tcp=(80, 8000, 8008, 8080, 8081, 8088, 8888, 3128),
        marks=(*(Mark(method[:8]) for method in METHODS), Mark(b"HTTP/")),
    ),
    Protocol("http2", version_2, marks=(Mark(b"PRI * HT"),), priority=1),
)
