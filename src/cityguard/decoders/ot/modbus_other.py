"""Modbus beside TCP port 502: the same frames on other ports and in datagrams; serial frames (RTU, ASCII) on TCP.

Serial frames have no transaction number: an answer belongs to the last request of its unit and function (MODBUS over
Serial Line V1.02). They are taken only with a right checksum.
"""

from __future__ import annotations

from typing import Any

from cityguard.decoders.events import Talk
from cityguard.decoders.ot import modbus, modbus_pdu
from cityguard.decoders.protocol import Mark, Out, Protocol, Speaker
from cityguard.decoders.recognise import HEAD
from cityguard.decoders.stream import Moment
from cityguard.decoders.wire import crc
from cityguard.decoders.wire.pairs import Pairs

MAX_SERIAL = 256
"""Octets of a serial frame (6.1); in ASCII twice as many characters and five more."""
_MAX_ASCII = 2 * MAX_SERIAL + 5
_HEX = frozenset(b"0123456789ABCDEFabcdef")


def mbap(data: bytes, at: int = 0) -> int:
    """The size of the frame with an MBAP header that stands here, whole; 0 = there is none."""
    if len(data) - at < 8 or data[at + 2 : at + 4] != b"\0\0":
        return 0
    size = 6 + int.from_bytes(data[at + 4 : at + 6], "big")
    return size if 8 <= size <= min(modbus.MAX_ADU, len(data) - at) else 0


def rtu(data: bytes | bytearray, asks: bool) -> int:
    """The size of the RTU frame that begins here; 0 = none with a right checksum (yet)."""
    if len(data) < 4:
        return 0
    size = modbus_pdu.sizes(bytes(data[1:12]), asks)
    for end in ((size + 3) if size else 0, min(len(data), MAX_SERIAL)):
        if 4 <= end <= len(data) and crc.modbus(bytes(data[: end - 2])) == data[end - 2] | data[end - 1] << 8:
            return end
    return 0


def ascii_frame(line: bytes) -> bytes:
    """The octets of an ASCII frame without colon and line end, checked and taken off (LRC, 6.3); b"" = it is none."""
    if len(line) < 6 or len(line) % 2 or len(line) > _MAX_ASCII or not _HEX.issuperset(line):
        return b""
    octets = bytes.fromhex(line.decode("ascii"))
    return octets[:-1] if sum(octets) & 0xFF == 0 else b""


def row(
    said: modbus_pdu.Said, unit: int, asks: bool, transaction: int | None, asked: modbus_pdu.Said | None
) -> dict[str, Any]:
    """The columns of a PDU; an answer is given address and quantity of its request."""
    if asked is not None and asked.code == said.code:
        said.start = asked.answer_start if said.start is None else said.start
        said.many = asked.answer_many if said.many is None else said.many
        if said.code <= 2 and said.value and said.many:
            said.value = said.value[: max(2 * said.many - 1, 0)]
    return {
        "ot.protocol": "modbus",
        "ot.function.code": said.code,
        "ot.function.name": modbus_pdu.name(said.code, said.start),
        "ot.function.class": modbus_pdu.klass(said.code, said.start, failed=said.failed),
        "ot.unit_id": unit,
        "ot.address": modbus_pdu.place(said.code, said.start),
        "ot.quantity": said.many,
        "ot.value": said.value,
        "ot.status": None if said.status is None else str(said.status),
        "ot.message.type": "request" if asks else "response",
        "ot.transaction_id": transaction,
        "ot.is_request": asks,
        "event.fields": said.text,
    }


class Line:
    """One connection: frames with MBAP headers, RTU or ASCII, as the first of them are."""

    def __init__(self, out: Out, ends: Talk) -> None:
        self.done, self.held = False, 0
        self._add = out.rows("ot").add
        self._talks = (ends, ends.turned())
        self._client = ends.opener if ends.opener >= 0 else -1
        self._form = ""
        self._buffers = (bytearray(), bytearray())
        self._asked: Pairs[modbus_pdu.Said] = Pairs()

    def feed(self, side: int, data: bytes, at: Moment) -> None:
        buffer = self._buffers[side]
        buffer += data
        if not self._form and not self._begin(side, bytes(buffer)):
            if len(buffer) > _MAX_ASCII:
                buffer.clear()
        elif self._form == "mbap":
            self._headed(side, buffer, at)
        elif self._form == "rtu":
            self._serial(side, buffer, len(buffer) - len(data), at)
        else:
            self._lines(side, buffer, at)
        self.held = len(self._buffers[0]) + len(self._buffers[1])

    def gap(self, side: int) -> None:
        self._buffers[side].clear()
        self.held = len(self._buffers[0]) + len(self._buffers[1])

    def close(self) -> None:
        """Nothing waits here for an answer."""

    def _begin(self, side: int, data: bytes) -> bool:
        """What the connection speaks, and who asks: by the first frame where the opening was not seen."""
        if data[:1] == b":":
            self._form = "ascii"
        elif rtu(data, True) or rtu(data, False):
            self._form = "rtu"
        elif mbap(data):
            self._form = "mbap"
        else:
            return False
        if self._client < 0:
            pdu = data[7 : mbap(data)] if self._form == "mbap" else data[1:-2]
            asks = data[0] == 58 or modbus_pdu.plausible(pdu, True)
            self._client = side if asks else 1 - side
        return True

    def _headed(self, side: int, buffer: bytearray, at: Moment) -> None:
        for adu in modbus.split(buffer):
            transaction, unit = adu[0] << 8 | adu[1], adu[6]
            self._say(side, adu[7:], unit, transaction, at)

    def _serial(self, side: int, buffer: bytearray, fresh: int, at: Moment) -> None:
        """Frames one after the other; ``fresh`` is where the last segment begins."""
        asks = side == self._client
        while len(buffer) >= 4:
            size = rtu(buffer, asks)
            if not size and fresh > 0 and (size := rtu(buffer[fresh:], asks)):
                del buffer[:fresh]  # what came before was no frame: its checksum is wrong, or its rest was lost
            if not size:
                if len(buffer) > MAX_SERIAL:
                    buffer.clear()  # what is no frame is passed over until the next segment
                return
            self._say(side, bytes(buffer[1 : size - 2]), buffer[0], None, at)
            del buffer[:size]
            fresh = max(fresh - size, 0)

    def _lines(self, side: int, buffer: bytearray, at: Moment) -> None:
        end = buffer.find(b"\n")
        while end >= 0:
            begin = buffer.rfind(b":", 0, end)
            frame = ascii_frame(bytes(buffer[begin + 1 : end]).rstrip(b"\r")) if begin >= 0 else b""
            if len(frame) >= 2:
                self._say(side, frame[1:], frame[0], None, at)
            del buffer[: end + 1]
            end = buffer.find(b"\n")
        if len(buffer) > _MAX_ASCII:
            buffer.clear()

    def _say(self, side: int, pdu: bytes, unit: int, transaction: int | None, at: Moment) -> None:
        asks = side == self._client
        said = modbus_pdu.read(pdu, asks)
        key = (unit, said.code, transaction)
        if asks:
            self._asked.ask(key, said)
        asked = None if asks else self._asked.answer(key)
        self._add(at.number, at.time, self._talks[side], row(said, unit, asks, transaction, asked))


class Lines(Speaker):
    """Connections that are not framed as arrays."""

    def stream(self, talk: Talk) -> Line:
        return Line(self.out, talk)


class Datagrams(Speaker):
    """Frames in datagrams."""

    def __init__(self, out: Out) -> None:
        super().__init__(out)
        self._asked: Pairs[modbus_pdu.Said] = Pairs(4_096)

    def datagram(self, data: bytes, talk: Talk, at: Moment) -> bool:
        """One or more frames with MBAP headers."""
        begin = 0
        while size := mbap(data, begin):
            adu = data[begin : begin + size]
            begin += size
            self._said(adu, talk, at)
        return begin > 0

    def _said(self, adu: bytes, talk: Talk, at: Moment) -> None:
        transaction, unit, code = adu[0] << 8 | adu[1], adu[6], adu[7] & 0x7F
        key = (talk.source, talk.destination, transaction, unit, code)
        back = (talk.destination, talk.source, transaction, unit, code)
        asked = self._asked.peek(back)
        ports = talk.source[2], talk.destination[2]
        asks = ports[1] == modbus.PORT if modbus.PORT in ports else asked is None
        said = modbus_pdu.read(adu[7:], asks)
        if asks:
            self._asked.ask(key, said)
        else:
            self._asked.answer(back)
        columns = row(said, unit, asks, transaction, None if asks else asked)
        self.out.add("ot", at, talk, columns)


def starts(data: bytes, usual: bool) -> bool:
    """Whole frames that keep to the standard and nothing else; MBAP on the usual port is read as arrays."""
    if data[:1] == b":":
        line = data.split(b"\n", 1)[0]
        return data.endswith(b"\n") and len(ascii_frame(line[1:].rstrip(b"\r"))) >= 2
    if 4 <= len(data) <= MAX_SERIAL and (usual or not _may_be_roc(data)):
        for asks in (True, False):
            if modbus_pdu.plausible(data[1:-2], asks) and rtu(data, asks) == len(data):
                return True
    return not usual and _framed(data)


def _may_be_roc(data: bytes) -> bool:
    """ROC Plus has the same checksum; where an RTU quantity or value ends, its shortest frames have a length of 0."""
    return len(data) == 8 and data[1] != 5 and data[5] == 0


def starts_datagram(data: bytes, usual: bool) -> bool:
    """On the usual port a frame with its header; elsewhere as in connections."""
    return mbap(data) == len(data) if usual else _framed(data)


def _framed(data: bytes) -> bool:
    """Whether a payload is frames with MBAP headers whose PDUs keep to the standard."""
    at = 0
    while size := mbap(data, at):
        pdu = data[at + 7 : at + size]
        if not (modbus_pdu.plausible(pdu, True) or modbus_pdu.plausible(pdu, False)):
            return False
        at += size
    return at > 0 and (at == len(data) or len(data) == HEAD)


_MARKS = (Mark(b"\0\0\0", 2), Mark(b":"), *(Mark(bytes((code,)), 1) for code in (1, 2, 3, 4, 5, 6, 15, 16)))

PROTOCOLS = (
    Protocol("modbus", starts, Lines, modbus.SOURCES, tcp=(modbus.PORT,), marks=_MARKS, priority=-1),
    Protocol("modbus", starts_datagram, Datagrams, modbus.SOURCES, udp=(modbus.PORT,), marks=_MARKS[:1], priority=-1),
)
