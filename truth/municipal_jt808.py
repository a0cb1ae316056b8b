"""What we say of a JT/T 808 frame, in the words of the vectors."""

from __future__ import annotations

from typing import Any

from cityguard.decoders.ot import jt808_pdu as pdu
from cityguard.decoders.ot.jt808_names import CONTROLS


def told(data: bytes, rows: list[dict[str, Any]], transport: str) -> dict[str, Any]:
    """Head, check and body of the frame."""
    frame = pdu.read(data)
    if frame is None:
        return {}
    said: dict[str, Any] = {
        "msg_id": f"0x{frame.message:04x}",
        "version": frame.version,
        "phone": frame.phone,
        "serial": frame.serial,
        "body_len": len(frame.body),
        "escapes": frame.escapes,
        "checksum_ok": frame.checksum_ok,
        "length_ok": frame.length_ok,
        "encrypted": frame.encryption > 0,
        "split": {"total": frame.total, "number": frame.number} if frame.total else False,
        "total": frame.total,
        "number": frame.number,
    }
    said |= {"packet_total": frame.total, "packet_number": frame.number, "packets": frame.total}
    said |= {"total_packets": frame.total, "packet_no": frame.number, "encryption": frame.encryption}
    if frame.length_ok and not frame.encryption:
        said |= _body(frame)
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
        return {"flag": body[0], "mode": body[0], "call_phone": pdu.text(body[1:])}
    if message == 0x8500 and body:
        return {"flag": body[0], "control": body[0]}
    if message == 0x8300 and body:
        return {"flag": body[0], "text": pdu.text(body[2:] if frame.version == 2019 else body[1:])}
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
