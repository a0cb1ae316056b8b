"""TLS records (RFC 8446, 5246, 6101; SSL 2.0 hellos; TLCP GB/T 38636) to one row per connection.

Only what is sent in the clear is read; nothing is decrypted, and no certificate is judged here.
"""

from __future__ import annotations

import struct

from cityguard.decoders.app.tls_hello import sslv2_hello
from cityguard.decoders.app.tls_session import Session
from cityguard.decoders.events import Talk
from cityguard.decoders.protocol import Mark, Out, Protocol, Speaker
from cityguard.decoders.stream import Moment
from cityguard.model import LogSource

MAX_HANDSHAKE = 131_072
"""Bytes of one side's handshake that are read."""
_MAX_RECORD = 16_384 + 2_048
_CHANGE, _ALERT, _HANDSHAKE, _DATA, _HEARTBEAT = 20, 21, 22, 23, 24
_KINDS = range(_CHANGE, _HEARTBEAT + 1)
_FATAL = 2

_short = struct.Struct(">H").unpack_from


class Handshake:
    """One connection's handshake; adds its row when it is over."""

    def __init__(self, out: Out, ends: Talk) -> None:
        self.done, self.held = False, 0
        self._session = Session(out, ends)
        self._records, self._messages = (bytearray(), bytearray()), (bytearray(), bytearray())
        self._blind = [False, False]  # lost from here
        self._seen = [0, 0]

    def feed(self, side: int, data: bytes, at: Moment) -> None:
        if self._blind[side] or self.done:
            return
        buffer = self._records[side]
        buffer += data
        if self._session.client is None and buffer[0] & 0x80 and not self._old(side, buffer, at):
            return
        place = 0
        while len(buffer) - place >= 5 and not self.done and not self._blind[side]:
            kind, major, size = buffer[place], buffer[place + 1], _short(buffer, place + 3)[0]
            if kind not in _KINDS or not (major in (1, 3) or major >> 4 == 7) or size > _MAX_RECORD:
                self.gap(side)
                break
            if len(buffer) - place < 5 + size:
                break
            self._record(side, kind, bytes(buffer[place + 5 : place + 5 + size]), at)
            place += 5 + size
        del buffer[:place]
        self.held = sum(map(len, self._records)) + sum(map(len, self._messages))

    def gap(self, side: int) -> None:
        self._blind[side] = True
        self._records[side].clear()
        self._messages[side].clear()
        self.done = self.done or all(self._blind) or self._session.client is None

    def close(self) -> None:
        self._session.give()

    def _old(self, side: int, buffer: bytearray, at: Moment) -> bool:
        """The hello of SSL 2.0; False while it is not whole."""
        size = 2 + ((buffer[0] & 0x7F) << 8 | buffer[1]) if len(buffer) > 1 else 2
        if len(buffer) < size and size < 1_024:
            return False
        hello = sslv2_hello(bytes(buffer[:size]))
        if hello is None:
            self.gap(side)
            return False
        del buffer[:size]
        self._session.envelope(side, hello, at)
        if hello.version == 2:  # what follows has no records of TLS
            self.done = True
        return True

    def _record(self, side: int, kind: int, body: bytes, at: Moment) -> None:
        session = self._session
        dark = session.dark
        if kind == _DATA or (kind == _CHANGE and not session.is_13 and session.choice is not None):
            if kind == _CHANGE:
                session.cipher_change(side)
            dark[side] = True
            self.done = all(dark)
        elif kind == _CHANGE and session.choice is None:
            dark[side] = session.offer is None or session.keyed  # the other side is not heard
        elif kind == _ALERT and not dark[side] and len(body) == 2:
            session.alert(body[0], body[1])
            self.done = body[0] == _FATAL
        elif kind == _HANDSHAKE and not dark[side]:
            self._seen[side] += len(body)
            if self._seen[side] > MAX_HANDSHAKE:
                self.gap(side)
                return
            self._messages[side].extend(body)
            self._split(side, at)

    def _split(self, side: int, at: Moment) -> None:
        buffer, place = self._messages[side], 0
        while len(buffer) - place >= 4:
            size = int.from_bytes(buffer[place + 1 : place + 4], "big")
            if size > MAX_HANDSHAKE:
                self.gap(side)
                return
            if len(buffer) - place < 4 + size:
                break
            body = bytes(buffer[place + 4 : place + 4 + size])
            if not self._session.message(side, buffer[place], body, at):
                self.gap(side)
                return
            place += 4 + size
        del buffer[:place]


class Handshakes(Speaker):
    """Every TLS connection of a capture."""

    def stream(self, talk: Talk) -> Handshake:
        return Handshake(self.out, talk)


def starts(data: bytes, usual: bool) -> bool:
    """A record with a hello or the hello of SSL 2.0; a first byte or two on the usual port."""
    if len(data) < 6:
        return usual and data[0] in (_HANDSHAKE, 0x80)
    if data[0] & 0x80:
        return sslv2_hello(data) is not None
    if data[0] in (_CHANGE, _ALERT, _DATA):  # a server that refuses at once, or seen from the middle
        return usual and data[1] == 3 and data[2] < 5 and 0 < _short(data, 3)[0] <= _MAX_RECORD
    if data[0] != _HANDSHAKE or data[5] not in (1, 2) or _short(data, 3)[0] > _MAX_RECORD:
        return False
    sound = len(data) < 9 or int.from_bytes(data[6:9], "big") < MAX_HANDSHAKE
    return sound and ((data[1] == 3 and data[2] < 5) or (data[1], data[2]) == (1, 1) or data[1] >> 4 == 7)


_V2 = b"\x80\x00\x01"

PROTOCOLS = (
    Protocol(
        "tls",
        starts,
        Handshakes,
        {"tls": LogSource(("network",), (), ("tls", "ssl", "x509"))},
        tcp=(443, 8443, 465, 563, 636, 853, 989, 990, 992, 993, 994, 995, 5061, 5671, 6514, 8883),
        marks=(Mark(b"\x16\x03"), Mark(b"\x16\x01\x01"), Mark(_V2, 0, b"\x80\x00\xff")),
    ),
)
