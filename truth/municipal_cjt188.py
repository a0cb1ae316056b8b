"""Our word on vectors of CJ/T 188, in the words of their ``expect``."""

from __future__ import annotations

from typing import Any

from cityguard.decoders.ot import cjt188_frame
from truth import first


def told(data: bytes, rows: list[dict[str, Any]], transport: str) -> dict[str, Any]:
    """All the pure reader says of the first frame."""
    frame = first.frame(data, b"h", cjt188_frame.size, cjt188_frame.read, cjt188_frame.broken)
    if frame is None:
        return {}
    number = frame.value is not None and frame.code == 1 and frame.value.replace(".", "", 1).isdigit()
    value: Any = float(frame.value) if number and frame.value is not None else frame.value
    readings = {name: float(text.split()[0]) for name, text in frame.readings}
    return {
        "type": frame.station_kind,
        "address": frame.address,
        "control": frame.control,
        "from_meter": frame.answers,
        "di": None if frame.di is None else f"{frame.di:04X}",
        "ser": frame.serial,
        "value": value,
        "unit": frame.unit,
        "valve": frame.valve,
        "battery": None if frame.battery_low is None else "low" if frame.battery_low else "normal",
        "battery_low": frame.battery_low,
        "time": frame.time.strftime("%Y-%m-%dT%H:%M:%S") if frame.time else None,
        "error": frame.refused,
        "cs_ok": frame.is_sound,
        "length_ok": frame.length_ok,
        "length_error": not frame.length_ok,
    } | readings
