"""Frames of meters (DL/T 645, CJ/T 188) inside what IoT transports carry: LwM2M object 19, MQTT payloads."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from cityguard.decoders.ot import cjt188, cjt188_frame, dlt645_frame, dlt645_rows
from cityguard.decoders.wire import summed

MAX_FRAMES = 8
MAX_OCTETS = 4_096
MAX_TRIES = 64
PRODUCTS = ("dlt645", "cjt188")
_START = b"\x68"
_HEX = frozenset("0123456789abcdefABCDEF")


def rows(payload: bytes, captured: int) -> list[dict[str, Any]]:
    """The columns of each sound frame; ``captured`` is when the payload came, ns."""
    data = payload[:MAX_OCTETS]
    found: list[dict[str, Any]] = []
    place = data.find(_START)
    tries = 0
    while place >= 0 and len(found) < MAX_FRAMES and tries < MAX_TRIES:
        tries += 1
        size = _electric(data, place, captured, found) or _other(data, place, captured, found)
        place = data.find(_START, place + max(size, 1))
    return found


def _electric(data: bytes, place: int, captured: int, found: list[dict[str, Any]]) -> int:
    size = dlt645_frame.size(data, place)
    if not 0 < size <= len(data) - place or not summed.checked(data, place, size):
        return 0
    frame = dlt645_frame.read(data[place : place + size])
    if frame is None:
        return 0
    found.append(dlt645_rows.fields(frame, captured))
    return size


def _other(data: bytes, place: int, captured: int, found: list[dict[str, Any]]) -> int:
    size = cjt188_frame.size(data, place)
    if not 0 < size <= len(data) - place or not summed.checked(data, place, size):
        return 0
    frame = cjt188_frame.read(data[place : place + size])
    if frame is None:
        return 0
    found.append(cjt188.fields(frame, None, captured))
    return size


def octets(text: str) -> bytes:
    """What a text holds in hexadecimal or Base64; empty where it is neither."""
    plain = text.strip().replace(" ", "")[: 2 * MAX_OCTETS]
    if len(plain) >= 20 and len(plain) % 2 == 0 and _HEX.issuperset(plain):
        return bytes.fromhex(plain)
    try:
        return base64.b64decode(plain, validate=True) if len(plain) >= 16 else b""
    except (binascii.Error, ValueError):
        return b""
