"""Numbers of IKE by name: IANA's registers for IKEv1 (RFC 2409) and IKEv2 (RFC 7296), and those of GM/T 0022.

The numbers of GM/T 0022 (127 to 129, hash 20, attribute 20, authentication 10) are those that public dissectors know.
"""

from __future__ import annotations

EXCHANGES = {
    1: "base",
    2: "main",
    3: "authentication_only",
    4: "aggressive",
    5: "informational",
    6: "transaction",
    32: "quick",
    33: "new_group",
    34: "ike_sa_init",
    35: "ike_auth",
    36: "create_child_sa",
    37: "informational",
    38: "ike_session_resume",
    43: "ike_intermediate",
    44: "ike_followup_ke",
}

ENCRYPTIONS = {
    1: "DES-CBC",
    2: "IDEA-CBC",
    3: "Blowfish-CBC",
    4: "RC5-R16-B64-CBC",
    5: "3DES-CBC",
    6: "CAST-CBC",
    7: "AES-CBC",
    8: "Camellia-CBC",
    127: "SM4-CBC",
    128: "SM1-CBC",
    129: "SM4-CBC",
}
HASHES = {1: "MD5", 2: "SHA1", 3: "Tiger", 4: "SHA2-256", 5: "SHA2-384", 6: "SHA2-512", 20: "SM3"}
AUTHENTICATIONS = {
    1: "psk",
    2: "dss",
    3: "rsa-signature",
    4: "rsa-encryption",
    5: "rsa-encryption-revised",
    9: "ecdsa-256",
    10: "ecdsa-384",
    11: "ecdsa-521",
    64221: "hybrid-rsa",
    64223: "hybrid-dss",
    65001: "xauth-psk",
    65003: "xauth-dss",
    65005: "xauth-rsa",
    65007: "xauth-rsa-encryption",
    65009: "xauth-rsa-encryption-revised",
}
ENVELOPE = 10
"""Authentication by digital envelope in GM/T 0022; elsewhere the number is ECDSA-384."""
ASYMMETRIC = {1: "RSA", 2: "SM2"}
NATIONAL = frozenset((127, 128, 129))
"""Encryptions of GM/T 0022: SM4, SM1, SM4."""
SM3 = 20

GROUPS = {
    1: "modp768",
    2: "modp1024",
    3: "ec2n155",
    4: "ec2n185",
    5: "modp1536",
    14: "modp2048",
    15: "modp3072",
    16: "modp4096",
    17: "modp6144",
    18: "modp8192",
    19: "ecp256",
    20: "ecp384",
    21: "ecp521",
    22: "modp1024s160",
    23: "modp2048s224",
    24: "modp2048s256",
    25: "ecp192",
    26: "ecp224",
    27: "brainpool224",
    28: "brainpool256",
    29: "brainpool384",
    30: "brainpool512",
    31: "curve25519",
    32: "curve448",
    35: "mlkem512",
    36: "mlkem768",
    37: "mlkem1024",
}

ENCRYPTIONS_2 = {
    1: "DES-IV64",
    2: "DES",
    3: "3DES",
    4: "RC5",
    5: "IDEA",
    6: "CAST",
    7: "Blowfish",
    8: "3IDEA",
    9: "DES-IV32",
    11: "NULL",
    12: "AES-CBC",
    13: "AES-CTR",
    14: "AES-CCM-8",
    15: "AES-CCM-12",
    16: "AES-CCM-16",
    18: "AES-GCM-8",
    19: "AES-GCM-12",
    20: "AES-GCM-16",
    21: "NULL-AUTH-AES-GMAC",
    23: "Camellia-CBC",
    24: "Camellia-CTR",
    25: "Camellia-CCM-8",
    26: "Camellia-CCM-12",
    27: "Camellia-CCM-16",
    28: "ChaCha20-Poly1305",
    29: "AES-CCM-8-IIV",
    30: "AES-GCM-16-IIV",
    31: "ChaCha20-Poly1305-IIV",
}
PRFS = {
    1: "PRF-MD5",
    2: "PRF-SHA1",
    3: "PRF-Tiger",
    4: "PRF-AES128-XCBC",
    5: "PRF-SHA2-256",
    6: "PRF-SHA2-384",
    7: "PRF-SHA2-512",
    8: "PRF-AES128-CMAC",
}
INTEGRITIES = {
    0: "NONE",
    1: "MD5-96",
    2: "SHA1-96",
    3: "DES-MAC",
    4: "KPDK-MD5",
    5: "AES-XCBC-96",
    6: "MD5-128",
    7: "SHA1-160",
    8: "AES-CMAC-96",
    9: "AES128-GMAC",
    10: "AES192-GMAC",
    11: "AES256-GMAC",
    12: "SHA2-256-128",
    13: "SHA2-384-192",
    14: "SHA2-512-256",
}


def of(table: dict[int, str], number: int) -> str:
    """The name of a number, or the number."""
    return table.get(number) or str(number)
