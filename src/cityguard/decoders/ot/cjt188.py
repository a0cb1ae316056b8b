"""CJ/T 188 water, gas and heat meters behind serial servers and concentrators: one row per frame.

No port is the protocol's; a frame is known by its type, an address in digits, a control code, its length, its 16h and
its sum (``cjt188_frame``).
"""

from __future__ import annotations

import json
import re
from typing import Any

from cityguard.decoders.events import Talk
from cityguard.decoders.ot import cjt188_frame, dlt645_data
from cityguard.decoders.ot.cjt188_frame import Frame
from cityguard.decoders.protocol import Mark, Out, Protocol, Speaker
from cityguard.decoders.stream import Moment
from cityguard.decoders.wire import summed
from cityguard.decoders.wire.pairs import Pairs
from cityguard.decoders.wire.sought import Sought, leads, lies, one_by_one

MAX_WAITING = 65_536
"""Requests of a capture that wait for their answers."""
_FILLER = b"\xfe"


class Cjt188(Speaker):
    """Every meter's conversation of a capture."""

    def __init__(self, out: Out) -> None:
        super().__init__(out)
        self._pairs = Pairs[int | None](MAX_WAITING)

    def stream(self, talk: Talk) -> Sought:
        return Sought(
            talk, b"h", cjt188_frame.size, self.frame, cjt188_frame.MOST, self.malformed, _FILLER, cjt188_frame.broken
        )

    def datagram(self, data: bytes, talk: Talk, at: Moment) -> bool:
        taken = False
        for frame in one_by_one(data, cjt188_frame.size, _FILLER, cjt188_frame.broken):
            self.frame(frame, talk, at)
            taken = True
        return taken

    def malformed(self, talk: Talk, at: Moment) -> None:
        """A stream that is no longer of this protocol."""
        self.out.add("ot", at, talk, {"ot.protocol": "cjt188", "ot.status": "malformed"})

    def frame(self, data: bytes, talk: Talk, at: Moment) -> None:
        """A whole frame."""
        frame = cjt188_frame.read(data)
        if frame is None:
            return
        asked = None
        if not frame.answers:
            self._pairs.ask((talk.source, talk.destination, frame.address, frame.code), frame.di)
        else:
            asked = self._pairs.answer((talk.destination, talk.source, frame.address, frame.code))
        self.out.add("ot", at, talk, fields(frame, asked, at.time))


def fields(frame: Frame, asked: int | None, captured: int) -> dict[str, Any]:
    """The row of a frame; ``asked`` is the identifier of the request it answers, ``captured`` when it came, ns."""
    di = asked if frame.di is None else frame.di
    found: dict[str, Any] = {
        "ot.protocol": "cjt188",
        "ot.function.code": frame.code,
        "ot.function.name": frame.name,
        "ot.function.class": frame.kind,
        "ot.unit_id": frame.address,
        "ot.address": None if di is None else f"{di:04X}",
        "ot.value": frame.value,
        "ot.message.type": "refusal" if frame.refused else "response" if frame.answers else "request",
        "ot.is_request": not frame.answers and not frame.refused,
        "ot.station_kind": frame.station_kind,
        "ot.transaction_id": frame.serial,
    }
    if not frame.is_sound:
        found["ot.status"] = "crc_error"
    elif frame.refused:
        found["ot.status"] = frame.data[1:3].hex().upper() or None
    if frame.time is not None:
        found["ot.time"] = dlt645_data.utc(frame.time)
        found["ot.time_offset"] = round(frame.time.timestamp() - captured / 1e9, 3)
    marks = {"di_turned": frame.turned, "wildcard": "A" in frame.address, "battery_low": frame.battery_low}
    marks["length_error"] = not frame.length_ok
    if told := [name for name, is_so in marks.items() if is_so]:
        found["ot.flags"] = told
    more: dict[str, Any] = {"unit": frame.unit, "valve": frame.valve, "readings": dict(frame.readings)}
    if said := {name: one for name, one in more.items() if one}:
        found["event.fields"] = json.dumps(said)
    return found


def starts(data: bytes, usual: bool) -> bool:
    """A whole frame behind nothing but FEh."""
    return leads(data, cjt188_frame.size, summed.checked, _FILLER, cjt188_frame.broken)


def within(data: bytes) -> bool:
    """A frame among other octets."""
    return lies(data, _BEGINS, cjt188_frame.size, summed.checked, _FILLER * 2, cjt188_frame.broken)


_BEGINS = re.compile(rb"(?=h[\x10-\x13\x20\x21\x30\x40])", re.DOTALL)
_MARKS = tuple(Mark(bytes((0x68, kind)), 0, b"\xff\xf0") for kind in (0x10, 0x20, 0x30, 0x40))
PROTOCOLS = (
    Protocol(
        "cjt188",
        starts,
        Cjt188,
        marks=(*_MARKS, Mark(b"h\xaa"), Mark(b"\xfeh"), Mark(b"\xfe\xfe")),
        within=within,
        needles=(b"h",),
    ),
)
