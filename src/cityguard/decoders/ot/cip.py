"""CIP messages (ODVA CIP volume 1, chapters 2 and 3) to the columns of ``ot`` rows, embedded services after their own.

A request is remembered as ``Asked`` so that its response gets the address it does not carry itself.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from cityguard.decoders.ot import cip_path
from cityguard.decoders.ot.cip_names import PCCC, STATUSES, TYPES, service
from cityguard.decoders.wire.numbers import single

MAX_DEPTH = 4
MAX_EMBEDDED = 256
"""Services of one multiple-service packet that are read."""
MAX_VALUES = 16
MAX_RAW = 32
"""Bytes of a value of unknown type that are written out."""
_MULTIPLE, _UNCONNECTED, _CONNECTION_MANAGER = 0x0A, 0x52, 0x06
_OPENS, _CLOSE = (0x54, 0x5B), 0x4E
_PARTIAL = 6
_word = struct.Struct("<H").unpack_from
_open = struct.Struct("<BBIIHHIB3xI").unpack_from
_opened = struct.Struct("<IIHHIII").unpack_from
_closed = struct.Struct("<HHI").unpack_from

Fields = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that waits for its response."""

    service: int
    name: str
    kind: str | None
    klass: int
    symbolic: bool
    address: str | None
    quantity: int | None
    slot: int | None
    inner: tuple[Asked, ...] = ()


def is_request(data: bytes) -> bool:
    return bool(data) and data[0] < 0x80


def request(data: bytes, depth: int = 0, slot: int | None = None) -> tuple[list[Fields], Asked | None]:
    """The rows of a request, the message's own first, and what its response will be for; [] = it is none."""
    if len(data) < 2 or data[0] & 0x80 or depth > MAX_DEPTH:
        return [], None
    begin = 2 + 2 * data[1]
    path = cip_path.read(data[2:begin])
    if begin > len(data):
        return [], None
    code, body = data[0], data[begin:]
    name, kind = service(code, path.klass, path.symbolic)
    row: Fields = {
        "ot.protocol": "cip",
        "ot.function.code": code,
        "ot.function.name": name,
        "ot.address": path.address,
        "ot.message.type": "request",
        "ot.is_request": True,
        "ot.unit_id": path.slot if path.slot is not None else slot,
    }
    if not path.sound:
        row["event.flags"] = ["undecoded"]
    extra: Fields = {}
    rows, inner = [row], list[Asked]()
    if code == _MULTIPLE:
        for one in _split(body):
            more, asked = request(one, depth + 1, slot)
            rows += more
            if asked:
                inner.append(asked)
        row["ot.quantity"] = len(inner)
    elif path.klass == _CONNECTION_MANAGER and code == _UNCONNECTED:
        more, asked, route = _unwrap(body, depth)
        row["ot.unit_id"] = route
        rows += more
        inner += [asked] if asked else []
    elif path.klass == _CONNECTION_MANAGER and (code in _OPENS or code == _CLOSE):
        extra = _manager(code, body)
    elif name == "Execute_PCCC":
        kind = _pccc(body, extra) or kind
    else:
        _asked_data(code, name, body, row, extra)
    if kind:
        row["ot.function.class"] = kind
    if extra:
        row["event.fields"] = orjson.dumps(extra).decode()
    return rows, Asked(
        code,
        name,
        kind,
        path.klass,
        path.symbolic,
        path.address,
        row.get("ot.quantity"),
        row["ot.unit_id"],
        tuple(inner),
    )


def response(data: bytes, asked: Asked | None, depth: int = 0) -> list[Fields]:
    """The rows of a response, the message's own first; [] = it is none.

    Args:
        data: from the service byte on.
        asked: the request it answers, None = not seen.
        depth: how many messages it is embedded in.
    """
    if len(data) < 4 or not data[0] & 0x80 or depth > MAX_DEPTH:
        return []
    code, status, begin = data[0] & 0x7F, data[2], 4 + 2 * data[3]
    if begin > len(data) or data[1]:
        return []
    for _ in range(MAX_DEPTH):  # the answer to an unconnected send is that of the message inside
        if asked is None or asked.service == code or not asked.inner or asked.service == _MULTIPLE:
            break
        asked = asked.inner[0]
    if asked is not None and asked.service != code:
        asked = None
    name, kind = (asked.name, asked.kind) if asked else service(code, -1, False)
    row: Fields = {
        "ot.protocol": "cip",
        "ot.function.code": code,
        "ot.function.name": name,
        "ot.message.type": "response",
        "ot.is_request": False,
        "ot.status": _status(status, data[4:begin]),
    }
    if asked:
        row["ot.address"], row["ot.quantity"], row["ot.unit_id"] = asked.address, asked.quantity, asked.slot
    extra: Fields = {}
    body = data[begin:]
    rows = [row]
    if status not in (0, _PARTIAL):
        kind = "error"
        extra["status"] = STATUSES.get(status, f"Status 0x{status:02X}")
    if code == _MULTIPLE:
        waiting = asked.inner if asked else ()
        for index, one in enumerate(_split(body)):
            rows += response(one, waiting[index] if index < len(waiting) else None, depth + 1)
    elif status in (0, _PARTIAL) and body:
        _told_data(name, code, asked, body, row, extra)
    if kind:
        row["ot.function.class"] = kind
    if extra:
        row["event.fields"] = orjson.dumps(extra).decode()
    return rows


def _status(status: int, more: bytes) -> str:
    """``0x05`` or ``0x01/0x0100`` with the extended status."""
    if len(more) >= 2:
        return f"0x{status:02X}/0x{_word(more, 0)[0]:04X}"
    return f"0x{status:02X}"


def _split(body: bytes) -> list[bytes]:
    """Messages of a multiple-service packet: a count, offsets from it, the messages. They may not overlap."""
    if len(body) < 4:
        return []
    count = min(_word(body, 0)[0], MAX_EMBEDDED, (len(body) - 2) // 2)
    offsets = struct.unpack_from(f"<{count}H", body, 2)
    found, last = list[bytes](), 2 + 2 * count
    for start, end in zip(offsets, (*offsets[1:], len(body)), strict=False):
        if not last <= start < end <= len(body):
            break
        found.append(body[start:end])
        last = end
    return found


def _unwrap(body: bytes, depth: int) -> tuple[list[Fields], Asked | None, int | None]:
    """The message inside an unconnected send (volume 1, 3-5.5.4) and the slot it is for."""
    if len(body) < 4:
        return [], None, None
    size = _word(body, 2)[0]
    if 4 + size > len(body):
        return [], None, None
    after = 4 + size + size % 2
    slot = None
    if after + 2 <= len(body):
        slot = cip_path.read(body[after + 2 : after + 2 + 2 * body[after]]).slot
    rows, asked = request(body[4 : 4 + size], depth + 1, slot)
    return rows, asked, slot


def _manager(code: int, body: bytes) -> Fields:
    """What a Forward Open or Close says (volume 1, 3-5.5)."""
    if code == _CLOSE:
        if len(body) < 12:
            return {}
        serial, vendor, originator = _closed(body, 2)
        path = cip_path.read(body[12 : 12 + 2 * body[10]])
        return _connection(serial, vendor, originator) | {"path": path.address}
    wide = code == _OPENS[1]
    if len(body) < (40 if wide else 36):
        return {}
    _, _, forth, back, serial, vendor, originator, _, interval = _open(body, 0)
    form = "<IIIBB" if wide else "<HIHBB"
    forth_form, back_interval, back_form, transport, words = struct.unpack_from(form, body, 26)
    begin = 26 + struct.calcsize(form)
    mask = 0xFFFF if wide else 0x1FF
    return _connection(serial, vendor, originator) | {
        "connection.o_t": forth,
        "connection.t_o": back,
        "rpi.o_t": interval,
        "rpi.t_o": back_interval,
        "size.o_t": forth_form & mask,
        "size.t_o": back_form & mask,
        "transport_class": transport & 0x0F,
        "path": cip_path.read(body[begin : begin + 2 * words]).address,
    }


def _connection(serial: int, vendor: int, originator: int) -> Fields:
    return {"connection.serial": serial, "vendor": vendor, "originator.serial": originator}


def _pccc(body: bytes, extra: Fields) -> str | None:
    """The PCCC command inside (DF1 manual, chapter 7); returns its class."""
    begin = body[0] if body else 0
    if begin < 1 or begin + 4 > len(body):
        return None
    command, status, transaction = struct.unpack_from("<BBH", body, begin)
    function = body[begin + 4] if begin + 4 < len(body) and command & 0x0F in (6, 7, 15) else -1
    name, kind = PCCC.get((command & 0x0F, function), (None, None))
    extra |= {"pccc.command": command, "pccc.status": status, "pccc.transaction": transaction}
    if function >= 0:
        extra["pccc.function"] = function
    if name:
        extra["pccc.name"] = name
    return kind


def _asked_data(code: int, name: str, body: bytes, row: Fields, extra: Fields) -> None:
    """What a request brings: attributes asked for, values written."""
    if code in (0x03, 0x04) and len(body) >= 2:
        count = _word(body, 0)[0]
        row["ot.quantity"] = count
        if code == 0x03:
            many = min(count, (len(body) - 2) // 2, 64)
            extra["attributes"] = list(struct.unpack_from(f"<{many}H", body, 2))
        else:
            row["ot.value"] = _raw(body[2:])
    elif name.startswith("Read_Tag") and len(body) >= 2:
        row["ot.quantity"] = _word(body, 0)[0]
    elif name.startswith("Write_Tag"):
        begin = 4 if body[:2] == b"\xa0\x02" else 2
        if len(body) >= begin + 2:
            row["ot.quantity"] = _word(body, begin)[0]
            offset = 6 if name.endswith("Fragmented") else 2
            row["ot.value"] = _values(_word(body, 0)[0], body[begin + offset :])
            extra["type"] = _word(body, 0)[0]
    elif code in (0x02, 0x05, 0x10, 0x19) and body:
        row["ot.value"] = _raw(body)


def _told_data(name: str, code: int, asked: Asked | None, body: bytes, row: Fields, extra: Fields) -> None:
    """What a response brings."""
    if name.startswith("Read_Tag") and len(body) >= 2:
        begin = 4 if body[:2] == b"\xa0\x02" else 2
        row["ot.value"] = _values(_word(body, 0)[0], body[begin:])
        extra["type"] = _word(body, 0)[0]
    elif code in (0x0E, 0x18):
        row["ot.value"] = _raw(body)
    elif asked and asked.klass == _CONNECTION_MANAGER and code in _OPENS and len(body) >= 24:
        forth, back, serial, vendor, originator, interval, back_interval = _opened(body, 0)
        extra |= _connection(serial, vendor, originator)
        extra |= {"connection.o_t": forth, "connection.t_o": back, "rpi.o_t": interval, "rpi.t_o": back_interval}
    elif asked and asked.klass == _CONNECTION_MANAGER and code == _CLOSE and len(body) >= 8:
        extra |= _connection(*_closed(body, 0))


def _values(kind: int, data: bytes) -> str | None:
    form = TYPES.get(kind)
    if form is None:
        return _raw(data)
    many = min(len(data) // struct.calcsize(form), MAX_VALUES)
    values: Sequence[float] = struct.unpack_from(f"<{many}{form}", data)
    if form == "f":
        return ",".join(single(value) for value in values) or None
    return ",".join(map(str, values)) or None


def _raw(data: bytes) -> str | None:
    return "0x" + data[:MAX_RAW].hex() if data else None
