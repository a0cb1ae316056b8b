"""Synchrophasors (IEEE C37.118.2-2011) over TCP and UDP to one row per frame.

Data frames are read with the last configuration of their stream: ``ot.value`` is the frequency of each PMU in Hz (the
first ``MAX_VALUES``), ``ot.status`` its STAT words.
"""

from __future__ import annotations

import struct
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from cityguard.decoders.events import Talk
from cityguard.decoders.protocol import Mark, Out, Protocol, Speaker
from cityguard.decoders.stream import Moment
from cityguard.decoders.wire import crc
from cityguard.decoders.wire.framed import Framed
from cityguard.decoders.wire.numbers import single

MAX_FRAME = 65_535
MAX_VALUES = 16
MAX_STREAMS = 4_096
MAX_PMUS = 1_024
_DATA, _HEADER, _CONFIG_1, _CONFIG_2, _COMMAND, _CONFIG_3 = range(6)

FUNCTIONS = {
    _DATA: ("Data", "read"),
    _HEADER: ("Header", "read"),
    _CONFIG_1: ("Configuration 1", "read"),
    _CONFIG_2: ("Configuration 2", "read"),
    _COMMAND: ("Command", "control"),
    _CONFIG_3: ("Configuration 3", "read"),
}
_COMMANDS = {
    1: ("Data Transmission Off", "control"),
    2: ("Data Transmission On", "control"),
    3: ("Send Header", "read"),
    4: ("Send Configuration 1", "read"),
    5: ("Send Configuration 2", "read"),
    6: ("Send Configuration 3", "read"),
    8: ("Extended Frame", "control"),
}
_head = struct.Struct(">BBHHII").unpack_from


@dataclass(frozen=True, slots=True)
class _Pmu:
    """Where a PMU's block has its frequency, how that is written, and how long the block is."""

    name: str
    at: int
    floating: bool
    nominal: float
    size: int


class Synchrophasor(Speaker):
    """Every stream of a capture."""

    def __init__(self, out: Out) -> None:
        super().__init__(out)
        self._streams: OrderedDict[tuple[Any, ...], tuple[_Pmu, ...]] = OrderedDict()

    def stream(self, talk: Talk) -> Framed:
        return Framed(talk, _size, self._frame, MAX_FRAME)

    def datagram(self, data: bytes, talk: Talk, at: Moment) -> bool:
        size = _size(data, 0) if data else -1
        if not 0 < size <= len(data):
            return False
        self._frame(data[:size], talk, at)
        return True

    def _frame(self, data: bytes, talk: Talk, at: Moment) -> None:
        _, second, _, code, _, _ = _head(data)
        kind = second >> 4 & 7
        name, klass = FUNCTIONS.get(kind, (f"Frame {kind}", None))
        fields: dict[str, Any] = {
            "ot.protocol": "c37118",
            "ot.function.code": kind,
            "ot.function.name": name,
            "ot.function.class": klass,
            "ot.unit_id": code,
            "ot.message.type": "command" if kind == _COMMAND else "data" if kind == _DATA else "configuration",
            "ot.is_request": kind == _COMMAND,
        }
        if kind == _HEADER:
            fields["ot.message.type"] = "header"
        sound = crc.ccitt(data[:-2]) == data[-2] << 8 | data[-1]
        if not sound:
            fields["event.flags"] = ["bad_checksum"]
        stream = (talk.source, talk.destination[0:2], code)
        if kind == _COMMAND and len(data) >= 18:
            word = data[14] << 8 | data[15]
            name, klass = _COMMANDS.get(word, (f"Command {word}", "control"))
            fields |= {"ot.function.name": name, "ot.function.class": klass, "ot.value": str(word)}
        elif kind in (_CONFIG_1, _CONFIG_2):
            pmus = _configuration(data[:-2])
            fields |= {"ot.quantity": int.from_bytes(data[18:20], "big") if len(data) >= 22 else None}
            fields["ot.address"] = ",".join(one.name for one in pmus[:MAX_VALUES]) or None
            if sound and kind == _CONFIG_2 and pmus:
                self._streams[stream] = pmus
                self._streams.move_to_end(stream)
                if len(self._streams) > MAX_STREAMS:
                    self._streams.popitem(last=False)
        elif kind == _DATA:
            fields |= _measured(data[:-2], self._streams.get(stream, ()))
        self.out.add("ot", at, talk, fields)


def _configuration(data: bytes) -> tuple[_Pmu, ...]:
    """The PMUs of a configuration frame 1 or 2 (table 9)."""
    if len(data) < 20:
        return ()
    found: list[_Pmu] = []
    place = 20
    for _ in range(min(int.from_bytes(data[18:20], "big"), MAX_PMUS)):
        if place + 26 > len(data):
            break
        name = data[place : place + 16].decode("latin-1").rstrip("\0 ")
        _, layout, phasors, analogs, digitals = struct.unpack_from(">5H", data, place + 16)
        names, units = 16 * (phasors + analogs + 16 * digitals), 4 * (phasors + analogs + digitals)
        place += 26 + names + units
        if place + 4 > len(data):
            break
        nominal = 50.0 if data[place + 1] & 1 else 60.0
        place += 4
        frequency = 2 + phasors * (8 if layout & 2 else 4)
        rest = (8 if layout & 8 else 4) + analogs * (4 if layout & 4 else 2) + digitals * 2
        found.append(_Pmu(name, frequency, bool(layout & 8), nominal, frequency + rest))
    return tuple(found)


def _measured(data: bytes, pmus: tuple[_Pmu, ...]) -> dict[str, Any]:
    """Status and frequency of each PMU of a data frame (table 6)."""
    place, status, values = 14, [], []
    for one in pmus[:MAX_VALUES]:
        if place + one.size > len(data):
            break
        status.append(data[place : place + 2].hex())
        if one.floating:
            values.append(single(struct.unpack_from(">f", data, place + one.at)[0]))
        else:
            deviation = struct.unpack_from(">h", data, place + one.at)[0]
            values.append(f"{one.nominal + deviation / 1000:.6g}")  # thousandths: five digits
        place += one.size
    if not pmus and len(data) >= 16:
        status = [data[14:16].hex()]
    return {
        "ot.status": ",".join(status) or None,
        "ot.value": ",".join(values) or None,
        "ot.quantity": len(pmus) or None,
    }


def _size(data: bytes | bytearray, at: int) -> int:
    """Bytes of the frame at a place: SYNC with a known type and version, and a size that its type allows."""
    if data[at] != 0xAA:
        return -1
    if len(data) - at < 4:
        return 0
    second = data[at + 1]
    if second & 0x80 or second >> 4 > 5 or second & 0x0F not in (1, 2):
        return -1
    size = data[at + 2] << 8 | data[at + 3]
    return size if size >= 16 else -1


def starts(data: bytes, usual: bool) -> bool:
    """A frame whose check sum is right; on the usual ports a header is enough where the frame is cut."""
    size = _size(data, 0) if data else -1
    if size > 0 and len(data) >= size:
        return crc.ccitt(data[: size - 2]) == data[size - 2] << 8 | data[size - 1]
    return usual and size >= 0


PROTOCOLS = (
    Protocol(
        "c37118",
        starts,
        Synchrophasor,
        tcp=(4712,),
        udp=(4713,),
        marks=tuple(Mark(bytes((0xAA, kind << 4 | version))) for kind in range(6) for version in (1, 2)),
    ),
)
