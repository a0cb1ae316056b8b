"""An HJ 212 frame as the columns of an ``ot`` row: nothing secret is left in it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any

from cityguard.decoders import passwords
from cityguard.decoders.ot import hj212_names as names
from cityguard.decoders.ot.hj212_frame import Frame

MAX_TEXT = 512
"""Characters of a text in a row."""
MAX_VALUES = 16
MAX_MN = 32
_HOURS = timedelta(hours=8)
_EPOCH, _MICRO = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)
_MASK = "<masked>"
_OWN_TIME = {1011: "SystemTime", 1012: "SystemTime", 1014: "SKCreateTime"}
"""Commands whose own time is neither that of the data nor that of the request."""
_TARGETS = frozenset(("AlarmTarget", "ReportTarget"))


def row(frame: Frame, now: int) -> dict[str, Any]:
    """Columns of a frame.

    Args:
        frame: what it says.
        now: when it was captured, ns since the epoch; 0 = unknown.
    """
    code, kind, edition = frame.code, frame.kind, frame.edition
    name, klass = names.command(code, edition)
    status, failed = _status(frame)
    at = told_at(frame)
    head = frame.head
    found: dict[str, Any] = {
        "ot.protocol": "hj212",
        "ot.function.code": code,
        "ot.function.name": name,
        "ot.function.class": "error" if failed else klass,
        "ot.unit_id": (head.get("MN") or "")[:MAX_MN] or None,
        "ot.address": _address(frame),
        "ot.quantity": _quantity(frame),
        "ot.value": _value(frame) if kind == "request" and klass in ("write", "control", "program") else None,
        "ot.status": status,
        "ot.message.type": kind,
        "ot.is_request": kind == "request",
        "ot.request_id": (frame.request_id or "")[:MAX_MN] or None,
        "ot.edition": edition,
        "ot.time": at,
        "ot.time_offset": (_micros(at) * 1_000 - now) / 1e9 if at and now > 0 else None,
        "ot.station_kind": names.system(head.get("ST")),
        "ot.encrypted": frame.encrypted,
        "ot.flags": flags(frame) or None,
        "event.fields": json.dumps(_fields(frame), ensure_ascii=False, separators=(",", ":")),
    }
    if code == 1032 and (target := _target(frame)):
        found |= {"ot.target": target, "ot.target_ip": _ip(target)}
    if (secret := _password(frame)) is not None:
        found |= passwords.judge(secret.encode(), head.get("MN", "")).columns()
    return found


def flags(frame: Frame) -> list[str]:
    """Marks: letters of the data's flags, then what is odd about the frame."""
    letters = {value[:8] for factor, key, value in frame.items if factor and key == "Flag" and value}
    odd = [f"crc_variant:{frame.variant}"] if frame.variant else []
    odd += ["length_error"] if frame.error else []
    odd += ["resent"] if frame.head.get("RF") == "1" else []
    odd += ["split"] if frame.split else []
    odd += ["test_key"] if frame.test_key else []
    return sorted(letters)[:MAX_VALUES] + odd


def told_at(frame: Frame) -> datetime | None:
    """The time a message tells of: of its data, of the clock it sets, else of the request."""
    own = frame.item(_OWN_TIME.get(frame.code or 0, "DataTime"))
    return stamp(own) if own else stamp(frame.head.get("QN"))


def stamp(text: str | None) -> datetime | None:
    """YYYYMMDDhhmmss and perhaps zzz, in the city's time."""
    if not text or len(text) not in (14, 17) or not (text.isascii() and text.isdigit()):
        return None
    year, month, day, hour, minute, second = int(text[:4]), *(int(text[at : at + 2]) for at in range(4, 14, 2))
    try:
        return datetime(year, month, day, hour, minute, second, int(text[14:] or 0) * 1000, tzinfo=UTC) - _HOURS
    except (ValueError, OverflowError):
        return None


def _micros(at: datetime) -> int:
    """µs since the epoch."""
    return (at - _EPOCH) // _MICRO


def _status(frame: Frame) -> tuple[str | None, bool]:
    """Status, and whether it refuses or fails."""
    code = frame.item(names.RETURNS.get(frame.code or 0, ""))
    failed = code is not None and code != "1"
    if frame.encrypted:
        return "encrypted", failed
    if frame.error:
        return "length_error", failed
    if not frame.crc_ok:
        return "crc_error", failed
    return (code[:MAX_MN] if code else None), failed


def _address(frame: Frame) -> str | None:
    """The factor, or factor/parameter."""
    factor, parameter = frame.item("PolId"), frame.item("InfoId")
    if factor is None and frame.kind == "request" and frame.code in (1022, 3016):
        factor = next((one for one, _, _ in frame.items if one), None)
    both = "/".join(one for one in (factor, parameter) if one)
    return both[:MAX_TEXT] or None


def _quantity(frame: Frame) -> int | None:
    """Packets of a message in several, else factors."""
    packets = frame.head.get("PNUM", "")
    if frame.split and packets.isascii() and packets.isdigit() and len(packets) <= 5:
        return int(packets)
    return frame.factors or None


def _value(frame: Frame) -> str | None:
    """What is set: the value alone where there is one, else each with its name."""
    told = [
        (f"{factor}-{key}" if factor else key, value)
        for factor, key, value in frame.items
        if (factor or key not in names.ASKS) and not names.is_secret(key)
    ]
    if frame.code == 1014 or not told:
        return None
    if len(told) == 1:
        return told[0][1][:MAX_TEXT] or None
    return ",".join(f"{name}={value}" for name, value in told[:MAX_VALUES])[:MAX_TEXT]


def _target(frame: Frame) -> str | None:
    """Where a station is told to report to."""
    return next((value[:MAX_TEXT] for _, key, value in frame.items if key in _TARGETS and value), None)


def _ip(target: str) -> str | None:
    host = target.rpartition(":")[0] if target.count(":") == 1 else target
    try:
        return str(ip_address(host))
    except ValueError:
        return None


def _password(frame: Frame) -> str | None:
    """The password a message sets, else the one it bears."""
    if frame.code == 1072:
        new = next((value for _, key, value in frame.items if names.is_secret(key)), None)
        if new is not None:
            return new
    return frame.head.get("PW")


def _fields(frame: Frame) -> dict[str, Any]:
    """What has no column: Flag, packet numbers and what CP says."""
    found: dict[str, Any] = {} if frame.flag is None else {"Flag": frame.flag}
    found |= {name: frame.head[name][:8] for name in ("PNUM", "PNO") if name in frame.head}
    secret = any(names.is_secret(key) for _, key, _ in frame.items)
    text = masked(frame) if secret else frame.text
    return found | ({"CP": text[:MAX_TEXT]} if text else {})


def masked(frame: Frame) -> str:
    """CP without passwords and keys."""
    return ";".join(
        f"{factor}-{key}={shown}" if factor else f"{key}={shown}"
        for factor, key, value in frame.items
        for shown in (_MASK if names.is_secret(key) else value,)
    )
