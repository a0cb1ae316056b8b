"""SZY206-2016 and SL/T 427-2021: what we say of a vector, in the words of ``expect``."""

from __future__ import annotations

from typing import Any

from cityguard.decoders.ot import szy206_frame, szy206_names, szy206_rows
from cityguard.decoders.ot.szy206_frame import Frame


def told(data: bytes, rows: list[dict[str, Any]], transport: str) -> dict[str, Any]:
    """The first frame of a vector."""
    frames = _frames(data)
    if not frames:
        return {}
    frame = frames[0]
    said = _head(frame) | _content(frame)
    return said | {"frames": len(frames), "crc_ok": all(one.crc_ok for one in frames)}


def _frames(data: bytes) -> list[Frame]:
    found, place = [], data.find(b"h")
    while place >= 0:
        size = szy206_frame.size(data, place)
        if size > 0:
            found.append(szy206_frame.read(data[place : place + size]))
        place = data.find(b"h", place + max(size, 1))
    return found


def _head(frame: Frame) -> dict[str, Any]:
    return {
        "dir": "up" if frame.up else "down",
        "div": int(frame.split),
        "divs": frame.left,
        "fcb": frame.fcb,
        "type": frame.type,
        "type_name": szy206_names.TYPES[frame.type],
        "address": frame.address,
        "region": frame.address[:6],
        "number": int.from_bytes(bytes.fromhex(frame.address[6:]), "little"),
        "broadcast": frame.address[6:] == "FFFF",
        "afn": frame.afn,
        "length_ok": frame.length_ok,
    }


def _content(frame: Frame) -> dict[str, Any]:
    return {
        "data": frame.data.hex().upper(),
        "password": frame.password or None,
        "new_password": frame.data.hex().upper() if frame.afn == 0x96 else None,
        "tp_len": len(frame.tp),
        "tp": frame.tp.hex().upper(),
        "delay": frame.tp[-1] if frame.tp else None,
        "mode": frame.data[0] if len(frame.data) == 1 and not frame.up else None,
        "new_time": szy206_rows.set_time(frame.data) if frame.afn == 0x11 else None,
    }
