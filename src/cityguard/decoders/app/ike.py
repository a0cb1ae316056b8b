"""IKE, the key exchange of IPsec (RFC 2409, 7296; GM/T 0022) to one row per association: dataset ``tls``.

The row has the columns of a handshake: ``tls.version_protocol`` is ``ike``, ``tls.client.ciphers`` what was proposed,
``tls.cipher`` what was chosen, each as encryption/hash/authentication/group. What follows is encrypted and not read.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from typing import Any

from cityguard.decoders.app import certificate, ike_names, tls_session
from cityguard.decoders.app.ike_message import MARKER, SA_1, SA_2, Message, Proposal, begins, read
from cityguard.decoders.events import End, Talk
from cityguard.decoders.protocol import Mark, Out, Protocol, Speaker
from cityguard.decoders.stream import Moment
from cityguard.model import LogSource

MAX_ASSOCIATIONS = 8_192
WAIT = 60 * 1_000_000_000
"""ns of silence after which an association is given."""
MAX_LISTED = 64
"""Proposals and vendors that are kept."""
MAX_CERTIFICATES = 4
"""Of one side."""
_SIGNING, _KEY_EXCHANGE = 4, 5
_PHASE_1 = frozenset((1, 2, 3, 4, 34))
_NONE = bytes(8)


class Association:
    """What both sides said in the clear before they encrypt."""

    def __init__(self, out: Out, talk: Talk, at: Moment, message: Message) -> None:
        """``talk`` is of its first message."""
        self.last = at.time
        self._out, self._at = out, at
        self._source = talk.source
        self._is_client = _from_initiator(message)
        self._talk = talk if self._is_client else talk.turned()
        self._fields: dict[str, Any] = {"tls.version_protocol": "ike"}
        self._extra: dict[str, Any] = {}
        self._dark: set[bool] = set()
        self._certificates: dict[str, list[tuple[int, dict[str, Any]]]] = {"client": [], "server": []}
        self._given = False

    def hear(self, talk: Talk, message: Message) -> None:
        """One message of either side."""
        client = (talk.source == self._source) == self._is_client
        if message.encrypted:
            self._dark.add(client)
            return
        if message.malformed:
            self._fields["event.flags"] = ["malformed"]
        if message.exchange not in _PHASE_1:
            return
        major, minor = message.version
        self._fields["tls.version"] = f"ike{major}.{minor}"
        self._fields["tls.exchange"] = ike_names.EXCHANGES[message.exchange]
        if message.proposals and client:
            self._propose(message.proposals)
        elif message.proposals:
            self._choose(message.proposals)
        if message.group is not None and not client:
            self._fields["tls.curve"] = ike_names.of(ike_names.GROUPS, message.group)
        mine = self._certificates["client" if client else "server"]
        for kind, der in message.certificates[: MAX_CERTIFICATES - len(mine)]:
            mine.append((kind, certificate.describe(der)))
        if message.vendors:
            told = self._extra.setdefault("vendors", [])
            told += [one.hex() for one in message.vendors if one.hex() not in told][: MAX_LISTED - len(told)]

    def give(self) -> None:
        """The association's row, once, if its beginning was heard."""
        if self._given or "tls.exchange" not in self._fields:
            return
        self._given = True
        fields = self._fields
        fields["tls.established"] = len(self._dark) == 2
        for who, several in self._certificates.items():
            _certify(fields, who, several, bool(fields.get("tls.guomi") or fields.get("tls.guomi_offered")))
        tls_session.ages(fields, self._at.time)
        if self._extra:
            fields["event.fields"] = json.dumps(self._extra, ensure_ascii=False, separators=(",", ":"))
        self._out.add("tls", self._at, self._talk, fields)

    def _propose(self, proposals: tuple[Proposal, ...]) -> None:
        every = [one for proposal in proposals for one in proposal.transforms]
        methods = [one.method for one in every if one.method]
        self._fields["tls.client.ciphers"] = [text for one in proposals for text in one.texts][:MAX_LISTED]
        self._fields["tls.authentication"] = list(dict.fromkeys(methods)) or None
        self._fields["tls.guomi_offered"] = any(one.is_guomi for one in every)
        if lives := [one.life_seconds for one in every if one.life_seconds is not None]:
            self._extra["life_seconds"] = max(lives)

    def _choose(self, proposals: tuple[Proposal, ...]) -> None:
        chosen = proposals[0]
        if not chosen.texts:
            return
        self._fields["tls.cipher"] = chosen.texts[0]
        if not chosen.transforms:
            self._fields["tls.guomi"] = False
            self._agree("ECDHE")
            return
        one = chosen.transforms[0]
        self._fields["tls.guomi"] = one.is_guomi
        self._fields["tls.authentication"] = [one.method] if one.method else self._fields.get("tls.authentication")
        if one.group is not None:
            self._fields["tls.curve"] = ike_names.of(ike_names.GROUPS, one.group)
            self._agree("DHE" if "modp" in self._fields["tls.curve"] else "ECDHE")
        elif one.method == "envelope":
            self._fields["tls.key_exchange"] = "envelope"

    def _agree(self, how: str) -> None:
        self._fields |= {"tls.key_exchange": how, "tls.forward_secrecy": True}


def _certify(fields: dict[str, Any], who: str, several: list[tuple[int, dict[str, Any]]], national: bool) -> None:
    """Certificates sent in the clear, the one for signing first."""
    told = [one for wanted in (_SIGNING, _KEY_EXCHANGE) for kind, one in several if kind == wanted]
    if told:
        tls_session.certify(fields, who, told, double=national)


def _from_initiator(message: Message) -> bool:
    """Whether the first message heard comes from who began: its partner has no cookie yet, or it is flagged so."""
    if message.responder == _NONE:
        return True
    if message.version[0] == 2:
        return bool(message.flags & 0x08)
    return sum(len(one.transforms) for one in message.proposals) > 1


class Associations(Speaker):
    """Every association of a capture, by its ends and the initiator's cookie."""

    def __init__(self, out: Out) -> None:
        super().__init__(out)
        self._open: OrderedDict[tuple[End, End, bytes], Association] = OrderedDict()

    def datagram(self, data: bytes, talk: Talk, at: Moment) -> bool:
        message = read(data)
        if message is None:
            return False
        ends = (min(talk.source, talk.destination), max(talk.source, talk.destination), message.initiator)
        one = self._open.get(ends)
        if one is not None and at.time - one.last > WAIT:
            self._end(ends)
            one = None
        if one is None:
            if message.encrypted or message.exchange not in _PHASE_1:
                return True  # of an association whose beginning was not seen
            if len(self._open) >= MAX_ASSOCIATIONS:
                self._open.popitem(last=False)[1].give()
            one = self._open[ends] = Association(self.out, talk, at, message)
        one.last = at.time
        self._open.move_to_end(ends)
        one.hear(talk, message)
        return True

    def expire(self, now: int) -> None:
        while self._open:
            ends = next(iter(self._open))
            if now - self._open[ends].last <= WAIT:
                return
            self._end(ends)

    def close(self) -> None:
        while self._open:
            self._open.popitem(last=False)[1].give()

    def _end(self, ends: tuple[End, End, bytes]) -> None:
        self._open.pop(ends).give()


def starts(data: bytes, usual: bool) -> bool:
    """A first message in the clear whose payloads fit exactly; on a usual port any whole message."""
    message = read(data)
    if message is None:
        return begins(data)
    if message.encrypted:
        size = int.from_bytes(data[28:32] if message.natt else data[24:28], "big")
        return usual and message.responder != _NONE and size == len(data) - (4 if message.natt else 0)
    if message.malformed:
        return usual and message.responder == _NONE and message.first in (SA_1, SA_2)
    return usual or (message.responder == _NONE and message.exchange in _PHASE_1 and bool(message.proposals))


_BEGINNINGS = (_NONE + b"\x01\x10", _NONE + b"\x01\x11", _NONE + b"\x21\x20")

PROTOCOLS = (
    Protocol(
        "ike",
        starts,
        Associations,
        {"tls": LogSource(("network",), (), ("ike",))},
        udp=(500, 4500),
        marks=(*(Mark(one, 8) for one in _BEGINNINGS), *(Mark(one, 12) for one in _BEGINNINGS)),
        only=(Mark(MARKER), Mark(b"\x10", 17, b"\xfe"), Mark(b"\x20", 17)),
    ),
)
