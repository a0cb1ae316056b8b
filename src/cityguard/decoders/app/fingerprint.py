"""Fingerprints of TLS hellos: JA3 and JA3S (Salesforce, BSD-3), JA4 of clients (FoxIO, BSD-3)."""

from __future__ import annotations

import hashlib

from cityguard.decoders.app.tls_hello import ALPN, SNI, ClientHello, ServerHello

_NOTHING = "0" * 12
_VERSIONS = {
    0x0304: "13",
    0x0303: "12",
    0x0302: "11",
    0x0301: "10",
    0x0300: "s3",
    0x0002: "s2",
    0xFEFF: "d1",
    0xFEFD: "d2",
    0xFEFC: "d3",
}


def ja3(hello: ClientHello) -> str:
    """MD5 of version, suites, extensions, groups and point formats in the order offered."""
    parts = (hello.ciphers, hello.extensions, hello.groups, hello.points)
    return _md5(",".join([str(hello.version), *("-".join(map(str, part)) for part in parts)]))


def ja3s(hello: ServerHello) -> str:
    """MD5 of version, suite and extensions chosen."""
    return _md5(f"{hello.legacy},{hello.cipher},{'-'.join(map(str, hello.extensions))}")


def ja4(hello: ClientHello, transport: str) -> str:
    """JA4 of a client.

    Args:
        hello: what it offers.
        transport: ``t`` TCP, ``q`` QUIC, ``d`` DTLS.
    """
    version = _VERSIONS.get(hello.highest, "00")
    name = "d" if SNI in hello.extensions else "i"
    counts = f"{min(len(hello.ciphers), 99):02d}{min(len(hello.extensions), 99):02d}"
    head = f"{transport}{version}{name}{counts}{_first_and_last(hello.alpn)}"
    ciphers = ",".join(sorted(f"{number:04x}" for number in hello.ciphers))
    kinds = ",".join(sorted(f"{number:04x}" for number in hello.extensions if number not in (SNI, ALPN)))
    signatures = ",".join(f"{number:04x}" for number in hello.signatures)
    rest = f"{kinds}_{signatures}" if signatures else kinds
    return f"{head}_{_sha(ciphers)}_{_sha(rest if kinds else '')}"


def _first_and_last(offered: list[bytes]) -> str:
    if not offered or not offered[0]:
        return "00"
    first, last = offered[0][:1], offered[0][-1:]
    if first.isalnum() and last.isalnum():
        return (first + last).decode()
    return first.hex()[0] + last.hex()[1]


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def _sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12] if text else _NOTHING
