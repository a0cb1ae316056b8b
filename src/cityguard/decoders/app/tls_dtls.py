"""DTLS over UDP (RFC 4347, 6347, 9147) to one row per association: hellos, certificates, fingerprints."""

from __future__ import annotations

import struct

from cityguard.decoders.app.handshakes import Handshakes
from cityguard.decoders.app.tls_session import Session
from cityguard.decoders.events import Talk
from cityguard.decoders.protocol import Mark, Out, Protocol, Speaker
from cityguard.decoders.stream import Moment
from cityguard.model import LogSource

MAX_ASSOCIATIONS = 8_192
MAX_MESSAGE = 65_536
"""Bytes of one handshake message."""
MAX_PARTS = 64
"""Fragments of one message."""
MAX_HELD = 131_072
"""Bytes of unfinished messages of one association."""
WAIT = 60 * 1_000_000_000
"""ns of silence after which a handshake is given up."""
_CHANGE, _ALERT, _HANDSHAKE, _DATA = 20, 21, 22, 23
_VERSIONS = (0xFEFF, 0xFEFD, 0x0100)

_record = struct.Struct(">BHHIHH").unpack_from  # kind, version, epoch, sequence (48 bits), length


class Association:
    """One handshake; fragments of messages wait for each other."""

    def __init__(self, out: Out, talk: Talk) -> None:
        self.session = Session(out, talk, "d")
        self.last = 0
        self.over = False
        self._parts: dict[tuple[int, int], dict[int, bytes]] = {}
        self._seen: set[tuple[int, int]] = set()
        self._held = 0

    def fragment(self, side: int, body: bytes, at: Moment) -> None:
        """A record of the handshake; it may hold several fragments."""
        place = 0
        while len(body) - place >= 12:
            kind = body[place]
            size = int.from_bytes(body[place + 1 : place + 4], "big")
            number = int.from_bytes(body[place + 4 : place + 6], "big")
            begin = int.from_bytes(body[place + 6 : place + 9], "big")
            count = int.from_bytes(body[place + 9 : place + 12], "big")
            part = body[place + 12 : place + 12 + count]
            place += 12 + count
            if size > MAX_MESSAGE or len(part) < count or begin + count > size:
                return
            whole = part if count == size else self._join(side, number, size, begin, part)
            if whole is not None and (side, number) not in self._seen and len(self._seen) < 256:
                self._seen.add((side, number))
                self.session.message(side, kind, whole, at)

    def _join(self, side: int, number: int, size: int, begin: int, part: bytes) -> bytes | None:
        if (side, number) in self._seen or self._held + len(part) > MAX_HELD:
            return None
        parts = self._parts.setdefault((side, number), {})
        if len(parts) >= MAX_PARTS or len(parts.get(begin, b"")) >= len(part):
            return None
        self._held += len(part) - len(parts.get(begin, b""))
        parts[begin] = part
        whole = bytearray()
        for start in sorted(parts):
            if start > len(whole):
                return None
            whole += parts[start][len(whole) - start :]
        if len(whole) < size:
            return None
        del self._parts[side, number]
        self._held -= sum(map(len, parts.values()))
        return bytes(whole[:size])


class Datagrams(Speaker):
    """Every DTLS association of a capture."""

    def __init__(self, out: Out) -> None:
        super().__init__(out)
        self._open: Handshakes[Association] = Handshakes(WAIT, MAX_ASSOCIATIONS)

    def datagram(self, data: bytes, talk: Talk, at: Moment) -> bool:
        if not _is_record(data):
            return False
        side = 0 if talk.source <= talk.destination else 1
        ends = (talk.source, talk.destination) if side == 0 else (talk.destination, talk.source)
        one = self._open.get(ends, at.time)
        if one is None or (one.over and _is_hello(data)):
            one = self._open.begin(ends, Association(self.out, talk if side == 0 else talk.turned()))
        self._open.heard(ends, at.time)
        if not one.over:
            _records(one, side, data, at)
        return True

    def expire(self, now: int) -> None:
        self._open.expire(now)

    def close(self) -> None:
        self._open.close()


def _records(one: Association, side: int, data: bytes, at: Moment) -> None:
    session, place = one.session, 0
    while len(data) - place >= 13 and not one.over:
        kind, version, epoch, _, _, size = _record(data, place)
        if kind >> 5 == 1:  # the unified header of DTLS 1.3: encrypted
            session.dark[side] = True
            break
        body = data[place + 13 : place + 13 + size]
        place += 13 + size
        if version not in _VERSIONS or len(body) < size:
            break
        if epoch == 0 and kind == _HANDSHAKE:
            one.fragment(side, body, at)
        elif kind == _CHANGE:
            session.cipher_change(side)
        elif epoch == 0 and kind == _ALERT and size == 2:
            session.alert(body[0], body[1])
        elif epoch > 0:
            session.dark[side] = True
    if all(session.dark):
        one.over = True
        session.give()


def _is_record(data: bytes) -> bool:
    if len(data) < 13:
        return False
    if data[0] >> 5 == 1:
        return True
    kind, version, _, _, _, size = _record(data)
    return bool(_CHANGE <= kind <= _DATA + 2 and version in _VERSIONS and size)


def _is_hello(data: bytes) -> bool:
    return data[0] == _HANDSHAKE and len(data) > 25 and data[13] == 1


def starts(data: bytes, usual: bool) -> bool:
    """A whole record with a handshake message that fits it."""
    if len(data) < 25 or not _is_record(data) or data[0] != _HANDSHAKE:
        return False
    _, _, epoch, _, _, size = _record(data)
    kind, length = data[13], int.from_bytes(data[14:17], "big")
    begin, count = int.from_bytes(data[19:22], "big"), int.from_bytes(data[22:25], "big")
    return epoch == 0 and kind in (1, 2, 3, 11) and count + 12 <= size and begin + count <= length <= MAX_MESSAGE


PROTOCOLS = (
    Protocol(
        "dtls",
        starts,
        Datagrams,
        {"tls": LogSource(("network",), (), ("tls", "ssl"))},
        udp=(5684,),
        only=(Mark(b"\x14"), Mark(b"\x15"), Mark(b"\x16"), Mark(b"\x20", 0, b"\xe0")),
        marks=(Mark(b"\x16\xfe\xff\x00\x00"), Mark(b"\x16\xfe\xfd\x00\x00"), Mark(b"\x16\x01\x00\x00\x00")),
    ),
)
