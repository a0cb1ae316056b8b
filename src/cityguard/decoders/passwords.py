"""Passwords met in clear: what may be said of one without keeping it.

A row never holds a password. It holds a verdict, the length, and a hash under a key of this installation: one password
at many stations is seen as such, and the hash is of no use elsewhere.
"""

from __future__ import annotations

import hmac
import re
import secrets
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Literal

Verdict = Literal["weak", "default", "ok"]
HASH_CHARACTERS = 16
MAX_LENGTH = 256

_LISTED = (
    "admin admin123 admin1234 admin12345 administrator root root123 guest user public private password passw0rd"
    " system manager operator engineer service supervisor default test test123 abc123 abcd1234 qwerty 123456 000000"
    " 111111 666666 888888 12345678 123456789 1234567890 88888888 00000000 11111111 123123 654321 1234 0000 1111 8888"
    " ffff aaaa 5678 9999 2222 ocpp"
)
DEFAULTS = frozenset(_LISTED.split())
"""Passwords that makers deliver with or that field staff agree on; compared without case."""
_ORDERS = ("01234567890123456789", "98765432109876543210", "abcdefghijklmnopqrstuvwxyz", "qwertyuiop")
_ALIKE = re.compile(r"(.)\1*")
_key = secrets.token_bytes(32)


@dataclass(frozen=True, slots=True)
class Judged:
    """What a row may say of a password; ``hash`` is hex of ``HASH_CHARACTERS``."""

    verdict: Verdict
    length: int
    hash: str

    def columns(self) -> dict[str, Any]:
        """The three columns of an ``ot`` row."""
        return {
            "ot.password.verdict": self.verdict,
            "ot.password.length": self.length,
            "ot.password.hash": self.hash,
        }


def use_key(key: bytes) -> None:
    """Hash under this key from now on; without it each process has a key of its own.

    Raises:
        ValueError: the key is shorter than 16 octets.
    """
    global _key
    if len(key) < 16:
        raise ValueError("a key of at least 16 octets is wanted")
    _key = key


def judge(secret: bytes, *names: str) -> Judged:
    """Judge a password of any bytes.

    Args:
        secret: as on the wire; digits packed two an octet are given unpacked, as text.
        names: ids of the device or user; a password equal to one, or to its end, is a default one.
    """
    text = secret[:MAX_LENGTH].decode("utf-8", "replace").strip("\0 ").lower()
    verdict: Verdict = "default" if _default(text, names) else "weak" if _weak(text) else "ok"
    return Judged(verdict, len(secret), hmac.new(_key, secret, sha256).hexdigest()[:HASH_CHARACTERS])


def _default(text: str, names: tuple[str, ...]) -> bool:
    return text in DEFAULTS or any(
        name and (text == name.lower() or (len(text) >= 4 and name.lower().endswith(text))) for name in names
    )


def _weak(text: str) -> bool:
    """Empty, shorter than four, one character again and again, or a run of neighbours."""
    return len(text) < 4 or bool(_ALIKE.fullmatch(text)) or any(text in order for order in _ORDERS)
