"""Certificates: ones the library makes, ones it cannot read, and damaged ones."""

from __future__ import annotations

import struct
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.decoders import wire
from tests.decoders.app.test_tls import hello, record

from cityguard.decoders.app import certificate

BEFORE, AFTER = datetime(2026, 1, 1, tzinfo=UTC), datetime(2055, 1, 1, tzinfo=UTC)
NAME = x509.Name(
    [
        x509.NameAttribute(NameOID.COUNTRY_NAME, "CN"),
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, "某市, 政务云"),
        x509.NameAttribute(NameOID.EMAIL_ADDRESS, "a@city.example"),
    ]
)


def made(key: Any, usage: x509.KeyUsage | None = None) -> bytes:
    names = x509.SubjectAlternativeName(
        [
            x509.DNSName("city.example"),
            x509.IPAddress(__import__("ipaddress").ip_address("10.0.0.1")),
            x509.UniformResourceIdentifier("https://city.example"),
        ]
    )
    one = x509.CertificateBuilder().subject_name(NAME).issuer_name(NAME).public_key(key.public_key())
    one = one.serial_number(0xFF01).not_valid_before(BEFORE).not_valid_after(AFTER).add_extension(names, critical=False)
    if usage:
        one = one.add_extension(usage, critical=True)
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return one.sign(key, algorithm).public_bytes(serialization.Encoding.DER)


EC = ec.generate_private_key(ec.SECP384R1())


@pytest.mark.parametrize(
    ("key", "family", "size", "curve", "signature"),
    [
        (rsa.generate_private_key(65537, 2048), "RSA", 2048, None, "sha256WithRSAEncryption"),
        (EC, "EC", 384, "secp384r1", "ecdsa-with-SHA256"),
        (dsa.generate_private_key(1024), "DSA", 1024, None, "dsa_with_SHA256"),
        (ed25519.Ed25519PrivateKey.generate(), "Ed25519", 256, None, "ED25519"),
    ],
)
def test_a_certificate_tells_names_times_and_key(
    key: Any, family: str, size: int, curve: str | None, signature: str
) -> None:
    told = certificate.describe(made(key))
    assert told["subject"] == told["issuer"] == "emailAddress=a@city.example,O=某市\\, 政务云,C=CN"
    assert (told["not_before"], told["not_after"]) == (BEFORE, AFTER)
    assert (told["x509.serial_number"], told["x509.version_number"]) == ("ff01", 3)
    assert (told["x509.public_key_algorithm"], told["x509.public_key_size"]) == (family, size)
    assert (told.get("x509.public_key_curve"), told["x509.signature_algorithm"]) == (curve, signature)
    assert told["x509.alternative_names"] == ["city.example", "10.0.0.1", "https://city.example"]


def tlv(tag: int, body: bytes) -> bytes:
    size = bytes([len(body)]) if len(body) < 128 else b"\x82" + struct.pack(">H", len(body))
    return bytes([tag]) + size + body


SM2_SM3 = bytes.fromhex("06082a811ccf55018375")
SM2_CURVE = bytes.fromhex("06082a811ccf5501822d")
EC_KEY = bytes.fromhex("06072a8648ce3d0201")


def sm2(usage: int, serial: int = 1) -> bytes:
    """A certificate of SM2, unsigned."""
    name = tlv(0x30, tlv(0x31, tlv(0x30, bytes.fromhex("0603550403") + tlv(0x0C, "网关".encode()))))
    times = tlv(0x30, tlv(0x17, b"260101000000Z") + tlv(0x18, b"20560101000000Z"))
    key = tlv(0x30, tlv(0x30, EC_KEY + SM2_CURVE) + tlv(0x03, b"\0\x04" + bytes(64)))
    bits = tlv(0x30, bytes.fromhex("0603551d0f") + tlv(0x04, tlv(0x03, bytes([0, usage]))))
    body = tlv(0xA0, tlv(0x02, b"\x02")) + tlv(0x02, bytes([serial])) + tlv(0x30, SM2_SM3)
    body += name + times + name + key + tlv(0xA3, tlv(0x30, bits))
    return tlv(0x30, tlv(0x30, body) + tlv(0x30, SM2_SM3) + tlv(0x03, bytes(72)))


def test_a_certificate_of_sm2_is_told_though_no_library_loads_its_key() -> None:
    told = certificate.describe(sm2(0xC0))
    assert (told["x509.public_key_algorithm"], told["x509.public_key_size"]) == ("SM2", 256)
    assert (told["x509.public_key_curve"], told["x509.signature_algorithm"]) == ("sm2p256v1", "SM2-with-SM3")
    assert (told["subject"], told["not_after"].year) == ("CN=网关", 2056)


def tlcp(*ders: bytes) -> dict[str, Any]:
    """The row of a TLCP handshake whose server sends these certificates."""
    client = record(1, hello([0xE013], [], 0x0101))
    chosen = struct.pack(">H", 0x0101) + bytes(32) + b"\0" + struct.pack(">HB", 0xE013, 0)
    chain = b"".join(len(der).to_bytes(3, "big") + der for der in ders)
    server = record(2, chosen) + record(11, len(chain).to_bytes(3, "big") + chain)
    talker = wire.Talker(9443).shake()
    talker.say(0, b"\x16\x01\x01" + client[3:]).say(1, server.replace(b"\x16\x03\x01", b"\x16\x01\x01"))
    (row,) = wire.table(wire.decode(talker.packets), "tls").to_dicts()
    return row


def test_the_double_certificate_of_tlcp_is_told() -> None:
    row = tlcp(sm2(0xC0), sm2(0x38, 2))
    assert (row["tls.version"], row["tls.version_protocol"], row["tls.cipher"]) == (
        "tlcp1.1",
        "tlcp",
        "ECC_SM4_CBC_SM3",
    )
    assert (row["tls.guomi"], row["tls.guomi_offered"]) == (True, True)
    assert row["tls.server.encryption.subject"] == "CN=网关"
    assert row["tls.server.encryption.hash.sha256"] == row["tls.server.certificate_chain"][1]
    assert row["tls.server.certificate_pair"] == "double"
    assert row["tls.server.key_usage"] == ["digitalSignature", "nonRepudiation"]
    assert row["tls.server.encryption.key_usage"] == ["keyEncipherment", "dataEncipherment", "keyAgreement"]
    assert (row["tls.key_exchange"], row["tls.forward_secrecy"]) == ("ECC", False)


def test_a_single_certificate_under_tlcp_is_told_and_swapped_ones_too() -> None:
    assert tlcp(sm2(0xC0))["tls.server.certificate_pair"] == "single"
    assert tlcp(sm2(0x38), sm2(0xC0, 2))["tls.server.certificate_pair"] == "swapped"
    assert tlcp(sm2(0x04), sm2(0x02, 2))["tls.server.certificate_pair"] == "unusual"


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from([made(EC), sm2(0xC0)]),
    st.lists(st.tuples(st.integers(0, 2_000), st.integers(0, 255)), max_size=6),
    st.integers(0, 2_000),
)
def test_no_damage_raises_anything(der: bytes, changes: list[tuple[int, int]], end: int) -> None:
    raw = bytearray(der)
    for at, value in changes:
        raw[at % len(raw)] = value
    told = certificate.describe(bytes(raw[:end]))
    assert len(told["hash.sha256"]) == 64


@pytest.mark.parametrize("pair", [b"", b"\x06\x03\x55\x04\x03"])
def test_a_name_without_its_value_is_no_name(pair: bytes) -> None:
    group = b"\x30" + bytes([len(pair)]) + pair
    raw = b"\x30" + bytes([len(group) + 2]) + b"\x31" + bytes([len(group)]) + group
    with pytest.raises(certificate.DerError):
        certificate.distinguished(raw, (0x30, 2, len(raw)))
