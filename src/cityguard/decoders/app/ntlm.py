"""NTLMSSP (MS-NLMP): who logs in, from which host. What proves it is not read."""

from __future__ import annotations

from typing import Any

MAGIC = b"NTLMSSP\0"
_MAX = 256


def account(data: bytes) -> dict[str, Any] | None:
    """User, domain and host of an AUTHENTICATE message anywhere in some bytes; None where there is none."""
    place = data.find(MAGIC + b"\3\0\0\0")
    if place < 0 or len(data) - place < 64:
        return None
    said = data[place:]
    wide = bool(said[60] & 1)
    found = {
        "user.domain": _field(said, 28, wide),
        "user.name": _field(said, 36, wide),
        "host.name": _field(said, 44, wide),
    }
    return {name: value or None for name, value in found.items()}


def _field(said: bytes, at: int, wide: bool) -> str:
    """A security buffer: length, room, offset."""
    size = int.from_bytes(said[at : at + 2], "little")
    offset = int.from_bytes(said[at + 4 : at + 8], "little")
    raw = said[offset : offset + min(size, _MAX)]
    text = raw.decode("utf-16-le", "replace") if wide else raw.decode("latin-1")
    return "".join(one for one in text if one.isprintable())
