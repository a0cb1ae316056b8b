"""CIP paths (EPATH): which class, instance, attribute, member or tag a message speaks to (CIP volume 1, appendix C)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import lru_cache

MAX_SEGMENTS = 32
MAX_TEXT = 256
_LOGICAL = ("class", "instance", "member", "point", "attribute", "special", "service", "")
_word = struct.Struct("<H").unpack_from
_long = struct.Struct("<I").unpack_from


@dataclass(frozen=True, slots=True)
class Path:
    """A path, read: where it leads."""

    address: str | None = None
    """``0x01/1/7`` = class/instance/attribute, or a tag's name; None = nothing of the kind in it."""
    klass: int = -1
    """The last class named, the one a service is for; -1 = none."""
    symbolic: bool = False
    slot: int | None = None
    """Link address of the last hop through a backplane (port 1)."""
    sound: bool = True
    """Every segment was understood."""


@lru_cache(4096)
def read(data: bytes) -> Path:
    """Read a path; what is not understood ends it."""
    parts: list[str] = []
    names: list[str] = []
    klass, slot, at, sound = -1, None, 0, True
    for _ in range(MAX_SEGMENTS):
        if at >= len(data):
            break
        kind = data[at] >> 5
        try:
            if kind == 0:
                link, at = _port(data, at)
                slot = link if link is not None else slot
            elif kind == 1:
                name, value, at = _logical(data, at)
                klass = value if name == "class" else klass
                if name == "member" and names:
                    names[-1] += f"[{value}]"
                elif name in ("class", "service"):
                    parts.append(f"0x{value:02X}")
                elif name in ("instance", "member", "point", "attribute"):
                    parts.append(str(value))
            elif kind == 2:
                at += 2 if data[at] & 0x10 == 0 and data[at] != 0x44 else 2 + 2 * data[at + 1]
            elif kind == 3:
                size = data[at] & 0x1F
                names.append(_text(data[at + 1 : at + 1 + size]))
                at += 1 + size + (1 - size % 2 if size else 1)
            elif data[at] == 0x91:
                size = data[at + 1]
                names.append(_text(data[at + 2 : at + 2 + size]))
                at += 2 + size + size % 2
            elif data[at] == 0x80:
                at += 2 + 2 * data[at + 1]
            else:
                sound = False
                break
        except (IndexError, struct.error):
            sound = False
            break
    address = ".".join(names) if names else "/".join(parts)
    return Path(address[:MAX_TEXT] or None, klass, bool(names), slot, sound and at <= len(data))


def _port(data: bytes, at: int) -> tuple[int | None, int]:
    """A hop: its link address where it is a number on the backplane, and where it ends."""
    port, extended = data[at] & 0x0F, data[at] & 0x10
    begin = at + 1
    size = 1
    if extended:
        size, begin = data[begin], begin + 1
    if port == 15:
        begin += 2
    end = begin + size
    if extended:
        end += (end - at) % 2
    return (data[begin] if port == 1 and size == 1 else None), end


def _logical(data: bytes, at: int) -> tuple[str, int, int]:
    kind, form = data[at] >> 2 & 7, data[at] & 3
    if kind == 5:  # an electronic key: format 4 is eight bytes more
        return "special", 0, at + 10
    if form == 0:
        return _LOGICAL[kind], data[at + 1], at + 2
    if form == 1:
        return _LOGICAL[kind], _word(data, at + 2)[0], at + 4
    return _LOGICAL[kind], _long(data, at + 2)[0], at + 6


def _text(raw: bytes) -> str:
    return "".join(char if char.isprintable() else "?" for char in raw.decode("latin-1"))
