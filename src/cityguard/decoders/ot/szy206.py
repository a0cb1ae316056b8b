"""SZY206-2016 and SL/T 427-2021, stations of water resources, over TCP and UDP: one row per frame.

No port is the protocol's. What begins ``68 L 68`` is known by its CRC-8, its end, a function there is and a region in
digits, all together; IEC 101 and Q/GDW 376.1 begin alike and fail one of them. A conversation may begin with a frame
whose CRC is wrong: then its region must be of a province there is, and its data what the function's command has.
"""

from __future__ import annotations

import re

from cityguard.decoders.events import Talk
from cityguard.decoders.ot import szy206_frame, szy206_rows
from cityguard.decoders.protocol import Mark, Protocol, Speaker
from cityguard.decoders.stream import Moment, Parser
from cityguard.decoders.wire.sought import Sought

_START = b"h"
_HEADS = re.compile(rb"(?s)(?=h[\x07-\xff]h)")


class Szy206(Speaker):
    """Every station's conversation of a capture."""

    def stream(self, talk: Talk) -> Parser:
        return Sought(talk, _START, szy206_frame.size, self._frame, szy206_frame.MOST, self._malformed)

    def datagram(self, data: bytes, talk: Talk, at: Moment) -> bool:
        place, taken = data.find(_START), False
        while place >= 0:
            many = szy206_frame.size(data, place)
            if many > 0:
                self._frame(data[place : place + many], talk, at)
                taken = True
            place = data.find(_START, place + max(many, 1))
        return taken

    def _frame(self, raw: bytes, talk: Talk, at: Moment) -> None:
        frame = szy206_frame.read(raw)
        self.out.add("ot", at, talk, szy206_rows.fields(frame, at.time))

    def _malformed(self, talk: Talk, at: Moment) -> None:
        self.out.add("ot", at, talk, {"ot.protocol": "szy206", "ot.status": "malformed"})


def _sure(data: bytes, at: int) -> bool:
    """A whole frame whose check is right, of a function and a region that there are."""
    many = szy206_frame.size(data, at)
    if not 0 < many <= len(data) - at or not szy206_frame.is_sound(data, at):
        return False
    if many != data[at + 1] + 5:
        return False
    return szy206_frame.checked(data, at, many) or szy206_frame.is_likely(data, at)


def starts(data: bytes, usual: bool) -> bool:
    """A frame at the beginning of a payload."""
    return data[:1] == _START and _sure(data, 0)


def within(data: bytes) -> bool:
    """A frame anywhere among other bytes."""
    return any(_sure(data, found.start()) for found in _HEADS.finditer(data))


_HEAD = Mark(b"h\0h", 0, b"\xff\0\xff")
PROTOCOLS = (Protocol("szy206", starts, Szy206, marks=(_HEAD,), within=within, needles=(_START,)),)
