"""Other tools' spellings of names, numbers and versions in ours. Values are never changed."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote_to_bytes

_DNS_TYPES = {"*": "ANY", "SERVER_SELECTION": "NSAP-PTR"}


def number(value: Any) -> str | None:
    return None if value is None else str(value)


def seconds(nanoseconds: int | None) -> str | None:
    """As Zeek writes intervals."""
    return None if nanoseconds is None else f"{nanoseconds / 1e9:.6f}"


def dns_type(name: str) -> str:
    return _DNS_TYPES.get(name, name)


def alpn(value: str) -> str:
    return value


def tls_version(row: dict[str, Any]) -> str | None:
    """As Zeek writes it."""
    version = row["tls.version"]
    if version is None:
        return None
    family = {"tls": "TLSv", "dtls": "DTLSv", "ssl": "SSLv", "tlcp": ""}[row["tls.version_protocol"]]
    text = str(version).replace(".", "") if family != "SSLv" else str(version).removesuffix(".0")
    return family + text


def distinguished(value: str | None) -> str | None:
    """A name's parts, sorted, lower: their order, and which octets are escaped how, differ among tools.

    ``\\0D``, ``\\\\0D`` and ``\\x0D`` are the octet, ``\\,`` the character (RFC 4514, 2.4).
    """
    if not value or value == "None":
        return None
    parts = re.split(r"(?<!\\)[,+]", value.replace("\\\\", "\\"))
    return ",".join(sorted(_octets(part).strip().lower() for part in parts))


def _octets(part: str) -> str:
    raw = re.sub(rb"\\x?([0-9A-Fa-f]{2})", lambda found: bytes.fromhex(found[1].decode()), part.encode())
    return re.sub(rb"\\(.)", rb"\1", raw, flags=re.DOTALL).decode("utf-8", "backslashreplace")


def zeek_uri(value: str | None) -> str | None:
    """A request's target as Zeek writes it: percent escapes undone, what cannot be printed as ``\\xNN``."""
    if not value:
        return None
    text = unquote_to_bytes(value).decode("utf-8", "backslashreplace").replace("\\\\", "\\")
    return "".join(one if one.isprintable() else "".join(f"\\x{octet:02x}" for octet in one.encode()) for one in text)


def zeek_answer(kind: str, value: str) -> str:
    """What Zeek writes of a record: names and addresses, but of some types only a few of their numbers."""
    words = value.split(" ")
    if kind == "RRSIG":
        return f"RRSIG {_TYPE_NUMBERS.get(words[0], words[0].removeprefix('TYPE'))} {words[-2]}".lower()
    if kind == "DS":
        return f"DS {words[1]} {words[2]}".lower()
    if kind == "DNSKEY":
        return f"DNSKEY {words[2]}".lower()
    if kind == "MX":
        return words[-1].lower()
    if kind == "SOA":
        return words[0].lower()
    if kind == "SRV":
        return words[-1].lower()
    if kind == "LOC":
        return "loc:  " + " ".join(str(_centimetres(one)) for one in words[-3:])
    return value.lower()


def zeek_answers(value: str) -> str:
    """Zeek's answers: lower, without the length it puts before every text of a TXT record."""
    return re.sub(r"(?:^|(?<=[ ,]))TXT \d+ ", "", value).lower().replace("\\x2c", ",")


def _centimetres(metres: str) -> int:
    """A size of LOC as its octet (RFC 1876, 2): a digit and a power of ten."""
    size, power = round(float(metres.removesuffix("m")) * 100), 0
    while size > 9:
        size, power = size // 10, power + 1
    return size << 4 | power


_TYPE_NUMBERS = {"A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "PTR": 12, "MX": 15, "TXT": 16, "AAAA": 28, "LOC": 29}
_TYPE_NUMBERS |= {"SRV": 33, "NAPTR": 35, "DS": 43, "NSEC": 47, "DNSKEY": 48, "NSEC3": 50, "NSEC3PARAM": 51, "SPF": 99}
