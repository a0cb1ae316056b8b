"""Names of object identifiers met in certificates: algorithms, curves, attributes (RFC 3279, 5480, 8410; GM/T 0006)."""

from __future__ import annotations

ALTERNATIVE, KEY_USAGE, CONSTRAINTS = "2.5.29.17", "2.5.29.15", "2.5.29.19"

_RSA, _X962, _NIST, _SM, _OIW = (
    "1.2.840.113549.1.",
    "1.2.840.10045.",
    "2.16.840.1.101.3.4.",
    "1.2.156.10197.1.",
    "1.3.14.3.2.",
)

_NAMES = {
    f"{_RSA}1.1": "rsaEncryption",
    f"{_RSA}1.2": "md2WithRSAEncryption",
    f"{_RSA}1.3": "md4WithRSAEncryption",
    f"{_RSA}1.4": "md5WithRSAEncryption",
    f"{_RSA}1.5": "sha1WithRSAEncryption",
    f"{_RSA}1.7": "rsaesOaep",
    f"{_RSA}1.10": "rsassaPss",
    f"{_RSA}1.11": "sha256WithRSAEncryption",
    f"{_RSA}1.12": "sha384WithRSAEncryption",
    f"{_RSA}1.13": "sha512WithRSAEncryption",
    f"{_RSA}1.14": "sha224WithRSAEncryption",
    f"{_OIW}3": "md5WithRSA",
    f"{_OIW}15": "shaWithRSAEncryption",
    f"{_OIW}27": "dsaWithSHA1-old",
    f"{_OIW}29": "sha1WithRSA",
    "1.2.840.10040.4.1": "dsaEncryption",
    "1.2.840.10040.4.3": "dsaWithSHA1",
    f"{_X962}2.1": "id-ecPublicKey",
    f"{_X962}4.1": "ecdsa-with-SHA1",
    f"{_X962}4.3.1": "ecdsa-with-SHA224",
    f"{_X962}4.3.2": "ecdsa-with-SHA256",
    f"{_X962}4.3.3": "ecdsa-with-SHA384",
    f"{_X962}4.3.4": "ecdsa-with-SHA512",
    f"{_NIST}3.1": "dsa_with_SHA224",
    f"{_NIST}3.2": "dsa_with_SHA256",
    f"{_NIST}3.17": "ML-DSA-44",
    f"{_NIST}3.18": "ML-DSA-65",
    f"{_NIST}3.19": "ML-DSA-87",
    "1.3.101.110": "X25519",
    "1.3.101.111": "X448",
    "1.3.101.112": "ED25519",
    "1.3.101.113": "ED448",
    f"{_SM}104": "SM4",
    f"{_SM}104.2": "SM4-CBC",
    f"{_SM}104.8": "SM4-GCM",
    f"{_SM}301": "sm2",
    f"{_SM}301.1": "sm2sign",
    f"{_SM}301.2": "sm2exchange",
    f"{_SM}301.3": "sm2encrypt",
    f"{_SM}401": "SM3",
    f"{_SM}401.2": "HMAC-SM3",
    f"{_SM}302": "sm9",
    f"{_SM}501": "SM2-with-SM3",
    f"{_SM}502": "SM2-with-SHA1",
    f"{_SM}503": "SM2-with-SHA256",
    f"{_SM}504": "RSA-with-SM3",
    "1.2.643.2.2.3": "GOST R 34.11-94 with GOST R 34.10-2001",
    "1.2.643.2.2.19": "GOST R 34.10-2001",
    "1.2.643.7.1.1.1.1": "GOST R 34.10-2012 with 256 bit modulus",
    "1.2.643.7.1.1.3.2": "GOST R 34.10-2012 with GOST R 34.11-2012 (256 bit)",
}

KEYS = {
    f"{_RSA}1.1": "RSA",
    f"{_RSA}1.10": "RSA",
    "1.2.840.10040.4.1": "DSA",
    f"{_X962}2.1": "EC",
    f"{_SM}301": "SM2",
    "1.3.101.112": "Ed25519",
    "1.3.101.113": "Ed448",
    "1.3.101.110": "X25519",
    "1.3.101.111": "X448",
}
"""Key algorithm -> its family."""

SIZES = {"Ed25519": 256, "Ed448": 456, "X25519": 256, "X448": 448}

CURVES = {
    f"{_X962}3.1.1": ("secp192r1", 192),
    f"{_X962}3.1.7": ("secp256r1", 256),
    "1.3.132.0.33": ("secp224r1", 224),
    "1.3.132.0.34": ("secp384r1", 384),
    "1.3.132.0.35": ("secp521r1", 521),
    "1.3.132.0.10": ("secp256k1", 256),
    "1.3.132.0.8": ("secp160r1", 160),
    "1.3.132.0.26": ("sect233k1", 233),
    "1.3.132.0.27": ("sect233r1", 233),
    "1.3.132.0.16": ("sect283k1", 283),
    "1.3.132.0.17": ("sect283r1", 283),
    "1.3.132.0.36": ("sect409k1", 409),
    "1.3.132.0.37": ("sect409r1", 409),
    "1.3.132.0.38": ("sect571k1", 571),
    "1.3.132.0.39": ("sect571r1", 571),
    "1.3.36.3.3.2.8.1.1.7": ("brainpoolP256r1", 256),
    "1.3.36.3.3.2.8.1.1.11": ("brainpoolP384r1", 384),
    "1.3.36.3.3.2.8.1.1.13": ("brainpoolP512r1", 512),
    f"{_SM}301": ("sm2p256v1", 256),
}
"""Curve -> name and bits."""

_ATTRIBUTES = {
    "2.5.4.3": "CN",
    "2.5.4.4": "SN",
    "2.5.4.5": "serialNumber",
    "2.5.4.6": "C",
    "2.5.4.7": "L",
    "2.5.4.8": "ST",
    "2.5.4.9": "street",
    "2.5.4.10": "O",
    "2.5.4.11": "OU",
    "2.5.4.12": "title",
    "2.5.4.13": "description",
    "2.5.4.15": "businessCategory",
    "2.5.4.17": "postalCode",
    "2.5.4.18": "postOfficeBox",
    "2.5.4.20": "telephoneNumber",
    "2.5.4.41": "name",
    "2.5.4.42": "GN",
    "2.5.4.43": "initials",
    "2.5.4.44": "generationQualifier",
    "2.5.4.46": "dnQualifier",
    "2.5.4.65": "pseudonym",
    "2.5.4.97": "organizationIdentifier",
    "0.9.2342.19200300.100.1.1": "UID",
    "0.9.2342.19200300.100.1.25": "DC",
    f"{_RSA}9.1": "emailAddress",
    f"{_RSA}9.2": "unstructuredName",
    f"{_RSA}9.8": "unstructuredAddress",
    "1.3.6.1.4.1.311.60.2.1.1": "jurisdictionL",
    "1.3.6.1.4.1.311.60.2.1.2": "jurisdictionST",
    "1.3.6.1.4.1.311.60.2.1.3": "jurisdictionC",
}


def name(oid: str) -> str:
    """An algorithm's name, or its number in dots."""
    return _NAMES.get(oid, oid)


def attribute(oid: str) -> str:
    """The short name of a part of a distinguished name, or its number in dots."""
    return _ATTRIBUTES.get(oid, oid)
