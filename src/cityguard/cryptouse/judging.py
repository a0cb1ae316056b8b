"""What a version, a suite, a certificate is worth: national, sound or weak, each with the reason as a code.

Codes are words of ``words.py``. Judged is what the wire showed, by name; nothing is verified cryptographically.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any

SOON = timedelta(days=30)
WEAK = (
    *("weak_version", "weak_suite", "weak_key", "weak_signature", "sha1", "sm1", "rsa_suite", "aggressive"),
    *("self_signed", "mixed"),
)
"""Codes that mean the cryptography itself is doubtful."""
PAIR = ("single", "swapped", "mismatched", "unusual")
"""Codes of the pair that TLCP asks for."""
DATED = ("expired", "early", "soon")

_OLD = frozenset(("2.0", "3.0", "1.0", "1.1"))
SETTLED = _OLD | {"1.2", "1.3"}
"""Versions that stand in a row only once they were agreed on, be the suite known or not (logs of others)."""
_BROKEN = re.compile(
    r"_NULL|_EXPORT|_RC4_|_DES_|_DES40_|_3DES_|_RC2_|_anon_|_IDEA_|^NULL|arcfour|3des|des-cbc|blowfish"
)
_BROKEN_IKE = re.compile(r"DES-|3DES|MD5|modp768|modp1024|^NULL")
_BROKEN_SSH = re.compile(
    r"group1-sha1|group-exchange-sha1|rsa1024|arcfour|3des|des-cbc|blowfish|cast128|hmac-md5|^none"
)
_FORWARD = re.compile(r"^(TLS_)?(EC)?DHE[_/]|_anon_")
_SSH_NATIONAL = re.compile(r"sm[234]")
_BITS = {"RSA": 2048, "DSA": 2048, "EC": 224}


def is_national(version: str | None, cipher: str | None) -> bool:
    """Whether what was agreed on is 国密: TLCP, RFC 8998, IKE or SSH with SM algorithms."""
    if not cipher:
        return False
    if version and version.startswith("ike"):
        return cipher.startswith(("SM4", "SM1")) and "/SM3" in cipher
    if version == "ssh":
        return bool(_SSH_NATIONAL.search(cipher))
    return version == "tlcp1.1" or cipher.startswith("TLS_SM4_")


def suite(version: str | None, cipher: str | None) -> tuple[str, ...]:
    """Codes of what was agreed on; () = nothing to say against it, also where nothing was agreed on."""
    version = version or ""
    if not cipher:
        return ("weak_version",) if version in _OLD else ()
    if version.startswith("ike"):
        found = ["weak_suite"] if _BROKEN_IKE.search(cipher) else []
        return tuple([*found, "sm1"] if cipher.startswith("SM1") else found)
    if version == "ssh":
        return ("weak_suite",) if any(_BROKEN_SSH.search(part) for part in cipher.split("/")) else ()
    found = ["weak_version"] if version in _OLD else []
    if _BROKEN.search(cipher) or cipher.endswith("_MD5"):
        found.append("weak_suite")
    if version == "tlcp1.1" or cipher.startswith(("RSA_SM", "ECC_SM", "ECDHE_SM", "IBC_SM", "IBSDH_SM")):
        found += [
            code
            for code, hit in (
                ("rsa_suite", cipher.startswith("RSA_")),
                ("sha1", cipher.endswith("_SHA1")),
                ("sm1", "_SM1_" in cipher),
            )
            if hit
        ]
    return tuple(found)


def is_forward(version: str | None, cipher: str | None) -> bool | None:
    """Whether a key that leaks later leaves recorded sessions closed; None where the suite does not tell."""
    if not cipher:
        return None
    if version and version.startswith("ike"):
        return True if re.search(r"/(modp|ecp|brainpool|curve)", cipher) else None
    if version in ("ssh", "1.3") or cipher.startswith("TLS_SM4_"):
        return True
    if _FORWARD.search(cipher):
        return True
    return None if cipher.startswith("IBSDH_") else False


def certificate(row: dict[str, Any], now: datetime) -> tuple[str, ...]:
    """Codes of a certificate.

    Args:
        row: subject, issuer, not_before, not_after, key, bits, signature; what is not known is None.
        now: when it is judged.
    """
    found = list(dates(row.get("not_before"), row.get("not_after"), now))
    key, signature = row.get("key"), row.get("signature") or ""
    if row.get("subject") and row["subject"] == row.get("issuer"):
        found.append("self_signed")
    if row.get("bits") and row["bits"] < _BITS.get(key or "", 0):
        found.append("weak_key")
    if re.search(r"md[245]|sha1|shaWith|SHA1", signature, re.IGNORECASE):
        found.append("weak_signature")
    national = signature == "SM2-with-SM3"
    if key and signature and (signature.startswith("SM2-with") or key == "SM2") and not (national and key == "SM2"):
        found.append("mixed")
    return tuple(found)


def dates(begins: datetime | None, ends: datetime | None, now: datetime) -> tuple[str, ...]:
    """expired, early (not valid yet) or soon (ends within 30 days)."""
    if ends is not None and ends < now:
        return ("expired",)
    if begins is not None and begins > now:
        return ("early",)
    return ("soon",) if ends is not None and ends < now + SOON else ()
