"""Authorization and WWW-Authenticate of GB/T 28181: Digest (RFC 2617, 7616), and the certificate schemes of GB 35114.

A captured answer of Digest tells whether its password is one of those makers deliver with: at most ``MAX_TRIED`` are
tried, and all that is said of it is the verdict.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from cityguard.decoders import passwords

MAX_TRIED = 100
CERTIFICATES = frozenset(("capability", "unidirection", "bidirection", "asymmetric"))
"""Schemes of GB 35114-2017: who one is is shown by a certificate."""
_PAIR = re.compile(r'([A-Za-z][A-Za-z0-9_-]{0,31})\s{0,4}=\s{0,4}(?:"([^"]{0,2048})"|([^",\s]{1,1024}))')
_FIRST = ("12345678", "admin", "admin123", "123456", "admin12345", "a12345678", "12345678a", "hik12345", "hik123456")
_HASHES = {"": "md5", "md5": "md5", "md5-sess": "md5", "sha-256": "sha256", "sha-256-sess": "sha256", "sm3": "sm3"}


@dataclass(frozen=True, slots=True)
class Auth:
    """A scheme and its parameters, names in lower case."""

    scheme: str
    parameters: Mapping[str, str] = field(default_factory=dict)

    def get(self, name: str) -> str | None:
        return self.parameters.get(name)

    @property
    def certificate(self) -> bool:
        """Of GB 35114."""
        return self.scheme.lower() in CERTIFICATES


def read(text: str) -> Auth | None:
    """A header's value; None where it is empty."""
    scheme, _, rest = text.strip().partition(" ")
    if not scheme:
        return None
    found: dict[str, str] = {}
    for match in _PAIR.finditer(rest[:8_192]):
        found.setdefault(match[1].lower(), match[2] if match[2] is not None else match[3])
    return Auth(scheme[:32], found)


def verdict(auth: Auth, method: str) -> passwords.Verdict | None:
    """``default`` or ``weak`` where one of the known passwords gives this answer, ``ok`` where none does.

    None where it is no answer of Digest, or lacks what is needed to try.
    """
    if auth.scheme.lower() != "digest":
        return None
    said = {name: auth.get(name) or "" for name in ("username", "realm", "nonce", "uri", "response", "algorithm")}
    algorithm = said["algorithm"].lower()
    if not (said["nonce"] and said["response"]) or algorithm not in _HASHES or (auth.get("qop") or "auth") != "auth":
        return None
    digest = _digest(_HASHES[algorithm])
    if digest is None:
        return None
    rest = said["nonce"]
    if auth.get("qop"):
        rest += f":{auth.get('nc') or ''}:{auth.get('cnonce') or ''}:auth"
    rest += ":" + digest(f"{method}:{said['uri']}")
    wanted = said["response"].lower()
    session = f":{said['nonce']}:{auth.get('cnonce') or ''}" if algorithm.endswith("-sess") else ""
    for password, secret in _secrets(said["username"], said["realm"], _HASHES[algorithm]):
        first = digest(secret + session) if session else secret
        if hmac.compare_digest(digest(f"{first}:{rest}").encode(), wanted.encode("utf-8", "replace")):
            found = passwords.judge(password.encode(), said["username"], said["realm"]).verdict
            return found if found != "ok" else "default"
    return "ok"


def candidates(name: str, realm: str) -> list[str]:
    """What is tried: passwords makers deliver with, the id and its ends, the domain."""
    own = [name, name[-8:], name[-6:], name[:8], realm, realm[-8:]]
    listed = sorted(passwords.DEFAULTS)
    return list(dict.fromkeys(one for one in (*_FIRST, *own, *listed) if one))[:MAX_TRIED]


@lru_cache(maxsize=512)
def _secrets(name: str, realm: str, algorithm: str) -> tuple[tuple[str, str], ...]:
    """Each candidate and its A1, hashed."""
    digest = _digest(algorithm)
    if digest is None:
        return ()
    return tuple((one, digest(f"{name}:{realm}:{one}")) for one in candidates(name, realm))


@lru_cache(maxsize=8)
def _digest(algorithm: str) -> Callable[[str], str] | None:
    """A hash of text in hexadecimal; None where this machine's library lacks it (SM3)."""
    try:
        hashlib.new(algorithm, b"", usedforsecurity=False)
    except ValueError:
        return None
    return lambda words: hashlib.new(algorithm, words.encode("utf-8", "replace"), usedforsecurity=False).hexdigest()
