"""One ISAKMP message as facts (RFC 2408, 2409; RFC 7296): header, payloads, what is proposed. Never raises.

Encrypted messages tell their header alone.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field, replace

from cityguard.decoders.app import ike_names as names

MAX_PAYLOADS = 64
MAX_PROPOSALS = 64
"""Proposals of one payload, and transforms of one proposal."""
MAX_ATTRIBUTES = 32
MARKER = b"\0\0\0\0"
"""Before a message on port 4500, so that it is not taken for ESP (RFC 3948, 2.2)."""
ENCRYPTED_1, INITIATOR_2, RESPONSE_2 = 0x01, 0x08, 0x20
SA_1, KE_1, ID_1, CERT_1, VENDOR_1 = 1, 4, 5, 6, 13
SA_2, KE_2, CERT_2, VENDOR_2, ENCRYPTED_2, FRAGMENT_2 = 33, 34, 37, 43, 46, 53
_ENCR, _PRF, _INTEG, _GROUP = 1, 2, 3, 4
_KEY_LENGTH = 14
MAX_MESSAGE = 65_507
_IPSEC = b"\0\0\0\1\0\0\0\1"  # domain of interpretation and situation of IKEv1
_PROPOSAL = (b"\0\0", b"\2\0")


_head = struct.Struct(">8s8sBBBBII").unpack_from
_two = struct.Struct(">HH").unpack_from


@dataclass(frozen=True, slots=True)
class Transform:
    """What is proposed together; numbers as sent, None = not said. IKEv2 gives each list its alternatives."""

    encryption: int | None = None
    key_length: int | None = None
    hash: int | None = None
    authentication: int | None = None
    group: int | None = None
    asymmetric: int | None = None
    life_seconds: int | None = None
    life_kilobytes: int | None = None

    @property
    def is_guomi(self) -> bool:
        """SM4 or SM1 with SM3 (GM/T 0022)."""
        return self.encryption in names.NATIONAL and self.hash == names.SM3

    @property
    def method(self) -> str | None:
        """The method of authentication by name; 10 is a digital envelope among national algorithms."""
        if self.authentication is None:
            return None
        envelope = self.asymmetric is not None or self.encryption in names.NATIONAL or self.hash == names.SM3
        if self.authentication == names.ENVELOPE and envelope:
            return "envelope"
        return names.of(names.AUTHENTICATIONS, self.authentication)

    @property
    def text(self) -> str:
        """encryption/hash/authentication/group, as far as said."""
        cipher = None if self.encryption is None else names.of(names.ENCRYPTIONS, self.encryption)
        if cipher and self.key_length:
            cipher += f"-{self.key_length}"
        parts = [cipher, None if self.hash is None else names.of(names.HASHES, self.hash), self.method]
        if self.asymmetric is not None:
            parts.append(names.of(names.ASYMMETRIC, self.asymmetric))
        if self.group is not None:
            parts.append(names.of(names.GROUPS, self.group))
        return "/".join(part for part in parts if part)


@dataclass(frozen=True, slots=True)
class Proposal:
    """One proposal. IKEv1: its transforms, one of which is chosen; IKEv2: what each kind may be."""

    number: int
    protocol: int
    transforms: tuple[Transform, ...] = ()
    choices: tuple[tuple[int, int, int | None], ...] = ()
    """IKEv2: kind, number, key length."""

    @property
    def texts(self) -> list[str]:
        """What may be chosen, a text each; of IKEv2 one, alternatives joined by +."""
        if not self.choices:
            return [one.text for one in self.transforms]
        parts = []
        for kind, table in (
            *((_ENCR, names.ENCRYPTIONS_2), (_PRF, names.PRFS), (_INTEG, names.INTEGRITIES)),
            (_GROUP, names.GROUPS),
        ):
            told = [names.of(table, n) + (f"-{size}" if size else "") for k, n, size in self.choices if k == kind]
            if told:
                parts.append("+".join(dict.fromkeys(told)))
        return ["/".join(parts)]


@dataclass(frozen=True, slots=True)
class Message:
    """What a datagram says."""

    initiator: bytes
    responder: bytes
    first: int
    version: tuple[int, int]
    exchange: int
    flags: int
    message_id: int
    encrypted: bool
    payloads: tuple[int, ...] = ()
    proposals: tuple[Proposal, ...] = ()
    group: int | None = None
    """IKEv2: of the key exchange."""
    certificates: tuple[tuple[int, bytes], ...] = ()
    """Encoding and DER: 4 for signing, 5 for key exchange (RFC 2408, 3.9)."""
    vendors: tuple[bytes, ...] = ()
    identities: tuple[bytes, ...] = ()
    malformed: bool = False
    natt: bool = False


@dataclass(slots=True)
class _Parts:
    payloads: list[int] = field(default_factory=list)
    proposals: list[Proposal] = field(default_factory=list)
    group: int | None = None
    certificates: list[tuple[int, bytes]] = field(default_factory=list)
    vendors: list[bytes] = field(default_factory=list)
    identities: list[bytes] = field(default_factory=list)


def begins(data: bytes) -> bool:
    """Whether a first message begins here of which only the first bytes are shown: header, and an SA payload first."""
    data = data[len(MARKER) :] if data[:4] == MARKER else data
    if len(data) < 48:
        return False
    initiator, responder, first, version, exchange, flags, number, size = _head(data)
    if not any(initiator) or any(responder) or number or size <= len(data) or size > MAX_MESSAGE:
        return False
    fits = data[29] == 0 and 20 <= _two(data, 28)[1] <= size - 28
    if version >> 4 == 1 and version & 15 < 2:
        return fits and first == SA_1 and exchange in (1, 2, 3, 4) and not flags and data[32:40] == _IPSEC
    return (
        fits
        and version == 0x20
        and first == SA_2
        and exchange == 34
        and data[32:34] in _PROPOSAL
        and data[36:38] == b"\1\1"
    )


class _CutError(Exception):
    """A length does not fit."""


def read(data: bytes) -> Message | None:
    """A message, with or without the marker of port 4500; None where none begins."""
    natt = data[:4] == MARKER
    if natt:
        data = data[4:]
    if len(data) < 28:
        return None
    initiator, responder, first, version, exchange, flags, number, size = _head(data)
    if not any(initiator) or version >> 4 not in (1, 2) or version & 15 > 1 or size < 28 or size > len(data):
        return None
    if exchange not in names.EXCHANGES or (version >> 4 == 2) != (exchange >= 34):
        return None
    dark = bool(flags & ENCRYPTED_1) if version >> 4 == 1 else first in (ENCRYPTED_2, FRAGMENT_2)
    head = Message(initiator, responder, first, (version >> 4, version & 15), exchange, flags, number, dark, natt=natt)
    if dark:
        return head
    parts, cut = _Parts(), size != len(data)
    try:
        _walk(data[:size], first, version >> 4, parts)
    except (_CutError, struct.error):
        cut = True
    return replace(
        head,
        payloads=tuple(parts.payloads),
        proposals=tuple(parts.proposals),
        group=parts.group,
        certificates=tuple(parts.certificates),
        vendors=tuple(parts.vendors),
        identities=tuple(parts.identities),
        malformed=cut,
    )


def _walk(data: bytes, kind: int, major: int, parts: _Parts) -> None:
    at = 28
    while kind and len(parts.payloads) < MAX_PAYLOADS:
        if kind in (ENCRYPTED_2, FRAGMENT_2) and major == 2:
            return
        if at + 4 > len(data):
            raise _CutError
        following, size = data[at], _two(data, at)[1]
        if size < 4 or at + size > len(data):
            raise _CutError
        parts.payloads.append(kind)
        _payload(kind, major, data[at + 4 : at + size], parts)
        kind, at = following, at + size
    if kind == 0 and at != len(data):
        raise _CutError


def _payload(kind: int, major: int, body: bytes, parts: _Parts) -> None:
    if kind == (SA_1 if major == 1 else SA_2):
        if major == 1 and len(body) < 8:
            raise _CutError
        _proposals(body[8:] if major == 1 else body, major, parts)
    elif kind == (CERT_1 if major == 1 else CERT_2) and len(body) > 1:
        if len(parts.certificates) < 8:
            parts.certificates.append((body[0], body[1:]))
    elif kind == (VENDOR_1 if major == 1 else VENDOR_2):
        parts.vendors.append(body[:64])
    elif kind == ID_1 and major == 1:
        parts.identities.append(body[:260])
    elif kind == KE_2 and major == 2 and len(body) >= 4:
        parts.group = _two(body, 0)[0]


def _proposals(body: bytes, major: int, parts: _Parts) -> None:
    at = 0
    while at < len(body) and len(parts.proposals) < MAX_PROPOSALS:
        if at + 8 > len(body):
            raise _CutError
        last, size, spi = body[at] == 0, _two(body, at)[1], body[at + 6]
        if size < 8 + spi or at + size > len(body):
            raise _CutError
        inside = body[at + 8 + spi : at + size]
        number, protocol, count = body[at + 4], body[at + 5], body[at + 7]
        if major == 1:
            found = tuple(_transform(one) for one in _transforms(inside, count))
            parts.proposals.append(Proposal(number, protocol, found))
        else:
            choices = tuple(_choice(one) for one in _transforms(inside, count))
            parts.proposals.append(Proposal(number, protocol, (), choices))
        at += size
        if last:
            break
    if at != len(body):
        raise _CutError


def _transforms(body: bytes, count: int) -> list[bytes]:
    """The transforms of a proposal, without what chains them."""
    found, at = list[bytes](), 0
    while at < len(body) and len(found) < MAX_PROPOSALS:
        if at + 8 > len(body):
            raise _CutError
        size = _two(body, at)[1]
        if size < 8 or at + size > len(body):
            raise _CutError
        found.append(body[at + 4 : at + size])
        at += size
    if len(found) != count and count <= MAX_PROPOSALS:
        raise _CutError
    return found


def _attributes(body: bytes) -> list[tuple[int, int]]:
    """Kind and value of the attributes (RFC 2408, 3.3); of long values the last eight bytes."""
    found, at = list[tuple[int, int]](), 0
    while at < len(body) and len(found) < MAX_ATTRIBUTES:
        if at + 4 > len(body):
            raise _CutError
        kind, value = _two(body, at)
        at += 4
        if not kind & 0x8000:
            if at + value > len(body):
                raise _CutError
            kind, value, at = kind, int.from_bytes(body[at : at + value][-8:], "big"), at + value
        found.append((kind & 0x7FFF, value))
    return found


_FIELDS = {1: "encryption", 2: "hash", 3: "authentication", 4: "group", 14: "key_length", 20: "asymmetric"}
_LIFE_TYPE, _LIFE = 11, 12
_LIVES = {1: "life_seconds", 2: "life_kilobytes"}


def _transform(body: bytes) -> Transform:
    """A transform of IKEv1: number, id, two reserved, attributes (RFC 2409, appendix A)."""
    said: dict[str, int] = {}
    life = 0
    for kind, value in _attributes(body[4:]):
        if kind == _LIFE_TYPE:
            life = value
        elif kind == _LIFE and life in _LIVES:
            said[_LIVES[life]] = value
        elif kind in _FIELDS:
            said[_FIELDS[kind]] = value
    return Transform(**said)


def _choice(body: bytes) -> tuple[int, int, int | None]:
    """A transform of IKEv2: kind, one reserved, id, attributes (RFC 7296, 3.3.2)."""
    sizes = [value for kind, value in _attributes(body[4:]) if kind == _KEY_LENGTH]
    return body[0], int.from_bytes(body[2:4], "big"), sizes[0] if sizes else None
