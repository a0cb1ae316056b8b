"""Our word on vectors of DL/T 645, in the words of their ``expect``."""

from __future__ import annotations

from typing import Any

from cityguard.decoders.ot import dlt645_frame
from truth import first


def told(data: bytes, rows: list[dict[str, Any]], transport: str) -> dict[str, Any]:
    """All the pure reader says of the first frame."""
    frame = first.frame(data, b"h", dlt645_frame.size, dlt645_frame.read, dlt645_frame.broken)
    if frame is None:
        return {}
    value: Any = frame.value
    if frame.code in (0x11, 0x01) and value is not None and value.replace(".", "", 1).lstrip("-").isdigit():
        value = float(value)
    changes = frame.code == 0x18 and not frame.from_meter and len(frame.data) == 12
    return {
        "address": frame.address,
        "broadcast": frame.address == dlt645_frame.BROADCAST,
        "wildcard": "A" in frame.address,
        "control": frame.control,
        "from_meter": frame.from_meter,
        "more": frame.more,
        "edition": frame.edition,
        "di": frame.identifier,
        "value": value,
        "time": frame.time.strftime("%Y-%m-%dT%H:%M:%S") if frame.time else None,
        "password": frame.password,
        "old_password": frame.password if changes else None,
        "new_password": frame.data[11:8:-1].hex().upper() if changes else None,
        "password_level": frame.level,
        "operator": frame.operator,
        "command": frame.command,
        "relay": frame.command,
        "valid_until": frame.until,
        "until": frame.until,
        "new_address": frame.value if frame.code in (0x0A, 0x15) else None,
        "sequence": frame.sequence,
        "encrypted": frame.encrypted,
        "error": frame.refused,
        "error_bits": list(frame.error_bits),
        "cs_ok": frame.is_sound,
        "length_ok": frame.length_ok,
        "length_error": not frame.length_ok,
    }
