"""What one Modbus PDU says (MODBUS Application Protocol V1.1b3, clause 6; UMAS as its public dissectors agree).

The reader of single PDUs: for the functions that have no columnar form, for serial framings
and datagrams.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass, field
from typing import Any

from cityguard.decoders.ot.modbus_names import CONTROL, DIAGNOSTICS, FUNCTIONS, UMAS

MAX_VALUES = 16
"""Values of one PDU that are written out."""
MAX_RECORDS = 64
BOTH = 23
"""The function that reads and writes at once."""
_MAX_TEXT = 200

_JSON = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode

_UMAS_FAILED = 0xFD


@dataclass(slots=True)
class Said:
    """What a PDU says; None = not there."""

    code: int
    failed: bool = False
    start: int | None = None
    """First address; subfunction of 8, MEI type of 43, UMAS function of 90, file * 65536 + record of 20 and 21."""
    many: int | None = None
    status: int | None = None
    value: str | None = None
    more: dict[str, Any] = field(default_factory=dict)
    reads: tuple[int | None, int | None] | None = None
    """Address and quantity that the answer to this request is about, where they are not its own."""

    @property
    def answer_start(self) -> int | None:
        """The address a request's answer is given."""
        return self.reads[0] if self.reads else self.start

    @property
    def answer_many(self) -> int | None:
        """The quantity a request's answer is given."""
        return self.reads[1] if self.reads else self.many

    @property
    def text(self) -> str | None:
        """``more`` for ``event.fields``."""
        return _JSON(self.more) if self.more else None


def name(code: int, start: int | None) -> str:
    """What a function is called; UMAS by the function inside."""
    if code == 90 and start is not None:
        return f"UMAS {UMAS[start][0]}" if start in UMAS else f"UMAS {start:#04x}"
    return FUNCTIONS[code][0] if code in FUNCTIONS else f"Function {code}"


def klass(code: int, start: int | None, *, failed: bool) -> str | None:
    """The class of a function, by its subfunction where that matters."""
    if failed:
        return "error"
    if code == 8 and start in CONTROL:
        return "control"
    if code == 90 and start in UMAS:
        return UMAS[start][1]
    return FUNCTIONS[code][1] if code in FUNCTIONS else None


def place(code: int, start: int | None) -> str | None:
    """An address as text: file:record for file records."""
    if start is None:
        return None
    return f"{start >> 16}:{start & 0xFFFF}" if code in (20, 21) else str(start)


def read(pdu: bytes, asks: bool) -> Said:
    """Read a PDU, one byte at least; what is cut off is left out."""
    code = pdu[0] & 0x7F
    said = Said(code, failed=not asks and pdu[0] > 0x7F)
    if said.failed:
        said.status = pdu[1] if len(pdu) > 1 else None
        return said
    reader = _READERS.get(code)
    if reader is not None:
        reader(said, pdu[1:], asks)
    return said


def _word(body: bytes, at: int) -> int | None:
    return int.from_bytes(body[at : at + 2], "big") if len(body) >= at + 2 else None


def _words(data: bytes) -> str | None:
    many = min(len(data) // 2, MAX_VALUES)
    return ",".join(map(str, struct.unpack_from(f">{many}H", data))) or None


def _bits(data: bytes, many: int) -> str | None:
    many = max(min(many, len(data) * 8, MAX_VALUES), 0)
    return ",".join(str(data[nth >> 3] >> (nth & 7) & 1) for nth in range(many)) or None


def _reads(said: Said, body: bytes, asks: bool) -> None:
    if asks:
        said.start, said.many = _word(body, 0), _word(body, 2)
    elif body:
        data = body[1 : 1 + body[0]]
        said.value = _bits(data, len(data) * 8) if said.code < 3 else _words(data)


def _single(said: Said, body: bytes, asks: bool) -> None:
    said.start, value = _word(body, 0), _word(body, 2)
    said.many = 1
    if value is not None:
        said.value = str(int(value > 0) if said.code == 5 else value)


def _multiple(said: Said, body: bytes, asks: bool) -> None:
    said.start, said.many = _word(body, 0), _word(body, 2)
    if asks and len(body) > 4:
        data = body[5 : 5 + body[4]]
        said.value = _bits(data, said.many or 0) if said.code == 15 else _words(data)


def _status(said: Said, body: bytes, asks: bool) -> None:
    if not asks and body:
        said.value = str(body[0])


def _diagnostics(said: Said, body: bytes, asks: bool) -> None:
    said.start = _word(body, 0)
    if said.start in DIAGNOSTICS:
        said.more["subfunction"] = DIAGNOSTICS[said.start]
    said.value = _words(body[2:])


def _counter(said: Said, body: bytes, asks: bool) -> None:
    if not asks and len(body) >= 4:
        said.more = {"busy": _word(body, 0) == 0xFFFF}
        said.value = str(_word(body, 2))


def _log(said: Said, body: bytes, asks: bool) -> None:
    if not asks and len(body) >= 7:
        said.more = {"busy": _word(body, 1) == 0xFFFF, "events": _word(body, 3), "messages": _word(body, 5)}
        said.value = ",".join(map(str, body[7 : 7 + MAX_VALUES])) or None


def _server(said: Said, body: bytes, asks: bool) -> None:
    if not asks and body:
        said.value = _text(body[1 : 1 + body[0]]) or None


def _files(said: Said, body: bytes, asks: bool) -> None:
    """Groups of 20 and 21: reference type 6, file, record, length, and data where it is written."""
    at, end, records, values = 1, min(len(body), 1 + body[0]) if body else 0, list[list[int]](), bytearray()
    answers = said.code == 20 and not asks
    while at < end and len(records) < MAX_RECORDS:
        if answers:
            values += body[at + 2 : at + 1 + body[at]]
            at += 1 + max(body[at], 1)
            continue
        if at + 7 > len(body):
            break
        one, record, many = struct.unpack_from(">HHH", body, at + 1)
        records.append([one, record, many])
        at += 7
        if said.code == 21:
            values += body[at : at + 2 * many]
            at += 2 * many
    if records:
        said.start, said.many = records[0][0] << 16 | records[0][1], sum(record[2] for record in records)
        said.more["records"] = records
    said.value = _words(bytes(values))


def _mask(said: Said, body: bytes, asks: bool) -> None:
    said.start, said.many = _word(body, 0), 1
    if len(body) >= 6:
        masks = _word(body, 2), _word(body, 4)
        said.more = {"and_mask": masks[0], "or_mask": masks[1]}
        said.value = f"{masks[0]},{masks[1]}"


def _both(said: Said, body: bytes, asks: bool) -> None:
    """Read and write in one: a request's address and quantity are those of the write, its answer's of the read."""
    if not asks:
        said.value = _words(body[1 : 1 + body[0]]) if body else None
        return
    said.start, said.many = _word(body, 4), _word(body, 6)
    if len(body) >= 8:
        said.reads = _word(body, 0), _word(body, 2)
        said.more = {"read_address": said.reads[0], "read_quantity": said.reads[1]}
    if len(body) > 8:
        said.value = _words(body[9 : 9 + body[8]])


def _fifo(said: Said, body: bytes, asks: bool) -> None:
    if asks:
        said.start = _word(body, 0)
        return
    said.many = _word(body, 2)
    said.value = _words(body[4 : 4 + 2 * min(said.many or 0, MAX_VALUES)])


def _interface(said: Said, body: bytes, asks: bool) -> None:
    """Encapsulated interface (6.19-6.21): 13 = CANopen, 14 = device identification."""
    if not body:
        return
    said.start = body[0]
    if body[0] != 14:
        said.value = body[1:_MAX_TEXT].hex() or None
        return
    if len(body) >= 2:
        said.more["read_code"] = body[1]
    if asks:
        if len(body) >= 3:
            said.more["object"] = body[2]
        return
    if len(body) < 6:
        return
    objects, at = dict[str, str](), 6
    while at + 2 <= len(body) and len(objects) < body[5]:
        objects[str(body[at])] = _text(body[at + 2 : at + 2 + body[at + 1]])
        at += 2 + body[at + 1]
    said.many = body[5]
    said.more |= {"conformity": body[2], "objects": objects}
    said.value = ",".join(list(objects.values())[:MAX_VALUES]) or None


def _umas(said: Said, body: bytes, asks: bool) -> None:
    """UMAS: a session key, then its function, in answers 0xFE or 0xFD instead."""
    if len(body) < 2:
        return
    said.more["session"] = body[0]
    if asks:
        said.start = body[1]
        said.more["umas"] = body[1]
        return
    said.failed = body[1] == _UMAS_FAILED
    if said.failed:
        said.status = body[2] if len(body) > 2 else _UMAS_FAILED


def _text(data: bytes) -> str:
    """Printable text as it is, without commas, anything else in hexadecimal."""
    cut = data[:_MAX_TEXT]
    text = cut.decode("ascii", "replace").rstrip("\0 ")
    return text.replace(",", ";") if text.isprintable() and "\ufffd" not in text else cut.hex()


_READERS = {
    **dict.fromkeys((1, 2, 3, 4), _reads),
    **dict.fromkeys((5, 6), _single),
    **dict.fromkeys((15, 16), _multiple),
    **dict.fromkeys((20, 21), _files),
    7: _status,
    8: _diagnostics,
    11: _counter,
    12: _log,
    17: _server,
    22: _mask,
    BOTH: _both,
    24: _fifo,
    43: _interface,
    90: _umas,
}


def sizes(pdu: bytes, asks: bool) -> int | None:
    """How long the PDU that begins here is by its own words; None = its function does not say, 0 = more is needed."""
    code = pdu[0]
    if code > 0x7F and not asks:
        return 2
    fixed = (_ASKED if asks else _ANSWERED).get(code)
    if fixed is not None:
        return fixed
    counted = (_COUNTED_ASKED if asks else _COUNTED_ANSWERED).get(code)
    if counted is None:
        return None
    return counted + 1 + pdu[counted] if len(pdu) > counted else 0


_ASKED = {**dict.fromkeys((1, 2, 3, 4, 5, 6, 8), 5), **dict.fromkeys((7, 11, 12, 17), 1), 22: 7, 24: 3, 43: 4}
_ANSWERED = {**dict.fromkeys((5, 6, 8, 11, 15, 16), 5), 7: 2, 22: 7}
_COUNTED_ASKED = {15: 5, 16: 5, 20: 1, 21: 1, 23: 9}
_COUNTED_ANSWERED = dict.fromkeys((1, 2, 3, 4, 12, 17, 20, 21, 23), 1)
"""Where the octet stands that counts what follows it."""


def plausible(pdu: bytes, asks: bool) -> bool:
    """Whether a whole PDU keeps to the standard: its length, and the limits of its quantities."""
    if len(pdu) < 1 or sizes(pdu, asks) != len(pdu):
        return False
    code = pdu[0]
    if asks and code in (1, 2, 3, 4, 15, 16, 23):
        many = int.from_bytes(pdu[3:5], "big")
        if not 1 <= many <= (2000 if code in (1, 2, 15) else 125):
            return False
        return code not in (15, 16) or pdu[5] == ((many + 7) // 8 if code == 15 else many * 2)
    if code == 5:
        return pdu[3:5] in (b"\0\0", b"\xff\0")
    if not asks and code in (3, 4):
        return pdu[1] % 2 == 0 and pdu[1] > 0
    if code > 0x7F:
        return code & 0x7F in FUNCTIONS and 1 <= pdu[1] <= 11
    return True
