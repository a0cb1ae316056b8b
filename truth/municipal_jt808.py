"""What we say of a JT/T 808 frame, in the words of the vectors."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from cityguard.decoders.ot import jt808_pdu as pdu
from cityguard.decoders.ot.jt808_names import CONTROLS
from cityguard.decoders.wire.marked import frames


def told(data: bytes, rows: list[dict[str, Any]], transport: str) -> dict[str, Any]:
    """Head, check and body of the frame; of several, the first's head and the body they make together."""
    every = [frame for one in frames(data, pdu.MARK * 2) if (frame := pdu.read(one)) is not None]
    if not every:
        return {}
    frame = every[0]
    said: dict[str, Any] = {
        "msg_id": f"0x{frame.message:04x}",
        "version": frame.version,
        "phone": frame.phone,
        "serial": frame.serial,
        "body_len": len(frame.body),
        "escapes": any(one.escapes for one in every),
        "checksum_ok": all(one.checksum_ok for one in every),
        "length_ok": all(one.length_ok for one in every),
        "encrypted": frame.encryption > 0,
        "encryption": frame.encryption,
        "split": frame.total > 0,
        "frames": len(every),
        "total": frame.total,
        "number": frame.number,
        "packets": frame.total,
        "seq": [one.number for one in every if one.total],
    }
    parts = sorted((one for one in every if one.total), key=lambda one: one.number)
    whole = replace(frame, body=b"".join(one.body for one in parts), total=0) if len(parts) > 1 else frame
    if whole is not frame:
        complete = len(parts) == frame.total
        said |= {"complete": complete, "reassembled": complete, "reassembled_len": len(whole.body)}
        said |= {"total_len": len(whole.body), "serials": [one.serial for one in parts]}
    if not frame.encryption and (whole is not frame or frame.length_ok):
        said |= _body(whole)
    return said


def _body(frame: pdu.Frame) -> dict[str, Any]:
    body, message = frame.body, frame.message
    if message in (0x0200, 0x0201):
        return _located(pdu.location(body[2:] if message == 0x0201 else body))
    if message == 0x8103:
        return {"params": pdu.shown(pdu.parameters(body)), "count": body[0] if body else 0}
    if message == 0x8105:
        word, given = pdu.control(body)
        target, _ = pdu.server(word, given)
        return {"command": word, "command_name": CONTROLS.get(word), "target": target or None, "arguments": given}
    if message in (0x0102, 0x8100):
        secret = pdu.code(frame)
        shown = None if secret is None else secret.decode("gb18030", "replace")
        return {"auth_code": shown, "code": shown, "result": body[2] if message == 0x8100 and len(body) > 2 else None}
    if message == 0x0100:
        return _registered(pdu.registration(frame))
    if message in (0x0001, 0x8001) and len(body) >= 5:
        answered = f"0x{int.from_bytes(body[2:4], 'big'):04x}"
        serial = int.from_bytes(body[:2], "big")
        return {"ack_serial": serial, "ack_id": answered, "result": body[4]}
    if message == 0x8400 and body:
        number = pdu.text(body[1:])
        return {"flag": body[0], "mode": body[0], "call_phone": number, "phone_number": number}
    if message == 0x8500 and body:
        return {"flag": body[0], "control": body[0]}
    if message == 0x8300 and body:
        return {"flag": body[0], "text": pdu.text(body[2:] if frame.version == 2019 else body[1:])}
    if message in (0x0800, 0x0801):
        return {f"media_{key}": value for key, value in pdu.media(message, body).items()}
    if message == 0x8108:
        package = pdu.upgrade(frame)
        return {"upgrade": package, "upgrade_version": package.get("version"), "maker": package.get("maker")}
    return {}


def _located(place: pdu.Location | None) -> dict[str, Any]:
    if place is None:
        return {}
    mileage, fuel = place.number(1), place.number(2)
    return {
        "lat": round(place.latitude, 6),
        "lon": round(place.longitude, 6),
        "altitude": place.altitude,
        "speed_kmh": place.speed,
        "direction": place.direction,
        "alarm": place.alarm,
        "status": place.status,
        "time": place.time.isoformat() if place.time else None,
        "mileage_km": None if mileage is None else mileage / 10,
        "fuel_l": None if fuel is None else fuel / 10,
    }


def _registered(found: pdu.Registration | None) -> dict[str, Any]:
    if found is None:
        return {}
    return {
        "province": found.province,
        "city": found.city,
        "maker": found.maker,
        "manufacturer": found.maker,
        "model": found.model,
        "terminal_id": found.terminal,
        "plate_colour": found.colour,
        "plate_color": found.colour,
        "plate": found.plate,
    }
