"""MMS over ISO session, presentation and ACSE (ISO 8327, 8823, 8650) on ``tpkt``: one row per message.

The upper layers are walked for what they carry: session user data, presentation data values, the association's user
information. Devices that put MMS directly on transport are read too.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import orjson

from cityguard.decoders.events import Talk
from cityguard.decoders.ot import mms_pdu, tpkt
from cityguard.decoders.ot.mms_pdu import Asked
from cityguard.decoders.protocol import Out, Protocol, Speaker
from cityguard.decoders.stream import Moment
from cityguard.decoders.wire import ber
from cityguard.decoders.wire.ber import Item
from cityguard.model import LogSource

MAX_WAITING = 1_024
_WEIGHT = 512
"""Bytes of one request that waits, roughly."""
_DATA = b"\x01\0\x01\0"
"""Give-tokens and data-transfer SPDUs without parameters (ISO 8327-1, 8.3)."""
_CONNECT, _ACCEPT, _FINISH, _DISCONNECT, _ABORT, _REFUSE = 0x0D, 0x0E, 0x09, 0x0A, 0x19, 0x0C
_SESSION = frozenset((_CONNECT, _ACCEPT, _FINISH, _DISCONNECT, _ABORT, _REFUSE))
_USER = (0xC1, 0xC2)
_SHOWN = 512
"""Bytes of a payload a protocol is recognised by (``recognise.HEAD``)."""
_RELEASES = {2: "release-request", 3: "release-response", 4: "abort"}

Fields = dict[str, Any]


def starts(data: bytes, usual: bool) -> bool:
    """The first data unit is a session connect or data with presentation inside, or an MMS message by itself."""
    unit = tpkt.first(data, usual)
    if not unit:
        return False
    if unit[0] in _SESSION or unit[:4] == _DATA:
        if len(data) >= _SHOWN:  # the unit may go on
            begin = _user_data(unit)
            return begin is not None and unit[begin] in (0x31, 0x61)
        return any(True for _ in payloads(unit))
    return mms_pdu.is_pdu(unit)


def payloads(unit: bytes) -> Iterator[Item]:
    """What the presentation layer carries in a session unit: ACSE and MMS messages, outermost values."""
    begin = _user_data(unit)
    if begin is None:
        return
    for outer in ber.items(unit, begin, len(unit)):
        if outer.form == 0x60 and outer.number == 1:
            yield from _values(unit, outer)
        elif outer.form == 0x20 and outer.number == 17:  # CP or CPA: its user data stands in [2]
            for part in ber.children(unit, outer):
                for inner in ber.children(unit, part) if part.number == 2 else ():
                    if (inner.form, inner.number) == (0x60, 1):
                        yield from _values(unit, inner)


def _values(unit: bytes, data: Item) -> Iterator[Item]:
    """Fully encoded data (ISO 8823-1, 8.4.2): lists of a context id and [0] a value."""
    for pair in ber.children(unit, data)[:16]:
        for part in ber.children(unit, pair):
            if part.form == 0xA0 and part.number == 0:
                yield from ber.children(unit, part)[:4]


def _user_data(unit: bytes) -> int | None:
    """Where the user data of a session unit begins."""
    if unit[:4] == _DATA:
        return 4
    if len(unit) < 2 or unit[0] not in _SESSION:
        return None
    at = 4 if unit[1] == 0xFF else 2
    for _ in range(16):
        if at + 2 > len(unit):
            return None
        kind, size = unit[at], unit[at + 1]
        at += 2
        if size == 0xFF:
            size = int.from_bytes(unit[at : at + 2], "big")
            at += 2
        if kind in _USER:
            return at if at < len(unit) else None
        at += size
    return None


def _association(unit: bytes, acse: Item) -> Iterator[Item]:
    """MMS messages in an association's user information [30]: EXTERNAL with [0] a value."""
    for part in ber.children(unit, acse):
        if part.form == 0xA0 and part.number == 30:
            for external in ber.children(unit, part)[:4]:
                for inner in ber.children(unit, external):
                    if inner.form == 0xA0 and inner.number == 0:
                        yield from ber.children(unit, inner)[:1]


class Connection(tpkt.Transport):
    """One connection."""

    def __init__(self, out: Out, talk: Talk) -> None:
        super().__init__()
        self._row = out.rows("ot").add
        self._talks = (talk, talk.turned())
        # an invoke id is the requester's own: requests wait by the side they came from
        self._waiting: tuple[OrderedDict[int, Asked], OrderedDict[int, Asked]] = (OrderedDict(), OrderedDict())

    def feed(self, side: int, data: bytes, at: Moment) -> None:
        super().feed(side, data, at)
        self.held += _WEIGHT * (len(self._waiting[0]) + len(self._waiting[1]))

    def unit(self, side: int, data: bytes, at: Moment) -> None:
        if data[0] in _SESSION or data[:4] == _DATA:
            found = 0
            for one in payloads(data):
                found += 1
                self._payload(side, data, one, at)
            if not found and data[0] in (_ABORT, _REFUSE):
                self._add(side, {"ot.function.name": "abort", "ot.message.type": "abort"}, {}, at)
        elif mms_pdu.is_pdu(data):
            for message in ber.items(data, 0, len(data)):
                self._message(side, data, message, at)

    def _payload(self, side: int, unit: bytes, one: Item, at: Moment) -> None:
        if one.form & 0xC0 == ber.CONTEXT and one.number <= 13:
            self._message(side, unit, one, at)
        elif one.form & 0xC0 == ber.APPLICATION and one.number in (0, 1):
            for inner in _association(unit, one):
                self._message(side, unit, inner, at)
        elif one.form & 0xC0 == ber.APPLICATION and one.number in _RELEASES:
            kind = _RELEASES[one.number]
            row: Fields = {"ot.function.name": kind.split("-")[0], "ot.message.type": kind}
            row["ot.is_request"] = kind != "release-response"
            self._add(side, row, {}, at)

    def _message(self, side: int, unit: bytes, pdu: Item, at: Moment) -> None:
        if pdu.form & 0xC0 != ber.CONTEXT or pdu.number > 13:
            return
        row, extra = Fields(), Fields()
        asked = mms_pdu.read(unit, pdu, self._waiting[1 - side], row, extra)
        if asked:
            waiting = self._waiting[side]
            waiting[row["ot.transaction_id"]] = asked
            if len(waiting) > MAX_WAITING:
                waiting.popitem(last=False)
        self._add(side, row, extra, at)

    def _add(self, side: int, row: Fields, extra: Fields, at: Moment) -> None:
        row["ot.protocol"] = "mms"
        if extra:
            row["event.fields"] = orjson.dumps(extra).decode()
        self._row(at.number, at.time, self._talks[side], row)


class Mms(Speaker):
    """MMS of a capture."""

    def stream(self, talk: Talk) -> Connection:
        return Connection(self.out, talk)


PROTOCOLS = (
    Protocol(
        "mms",
        starts,
        Mms,
        {"ot": LogSource(("ot_command",), ("mms", "iec61850"), ())},
        tcp=(tpkt.PORT,),
        marks=(tpkt.mark(b"\x0d"), tpkt.mark(b"\x0e"), tpkt.mark(_DATA + b"\x61")),
    ),
)
