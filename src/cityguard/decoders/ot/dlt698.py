"""DL/T 698.45 meters and terminals (object model, with HCS and FCS): one row per application unit.

``ot.function.code`` is the unit's tag without 128, ``ot.address`` the OAD or OMD in eight hexadecimal digits. Units in
parts are put together; a meter's frame that a proxy carries is a row of its own behind the proxy's.
"""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from typing import Any

from cityguard.decoders import passwords
from cityguard.decoders.events import Talk
from cityguard.decoders.ot import dlt645_data, dlt645_frame, dlt645_rows, dlt698_frame, dlt698_unit
from cityguard.decoders.ot.dlt698_frame import Frame
from cityguard.decoders.ot.dlt698_unit import Unit
from cityguard.decoders.protocol import Mark, Out, Protocol, Speaker
from cityguard.decoders.recognise import HEAD
from cityguard.decoders.stream import Moment
from cityguard.decoders.wire.pairs import Pairs
from cityguard.decoders.wire.sought import Sought, lies, one_by_one

MAX_WAITING = 65_536
"""Requests of a capture that wait for their answers."""
MAX_PARTS = 4
"""Units put together at once between two ends."""
MAX_BETWEEN = 4_096
"""Pairs of ends between which units are put together."""
MAX_UNIT = 65_536
MAX_WAIT = 60 * 10**9
"""Nanoseconds that a unit in parts may take."""
_FIRST, _CONFIRM, _LAST, _MIDDLE = range(4)
_FILLER = b"\xfe"
_Asked = tuple[tuple[str, ...], str | None]
"""What a request asked for: objects, and the class it has."""


class Dlt698(Speaker):
    """Every conversation of a capture."""

    def __init__(self, out: Out) -> None:
        super().__init__(out)
        self._pairs = Pairs[_Asked](MAX_WAITING)
        self._parts: OrderedDict[Any, OrderedDict[str, tuple[bytearray, int]]] = OrderedDict()

    def stream(self, talk: Talk) -> Sought:
        return Sought(talk, b"h", dlt698_frame.size, self.frame, dlt698_frame.MOST, self.malformed, _FILLER)

    def datagram(self, data: bytes, talk: Talk, at: Moment) -> bool:
        taken = False
        for frame in one_by_one(data, dlt698_frame.size, _FILLER):
            self.frame(frame, talk, at)
            taken = True
        return taken

    def malformed(self, talk: Talk, at: Moment) -> None:
        """A stream that is no longer of this protocol."""
        self.out.add("ot", at, talk, {"ot.protocol": "dlt698", "ot.status": "malformed"})

    def frame(self, data: bytes, talk: Talk, at: Moment) -> None:
        """A frame, whole or its head alone."""
        frame = dlt698_frame.read(data)
        if frame is None:
            return
        raw = frame.unit
        if frame.split and not frame.cut and frame.fcs_ok:
            whole = self._part(frame, talk, at)
            if whole is None:
                return
            raw = whole
        unit = dlt698_unit.read(raw)
        if unit is None:
            self.out.add("ot", at, talk, {"event.flags": ["undecoded"]} | _link(frame))
            return
        self.out.add("ot", at, talk, self._fields(frame, unit, talk, at))
        if unit.carried:
            self._carry(unit.carried, talk, at)

    def _part(self, frame: Frame, talk: Talk, at: Moment) -> bytes | None:
        """A part of a unit; returns the unit when it is the last one."""
        if len(frame.unit) < 2:
            return None
        kind = (frame.unit[0] | frame.unit[1] << 8) >> 14
        if kind == _CONFIRM:
            return None
        between = (talk.source, talk.destination)
        mine = self._parts.setdefault(between, OrderedDict())
        self._parts.move_to_end(between)
        if len(self._parts) > MAX_BETWEEN:
            self._parts.popitem(last=False)
        have, since = mine.pop(frame.server, (bytearray(), at.time))
        if kind == _FIRST or at.time - since > MAX_WAIT:
            have, since = bytearray(), at.time
        have += frame.unit[2:]
        if kind == _LAST:
            return bytes(have[:MAX_UNIT])
        if len(have) <= MAX_UNIT:
            mine[frame.server] = have, since
        if len(mine) > MAX_PARTS:
            mine.popitem(last=False)
        return None

    def _fields(self, frame: Frame, unit: Unit, talk: Talk, at: Moment) -> dict[str, Any]:
        found = _link(frame) | fields(unit, frame, at.time)
        answers = unit.tag >= 0x80
        code, number = unit.tag & 0x7F, unit.number
        if not answers and number is not None:
            self._pairs.ask((talk.source, talk.destination, frame.server, code, number), (unit.addresses, unit.kind))
        elif number is not None or code == dlt698_unit.SECURITY:
            asked = self._pairs.answer((talk.destination, talk.source, frame.server, code, number))
            if asked is not None:
                found["ot.address"] = found["ot.address"] or ",".join(asked[0]) or None
                found["ot.function.class"] = found["ot.function.class"] if unit.status else asked[1]
        return found

    def _carry(self, data: bytes, talk: Talk, at: Moment) -> None:
        """What a proxy sends to a meter as it is, where that is a frame of DL/T 645."""
        place = data.find(b"h")
        if place < 0:
            return
        size = dlt645_frame.size(data, place)
        inside = dlt645_frame.read(data[place : place + size]) if 0 < size <= len(data) - place else None
        if inside is not None:
            self.out.add("ot", at, talk, dlt645_rows.fields(inside, at.time))


def _link(frame: Frame) -> dict[str, Any]:
    """What the link says of every unit."""
    marks = {
        "broadcast": frame.address_type == 3,
        "group": frame.address_type == 2,
        "wildcard": frame.address_type == 1,
    }
    found: dict[str, Any] = {
        "ot.protocol": "dlt698",
        "ot.unit_id": frame.server,
        "ot.message.type": "response" if frame.from_server else "request",
        "ot.is_request": not frame.from_server,
        "ot.flags": [name for name, is_so in marks.items() if is_so] or None,
    }
    if frame.cut:
        found["event.flags"] = ["truncated"]
    elif not (frame.hcs_ok and frame.fcs_ok):
        found["ot.status"] = "crc_error"
    return found


def fields(unit: Unit, frame: Frame, captured: int) -> dict[str, Any]:
    """The columns of a unit; ``captured`` is when it came, ns. A password is judged and left behind."""
    found: dict[str, Any] = {
        "ot.function.code": unit.tag & 0x7F,
        "ot.function.name": unit.name,
        "ot.function.class": unit.kind,
        "ot.address": ",".join(unit.addresses) or None,
        "ot.quantity": len(unit.addresses) or None,
        "ot.value": unit.value,
        "ot.message.type": unit.name.rpartition("-")[2].lower(),
        "ot.is_request": unit.is_request,
        "ot.transaction_id": unit.number,
    }
    if unit.status is not None and frame.fcs_ok:
        found["ot.status"] = str(unit.status)
    if unit.password is not None:
        found |= passwords.judge(unit.password.encode(), frame.server).columns()
    if unit.encrypted or unit.sealed:
        found["ot.encrypted"] = unit.encrypted
    marks = [*(["sealed"] if unit.sealed else []), *(_link(frame)["ot.flags"] or [])]
    if marks:
        found["ot.flags"] = marks
    if unit.target is not None:
        found["ot.target"] = "{}:{}".format(*unit.target)
        found["ot.target_ip"] = unit.target[0]
    if unit.time is not None:
        found["ot.time"] = dlt645_data.utc(unit.time)
        found["ot.time_offset"] = round(unit.time.timestamp() - captured / 1e9, 3)
    more = {
        "client": frame.client,
        "logical": frame.logical or None,
        "service": unit.service,
        "link": unit.link_type,
        "heartbeat": unit.heartbeat,
        "data": unit.data,
        "inner": unit.inner,
        "meter": unit.meter,
    }
    found["event.fields"] = json.dumps({name: one for name, one in more.items() if one is not None})
    return found


def _sound(data: bytes, place: int, size: int) -> bool:
    frame = dlt698_frame.read(data[place : place + size])
    return frame is not None and frame.fcs_ok


def starts(data: bytes, usual: bool) -> bool:
    """A frame behind nothing but FEh: its head checks, and all of it does, or it goes on beyond what is shown."""
    place = len(data) - len(data.lstrip(_FILLER))
    if place >= len(data):
        return False
    size = dlt698_frame.size(data, place)
    if size == 0:
        return len(data) >= HEAD and dlt698_frame.heads(data, place)
    if not 0 < size <= len(data) - place:
        return False
    return _sound(data, place, size) or (data[place + size - 1] == dlt698_frame.END and place + size == len(data))


def within(data: bytes) -> bool:
    """A frame among other octets."""
    return lies(data, _BEGINS, dlt698_frame.size, _heads, _FILLER * 4)


def _heads(data: bytes, place: int, size: int) -> bool:
    """A head whose own check of 16 bits is right, and an end where it tells; the unit's check may fail."""
    return dlt698_frame.heads(data, place) and data[place + size - 1] == dlt698_frame.END


_BEGINS = re.compile(
    rb"(?=h..[\x01\x03\x09\x0b\x21-\x2b\x41-\x4b\x61-\x6b\x81-\x8b\xa1-\xab\xc1-\xcb\xe1-\xeb])", re.DOTALL
)
_HEAD = Mark(b"h\0\0\x01", 0, b"\xff\0\xc0\x15")
PROTOCOLS = (
    Protocol(
        "dlt698",
        starts,
        Dlt698,
        marks=(_HEAD, Mark(b"\xfeh"), Mark(b"\xfe\xfe")),
        within=within,
        needles=(b"h",),
    ),
)
