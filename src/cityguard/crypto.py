"""Hashes and MACs in both suites: international (SHA-256) and 国密 (SM3, GB/T 32905)."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import hashes

_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Digest:
    """One content, hashed both ways; hex, lower case."""

    sha256: str
    sm3: str


def digest(data: bytes) -> Digest:
    """Hash bytes with SHA-256 and SM3."""
    return _digest(iter((data,)))


def digest_file(path: Path) -> Digest:
    """Hash a file in blocks of 1 MiB, whatever its size."""
    return _digest(_blocks(path))


def mac(key: bytes, data: bytes) -> str:
    """HMAC-SHA-256 as hex (RFC 2104)."""
    return hmac.new(key, data, hashlib.sha256).hexdigest()


def same(left: str, right: str) -> bool:
    """Compare two secrets in constant time."""
    return hmac.compare_digest(left.encode(), right.encode())


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            yield block


def _digest(blocks: Iterator[bytes]) -> Digest:
    sha, sm3 = hashlib.sha256(), hashes.Hash(hashes.SM3())
    for block in blocks:
        sha.update(block)
        sm3.update(block)
    return Digest(sha.hexdigest(), sm3.finalize().hex())
