"""SSH spoken by hand: banners, offers, keys and the sizes of what follows."""

from __future__ import annotations

import base64
import hashlib
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.decoders import wire
from tests.decoders.wire import CLIENT, SERVER

CLIENT_LISTS = (
    "curve25519-sha256,ecdh-sha2-nistp256",
    "ssh-ed25519,ssh-rsa",
    "chacha20-poly1305@openssh.com,aes128-ctr",
    "aes128-ctr,aes256-ctr",
    "hmac-sha1,hmac-sha2-256",
    "hmac-sha2-256",
    "none,zlib",
    "none",
    "",
    "",
)
SERVER_LISTS = (
    "ecdh-sha2-nistp256,curve25519-sha256",
    "ssh-rsa",
    "aes128-ctr",
    "aes128-ctr",
    "hmac-sha2-256",
    "hmac-sha2-256",
    "none",
    "none",
    "",
    "",
)
KEY = b"\x00\x00\x00\x07ssh-rsa" + bytes(20)


def packet(body: bytes) -> bytes:
    padding = 8 - (5 + len(body)) % 8 + 4
    return struct.pack(">IB", 1 + len(body) + padding, padding) + body + bytes(padding)


def offer(lists: tuple[str, ...]) -> bytes:
    names = b"".join(struct.pack(">I", len(one)) + one.encode() for one in lists)
    return packet(b"\x14" + bytes(16) + names + bytes(5))


REPLY = packet(b"\x1f" + struct.pack(">I", len(KEY)) + KEY + bytes(60))
NEWKEYS = packet(b"\x15")


def talk(sizes: list[int], port: int = 22) -> wire.Talker:
    """A whole connection; ``sizes`` of what the server sends encrypted."""
    talker = wire.Talker(port).shake()
    talker.say(0, b"SSH-2.0-OpenSSH_9.6 here\r\n").say(1, b"Welcome.\r\nSSH-2.0-OpenSSH_8.9\r\n")
    talker.say(0, offer(CLIENT_LISTS)).say(1, offer(SERVER_LISTS))
    talker.say(0, packet(b"\x1e" + bytes(36))).say(1, REPLY + NEWKEYS).say(0, NEWKEYS)
    for size in sizes:
        talker.say(0, bytes(100)).say(1, bytes(size))
    return talker


def rows(talker: wire.Talker, **options: Any) -> list[dict[str, Any]]:
    return wire.table(wire.decode(talker.packets, **options), "ssh").to_dicts()


@pytest.mark.parametrize(("port", "pieces"), [(22, 1), (2222, 1), (50022, 4)])
def test_a_connection_tells_banners_and_what_was_agreed(port: int, pieces: int) -> None:
    (row,) = rows(talk([], port), pieces=pieces)
    assert (row["source.ip"], row["destination.ip"], row["destination.port"]) == (CLIENT, SERVER, port)
    assert (row["ssh.client"], row["ssh.server"]) == ("SSH-2.0-OpenSSH_9.6 here", "SSH-2.0-OpenSSH_8.9")
    assert (row["ssh.version"], row["ssh.kex_alg"], row["ssh.host_key_alg"]) == (2, "curve25519-sha256", "ssh-rsa")
    assert (row["ssh.cipher_alg"], row["ssh.mac_alg"]) == ("aes128-ctr", "hmac-sha2-256")
    assert row["ssh.compression_alg"] == "none"
    digest = base64.b64encode(hashlib.sha256(KEY).digest()).decode().rstrip("=")
    assert row["ssh.host_key"] == "SHA256:" + digest


def test_hassh_takes_the_lists_of_each_side_s_own_direction() -> None:
    (row,) = rows(talk([]))
    client = ";".join(CLIENT_LISTS[at] for at in (0, 2, 4, 6))
    server = ";".join(SERVER_LISTS[at] for at in (0, 3, 5, 7))
    assert row["ssh.hassh"] == hashlib.md5(client.encode()).hexdigest()
    assert row["ssh.hassh_server"] == hashlib.md5(server.encode()).hexdigest()


@pytest.mark.parametrize(
    ("sizes", "success", "attempts"),
    [([44, 52, 52, 52], False, 2), ([44, 52, 52, 28, 200], True, 2), ([44, 28], True, 1), ([44, 52], None, None)],
)
def test_sizes_of_the_server_s_answers_tell_of_logins(
    sizes: list[int], success: bool | None, attempts: int | None
) -> None:
    (row,) = rows(talk(sizes))
    assert (row.get("ssh.auth_success"), row.get("ssh.auth_attempts")) == (success, attempts)
    assert row.get("event.flags") == (["inferred"] if attempts else None)


def test_ssh_1_is_told_from_its_banners() -> None:
    talker = wire.Talker(22).shake().say(1, b"SSH-1.5-OpenSSH_3\n").say(0, b"SSH-1.5-client\n").say(1, bytes(300))
    (row,) = rows(talker)
    assert (row["ssh.version"], row["ssh.client"]) == (1, "SSH-1.5-client")


def test_one_side_alone_is_a_row_without_agreement() -> None:
    talker = wire.Talker(22).shake().say(0, b"SSH-2.0-x\r\n").say(0, offer(CLIENT_LISTS))
    (row,) = rows(talker)
    assert (row["ssh.client"], row["ssh.server"], row.get("ssh.kex_alg")) == ("SSH-2.0-x", None, None)
    assert row["ssh.hassh"]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3_000), st.integers(0, 255)), max_size=12), st.integers(1, 300))
def test_no_bytes_raise_anything(changes: list[tuple[int, int]], mss: int) -> None:
    said = bytearray(b"SSH-2.0-a\r\n" + offer(CLIENT_LISTS) + REPLY + NEWKEYS + bytes(100))
    for at, value in changes:
        said[5 + at % (len(said) - 5)] = value
    wire.decode(wire.Talker(22).shake().say(0, bytes(said), mss=mss).say(1, bytes(said), mss=mss).packets)
