# SPDX-License-Identifier: GPL-2.0-only
# Part of a helper program of its own: it drives scapy (GPL-2.0-only) in its own process and only writes files.
"""A national-cipher gateway (TLCP, and TLS 1.3 of RFC 8998): terminals come and go, then it turns SM4 down.

The certificates were issued once by a throw-away SM2 authority of OpenSSL; nobody has their keys. Signatures and
ciphertexts of the handshakes have the right shape and are random: nothing here can be decrypted.
"""

import base64
import random
import struct

from scripts.city import plan
from scripts.crafting.capture import Capture, moment

RNG = random.Random(f"{plan.SEED}/tlcp")
NAME = "gw.jianglan.example"
TLCP, TLS12, TLS13 = 0x0101, 0x0303, 0x0304
ECC_GCM, ECDHE_CBC, ECC_CBC, ECDHE_GCM = 0xE053, 0xE011, 0xE013, 0xE051
SM4_GCM, SM4_CCM, AES_GCM = 0x00C6, 0x00C7, 0x1301
CURVE_SM2, X25519 = 41, 29
CHANGED = 37  # minute of the hour at which somebody changes the gateway

SIGNING = base64.b64decode(
    "MIIB1zCCAX6gAwIBAgIUMX2wGbExK3eGoatuUWxqFXdul+IwCgYIKoEcz1UBg3UwIzELMAkGA1UEBhMCQ04xFDASBgNVBAMMC0Np"
    "dHktU00yLUNBMB4XDTI2MDEwMTAwMDAwMFoXDTI3MDEwMTAwMDAwMFowKzELMAkGA1UEBhMCQ04xHDAaBgNVBAMME2d3LmppYW5n"
    "bGFuLmV4YW1wbGUwWTATBgcqhkjOPQIBBggqgRzPVQGCLQNCAAQYvJRzrHmabEibbRcfwWQq8g0I7AE4Y5pDZP1LPgMBr9DWU0bl"
    "IJPInckh+QRarfmA1mES/lvT/AKURbvgU9O5o4GHMIGEMA4GA1UdDwEB/wQEAwIGwDAJBgNVHRMEAjAAMB0GA1UdDgQWBBSgKBXf"
    "b7HoSljoudeUR9zYuovNwTBIBgNVHSMEQTA/oSekJTAjMQswCQYDVQQGEwJDTjEUMBIGA1UEAwwLQ2l0eS1TTTItQ0GCFHTKxHgn"
    "31B/se9JfwLw7cHBH5WMMAoGCCqBHM9VAYN1A0cAMEQCIET7iWhuuBCsXmACsArs5CmYh6Elln4Cwi7+fgPPudH+AiAlhtipCmGV"
    "wWV/e4Lnl9o9EKbANeCSdBj3STuR8prEHw=="
)
ENCRYPTION = base64.b64decode(
    "MIIB2DCCAX6gAwIBAgIUNPjzI+qAk5loCxG81s1ZuIU821MwCgYIKoEcz1UBg3UwIzELMAkGA1UEBhMCQ04xFDASBgNVBAMMC0Np"
    "dHktU00yLUNBMB4XDTI2MDEwMTAwMDAwMFoXDTI3MDEwMTAwMDAwMFowKzELMAkGA1UEBhMCQ04xHDAaBgNVBAMME2d3LmppYW5n"
    "bGFuLmV4YW1wbGUwWTATBgcqhkjOPQIBBggqgRzPVQGCLQNCAAQRNmxJA+WWZlLclBaZVROI/Wl6N2FMX9+kx7muaAG/dQejjP7l"
    "gPEqlJUZspgiEmiMJXk5qoCF+bzQhVuxPdXno4GHMIGEMA4GA1UdDwEB/wQEAwIDODAJBgNVHRMEAjAAMB0GA1UdDgQWBBRfj+LN"
    "mIoEjvuCM1jO4x5RoluaWzBIBgNVHSMEQTA/oSekJTAjMQswCQYDVQQGEwJDTjEUMBIGA1UEAwwLQ2l0eS1TTTItQ0GCFHTKxHgn"
    "31B/se9JfwLw7cHBH5WMMAoGCCqBHM9VAYN1A0gAMEUCIQDoCLSSxpNsj1ylGbTegqCGjDF0WXgey3amOHw8mkHCdgIgGHeO/WJo"
    "tFIrp9oI0L5kQNWbmsP9tJt9GKVnGwK+v7Q="
)
CLIENT_SIGNING = base64.b64decode(
    "MIIB0DCCAXagAwIBAgIULCcwpfFNtn9Y1kLU93Bb3nPPi60wCgYIKoEcz1UBg3UwIzELMAkGA1UEBhMCQ04xFDASBgNVBAMMC0Np"
    "dHktU00yLUNBMB4XDTI2MDEwMTAwMDAwMFoXDTI3MDEwMTAwMDAwMFowIzELMAkGA1UEBhMCQ04xFDASBgNVBAMMC3Rlcm1pbmFs"
    "LTAzMFkwEwYHKoZIzj0CAQYIKoEcz1UBgi0DQgAEIEpbcdz8CqtXczWD2i6ynI7HVjJugqmeNlT7IdyddXpayaI2ygSR8MCz4lnY"
    "bcnGCC3skAilmPVK4qP0Ue/rZaOBhzCBhDAOBgNVHQ8BAf8EBAMCBsAwCQYDVR0TBAIwADAdBgNVHQ4EFgQUqvLXjjL+4Ri6lT8I"
    "I4g1DneFqEIwSAYDVR0jBEEwP6EnpCUwIzELMAkGA1UEBhMCQ04xFDASBgNVBAMMC0NpdHktU00yLUNBghR0ysR4J99Qf7HvSX8C"
    "8O3BwR+VjDAKBggqgRzPVQGDdQNIADBFAiAn9szZEHnjn2hUEoF8kIJI5O9wJy3y21MWR/py4oQ9GQIhANTasccZGuLAUqPSxmHA"
    "LNayKKZNQOVdrjynRem5Ksx3"
)
CLIENT_ENCRYPTION = base64.b64decode(
    "MIIB0TCCAXagAwIBAgIUc8G3WUccaRN685LP+rZ0dTHYjSYwCgYIKoEcz1UBg3UwIzELMAkGA1UEBhMCQ04xFDASBgNVBAMMC0Np"
    "dHktU00yLUNBMB4XDTI2MDEwMTAwMDAwMFoXDTI3MDEwMTAwMDAwMFowIzELMAkGA1UEBhMCQ04xFDASBgNVBAMMC3Rlcm1pbmFs"
    "LTAzMFkwEwYHKoZIzj0CAQYIKoEcz1UBgi0DQgAEqY4g/ycGkge3fMDEZPWnUsbMD/2JLYmHTKEFEcw8IeVwyS6AKVLvcodzPGY8"
    "DYbodZECUSeNLwsGnaTTqWP6o6OBhzCBhDAOBgNVHQ8BAf8EBAMCAzgwCQYDVR0TBAIwADAdBgNVHQ4EFgQUciSG5HCkbAmnR1Yu"
    "vVYq2KtrmNwwSAYDVR0jBEEwP6EnpCUwIzELMAkGA1UEBhMCQ04xFDASBgNVBAMMC0NpdHktU00yLUNBghR0ysR4J99Qf7HvSX8C"
    "8O3BwR+VjDAKBggqgRzPVQGDdQNJADBGAiEAuP7zNtrC+jQE9UfHUz6hMs60Wd2DyZhjiANOw0IQa0wCIQCtoLin0xex6hr38OE4"
    "U/Zd5UGSwzI5H6kHMx1SF1QhQw=="
)


def craft():
    capture = Capture(vlan=16, rng=RNG)
    gateway, (hall, tax) = plan.TLCP_GATEWAY, plan.TLCP_CLIENTS
    ports = iter(range(41_000, 42_000))
    for minute in spread(1, 58, 15):
        capture.tcp(moment(minute), hall, gateway, next(ports), 443, tlcp(ECC_GCM))
    for minute in spread(2, 57, 7):
        capture.tcp(moment(minute), tax, gateway, next(ports), 443, tlcp(ECDHE_CBC, mutual=True))
    for minute in spread(3, CHANGED - 1, 7):
        capture.tcp(moment(minute), tax, gateway, next(ports), 443, tls13(SM4_GCM))
    for minute in spread(CHANGED, 58, 5):
        capture.tcp(moment(minute), tax, gateway, next(ports), 443, tls13(AES_GCM))
    capture.write(
        "tlcp-downgrade",
        ("国密接入网关被改配置，客户端被降级", "The national-cipher gateway turns SM4 down"),
        ["cityguard.network.guomi_downgrade"],
        exact=True,
    )


def spread(first, last, count):
    """Moments of people, not of clocks."""
    return sorted(RNG.uniform(first, last) for _ in range(count))


def octets(count):
    return RNG.randbytes(count)


def vector(width, body):
    return len(body).to_bytes(width, "big") + body


def record(kind, body, version):
    return struct.pack("!BHH", kind, version, len(body)) + body


def message(kind, body):
    return bytes([kind]) + vector(3, body)


def der(tag, body):
    return bytes([tag]) + (bytes([len(body)]) if len(body) < 128 else b"\x81" + bytes([len(body)])) + body


def number():
    return der(2, b"\x5a" + octets(31))


def signature():
    return vector(2, der(0x30, number() + number()))


def point():
    return b"\x03" + struct.pack("!H", CURVE_SM2) + vector(1, b"\x04" + octets(64))


def chain(*ders):
    return message(11, vector(3, b"".join(vector(3, one) for one in ders)))


def talk(version):
    """What follows a handshake: requests and answers nobody can read."""
    turns = []
    for _ in range(RNG.randrange(1, 4)):
        turns.append((0, record(23, octets(RNG.randrange(120, 400)), version), RNG.uniform(0.2, 4)))
        turns.append((1, record(23, octets(RNG.randrange(300, 1300)), version), RNG.uniform(0.02, 0.3)))
    return turns


def tlcp(suite, mutual=False):
    """A whole connection of TLCP (GB/T 38636, 6.4): ECC enciphers a secret, ECDHE asks for the client's pair too."""
    ephemeral = suite in (ECDHE_CBC, ECDHE_GCM)
    offered = struct.pack("!4H", ECC_GCM, ECC_CBC, ECDHE_GCM, ECDHE_CBC)
    hello = struct.pack("!H", TLCP) + octets(32) + b"\0" + vector(2, offered) + b"\x01\x00"
    answer = struct.pack("!H", TLCP) + octets(32) + vector(1, octets(32)) + struct.pack("!HB", suite, 0)
    flight = message(2, answer) + chain(SIGNING, ENCRYPTION)
    flight += message(12, point() + signature() if ephemeral else signature())
    flight += message(13, vector(1, b"\x50") + vector(2, b"")) if mutual else b""
    flight += message(14, b"")
    secret = der(0x30, number() + number() + der(4, octets(32)) + der(4, octets(48)))
    back = chain(CLIENT_SIGNING, CLIENT_ENCRYPTION) if mutual else b""
    back += message(16, vector(2, point() if ephemeral else secret))
    back += message(15, signature()) if mutual else b""
    change = record(20, b"\x01", TLCP)
    return [
        (0, record(22, message(1, hello), TLCP), 0.01),
        (1, record(22, flight, TLCP), 0.02),
        (0, record(22, back, TLCP) + change + record(22, octets(80), TLCP), 0.03),
        (1, change + record(22, octets(80), TLCP), 0.02),
        *talk(TLCP),
    ]


def extension(kind, body):
    return struct.pack("!H", kind) + vector(2, body)


def tls13(suite):
    """A connection of TLS 1.3 whose client offers SM4 first (RFC 8998); what the gateway takes is ``suite``."""
    national = suite == SM4_GCM
    share = struct.pack("!H", CURVE_SM2) + vector(2, b"\x04" + octets(64))
    other = struct.pack("!H", X25519) + vector(2, octets(32))
    session = vector(1, octets(32))
    offered = vector(2, struct.pack("!3H", SM4_GCM, SM4_CCM, AES_GCM))
    extensions = (
        extension(0, vector(2, b"\0" + vector(2, NAME.encode())))
        + extension(10, vector(2, struct.pack("!2H", CURVE_SM2, X25519)))
        + extension(13, vector(2, struct.pack("!3H", 0x0708, 0x0403, 0x0804)))
        + extension(43, vector(1, struct.pack("!2H", TLS13, TLS12)))
        + extension(51, vector(2, share + other))
    )
    hello = struct.pack("!H", TLS12) + octets(32) + session + offered + b"\x01\x00" + vector(2, extensions)
    chosen = extension(43, struct.pack("!H", TLS13)) + extension(51, share if national else other)
    answer = struct.pack("!H", TLS12) + octets(32) + session + struct.pack("!HB", suite, 0) + vector(2, chosen)
    change = record(20, b"\x01", TLS12)
    return [
        (0, record(22, message(1, hello), 0x0301), 0.01),
        (1, record(22, message(2, answer), TLS12) + change + record(23, octets(1100), TLS12), 0.02),
        (0, change + record(23, octets(53), TLS12), 0.01),
        *talk(TLS12),
    ]
