"""TLS records (RFC 8446, 5246, 6101; SSL 2.0 hellos; TLCP GB/T 38636) to one row per connection.

Only what is sent in the clear is read; nothing is decrypted, and no certificate is judged here.
"""

from __future__ import annotations

import struct

from cityguard.decoders.app import suites
from cityguard.decoders.app.tls_hello import CutError, client_hello, server_hello, sslv2_hello
from cityguard.decoders.app.tls_session import Session
from cityguard.decoders.events import Talk
from cityguard.decoders.protocol import Mark, Out, Protocol, Speaker
from cityguard.decoders.stream import Moment
from cityguard.model import LogSource

MAX_HANDSHAKE = 131_072
"""Bytes of one side's handshake that are read."""
_MAX_PLAIN = 16_384
_MAX_RECORD = _MAX_PLAIN + 2_048
_CHANGE, _ALERT, _HANDSHAKE, _DATA, _HEARTBEAT = 20, 21, 22, 23, 24
_KINDS = frozenset((*range(_CHANGE, _HEARTBEAT + 1), 80))  # 80: site to site of GM/T 0024
_FATAL = 2
_TLCP = b"\x01\x01"
_JOINED = frozenset((11, 12, 13, 14, 15, 16))
"""Messages of TLCP by which a handshake is known in its middle."""
MAX_SKIPPED = 65_536
"""Bytes before the first record that are searched for it."""

_short = struct.Struct(">H").unpack_from


class Handshake:
    """One connection's handshake; adds its row when it is over."""

    def __init__(self, out: Out, ends: Talk) -> None:
        self.done, self.held = False, 0
        self._session = Session(out, ends)
        self._records, self._messages = (bytearray(), bytearray()), (bytearray(), bytearray())
        self._blind = [False, False]  # lost from here
        self._seen = [0, 0]
        self._skipped = [0, 0]
        self._heard = [False, False]  # a record

    def feed(self, side: int, data: bytes, at: Moment) -> None:
        if self._blind[side] or self.done:
            return
        buffer = self._records[side]
        buffer += data
        if self._session.client is None and buffer[0] & 0x80 and not self._old(side, buffer, at):
            return
        place = 0
        while len(buffer) - place >= 5 and not self.done and not self._blind[side]:
            kind, size = buffer[place], _short(buffer, place + 3)[0]
            if kind not in _KINDS or size > _MAX_RECORD or not _is_version(buffer[place + 1], buffer[place + 2]):
                if (found := self._search(side, buffer, place)) < 0:
                    return
                place = found
                continue
            if len(buffer) - place < 5 + size:
                break
            self._heard[side] = True
            self._session.tlcp |= buffer[place + 1 : place + 3] == _TLCP
            self._record(side, kind, bytes(buffer[place + 5 : place + 5 + size]), at)
            place += 5 + size
        del buffer[:place]
        self.held = sum(map(len, self._records)) + sum(map(len, self._messages))

    def _search(self, side: int, buffer: bytearray, place: int) -> int:
        """Where the first record begins, before which something else was said; -1 = not yet, or never."""
        if self._heard[side]:
            self.gap(side)
            return -1
        end = len(buffer)
        found = buffer.find(_HANDSHAKE, place + 1)
        while found >= 0 and end - found >= 10 and not _is_hello(bytes(buffer[found : found + 10])):
            found = buffer.find(_HANDSHAKE, found + 1)
        skipped = (found if found >= 0 else end) - place
        self._skipped[side] += skipped
        if self._skipped[side] > MAX_SKIPPED:
            self.gap(side)
            return -1
        if found >= 0 and end - found >= 10:
            return found
        del buffer[: place + skipped]
        self.held = sum(map(len, self._records)) + sum(map(len, self._messages))
        return -1

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
            return True  # what it is instead, the records tell
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
            self._split(side, len(body), at)

    def _split(self, side: int, record: int, at: Moment) -> None:
        """Give out whole messages; ``record`` is the length of the record that came last."""
        buffer, place = self._messages[side], 0
        while len(buffer) - place >= 4:
            size = int.from_bytes(buffer[place + 1 : place + 4], "big")
            short = len(buffer) - place < 4 + size
            if self._session.tlcp and short and buffer[place] in (1, 2) and record < _MAX_PLAIN:
                self._session.malformed(side, buffer[place], bytes(buffer[place + 4 :]), at)  # no hello fills records
                self.gap(side)
                return
            if size > MAX_HANDSHAKE:
                self.gap(side)
                return
            if short:
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
    if data[0] != _HANDSHAKE or not _is_version(data[1], data[2]) or _short(data, 3)[0] > _MAX_RECORD:
        return False
    if len(data) < 9:
        return data[5] in (1, 2)
    return _is_hello(data)


def _is_version(major: int, minor: int) -> bool:
    """SSL 3.0 to TLS 1.3, drafts of it, TLCP."""
    return (major == 3 and minor < 5) or (major == 1 and minor == 1) or major >> 4 == 7


def _is_hello(data: bytes) -> bool:
    """A handshake record that begins with a hello, or with any message that TLCP sends in the clear."""
    if data[0] != _HANDSHAKE or not _is_version(data[1], data[2]):
        return False
    record, size = _short(data, 3)[0], int.from_bytes(data[6:9], "big")
    if record > _MAX_RECORD or size >= MAX_HANDSHAKE:
        return False
    joined = data[1:3] == _TLCP and data[5] in _JOINED and (size + 4 <= record or data[5] == 11)
    return data[5] in (1, 2) or joined


_ASTRAY = 24
"""Octets that may stand before a hello; OpenVPN has two heads of 16 and more before its own."""


def within(data: bytes) -> bool:
    """Whether a whole record of TLCP, or a whole hello of TLS with 国密 (RFC 8998), stands anywhere.

    Other TLS counts in the first octets alone; further in it is left to what it is inside of (OpenVPN).
    """
    at = data.find(_HANDSHAKE)
    while 0 <= at <= len(data) - 9:
        if _is_hello(data[at : at + 10]) and _is_whole(data, at):
            return True
        at = data.find(_HANDSHAKE, at + 1)
    return False


def _is_whole(data: bytes, at: int) -> bool:
    """The record is all there, its first message fits it, and it is plainly of TLCP or a hello with 国密."""
    record, size = _short(data, at + 3)[0], int.from_bytes(data[at + 6 : at + 9], "big")
    if size + 4 > record or len(data) < at + 5 + record:
        return False
    if data[at + 1 : at + 3] == _TLCP:
        return data[at + 5] not in (1, 2) or data[at + 9 : at + 11] == _TLCP
    body = data[at + 9 : at + 9 + size]
    try:
        ciphers = client_hello(body).ciphers if data[at + 5] == 1 else [server_hello(body).cipher]
    except CutError:
        return False
    return at <= _ASTRAY or any(map(suites.is_guomi, ciphers))


_V2 = b"\x80\x00\x01"

PROTOCOLS = (
    Protocol(
        "tls",
        starts,
        Handshakes,
        {"tls": LogSource(("network",), (), ("tls", "ssl", "x509"))},
        tcp=(443, 8443, 465, 563, 636, 853, 989, 990, 992, 993, 994, 995, 5061, 5671, 6514, 8883),
        marks=(Mark(b"\x16\x03"), Mark(b"\x16\x01\x01"), Mark(_V2, 0, b"\x80\x00\xff")),
        within=within,
        needles=(b"\x16\x01\x01", b"\x16\x03\x01", b"\x16\x03\x03"),
    ),
)
