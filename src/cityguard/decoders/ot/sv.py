"""Sampled values (IEC 61850-9-2) in Ethernet frames and routed in UDP: one row per ASDU."""

from __future__ import annotations

import struct
from typing import Any

import orjson

from cityguard.decoders.events import Talk
from cityguard.decoders.ot import goose
from cityguard.decoders.protocol import Out, Protocol, Speaker
from cityguard.decoders.stream import Moment
from cityguard.decoders.wire import ber
from cityguard.model import LogSource

FRAME = 0x88BA
MAX_ASDUS = 64
_LABELS = {2: "smpCnt", 3: "confRev", 5: "smpSynch", 6: "smpRate", 8: "smpMod"}

Fields = dict[str, Any]


def starts(data: bytes, usual: bool) -> bool:
    """A session header over UDP with sampled values whole inside."""
    found = goose.routed(data)
    return found is not None and found[0] == 0x82


class SampledValues(Speaker):
    """Sampled values of a capture."""

    def __init__(self, out: Out) -> None:
        super().__init__(out)
        self._row = out.rows("ot").add

    def datagram(self, data: bytes, talk: Talk, at: Moment) -> bool:
        if talk.link:
            found = goose.framed(data)
            if found is None or found[2][:1] != b"\x60":
                return False
            application, simulated, apdu, cut = found
        else:
            over = goose.routed(data)
            if over is None or over[0] != 0x82:
                return False
            _, application, simulated, apdu = over
            cut = False
        rows = messages(apdu, application, simulated)
        for row in rows:
            if cut:
                row["event.flags"] = ["truncated"]
            self._row(at.number, at.time, talk, row)
        return bool(rows)


def messages(apdu: bytes, application: int, simulated: bool) -> list[Fields]:
    """The columns of each ASDU of one savPdu."""
    outer = ber.item(apdu, 0, len(apdu))
    if outer is None:
        return []
    rows = []
    for part in ber.children(apdu, outer):
        if part.number == 2 and part.form & ber.CONSTRUCTED:
            rows += [_asdu(apdu, one, application, simulated) for one in ber.children(apdu, part)[:MAX_ASDUS]]
    return rows


def _asdu(apdu: bytes, asdu: ber.Item, application: int, simulated: bool) -> Fields:
    extra: Fields = {"appid": application, "simulation": simulated}
    row: Fields = {
        "ot.protocol": "sv",
        "ot.function.name": "SV",
        "ot.message.type": "sv",
        "ot.unit_id": application,
    }
    for one in ber.children(apdu, asdu):
        number = one.number
        if number == 0:
            row["ot.address"] = ber.text(apdu, one)
        elif number == 1:
            extra["datSet"] = ber.text(apdu, one)
        elif number in _LABELS:
            extra[_LABELS[number]] = ber.identifier(apdu, one)
        elif number == 4:
            extra["refrTm"] = ber.utc(apdu[one.begin : one.end])
        elif number == 7:
            # 9-2LE and 61869-9 send pairs of a value and its quality, both of 32 bits
            many = (one.end - one.begin) // 8
            row["ot.quantity"] = many
            pairs = struct.unpack_from(f">{2 * min(many, ber.MAX_VALUES)}i", apdu, one.begin)
            row["ot.value"] = ",".join(map(str, pairs[::2])) or None
        elif number == 9:
            extra["gmIdentity"] = apdu[one.begin : one.end][:8].hex()
    row["ot.transaction_id"] = extra.get("smpCnt")
    row["event.fields"] = orjson.dumps(extra).decode()
    return row


PROTOCOLS = (
    Protocol(
        "sv",
        starts,
        SampledValues,
        {"ot": LogSource(("ot_command",), ("sv", "iec61850"), ())},
        udp=(goose.PORT,),
        frames=(FRAME,),
    ),
)
