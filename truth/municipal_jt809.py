"""What we say of a JT/T 809 frame, in the words of the vectors."""

from __future__ import annotations

from typing import Any

from cityguard.decoders.ot import jt809_pdu as pdu
from cityguard.decoders.ot.jt809_names import GROUPS, MESSAGES, PARTS, RESULTS


def told(data: bytes, rows: list[dict[str, Any]], transport: str) -> dict[str, Any]:
    """Head, check and body of the frame."""
    frame = pdu.read(data)
    if frame is None:
        return {}
    name = MESSAGES.get(frame.message, ("", ""))[0]
    said: dict[str, Any] = {
        "msg_id": f"0x{frame.message:04x}",
        "name": name,
        "length": frame.declared,
        "serial": frame.serial,
        "centre": frame.centre,
        "version": frame.version,
        "edition": frame.edition,
        "encrypted": frame.encrypted,
        "key": frame.key,
        "crc_ok": frame.crc_ok,
        "length_ok": frame.length_ok,
        "escapes": frame.escapes,
        "time": frame.time.isoformat() if frame.time else None,
    }
    body = pdu.opened(frame) if frame.encrypted else frame.body
    if body is not None:
        said |= _body(frame.message, body)
    return said


def _body(message: int, body: bytes) -> dict[str, Any]:
    if message == 0x1001 and (found := pdu.login(body)):
        return {
            "user": found.user,
            "password": found.password.decode("gb18030", "replace"),
            "down_link_ip": found.address,
            "down_link_port": found.port,
        }
    if message in (0x1002, 0x9002) and body:
        code = int.from_bytes(body[1:5], "big") if len(body) >= 5 else None
        return {"result": body[0], "result_name": RESULTS.get(body[0]), "verify_code": code}
    if message == 0x1003 and len(body) >= 12:
        return {"user": int.from_bytes(body[:4], "big"), "password": body[4:12].rstrip(b"\0 ").decode("latin-1")}
    if message in (0x9001, 0x9003) and len(body) >= 4:
        return {"verify_code": int.from_bytes(body[:4], "big")}
    if message in GROUPS and (about := pdu.about(message, body)):
        return {
            "plate": about.plate,
            "plate_colour": about.colour,
            "plate_color": about.colour,
            "sub_id": f"0x{about.part:04x}",
            "sub_name": PARTS.get(about.part),
            "data_length": about.declared,
        }
    return {}
