"""IEC 60870-5-104: every APDU one row, its objects with address, value, quality and time.

``ot.address`` and ``ot.value`` hold the first objects; ``event.fields`` holds cause, originator and sequence numbers,
``quality`` and ``time`` per object where any is told, and ``addresses`` and ``values`` in full where there are more.
"""

from __future__ import annotations

import json
from typing import Any

from cityguard.decoders.events import Talk
from cityguard.decoders.ot.iec104_types import CAUSES, TYPES, Kind, long_time, short_time
from cityguard.decoders.protocol import Mark, Protocol, Speaker
from cityguard.decoders.recognise import HEAD
from cityguard.decoders.stream import Moment

PORT = 2404
MAX_VALUES = 16
"""Objects of one ASDU that stand in the columns."""
START = 0x68
_WHOLE_HEAD = 12
_LEAST, _MOST = 4, 253  # octets after the length (60870-5-104, 5.1)
_UNNUMBERED = {
    0x07: "STARTDT act",
    0x0B: "STARTDT con",
    0x13: "STOPDT act",
    0x23: "STOPDT con",
    0x43: "TESTFR act",
    0x83: "TESTFR con",
}
_ACTS = frozenset((0x07, 0x13, 0x43))
_ASKS, _ERRORS = frozenset((5, 6, 8)), frozenset((44, 45, 46, 47))
_FIRST_COMMAND = 45
_WHEN = {0: None, 3: short_time, 7: long_time}


class Link:
    """One connection; a row per APDU."""

    def __init__(self, speaker: Speaker, ends: Talk) -> None:
        self.done, self.held = False, 0
        self._add = speaker.out.rows("ot").add
        self._talks = (ends, ends.turned())
        self._buffers = (bytearray(), bytearray())
        self._sure = [True, True]
        self._last = [Moment(0, 0), Moment(0, 0)]

    def feed(self, side: int, data: bytes, at: Moment) -> None:
        buffer = self._buffers[side]
        buffer += data
        raw, begin, size = bytes(buffer), 0, len(buffer)
        self._last[side] = at
        while size - begin >= 2 + _LEAST:
            if not self._sure[side]:
                begin = _search(raw, begin)
                if begin < 0:
                    begin = ~begin
                    break
                self._sure[side] = True
            if not _sound(raw, begin):
                self._sure[side] = False
                begin += 1
                continue
            end = begin + 2 + raw[begin + 1]
            if end > size:
                break
            self._add(at.number, at.time, self._talks[side], read(raw[begin:end]))
            begin = end
        del buffer[:begin]
        self.held = len(self._buffers[0]) + len(self._buffers[1])

    def gap(self, side: int) -> None:
        self._cut(side)
        self._sure[side] = True  # what follows begins at a segment
        self.held = len(self._buffers[0]) + len(self._buffers[1])

    def close(self) -> None:
        for side in (0, 1):
            self._cut(side)

    def _cut(self, side: int) -> None:
        """The rest of an APDU does not come; its beginning is told as far as it goes."""
        raw, at = bytes(self._buffers[side]), self._last[side]
        self._buffers[side].clear()
        if len(raw) >= _WHOLE_HEAD and self._sure[side] and _sound(raw, 0):
            self._add(at.number, at.time, self._talks[side], read(raw) | {"event.flags": ["truncated"]})


def _sound(raw: bytes, at: int) -> bool:
    """Whether an APCI can stand here: start octet, length, format of the control field. Six octets are there."""
    size, one, two, three = raw[at + 1], raw[at + 2], raw[at + 3], raw[at + 4]
    if raw[at] != START or not _LEAST <= size <= _MOST:
        return False
    if one & 1 == 0:
        return three & 1 == 0 and size > _LEAST
    if one & 3 == 1:
        return size == _LEAST and one == 1 and two == 0 and three & 1 == 0
    return size == _LEAST and one in _UNNUMBERED and two == 0 and three == 0 and raw[at + 5] == 0


def _sure(raw: bytes, at: int) -> bool:
    """A sound APCI whose ASDU is of a known type and cause and as long as its number of objects asks for."""
    if not _sound(raw, at):
        return False
    if raw[at + 2] & 1:
        return True
    if len(raw) - at < 10:
        return False
    kind, number = TYPES.get(raw[at + 6]), raw[at + 7] & 0x7F
    if kind is None or not number or raw[at + 8] & 0x3F not in CAUSES:
        return False
    each = kind.size + kind.time
    wanted = 3 + number * each if raw[at + 7] & 0x80 else number * (3 + each)
    body = raw[at + 1] - 10
    return body >= 3 if kind.free else body == wanted


def _search(raw: bytes, begin: int) -> int:
    """The next place where an APDU surely begins; the complement of where to look on when there is none yet."""
    at = raw.find(START, begin)
    while 0 <= at <= len(raw) - 10:
        if _sure(raw, at):
            return at
        at = raw.find(START, at + 1)
    return ~at if at >= 0 else ~len(raw)


def read(apdu: bytes) -> dict[str, Any]:
    """The columns of one APDU, whole by its length; never raises."""
    one = apdu[2]
    if one & 1 == 0:
        return _numbered(apdu)
    if one & 3 == 1:
        received = apdu[4] >> 1 | apdu[5] << 7
        return _row("s", "S", None, event=f'{{"receive":{received}}}')
    return _row("u", _UNNUMBERED[one], one in _ACTS, klass="diagnostic" if one in (0x43, 0x83) else None)


def _row(
    message: str, name: str, asks: bool | None, *, klass: str | None = None, event: str | None = None
) -> dict[str, Any]:
    return {
        "ot.protocol": "iec104",
        "ot.message.type": message,
        "ot.function.name": name,
        "ot.function.class": klass,
        "ot.is_request": asks,
        "event.fields": event,
    }


def _numbered(apdu: bytes) -> dict[str, Any]:
    """An I frame (60870-5-101, 7.2; the data unit identifier is six octets in -104)."""
    sent, received = apdu[2] >> 1 | apdu[3] << 7, apdu[4] >> 1 | apdu[5] << 7
    head = f'{{"send":{sent},"receive":{received}'
    if len(apdu) < 12:
        cut = {"ot.transaction_id": sent, "event.flags": ["truncated"]}
        return _row("i", "I", None, event=head + "}") | cut
    code, variable, cause = apdu[6], apdu[7], apdu[8] & 0x3F
    kind = TYPES.get(code)
    failed = cause in _ERRORS or apdu[8] & 0x40 > 0
    objects = Objects(kind, apdu, variable & 0x7F, variable & 0x80 > 0)
    extra = f',"cause":{cause},"originator":{apdu[9]}'
    if cause in CAUSES:
        extra += f',"cause_name":"{CAUSES[cause]}"'
    if apdu[8] & 0xC0:
        extra += (',"negative":true' if apdu[8] & 0x40 else "") + (',"test":true' if apdu[8] & 0x80 else "")
    row: dict[str, Any] = {
        "ot.protocol": "iec104",
        "ot.function.code": code,
        "ot.function.name": kind.name if kind else f"Type {code}",
        "ot.function.class": "error" if failed else kind.klass if kind else None,
        "ot.unit_id": apdu[10] | apdu[11] << 8,
        "ot.address": ",".join(map(str, objects.addresses[:MAX_VALUES])) or None,
        "ot.quantity": variable & 0x7F,
        "ot.value": ",".join(objects.values[:MAX_VALUES]) or None,
        "ot.status": str(cause) if failed else None,
        "ot.message.type": "i",
        "ot.transaction_id": sent,
        "ot.is_request": code >= _FIRST_COMMAND and code != 70 and cause in _ASKS,
        "event.fields": head + extra + objects.text() + "}",
    }
    if objects.flag:
        row["event.flags"] = [objects.flag]
    return row


class Objects:
    """The information objects of one ASDU."""

    __slots__ = ("addresses", "flag", "notes", "times", "values")

    def __init__(self, kind: Kind | None, apdu: bytes, number: int, sequence: bool) -> None:
        self.addresses: list[int] = []
        self.values: list[str] = []
        self.notes: list[str] = []
        self.times: list[str] = []
        self.flag: str | None = None
        body = len(apdu) - 12
        if kind is None or not kind.size or kind.free:
            self._raw(kind, apdu, number, sequence)
            return
        each, when, element = kind.size + kind.time, _WHEN[kind.time], kind.element
        fits = (body - 3) // each if sequence else body // (3 + each)
        step = each if sequence else 3 + each
        at = 15
        first = apdu[12] | apdu[13] << 8 | apdu[14] << 16 if body >= 3 else 0
        for nth in range(min(number, max(fits, 0))):
            self.addresses.append(first + nth if sequence else apdu[at - 3] | apdu[at - 2] << 8 | apdu[at - 1] << 16)
            value, note = element(apdu, at)
            self.values.append(value)
            self.notes.append(note)
            if when:
                self.times.append(when(apdu, at + kind.size))
            at += step
        if len(self.values) < number:
            self.flag = "truncated"

    def _raw(self, kind: Kind | None, apdu: bytes, number: int, sequence: bool) -> None:
        """Objects of unknown make: the octets are shared out evenly, else only the first address is told."""
        body = len(apdu) - 12
        if kind is None:
            self.flag = "undecoded"
        if body < 3:
            self.flag = "truncated"
            return
        first = int.from_bytes(apdu[12:15], "little")
        size, odd = divmod(body - 3, number) if sequence and number else divmod(body - 3 * number, max(number, 1))
        if (kind is not None and kind.free) or not number or odd or size < 0:
            self.addresses.append(first)
            if kind is not None and kind.free and kind.size and body >= 3 + kind.size:
                value, note = kind.element(apdu, 15)
                self.values, self.notes = [value], [note]
            return
        at = 15
        for nth in range(number):
            self.addresses.append(first + nth if sequence else int.from_bytes(apdu[at - 3 : at], "little"))
            if size:
                self.values.append(str(apdu[at]) if size == 1 else apdu[at : at + size].hex())
            at += size if sequence else 3 + size

    def text(self) -> str:
        """What the columns have no room for, as JSON members after others."""
        found = ""
        if len(self.addresses) > MAX_VALUES:
            found = f',"addresses":{self.addresses},"values":{json.dumps(self.values)}'
        if any(self.notes):
            found += f',"quality":{json.dumps(self.notes)}'
        if self.times:
            found += f',"time":{json.dumps(self.times)}'
        return found


class Iec104(Speaker):
    """Connections of controlling and controlled stations."""

    def stream(self, talk: Talk) -> Link:
        return Link(self, talk)


def starts(data: bytes, usual: bool) -> bool:
    """On the usual port a sound frame; elsewhere nothing but frames that are surely of this protocol."""
    if usual:
        if len(data) >= 2 + _LEAST:
            return _sound(data, 0)
        return data[:1] == b"h" and (len(data) == 1 or _LEAST <= data[1] <= _MOST)
    at = 0
    while len(data) - at >= 2 + _LEAST and _sure(data, at):
        at += 2 + data[at + 1]
    return at > 0 and (at == len(data) or len(data) == HEAD)


PROTOCOLS = (
    Protocol(
        "iec104",
        starts,
        Iec104,
        tcp=(PORT,),
        marks=(Mark(bytes((START, 0, 0, 0, 0)), 0, b"\xff\0\x01\0\x01"), Mark(bytes((START, 4)))),
    ),
)
