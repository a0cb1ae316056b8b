"""QUIC Initial packets sealed by hand, with the library's own key derivation."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.decoders import wire
from tests.decoders.app.test_tls import hello
from tests.decoders.wire import CLIENT, SERVER, ether, ip4, udp

SALTS = {
    1: "38762cf7f55934b34d179ae6a4c80cadccbb7f0a",
    0x6B3343CF: "0dede3def700a6db819381be6e269dcbf9bd2ed9",
    0xFF00001D: "afbfec289993d24c9e9786f19c6111e04390a899",
}
ID = bytes.fromhex("8394c8f03e515708")


def expand(secret: bytes, label: str, size: int) -> bytes:
    name = b"tls13 " + label.encode()
    info = struct.pack(">HB", size, len(name)) + name + b"\0"
    return HKDFExpand(hashes.SHA256(), size, info).derive(secret)


def keys(version: int, side: str, destination: bytes = ID) -> tuple[bytes, bytes, bytes]:
    extract = hmac.HMAC(bytes.fromhex(SALTS[version]), hashes.SHA256())
    extract.update(destination)
    secret = expand(extract.finalize(), f"{side} in", 32)
    prefix = "quicv2" if version == 0x6B3343CF else "quic"
    return expand(secret, f"{prefix} key", 16), expand(secret, f"{prefix} iv", 12), expand(secret, f"{prefix} hp", 16)


def initial(frames: bytes, *, version: int = 1, side: str = "client", number: int = 0, to: bytes = ID) -> bytes:
    """A protected Initial packet."""
    key, iv, hp = keys(version, side)
    kind = 1 if version == 0x6B3343CF else 0
    frames = frames.ljust(1162 if side == "client" else 64, b"\0")
    head = bytes([0xC3 | kind << 4]) + struct.pack(">I", version)
    head += bytes([len(to)]) + to + b"\x00\x00" + struct.pack(">H", 0x4000 | len(frames) + 4 + 16)
    plain = head + struct.pack(">I", number)
    nonce = (int.from_bytes(iv, "big") ^ number).to_bytes(12, "big")
    sealed = AESGCM(key).encrypt(nonce, frames, plain)
    mask = Cipher(algorithms.AES(hp), modes.ECB()).encryptor().update(sealed[:16])
    covered = bytes(a ^ b for a, b in zip(plain[-4:], mask[1:], strict=False))
    return bytes([plain[0] ^ mask[0] & 0x0F]) + plain[1:-4] + covered + sealed


def crypto(data: bytes, at: int = 0) -> bytes:
    return b"\x06" + struct.pack(">HH", 0x4000 | at, 0x4000 | len(data)) + data


def message(kind: int, body: bytes) -> bytes:
    return bytes([kind]) + len(body).to_bytes(3, "big") + body


HELLO = message(
    1,
    hello(
        [0x1301],
        [(0, b"\x00\x0f\x00\x00\x0cPortal.Local"), (16, b"\x00\x03\x02h3"), (43, b"\x02\x03\x04"), (57, bytes(300))],
    ),
)
CHOSEN = message(
    2,
    struct.pack(">H", 0x0303)
    + bytes(32)
    + b"\0"
    + struct.pack(">HB", 0x1301, 0)
    + struct.pack(">HHHHHHHB", 13, 43, 2, 0x0304, 51, 3, 0x001D, 7),
)


def asks(payload: bytes, port: int = 443) -> bytes:
    return ether(ip4(CLIENT, SERVER, 17, udp(5000, port, payload)))


def answers(payload: bytes, port: int = 443) -> bytes:
    return ether(ip4(SERVER, CLIENT, 17, udp(port, 5000, payload)))


def rows(packets: list[bytes], **options: Any) -> list[dict[str, Any]]:
    return wire.table(wire.decode(packets, **options), "tls").to_dicts()


@pytest.mark.parametrize(("version", "name"), [(1, "1"), (0x6B3343CF, "2"), (0xFF00001D, "draft-29")])
@pytest.mark.parametrize("port", [443, 4433])
def test_both_hellos_of_a_connection_are_read(version: int, name: str, port: int) -> None:
    packets = [
        asks(initial(crypto(HELLO), version=version), port),
        answers(initial(b"\x02\x00\x00\x00\x00" + crypto(CHOSEN), version=version, side="server"), port),
        asks(b"\x40" + bytes(40), port),
    ]
    (row,) = rows(packets)
    assert (row["network.protocol"], row["network.transport"]) == ("quic", "udp")
    assert (row["source.ip"], row["destination.port"]) == (CLIENT, port)
    assert (row["tls.client.server_name"], row["tls.client.alpn"]) == ("portal.local", ["h3"])
    assert (row["tls.version"], row["tls.cipher"], row["tls.curve"]) == ("1.3", "TLS_AES_128_GCM_SHA256", "x25519")
    assert row["tls.client.ja4"].startswith("q13d0104h3_")
    assert f'"version":"{name}","client_initial_dcid":"{ID.hex()}"' in row["event.fields"]


def test_a_hello_in_pieces_out_of_order_over_two_packets_is_put_together() -> None:
    first = crypto(HELLO[200:], 200) + b"\x01" + crypto(HELLO[:50])
    packets = [asks(initial(first)), asks(initial(crypto(HELLO[50:200], 50), number=1))]
    for pieces in (1, 2):
        (row,) = rows(packets, pieces=pieces)
        assert row["tls.client.server_name"] == "portal.local"


def test_what_cannot_be_opened_is_no_row() -> None:
    broken = bytearray(initial(crypto(HELLO)))
    broken[600] ^= 1
    assert rows([asks(bytes(broken))]) == []


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1200), st.integers(0, 255)), max_size=6), st.integers(0, 1300))
def test_no_bytes_raise_anything(changes: list[tuple[int, int]], end: int) -> None:
    raw = bytearray(initial(crypto(HELLO)))
    for at, value in changes:
        raw[at % len(raw)] = value
    wire.decode([asks(bytes(raw[:end])), answers(bytes(raw))])


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=80))
def test_no_frames_raise_anything(frames: bytes) -> None:
    wire.decode([asks(initial(frames)), asks(initial(crypto(HELLO) + frames, number=1))])
