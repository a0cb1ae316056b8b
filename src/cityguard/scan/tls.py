"""TLS seen from outside: ClientHello out, ServerHello and certificate in, for every version and each weak suite group.

RFC 5246, RFC 8446, RFC 8998 (SM suites of TLS 1.3), GB/T 38636 (TLCP). Bytes only; no sockets here.
"""

from __future__ import annotations

import os
import struct
import warnings
from dataclasses import dataclass
from datetime import UTC

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa

from cityguard.checks.facts import Certificate
from cityguard.errors import DecodeError

MAX_REPLY = 64 << 10

VERSIONS = {"ssl3": 0x0300, "1.0": 0x0301, "1.1": 0x0302, "1.2": 0x0303, "1.3": 0x0304, "tlcp1.1": 0x0101}
_NAMES = {number: name for name, number in VERSIONS.items()}

SUITES = {
    0x0001: "TLS_RSA_WITH_NULL_MD5",
    0x0002: "TLS_RSA_WITH_NULL_SHA",
    0x0003: "TLS_RSA_EXPORT_WITH_RC4_40_MD5",
    0x0004: "TLS_RSA_WITH_RC4_128_MD5",
    0x0005: "TLS_RSA_WITH_RC4_128_SHA",
    0x0006: "TLS_RSA_EXPORT_WITH_RC2_CBC_40_MD5",
    0x0008: "TLS_RSA_EXPORT_WITH_DES40_CBC_SHA",
    0x0009: "TLS_RSA_WITH_DES_CBC_SHA",
    0x000A: "TLS_RSA_WITH_3DES_EDE_CBC_SHA",
    0x0014: "TLS_DHE_RSA_EXPORT_WITH_DES40_CBC_SHA",
    0x0015: "TLS_DHE_RSA_WITH_DES_CBC_SHA",
    0x0016: "TLS_DHE_RSA_WITH_3DES_EDE_CBC_SHA",
    0x0018: "TLS_DH_anon_WITH_RC4_128_MD5",
    0x001B: "TLS_DH_anon_WITH_3DES_EDE_CBC_SHA",
    0x002F: "TLS_RSA_WITH_AES_128_CBC_SHA",
    0x0033: "TLS_DHE_RSA_WITH_AES_128_CBC_SHA",
    0x0034: "TLS_DH_anon_WITH_AES_128_CBC_SHA",
    0x0035: "TLS_RSA_WITH_AES_256_CBC_SHA",
    0x0039: "TLS_DHE_RSA_WITH_AES_256_CBC_SHA",
    0x003A: "TLS_DH_anon_WITH_AES_256_CBC_SHA",
    0x003B: "TLS_RSA_WITH_NULL_SHA256",
    0x003C: "TLS_RSA_WITH_AES_128_CBC_SHA256",
    0x003D: "TLS_RSA_WITH_AES_256_CBC_SHA256",
    0x0067: "TLS_DHE_RSA_WITH_AES_128_CBC_SHA256",
    0x006B: "TLS_DHE_RSA_WITH_AES_256_CBC_SHA256",
    0x009C: "TLS_RSA_WITH_AES_128_GCM_SHA256",
    0x009D: "TLS_RSA_WITH_AES_256_GCM_SHA384",
    0x009E: "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256",
    0x009F: "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384",
    0x00A6: "TLS_DH_anon_WITH_AES_128_GCM_SHA256",
    0x00C6: "TLS_SM4_GCM_SM3",
    0x00C7: "TLS_SM4_CCM_SM3",
    0x1301: "TLS_AES_128_GCM_SHA256",
    0x1302: "TLS_AES_256_GCM_SHA384",
    0x1303: "TLS_CHACHA20_POLY1305_SHA256",
    0xC006: "TLS_ECDHE_ECDSA_WITH_NULL_SHA",
    0xC007: "TLS_ECDHE_ECDSA_WITH_RC4_128_SHA",
    0xC008: "TLS_ECDHE_ECDSA_WITH_3DES_EDE_CBC_SHA",
    0xC009: "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    0xC00A: "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
    0xC010: "TLS_ECDHE_RSA_WITH_NULL_SHA",
    0xC011: "TLS_ECDHE_RSA_WITH_RC4_128_SHA",
    0xC012: "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA",
    0xC013: "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    0xC014: "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
    0xC018: "TLS_ECDH_anon_WITH_AES_128_CBC_SHA",
    0xC023: "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256",
    0xC024: "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384",
    0xC027: "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256",
    0xC028: "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384",
    0xC02B: "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    0xC02C: "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    0xC02F: "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    0xC030: "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    0xCCA8: "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
    0xCCA9: "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    0xE011: "ECDHE_SM4_CBC_SM3",
    0xE013: "ECC_SM4_CBC_SM3",
    0xE051: "ECDHE_SM4_GCM_SM3",
    0xE053: "ECC_SM4_GCM_SM3",
}
"""Suites we offer, by IANA number (TLCP: GB/T 38636)."""

WEAK: dict[str, tuple[int, ...]] = {
    "null": (0x0001, 0x0002, 0x003B, 0xC006, 0xC010),
    "export": (0x0003, 0x0006, 0x0008, 0x0014),
    "anon": (0x0018, 0x001B, 0x0034, 0x003A, 0x00A6, 0xC018),
    "rc4": (0x0004, 0x0005, 0xC007, 0xC011),
    "des": (0x0009, 0x0015),
    "3des": (0x000A, 0x0016, 0xC008, 0xC012),
    "static-rsa": (0x002F, 0x0035, 0x003C, 0x003D, 0x009C, 0x009D),
}
"""Groups offered alone; a server that takes one supports it."""

_TLCP = (0xE053, 0xE051, 0xE013, 0xE011)
_TLS13 = (0x1302, 0x1301, 0x1303, 0x00C6, 0x00C7)
_USUAL = tuple(
    number for number in SUITES if number not in (*_TLCP, *_TLS13, *WEAK["null"], *WEAK["export"], *WEAK["anon"])
)[::-1]
_GROUPS = (0x001D, 0x0017, 0x0018, 0x0019, 0x0029, 0x0100)  # x25519 … curveSM2, ffdhe2048
_SIGNATURES = (
    *(0x0403, 0x0503, 0x0603, 0x0804, 0x0805, 0x0806, 0x0809, 0x080A, 0x080B, 0x0807),
    *(0x0401, 0x0501, 0x0601, 0x0708, 0x0203, 0x0201, 0x0202),
)


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server answered: at least one of the fields is set when it speaks TLS at all."""

    version: str = ""
    suite: int = 0
    certificate: bytes | None = None
    alert: int | None = None
    done: bool = False

    @property
    def is_tls(self) -> bool:
        return bool(self.version) or self.alert is not None

    @property
    def suite_name(self) -> str:
        return SUITES.get(self.suite, f"0x{self.suite:04X}")


def client_hello(version: str, suites: tuple[int, ...] | None = None) -> bytes:
    """One ClientHello record for exactly this version; ``suites`` default to the usual ones of the version."""
    number = VERSIONS[version]
    offered = suites or {"1.3": _TLS13, "tlcp1.1": _TLCP}.get(version, _USUAL)
    if version not in ("1.3", "tlcp1.1"):
        offered = (*offered, 0x00FF)  # renegotiation SCSV, RFC 5746
    legacy = min(number, 0x0303)
    body = struct.pack(">H", legacy) + os.urandom(32) + b"\0" + _u16(_u16s(offered)) + b"\x01\0"
    if version not in ("ssl3", "tlcp1.1"):
        body += _u16(_extensions(version))
    message = b"\x01" + len(body).to_bytes(3, "big") + body
    outer = legacy if version in ("ssl3", "tlcp1.1") else 0x0301
    return struct.pack(">BHH", 22, outer, len(message)) + message


def _extensions(version: str) -> bytes:
    found = [
        (0x000A, _u16(_u16s(_GROUPS))),
        (0x000B, b"\x01\0"),
        (0x000D, _u16(_u16s(_SIGNATURES))),
        (0x0017, b""),  # extended master secret
    ]
    if version == "1.3":
        share = struct.pack(">HH", 0x001D, 32) + os.urandom(32)
        found += [(0x002B, b"\x02\x03\x04"), (0x0033, _u16(share)), (0x002D, b"\x01\x01")]
    return b"".join(struct.pack(">H", kind) + _u16(value) for kind, value in found)


def _u16(data: bytes) -> bytes:
    return struct.pack(">H", len(data)) + data


def _u16s(numbers: tuple[int, ...]) -> bytes:
    return struct.pack(f">{len(numbers)}H", *numbers)


def parse(data: bytes) -> Reply:
    """Read what has arrived so far; ``done`` when nothing more is needed.

    Raises:
        DecodeError: this is no TLS.
    """
    handshake = bytearray()
    at, alert, closed = 0, None, False
    while at + 5 <= len(data) and not closed:
        kind, major, _, size = struct.unpack_from(">BBBH", data, at)
        if kind not in (20, 21, 22, 23) or major not in (1, 3) or size > 18 << 10:
            raise DecodeError("not a TLS record", place=f"byte {at}")
        body = data[at + 5 : at + 5 + size]
        if kind == 22:
            handshake += body
        elif kind == 21 and len(body) >= 2:
            alert, closed = body[1], True
        else:
            closed = kind != 21
        at += 5 + size
    if not data[:1] or (at == 0 and data[0] not in (20, 21, 22, 23)):
        raise DecodeError("not a TLS record", place="byte 0")
    return _messages(bytes(handshake), alert, closed)


def _messages(data: bytes, alert: int | None, closed: bool) -> Reply:
    version, suite, certificate = "", 0, None
    at, finished = 0, closed
    while at + 4 <= len(data):
        kind, size = data[at], int.from_bytes(data[at + 1 : at + 4], "big")
        body = data[at + 4 : at + 4 + size]
        if size > MAX_REPLY:
            raise DecodeError("oversized handshake message", place=f"byte {at}")
        if len(body) < size:
            break
        if kind == 2:
            version, suite = _server_hello(body)
        elif kind == 11 and len(body) >= 6:
            certificate = body[6 : 6 + int.from_bytes(body[3:6], "big")]
        elif kind == 14:
            finished = True
        at += 4 + size
    done = finished or certificate is not None or version == "1.3"
    return Reply(version, suite, certificate or None, alert, done)


def _server_hello(body: bytes) -> tuple[str, int]:
    try:
        number, session = struct.unpack_from(">H", body)[0], body[34]
        (suite,) = struct.unpack_from(">H", body, 35 + session)
        at = 35 + session + 3
        if at + 2 <= len(body):
            number = _selected(body[at + 2 :]) or number
    except (struct.error, IndexError):
        raise DecodeError("short ServerHello") from None
    return _NAMES.get(number, f"0x{number:04x}"), suite


def _selected(extensions: bytes) -> int | None:
    # supported_versions of a TLS 1.3 server (also in a HelloRetryRequest)
    at = 0
    while at + 4 <= len(extensions):
        kind, size = struct.unpack_from(">HH", extensions, at)
        if kind == 0x002B and size == 2:
            return int.from_bytes(extensions[at + 4 : at + 6], "big")
        at += 4 + size
    return None


# ---------------------------------------------------------------- certificates

_SM2_CURVE = bytes.fromhex("06082a811ccf5501822d")  # OID 1.2.156.10197.1.301
_SIGNATURE_NAMES = {
    "1.2.840.113549.1.1.4": "md5WithRSA",
    "1.2.840.113549.1.1.5": "sha1WithRSA",
    "1.2.840.113549.1.1.10": "RSASSA-PSS",
    "1.2.840.113549.1.1.11": "sha256WithRSA",
    "1.2.840.113549.1.1.12": "sha384WithRSA",
    "1.2.840.113549.1.1.13": "sha512WithRSA",
    "1.2.840.10045.4.1": "ecdsaWithSHA1",
    "1.2.840.10045.4.3.2": "ecdsaWithSHA256",
    "1.2.840.10045.4.3.3": "ecdsaWithSHA384",
    "1.2.840.10045.4.3.4": "ecdsaWithSHA512",
    "1.3.101.112": "Ed25519",
    "1.2.156.10197.1.501": "SM2WithSM3",
}


def certificate(der: bytes) -> Certificate:
    """Read a certificate as served. Nothing is verified: who signed it is not asked.

    Raises:
        DecodeError: not a certificate.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd serials and the like are worth a look, not a crash
            parsed = x509.load_der_x509_certificate(der)
            key, bits = _key(parsed, der)
            signature = parsed.signature_algorithm_oid.dotted_string
            return Certificate(
                subject=_printable(parsed.subject.rfc4514_string()),
                issuer=_printable(parsed.issuer.rfc4514_string()),
                serial=f"{parsed.serial_number:x}"[:64],
                not_before=parsed.not_valid_before_utc.astimezone(UTC),
                not_after=parsed.not_valid_after_utc.astimezone(UTC),
                key=key,
                key_bits=bits,
                signature=_SIGNATURE_NAMES.get(signature, signature),
                names=_alternative(parsed),
                sha256=parsed.fingerprint(hashes.SHA256()).hex(),
            )
    except (ValueError, TypeError, OverflowError, UnsupportedAlgorithm) as error:
        raise DecodeError(f"not a certificate: {str(error)[:200]}") from None


def _key(parsed: x509.Certificate, der: bytes) -> tuple[str, int]:
    if _SM2_CURVE in der:
        return "sm2", 256
    try:
        key = parsed.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return "other", 0
    if isinstance(key, rsa.RSAPublicKey):
        return "rsa", key.key_size
    if isinstance(key, ec.EllipticCurvePublicKey):
        return "ec", key.key_size
    if isinstance(key, dsa.DSAPublicKey):
        return "dsa", key.key_size
    if isinstance(key, (ed25519.Ed25519PublicKey, ed448.Ed448PublicKey)):
        return "ed25519" if isinstance(key, ed25519.Ed25519PublicKey) else "ed448", 256
    return "other", 0


def _alternative(parsed: x509.Certificate) -> tuple[str, ...]:
    try:
        names = parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        return ()
    return tuple(_printable(str(name.value)) for name in list(names)[:50])


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text[:500])
