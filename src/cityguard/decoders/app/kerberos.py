"""Kerberos 5 (RFC 4120) over UDP and TCP: who asks for a ticket for what, with which ciphers, and what is answered."""

from __future__ import annotations

import json
from collections import OrderedDict
from typing import Any

from cityguard.decoders.events import End, Talk
from cityguard.decoders.protocol import Out, Protocol, Speaker
from cityguard.decoders.stream import Moment
from cityguard.decoders.wire.ber import Item, item, items
from cityguard.decoders.wire.dialogue import readable
from cityguard.decoders.wire.framed import Framed

MAX_MESSAGE = 1 << 18
MAX_WAITING = 4_096
WAIT = 30 * 1_000_000_000
_AS, _TGS = (10, 11), (12, 13)
_ERROR = 30
_PROOFS = frozenset((2, 16, 17, 138))
"""Pre-authentication that proves something: encrypted timestamp, PKINIT, encrypted challenge."""
ERRORS = {
    3: "KDC_ERR_BAD_PVNO",
    6: "KDC_ERR_C_PRINCIPAL_UNKNOWN",
    7: "KDC_ERR_S_PRINCIPAL_UNKNOWN",
    12: "KDC_ERR_POLICY",
    14: "KDC_ERR_ETYPE_NOSUPP",
    16: "KDC_ERR_PADATA_TYPE_NOSUPP",
    18: "KDC_ERR_CLIENT_REVOKED",
    23: "KDC_ERR_KEY_EXPIRED",
    24: "KDC_ERR_PREAUTH_FAILED",
    25: "KDC_ERR_PREAUTH_REQUIRED",
    26: "KDC_ERR_SERVER_NOMATCH",
    29: "KDC_ERR_SVC_UNAVAILABLE",
    31: "KRB_AP_ERR_BAD_INTEGRITY",
    32: "KRB_AP_ERR_TKT_EXPIRED",
    37: "KRB_AP_ERR_SKEW",
    52: "KRB_ERR_RESPONSE_TOO_BIG",
    60: "KRB_ERR_GENERIC",
    68: "KDC_ERR_WRONG_REALM",
}
CIPHERS = {
    1: "des-cbc-crc",
    3: "des-cbc-md5",
    16: "des3-cbc-sha1",
    17: "aes128-cts-hmac-sha1-96",
    18: "aes256-cts-hmac-sha1-96",
    19: "aes128-cts-hmac-sha256-128",
    20: "aes256-cts-hmac-sha384-192",
    23: "rc4-hmac",
    24: "rc4-hmac-exp",
}


def _inside(data: bytes, one: Item | None) -> dict[int, Item]:
    """Context-tagged members of a sequence by number: of each what it wraps."""
    if one is None:
        return {}
    found: dict[int, Item] = {}
    for member in items(data, one.begin, one.end):
        wrapped = item(data, member.begin, member.end)
        if member.form == 0xA0 and wrapped is not None:
            found.setdefault(member.number, wrapped)
    return found


def _integer(data: bytes, one: Item | None) -> int | None:
    return int.from_bytes(data[one.begin : min(one.end, one.begin + 8)], "big", signed=True) if one else None


def _string(data: bytes, one: Item | None) -> str:
    return readable(data[one.begin : one.end], 256) if one else ""


def _name(data: bytes, one: Item | None) -> str:
    """A principal's name: parts with slashes between."""
    members = _inside(data, one)
    parts = members.get(1)
    return "/".join(_string(data, part) for part in items(data, parts.begin, parts.end))[:512] if parts else ""


def _offered(data: bytes, one: Item | None) -> set[int | None]:
    """Types of the pre-authentication data of a request."""
    entries = items(data, one.begin, one.end) if one else ()
    return {_integer(data, _inside(data, entry).get(1)) for entry in entries}


def read(data: bytes) -> tuple[int, dict[str, Any]] | None:
    """Kind of a message (its application tag) and what it says; None = it is none."""
    outer = item(data, 0, len(data))
    if outer is None or outer.form != 0x60 or outer.number not in (*_AS, *_TGS, _ERROR):
        return None
    members = _inside(data, item(data, outer.begin, outer.end))
    version = _integer(data, members.get(0 if outer.number in (11, 13, _ERROR) else 1))
    if version != 5:
        return None
    if outer.number in (_AS[0], _TGS[0]):
        body = _inside(data, members.get(4))
        ciphers = body.get(8)
        return outer.number, {
            "client": _name(data, body.get(1)),
            "realm": _string(data, body.get(2)),
            "service": _name(data, body.get(3)),
            "ciphers": [_integer(data, one) for one in items(data, ciphers.begin, ciphers.end)][:16] if ciphers else [],
            "preauthenticated": outer.number == _AS[0] and bool(_PROOFS & _offered(data, members.get(3))),
        }
    if outer.number == _ERROR:
        return outer.number, {
            "error": _integer(data, members.get(6)),
            "client": _name(data, members.get(8)),
            "realm": _string(data, members.get(9)),
            "service": _name(data, members.get(10)),
        }
    ticket = (
        item(data, members[5].begin, members[5].end) if 5 in members and members[5].form != 0x61 else members.get(5)
    )
    if ticket is not None and ticket.number == 1:
        ticket = item(data, ticket.begin, ticket.end)
    held = _inside(data, ticket)
    return outer.number, {
        "client": _name(data, members.get(4)),
        "realm": _string(data, members.get(3)),
        "service": _name(data, held.get(2)),
        "cipher": _integer(data, _inside(data, held.get(3)).get(0)),
    }


class Kerberos(Speaker):
    """Every Kerberos conversation of a capture."""

    def __init__(self, out: Out) -> None:
        super().__init__(out)
        self._waiting: OrderedDict[tuple[End, End], tuple[Talk, Moment, int, dict[str, Any]]] = OrderedDict()

    def stream(self, talk: Talk) -> Framed:
        return Framed(talk, _size, self._framed, MAX_MESSAGE)

    def datagram(self, data: bytes, talk: Talk, at: Moment) -> bool:
        return self._message(data, talk, at) is not None

    def _framed(self, data: bytes, talk: Talk, at: Moment) -> None:
        self._message(data[4:], talk, at)

    def _message(self, data: bytes, talk: Talk, at: Moment) -> int | None:
        found = read(data)
        if found is None:
            return None
        kind, said = found
        ends = (talk.source, talk.destination)
        if kind in (_AS[0], _TGS[0]):
            if ends in self._waiting:
                self._give(ends, None, {})
            self._waiting[ends] = (talk, at, kind, said)
            if len(self._waiting) > MAX_WAITING:
                self._give(next(iter(self._waiting)), None, {})
            return kind
        ends = (talk.destination, talk.source)
        if ends not in self._waiting:
            self._waiting[ends] = (talk.turned(), at, _TGS[0] if kind == _TGS[1] else _AS[0], {})
        self._give(ends, kind, said)
        return kind

    def _give(self, ends: tuple[End, End], kind: int | None, answer: dict[str, Any]) -> None:
        talk, at, asked, said = self._waiting.pop(ends)
        error = answer.get("error")
        outcome = "unknown" if kind is None or error == 25 else "failure" if kind == _ERROR else "success"
        client = str(said.get("client") or answer.get("client") or "")
        realm = str(said.get("realm") or answer.get("realm") or "")
        cipher = answer.get("cipher")
        more = {
            "request": "AS" if asked == _AS[0] else "TGS",
            "service": said.get("service") or answer.get("service"),
            "ciphers": [CIPHERS.get(one, str(one)) for one in said.get("ciphers", [])],
            "cipher": CIPHERS.get(cipher, str(cipher)) if cipher is not None else None,
            "preauthenticated": said.get("preauthenticated"),
        }
        fields = {
            "event.action": "authentication-service" if asked == _AS[0] else "ticket-granting-service",
            "event.outcome": outcome,
            "event.code": None if error is None else str(error),
            "event.reason": None if error is None else ERRORS.get(error, str(error)),
            "user.name": client or None,
            "user.domain": realm or None,
            "service.name": more["service"] or None,
            "event.fields": json.dumps({"kerberos": {name: value for name, value in more.items() if value}}),
        }
        self.out.add("auth", at, talk, fields)

    def expire(self, now: int) -> None:
        while self._waiting:
            ends = next(iter(self._waiting))
            if now - self._waiting[ends][1].time <= WAIT:
                return
            self._give(ends, None, {})

    def close(self) -> None:
        for ends in list(self._waiting):
            self._give(ends, None, {})


def _size(data: bytes | bytearray, at: int) -> int:
    """A record mark of four bytes before each message (RFC 4120, 7.2.2)."""
    if len(data) - at < 5:
        return 0
    size = int.from_bytes(data[at : at + 4], "big")
    return 4 + size if 10 <= size < MAX_MESSAGE - 4 and data[at + 4] & 0xE0 == 0x60 else -1


def starts(data: bytes, usual: bool) -> bool:
    """A message of version 5, after its record mark on TCP."""
    tag = data[4:5] if data[:1] == b"\0" else data[:1]
    return usual and tag in (b"\x6a", b"\x6b", b"\x6c", b"\x6d", b"\x7e")


PROTOCOLS = (Protocol("kerberos", starts, Kerberos, tcp=(88,), udp=(88,)),)
