"""One frame of DL/T 698.45 on the link: head, addresses, the two checks; the application unit is read elsewhere.

``68 L(2) C AF SA CA HCS(2) unit FCS(2) 16``: L counts all but the two marks, both checks are the FCS of HDLC. From a
public implementation, not from the text of the standard.
"""

from __future__ import annotations

from dataclasses import dataclass

from cityguard.decoders.wire import crc

START, END = 0x68, 0x16
MOST = 2 + 0x3FFF
_UNCHECKED = 160
"""Octets of a frame at most that is taken on its last check alone."""
_LINK, _USER = 1, 3
_PLAIN = bytes((octet - 0x33) & 0xFF for octet in range(256))


@dataclass(frozen=True, slots=True)
class Frame:
    """Everything the link says."""

    length: int
    control: int
    address_type: int
    """0 single, 1 wildcard, 2 group, 3 broadcast."""
    logical: int
    server: str
    """Meter or terminal, most significant digit first."""
    client: int
    hcs_ok: bool
    fcs_ok: bool
    unit: bytes
    """The application unit, without 33h."""
    cut: bool = False
    """The head is sound, but the frame is not as long as it says."""

    @property
    def from_server(self) -> bool:
        return self.control & 0x80 > 0

    @property
    def prm(self) -> bool:
        """The message was begun by the client."""
        return self.control & 0x40 > 0

    @property
    def split(self) -> bool:
        return self.control & 0x20 > 0

    @property
    def function(self) -> int:
        """1 link management, 3 user data."""
        return self.control & 7


def _head(data: bytes | bytearray, at: int) -> int:
    """Octets from the start to the header check, without it."""
    return 6 + (data[at + 4] & 15) + 1


def size(data: bytes | bytearray, at: int) -> int:
    """Octets of the frame at a place: 0 = more is needed to tell, -1 = none begins here.

    A sound head whose frame does not end where it says counts for itself.
    """
    room = len(data) - at
    if data[at] != START:
        return -1
    if room < 5:
        return 0 if room < 4 or _is_control(data[at + 3]) else -1
    whole = 2 + ((data[at + 1] | data[at + 2] << 8) & 0x3FFF)
    head = _head(data, at)
    if not _is_control(data[at + 3]) or whole < head + 5:
        return -1
    if room < head + 2:
        return 0
    sure = _heads(data, at, head)
    if not sure and whole > _UNCHECKED:
        return -1
    if room < whole:
        return 0
    if data[at + whole - 1] == END and (sure or _is_whole(data, at, whole)):
        return whole
    return head + 2 if sure else -1


def heads(data: bytes, at: int) -> bool:
    """Whether the head at a place is all there and its check right."""
    head = _head(data, at) if len(data) > at + 4 else 0
    return 0 < head <= len(data) - at - 2 and _heads(data, at, head)


def _is_control(octet: int) -> bool:
    return octet & 0x10 == 0 and octet & 7 in (_LINK, _USER)


def _heads(data: bytes | bytearray, at: int, head: int) -> bool:
    return crc.x25(bytes(data[at + 1 : at + head])) == data[at + head] | data[at + head + 1] << 8


def _is_whole(data: bytes | bytearray, at: int, whole: int) -> bool:
    return crc.x25(bytes(data[at + 1 : at + whole - 3])) == data[at + whole - 3] | data[at + whole - 2] << 8


def read(frame: bytes) -> Frame | None:
    """What the octets from 68h on say; None where they are no head."""
    if len(frame) < 9 or frame[0] != START or not _is_control(frame[3]):
        return None
    head = _head(frame, 0)
    if len(frame) < head + 2:
        return None
    field = frame[1] | frame[2] << 8
    length, control, form = field & 0x3FFF, frame[3], frame[4]
    whole = len(frame) == length + 2 and len(frame) >= head + 5
    unit = frame[head + 2 : -3] if whole else frame[head + 2 :]
    server = frame[head - 2 : 4 : -1].hex().upper()
    return Frame(
        length,
        control,
        form >> 6,
        form >> 4 & 3,
        server.rstrip("F") or server,
        frame[head - 1],
        _heads(frame, 0, head),
        whole and _is_whole(frame, 0, len(frame)),
        unit.translate(_PLAIN) if control & 8 else unit,
        not whole,
    )
