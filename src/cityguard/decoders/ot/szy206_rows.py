"""What a frame of SZY206 or SL/T 427 says, as columns of an ``ot`` row. Passwords are judged and left behind."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Final

from cityguard.decoders import passwords
from cityguard.decoders.ot import szy206_names as names
from cityguard.decoders.ot.szy206_frame import Frame
from cityguard.decoders.passwords import Judged

ZONE: Final = timezone(timedelta(hours=8))
MAX_VALUE = 64
"""Octets of data shown."""
_SWITCHED = (0x92, 0x93)
_FLOW = 5
_DONE = 0xA
"""Upper half of what answers a switching: it is done."""


def fields(frame: Frame, captured: int) -> dict[str, Any]:
    """The row of a frame; ``captured`` is when, ns."""
    name, kind = names.function(frame.afn)
    if acknowledges(frame) and (_sets_mode(frame) or frame.tp):
        kind = "write"  # what it answers is a report; what it does is to set clock and mode
    found: dict[str, Any] = {
        "ot.protocol": "szy206",
        "ot.function.code": frame.afn,
        "ot.function.name": name,
        "ot.function.class": kind,
        "ot.unit_id": frame.address,
        "ot.address": address(frame),
        "ot.value": value(frame),
        "ot.message.type": "up" if frame.up else "down",
        "ot.is_request": asks(frame),
        "ot.edition": {5: "2016", 7: "2021"}.get(len(frame.tp)),
        "ot.status": None if frame.crc_ok else "crc_error" if frame.length_ok else "length_error",
    }
    if frame.up and frame.type:
        found["ot.station_kind"] = f"{frame.type} {names.TYPES[frame.type]}"
    time = moment(frame, captured)
    if time is not None:
        found["ot.time"] = time
        found["ot.time_offset"] = round(time.timestamp() - captured / 1e9, 3)
    if judged := judge(frame):
        found |= judged.columns()
    if frame.afn == 0xA2 and (told := targets(frame)):
        found["ot.target"], found["ot.value"] = told[0], ",".join(told)
    found["ot.flags"] = marks(frame) or None
    if not frame.length_ok:
        found["event.flags"] = ["truncated"]
    more = _more(frame)
    if more:
        found["event.fields"] = json.dumps(more)
    return found


def asks(frame: Frame) -> bool:
    """Whether the centre asks or orders something; its acknowledgement of a report does not."""
    return not frame.up and frame.afn not in names.REPORTS and frame.afn != 0x02


def acknowledges(frame: Frame) -> bool:
    """Whether the centre acknowledges a report."""
    return not frame.up and frame.afn in names.REPORTS


def _sets_mode(frame: Frame) -> bool:
    return len(frame.data) == 1 and frame.data[0] in names.MODES


def address(frame: Frame) -> str | None:
    """The pump, valve or gate of a command; an answer has its number alone."""
    if frame.afn not in _SWITCHED or not frame.data:
        return None
    octet = frame.data[0]
    kind = "valve " if octet >> 4 == 15 else "" if frame.up else "pump "
    return f"{kind}{octet & 15}"


def value(frame: Frame) -> str | None:
    """What is ordered or said: a time where it is one, numbers of the types that are sure, else the octets."""
    if frame.afn == 0x96 or not frame.data:
        return None
    if not frame.up and frame.afn not in names.FUNCTIONS:  # where its password stands is not known
        return None
    if frame.afn in (0x11, 0x51) and (time := set_time(frame.data)):
        return time
    if frame.up and frame.afn in (0xB0, 0xC0) and frame.type in names.DECIMALS and len(frame.data) >= 4:
        return ",".join(numbers(frame.data[:-4], names.UNITS[frame.type], names.DECIMALS[frame.type]))
    return frame.data[:MAX_VALUE].hex().upper()


def numbers(raw: bytes, wide: int, decimals: int) -> list[str]:
    """Packed digits, the lowest octet first; the highest half octet is the sign (F: minus), of flows also the unit."""
    found = []
    for at in range(0, min(len(raw) - wide + 1, 16 * wide), wide):
        text = raw[at : at + wide][::-1].hex()
        head = int(text[0], 16)
        minus, digits = (head == 15, text[1:]) if head == 15 else (False, text)
        if wide == _FLOW:  # two bits of sign, two of the unit
            minus, digits = head >> 2 == 3, text[1:]
        found.append(f"{'-' if minus else ''}{int(digits) / 10**decimals}" if digits.isdigit() else text.upper())
    return found


def targets(frame: Frame) -> list[str]:
    """Where function A2 sends a station's reports: each channel with the centre's address as sent."""
    found, at, data = list[str](), 0, frame.data
    while at < len(data) and len(found) < 2:
        name, octets = names.CHANNELS.get(data[at], ("off", 1) if data[at] == 0xAA else (f"type {data[at]}", 7))
        found.append(name if name == "off" else f"{name} {data[at + 1 : at + 1 + octets].hex().upper()}")
        at += 1 + octets
    return found


def set_time(data: bytes) -> str:
    """Second, minute, hour, day, month (its high bits the day of the week), year."""
    if len(data) < 6:
        return ""
    second, minute, hour, day, month, year = (f"{octet:02X}" for octet in (*data[:4], data[4] & 0x1F, data[5]))
    text = f"20{year}-{month}-{day}T{hour}:{minute}:{second}"
    try:
        return datetime.fromisoformat(text).isoformat()
    except ValueError:
        return ""


def moment(frame: Frame, captured: int) -> datetime | None:
    """The time of Tp in UTC; five octets tell no month: the one nearest to the capture."""
    if not frame.tp:
        return None
    second, minute, hour, day = (int(f"{octet:02X}") for octet in frame.tp[:4])
    near = datetime.fromtimestamp(captured / 1e9, ZONE)
    try:
        if len(frame.tp) == 7:
            month, year = int(f"{frame.tp[4]:02X}"), 2000 + int(f"{frame.tp[5]:02X}")
            return datetime(year, month, day, hour, minute, second, tzinfo=ZONE).astimezone(UTC)
        near = near.replace(tzinfo=ZONE)
        first = near.replace(day=1)
        options = []
        for other in (first - timedelta(days=1), first, first + timedelta(days=32)):
            try:
                options.append(other.replace(day=day, hour=hour, minute=minute, second=second, microsecond=0))
            except ValueError:  # a day this month has not
                continue
        return min(options, key=lambda one: abs((one - near).total_seconds())).astimezone(UTC) if options else None
    except (ValueError, OverflowError):
        return None


def judge(frame: Frame) -> Judged | None:
    """The password set by 96; the one a command carries is computed from a key, and weak only when it is nought."""
    if frame.afn == 0x96 and not frame.up and len(frame.data) == 2:
        return passwords.judge(frame.data.hex().encode(), frame.address)
    if not frame.password:
        return None
    judged = passwords.judge(frame.password.encode())
    return Judged("weak" if not frame.password.strip("0") else "ok", judged.length, judged.hash)


def marks(frame: Frame) -> list[str]:
    """What is not ordinary: broadcasts, split messages, what an acknowledgement sets, the form of Tp."""
    confirms = acknowledges(frame)
    told = {
        "acknowledgement": confirms or (frame.up and frame.afn in names.GUARDED),
        "done": frame.up and frame.afn in _SWITCHED and bool(frame.data) and frame.data[0] >> 4 == _DONE,
        "sets_mode": confirms and _sets_mode(frame),
        "sets_clock": confirms and bool(frame.tp),
        "broadcast": frame.address[:2] != "00" and frame.address[6:] == "FFFF",
        "split": frame.split,
        f"tp_{len(frame.tp)}": bool(frame.tp),
        "no_password": not frame.up and frame.afn in names.GUARDED and frame.length_ok and not frame.password,
    }
    return [name for name, so in told.items() if so]


def _more(frame: Frame) -> dict[str, Any]:
    data = frame.data
    more: dict[str, Any] = {"fcb": frame.fcb or None, "divs": frame.left or None}
    if frame.afn == 0x02 and data:
        more["link"] = names.LINK.get(data[0])
    if not frame.up and frame.afn in names.REPORTS and data:
        more["mode"] = names.MODES.get(data[0])
    if frame.up and frame.afn in (0xB0, 0xC0) and len(data) >= 4:
        more |= {"alarm_word": data[-4:-2].hex().upper(), "state_word": data[-2:].hex().upper()}
    if frame.tp:
        more["delay"] = frame.tp[-1]
    return {name: one for name, one in more.items() if one is not None}
