"""What a publication of MQTT tells a device to do, or tells of one: by words of its topic, its payload where plain."""

from __future__ import annotations

import json
import re
from typing import Any

from cityguard.decoders import secrets
from cityguard.decoders.ot import carried_meter

MAX_PAYLOAD = 8_192
MAX_VALUE = 512
MAX_PAIRS = 16
COMMANDS = frozenset(("set", "cmd", "ctrl", "down", "command", "control", "downlink"))
REPORTS = frozenset(("up", "report", "status", "uplink"))
_WORDS = re.compile(r"[^a-z0-9]+")
_IDS = ("meterId", "meter_id", "meterNo", "meterAddr", "deviceId", "device_id", "devEui", "imei", "addr", "address")


def kind(topic: str) -> str | None:
    """``write`` for a topic of commands, ``read`` for one of reports, None for others (and the broker's own)."""
    if topic.startswith("$SYS"):
        return None
    words = set(_WORDS.split(topic.lower()[:512]))
    if words & COMMANDS:
        return "write"
    return "read" if words & REPORTS else None


def device(topic: str) -> str:
    """The topic without its word of command or report: what it is about."""
    parts = [part for part in topic.split("/") if part and not set(_WORDS.split(part.lower())) & (COMMANDS | REPORTS)]
    return "/".join(parts)[:128]


def rows(topic: str, payload: bytes, client: str, *, retained: bool, captured: int) -> list[dict[str, Any]]:
    """Columns of ``ot``: the command or report, then frames of meters in it; ``captured`` in ns."""
    found = kind(topic)
    if found is None:
        return []
    given = _json(payload)
    unit = _unit(given)
    inside = carried_meter.rows(payload, captured) or _inside(payload, given, captured)
    if found == "read" and unit is None and not inside:
        return []
    fields: dict[str, Any] = {
        "ot.protocol": "mqtt",
        "ot.function.code": 3,
        "ot.function.name": "PUBLISH",
        "ot.function.class": found,
        "ot.unit_id": unit or device(topic) or None,
        "ot.address": topic[:255],
        "ot.message.type": "publish",
        "ot.is_request": found == "write",
        "ot.flags": ["retained"] if retained else None,
        "event.fields": json.dumps({"mqtt": {"client": client}}, ensure_ascii=False) if client else None,
    }
    if found == "write":
        fields["ot.value"] = secrets.HIDDEN if _is_secret(topic) else _value(payload, given)
    if isinstance(given, dict):
        fields["ot.quantity"] = len(given)
    return [fields, *inside]


def _json(payload: bytes) -> Any:
    if len(payload) > MAX_PAYLOAD or payload.lstrip()[:1] not in (b"{", b"["):
        return None
    try:
        return json.loads(payload)
    except (ValueError, RecursionError):
        return None


def _unit(given: Any) -> str | None:
    """The device that a JSON payload names."""
    if not isinstance(given, dict):
        return None
    for key in _IDS:
        if isinstance(given.get(key), str | int) and not isinstance(given[key], bool):
            return str(given[key])[:64]
    return None


def _is_secret(topic: str) -> bool:
    return any(secrets.named(part) for part in topic.split("/"))


def _value(payload: bytes, given: Any) -> str | None:
    """What a command sets: pairs of a JSON object, or a short readable text."""
    if isinstance(given, dict):
        few = list(given.items())[:MAX_PAIRS]
        told = any(isinstance(value, str) and secrets.named(value[:64]) for _, value in few)  # {"name": …, "value": …}
        pairs = [f"{key}={secrets.HIDDEN if told else _word(str(key), value)}" for key, value in few]
        return ",".join(pairs)[:MAX_VALUE] or None
    try:
        text = payload[:MAX_VALUE].decode()
    except UnicodeDecodeError:
        return payload[:64].hex() or None
    return text if text and text.isprintable() and not secrets.named(text) else None


def _word(key: str, value: Any) -> str:
    if secrets.named(key):
        return secrets.HIDDEN
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)[:64]
    return "…"


def _inside(payload: bytes, given: Any, captured: int) -> list[dict[str, Any]]:
    """Frames of meters written in hexadecimal or Base64: the whole payload, or a value of a JSON object."""
    if isinstance(given, dict):
        texts = [value for value in given.values() if isinstance(value, str)][:MAX_PAIRS]
    else:
        texts = [payload.decode("ascii", "replace")] if len(payload) <= MAX_PAYLOAD else []
    for text in texts:
        if found := carried_meter.rows(carried_meter.octets(text), captured):
            return found
    return []
