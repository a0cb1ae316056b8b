"""One handshake as a row: what its messages tell, whatever carried them (TLS records, DTLS, QUIC)."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from cityguard.decoders.app import certificate, fingerprint, suites, tls_exchange
from cityguard.decoders.app.tls_exchange import NAMED_CURVE
from cityguard.decoders.app.tls_hello import (
    ClientHello,
    CutError,
    Reader,
    ServerHello,
    client_hello,
    printable,
    server_hello,
)
from cityguard.decoders.events import Talk
from cityguard.decoders.protocol import Out
from cityguard.decoders.stream import Moment

MAX_CHAIN = 16
"""Certificates of one chain that are read."""
CLIENT_HELLO, SERVER_HELLO, CERTIFICATE, SERVER_KEY, CLIENT_KEY = 1, 2, 11, 12, 16
_REQUEST, _DONE, _VERIFY = 13, 14, 15
_OF_SERVER, _OF_CLIENT = (CERTIFICATE, SERVER_KEY, _REQUEST, _DONE), (CLIENT_KEY, _VERIFY)
TLS13, TLCP = 0x0304, 0x0101
_CLIENT = {  # have columns
    *("subject", "issuer", "not_before", "not_after", "hash.sha256", "x509.serial_number"),
    *("x509.public_key_algorithm", "x509.signature_algorithm"),
}
_SECOND = {
    *("subject", "issuer", "not_before", "not_after", "hash.sha256", "key.sha256", "key_usage"),
    *("x509.serial_number", "x509.signature_algorithm", "x509.public_key_algorithm"),
}
_INSIDE = {"usage", "authority"}  # of our own use
_SIGNS, _ENCIPHERS = 0xC0, 0x38  # digitalSignature nonRepudiation; keyEncipherment dataEncipherment keyAgreement


class Session:
    """What is known of one handshake. ``side`` 0 is ``talk.source``."""

    def __init__(self, out: Out, talk: Talk, transport: str = "t") -> None:
        """``transport`` as JA4 has it: t, q or d."""
        self._out, self._talks, self._transport = out, (talk, talk.turned()), transport
        self.client: int | None = None
        self._at: Moment | None = None
        self._given = False
        self.offer: ClientHello | None = None
        self.choice: ServerHello | None = None
        self.fields: dict[str, Any] = {}
        self.extra: dict[str, Any] = {}
        self.dark = [False, False]  # encrypted from here
        self.tlcp = False
        """Records are of TLCP: a handshake may be joined in its middle."""
        self._certified = self.keyed = False

    @property
    def is_13(self) -> bool:
        """Whether TLS 1.3 or a draft of it was chosen."""
        choice = self.choice
        return choice is not None and (choice.version in (TLS13, 0xFEFC) or choice.version >> 8 == 0x7F)

    def message(self, side: int, kind: int, body: bytes, at: Moment) -> bool:
        """A handshake message; False when it is not as long as it says.

        Args:
            side: who sent it.
            kind: its type.
            body: without header.
            at: when it was complete.
        """
        if self.client is None and self.tlcp and kind in (*_OF_SERVER, *_OF_CLIENT):
            self._join(side if kind in _OF_CLIENT else 1 - side, at)
        try:
            if kind == CLIENT_HELLO and self.client in (None, side):
                self._client(side, client_hello(body, datagram=self._transport == "d"), at)
            elif kind == SERVER_HELLO and self.client in (None, 1 - side):
                self._server(side, server_hello(body), at)
            elif kind == CERTIFICATE and self.client is not None and not self.is_13:
                self._chain(side, body)
            elif kind == SERVER_KEY and (self.choice is not None or self.tlcp):
                self._server_key(body)
            elif kind == CLIENT_KEY:
                self._client_key(body)
        except CutError:
            self.malformed(side, kind, body, at)
            return False
        return True

    def malformed(self, side: int, kind: int, body: bytes, at: Moment) -> None:
        """A hello or certificates whose lengths do not fit: a row that says so, with what was sound."""
        if self.client is None:
            number = int.from_bytes(body[:2], "big")
            if kind not in (CLIENT_HELLO, SERVER_HELLO) or not (number == TLCP or 0x0300 <= number <= TLS13):
                return
            self._begin(side if kind == CLIENT_HELLO else 1 - side, at)
            family, version = suites.version(number)
            self.fields["tls.version_protocol"] = family
            self.fields["tls.version"] = version if number == TLCP else None
        self.fields["event.flags"] = ["malformed"]

    def _join(self, client: int, at: Moment) -> None:
        """A handshake of TLCP whose beginning was not seen."""
        self._begin(client, at)
        family, version = suites.version(TLCP)
        self.fields |= {"tls.version_protocol": family, "tls.version": version, "tls.guomi": True}

    def envelope(self, side: int, hello: ClientHello, at: Moment) -> None:
        """The hello of SSL 2.0."""
        self._begin(side, at)
        self.offer = hello
        names = [suites.name(number) if number <= 0xFFFF else f"0x{number:06X}" for number in hello.ciphers]
        self.fields["tls.client.ciphers"] = names
        family, version = suites.version(hello.version)
        self.fields |= {"tls.version_protocol": family, "tls.client.version": version}

    def alert(self, level: int, number: int) -> None:
        """An alert in the clear."""
        self.fields["tls.alert"] = suites.alert(number)

    def cipher_change(self, side: int) -> None:
        """A side encrypts from here (before 1.3)."""
        self.dark[side] = True
        offer = self.offer
        ticket = offer is not None and offer.ticket and not offer.session
        if self.client == 1 - side and ticket and not self._certified and not self.keyed:
            self.fields["tls.resumed"] = True

    def give(self) -> None:
        """The handshake is over: its row, once, if it had a hello."""
        if self._given or self._at is None or self.client is None:
            return
        self._given = True
        if self._transport != "q":
            self.fields["tls.established"] = all(self.dark)
        ages(self.fields, self._at.time)
        if self.extra:
            self.fields["event.fields"] = json.dumps(self.extra, ensure_ascii=False, separators=(",", ":"))
        self._out.add("tls", self._at, self._talks[self.client], self.fields)

    def _begin(self, client: int, at: Moment) -> None:
        if self._at is None:
            self.client, self._at = client, at

    def _client(self, side: int, hello: ClientHello, at: Moment) -> None:
        self._begin(side, at)
        if self.offer is not None and self.offer.extensions and not hello.extensions:
            return
        self.offer = hello
        family, version = suites.version(hello.highest)
        self.fields |= {
            "tls.client.ciphers": [suites.name(number) for number in hello.ciphers],
            "tls.client.version": version,
            "tls.client.ja3": fingerprint.ja3(hello),
            "tls.client.ja4": fingerprint.ja4(hello, self._transport),
            "tls.client.server_name": hello.server_name,
            "tls.client.alpn": [printable(name) for name in hello.alpn] or None,
            "tls.client.groups": [suites.group(number) for number in hello.groups] or None,
            "tls.client.signature_algorithms": [suites.signature(number) for number in hello.signatures] or None,
            "tls.guomi_offered": any(map(suites.is_guomi, hello.ciphers)),
        }
        if self.choice is None:
            self.fields["tls.version_protocol"] = family
            self.fields["tls.version"] = version if family == "tlcp" else None  # there is only one
            if family == "tlcp":
                self.fields["tls.guomi"] = True  # whatever it offers, it is TLCP that it speaks

    def _server(self, side: int, hello: ServerHello, at: Moment) -> None:
        self._begin(1 - side, at)
        family, version = suites.version(hello.version)
        if hello.group is not None:
            self.fields["tls.curve"] = suites.group(hello.group)
        self.choice = hello
        self.fields |= {
            "tls.version": version,
            "tls.version_protocol": family,
            "tls.cipher": suites.name(hello.cipher),
            "tls.guomi": suites.is_guomi(hello.cipher) or hello.version == TLCP,
        }
        self._agreed(tls_exchange.kind(hello.cipher))
        if hello.retry:
            return
        if self.is_13:
            self._agreed_13(hello)
        offer = self.offer
        again = bool(offer and offer.session and offer.session == hello.session) and not self.is_13
        self.fields["tls.server.ja3s"] = fingerprint.ja3s(hello)
        self.fields["tls.resumed"] = again or hello.pre_shared
        if hello.alpn:
            self.fields["tls.next_protocol"] = printable(hello.alpn)

    def _agreed(self, how: str | None) -> None:
        if how is not None:
            self.fields["tls.key_exchange"] = how
            self.fields["tls.forward_secrecy"] = tls_exchange.is_forward(how)

    def _agreed_13(self, hello: ServerHello) -> None:
        """In TLS 1.3 the extensions tell (RFC 8446, 4.1.1)."""
        if hello.group is not None:
            self._agreed("DHE" if 256 <= hello.group < 512 else "ECDHE")
        elif hello.pre_shared:
            self._agreed("PSK")

    def _server_key(self, body: bytes) -> None:
        if self.tlcp and (shown := tls_exchange.server(body)) is not None:
            if "tls.key_exchange" not in self.fields:
                self._agreed(shown.kind)
            if shown.curve is not None:
                self.fields["tls.curve"] = suites.group(shown.curve)
            return
        if self.choice is None:
            return
        if "ECDH" in suites.name(self.choice.cipher) and len(body) >= 3 and body[0] == NAMED_CURVE:
            self.fields["tls.curve"] = suites.group(int.from_bytes(body[1:3], "big"))

    def _client_key(self, body: bytes) -> None:
        self.keyed = True
        if self.tlcp and "tls.key_exchange" not in self.fields and (shown := tls_exchange.client(body)) is not None:
            self._agreed(shown.kind)

    def _chain(self, side: int, body: bytes) -> None:
        chain = Reader(body).vector(3)
        ders = list[bytes]()
        while chain.more() and len(ders) < MAX_CHAIN:
            ders.append(chain.vector(3).data)
        who = "client" if side == self.client else "server"
        if f"tls.{who}.hash.sha256" in self.fields or not ders:
            return
        if who == "server":
            self._certified = True
        told = [certificate.describe(der) for der in ders]
        certify(self.fields, who, told, double=self.fields.get("tls.version_protocol") == "tlcp")
        if len(told) > 1:
            self.extra[f"{who}_chain"] = [_short(one) for one in told[1:]]


def certify(fields: dict[str, Any], who: str, told: list[dict[str, Any]], *, double: bool) -> None:
    """The columns of a chain.

    Args:
        fields: of the row.
        who: client or server.
        told: ``certificate.describe`` of each, in order; one at least.
        double: the protocol asks for a certificate to sign and one to encipher.
    """
    for name, value in told[0].items():
        if name in _CLIENT or (who == "server" and name not in _INSIDE):
            fields[f"tls.{who}.{name}"] = value
    fields[f"tls.{who}.certificate_chain"] = [one["hash.sha256"] for one in told]
    if double:
        kind = fields[f"tls.{who}.certificate_pair"] = pair(told)
        if who == "server" and kind != "single":
            fields |= {f"tls.server.encryption.{name}": told[1].get(name) for name in _SECOND}


def ages(fields: dict[str, Any], now: int) -> None:
    """Whole days the server's certificates have been valid, and will be; unknown where packets have no time (ns)."""
    for name, of, sign in (
        *(("days_left", "not_after", 1), ("days_old", "not_before", -1)),
        ("encryption.days_left", "encryption.not_after", 1),
    ):
        moment = fields.get(f"tls.server.{of}")
        if now > 0 and isinstance(moment, datetime):
            seconds = int(moment.timestamp()) - now // 1_000_000_000
            fields[f"tls.server.{name}"] = sign * seconds // 86_400


def pair(told: list[dict[str, Any]]) -> str:
    """How a chain keeps to the rule of TLCP: a certificate for signing, then one for encryption, of one holder.

    Args:
        told: ``certificate.describe`` of each, in order; one at least (GB/T 38636, 6.4.5.3).

    Returns:
        ``double``; ``single``: no second certificate of an end; ``swapped``: the one for encryption comes first;
        ``mismatched``: of two holders or two issuers; ``unusual``: key usages that say neither.
    """
    first = told[0]
    second = told[1] if len(told) > 1 else None
    if second is None or second.get("authority") or second["hash.sha256"] == first["hash.sha256"]:
        return "single"
    same = second.get("subject") == first.get("subject")
    if not same and second.get("subject") == first.get("issuer"):  # the issuer's own
        return "single"
    if not same or second.get("issuer") != first.get("issuer"):
        return "mismatched"
    one, other = ((each.get("usage") or b"\0")[0] for each in (first, second))
    if one & _SIGNS and other & _ENCIPHERS:
        return "double"
    return "swapped" if one & _ENCIPHERS and other & _SIGNS else "unusual"


def _short(told: dict[str, Any]) -> dict[str, Any]:
    """A certificate of the chain as JSON holds it."""
    left = {name: value for name, value in told.items() if name not in _INSIDE and not name.startswith("x509.alt")}
    return {name: ",".join(value) if isinstance(value, list) else str(value) for name, value in left.items()}
