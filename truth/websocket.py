"""A WebSocket conversation around OCPP messages given as text (RFC 6455): the upgrade, then one frame a message."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from typing import Any

from truth.packets import CLIENT, SERVER, Part

PATH = "/ocpp/CP001"
_KEY = base64.b64encode(bytes(range(16))).decode()
_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3
_EDITION = re.compile(r"\b(?:1\.6|2\.0\.1|2\.1)\b")
_MASK = b"\x37\xfa\x21\x3d"
_STATION = frozenset(
    (
        "Authorize",
        "BootNotification",
        "DataTransfer",
        "Heartbeat",
        "MeterValues",
        "SignCertificate",
        "StartTransaction",
        "StopTransaction",
        "TransactionEvent",
        "ClearedChargingLimit",
        "Get15118EVCertificate",
        "GetCertificateStatus",
        "ReservationStatusUpdate",
    )
)
"""Calls of the charge point, besides those whose name tells that they notify."""


def conversation(one: dict[str, Any], given: list[dict[str, Any]]) -> tuple[list[Part], int]:
    """What goes before a message, the call it answers with it, and which side sends the message."""
    words = json.loads(one["text"])
    call, before = one, []
    if words[0] != 2:
        asked = [
            other
            for other in given
            if other["protocol"] == one["protocol"]
            and other is not one
            and json.loads(other["text"])[:2] == [2, words[1]]
        ]
        if asked:
            call = asked[-1]
            before = [message(_caller(call), call["text"].encode())]
    side = _caller(call)
    told = _EDITION.search(call["name"])  # it stands in the upgrade, which the vector leaves out, and in its name
    return [*upgrade(f"ocpp{told[0] if told else '1.6'}"), *before], side if words[0] == 2 else CLIENT + SERVER - side


def _caller(call: dict[str, Any]) -> int:
    words = json.loads(call["text"])
    name = words[2] if words[0] == 2 else ""
    return CLIENT if name in _STATION or name.startswith("Notify") or name.endswith("Notification") else SERVER


def upgrade(subprotocol: str) -> list[Part]:
    """The HTTP request and response that open the WebSocket."""
    accept = base64.b64encode(hashlib.sha1(f"{_KEY}{_GUID}".encode(), usedforsecurity=False).digest()).decode()
    asks = (
        f"GET {PATH} HTTP/1.1\r\nHost: csms.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {_KEY}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: {subprotocol}\r\n\r\n"
    )
    answers = (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: {subprotocol}\r\n\r\n"
    )
    return [Part(CLIENT, asks.encode()), Part(SERVER, answers.encode())]


def message(side: int, text: bytes) -> Part:
    """One text frame; a client's is masked (RFC 6455, 5.3)."""
    masked = 0x80 if side == CLIENT else 0
    size = len(text)
    if size < 126:
        head = bytes((0x81, masked | size))
    elif size < 65_536:
        head = bytes((0x81, masked | 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((0x81, masked | 127)) + size.to_bytes(8, "big")
    if masked:
        text = bytes(byte ^ _MASK[at % 4] for at, byte in enumerate(text))
        head += _MASK
    return Part(side, head + text)
