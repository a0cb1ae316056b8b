"""Our word on vectors of GB/T 20999, in the words of their ``expect``."""

from __future__ import annotations

from typing import Any

from cityguard.decoders.ot import gbt20999_frame
from truth import first


def told(data: bytes, rows: list[dict[str, Any]], transport: str) -> dict[str, Any]:
    """All the pure reader says of the frame."""
    frame = first.frame(data, b"~", gbt20999_frame.size, gbt20999_frame.read)
    if frame is None:
        return {}
    return {
        "type": f"0x{frame.type:02x} {frame.name.replace('_', ' ')}",
        "version": "{}.{}".format(*frame.version),
        "host": frame.host,
        "controller": frame.controller,
        "crossing": frame.crossing,
        "serial": frame.serial,
        "items": [
            {
                "index": one.index,
                "class": one.kind,
                "object": one.object,
                "attribute": one.attribute,
                "element": one.element,
                "value": one.value.hex(),
            }
            for one in frame.items
        ],
        "crc_ok": frame.variant is not None,
        "crc_variant": gbt20999_frame.POLYNOMIALS.get(frame.variant or ""),
        "length_counts_crc": frame.counts_check,
    }
