"""TLCP: handshakes whole, joined in their middle, among noise and damaged; SM2 certificates made by OpenSSL."""

from __future__ import annotations

import struct
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.decoders import wire
from tests.sm2 import ENCRYPTION, SIGNING, Authority

from cityguard.decoders.app import certificate, tls_exchange, tls_session

SEEN = datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)  # when the packets of ``wire`` were taken
BEGINS, ENDS = SEEN - timedelta(days=300), SEEN + timedelta(days=65)
VERSION = b"\x01\x01"


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("sm2"))


@pytest.fixture(scope="session")
def pair(authority: Authority) -> tuple[bytes, bytes]:
    return (authority.issue("gw", SIGNING, BEGINS, ENDS), authority.issue("gw", ENCRYPTION, BEGINS, ENDS))


def vector(width: int, body: bytes) -> bytes:
    return len(body).to_bytes(width, "big") + body


def message(kind: int, body: bytes) -> bytes:
    return bytes([kind]) + vector(3, body)


def record(body: bytes, kind: int = 22) -> bytes:
    return bytes([kind]) + VERSION + vector(2, body)


def client_hello(*suites: int) -> bytes:
    return message(1, VERSION + bytes(32) + b"\0" + vector(2, struct.pack(f">{len(suites)}H", *suites)) + b"\x01\0")


def server_hello(suite: int) -> bytes:
    return message(2, VERSION + bytes(32) + vector(1, b"s" * 32) + struct.pack(">HB", suite, 0))


def chain(*ders: bytes) -> bytes:
    return message(11, vector(3, b"".join(vector(3, der) for der in ders)))


SIGNATURE = vector(2, b"\x30\x44" + (b"\x02\x20" + b"\x11" * 32) * 2)
POINT = b"\x03\0\x29" + vector(1, b"\x04" + b"\x22" * 64)
SECRET = b"\x30\x81\x98" + (b"\x02\x20" + b"\x33" * 32) * 2 + b"\x04\x20" + b"\x44" * 32 + b"\x04\x30" + b"\x55" * 48
CIPHER = vector(2, SECRET.replace(b"\x81\x98", bytes([0x81, len(SECRET) - 3])))
CHANGE = record(b"\x01", 20) + record(b"\x99" * 80)


def rows(*said: tuple[int, bytes], mss: int = 1400, pieces: int = 1) -> list[dict[str, Any]]:
    talker = wire.Talker(9443).shake()
    for side, payload in said:
        talker.say(side, payload, mss=mss)
    return wire.table(wire.decode(talker.packets, pieces=pieces), "tls").to_dicts()


def shaken(suite: int, *ders: bytes, key: bytes = SIGNATURE, back: bytes = CIPHER) -> list[tuple[int, bytes]]:
    """A whole handshake."""
    flight = server_hello(suite) + chain(*ders) + message(12, key) + message(14, b"")
    return [
        (0, record(client_hello(0xE053, 0xE013, 0xE011))),
        (1, record(flight)),
        (0, record(message(16, back)) + CHANGE),
        (1, CHANGE),
    ]


@pytest.mark.parametrize(("mss", "pieces"), [(1400, 1), (20, 1), (33, 4)])
def test_a_handshake_tells_suite_key_exchange_and_the_pair(pair: tuple[bytes, bytes], mss: int, pieces: int) -> None:
    (row,) = rows(*shaken(0xE013, *pair), mss=mss, pieces=pieces)
    assert (row["tls.version"], row["tls.version_protocol"], row["tls.guomi"]) == ("tlcp1.1", "tlcp", True)
    assert (row["tls.cipher"], row["tls.established"]) == ("ECC_SM4_CBC_SM3", True)
    assert (row["tls.key_exchange"], row["tls.forward_secrecy"]) == ("ECC", False)
    assert row["tls.server.certificate_pair"] == "double"
    assert (row["tls.server.subject"], row["tls.server.issuer"]) == ("CN=gw,C=CN", "CN=City-SM2-CA,C=CN")
    assert row["tls.server.key_usage"] == ["digitalSignature", "nonRepudiation"]
    assert row["tls.server.encryption.key_usage"] == ["keyEncipherment", "dataEncipherment", "keyAgreement"]
    assert row["tls.server.encryption.x509.signature_algorithm"] == "SM2-with-SM3"
    assert row["tls.server.key.sha256"] != row["tls.server.encryption.key.sha256"]
    assert (row["tls.server.days_left"], row["tls.server.encryption.days_left"]) == (65, 65)


def test_a_suite_with_ecdhe_tells_the_curve_and_forward_secrecy(pair: tuple[bytes, bytes]) -> None:
    (row,) = rows(*shaken(0xE011, *pair, key=POINT + SIGNATURE, back=vector(2, POINT)))
    assert (row["tls.key_exchange"], row["tls.forward_secrecy"], row["tls.curve"]) == ("ECDHE", True, "curveSM2")


def test_openssl_makes_what_the_library_cannot_load_and_it_is_told_all_the_same(pair: tuple[bytes, bytes]) -> None:
    loaded = x509.load_der_x509_certificate(pair[0])
    with pytest.raises((UnsupportedAlgorithm, ValueError)):
        loaded.public_key()
    told = certificate.describe(pair[0])
    assert (told["x509.public_key_algorithm"], told["x509.public_key_curve"]) == ("SM2", "sm2p256v1")
    assert told["x509.signature_algorithm"] == "SM2-with-SM3"
    assert (told["not_before"], told["not_after"]) == (BEGINS, ENDS)
    assert told["x509.serial_number"] == f"{loaded.serial_number:x}"


def test_single_swapped_and_mismatched_certificates_are_told(authority: Authority, pair: tuple[bytes, bytes]) -> None:
    other = authority.issue("other", ENCRYPTION, BEGINS, ENDS)
    ca = authority.run("x509 -in ca.pem -outform DER")
    told = {
        "double": [*pair, ca],
        "single": [pair[0], ca],
        "swapped": [pair[1], pair[0]],
        "mismatched": [pair[0], other],
    }
    for kind, ders in told.items():
        (row,) = rows(*shaken(0xE053, *ders))
        assert row["tls.server.certificate_pair"] == kind
        assert (row.get("tls.server.encryption.hash.sha256") is None) == (kind == "single")
    (row,) = rows(*shaken(0xE053, pair[0]))
    assert row["tls.server.certificate_pair"] == "single"
    (row,) = rows(*shaken(0xE053, pair[0], pair[0]))
    assert row["tls.server.certificate_pair"] == "single"


def test_a_certificate_that_is_over_and_a_key_of_another_kind_are_told(authority: Authority) -> None:
    over = authority.issue("over", SIGNING, BEGINS, SEEN - timedelta(days=2))
    (row,) = rows(*shaken(0xE053, over, authority.issue("over", ENCRYPTION, BEGINS, SEEN - timedelta(days=2))))
    assert (row["tls.server.days_left"], row["tls.server.encryption.days_left"]) == (-2, -2)
    mixed = certificate.describe(authority.issue("mixed", SIGNING, BEGINS, ENDS, key="rsa"))
    assert (mixed["x509.public_key_algorithm"], mixed["x509.public_key_size"]) == ("RSA", 2048)
    assert mixed["x509.signature_algorithm"] == "SM2-with-SM3"


def test_one_key_in_two_certificates_has_one_digest(authority: Authority) -> None:
    first = certificate.describe(authority.issue("one", ENCRYPTION, BEGINS, ENDS))
    second = certificate.describe(authority.issue("two", ENCRYPTION, BEGINS, ENDS, key=f"one-{ENCRYPTION[:4]}"))
    assert first["key.sha256"] == second["key.sha256"] and first["hash.sha256"] != second["hash.sha256"]


def test_the_clients_pair_is_told_too(pair: tuple[bytes, bytes], authority: Authority) -> None:
    mine = authority.issue("terminal", SIGNING, BEGINS, ENDS)
    said = shaken(0xE011, *pair, key=POINT + SIGNATURE, back=vector(2, POINT))
    said[2] = (0, record(chain(mine)) + said[2][1])
    (row,) = rows(*said)
    assert row["tls.client.subject"] == "CN=terminal,C=CN"
    assert row["tls.client.certificate_pair"] == "single"
    assert row["tls.client.x509.public_key_algorithm"] == "SM2"
    assert row["tls.server.subject"] == "CN=gw,C=CN"


@pytest.mark.parametrize("first", [11, 12, 14, 16])
def test_a_handshake_is_joined_in_its_middle(pair: tuple[bytes, bytes], first: int) -> None:
    bodies = {11: chain(*pair), 12: message(12, POINT + SIGNATURE), 14: message(14, b""), 16: message(16, CIPHER)}
    talker = wire.Talker(9443)  # no SYN was seen
    talker.say(0 if first == 16 else 1, record(bodies[first]))
    (row,) = wire.table(wire.decode(talker.packets), "tls").to_dicts()
    assert (row["tls.version"], row["tls.guomi"], row["source.ip"]) == ("tlcp1.1", True, wire.CLIENT)
    assert row.get("tls.key_exchange") == {12: "ECDHE", 16: "ECC"}.get(first)


@pytest.mark.parametrize("noise", [b"\x00\xff\x13\r\n", b"\xaa\x55" * 9, b"\x16\x01\x16\x01", b"\x16" * 40, b"\x16\0"])
def test_noise_before_and_behind_changes_nothing(pair: tuple[bytes, bytes], noise: bytes) -> None:
    said = shaken(0xE013, *pair)
    plain = rows(*said)
    noisy = rows(*[(side, noise + data if number < 2 else data) for number, (side, data) in enumerate(said)])
    keys = set(plain[0]) - {"log.offset", "@timestamp"}
    assert [{key: row[key] for key in keys} for row in noisy] == [{key: row[key] for key in keys} for row in plain]


HELLO = client_hello(0xE013, 0xE053)[4:]


@pytest.mark.parametrize(
    "body",
    [
        HELLO[:35] + b"\x00\x40" + HELLO[37:],  # more suites than there are bytes
        HELLO[:34] + b"\xff" + HELLO[35:],  # a session id beyond the end
        HELLO[:34] + b"\x21" + bytes(33) + HELLO[35:],  # a session id longer than may be
        HELLO[:35] + b"\x00\x03" + HELLO[37:],  # half a suite
        HELLO[:35] + b"\x00\x00" + HELLO[41:],  # no suite
    ],
)
def test_a_hello_whose_lengths_do_not_fit_is_told(body: bytes) -> None:
    (row,) = rows((0, record(message(1, body))))
    assert (row["tls.version"], row["tls.version_protocol"]) == ("tlcp1.1", "tlcp")
    assert row["event.flags"] == ["malformed"]


def test_a_hello_longer_than_its_record_is_malformed_and_one_over_two_segments_is_not() -> None:
    (row,) = rows((0, record(b"\x01\x00\x10\x00" + HELLO)))
    assert row["event.flags"] == ["malformed"]
    (row,) = rows((0, record(message(1, HELLO))), mss=20)
    assert row.get("event.flags") is None


def test_certificates_that_do_not_fit_are_told() -> None:
    bad = message(11, b"\x00\x10\x00" + b"\x00\x00\x05abc")
    (row,) = rows((0, record(client_hello(0xE013))), (1, record(server_hello(0xE013) + bad)))
    assert row["event.flags"] == ["malformed"] and row["tls.cipher"] == "ECC_SM4_CBC_SM3"


def test_tls_with_sm4_is_known_among_noise_and_other_tls_in_an_envelope_is_not() -> None:
    def hello(*suites: int) -> bytes:
        body = b"\x03\x03" + bytes(32) + b"\0" + vector(2, struct.pack(f">{len(suites)}H", *suites)) + b"\x01\0"
        return b"\x16\x03\x01" + vector(2, message(1, body))

    envelope = (
        b"\x00\x0e\x38" + bytes(13) + b"\x01\x10\x20" + bytes(13)
    )  # OpenVPN: a reset, then the head of a control packet
    assert rows((0, envelope + hello(0x1301))) == []
    (row,) = rows((0, envelope + hello(0x00C6, 0x1301)))
    assert (row["tls.guomi_offered"], row.get("tls.guomi")) == (True, None)


@pytest.mark.parametrize("before", [b"", b"\x00\xff\x13\x0d\x0a", b"\xaa\x55" * 9])
def test_tls_behind_a_few_octets_of_noise_is_known_however_it_is_cut(before: bytes) -> None:
    body = b"\x03\x03" + bytes(32) + b"\0" + b"\xc0\x2f\0"
    wire = before + b"\x16\x03\x03" + vector(2, message(2, body))
    for cut in range(1, 12):
        (row,) = rows((1, wire[:cut]), (1, wire[cut:]))
        assert row["tls.cipher"] == "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"


@pytest.mark.parametrize(
    ("suite", "how", "forward"),
    [
        (0xE053, "ECC", False), (0xE051, "ECDHE", True), (0xE019, "RSA", False), (0xE017, "IBC", False),
        (0xE015, "IBSDH", None), (0xC02F, "ECDHE", True), (0x002F, "RSA", False), (0x0033, "DHE", True),
        (0x0031, "DH", False), (0x008C, "PSK", False), (0xC035, "ECDHE_PSK", True), (0x0094, "RSA_PSK", False),
        (0x0018, "DH_anon", True), (0x1301, None, None), (0x00C6, None, None), (0xFFFE, None, None),
    ],
)  # fmt: skip
def test_a_suites_name_tells_how_keys_are_agreed_on(suite: int, how: str | None, forward: bool | None) -> None:
    assert tls_exchange.kind(suite) == how
    assert tls_exchange.is_forward(how) is forward


def test_the_secret_is_measured_and_never_read() -> None:
    told = tls_exchange.client(CIPHER)
    assert told is not None and (told.kind, told.secret, told.ciphertext) == ("ECC", 48, len(CIPHER) - 2)
    assert told.shape is not None and told.shape.endswith("OCTET STRING(48) cipher}")


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=120))
def test_no_bytes_raise_anything(data: bytes) -> None:
    tls_exchange.server(data)
    tls_exchange.client(data)
    rows((0, record(data)), (1, record(message(2, data))))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2_000), st.integers(0, 255)), max_size=5), st.integers(20, 400))
def test_damage_raises_nothing_and_segments_do_not_matter(changes: list[tuple[int, int]], mss: int) -> None:
    data = bytearray(record(server_hello(0xE013) + message(12, SIGNATURE)))
    for at, value in changes:
        data[at % len(data)] = value
    keys = ("tls.version", "tls.cipher", "event.flags", "tls.key_exchange")

    def said(size: int) -> list[tuple[Any, ...]]:
        return [tuple(row.get(key) for key in keys) for row in rows((1, bytes(data)), mss=size)]

    assert said(mss) == said(1400)


def test_the_rule_of_the_pair_reads_usage_holder_and_issuer() -> None:
    one = {"hash.sha256": "a", "subject": "s", "issuer": "i", "usage": b"\xc0"}
    two = {"hash.sha256": "b", "subject": "s", "issuer": "i", "usage": b"\x38"}
    assert tls_session.pair([one, two]) == "double"
    assert tls_session.pair([one, two | {"issuer": "j"}]) == "mismatched"
    assert tls_session.pair([one | {"usage": b""}, two]) == "unusual"
    assert tls_session.pair([one | {"usage": b"\xf8"}, two | {"usage": b"\xf8"}]) == "double"
