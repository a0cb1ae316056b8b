"""QUIC v1, v2 and drafts (RFC 9000, 9001, 9369): the hellos of Initial packets to one ``tls`` row per connection.

Initial packets are protected with keys anyone can make who saw the first one; nothing else is decrypted.
"""

from __future__ import annotations

from cityguard.decoders.app import quic_packet as wire
from cityguard.decoders.app.handshakes import Handshakes
from cityguard.decoders.app.tls_session import Session
from cityguard.decoders.events import Talk
from cityguard.decoders.protocol import Mark, Out, Protocol, Speaker
from cityguard.decoders.stream import Moment
from cityguard.model import LogSource

MAX_CONNECTIONS = 8_192
MAX_CRYPTO = 65_536
"""Bytes of one side's handshake."""
MAX_PARTS = 128
WAIT = 30 * 1_000_000_000
"""ns of silence after which a handshake is given up."""
MAX_PACKETS = 64
"""Packets of one connection that are tried."""
_REKEYS = 4
_MAX_DATAGRAM = 16_384
_MIN_INITIAL = 64
_GOOGLE, _CRYPTO_GOOGLE = 0x543035, 8  # T05x
_PADDING, _PING, _ACK, _ACK_ECN, _CRYPTO, _CLOSE, _CLOSE_APP = 0, 1, 2, 3, 6, 0x1C, 0x1D


class Crypto:
    """One side's CRYPTO stream, put in order."""

    __slots__ = ("data", "held", "parts", "read")

    def __init__(self) -> None:
        self.data = bytearray()
        self.parts: dict[int, bytes] = {}
        self.held = self.read = 0

    def add(self, at: int, part: bytes) -> None:
        if at + len(part) > MAX_CRYPTO or len(self.parts) >= MAX_PARTS:
            return
        if len(part) > len(self.parts.get(at, b"")):
            self.parts[at] = part
        for start in sorted(self.parts):
            if start > len(self.data):
                break
            self.data += self.parts.pop(start)[len(self.data) - start :]


class Connection:
    """One connection whose client is known."""

    def __init__(self, out: Out, talk: Talk, head: wire.Header) -> None:
        self.session = Session(out, talk, "q")
        self.over = False
        self.last = self.tried = 0
        self._keys = wire.keys(head.version, head.destination)
        self._rekeyed = 0
        self._crypto_kind = _CRYPTO_GOOGLE if head.version >> 8 == _GOOGLE else _CRYPTO
        self._crypto = (Crypto(), Crypto())
        self._facts = {"version": _version(head.version), "client_initial_dcid": head.destination.hex()}
        self._facts["client_scid"] = head.source.hex()
        self.session.extra["quic"] = self._facts

    def packet(self, side: int, data: bytes, head: wire.Header, at: Moment) -> bool:
        """An Initial; whether both hellos are known now."""
        frames = self._keys[side].open(data, head)
        if frames is None and side == 0 and self._rekeyed < _REKEYS:
            again = wire.keys(head.version, head.destination)  # after a Retry, or in another version
            frames = again[0].open(data, head)
            if frames is not None:
                self._keys = again
                self._rekeyed += 1
                self._facts["version"] = _version(head.version)
        if frames is None:
            return False
        if side == 1:
            self._facts["server_scid"] = head.source.hex()
        self._frames(side, frames, at)
        return self.over

    def _frames(self, side: int, data: bytes, at: Moment) -> None:
        crypto, place = self._crypto[side], 0
        while place < len(data):
            kind = data[place]
            place += 1
            if kind in (_PADDING, _PING):
                continue
            if kind in (_ACK, _ACK_ECN):
                place = _skip_ack(data, place, ecn=kind == _ACK_ECN)
            elif kind == self._crypto_kind:
                offset, place = wire.varint(data, place)
                size, place = wire.varint(data, place)
                if place + size > len(data):
                    break
                crypto.add(offset, data[place : place + size])
                place += size
            else:
                if kind in (_CLOSE, _CLOSE_APP):
                    code, _ = wire.varint(data, place)
                    self._facts["close"] = hex(code)
                break
        self._messages(side, crypto, at)

    def _messages(self, side: int, crypto: Crypto, at: Moment) -> None:
        data = crypto.data
        while len(data) - crypto.read >= 4:
            size = int.from_bytes(data[crypto.read + 1 : crypto.read + 4], "big")
            if len(data) - crypto.read < 4 + size:
                return
            body = bytes(data[crypto.read + 4 : crypto.read + 4 + size])
            self.session.message(side, data[crypto.read], body, at)
            crypto.read += 4 + size
            choice = self.session.choice
            self.over = self.session.offer is not None and choice is not None and not choice.retry


class Datagrams(Speaker):
    """Every QUIC connection of a capture."""

    def __init__(self, out: Out) -> None:
        super().__init__(out)
        self._open: Handshakes[Connection] = Handshakes(WAIT, MAX_CONNECTIONS)

    def datagram(self, data: bytes, talk: Talk, at: Moment) -> bool:
        place, heard = 0, False
        while place < len(data):
            head = wire.header(data, place)
            if head is None:
                break
            heard = True
            if head.kind == wire.INITIAL:
                self._initial(data, head, talk, at)
            place = head.end
        return heard

    def _initial(self, data: bytes, head: wire.Header, talk: Talk, at: Moment) -> None:
        ends = (talk.source, talk.destination)
        answer = (talk.destination, talk.source)
        side = 1 if answer in self._open else 0
        mine = answer if side else ends
        one = self._open.get(mine, at.time)
        if one is None and side:  # the ports are used again
            self._open.end(mine)
            side, mine = 0, ends
        if one is None:
            if wire.keys(head.version, head.destination)[0].open(data, head) is None:
                return
            one = self._open.begin(mine, Connection(self.out, talk, head))
        self._open.heard(mine, at.time)
        one.tried += 1
        if one.over or one.tried > MAX_PACKETS:
            return
        if one.packet(side, data, head, at):
            one.session.give()

    def expire(self, now: int) -> None:
        self._open.expire(now)

    def close(self) -> None:
        self._open.close()


def _skip_ack(data: bytes, place: int, *, ecn: bool) -> int:
    _, place = wire.varint(data, place)
    _, place = wire.varint(data, place)
    ranges, place = wire.varint(data, place)
    _, place = wire.varint(data, place)
    for _ in range(min(ranges, 256) * 2 + (3 if ecn else 0)):
        _, place = wire.varint(data, place)
    return place


def _version(number: int) -> str:
    if number == wire.V1:
        return "1"
    if number == wire.V2:
        return "2"
    if number >> 8 == 0xFF0000:
        return f"draft-{number & 0xFF}"
    raw = number.to_bytes(4, "big")
    return raw.decode() if raw.isalnum() and raw.isascii() else f"0x{number:08x}"


def starts(data: bytes, usual: bool) -> bool:
    """A long header of a known version whose packet fits; a first Initial shows its version and lengths."""
    found = wire.header(data + bytes(_MAX_DATAGRAM), 0)  # what is shown may be cut
    if found is None or found.number > len(data):
        return False
    return usual or found.kind != wire.INITIAL or found.end >= _MIN_INITIAL or len(data) < found.end


def other(data: bytes, usual: bool) -> bool:
    """QUIC that is not read: Google's own, and on the usual ports versions not known here."""
    if len(data) < 20:
        return False
    at = 1 if data[0] & 0x80 else 9  # Google's first header: flags, connection id, version
    if data[at : at + 2] == b"Q0" and data[at + 2 : at + 4].isdigit():
        return bool(data[0] & 0x80) or data[0] & 0x89 == 0x09
    forced = len(data) > 5 and all(octet & 0x0F == 0x0A for octet in data[1:5])  # asks for other versions (15)
    if not (usual or forced) or data[0] & 0xC0 != 0xC0 or len(data) < _SHOWN:
        return False
    first = data[5]
    return first <= wire.MAX_ID and data[6 + first] <= wire.MAX_ID


_SHOWN = 512
PROTOCOLS = (
    Protocol(
        "quic",
        starts,
        Datagrams,
        {"tls": LogSource(("network",), (), ("tls", "ssl", "quic"))},
        udp=(443, 784, 853, 8853),
        only=(Mark(b"\x80", 0, b"\x80"),),
        marks=(
            Mark(b"\x80\x00\x00\x00\x01", 0, b"\x80\xff\xff\xff\xff"),
            Mark(b"\x80\x6b\x33\x43\xcf", 0, b"\x80\xff\xff\xff\xff"),
            Mark(b"\x80\xff\x00\x00", 0, b"\x80\xff\xff\xff"),
            Mark(b"\x80\xfa\xce\xb0", 0, b"\x80\xff\xff\xff"),
            Mark(b"\x80T05", 0, b"\x80\xff\xff\xff"),
        ),
    ),
    Protocol(
        "quic",
        other,
        udp=(443, 4433),
        marks=(
            Mark(b"\x80Q0", 0, b"\x80\xff\xff"),
            Mark(b"Q0", 9),
            Mark(b"\xc0\x0a\x0a\x0a\x0a", 0, b"\xc0\x0f\x0f\x0f\x0f"),
        ),
        priority=-2,
    ),
)
