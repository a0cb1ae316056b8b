"""DTLS over UDP by hand."""

from __future__ import annotations

import struct
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.decoders import wire
from tests.decoders.wire import CLIENT, SERVER, ether, ip4, udp

SUITES = struct.pack(">HH", 2, 0xC02B)
HELLO = b"\xfe\xfd" + bytes(32) + b"\0" + b"\0" + SUITES + b"\x01\0"
CHOSEN = b"\xfe\xfd" + bytes(32) + b"\0" + struct.pack(">HB", 0xC02B, 0)
BINDING = b"\x00\x01\x00\x00\x21\x12\xa4\x42" + bytes(12)


def record(kind: int, body: bytes, epoch: int = 0) -> bytes:
    return struct.pack(">BHHHIH", kind, 0xFEFD, epoch, 0, 0, len(body)) + body


def fragment(kind: int, body: bytes, number: int, begin: int = 0, count: int | None = None) -> bytes:
    part = body[begin : begin + count] if count else body[begin:]
    sizes = len(body).to_bytes(3, "big"), begin.to_bytes(3, "big"), len(part).to_bytes(3, "big")
    return bytes([kind]) + sizes[0] + struct.pack(">H", number) + sizes[1] + sizes[2] + part


def packet(side: int, payload: bytes) -> bytes:
    ends = (CLIENT, SERVER, 5000, 40000) if not side else (SERVER, CLIENT, 40000, 5000)
    return ether(ip4(ends[0], ends[1], 17, udp(ends[2], ends[3], payload)))


def said(*payloads: tuple[int, bytes], **options: Any) -> list[dict[str, Any]]:
    return wire.table(wire.decode([packet(*one) for one in payloads], **options), "tls").to_dicts()


WHOLE = [
    (0, record(22, fragment(1, HELLO, 0))),
    (1, record(22, fragment(3, b"\xfe\xff\x04abcd", 0))),
    (0, record(22, fragment(1, HELLO, 1))),
    (1, record(22, fragment(2, CHOSEN, 1)) + record(20, b"\x01")),
    (0, record(20, b"\x01") + record(22, bytes(40), 1)),
]


def test_a_handshake_of_dtls_is_a_row() -> None:
    for pieces in (1, 3):
        (row,) = said(*WHOLE, pieces=pieces)
        assert (row["tls.version"], row["tls.version_protocol"], row["network.protocol"]) == ("1.2", "dtls", "dtls")
        assert row["tls.cipher"] == "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"
        assert (row["tls.established"], row["source.ip"]) == (True, CLIENT)
        assert row["tls.client.ja4"].startswith("dd2i0100")


def test_fragments_are_put_together_in_any_order() -> None:
    parts = [fragment(1, HELLO, 0, 20), fragment(1, HELLO, 0, 0, 10), fragment(1, HELLO, 0, 5, 20)]
    (row,) = said((0, record(22, fragment(1, HELLO, 0))), *((0, record(22, one)) for one in parts))
    assert row["tls.client.ciphers"] == ["TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"]
    late = [(0, record(22, fragment(1, HELLO, 0, 0, 12))), (0, record(22, fragment(1, HELLO, 0, 12)))]
    assert [one["tls.client.ciphers"] for one in said(*late)] == [["TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"]]


def test_dtls_is_found_between_stun_messages() -> None:
    (row,) = said(*[(side, BINDING) for side in (0, 1, 0, 1, 0, 1, 0, 1, 0, 1)], *WHOLE)
    assert row["tls.version"] == "1.2"


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 90), st.integers(0, 255)), max_size=6))
def test_no_bytes_raise_anything(changes: list[tuple[int, int, int]]) -> None:
    payloads = [(side, bytearray(one)) for side, one in WHOLE]
    for which, at, value in changes:
        payloads[which][1][at % len(payloads[which][1])] = value
    said(WHOLE[0], *((side, bytes(one)) for side, one in payloads))
