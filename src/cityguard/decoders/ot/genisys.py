"""GENISYS (railway signalling, Union Switch & Signal; AREMA manual part 16) over TCP to one row per message.

A message is a header byte, the station, data in pairs of byte number and value, CRC-16 and 0xF6; within it a byte of
0xF0 and the next stand for one byte of 0xF0 or above. ``ot.address`` has byte numbers, ``ot.value`` their values.
"""

from __future__ import annotations

from typing import Any

from cityguard.decoders.events import Talk
from cityguard.decoders.protocol import Mark, Protocol, Speaker
from cityguard.decoders.stream import Moment
from cityguard.decoders.wire import crc
from cityguard.decoders.wire.framed import Framed

PORT = 10001
MAX_FRAME = 1_100
MAX_VALUES = 16
_END, _ESCAPE = 0xF6, 0xF0
_ACKNOWLEDGE, _POLL = 0xF1, 0xFB

FUNCTIONS: dict[int, tuple[str, str | None]] = {
    0xF1: ("Acknowledge Client", None),
    0xF2: ("Indication Data", "read"),
    0xF3: ("Control Checkback", "control"),
    0xF9: ("Common Control Data", "control"),
    0xFA: ("Acknowledge Indication and Poll", None),
    0xFB: ("Poll", "read"),
    0xFC: ("Control Data", "control"),
    0xFD: ("Recall Header", "read"),
    0xFE: ("Execute Controls", "control"),
}
_FROM_STATION = frozenset((0xF1, 0xF2, 0xF3))


def _plain(raw: bytes) -> bytes:
    """The bytes between header and end with escapes resolved."""
    if _ESCAPE not in raw:
        return raw
    out, place = bytearray(), 0
    while place < len(raw):
        byte = raw[place]
        if byte == _ESCAPE and place + 1 < len(raw):
            place += 1
            byte = _ESCAPE | raw[place]
        out.append(byte)
        place += 1
    return bytes(out)


def _is_sound(frame: bytes) -> bool:
    """Whether a whole message has its header, a station and, where it carries one, the right CRC."""
    if len(frame) < 3 or frame[0] not in FUNCTIONS or frame[-1] != _END:
        return False
    body = _plain(frame[1:-1])
    if frame[0] == _ACKNOWLEDGE or (frame[0] == _POLL and len(body) == 1):
        return len(body) == 1
    return len(body) >= 3 and crc.modbus(bytes((frame[0],)) + body[:-2]) == body[-2] | body[-1] << 8


class Genisys(Speaker):
    """Every GENISYS conversation of a capture."""

    def stream(self, talk: Talk) -> Framed:
        return Framed(talk, _size, self._message, MAX_FRAME)

    def _message(self, frame: bytes, talk: Talk, at: Moment) -> None:
        header = frame[0]
        name, kind = FUNCTIONS[header]
        body = _plain(frame[1:-1])
        short = header == _ACKNOWLEDGE or len(body) < 3
        data = b"" if short else body[1:-2]
        fields: dict[str, Any] = {
            "ot.protocol": "genisys",
            "ot.function.code": header,
            "ot.function.name": name,
            "ot.function.class": kind,
            "ot.unit_id": body[0] if body else None,
            "ot.message.type": "response" if header in _FROM_STATION else "request",
            "ot.is_request": header not in _FROM_STATION,
        }
        if data:
            fields["ot.quantity"] = len(data) // 2
            fields["ot.address"] = ",".join(map(str, data[: 2 * MAX_VALUES : 2]))
            fields["ot.value"] = ",".join(map(str, data[1 : 2 * MAX_VALUES : 2])) or None
        if not _is_sound(frame):
            fields["event.flags"] = ["bad_checksum"]
        self.out.add("ot", at, talk, fields)


def _size(data: bytes | bytearray, at: int) -> int:
    """Bytes of the message at a place, up to and with its end."""
    if data[at] not in FUNCTIONS:
        return -1
    end = data.find(_END, at + 1, at + MAX_FRAME)
    if end < 0:
        return -1 if len(data) - at >= MAX_FRAME else 0
    return end + 1 - at if end - at >= 2 else -1


def starts(data: bytes, usual: bool) -> bool:
    """A whole message with the right check; one without a check only on the usual port."""
    size = _size(data, 0) if data else -1
    if size <= 0 or not _is_sound(data[:size]):
        return False
    return usual or size > 4


PROTOCOLS = (
    Protocol("genisys", starts, Genisys, tcp=(PORT,), marks=tuple(Mark(bytes((code,))) for code in FUNCTIONS)),
)
