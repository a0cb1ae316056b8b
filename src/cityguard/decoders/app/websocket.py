"""WebSocket (RFC 6455) behind its HTTP upgrade: OCPP and MQTT in it are read; other content is left to its name.

The HTTP reader hands over the heads of request and response, then what follows them. The row of that exchange in
``http`` tells the subprotocol. A WebSocket whose upgrade was not seen is known by a first message of OCPP; which
charge point it is then cannot be told.
"""

from __future__ import annotations

import base64
import binascii
import re
from urllib.parse import unquote

from cityguard.decoders.app import mqtt
from cityguard.decoders.app.http_message import Message as Head
from cityguard.decoders.app.http_message import parse
from cityguard.decoders.app.websocket_frame import BINARY, CLOSE, TEXT, Deflate, Message, Side, header, unmasked
from cityguard.decoders.events import Talk
from cityguard.decoders.ot import carried_meter
from cityguard.decoders.ot.ocpp import Calls, sure
from cityguard.decoders.ot.ocpp_names import known
from cityguard.decoders.protocol import Mark, Out, Protocol, Speaker
from cityguard.decoders.stream import Moment
from cityguard.model import LogSource

MAX_HEAD = 65_536
MAX_UNIT = 64
_FRAMES = (b"\x81", b"\x89", b"\x8a")
"""How a message in one frame begins, a ping, a pong; no head of HTTP does."""
_BEGINS = re.compile(
    rb'\[\s{0,4}(?:2\s{0,4},\s{0,4}"[^"]{1,36}"\s{0,4},\s{0,4}"([A-Za-z]{4,40})"|3\s{0,4},\s{0,4}"[^"]{1,36}"\s{0,4},\s{0,4}\{)'
)
_LOOK = 8
"""Messages in which OCPP is looked for where no subprotocol tells what is spoken."""


class Conversation:
    """One WebSocket."""

    def __init__(self, out: Out, talk: Talk) -> None:
        self.done, self.held = False, 0
        self._out, self._talks = out, (talk, talk.turned())
        self._heads = (bytearray(), bytearray())
        self._asked: Head | None = None
        self._sides: tuple[Side, Side] | None = None
        self._calls: Calls | None = None
        self._broker: mqtt.Conversation | None = None
        self._unit, self._version = "", ""
        self._looked = 0

    def feed(self, side: int, data: bytes, at: Moment) -> None:
        if self.done:
            return
        if self._sides is None and self._asked is None and data[:1] in _FRAMES and not self._heads[side]:
            self._midway(side, data)
        if self._sides is None:
            data = self._head(side, data, at)
        if self._sides is not None and data and not self.done:
            for message in self._sides[side].feed(data):
                self._message(side, message, at)
            self.done = self.done or (self._sides[0].dead and self._sides[1].dead)
        sides = self._sides or ()
        inner = self._broker.held if self._broker else 0
        self.held = sum(map(len, self._heads)) + sum(one.held for one in sides) + inner

    def _head(self, side: int, data: bytes, at: Moment) -> bytes:
        """Heads until the response is there; what follows it."""
        buffer = self._heads[side]
        buffer += data
        end = buffer.find(b"\r\n\r\n")
        if end < 0:
            self.done = len(buffer) > MAX_HEAD
            return b""
        head, rest = parse(bytes(buffer[:end]), end + 4), bytes(buffer[end + 4 :])
        buffer.clear()
        if not head.is_response:
            self._asked = self._asked or head
            self._heads[side].extend(rest[:MAX_HEAD])
            return b""
        self._open(side, head, at)
        early = bytes(self._heads[1 - side])  # what the client said before it was answered
        self._heads[1 - side].clear()
        if early and self._sides is not None:
            self.feed(1 - side, early, at)
        return rest

    def _open(self, side: int, head: Head, at: Moment) -> None:
        asked = self._asked.headers if self._asked else {}
        deflate = extension(head.headers.get("sec-websocket-extensions", ""))
        client, server = (None, None) if deflate is None else deflate
        ends = (Side(masked=True, deflate=client), Side(masked=False, deflate=server))
        self._sides = ends if side == 1 else (ends[1], ends[0])
        subprotocol = head.headers.get("sec-websocket-protocol", "").strip().lower()
        target = self._asked.start.split(" ")[1] if self._asked and self._asked.start.count(" ") >= 1 else ""
        self._unit = unquote(target.partition("?")[0].rstrip("/").rpartition("/")[2])[:MAX_UNIT]
        if subprotocol.startswith("ocpp"):
            self._calls = Calls(self._out, self._unit, subprotocol[4:].strip()[:8], 1 - side)
            given = basic(asked.get("authorization", ""))
            if given is not None:
                self._calls.connected(given[1], given[0], self._talks[1 - side], at)
        elif subprotocol in ("mqtt", "mqttv3.1"):  # MQTT 5.0, 6
            self._broker = mqtt.Conversation(self._out, self._talks[0])
        elif subprotocol:
            self.done = True  # known by its name

    def _midway(self, side: int, data: bytes) -> None:
        """A WebSocket that was open before: the client's frames are masked."""
        masked = len(data) > 1 and data[1] & 0x80 > 0
        ends = (Side(masked=masked), Side(masked=not masked))
        self._sides = ends if side == 0 else (ends[1], ends[0])

    def _message(self, side: int, message: Message, at: Moment) -> None:
        if message.opcode == CLOSE and not message.fault:
            self.done = True
            return
        if self._broker is not None:
            if message.opcode == BINARY and not message.fault:
                self._broker.feed(side, message.data, at)
            self.done = self.done or self._broker.done
            return
        if self._calls is None:
            self._looked += 1
            if message.opcode == TEXT and not message.fault and sure(message.data):
                self._calls = Calls(self._out, self._unit, "", 0 if self._sides and self._sides[0].masked else 1)
            else:
                self.done = self._looked >= _LOOK
        if self._calls is None:
            return
        if message.fault:
            self._calls.broken(message.fault, self._talks[side], at)
        elif message.opcode == TEXT:
            self._calls.message(side, message.data, self._talks[side], at)

    def gap(self, side: int) -> None:
        if self._sides is None:
            self.done = True
            return
        self._sides[side].gap()
        if self._broker is not None:
            self._broker.gap(side)

    def close(self) -> None:
        if self._broker is not None:
            self._broker.close()


def extension(value: str) -> tuple[Deflate, Deflate] | None:
    """permessage-deflate as the server accepts it (RFC 7692, 7.1): the client's side, the server's; None = not used."""
    for offer in value.lower().split(",")[:8]:
        name, *given = (part.strip() for part in offer.split(";")[:8])
        if name != "permessage-deflate":
            continue
        words = {key.strip(): word.strip(' "') for key, _, word in (one.partition("=") for one in given)}
        return tuple(  # type: ignore[return-value]
            Deflate(_bits(words.get(f"{end}_max_window_bits", "")), f"{end}_no_context_takeover" in words)
            for end in ("client", "server")
        )
    return None


def _bits(word: str) -> int:
    return int(word) if word in ("9", "10", "11", "12", "13", "14", "15") else 15


def basic(given: str) -> tuple[str, bytes] | None:
    """User and password of HTTP Basic (RFC 7617)."""
    scheme, _, rest = given.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(rest.strip()[:1_024], validate=False).partition(b":")
    except (binascii.Error, ValueError):
        return None
    return (user.decode("utf-8", "replace")[:MAX_UNIT], password) if colon else None


class Sockets(Speaker):
    """Every WebSocket of a capture."""

    def stream(self, talk: Talk) -> Conversation:
        return Conversation(self.out, talk)


def starts(data: bytes, usual: bool) -> bool:
    """A frame of text that begins as a call of a known action of OCPP does, or as an answer."""
    head = header(data, 0)
    if head is None or data[0] != 0x81 or not head[2]:
        return False
    size, width, _ = head
    body = data[width : width + min(size, 160)]
    if data[1] & 0x80:
        body = unmasked(body, data[width - 4 : width])
    found = _BEGINS.match(body)
    return found is not None and (found[1] is None or known(found[1].decode()))


SOURCES = mqtt.SOURCES | {"ot": LogSource(("ot_command",), ("ocpp", "mqtt", *carried_meter.PRODUCTS), ())}
PROTOCOLS = (Protocol("websocket", starts, Sockets, SOURCES, marks=(Mark(b"\x81"),)),)
