"""Where a command sends a device: a host, ``host:port`` or a URL, as columns of an ``ot`` row."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from cityguard.decoders import secrets

MAX_TARGET = 512


def columns(target: str) -> dict[str, Any]:
    """``ot.target`` without what it may hold of a password, and ``ot.target_ip`` where its host is an address."""
    shown = secrets.url(target.strip()[:MAX_TARGET])
    return {"ot.target": shown or None, "ot.target_ip": address(host(shown))}


def host(target: str) -> str:
    """The host of a URL, of ``host:port`` or of a mere host; lower case, without brackets."""
    authority = target.partition("://")[2] if "://" in target[:32] else target
    authority = authority.partition("/")[0].partition("?")[0].rpartition("@")[2]
    if authority.startswith("["):
        return authority[1:].partition("]")[0].lower()
    name, colon, port = authority.partition(":")
    return (name if not colon or port.isdigit() else authority).lower()


def address(name: str) -> str | None:
    """An address in canonical form; None where the host is a name."""
    try:
        return str(ip_address(name))
    except ValueError:
        return None


def password(target: str) -> bytes | None:
    """The password in a URL's user information."""
    try:
        found = urlsplit(target[:MAX_TARGET]).password
    except ValueError:
        return None
    return found.encode("utf-8", "replace") if found else None
