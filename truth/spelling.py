"""Other tools' spellings of names, numbers and versions in ours. Values are never changed."""

from __future__ import annotations

import re
from typing import Any

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
    """A name's parts, sorted: order and escapes differ among tools."""
    if not value or value == "None":
        return None
    plain = re.sub(r"\\+([0-9A-Fa-f]{2})", "", value)
    parts = re.split(r"(?<!\\)[,+]", plain.replace("\\\\", "\\"))
    return ",".join(sorted(part.strip().replace("\\", "").lower() for part in parts))
