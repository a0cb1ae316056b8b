"""SL 651-2014: what we say of a vector, in the words of ``expect``."""

from __future__ import annotations

from typing import Any

from cityguard.decoders.ot import sl651_frame, sl651_rows
from cityguard.decoders.ot.sl651_body import Body
from cityguard.decoders.ot.sl651_frame import Frame
from cityguard.decoders.ot.sl651_parts import Parts
from cityguard.decoders.ot.sl651_values import Parameter, states
from cityguard.decoders.stream import Moment


def told(data: bytes, rows: list[dict[str, Any]], transport: str) -> dict[str, Any]:
    """All frames of a vector; of several packets the message they make."""
    frames = list(_frames(data))
    if not frames:
        return {}
    first, body, size = frames[0], frames[0].body, len(frames[0].body)
    if first.total > 1:
        first, body, size = _together(frames)
    said = sl651_rows.body(first, body, size)
    whole = said.whole and all(one.length_ok for one in frames)
    found = _head(first, frames) | _body(said) | _orders(said) | _packets(frames, said, size)
    return found | {"error": None if whole else "length"}


def _frames(data: bytes) -> list[Frame]:
    found, place = [], 0
    while place < len(data):
        size = sl651_frame.measure(data, place, final=True)
        if size > 0:
            found.append(sl651_frame.read(data[place : place + size]))
        place += max(size, 1)
    return found


def _together(frames: list[Frame]) -> tuple[Frame, bytes, int]:
    parts = Parts()
    done = [message for frame in frames for message in parts.take(frame, Moment(1, 1))] + parts.close()
    return done[0].frame, done[0].body, done[0].size


def _head(frame: Frame, frames: list[Frame]) -> dict[str, Any]:
    return {
        "encoding": frame.encoding,
        "direction": "up" if frame.up else "down",
        "centre": frame.centre,
        "station": frame.station,
        "password": frame.password,
        "body_len": frame.length,
        "end": frame.ending,
        "crc_ok": all(one.crc_ok for one in frames),
        "length_ok": all(one.length_ok for one in frames),
        "frames": len(frames),
        "broadcast": sl651_rows.is_broadcast(frame.station),
        "mode": "M3" if frame.total else None,
    }


def _body(said: Body) -> dict[str, Any]:
    return {
        "serial": said.serial,
        "sent": said.sent,
        "station_class": None if said.kind is None else sl651_rows.station_class(said.kind),
        "observed": said.observed,
        "elements": {one.name: one.value for one in said.elements},
        "asked": said.asked,
        "step": said.step,
        "period": said.period,
        "status": None if said.status is None else states(said.status),
        "status_word": None if said.status is None else f"{said.status:08X}",
        "text": said.text,
        "events": said.counts,
    }


def _orders(said: Body) -> dict[str, Any]:
    found: dict[str, Any] = {"identifier": said.identifier, "new_time": said.sent, "order": said.order}
    if said.control is not None:
        found["control"] = {
            "bytes": len(said.control.bits) // 2,
            "bits": said.control.bits,
            "gates": said.control.many,
            "count": said.control.many,
            "on": list(said.control.on),
            "off": list(said.control.off),
            "open": list(said.control.on),
            "closed": list(said.control.off),
            "openings": list(said.control.openings),
            "opening_cm": list(said.control.openings),
            "openings_cm": list(said.control.openings),
        }
    if said.passwords:
        found |= {"old_password": said.passwords[0], "new_password": said.passwords[-1]}
    if said.parameters:
        found["param"] = {f"{one.ident:02X}H": _parameter(one) for one in said.parameters}
    return found


def _parameter(one: Parameter) -> Any:
    if one.channel:
        return {"channel": one.channel, "address": one.address, "port": one.port}
    try:
        return float(one.text)
    except ValueError:
        return one.text


def _packets(frames: list[Frame], said: Body, size: int) -> dict[str, Any]:
    return {
        "m3": frames[0].total > 0,
        "total": frames[0].total,
        "seq": [one.number for one in frames],
        "ends": [one.ending for one in frames],
        "reassembled_len": size,
        "picture_len": said.picture,
    }
