"""TLS handshakes: real ones made by the standard library, and crafted ones."""

from __future__ import annotations

import hashlib
import ssl
import struct
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.decoders import wire
from tests.decoders.wire import CLIENT

from cityguard.decoders.app import certificate, suites

BEFORE, AFTER = datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a self-signed certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, "portal.example"), x509.NameAttribute(NameOID.COUNTRY_NAME, "CN")]
    )
    names = x509.SubjectAlternativeName([x509.DNSName("portal.example"), x509.DNSName("www.portal.example")])
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = (
        made.serial_number(0xABCDEF)
        .not_valid_before(BEFORE)
        .not_valid_after(AFTER)
        .add_extension(names, critical=False)
    )
    pem = made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    no = serialization.NoEncryption()
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, no) + pem)
    return path


def shake(server: Path, version: ssl.TLSVersion) -> list[tuple[int, bytes]]:
    """What both sides of a handshake send, and some data."""
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    theirs.load_cert_chain(server)
    theirs.set_alpn_protocols(["h2"])
    ours = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    ours.check_hostname, ours.verify_mode = False, ssl.CERT_NONE
    ours.minimum_version = ours.maximum_version = version
    ours.set_alpn_protocols(["h2", "http/1.1"])
    wires = [(ssl.MemoryBIO(), ssl.MemoryBIO()) for _ in range(2)]
    ends = [
        ours.wrap_bio(*wires[0], server_hostname="Portal.Example"),
        theirs.wrap_bio(*wires[1], server_side=True),
    ]
    said: list[tuple[int, bytes]] = []
    for turn in range(8):
        side = turn % 2
        try:
            ends[side].do_handshake()
            if turn > 4:
                ends[side].write(b"data")
        except ssl.SSLWantReadError:
            pass
        if sent := wires[side][1].read():
            wires[1 - side][0].write(sent)
            said.append((side, sent))
    return said


def rows(said: list[tuple[int, bytes]], *, mss: int = 1400, port: int = 443, pieces: int = 1) -> list[dict[str, Any]]:
    talker = wire.Talker(port).shake()
    for side, payload in said:
        talker.say(side, payload, mss=mss)
    return wire.table(wire.decode(talker.packets, pieces=pieces), "tls").to_dicts()


@pytest.mark.parametrize(("mss", "port", "pieces"), [(1400, 443, 1), (7, 9999, 1), (100, 443, 3)])
def test_a_tls_1_2_handshake_tells_names_suites_and_certificate(server: Path, mss: int, port: int, pieces: int) -> None:
    (row,) = rows(shake(server, ssl.TLSVersion.TLSv1_2), mss=mss, port=port, pieces=pieces)
    assert (row["tls.version"], row["tls.version_protocol"]) == ("1.2", "tls")
    assert row["tls.client.server_name"] == "portal.example"
    assert row["tls.next_protocol"] == "h2"
    assert row["tls.cipher"].startswith("TLS_ECDHE_ECDSA_WITH_")
    assert row["tls.cipher"] in row["tls.client.ciphers"]
    assert row["tls.established"] is True
    assert row["tls.server.subject"] == row["tls.server.issuer"] == "C=CN,CN=portal.example"
    assert (row["tls.server.not_before"], row["tls.server.not_after"]) == (BEFORE, AFTER)
    seen = row["@timestamp"]
    assert (row["tls.server.days_old"], row["tls.server.days_left"]) == ((seen - BEFORE).days, (AFTER - seen).days)
    assert row["tls.server.x509.serial_number"] == "abcdef"
    assert row["tls.server.x509.signature_algorithm"] == "ecdsa-with-SHA256"
    assert (row["tls.server.x509.public_key_algorithm"], row["tls.server.x509.public_key_size"]) == ("EC", 256)
    assert row["tls.server.x509.alternative_names"] == ["portal.example", "www.portal.example"]
    certificate = x509.load_pem_x509_certificate(server.read_bytes()[server.read_bytes().index(b"-----BEGIN CERT") :])
    assert row["tls.server.hash.sha256"] == certificate.fingerprint(hashes.SHA256()).hex()
    assert row["source.ip"] == CLIENT


def test_a_tls_1_3_handshake_hides_the_certificate(server: Path) -> None:
    (row,) = rows(shake(server, ssl.TLSVersion.TLSv1_3))
    assert (row["tls.version"], row["tls.established"]) == ("1.3", True)
    assert row["tls.cipher"].startswith("TLS_AES_") or row["tls.cipher"].startswith("TLS_CHACHA20")
    assert row.get("tls.server.subject") is None


def hello(ciphers: list[int], extensions: list[tuple[int, bytes]], version: int = 0x0303) -> bytes:
    body = (
        struct.pack(">H", version) + bytes(32) + b"\0" + struct.pack(f">H{len(ciphers)}H", len(ciphers) * 2, *ciphers)
    )
    inside = b"".join(struct.pack(">HH", kind, len(value)) + value for kind, value in extensions)
    return body + b"\x01\0" + (struct.pack(">H", len(inside)) + inside if extensions else b"")


def record(kind: int, body: bytes) -> bytes:
    message = bytes([kind]) + len(body).to_bytes(3, "big") + body
    return b"\x16\x03\x01" + struct.pack(">H", len(message)) + message


def test_ja3_leaves_grease_out_and_follows_its_definition() -> None:
    groups, points = b"\x00\x06\x0a\x0a\x00\x1d\x00\x17", b"\x01\x00"
    body = hello([0x0A0A, 0x1301, 0xC02F], [(0x1A1A, b""), (10, groups), (11, points), (23, b"")])
    (row,) = rows([(0, record(1, body))])
    assert row["tls.client.ja3"] == hashlib.md5(b"771,4865-49199,10-11-23,29-23,0").hexdigest()
    assert row["tls.client.ciphers"] == ["TLS_AES_128_GCM_SHA256", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"]


def test_ja3s_takes_version_suite_and_extensions() -> None:
    body = struct.pack(">H", 0x0303) + bytes(32) + b"\0" + struct.pack(">HB", 0x1301, 0)
    body += struct.pack(">HHHHHH", 10, 43, 2, 0x0304, 51, 0)
    (row,) = rows([(1, record(2, body))])
    assert row["tls.server.ja3s"] == hashlib.md5(b"771,4865,43-51").hexdigest()
    assert (row["tls.version"], row["tls.cipher"]) == ("1.3", "TLS_AES_128_GCM_SHA256")


def test_tlcp_is_named_as_such() -> None:
    client = b"\x16\x01\x01" + record(1, hello([0xE013, 0xE053], [], 0x0101))[3:]
    (row,) = rows([(0, client)])
    assert (row["tls.version"], row["tls.version_protocol"]) == ("tlcp1.1", "tlcp")
    assert row["tls.client.ciphers"] == ["ECC_SM4_CBC_SM3", "ECC_SM4_GCM_SM3"]


def test_a_hello_alone_is_a_row_that_was_not_established() -> None:
    (row,) = rows([(0, record(1, hello([1], [])))])
    assert row["tls.established"] is False


def test_a_refusal_ends_the_handshake() -> None:
    (row,) = rows([(0, record(1, hello([1], []))), (1, b"\x15\x03\x01\x00\x02\x02\x28")])
    assert row["tls.established"] is False


def test_a_server_seen_alone_is_told_from_its_hello() -> None:
    body = struct.pack(">H", 0x0301) + bytes(32) + b"\0" + struct.pack(">HB", 0x0035, 0)
    (row,) = rows([(1, record(2, body))])
    assert (row["source.ip"], row["tls.cipher"]) == (CLIENT, "TLS_RSA_WITH_AES_256_CBC_SHA")


def test_a_damaged_certificate_leaves_its_hash() -> None:
    assert list(certificate.describe(b"no certificate")) == ["hash.sha256", "hash.sha1"]


def test_a_handshake_without_end_is_given_up() -> None:
    endless = b"\x16\x03\x03\x40\x00" + b"\x01\x00\xff\xff" + bytes(16380)
    assert rows([(0, endless * 6)]) == []


def test_suites_have_their_registered_names() -> None:
    known = {
        0x0005: "TLS_RSA_WITH_RC4_128_SHA",
        0xC02B: "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        0xCCA8: "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        0x00FF: "TLS_EMPTY_RENEGOTIATION_INFO_SCSV",
        0xE011: "ECDHE_SM4_CBC_SM3",
    }
    assert {number: suites.name(number) for number in known} == known
    assert suites.name(0x1234) == "0x1234"


MESSAGES = [record(1, hello([1, 2], [(0, b"\x00\x06\x00\x00\x03abc"), (16, b"\x00\x03\x02h2")])), record(11, bytes(40))]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 1), st.sampled_from(MESSAGES), st.integers(0, 120), st.integers(0, 255)), max_size=5
    ),
    st.integers(1, 200),
)
def test_no_bytes_raise_anything(said: list[tuple[int, bytes, int, int]], mss: int) -> None:
    talker = wire.Talker(443).shake().say(0, MESSAGES[0])
    for side, payload, at, value in said:
        raw = bytearray(payload)
        raw[at % len(raw)] = value
        talker.say(side, bytes(raw), mss=mss)
    wire.decode(talker.packets)
