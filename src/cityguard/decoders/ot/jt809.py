"""JT/T 809 (vehicle platforms among each other and with the authority) over TCP to one row per message.

``ot.function.code`` is the business type, ``ot.function.name`` that of the sub-type where there is one, ``ot.unit_id``
the access code (centre), ``ot.address`` the plate. Passwords are judged and not kept. From public implementations.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from cityguard.decoders import passwords
from cityguard.decoders.events import Talk
from cityguard.decoders.ot import jt809_pdu as pdu
from cityguard.decoders.ot.jt808_pdu import text
from cityguard.decoders.ot.jt809_names import GROUPS, MESSAGES, PARTS, RESULTS
from cityguard.decoders.protocol import Mark, Protocol, Speaker
from cityguard.decoders.stream import Moment
from cityguard.decoders.wire import places
from cityguard.decoders.wire.marked import Marked, frames

_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_ACTS = {
    0x9501: "listen",
    0x9502: "photograph",
    0x9503: "text",
    0x9504: "recorder",
    0x9505: "emergency_access",
}


class Platforms(Speaker):
    """Every link between platforms of a capture."""

    def stream(self, talk: Talk) -> Marked:
        return Marked(talk, pdu.MARKS, pdu.MAX_FRAME, self._frame, self._lost)

    def datagram(self, data: bytes, talk: Talk, at: Moment) -> bool:
        taken = [self._frame(one, talk, at) for one in frames(data, pdu.MARKS)]
        return any(taken)

    def _lost(self, talk: Talk, at: Moment) -> None:
        self.out.add("ot", at, talk, {"ot.protocol": "jt809", "ot.status": "malformed"})

    def _frame(self, data: bytes, talk: Talk, at: Moment) -> bool:
        frame = pdu.read(data)
        if frame is None or not frame.sound or not (frame.crc_ok or frame.length_ok):
            return False
        self.out.add("ot", at, talk, _row(frame, at))
        return True


def _row(frame: pdu.Frame, at: Moment) -> dict[str, Any]:
    name, kind = MESSAGES[frame.message]
    flags: list[str] = []
    more: dict[str, Any] = {"version": frame.version}
    fields: dict[str, Any] = {
        "ot.protocol": "jt809",
        "ot.function.code": frame.message,
        "ot.function.name": name,
        "ot.function.class": kind,
        "ot.unit_id": str(frame.centre),
        "ot.transaction_id": frame.serial,
        "ot.message.type": "down" if frame.message & 0x8000 else "up",
        "ot.is_request": _asks(name),
        "ot.edition": str(frame.edition),
        "ot.platform_id": str(frame.centre),
        "ot.encrypted": frame.encrypted,
    }
    if frame.time is not None:
        fields["ot.time"] = frame.time
        if at.time > 0:
            fields["ot.time_offset"] = round(frame.time.timestamp() - at.time / 1e9, 3)
    if not frame.crc_ok:
        return fields | {"ot.status": "crc_error"}
    if not frame.length_ok:
        flags.append("length_error")
    plain = frame
    if frame.encrypted:
        flags.append("xor_stream")
        body = pdu.opened(frame)
        if body is not None:
            flags.append("published_key")
            plain = replace(frame, body=body)
    if plain is not frame or not frame.encrypted:
        _said(plain, fields, more)
    fields["ot.flags"] = flags or None
    fields["event.fields"] = _json({"jt809": more})
    return fields


def _asks(name: str) -> bool:
    """Whether a message asks or orders; what a platform reports does not."""
    return name.endswith("_REQ") or name.startswith("DOWN_CTRL_MSG") or ("_APPLY_" in name and "_ACK" not in name)


def _said(frame: pdu.Frame, fields: dict[str, Any], more: dict[str, Any]) -> None:
    body = frame.body
    if frame.message == 0x1001:
        _login(pdu.login(body), fields, more)
    elif frame.message == 0x1003 and len(body) >= 12:
        more["user"] = int.from_bytes(body[:4], "big")
        fields |= passwords.judge(body[4:12].rstrip(b"\0 "), str(more["user"])).columns()
    elif frame.message in (0x1002, 0x9002) and body:
        fields["ot.status"] = str(body[0])
        more["result"] = RESULTS.get(body[0], str(body[0]))
        if body[0]:
            fields["ot.function.class"] = "error"
    elif frame.message in GROUPS:
        _vehicle(frame, fields, more)


def _login(found: pdu.Login | None, fields: dict[str, Any], more: dict[str, Any]) -> None:
    if found is None:
        return
    more["user"] = found.user
    if found.centre is not None:
        more["centre"] = found.centre
    fields |= passwords.judge(found.password, str(found.user)).columns()
    if found.address:
        host = f"[{found.address}]" if ":" in found.address else found.address
        fields |= places.columns(f"{host}:{found.port}" if found.port else host)


def _vehicle(frame: pdu.Frame, fields: dict[str, Any], more: dict[str, Any]) -> None:
    found = pdu.about(frame.message, frame.body)
    if found is None:
        return
    name = PARTS.get(found.part, f"{GROUPS[frame.message]}_{found.part:04X}")
    fields |= {"ot.function.name": name, "ot.address": found.plate or None, "ot.is_request": _asks(name)}
    more["part"] = f"0x{found.part:04x}"
    if found.colour is not None:
        more["colour"] = found.colour
    if not found.whole:
        fields["event.flags"] = ["undecoded"]
    if found.part in _ACTS:
        fields["ot.value"] = _ACTS[found.part]
        if found.part == 0x9501:
            more["number"] = text(found.data[:20])
        elif found.part == 0x9505:  # authentication code, APN, user, password, server, TCP port
            secret = found.data[79:101].rstrip(b"\0 ") or found.data[:10].hex().encode()
            fields |= passwords.judge(secret, found.plate).columns()
            if host := text(found.data[101:133]).lstrip("\0"):
                fields |= places.columns(f"{host}:{int.from_bytes(found.data[133:135], 'big')}")


def _good(data: bytes) -> bool:
    frame = pdu.read(data)
    return frame is not None and frame.sound and (frame.crc_ok or frame.length_ok)


def starts(data: bytes, usual: bool) -> bool:
    """A whole frame: a business type of the standard, and the length it tells or its check; commonly both."""
    end = data.find(pdu.MARKS[1:])
    return data[:1] == pdu.MARKS[:1] and end > 0 and _good(data[: end + 1])


def within(data: bytes) -> bool:
    """Whether such a frame is anywhere in what a side has said."""
    return any(_good(one) for one in frames(data, pdu.MARKS)[:256])


PROTOCOLS = (
    Protocol(
        "jt809",
        starts,
        Platforms,
        marks=(Mark(pdu.MARKS[:1]),),
        within=within,
        needles=(pdu.MARKS[1:],),
    ),
)
