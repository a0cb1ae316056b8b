"""DNP3 (IEEE 1815-2012) on TCP and UDP: link frames with their checksums, transport segments, application fragments.

One row per application fragment, one per link frame that carries none. ``ot.address`` names objects and points
(``30.1:0-4``, ``12.1:7``, ``60.2``), ``ot.status`` the internal indications, ``event.fields`` everything per object.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from cityguard.decoders.events import Talk
from cityguard.decoders.ot.dnp3_objects import Objects
from cityguard.decoders.protocol import Mark, Out, Protocol, Speaker
from cityguard.decoders.stream import Moment
from cityguard.decoders.wire import crc
from cityguard.decoders.wire.pairs import Pairs

PORT = 20000
MAX_VALUES = 16
MAX_FRAGMENT = 65_536
MAX_PARTIAL = 64
"""Fragments under way in one connection."""
MAX_DATAGRAM_PARTIAL = 4_096
_SYNC = b"\x05\x64"
_HEAD = 10
_LINK_DATA = frozenset((3, 4))
_PRIMARY = {
    0: "RESET_LINK_STATES",
    1: "RESET_USER_PROCESS",
    2: "TEST_LINK_STATES",
    3: "CONFIRMED_USER_DATA",
    4: "UNCONFIRMED_USER_DATA",
    9: "REQUEST_LINK_STATUS",
}
_SECONDARY = {0: "ACK", 1: "NACK", 11: "LINK_STATUS", 14: "LINK_NOT_FUNCTIONING", 15: "NOT_SUPPORTED"}

FUNCTIONS: dict[int, tuple[str, str | None]] = {
    0: ("CONFIRM", None),
    1: ("READ", "read"),
    2: ("WRITE", "write"),
    3: ("SELECT", "control"),
    4: ("OPERATE", "control"),
    5: ("DIRECT_OPERATE", "control"),
    6: ("DIRECT_OPERATE_NR", "control"),
    7: ("IMMED_FREEZE", "control"),
    8: ("IMMED_FREEZE_NR", "control"),
    9: ("FREEZE_CLEAR", "control"),
    10: ("FREEZE_CLEAR_NR", "control"),
    11: ("FREEZE_AT_TIME", "control"),
    12: ("FREEZE_AT_TIME_NR", "control"),
    13: ("COLD_RESTART", "control"),
    14: ("WARM_RESTART", "control"),
    15: ("INITIALIZE_DATA", "control"),
    16: ("INITIALIZE_APPL", "program"),
    17: ("START_APPL", "program"),
    18: ("STOP_APPL", "program"),
    19: ("SAVE_CONFIG", "program"),
    20: ("ENABLE_UNSOLICITED", "control"),
    21: ("DISABLE_UNSOLICITED", "control"),
    22: ("ASSIGN_CLASS", "program"),
    23: ("DELAY_MEASURE", "diagnostic"),
    24: ("RECORD_CURRENT_TIME", "diagnostic"),
    25: ("OPEN_FILE", "program"),
    26: ("CLOSE_FILE", "program"),
    27: ("DELETE_FILE", "program"),
    28: ("GET_FILE_INFO", "read"),
    29: ("AUTHENTICATE_FILE", "program"),
    30: ("ABORT_FILE", "program"),
    31: ("ACTIVATE_CONFIG", "program"),
    32: ("AUTHENTICATE_REQ", None),
    33: ("AUTH_REQ_NO_ACK", None),
    129: ("RESPONSE", None),
    130: ("UNSOLICITED_RESPONSE", None),
    131: ("AUTHENTICATE_RESP", None),
}
_CARRY = frozenset((0, 2, 3, 4, 5, 6, 11, 12, *range(25, 34), 129, 130, 131))
"""Functions whose object headers have objects behind them."""
_MESSAGES = {0: "confirm", 130: "unsolicited"}
_FAULTS = 0x0037
"""IIN2: function, object or parameter not known, already executing, configuration corrupt."""
_INDICATIONS = (
    *("BROADCAST", "CLASS_1_EVENTS", "CLASS_2_EVENTS", "CLASS_3_EVENTS"),
    *("NEED_TIME", "LOCAL_CONTROL", "DEVICE_TROUBLE", "DEVICE_RESTART"),
    *("NO_FUNC_CODE_SUPPORT", "OBJECT_UNKNOWN", "PARAMETER_ERROR", "EVENT_BUFFER_OVERFLOW"),
    *("ALREADY_EXECUTING", "CONFIG_CORRUPT", "RESERVED_2", "RESERVED_1"),
)


_JSON = json.JSONEncoder(separators=(",", ":")).encode


def _sound(raw: bytes, at: int) -> bool:
    """Whether a link header stands here, by its checksum; ten octets are there."""
    return (
        raw[at] == 5
        and raw[at + 1] == 0x64
        and raw[at + 2] >= 5
        and crc.dnp(raw[at : at + 8]) == raw[at + 8] | raw[at + 9] << 8
    )


@dataclass(frozen=True, slots=True)
class Link:
    """A link frame without its checksums."""

    control: int
    destination: int
    source: int
    data: bytes
    good: bool
    """Every block's checksum is right."""

    @property
    def outstation(self) -> int:
        """The address of the controlled end: who is sent to by a master."""
        return self.destination if self.control & 0x80 else self.source


def frame_size(length: int) -> int:
    """Octets of a frame on the wire by its length field (9.2.4.1)."""
    user = length - 5
    return _HEAD + user + 2 * ((user + 15) // 16)


def link(raw: bytes, at: int) -> Link:
    """The frame whose sound header stands here and which is there in whole."""
    left, place, parts, good = raw[at + 2] - 5, at + _HEAD, list[bytes](), True
    while left > 0:
        size = min(left, 16)
        block = raw[place : place + size]
        good = good and crc.dnp(block) == raw[place + size] | raw[place + size + 1] << 8
        parts.append(block)
        left, place = left - size, place + size + 2
    return Link(raw[at + 3], raw[at + 4] | raw[at + 5] << 8, raw[at + 6] | raw[at + 7] << 8, b"".join(parts), good)


@dataclass(slots=True)
class _Partial:
    """A fragment under way."""

    sequence: int
    data: bytearray


class Stations:
    """Transport segments of link addresses to fragments to rows, for one connection or all datagrams.

    Args:
        out: where rows go.
        limit: fragments under way, and requests waiting, at most.
    """

    def __init__(self, out: Out, limit: int) -> None:
        self._add, self._limit = out.rows("ot").add, limit
        self._partial: dict[tuple[object, int, int], _Partial] = {}
        self._asked: Pairs[tuple[str | None, int | None]] = Pairs(limit)
        self.held = 0

    def take(self, frame: Link, way: object, back: object, talk: Talk, at: Moment) -> None:
        """A frame.

        Args:
            frame: it.
            way: what its direction is known by.
            back: the same of the other direction.
            talk: its ends, in its direction.
            at: when.
        """
        function = frame.control & 15
        if not frame.control & 0x40 or function not in _LINK_DATA or not frame.data:
            self._add(at.number, at.time, talk, _link_row(frame))
            return
        if not frame.good:
            self._add(at.number, at.time, talk, _link_row(frame) | {"event.flags": ["undecoded"]})
            return
        fragment = self._assemble(frame, way)
        if fragment is not None:
            self._add(at.number, at.time, talk, self._fragment(fragment, frame, way, back))

    def lose(self, way: object) -> None:
        """Frames of a direction are missing."""
        for key in [key for key in self._partial if key[0] == way]:
            self.held -= len(self._partial.pop(key).data)

    def _assemble(self, frame: Link, way: object) -> bytes | None:
        """Transport function (9.3): FIN, FIR and a sequence number before each segment."""
        head, key = frame.data[0], (way, frame.source, frame.destination)
        if head & 0xC0 == 0xC0:
            if self._partial:
                self._forget(key)
            return frame.data[1:]
        if head & 0x40:
            self._forget(key)
            if len(self._partial) >= self._limit:
                self._forget(next(iter(self._partial)))
            self._partial[key] = _Partial(head & 63, bytearray(frame.data[1:]))
            self.held += len(frame.data) - 1
            return None
        one = self._partial.get(key)
        if one is None or head & 63 == one.sequence:  # its beginning is lost, or it is sent again
            return None
        if head & 63 != (one.sequence + 1) & 63 or len(one.data) > MAX_FRAGMENT:
            self._forget(key)
            return None
        one.sequence = head & 63
        one.data += frame.data[1:]
        self.held += len(frame.data) - 1
        return bytes(self._forget(key)) if head & 0x80 else None

    def _forget(self, key: tuple[object, int, int]) -> bytearray:
        one = self._partial.pop(key, None)
        if one is None:
            return bytearray()
        self.held -= len(one.data)
        return one.data

    def _fragment(self, raw: bytes, frame: Link, way: object, back: object) -> dict[str, Any]:
        if len(raw) < 2:
            return _link_row(frame) | {"event.flags": ["truncated"]}
        control, code = raw[0], raw[1]
        name, klass = FUNCTIONS.get(code, (f"Function {code}", None))
        responds = code >= 128
        if responds and len(raw) < 4:
            return _link_row(frame) | {"event.flags": ["truncated"]}
        objects = Objects(raw, 4 if responds else 2, data=code in _CARRY)
        iin = raw[2] << 8 | raw[3] if responds else 0
        status, klass = _outcome(objects, iin, responds, klass)
        address, quantity = _points(objects)
        sequence = control & 15
        if code == 129:
            asked = self._asked.answer((back, frame.destination, frame.source, sequence))
            if asked and not objects.headers:
                address, quantity = asked
        elif not responds and code:
            self._asked.ask((way, frame.source, frame.destination, sequence), (address, quantity))
        values = [value for one in objects.headers for value in one.values]
        row: dict[str, Any] = {
            "ot.protocol": "dnp3",
            "ot.function.code": code,
            "ot.function.name": name,
            "ot.function.class": klass,
            "ot.unit_id": frame.outstation,
            "ot.address": address,
            "ot.quantity": quantity,
            "ot.value": ",".join(values[:MAX_VALUES]) or None,
            "ot.status": status,
            "ot.message.type": _MESSAGES.get(code, "response" if responds else "request"),
            "ot.transaction_id": sequence,
            "ot.is_request": not responds and code != 0,
            "event.fields": _told(frame, control, objects, iin),
        }
        if not objects.whole or code not in FUNCTIONS:
            row["event.flags"] = ["undecoded"]
        return row


def _outcome(objects: Objects, iin: int, responds: bool, klass: str | None) -> tuple[str | None, str | None]:
    """Status and class: a response is an error when an indication or a control's status says so."""
    if not responds:
        return None, klass
    status = next((code for one in objects.headers for code in one.status if code), 0)
    text = f"0x{iin:04x}" + (f" status={status}" if status else "")
    return text, "error" if iin & _FAULTS or status else klass


def _points(objects: Objects) -> tuple[str | None, int | None]:
    """The points as text and how many; a header for all points counts none."""
    counts = [one.count for one in objects.headers if one.count is not None]
    names = ",".join(one.name for one in objects.headers[:MAX_VALUES])
    return names or None, min(sum(counts), 0x7FFFFFFF) if counts else None


def _told(frame: Link, control: int, objects: Objects, iin: int) -> str:
    found: dict[str, Any] = {"source": frame.source, "destination": frame.destination}
    if control & 0xC0 != 0xC0:
        found |= {"first": control & 0x80 > 0, "final": control & 0x40 > 0}
    if control & 0x20:
        found["confirm"] = True
    if control & 0x10:
        found["unsolicited"] = True
    if iin:
        order = iin >> 8 | (iin & 255) << 8
        found["indications"] = [name for bit, name in enumerate(_INDICATIONS) if order >> bit & 1]
    if objects.headers:
        found["objects"] = [one.told() for one in objects.headers]
    return _JSON(found)


def _link_row(frame: Link) -> dict[str, Any]:
    primary = frame.control & 0x40 > 0
    code = frame.control & 15
    name = (_PRIMARY if primary else _SECONDARY).get(code, f"LINK_FUNCTION_{code}")
    return {
        "ot.protocol": "dnp3",
        "ot.function.name": name,
        "ot.function.class": "diagnostic" if primary and code in (2, 9) else None,
        "ot.unit_id": frame.outstation,
        "ot.message.type": name.lower(),
        "ot.is_request": primary,
        "event.fields": f'{{"source":{frame.source},"destination":{frame.destination}}}',
    }


class Connection:
    """One TCP connection."""

    def __init__(self, out: Out, ends: Talk) -> None:
        self.done, self.held = False, 0
        self._talks = (ends, ends.turned())
        self._stations = Stations(out, MAX_PARTIAL)
        self._buffers = (bytearray(), bytearray())

    def feed(self, side: int, data: bytes, at: Moment) -> None:
        buffer = self._buffers[side]
        buffer += data
        raw, begin = bytes(buffer), 0
        while len(raw) - begin >= _HEAD:
            if not _sound(raw, begin):
                begin = raw.find(_SYNC, begin + 1)
                if begin < 0:
                    begin = len(raw) - (raw[-1] == 5)
                continue
            end = begin + frame_size(raw[begin + 2])
            if end > len(raw):
                break
            self._stations.take(link(raw, begin), side, 1 - side, self._talks[side], at)
            begin = end
        del buffer[:begin]
        self.held = len(self._buffers[0]) + len(self._buffers[1]) + self._stations.held

    def gap(self, side: int) -> None:
        self._buffers[side].clear()
        self._stations.lose(side)
        self.held = len(self._buffers[0]) + len(self._buffers[1]) + self._stations.held

    def close(self) -> None:
        """Nothing waits here for an answer."""


class Dnp3(Speaker):
    """Masters and outstations."""

    def __init__(self, out: Out) -> None:
        super().__init__(out)
        self._stations = Stations(out, MAX_DATAGRAM_PARTIAL)

    def stream(self, talk: Talk) -> Connection:
        return Connection(self.out, talk)

    def datagram(self, data: bytes, talk: Talk, at: Moment) -> bool:
        """One or more whole frames."""
        begin = 0
        way, back = (talk.source, talk.destination), (talk.destination, talk.source)
        while len(data) - begin >= _HEAD and _sound(data, begin):
            end = begin + frame_size(data[begin + 2])
            if end > len(data):
                break
            self._stations.take(link(data, begin), way, back, talk, at)
            begin = end
        return begin > 0


def starts(data: bytes, usual: bool) -> bool:
    """A link header with its right checksum."""
    if len(data) >= _HEAD:
        return _sound(data, 0)
    return usual and len(data) > 0 and _SYNC.startswith(data[:2])


PROTOCOLS = (Protocol("dnp3", starts, Dnp3, tcp=(PORT,), udp=(PORT,), marks=(Mark(_SYNC),)),)
