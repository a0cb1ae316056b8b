"""IKE: what is proposed and chosen, national algorithms, aggressive mode, certificates, damage."""

from __future__ import annotations

import json
import struct
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.decoders import wire
from tests.decoders.app.test_certificate import sm2

from cityguard.decoders.app import ike
from cityguard.decoders.app.ike_message import read

MINE, HERS = b"initiate", b"response"
NONE = bytes(8)


def attribute(kind: int, value: int) -> bytes:
    return struct.pack(">HH", 0x8000 | kind, value)


def chained(parts: list[tuple[int, bytes]]) -> bytes:
    """Payloads: kind and body, each told by the one before."""
    kinds = [kind for kind, _ in parts[1:]] + [0]
    return b"".join(
        struct.pack(">BBH", kind, 0, len(body) + 4) + body for kind, (_, body) in zip(kinds, parts, strict=True)
    )


def transform(number: int, attributes: bytes, *, last: bool) -> bytes:
    return struct.pack(">BBHBBH", 0 if last else 3, 0, 8 + len(attributes), number, 1, 0) + attributes


def offer(*transforms: bytes) -> bytes:
    """The body of an SA payload of IKEv1 with one proposal."""
    inside = b"".join(transform(n, one, last=n == len(transforms)) for n, one in enumerate(transforms, 1))
    return struct.pack(">II", 1, 1) + struct.pack(">BBHBBBB", 0, 0, 8 + len(inside), 1, 1, 0, len(transforms)) + inside


def v1(
    exchange: int, *parts: tuple[int, bytes], to: bytes = NONE, version: int = 0x10, flags: int = 0, body: bytes = b""
) -> bytes:
    inside = chained(list(parts)) if parts else body
    first = parts[0][0] if parts else 5
    return MINE + to + struct.pack(">BBBBII", first, version, exchange, flags, 0, 28 + len(inside)) + inside


def attributes(encryption: int, digest: int, method: int, *more: tuple[int, int]) -> bytes:
    pairs = [(1, encryption), (2, digest), (3, method), *more, (11, 1), (12, 28800)]
    return b"".join(attribute(kind, value) for kind, value in pairs)


SM4 = attributes(129, 20, 10, (20, 2))
AES = attributes(7, 4, 3, (14, 256), (4, 14))
TRIPLE = attributes(5, 1, 1, (4, 2))


def rows(*said: tuple[int, bytes], port: int = 500, pieces: int = 1) -> list[dict[str, Any]]:
    packets = []
    for side, data in said:
        ends = (wire.CLIENT, wire.SERVER) if side == 0 else (wire.SERVER, wire.CLIENT)
        ports = (port, port)
        packets.append(wire.ether(wire.ip4(*ends, 17, wire.udp(*ports, data))))
    return wire.table(wire.decode(packets, pieces=pieces), "tls").to_dicts()


@pytest.mark.parametrize(("port", "pieces", "marker"), [(500, 1, b""), (4500, 1, bytes(4)), (9999, 3, b"")])
def test_main_mode_with_national_algorithms_is_told(port: int, pieces: int, marker: bytes) -> None:
    said = [
        (0, v1(2, (1, offer(SM4, AES)), (13, b"vendor-a"), version=0x11)),
        (1, v1(2, (1, offer(SM4)), to=HERS, version=0x11)),
        (0, v1(2, to=HERS, version=0x11, flags=1, body=bytes(64))),
        (1, v1(2, to=HERS, version=0x11, flags=1, body=bytes(64))),
    ]
    (row,) = rows(*((side, marker + data) for side, data in said), port=port, pieces=pieces)
    assert (row["tls.version"], row["tls.version_protocol"], row["tls.exchange"]) == ("ike1.1", "ike", "main")
    assert row["tls.client.ciphers"] == ["SM4-CBC/SM3/envelope/SM2", "AES-CBC-256/SHA2-256/rsa-signature/modp2048"]
    assert row["tls.cipher"] == "SM4-CBC/SM3/envelope/SM2"
    assert (row["tls.guomi"], row["tls.guomi_offered"], row["tls.established"]) == (True, True, True)
    assert (row["tls.authentication"], row["tls.key_exchange"]) == (["envelope"], "envelope")
    assert row["network.protocol"] == "ike" and row["source.ip"] == wire.CLIENT
    assert json.loads(row["event.fields"]) == {"life_seconds": 28800, "vendors": [b"vendor-a".hex()]}


def test_a_proposal_that_is_turned_down_is_told() -> None:
    (row,) = rows((0, v1(2, (1, offer(SM4, AES)))), (1, v1(2, (1, offer(AES)), to=HERS)))
    assert (row["tls.guomi_offered"], row["tls.guomi"]) == (True, False)
    assert (row["tls.curve"], row["tls.key_exchange"], row["tls.forward_secrecy"]) == ("modp2048", "DHE", True)
    assert row["tls.established"] is False


def test_aggressive_mode_with_a_shared_key_is_told_by_its_first_message_alone() -> None:
    (row,) = rows((0, v1(4, (1, offer(TRIPLE)), (4, bytes(128)), (10, bytes(16)), (5, b"\x02\0\0\0vpn.example"))))
    assert (row["tls.version"], row["tls.exchange"], row["tls.authentication"]) == ("ike1.0", "aggressive", ["psk"])
    assert row["tls.client.ciphers"] == ["3DES-CBC/MD5/psk/modp1024"]
    assert "vpn.example" not in json.dumps(row, default=str)


def test_a_sure_answer_is_known_though_the_question_was_not_seen() -> None:
    (row,) = rows((1, v1(2, (1, offer(AES)), to=HERS)))
    assert (row["tls.cipher"], row["source.ip"]) == ("AES-CBC-256/SHA2-256/rsa-signature/modp2048", wire.CLIENT)


def test_number_ten_is_a_digital_envelope_only_among_national_algorithms() -> None:
    (row,) = rows((0, v1(2, (1, offer(attributes(7, 5, 10, (4, 20)))))))
    assert row["tls.authentication"] == ["ecdsa-384"]


def test_the_pair_a_peer_sends_in_the_clear_is_told() -> None:
    certificates = ((6, b"\x04" + sm2(0xC0)), (6, b"\x05" + sm2(0x38, 2)))
    (row,) = rows((0, v1(2, (1, offer(SM4)))), (1, v1(2, (1, offer(SM4)), *certificates, to=HERS)))
    assert (row["tls.server.subject"], row["tls.server.certificate_pair"]) == ("CN=网关", "double")
    assert row["tls.server.encryption.key_usage"] == ["keyEncipherment", "dataEncipherment", "keyAgreement"]
    assert row["tls.server.not_after"] == datetime(2056, 1, 1, tzinfo=UTC) and row["tls.server.days_left"] > 10_000


def test_what_an_association_keeps_is_bounded() -> None:
    many = tuple((6, b"\x04" + sm2(0xC0, n)) for n in range(1, 8))
    vendors = tuple((13, bytes([n]) * 16) for n in range(1, 50))
    said = [(1, v1(2, (1, offer(SM4)), *many, *vendors, to=HERS)) for _ in range(20)]
    (row,) = rows((0, v1(2, (1, offer(*[SM4] * 60)))), *said)
    assert len(row["tls.server.certificate_chain"]) == ike.MAX_CERTIFICATES
    assert len(row["tls.client.ciphers"]) == 60 and len(json.loads(row["event.fields"])["vendors"]) <= ike.MAX_LISTED


def v2(body: bytes, *, to: bytes = NONE, flags: int = 0x08, exchange: int = 34, first: int = 33) -> bytes:
    return MINE + to + struct.pack(">BBBBII", first, 0x20, exchange, flags, 0, 28 + len(body)) + body


def choice(kind: int, number: int, *, last: bool = False, size: int = 0) -> bytes:
    more = attribute(14, size) if size else b""
    return struct.pack(">BBHBBH", 0 if last else 3, 0, 8 + len(more), kind, 0, number) + more


def sa2(*choices: bytes) -> bytes:
    inside = b"".join(choices)
    return struct.pack(">BBHBBBB", 0, 0, 8 + len(inside), 1, 1, 0, len(choices)) + inside


def test_ikev2_tells_alternatives_the_choice_and_the_group() -> None:
    offered = sa2(
        choice(1, 12, size=256), choice(1, 3), choice(2, 5), choice(3, 12), choice(4, 19), choice(4, 2, last=True)
    )
    chosen = sa2(choice(1, 12, size=256), choice(2, 5), choice(3, 12), choice(4, 19, last=True))
    group = (34, struct.pack(">HH", 19, 0) + bytes(64))
    (row,) = rows(
        (0, v2(chained([(33, offered), group, (40, bytes(32))]))),
        (1, v2(chained([(33, chosen), group, (40, bytes(32))]), to=HERS, flags=0x20)),
        (0, v2(bytes(80), to=HERS, exchange=35, first=46)),
        (1, v2(bytes(80), to=HERS, exchange=35, first=46, flags=0x20)),
    )
    assert (row["tls.version"], row["tls.exchange"], row["tls.established"]) == ("ike2.0", "ike_sa_init", True)
    assert row["tls.client.ciphers"] == ["AES-CBC-256+3DES/PRF-SHA2-256/SHA2-256-128/ecp256+modp1024"]
    assert row["tls.cipher"] == "AES-CBC-256/PRF-SHA2-256/SHA2-256-128/ecp256"
    assert (row["tls.curve"], row["tls.forward_secrecy"], row["tls.guomi"]) == ("ecp256", True, False)


def test_two_associations_between_the_same_ports_are_two_rows() -> None:
    again = v1(2, (1, offer(TRIPLE))).replace(MINE, b"again!!!")
    assert len(rows((0, v1(2, (1, offer(AES)))), (0, again))) == 2


@pytest.mark.parametrize("cut", [1, 8, 30])
def test_a_message_whose_lengths_do_not_fit_is_told(cut: int) -> None:
    whole = v1(2, (1, offer(AES)))
    broken = bytearray(whole[:-cut])
    broken[24:28] = struct.pack(">I", len(broken))
    (row,) = rows((0, bytes(broken)))
    assert row["event.flags"] == ["malformed"] and row["tls.exchange"] == "main"


@pytest.mark.parametrize(
    "data",
    [
        b"", bytes(28), bytes(200), b"\xff" * 100, v1(2, (1, offer(AES)))[:27],
        v1(2, (1, offer(AES)), version=0x30), v1(9, (1, offer(AES))),
        bytes.fromhex("c0ffee01") + b"\0\0\0\x07" + bytes(60),  # ESP
    ],
)  # fmt: skip
def test_what_is_no_ike_is_none(data: bytes) -> None:
    assert not ike.starts(data, True)
    assert rows((0, data)) == []


@pytest.mark.parametrize("port", [500, 9999])
def test_a_first_message_longer_than_what_is_shown_is_known(port: int) -> None:
    (row,) = rows((0, v1(4, (1, offer(AES)), (4, bytes(700)))), port=port)
    assert row["tls.exchange"] == "aggressive"
    long = v2(chained([(33, sa2(choice(1, 12, size=256, last=True))), (34, struct.pack(">HH", 36, 0) + bytes(1184))]))
    (row,) = rows((0, long), port=port)
    assert row["tls.exchange"] == "ike_sa_init"
    assert not ike.starts(long[:28] + b"\0\1" + long[30:512], False)


def test_another_port_needs_a_first_message_that_fits_exactly() -> None:
    whole = v1(2, (1, offer(AES)))
    assert ike.starts(whole, False)
    assert not ike.starts(whole + b"\0", False)
    assert not ike.starts(v1(2, (1, offer(AES)), to=HERS), False)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(
        [v1(2, (1, offer(SM4, AES)), (6, b"\x04" + sm2(0xC0))), v2(chained([(33, sa2(choice(1, 3, last=True)))]))]
    ),
    st.lists(st.tuples(st.integers(0, 600), st.integers(0, 255)), max_size=6),
    st.integers(0, 700),
)
def test_no_damage_raises_anything(whole: bytes, changes: list[tuple[int, int]], end: int) -> None:
    data = bytearray(whole[: end or 1])
    for at, value in changes:
        data[at % len(data)] = value
    read(bytes(data))
    ike.starts(bytes(data), True)
    rows((0, bytes(data)), (1, bytes(data)))
