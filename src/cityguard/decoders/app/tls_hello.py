"""ClientHello and ServerHello (RFC 8446, 5246, 6101; SSL 2.0; DTLS RFC 6347; TLCP GB/T 38636) as facts."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from cityguard.decoders.app import suites

MAX_ITEMS = 512
"""Suites, extensions, groups of one hello that are kept."""
RETRY = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")  # RFC 8446, 4.1.3
SNI, GROUPS, POINTS, SIGNATURES, ALPN = 0, 10, 11, 13, 16
TICKET, PRE_SHARED, VERSIONS, KEY_SHARE = 35, 41, 43, 51
_DRAFT_KEY_SHARE = 40  # of the drafts before -23
_MAX_SESSION = 32

_short = struct.Struct(">H").unpack_from


class CutError(Exception):
    """A vector reaches beyond its message."""


class Reader:
    """Vectors of a handshake message, each bounded by its parent."""

    __slots__ = ("data", "place")

    def __init__(self, data: bytes) -> None:
        self.data, self.place = data, 0

    def take(self, count: int) -> bytes:
        part = self.data[self.place : self.place + count]
        if len(part) < count:
            raise CutError
        self.place += count
        return part

    def number(self, width: int) -> int:
        return int.from_bytes(self.take(width), "big")

    def vector(self, width: int) -> Reader:
        return Reader(self.take(self.number(width)))

    def more(self) -> bool:
        return self.place < len(self.data)

    def shorts(self) -> list[int]:
        data = self.data[: 2 * MAX_ITEMS]
        return list(struct.unpack(f">{len(data) // 2}H", data[: len(data) & ~1]))


@dataclass(slots=True)
class ClientHello:
    """What a client offers; GREASE values (RFC 8701) are left out."""

    version: int
    session: bytes = b""
    ciphers: list[int] = field(default_factory=list)
    extensions: list[int] = field(default_factory=list)
    groups: list[int] = field(default_factory=list)
    points: list[int] = field(default_factory=list)
    signatures: list[int] = field(default_factory=list)
    versions: list[int] = field(default_factory=list)
    alpn: list[bytes] = field(default_factory=list)
    server_name: str | None = None
    ticket: bool = False
    random: bytes = b""
    compression: bytes = b""
    extended: bool = False
    """It has a list of extensions, be it empty."""

    @property
    def highest(self) -> int:
        """The newest version offered."""
        if self.versions:
            return min(self.versions, key=_age) if self.version >> 8 == 0xFE else max(self.versions, key=_rank)
        return self.version


@dataclass(slots=True)
class ServerHello:
    """What a server chose."""

    version: int
    """The negotiated one."""
    legacy: int
    cipher: int
    session: bytes = b""
    extensions: list[int] = field(default_factory=list)
    alpn: bytes = b""
    group: int | None = None
    pre_shared: bool = False
    retry: bool = False
    random: bytes = b""


def _rank(version: int) -> int:
    """Drafts of TLS 1.3 stand below it, by number."""
    return 0x0303_80 + (version & 0x7F) if version >> 8 == 0x7F else version << 8


def _age(version: int) -> int:
    """DTLS counts downwards."""
    return version if version >> 8 == 0xFE else 0xFFFF


def client_hello(body: bytes, *, datagram: bool = False) -> ClientHello:
    """Read a ClientHello.

    Args:
        body: the handshake message without its header.
        datagram: of DTLS, which has a cookie.

    Raises:
        CutError: a length does not fit.
    """
    reader = Reader(body)
    hello = ClientHello(reader.number(2), random=reader.take(32), session=_session(reader))
    if datagram:
        reader.vector(1)
    offered = reader.vector(2)
    if len(offered.data) < 2 or len(offered.data) % 2:
        raise CutError
    hello.ciphers = _known(offered)
    if not reader.more():
        return hello
    hello.compression = reader.vector(1).data
    hello.extended = reader.more()
    for kind, value in _extensions(reader):
        if suites.is_grease(kind):
            continue
        hello.extensions.append(kind)
        _offer(hello, kind, value)
    return hello


def _session(reader: Reader) -> bytes:
    """A session id: 32 bytes at most (RFC 5246, 7.4.1.2)."""
    session = reader.vector(1).data
    if len(session) > _MAX_SESSION:
        raise CutError
    return session


def _known(reader: Reader) -> list[int]:
    return [number for number in reader.shorts() if not suites.is_grease(number)]


def _offer(hello: ClientHello, kind: int, value: Reader) -> None:
    if kind == SNI and value.more():
        names = value.vector(2)
        while names.more() and hello.server_name is None:
            is_host, name = names.number(1) == 0, names.vector(2).data
            if is_host:
                hello.server_name = printable(name).rstrip(".").lower() or None
    elif kind == GROUPS and value.more():
        hello.groups = _known(value.vector(2))
    elif kind == POINTS and value.more():
        hello.points = list(value.vector(1).data)
    elif kind == SIGNATURES and value.more():
        hello.signatures = _known(value.vector(2))
    elif kind == VERSIONS and value.more():
        hello.versions = _known(value.vector(1))
    elif kind == TICKET:
        hello.ticket = bool(value.data)
    elif kind == ALPN and value.more():
        offered = value.vector(2)
        while offered.more() and len(hello.alpn) < 32:
            hello.alpn.append(offered.vector(1).data)


def server_hello(body: bytes) -> ServerHello:
    """Read a ServerHello or HelloRetryRequest.

    Raises:
        CutError: a length does not fit.
    """
    reader = Reader(body)
    version = reader.number(2)
    random = reader.take(32)
    drafted = version >> 8 == 0x7F and version < 0x7F16  # before draft 22 there was no session id
    session = b"" if drafted else _session(reader)
    hello = ServerHello(version, version, reader.number(2), session, retry=random == RETRY, random=random)
    if not drafted and reader.more():
        reader.take(1)
    for kind, value in _extensions(reader):
        hello.extensions.append(kind)
        if kind == VERSIONS and len(value.data) == 2:
            hello.version = value.number(2)
        elif kind == ALPN and value.more():
            hello.alpn = value.vector(2).vector(1).data
        elif kind in (KEY_SHARE, _DRAFT_KEY_SHARE) and len(value.data) >= 2:
            hello.group = value.number(2)
        elif kind == PRE_SHARED:
            hello.pre_shared = True
    return hello


def _extensions(reader: Reader) -> list[tuple[int, Reader]]:
    found: list[tuple[int, Reader]] = []
    if reader.more():
        inside = reader.vector(2)
        while inside.more() and len(found) < MAX_ITEMS:
            found.append((inside.number(2), inside.vector(2)))
    return found


def sslv2_hello(data: bytes) -> ClientHello | None:
    """A CLIENT-HELLO of SSL 2.0, alone or as the envelope of a newer one; None where it is none (RFC 6101, E)."""
    if len(data) < 11 or not data[0] & 0x80 or data[2] != 1:
        return None
    version, ciphers, session, challenge = struct.unpack_from(">4H", data, 3)
    size = (data[0] & 0x7F) << 8 | data[1]
    if size != 9 + ciphers + session + challenge or ciphers % 3 or not ciphers or not 16 <= challenge <= 32:
        return None
    if version != 2 and version >> 8 != 3:
        return None
    kinds = [data[at : at + 3] for at in range(11, min(11 + ciphers, len(data) - 2), 3)][:MAX_ITEMS]
    hello = ClientHello(version)
    hello.ciphers = [int.from_bytes(kind, "big") for kind in kinds]
    return hello


def printable(raw: bytes) -> str:
    """Bytes as text of one line."""
    return "".join(chr(octet) if 0x20 <= octet < 0x7F else f"\\x{octet:02x}" for octet in raw[:255])
