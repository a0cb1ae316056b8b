"""TLS handshakes (RFC 8446, 5246, 6101; TLCP GB/T 38636) to one row per connection: hellos, certificate, JA3.

Only what is sent in the clear is read; nothing is decrypted, and no certificate is judged here.
"""

from __future__ import annotations

import hashlib
import struct
import warnings
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa

from cityguard.decoders.app import suites
from cityguard.decoders.events import Rows, Talk
from cityguard.decoders.protocol import Mark, Protocol, Speaker
from cityguard.decoders.stream import Moment
from cityguard.model import LogSource

MAX_HANDSHAKE = 65_536
"""Bytes of one side's handshake that are read."""
_MAX_RECORD = 16_384 + 2_048
_CHANGE, _ALERT, _HANDSHAKE, _DATA = 20, 21, 22, 23
_VERSIONS = {0x0300: ("ssl", "3.0"), 0x0101: ("tlcp", "tlcp1.1")} | {
    0x0301 + minor: ("tls", f"1.{minor}") for minor in range(4)
}
_RETRY = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")  # RFC 8446, 4.1.3
_MAX_NAMES = 64

_short = struct.Struct(">H").unpack_from


class _CutError(Exception):
    """A vector reaches beyond its message."""


class _Reader:
    """Vectors of a handshake message, each bounded by its parent."""

    __slots__ = ("data", "place")

    def __init__(self, data: bytes) -> None:
        self.data, self.place = data, 0

    def take(self, count: int) -> bytes:
        part = self.data[self.place : self.place + count]
        if len(part) < count:
            raise _CutError
        self.place += count
        return part

    def number(self, width: int) -> int:
        return int.from_bytes(self.take(width), "big")

    def vector(self, width: int) -> _Reader:
        return _Reader(self.take(self.number(width)))

    def more(self) -> bool:
        return self.place < len(self.data)

    def shorts(self) -> list[int]:
        return [_short(self.data, at)[0] for at in range(0, len(self.data) - 1, 2)]


class Handshake:
    """One connection's handshake; adds its row when it is over."""

    def __init__(self, rows: Rows, ends: Talk) -> None:
        self.done, self.held = False, 0
        self._rows, self._talks = rows, (ends, ends.turned())
        self._records, self._messages = (bytearray(), bytearray()), (bytearray(), bytearray())
        self._dark, self._blind = [False, False], [False, False]  # encrypted from here; lost from here
        self._seen = [0, 0]
        self._client: int | None = None
        self._at: Moment | None = None
        self._fields: dict[str, Any] = {}

    def feed(self, side: int, data: bytes, at: Moment) -> None:
        if self._blind[side] or self.done:
            return
        buffer = self._records[side]
        buffer += data
        while len(buffer) >= 5 and not self.done and not self._blind[side]:
            size = _short(buffer, 3)[0]
            if buffer[0] not in range(_CHANGE, 25) or buffer[1] not in (1, 3) or size > _MAX_RECORD:
                self.gap(side)
                break
            if len(buffer) < 5 + size:
                break
            body = bytes(buffer[5 : 5 + size])
            kind = buffer[0]
            del buffer[: 5 + size]
            self._record(side, kind, body, at)
        self.held = sum(map(len, self._records)) + sum(map(len, self._messages))

    def gap(self, side: int) -> None:
        self._blind[side] = True
        self._records[side].clear()
        self._messages[side].clear()
        self.done = self.done or all(self._blind)

    def close(self) -> None:
        if self._at is None or self._client is None:
            return
        self._fields.setdefault("tls.established", all(self._dark))
        self._rows.add(self._at.number, self._at.time, self._talks[self._client], self._fields)
        self._at = None

    def _record(self, side: int, kind: int, body: bytes, at: Moment) -> None:
        if kind in (_CHANGE, _DATA):
            self._dark[side] = True
            self.done = all(self._dark)
        elif kind == _ALERT and not self._dark[side] and len(body) == 2 and body[0] == 2:
            self.done = True
        elif kind == _HANDSHAKE and not self._dark[side]:
            self._seen[side] += len(body)
            if self._seen[side] > MAX_HANDSHAKE:
                self.gap(side)
                return
            self._messages[side].extend(body)
            self._split(side, at)

    def _split(self, side: int, at: Moment) -> None:
        buffer = self._messages[side]
        while len(buffer) >= 4:
            size = int.from_bytes(buffer[1:4], "big")
            if size > MAX_HANDSHAKE:
                self.gap(side)
                return
            if len(buffer) < 4 + size:
                return
            kind, body = buffer[0], bytes(buffer[4 : 4 + size])
            del buffer[: 4 + size]
            try:
                self._message(side, kind, body, at)
            except _CutError:
                self.gap(side)
                return

    def _message(self, side: int, kind: int, body: bytes, at: Moment) -> None:
        if kind == 1 and self._client in (None, side):
            self._hello(side, at)
            self._fields |= client_hello(body)
        elif kind == 2 and self._client in (None, 1 - side):
            self._hello(1 - side, at)
            if body[2:34] != _RETRY:
                self._fields |= server_hello(body)
        elif kind == 11 and self._client == 1 - side and "tls.server.hash.sha256" not in self._fields:
            self._fields |= certificate(body)

    def _hello(self, client: int, at: Moment) -> None:
        if self._at is None:
            self._client, self._at = client, at


def _version(number: int) -> dict[str, Any]:
    family, text = _VERSIONS.get(number, ("tls", f"0x{number:04x}"))
    return {"tls.version": text, "tls.version_protocol": family}


def _extensions(reader: _Reader) -> list[tuple[int, _Reader]]:
    found: list[tuple[int, _Reader]] = []
    if reader.more():
        inside = reader.vector(2)
        while inside.more():
            found.append((inside.number(2), inside.vector(2)))
    return found


def client_hello(body: bytes) -> dict[str, Any]:
    """Columns of a ClientHello."""
    reader = _Reader(body)
    version = reader.number(2)
    reader.take(32)
    reader.vector(1)
    ciphers = [number for number in reader.vector(2).shorts() if not suites.is_grease(number)]
    reader.vector(1)
    fields: dict[str, Any] = _version(version) | {"tls.client.ciphers": [suites.name(number) for number in ciphers]}
    kinds, groups, points = [], list[int](), list[int]()
    for kind, value in _extensions(reader):
        if suites.is_grease(kind):
            continue
        kinds.append(kind)
        if kind == 0 and value.more():
            names = value.vector(2)
            while names.more():
                if names.number(1) == 0:
                    fields["tls.client.server_name"] = _printable(names.vector(2).data).rstrip(".").lower()
                    break
                names.vector(2)
        elif kind == 10:
            groups = [number for number in value.vector(2).shorts() if not suites.is_grease(number)]
        elif kind == 11:
            points = list(value.vector(1).data)
        elif kind == 16:
            offered = value.vector(2)
            if offered.more():
                fields["tls.next_protocol"] = _printable(offered.vector(1).data)
    parts = (ciphers, kinds, groups, points)
    fields["tls.client.ja3"] = _ja3(version, ["-".join(map(str, part)) for part in parts])
    return fields


def server_hello(body: bytes) -> dict[str, Any]:
    """Columns of a ServerHello; the version is the negotiated one."""
    reader = _Reader(body)
    version = spoken = reader.number(2)
    reader.take(32)
    reader.vector(1)
    cipher = reader.number(2)
    reader.take(1)
    kinds, fields = [], dict[str, Any]()
    for kind, value in _extensions(reader):
        kinds.append(kind)
        if kind == 43 and len(value.data) == 2:
            spoken = value.number(2)
        elif kind == 16:
            fields["tls.next_protocol"] = _printable(value.vector(2).vector(1).data)
    fields |= _version(spoken) | {"tls.cipher": suites.name(cipher)}
    fields["tls.server.ja3s"] = _ja3(version, [str(cipher), "-".join(map(str, kinds))])
    return fields


def _ja3(version: int, parts: list[str]) -> str:
    text = ",".join([str(version), *parts])
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def _printable(raw: bytes) -> str:
    return "".join(chr(octet) if 0x20 <= octet < 0x7F else f"\\x{octet:02x}" for octet in raw[:255])


def certificate(body: bytes) -> dict[str, Any]:
    """Columns of the first certificate of a Certificate message (SSL 3.0 to TLS 1.2, TLCP)."""
    chain = _Reader(body).vector(3)
    return describe(chain.vector(3).data) if chain.more() else {}


def describe(der: bytes) -> dict[str, Any]:
    """Columns of a certificate; what cannot be read is left out, the hash is always there."""
    fields: dict[str, Any] = {"tls.server.hash.sha256": hashlib.sha256(der).hexdigest()}
    readers = {
        "tls.server.subject": lambda one: one.subject.rfc4514_string(),
        "tls.server.issuer": lambda one: one.issuer.rfc4514_string(),
        "tls.server.not_before": lambda one: one.not_valid_before_utc,
        "tls.server.not_after": lambda one: one.not_valid_after_utc,
        "tls.server.x509.serial_number": lambda one: f"{one.serial_number:x}",
        "tls.server.x509.signature_algorithm": _signature,
        "tls.server.x509.public_key_algorithm": lambda one: _key(one)[0],
        "tls.server.x509.public_key_size": lambda one: _key(one)[1],
        "tls.server.x509.alternative_names": _names,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the library warns of certificates that break the rules; the rows tell
        try:
            found = x509.load_der_x509_certificate(der)
        except (ValueError, TypeError, OverflowError, UnsupportedAlgorithm, x509.InvalidVersion):
            return fields
        for name, reader in readers.items():
            try:
                fields[name] = reader(found)
            except (ValueError, TypeError, KeyError, OverflowError, UnsupportedAlgorithm):
                continue
            except (x509.ExtensionNotFound, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
                continue
    return fields


def _signature(found: x509.Certificate) -> str:
    oid = found.signature_algorithm_oid
    known = oid._name  # the only place where the library keeps the name
    return oid.dotted_string if known == "Unknown OID" else str(known)


def _key(found: x509.Certificate) -> tuple[str, int | None]:
    key = found.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        return "RSA", key.key_size
    if isinstance(key, ec.EllipticCurvePublicKey):
        return "EC", key.key_size
    if isinstance(key, dsa.DSAPublicKey):
        return "DSA", key.key_size
    if isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
        return "Ed25519" if isinstance(key, ed25519.Ed25519PublicKey) else "Ed448", None
    return type(key).__name__.strip("_"), None


def _names(found: x509.Certificate) -> list[str]:
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [str(name.value)[:255] for name in list(names)[:_MAX_NAMES]]


class Handshakes(Speaker):
    """Every TLS connection of a capture."""

    def stream(self, talk: Talk) -> Handshake:
        return Handshake(self.out.rows("tls"), talk)


def starts(data: bytes, usual: bool) -> bool:
    """A record with a hello; a first byte or two on the usual port."""
    if len(data) < 6:
        return usual
    return data[0] == _HANDSHAKE and data[1] in (1, 3) and data[2] < 5 and data[5] in (1, 2)


PROTOCOLS = (
    Protocol(
        "tls",
        starts,
        Handshakes,
        {"tls": LogSource(("network",), (), ("tls", "ssl"))},
        tcp=(443, 8443),
        marks=(Mark(b"\x16\x03"), Mark(b"\x16\x01")),
    ),
)
