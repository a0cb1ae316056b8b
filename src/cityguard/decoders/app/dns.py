"""DNS messages (RFC 1035, 6891, 2136, 1996, 6762, 4795; NetBIOS names RFC 1002) to one row per transaction.

A query waits for its answer; the pair makes one row at the query's time, with the asker as source. A query asked again
is a row of its own; what nobody answers is a row when it has waited long enough.
"""

from __future__ import annotations

import json
import struct
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from cityguard.decoders import address
from cityguard.decoders.app import dns_rdata
from cityguard.decoders.app.dns_rdata import TYPES, kind_name
from cityguard.decoders.app.dns_rdata import name as read_name
from cityguard.decoders.events import Talk
from cityguard.decoders.protocol import Mark, Out, Protocol, Speaker
from cityguard.decoders.stream import Moment
from cityguard.errors import DecodeError
from cityguard.model import LogSource

MAX_RECORDS = 64
"""Answers of one message that are kept."""
MAX_OTHERS = 16
"""Records of the other sections that are kept."""
MAX_PENDING = 65_536
MAX_AGAIN = 16
"""Repetitions of one query that wait."""
WAIT = 30 * 1_000_000_000
"""ns a query waits for its answer."""

_CLASSES = {1: "IN", 3: "CH", 4: "HS", 254: "NONE", 255: "ANY"}
_CODE_NAMES = "NOERROR FORMERR SERVFAIL NXDOMAIN NOTIMP REFUSED YXDOMAIN YXRRSET NXRRSET NOTAUTH NOTZONE DSOTYPENI"
_CODES = dict(enumerate(_CODE_NAMES.split())) | {16: "BADVERS", 17: "BADKEY", 18: "BADTIME", 22: "BADTRUNC"}
_CODES |= {23: "BADCOOKIE"}
_OPERATIONS = {0: "QUERY", 1: "IQUERY", 2: "STATUS", 4: "NOTIFY", 5: "UPDATE", 6: "DSO"}
_FLAGS = ((0x0400, "AA"), (0x0200, "TC"), (0x0100, "RD"), (0x0080, "RA"), (0x0040, "Z"), (0x0020, "AD"), (0x0010, "CD"))
_FLAG_LISTS = {bits: [name for bit, name in _FLAGS if bits & bit] for bits in range(0, 0x800, 0x10)}
_OPT, _A, _AAAA, _NB = 41, 1, 28, 32
_DNSSEC_OK = 0x8000
_CLIENT_SUBNET = 8

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


def parse(data: bytes, *, netbios: bool = False) -> Message:
    """Read one message.

    Args:
        data: the message.
        netbios: whether names are those of NetBIOS.

    Raises:
        DecodeError: it is no DNS message. A message that breaks off in its records keeps those before.
    """
    if len(data) < 12:
        raise DecodeError("DNS message shorter than its header")
    number, flags, questions, answers, authority, additional = _head(data)
    operation = flags >> 11 & 15
    if questions > 16 or (operation > 6 and not netbios) or (not flags & 0x8000 and answers > 256):
        raise DecodeError("not a DNS message")
    is_answer = bool(flags & 0x8000)
    fields: dict[str, Any] = {
        "dns.id": number,
        "dns.type": "answer" if is_answer else "query",
        "dns.op_code": _OPERATIONS.get(operation) or str(operation),
    }
    place, question = 12, ("", 0)
    for index in range(questions):
        name, place = read_name(data, place)
        if place + 4 > len(data):
            raise DecodeError("DNS question cut short")
        kind, klass = _pair(data, place)
        place += 4
        if index == 0:
            name = _netbios(name) if netbios else name.lower()  # case says nothing (RFC 4343)
            question = (name, kind)
            fields["dns.question.name"] = name
            fields["dns.question.type"] = _netbios_type(kind) if netbios else kind_name(kind)
            fields["dns.question.class"] = _CLASSES.get(klass & 0x7FFF) or f"CLASS{klass & 0x7FFF}"
    fields["dns.header_flags"] = _FLAG_LISTS[flags & 0x7F0]
    code = flags & 15
    if is_answer or answers + authority + additional:
        sections = _Sections(data, (answers, authority, additional), netbios)
        sections.read(place)
        code |= sections.tell(fields, is_answer=is_answer) << 4
    if is_answer:
        fields["dns.response_code"] = _CODES.get(code) or f"RCODE{code}"
        fields["dns.answers_count"] = answers
        fields["dns.rejected"] = code > 0 and not answers + authority + additional
        if not questions and fields.get("dns.answers.name"):
            fields["dns.question.name"] = fields["dns.answers.name"][0].lower()
    return Message(number, is_answer, question, fields)


class _Sections:
    """The records behind the questions."""

    __slots__ = ("_data", "_netbios", "answers", "counts", "opt", "others")

    def __init__(self, data: bytes, counts: tuple[int, int, int], netbios: bool) -> None:
        self._data, self.counts, self._netbios = data, counts, netbios
        self.answers: list[tuple[str, int, int, str]] = []
        self.others: tuple[list[str], list[str]] = ([], [])
        self.opt: tuple[int, int, bytes] | None = None

    def read(self, place: int) -> None:
        data = self._data
        first, second = self.counts[0], self.counts[0] + self.counts[1]
        try:
            for index in range(min(sum(self.counts), 4 * MAX_RECORDS)):
                owner, place = read_name(data, place)
                if place + 10 > len(data):
                    return
                kind, klass, ttl, size = _record(data, place)
                place += 10
                if place + size > len(data):
                    return
                if kind == _OPT and index >= first:
                    self.opt = (klass, ttl, data[place : place + size])
                elif index < first:
                    if len(self.answers) < MAX_RECORDS:
                        self.answers.append((owner, kind, ttl, self._value(kind, place, size)))
                else:
                    other = self.others[index >= second]
                    if len(other) < MAX_OTHERS:
                        text = self._value(kind, place, size)
                        other.append(f"{owner} {ttl} {kind_name(kind)} {text}")
                place += size
        except DecodeError:
            return  # what was read before stays

    def _value(self, kind: int, place: int, size: int) -> str:
        if self._netbios and kind == _NB and size >= 6:
            raw = self._data[place : place + min(size, 6 * MAX_OTHERS)]
            return ",".join(".".join(map(str, raw[at + 2 : at + 6])) for at in range(0, len(raw) - 5, 6))
        return dns_rdata.value(self._data, kind, place, size)

    def tell(self, fields: dict[str, Any], *, is_answer: bool) -> int:
        """Fill the columns; returns the upper bits of the response code."""
        answers = self.answers
        if is_answer:
            fields["dns.answers.data"] = [text for _, _, _, text in answers]
            fields["dns.answers.ttl"] = [str(ttl) for _, _, ttl, _ in answers]
            named = _netbios_type if self._netbios else kind_name
            fields["dns.answers.type"] = [named(kind) for _, kind, _, _ in answers]
            fields["dns.answers.name"] = [_netbios(owner) if self._netbios else owner for owner, _, _, _ in answers]
            wanted = (_NB,) if self._netbios else (_A, _AAAA)
            fields["dns.resolved_ip"] = [text for _, kind, _, text in answers if kind in wanted and text[0] != "\\"]
        extra: dict[str, Any] = {}
        if answers and not is_answer:
            extra["answers"] = [f"{owner} {ttl} {kind_name(kind)} {text}" for owner, kind, ttl, text in answers[:16]]
        if self.others[0]:
            extra["authorities"] = self.others[0]
        if self.others[1]:
            extra["additionals"] = self.others[1]
        if extra:
            fields["event.fields"] = json.dumps(extra, ensure_ascii=False, separators=(",", ":"))
        return self._options(fields) if self.opt else 0

    def _options(self, fields: dict[str, Any]) -> int:
        """EDNS (RFC 6891), the client's subnet (RFC 7871)."""
        assert self.opt is not None
        size, bits, options = self.opt
        fields["dns.edns.version"], fields["dns.edns.udp_size"] = bits >> 16 & 0xFF, size
        if bits & _DNSSEC_OK:
            fields["dns.header_flags"] = [*fields["dns.header_flags"], "DO"]
        place = 0
        while place + 4 <= len(options):
            kind, length = _pair(options, place)
            if kind == _CLIENT_SUBNET and 4 <= length <= 20:
                fields["dns.edns.client_subnet"] = _subnet(options[place + 4 : place + 4 + length])
            place += 4 + length
        return bits >> 24


def _subnet(raw: bytes) -> str | None:
    if len(raw) < 4 or _short(raw)[0] not in (1, 2):
        return None
    width = 4 if raw[1] == 1 else 16
    return f"{address.one(raw[4:][:width].ljust(width, bytes(1)))}/{raw[2]}"


def _netbios(name: str) -> str:
    """A first-level encoded name (RFC 1001, 14.1); the kind of name stands behind, where it is not a workstation's."""
    first, _, scope = name.partition(".")
    if len(first) != 32 or not all("A" <= letter <= "P" for letter in first.upper()):
        return name.lower()
    upper = first.upper()
    raw = bytes((ord(upper[at]) - 65) << 4 | ord(upper[at + 1]) - 65 for at in range(0, 32, 2))
    plain = dns_rdata.text(raw[:15].rstrip(b" \0")).lower() or "*"
    kind = f"<{raw[15]:02x}>" if raw[15] else ""
    return plain + kind + (f".{scope.lower()}" if scope else "")


def _netbios_type(kind: int) -> str:
    return {32: "NB", 33: "NBSTAT"}.get(kind) or kind_name(kind)


@dataclass(slots=True)
class _Asked:
    talk: Talk
    at: Moment
    fields: dict[str, Any]
    again: list[_Asked] | None = None


class Transactions(Speaker):
    """Queries waiting for their answers, and the finished rows."""

    netbios = False
    by_all = False  # answers go to the group, not to who asked

    def __init__(self, out: Out) -> None:
        super().__init__(out)
        self.rows = out.rows("dns")
        self._pending: OrderedDict[tuple[Any, ...], _Asked] = OrderedDict()
        self._last: dict[tuple[Any, ...], tuple[Any, ...]] = {}  # without the question -> newest with it

    def stream(self, talk: Talk) -> Tcp:
        return Tcp(self, talk)

    def datagram(self, data: bytes, talk: Talk, at: Moment) -> bool:
        """A message from ``talk.source``; False when it is no DNS."""
        try:
            message = parse(data, netbios=self.netbios)
        except DecodeError:
            return False
        if message.is_answer:
            self._answer(message, talk, at)
        else:
            self._query(message, talk, at)
        return True

    def _query(self, message: Message, talk: Talk, at: Moment) -> None:
        ends = (talk.source, talk.destination, message.id)
        key = (*ends, message.question)
        asked = _Asked(talk, at, message.fields)
        first = self._pending.get(key)
        if first is None:
            self._pending[key] = asked
            self._last[ends] = key
            if len(self._pending) > MAX_PENDING:
                self._forget(next(iter(self._pending)))
            return
        first.again = first.again or []
        if len(first.again) < MAX_AGAIN:
            first.again.append(asked)
        else:
            self._give(asked)

    def _answer(self, message: Message, talk: Talk, at: Moment) -> None:
        group = self.by_all and talk.source[2] == talk.destination[2]
        asker = talk if group else talk.turned()
        ends = (asker.source, asker.destination, message.id)
        key = (*ends, message.question) if message.question[1] else self._last.get(ends, ())
        asked = None if group else self._pending.get(key)
        if asked is not None and at.time - asked.at.time > WAIT:
            self._forget(key)
            asked = None
        if asked is None:
            self.rows.add(at.number, at.time, asker, message.fields)
            return
        fields = asked.fields | message.fields
        if at.time >= asked.at.time > 0:
            fields["event.duration"] = at.time - asked.at.time
        self.rows.add(asked.at.number, asked.at.time, asked.talk, fields)
        if asked.again:
            following = asked.again.pop(0)
            following.again = asked.again
            self._pending[key] = following
        else:
            self._drop(key)

    def _drop(self, key: tuple[Any, ...]) -> _Asked:
        if self._last.get(key[:3]) == key:
            del self._last[key[:3]]
        return self._pending.pop(key)

    def _forget(self, key: tuple[Any, ...]) -> None:
        self._give(self._drop(key))

    def expire(self, now: int) -> None:
        """Give out the queries that have waited too long; ``now`` in ns."""
        while self._pending:
            key = next(iter(self._pending))
            if now - self._pending[key].at.time <= WAIT:
                return
            self._forget(key)

    def close(self) -> None:
        """Give out every query still waiting."""
        for asked in self._pending.values():
            self._give(asked)
        self._pending.clear()
        self._last.clear()

    def _give(self, asked: _Asked) -> None:
        for one in (asked, *(asked.again or ())):
            self.rows.add(one.at.number, one.at.time, one.talk, one.fields)


class Multicast(Transactions):
    """mDNS: answers are for all who listen (RFC 6762)."""

    by_all = True


class Netbios(Transactions):
    """NetBIOS name service (RFC 1002, 4.2)."""

    netbios = True
    by_all = False


class Tcp:
    """DNS over TCP: messages behind a two-byte length (RFC 7766)."""

    def __init__(self, transactions: Transactions, ends: Talk) -> None:
        self.done, self.held = False, 0
        self._transactions = transactions
        self._talks = (ends, ends.turned())
        self._buffers = (bytearray(), bytearray())
        self._lost = [False, False]

    def feed(self, side: int, data: bytes, at: Moment) -> None:
        if self._lost[side]:  # after a gap: a segment that is one whole message
            if len(data) < 14 or _short(data)[0] != len(data) - 2 or not _is_header(data[2:]):
                return
            self._lost[side] = False
        buffer, place = self._buffers[side], 0
        buffer += data
        while len(buffer) - place >= 2:
            size = _short(buffer, place)[0]
            if len(buffer) - place < 2 + size:
                break
            message = bytes(buffer[place + 2 : place + 2 + size])
            place += 2 + size
            if not self._transactions.datagram(message, self._talks[side], at):
                self.done = True
                break
        del buffer[:place]
        self.held = len(self._buffers[0]) + len(self._buffers[1])

    def gap(self, side: int) -> None:
        self._lost[side] = True
        self._buffers[side].clear()

    def close(self) -> None:
        """Nothing to give: messages stand alone."""


def starts(data: bytes, usual: bool) -> bool:
    """Whether a payload begins a conversation: a header on the usual ports, a whole sound question elsewhere."""
    if not usual:
        return _is_question(data)
    return _is_header(data) or (len(data) < 14 or _is_header(data[2:]))


def named(data: bytes, usual: bool) -> bool:
    """For the names of a link: a header, on the usual port alone."""
    return usual and _is_header(data)


def _is_header(data: bytes) -> bool:
    if len(data) < 12:
        return False
    _, flags, questions, answers, _, _ = _head(data)
    return bool(flags >> 11 & 15 <= 8 and questions <= 16 and (flags & 0x8000 > 0 or answers <= 256))


def _is_question(data: bytes) -> bool:
    """One question of a known type in class IN, and nothing a DNS message has not."""
    if len(data) < 17:
        return False
    _, flags, questions, answers, authority, additional = _head(data)
    if questions != 1 or flags & 0x7850 or answers + authority + additional > 64:
        return False
    try:
        name, place = read_name(data, 12)
    except DecodeError:
        return False
    if place + 4 > len(data) or not name or not name.isascii() or "\\" in name or "." not in name:
        return False
    kind, klass = _pair(data, place)
    if klass != 1 or kind not in TYPES:
        return False
    if flags & 0x8000:
        return bool(answers or flags & 15)
    return bool(not answers + authority and additional <= 1 and (additional == 1 or place + 4 == len(data)))


_SOURCE = LogSource(("dns", "network"), (), ("dns",))
_SOURCES = {"dns": _SOURCE}

_MARKS = (
    Mark(b"\x00\x00\x00\x01\x00\x00", 2, b"\xfc\x4f\xff\xff\xff\xff"),  # a query: one question, no answers
    Mark(b"\x80\x00\x00\x01\x00\x00", 2, b"\xf8\x40\xff\xff\xff\xc0"),  # an answer to one question
)

PROTOCOLS = (
    Protocol("dns", starts, Transactions, _SOURCES, tcp=(53,), udp=(53,), marks=_MARKS, priority=-1),
    # asked before DNS, which would know their messages too
    Protocol("mdns", named, Multicast, _SOURCES, udp=(5353,), marks=_MARKS),
    Protocol("llmnr", named, Transactions, _SOURCES, udp=(5355,), tcp=(5355,), marks=_MARKS),
    Protocol("nbns", named, Netbios, _SOURCES, udp=(137,), marks=_MARKS),
)
