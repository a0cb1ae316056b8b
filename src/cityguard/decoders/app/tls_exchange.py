"""How a handshake agrees on its keys: by the suite's name, and by the shape of the key exchange messages.

TLCP (GB/T 38636-2020, 6.4.5.4 and 6.4.5.8): with ECC the server signs the randoms and its encryption certificate, and
the client sends a secret enciphered with SM2 (SM2Cipher of GB/T 35276 in DER); with ECDHE both send a point of the
named curve 41. What cannot be told stays None.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from cityguard.decoders.app import suites
from cityguard.decoders.wire import ber

NAMED_CURVE = 3
_SIGNATURE, _INTEGER, _OCTETS = 0x30, 2, 4
_ORDINARY = re.compile(r"TLS_(\w+?)_WITH_")
_FORWARD = {"ECDHE": True, "DHE": True, "DH_anon": True, "ECDH_anon": True, "ECC": False, "RSA": False, "PSK": False}
_FORWARD |= {"DH": False, "ECDH": False, "IBC": False, "KRB5": False}


@dataclass(frozen=True, slots=True)
class Exchange:
    """What a ServerKeyExchange or ClientKeyExchange shows; lengths in bytes."""

    kind: str
    """ECC, ECDHE or RSA."""
    curve: int | None = None
    point: int | None = None
    signature: int | None = None
    ciphertext: int | None = None
    shape: str | None = None
    """The ciphertext's own structure."""
    secret: int | None = None
    """Of what is enciphered."""


def kind(cipher: int) -> str | None:
    """How a suite agrees on keys: ECDHE, ECC, RSA, DHE_PSK, KRB5 …; None for TLS 1.3, whose suites do not say."""
    name = suites.name(cipher)
    if 0xE000 <= cipher < 0xE100 and cipher in suites.NAMES:
        return name.split("_", 1)[0]
    told = _ORDINARY.match(name)
    if told is None:
        return None
    words = [word for word in told[1].split("_") if word not in ("RSA", "DSS", "ECDSA", "EXPORT", "EXPORT1024", "anon")]
    anonymous = "_anon" if "_anon" in told[1] else ""
    return ("_".join(words) or "RSA") + anonymous if not told[1].startswith("RSA_PSK") else "RSA_PSK"


def is_forward(how: str | None) -> bool | None:
    """Whether a long-term key that leaks later does not open the session; None where the name does not tell."""
    if how is None:
        return None
    if how in ("RSA_PSK", "IBSDH", "SRP_SHA", "ECCPWD", "ECJPAKE"):
        return False if how == "RSA_PSK" else None
    return _FORWARD.get(how, True if how.startswith(("ECDHE", "DHE")) else None)


def server(body: bytes) -> Exchange | None:
    """What a ServerKeyExchange of TLCP is by its shape."""
    if len(body) >= 4 and body[0] == NAMED_CURVE:
        at = 4 + body[3]
        size = int.from_bytes(body[at : at + 2], "big")
        if 0 < body[3] <= len(body) - 4:
            whole = at + 2 + size == len(body)
            return Exchange("ECDHE", int.from_bytes(body[1:3], "big"), body[3], size if whole else None)
    if len(body) > 2 and int.from_bytes(body[:2], "big") == len(body) - 2:
        return Exchange("ECC" if body[2] == _SIGNATURE else "RSA", signature=len(body) - 2)
    return None


def client(body: bytes) -> Exchange | None:
    """What a ClientKeyExchange of TLCP is by its shape: with the length that some leave out before a point."""
    whole = len(body) > 2 and int.from_bytes(body[:2], "big") == len(body) - 2
    inside = body[2:] if whole else body
    if len(inside) > 4 and inside[0] == NAMED_CURVE and inside[3] == len(inside) - 4:
        return Exchange("ECDHE", int.from_bytes(inside[1:3], "big"), inside[3])
    if not whole:
        return None
    shape, secret = _cipher(inside)
    return Exchange("ECC" if shape else "RSA", ciphertext=len(inside), shape=shape, secret=secret)


def _cipher(der: bytes) -> tuple[str | None, int | None]:
    """The structure of an SM2 ciphertext: point x, y, SM3 of the secret, and the enciphered secret of its length."""
    outer = ber.item(der, 0, len(der))
    parts = ber.children(der, outer) if outer is not None and outer.end == len(der) else []
    if [part.number for part in parts] != [_INTEGER, _INTEGER, _OCTETS, _OCTETS]:
        return None, None
    check, secret = (part.end - part.begin for part in parts[2:])
    return f"SEQUENCE{{INTEGER x, INTEGER y, OCTET STRING({check}) sm3, OCTET STRING({secret}) cipher}}", secret
