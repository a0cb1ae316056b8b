"""GOOSE (IEC 61850-8-1) in Ethernet frames and, as R-GOOSE, in UDP: one row per message."""

from __future__ import annotations

from typing import Any

import orjson

from cityguard.decoders.events import Talk
from cityguard.decoders.protocol import Out, Protocol, Speaker
from cityguard.decoders.stream import Moment
from cityguard.decoders.wire import ber
from cityguard.model import LogSource

FRAME = 0x88B8
PORT = 102
SIMULATED = 0x8000
"""Bit of the first reserved field (part 8-1, annex C)."""
_LABELS = {1: "time_allowed_to_live", 5: "stNum", 6: "sqNum", 8: "confRev"}
_TEXTS = {0: "gocbRef", 2: "datSet", 3: "goID"}

Fields = dict[str, Any]


def starts(data: bytes, usual: bool) -> bool:
    """A session header of part 8-1 over UDP with a GOOSE message whole inside."""
    found = routed(data)
    return found is not None and found[0] == 0x81


def routed(data: bytes) -> tuple[int, int, bool, bytes] | None:
    """The first payload of a routed datagram (IEC TR 61850-90-5): its type, APPID, whether simulated, APDU."""
    if len(data) < 32 or data[:2] != b"\x01\x40" or data[2] not in (0xA1, 0xA2) or data[4] != 0x80:
        return None
    at = 6 + data[5]
    header = data[6:at]
    if len(header) < 18 or at + 10 > len(data):
        return None
    at += 4
    kind, simulated, application = data[at], data[at + 1] > 0, int.from_bytes(data[at + 2 : at + 4], "big")
    size = int.from_bytes(data[at + 4 : at + 6], "big")
    apdu = data[at + 6 : at + 6 + size]
    tag = {0x81: b"\x61", 0x82: b"\x60"}.get(kind)
    return (kind, application, simulated, apdu) if tag and apdu[:1] == tag and len(apdu) == size else None


def framed(data: bytes) -> tuple[int, bool, bytes, bool] | None:
    """APPID, simulated, APDU and whether it is cut short, of an Ethernet payload; None when it is none."""
    if len(data) < 10:
        return None
    application, size = int.from_bytes(data[:2], "big"), int.from_bytes(data[2:4], "big")
    if size < 10:
        return None
    simulated = int.from_bytes(data[4:6], "big") & SIMULATED > 0
    return application, simulated, data[8:size], size > len(data)


class Goose(Speaker):
    """GOOSE of a capture."""

    def __init__(self, out: Out) -> None:
        super().__init__(out)
        self._row = out.rows("ot").add

    def datagram(self, data: bytes, talk: Talk, at: Moment) -> bool:
        if talk.link:
            found = framed(data)
            if found is None or found[2][:1] != b"\x61":
                return False
            application, simulated, apdu, cut = found
        else:
            over = routed(data)
            if over is None or over[0] != 0x81:
                return False
            _, application, simulated, apdu = over
            cut = False
        row = message(apdu, application, simulated)
        if cut:
            row["event.flags"] = ["truncated"]
        self._row(at.number, at.time, talk, row)
        return True


def message(apdu: bytes, application: int, simulated: bool) -> Fields:
    """The columns of one goosePdu."""
    extra: Fields = {"appid": application, "simulation": simulated}
    row: Fields = {
        "ot.protocol": "goose",
        "ot.function.name": "GOOSE",
        "ot.message.type": "goose",
        "ot.unit_id": application,
    }
    outer = ber.item(apdu, 0, len(apdu)) or ber.Item(0x60, 1, min(_head(apdu), len(apdu)), len(apdu))
    for one in ber.items(apdu, outer.begin, outer.end):
        number = one.number
        if number in _TEXTS:
            extra[_TEXTS[number]] = ber.text(apdu, one)
        elif number in _LABELS:
            extra[_LABELS[number]] = ber.identifier(apdu, one)
        elif number == 4:
            extra["t"] = ber.utc(apdu[one.begin : one.end])
        elif number == 7:
            extra["simulation"] = simulated or any(apdu[one.begin : one.end])
        elif number == 9:
            extra["ndsCom"] = any(apdu[one.begin : one.end])
        elif number == 10:
            row["ot.quantity"] = min(ber.unsigned(apdu, one), 0x7FFFFFFF)
        elif number == 11:
            row["ot.value"] = ",".join(ber.values(apdu, ber.children(apdu, one))) or None
    row["ot.address"] = extra.get("gocbRef")
    row["ot.transaction_id"] = extra.get("sqNum")
    row["event.fields"] = orjson.dumps(extra).decode()
    return row


def _head(apdu: bytes) -> int:
    """Bytes of tag and length."""
    return 2 + (apdu[1] & 0x7F if len(apdu) > 1 and apdu[1] > 0x80 else 0)


PROTOCOLS = (
    Protocol(
        "goose",
        starts,
        Goose,
        {"ot": LogSource(("ot_command",), ("goose", "iec61850"), ())},
        udp=(PORT,),
        frames=(FRAME,),
    ),
)
