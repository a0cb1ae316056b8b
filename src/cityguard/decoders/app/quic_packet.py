"""QUIC long headers and the protection of Initial packets (RFC 8999, 9000, 9001, 9369 and the drafts before them)."""

from __future__ import annotations

import hashlib
import hmac
import struct
from dataclasses import dataclass
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

V1, V2 = 0x00000001, 0x6B3343CF
INITIAL, ZERO_RTT, HANDSHAKE, RETRY = range(4)
MAX_ID = 20
_SALT_1 = "38762cf7f55934b34d179ae6a4c80cadccbb7f0a"
_SALT_29 = "afbfec289993d24c9e9786f19c6111e04390a899"
_SALT_23 = "c3eef712c72ebb5a11a7d2432bb46365bef9f502"
_SALT_21 = "7fbcdb0e7c66bbe92a96cd21519ebd7a02644190"
_SALT_17 = "ef4fb0abb47470c41befcf8031334fae485e09a0"
_SALT_2 = "0dede3def700a6db819381be6e269dcbf9bd2ed9"
_OTHERS = {
    V1: _SALT_1,
    V2: _SALT_2,
    0xFACEB001: _SALT_21,
    0xFACEB002: _SALT_23,
    0xFACEB00E: _SALT_23,
    int.from_bytes(b"T050", "big"): "7ff579e5acd072915580304c43a2367c60488310",
    int.from_bytes(b"T051", "big"): "7a4edef4e7ccee5fa4506c19124fc8ccda6e033d",
}
_DRAFTS = ((33, _SALT_1), (29, _SALT_29), (23, _SALT_23), (21, _SALT_21), (17, _SALT_17))

_word = struct.Struct(">I").unpack_from


@dataclass(frozen=True, slots=True)
class Header:
    """A long header; ``number`` and ``end`` are places in the datagram."""

    version: int
    kind: int
    destination: bytes
    source: bytes
    number: int
    """Where the packet number is."""
    end: int
    """First byte after the packet."""
    start: int = 0


def salt(version: int) -> bytes | None:
    """What Initial keys of a version are made with; None where the version is not known."""
    if version in _OTHERS:
        return bytes.fromhex(_OTHERS[version])
    if version >> 8 == 0xFF0000:
        for first, found in _DRAFTS:
            if first <= version & 0xFF <= 34:
                return bytes.fromhex(found)
    return None


def header(data: bytes, at: int) -> Header | None:
    """The long header at a place; None where there is none of a known version, or it does not fit."""
    if len(data) - at < 7 or not data[at] & 0x80:
        return None
    version = _word(data, at + 1)[0]
    if salt(version) is None or not data[at] & 0x40:
        return None
    place = at + 5
    ids = list[bytes]()
    for _ in range(2):
        if place >= len(data) or data[place] > MAX_ID or place + 1 + data[place] > len(data):
            return None
        ids.append(data[place + 1 : place + 1 + data[place]])
        place += 1 + data[place]
    kind = data[at] >> 4 & 3
    kind = (kind - 1) & 3 if version == V2 else kind  # RFC 9369, 3.2
    if kind == RETRY:
        return Header(version, kind, ids[0], ids[1], place, len(data), at)
    if kind == INITIAL:
        size, place = varint(data, place)
        place += size
    length, place = varint(data, place)
    if place < 0 or length < 4 or place + length > len(data):
        return None
    return Header(version, kind, ids[0], ids[1], place, place + length, at)


def varint(data: bytes, at: int) -> tuple[int, int]:
    """A number of variable length and where it ends; (0, past the end) when it is cut."""
    if not 0 <= at < len(data):
        return 0, len(data) + 1
    width = 1 << (data[at] >> 6)
    if at + width > len(data):
        return 0, len(data) + 1
    return int.from_bytes(data[at : at + width], "big") & ((1 << (8 * width - 2)) - 1), at + width


class Keys:
    """Protection of one side's Initial packets."""

    __slots__ = ("_aead", "_iv", "_mask")

    def __init__(self, secret: bytes, prefix: str) -> None:
        self._aead = AESGCM(_expand(secret, f"{prefix} key", 16))
        self._iv = _expand(secret, f"{prefix} iv", 12)
        # the mode is the one RFC 9001, 5.4.3 asks for: one block, as a mask
        self._mask = Cipher(algorithms.AES(_expand(secret, f"{prefix} hp", 16)), modes.ECB())  # noqa: S305

    def open(self, data: bytes, head: Header) -> bytes | None:
        """Frames of a packet; None when these are not its keys."""
        at, sample = head.number, data[head.number + 4 : head.number + 20]
        if len(sample) < 16:
            return None
        mask = self._mask.encryptor().update(sample)
        first = data[head.start] ^ mask[0] & 0x0F
        width = (first & 3) + 1
        number = bytes(a ^ b for a, b in zip(data[at : at + width], mask[1:], strict=False))
        nonce = (int.from_bytes(self._iv, "big") ^ int.from_bytes(number, "big")).to_bytes(12, "big")
        known = bytes([first]) + data[head.start + 1 : at] + number
        try:
            return self._aead.decrypt(nonce, data[at + width : head.end], known)
        except (InvalidTag, ValueError):
            return None


@lru_cache(64)
def keys(version: int, destination: bytes) -> tuple[Keys, Keys]:
    """Keys of client and server, from the first Destination Connection ID of the client."""
    secret = hmac.digest(salt(version) or b"", destination, hashlib.sha256)
    prefix = "quicv2" if version == V2 else "quic"
    client, server = (Keys(_expand(secret, f"{side} in", 32), prefix) for side in ("client", "server"))
    return client, server


def _expand(secret: bytes, label: str, size: int) -> bytes:
    name = b"tls13 " + label.encode()
    return hmac.digest(secret, struct.pack(">HB", size, len(name)) + name + b"\0\x01", hashlib.sha256)[:size]
