"""What we say of an HJ 212 message, in the words of its vectors."""

from __future__ import annotations

from typing import Any

from cityguard.decoders.ot import hj212_frame, hj212_names
from cityguard.decoders.ot.hj212_frame import Frame
from truth.secret import Secret

NUMBERS = ("Flag",)


def frames(data: bytes) -> tuple[list[Frame], int]:
    """The frames in some bytes, and how many bytes belong to none."""
    found, skipped, place = list[Frame](), 0, 0
    while place < len(data):
        size = hj212_frame.size(data, place, final=True) if data.startswith(b"##", place) else -1
        if size > 0:
            found.append(hj212_frame.read(data[place : place + size]))
            place += size
        else:
            skipped += 1
            place += 1
    return found, skipped


def told(data: bytes, rows: list[dict[str, Any]], transport: str) -> dict[str, Any]:
    """All we say; of several frames, what the first says."""
    found, skipped = frames(data)
    if not found:
        return {"frames": 0, "skipped_bytes": skipped, "error": "malformed"}
    first = found[0]
    head: dict[str, Any] = dict(first.head)
    if first.flag is not None:
        head["Flag"] = first.flag
    checks = [one.crc_ok for one in found]
    return {
        "frames": len(found),
        "skipped_bytes": skipped,
        "crc_ok": None if None in checks else all(checks),
        "crc_variant": first.variant,
        "error": first.error,
        "length": first.length,
        "characters": len(hj212_frame.text_of(first.data)),
        "fields": head,
        "version": first.edition,
        "ack_wanted": first.wants_answer,
        "split": first.split,
        "pno": [int(one.head["PNO"]) for one in found if one.head.get("PNO", "").isdigit()],
        "pnum": first.head.get("PNUM"),
        "direction": "field_to_platform" if first.from_field else "platform_to_field",
        "encrypted": first.encrypted,
        "test_key": first.test_key,
        "cp": items(first),
    }


def items(frame: Frame) -> dict[str, Any]:
    """CP by factor and field; passwords and keys are marked as such."""
    found: dict[str, Any] = {}
    for factor, key, value in frame.items:
        place = found.setdefault(factor, {}) if factor else found
        if isinstance(place, dict):
            place[key] = Secret(value) if hj212_names.is_secret(key) else value
    return found
