"""One handshake as a row: what its messages tell, whatever carried them (TLS records, DTLS, QUIC)."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from cityguard.decoders.app import certificate, fingerprint, suites
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
TLS13 = 0x0304
_NAMED_CURVE = 3
_CLIENT = {"subject", "issuer", "not_before", "not_after", "hash.sha256", "x509.serial_number"}  # have columns
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
        try:
            if kind == CLIENT_HELLO and self.client in (None, side):
                self._client(side, client_hello(body, datagram=self._transport == "d"), at)
            elif kind == SERVER_HELLO and self.client in (None, 1 - side):
                self._server(side, server_hello(body), at)
            elif kind == CERTIFICATE and self.client is not None and not self.is_13:
                self._chain(side, body)
            elif kind == SERVER_KEY and self.choice is not None:
                self._server_key(body)
            elif kind == CLIENT_KEY:
                self.keyed = True
        except CutError:
            return False
        return True

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
        self._ages(self._at.time)
        if self.extra:
            self.fields["event.fields"] = json.dumps(self.extra, ensure_ascii=False, separators=(",", ":"))
        self._out.add("tls", self._at, self._talks[self.client], self.fields)

    def _ages(self, now: int) -> None:
        """Whole days the server's certificate has been valid, and will be; unknown where packets have no time (ns)."""
        for name, of, sign in (("days_left", "not_after", 1), ("days_old", "not_before", -1)):
            moment = self.fields.get(f"tls.server.{of}")
            if now > 0 and isinstance(moment, datetime):
                seconds = int(moment.timestamp()) - now // 1_000_000_000
                self.fields[f"tls.server.{name}"] = sign * seconds // 86_400

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
            "tls.guomi_offered": any(map(suites.is_guomi, hello.ciphers)),
        }
        if self.choice is None:
            self.fields["tls.version_protocol"] = family
            self.fields["tls.version"] = version if family == "tlcp" else None  # there is only one

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
            "tls.guomi": suites.is_guomi(hello.cipher),
        }
        if hello.retry:
            return
        offer = self.offer
        again = bool(offer and offer.session and offer.session == hello.session) and not self.is_13
        self.fields["tls.server.ja3s"] = fingerprint.ja3s(hello)
        self.fields["tls.resumed"] = again or hello.pre_shared
        if hello.alpn:
            self.fields["tls.next_protocol"] = printable(hello.alpn)

    def _server_key(self, body: bytes) -> None:
        assert self.choice is not None
        if "ECDH" in suites.name(self.choice.cipher) and len(body) >= 3 and body[0] == _NAMED_CURVE:
            self.fields["tls.curve"] = suites.group(int.from_bytes(body[1:3], "big"))

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
        for name, value in told[0].items():
            if name in _CLIENT or (who == "server" and name != "usage"):
                self.fields[f"tls.{who}.{name}"] = value
        self.fields[f"tls.{who}.certificate_chain"] = [one["hash.sha256"] for one in told]
        self.extra[f"{who}_chain"] = [_short(one) for one in told[1:]]
        if not self.extra[f"{who}_chain"]:
            del self.extra[f"{who}_chain"]
        if who == "server" and self.fields.get("tls.version_protocol") == "tlcp":
            self._encryption(told)

    def _encryption(self, told: list[dict[str, Any]]) -> None:
        """TLCP sends the signing certificate, then the one for encryption (GB/T 38636, 6.4.5.4)."""
        ends = [one for one in told[1:2] if one.get("subject") == told[0].get("subject")]
        if not ends:
            self.extra["tlcp_certificates"] = "single"
            return
        self.fields["tls.server.encryption.subject"] = ends[0].get("subject")
        self.fields["tls.server.encryption.hash.sha256"] = ends[0]["hash.sha256"]
        usages = [(one.get("usage") or b"\0")[0] for one in (told[0], ends[0])]
        fit = bool(usages[0] & _SIGNS and usages[1] & _ENCIPHERS)
        self.extra["tlcp_certificates"] = "double" if fit else "double, key usage unusual"


def _short(told: dict[str, Any]) -> dict[str, Any]:
    """A certificate of the chain as JSON holds it."""
    return {name: str(value) for name, value in told.items() if name != "usage" and not name.startswith("x509.alt")}
