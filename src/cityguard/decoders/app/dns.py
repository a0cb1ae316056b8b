"""DNS messages (RFC 1035, 3596, 2782, 6891, 8659, 9460 …) over UDP and TCP to one row per transaction.

A query waits for its answer; the pair makes one row at the query's time, with the asker as source.
"""

from __future__ import annotations

import struct
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from cityguard.decoders import address
from cityguard.decoders.events import Talk
from cityguard.decoders.protocol import Out, Protocol, Speaker
from cityguard.decoders.stream import Moment
from cityguard.errors import DecodeError
from cityguard.model import LogSource

PORTS = (53, 5353, 5355)
"""DNS, mDNS, LLMNR."""
MAX_RECORDS = 64
"""Answers of one message that are kept."""
MAX_PENDING = 65_536
WAIT = 30 * 1_000_000_000
"""ns a query waits for its answer."""
_MAX_NAME = 255
_MAX_POINTERS = 64
_MAX_TEXT = 1024

_TYPE_NAMES = (
    "A NS MD MF CNAME SOA MB MG MR NULL WKS PTR HINFO MINFO MX TXT RP AFSDB X25 ISDN RT NSAP NSAP-PTR SIG KEY PX "
    "GPOS AAAA LOC NXT EID NIMLOC SRV ATMA NAPTR KX CERT A6 DNAME SINK OPT APL DS SSHFP IPSECKEY RRSIG NSEC "
    "DNSKEY DHCID NSEC3 NSEC3PARAM TLSA SMIMEA"
)
_TYPES = dict(enumerate(_TYPE_NAMES.split(), 1)) | {
    55: "HIP",
    59: "CDS",
    60: "CDNSKEY",
    61: "OPENPGPKEY",
    62: "CSYNC",
    63: "ZONEMD",
    64: "SVCB",
    65: "HTTPS",
}
_TYPES |= {99: "SPF", 249: "TKEY", 250: "TSIG", 251: "IXFR", 252: "AXFR", 255: "ANY", 256: "URI", 257: "CAA"}
_CLASSES = {1: "IN", 3: "CH", 4: "HS", 254: "NONE", 255: "ANY"}
_CODE_NAMES = "NOERROR FORMERR SERVFAIL NXDOMAIN NOTIMP REFUSED YXDOMAIN YXRRSET NXRRSET NOTAUTH NOTZONE"
_CODES = dict(enumerate(_CODE_NAMES.split())) | {16: "BADVERS", 23: "BADCOOKIE"}
_FLAGS = ((0x0400, "AA"), (0x0200, "TC"), (0x0100, "RD"), (0x0080, "RA"), (0x0020, "AD"), (0x0010, "CD"))
_NAMES = {2, 3, 4, 5, 7, 8, 9, 12, 39}  # RDATA is one name

_head = struct.Struct(">6H").unpack_from
_record = struct.Struct(">HHIH").unpack_from
_pair = struct.Struct(">HH").unpack_from
_short = struct.Struct(">H").unpack_from


@dataclass(frozen=True, slots=True)
class Message:
    """One message; ``fields`` are the columns it fills."""

    id: int
    is_answer: bool
    question: tuple[str, int]
    fields: dict[str, Any]


def parse(data: bytes) -> Message:
    """Read one message.

    Raises:
        DecodeError: it is no DNS message. A message that breaks off in its records keeps those before.
    """
    if len(data) < 12:
        raise DecodeError("DNS message shorter than its header")
    number, flags, questions, answers, authority, additional = _head(data)
    if questions > 16 or flags >> 11 & 15 > 6 or (not flags & 0x8000 and answers > 256):
        raise DecodeError("not a DNS message")
    fields: dict[str, Any] = {"dns.id": number}
    place, question = 12, ("", 0)
    for index in range(questions):
        name, place = _name(data, place)
        if place + 4 > len(data):
            raise DecodeError("DNS question cut short")
        kind, klass = _pair(data, place)
        place += 4
        if index == 0:
            question = (name.lower(), kind)  # case says nothing (RFC 4343), and some resolvers play with it
            fields["dns.question.name"] = question[0]
            fields["dns.question.type"] = _TYPES.get(kind, f"TYPE{kind}")
            fields["dns.question.class"] = _CLASSES.get(klass & 0x7FFF, f"CLASS{klass & 0x7FFF}")
    fields["dns.header_flags"] = [name for bit, name in _FLAGS if flags & bit]
    is_answer = bool(flags & 0x8000)
    code = flags & 15
    if is_answer:
        found, extended = _records(data, place, (answers, authority, additional))
        code |= extended << 4
        fields["dns.response_code"] = _CODES.get(code, f"RCODE{code}")
        fields["dns.answers.data"] = [text for _, _, text in found]
        fields["dns.answers.ttl"] = [str(ttl) for _, ttl, _ in found]
        fields["dns.resolved_ip"] = [text for kind, _, text in found if kind in (1, 28)]
    fields["dns.type"] = "answer" if is_answer else "query"
    return Message(number, is_answer, question, fields)


def _name(data: bytes, place: int) -> tuple[str, int]:
    """A name and where it ends; pointers may only go back, so that a loop ends."""
    labels: list[str] = []
    after, limit, total = -1, place, 0
    for _ in range(_MAX_POINTERS + 128):
        if place >= len(data):
            raise DecodeError("DNS name cut short")
        size = data[place]
        if size == 0:
            return ".".join(labels), place + 1 if after < 0 else after
        if size >= 0xC0:
            if place + 2 > len(data):
                raise DecodeError("DNS name cut short")
            target = _short(data, place)[0] & 0x3FFF
            after = place + 2 if after < 0 else after
            if target >= limit:
                raise DecodeError("DNS name points forward")
            place = limit = target
            continue
        total += size + 1
        if size > 63 or total > _MAX_NAME or place + 1 + size > len(data):
            raise DecodeError("DNS name too long")
        labels.append(_text(data[place + 1 : place + 1 + size]).replace(".", "\\."))
        place += 1 + size
    raise DecodeError("DNS name with too many pointers")


def _text(raw: bytes) -> str:
    """Printable ASCII and UTF-8 as they are, the rest as \\DDD (RFC 4343)."""
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        text = ""
    if text and text.isprintable():
        return text
    return "".join(chr(octet) if 0x20 < octet < 0x7F else f"\\{octet:03d}" for octet in raw)


def _records(data: bytes, place: int, counts: tuple[int, int, int]) -> tuple[list[tuple[int, int, str]], int]:
    """Answers as (type, ttl, text), and the upper bits of the response code from OPT."""
    found: list[tuple[int, int, str]] = []
    extended = 0
    total = min(sum(counts), 4 * MAX_RECORDS)
    try:
        for index in range(total):
            _, place = _name(data, place)
            if place + 10 > len(data):
                break
            kind, _, ttl, size = _record(data, place)
            place += 10
            if place + size > len(data):
                break
            if index < counts[0] and len(found) < MAX_RECORDS:
                found.append((kind, ttl, _value(data, kind, place, size)))
            elif kind == 41:
                extended = ttl >> 24
            place += size
    except DecodeError:
        pass  # what was read before stays
    return found, extended


def _value(data: bytes, kind: int, place: int, size: int) -> str:
    """RDATA as text, the way zone files write it; hex for types without a form here."""
    raw = data[place : place + size]
    try:
        return _known(data, kind, place, raw)[:_MAX_TEXT]
    except (DecodeError, struct.error):
        return "\\# " + raw[: _MAX_TEXT // 2].hex()


def _known(data: bytes, kind: int, place: int, raw: bytes) -> str:
    if (kind == 1 and len(raw) == 4) or (kind == 28 and len(raw) == 16):
        return address.one(raw)
    if kind in _NAMES:
        return _name(data, place)[0]
    if kind in (16, 99):
        return " ".join(_strings(raw))
    if kind in (15, 18, 21, 36):
        return f"{_short(raw)[0]} {_name(data, place + 2)[0]}"
    if kind == 33:
        priority, weight, port = struct.unpack_from(">3H", raw)
        return f"{priority} {weight} {port} {_name(data, place + 6)[0]}"
    if kind == 6:
        first, place = _name(data, place)
        second, place = _name(data, place)
        if place + 20 > len(data):
            raise DecodeError("SOA cut short")
        return " ".join((first, second, *map(str, struct.unpack_from(">5I", data, place))))
    if kind in (43, 59):
        tag, algorithm, method = struct.unpack_from(">HBB", raw)
        return f"{tag} {algorithm} {method} {raw[4:].hex()}"
    if kind == 257 and len(raw) >= 2:
        return f"{raw[0]} {_text(raw[2 : 2 + raw[1]])} {_text(raw[2 + raw[1] :])}"
    if kind in (64, 65):
        return f"{_short(raw)[0]} {_name(data, place + 2)[0] or '.'}"
    if kind == 13:
        return " ".join(_strings(raw))
    raise DecodeError("no text form")


def _strings(raw: bytes) -> list[str]:
    out, place = [], 0
    while place < len(raw):
        size = raw[place]
        out.append(_text(raw[place + 1 : place + 1 + size]).replace("\\032", " "))
        place += 1 + size
    return out


@dataclass(frozen=True, slots=True)
class _Asked:
    talk: Talk
    at: Moment
    fields: dict[str, Any]


class Transactions(Speaker):
    """Queries waiting for their answers, and the finished rows."""

    def __init__(self, out: Out) -> None:
        super().__init__(out)
        self.rows = out.rows("dns")
        self._pending: OrderedDict[tuple[Any, ...], _Asked] = OrderedDict()

    def stream(self, talk: Talk) -> Tcp:
        return Tcp(self, talk)

    def datagram(self, data: bytes, talk: Talk, at: Moment) -> bool:
        """A message from ``talk.source``; False when it is no DNS."""
        try:
            message = parse(data)
        except DecodeError:
            return False
        heard_by_all = talk.destination[2] == 5353  # mDNS answers go to the group, not to who asked
        asker = talk.turned() if message.is_answer and not heard_by_all else talk
        key = (asker.source, asker.destination, message.id, message.question)
        if not message.is_answer:
            if key in self._pending:  # asked again: the first one counts
                return True
            self._pending[key] = _Asked(talk, at, message.fields)
            if len(self._pending) > MAX_PENDING:
                self._give(self._pending.popitem(last=False)[1])
            return True
        asked = self._pending.pop(key, None)
        if asked is None:
            self.rows.add(at.number, at.time, asker, message.fields)
        else:
            self.rows.add(asked.at.number, asked.at.time, asked.talk, asked.fields | message.fields)
        return True

    def expire(self, now: int) -> None:
        """Give out the queries that have waited too long; ``now`` in ns."""
        while self._pending:
            key = next(iter(self._pending))
            if now - self._pending[key].at.time <= WAIT:
                return
            self._give(self._pending.pop(key))

    def close(self) -> None:
        """Give out every query still waiting."""
        for asked in self._pending.values():
            self._give(asked)
        self._pending.clear()

    def _give(self, asked: _Asked) -> None:
        self.rows.add(asked.at.number, asked.at.time, asked.talk, asked.fields)


class Tcp:
    """DNS over TCP: messages behind a two-byte length (RFC 7766)."""

    def __init__(self, transactions: Transactions, ends: Talk) -> None:
        self.done, self.held = False, 0
        self._transactions = transactions
        self._talks = (ends, ends.turned())
        self._buffers = (bytearray(), bytearray())

    def feed(self, side: int, data: bytes, at: Moment) -> None:
        buffer = self._buffers[side]
        buffer += data
        while len(buffer) >= 2:
            size = _short(buffer)[0]
            if len(buffer) < 2 + size:
                break
            message = bytes(buffer[2 : 2 + size])
            del buffer[: 2 + size]
            if not self._transactions.datagram(message, self._talks[side], at):
                self.done = True
                break
        self.held = len(self._buffers[0]) + len(self._buffers[1])

    def gap(self, side: int) -> None:
        self.done = True  # lengths cannot be found again

    def close(self) -> None:
        """Nothing to give: messages stand alone."""


def starts(data: bytes, usual: bool) -> bool:
    """Whether a payload begins a conversation: only on the usual ports, where a header fits."""
    if not usual:
        return False
    return _is_header(data) or (len(data) < 14 or _is_header(data[2:]))


def _is_header(data: bytes) -> bool:
    if len(data) < 12:
        return False
    _, flags, questions, answers, _, _ = _head(data)
    return bool(flags >> 11 & 15 <= 6 and questions <= 16 and (flags & 0x8000 > 0 or answers <= 256))


PROTOCOLS = (
    Protocol(
        "dns",
        starts,
        Transactions,
        {"dns": LogSource(("dns", "network"), (), ("dns",))},
        tcp=(53,),
        udp=PORTS,
    ),
)
