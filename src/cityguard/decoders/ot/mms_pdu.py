"""MMS messages (ISO 9506-2, IEC 61850-8-1) to the columns of ``ot`` rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cityguard.decoders.ot import mms_names as names
from cityguard.decoders.wire import ber
from cityguard.decoders.wire.ber import Item

MAX_LISTED = 64
_READ, _WRITE, _NAMES = 4, 5, 1
_FILE_SERVICES = frozenset((72, 76, 77, 46, 75))
_STRINGS = frozenset((0x1A, 0x19, 0x16, 0x0C, 0x13))
_CONTROLS = ("$Oper", "$SBOw", "$SBO", "$Cancel")

Fields = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that waits for its response."""

    service: int
    kind: str | None
    address: str | None
    quantity: int | None


def is_pdu(data: bytes, begin: int = 0) -> bool:
    """Whether an MMS message that fills the data can stand there."""
    one = ber.item(data, begin, len(data))
    if one is None or one.form & 0xC0 != ber.CONTEXT or one.number > 13 or one.end != len(data):
        return False
    wanted = one.number not in (5, 6, 11, 12)
    if bool(one.form & ber.CONSTRUCTED) != wanted:
        return False
    if one.number in (0, 1):
        inner = ber.item(data, one.begin, one.end)
        return inner is not None and (inner.form, inner.number) == (0, 2) and inner.end - inner.begin <= 5
    return True


def read(data: bytes, pdu: Item, waiting: dict[int, Asked], row: Fields, extra: Fields) -> Asked | None:
    """Fill the columns of one message; returns what its response will need."""
    row["ot.message.type"] = names.KINDS[pdu.number]
    parts = ber.children(data, pdu)
    if pdu.number == 0:
        return _request(data, parts, row, extra)
    if pdu.number == 1:
        _response(data, parts, waiting, row, extra)
    elif pdu.number in (2, 4, 7):
        _failed(data, pdu.number, parts, waiting, row, extra)
    elif pdu.number == 3:
        _unconfirmed(data, parts, row, extra)
    elif pdu.number in (5, 6):
        row["ot.function.name"] = "cancel"
        row["ot.transaction_id"] = ber.identifier(data, pdu)
        row["ot.function.class"] = "control" if pdu.number == 5 else None
        row["ot.is_request"] = pdu.number == 5
    else:
        row["ot.function.name"] = "initiate" if pdu.number in (8, 9, 10) else "conclude"
        row["ot.is_request"] = pdu.number in (8, 11)
        if pdu.number in (10, 13):
            row["ot.function.class"], row["ot.status"] = "error", _error(data, parts)
        elif pdu.number in (8, 9):
            labels = {0: "local_detail", 1: "max_calling", 2: "max_called", 3: "nesting"}
            extra |= {labels[one.number]: ber.integer(data, one) for one in parts if one.number in labels}
    return None


def _request(data: bytes, parts: list[Item], row: Fields, extra: Fields) -> Asked | None:
    row["ot.is_request"] = True
    service = _service(data, parts, row)
    if service is None:
        return None
    code, kind = service.number, row["ot.function.class"]
    if code == _READ:
        inner = [one for one in ber.children(data, service) if one.number == 1]
        _variables(data, ber.children(data, inner[0]) if inner else [], row, extra)
    elif code == _WRITE:
        inner = ber.children(data, service)
        _variables(data, inner[:1], row, extra)
        if len(inner) > 1:
            row["ot.value"] = ",".join(ber.values(data, ber.children(data, inner[1]))) or None
        if any(control in (row.get("ot.address") or "") for control in _CONTROLS):
            kind = row["ot.function.class"] = "control"
    elif code == _NAMES:
        _name_list(data, ber.children(data, service), row, extra)
    elif code in _FILE_SERVICES:
        row["ot.address"] = _strings(data, service)
    else:
        row["ot.address"] = _name(data, service) or _strings(data, service)
    return Asked(code, kind, row.get("ot.address"), row.get("ot.quantity"))


def _response(data: bytes, parts: list[Item], waiting: dict[int, Asked], row: Fields, extra: Fields) -> None:
    row["ot.is_request"] = False
    service = _service(data, parts, row)
    if service is None:
        return
    asked = waiting.pop(row.get("ot.transaction_id", -1), None)
    if asked and asked.service == service.number:
        row["ot.address"], row["ot.quantity"], row["ot.function.class"] = asked.address, asked.quantity, asked.kind
    inner = ber.children(data, service)
    if service.number == _READ:
        for one in inner:
            if one.number == 1:
                _results(data, ber.children(data, one), row, extra)
    elif service.number == _WRITE:
        codes = [ber.integer(data, one) for one in inner if one.number == 0]
        if codes and len(codes) == len(inner):
            row["ot.status"], row["ot.function.class"] = names.access_error(codes[0]), "error"
        row["ot.quantity"] = len(inner)
    elif service.number == _NAMES:
        for one in inner:
            if one.number == 0:
                found = ber.children(data, one)
                row["ot.quantity"] = len(found)
                extra["names"] = [ber.text(data, name) for name in found[:MAX_LISTED]]
            elif one.number == 1:
                extra["more"] = data[one.begin : one.end] != b"\0"
    elif service.number == 2:
        extra["identity"] = [ber.text(data, one) for one in inner if one.number in (0, 1, 2)]


def _service(data: bytes, parts: list[Item], row: Fields) -> Item | None:
    """Invoke id and service of a confirmed message."""
    if not parts or (parts[0].form, parts[0].number) != (0, 2):
        row["event.flags"] = ["undecoded"]
        return None
    row["ot.transaction_id"] = ber.identifier(data, parts[0])
    for one in parts[1:]:
        if one.form & 0xC0 == ber.CONTEXT:
            name, kind = names.SERVICES.get(one.number, (f"Service {one.number}", None))
            row["ot.function.code"], row["ot.function.name"], row["ot.function.class"] = one.number, name, kind
            return one
    row["event.flags"] = ["undecoded"]
    return None


def _failed(data: bytes, kind: int, parts: list[Item], waiting: dict[int, Asked], row: Fields, extra: Fields) -> None:
    """Errors and rejects; the service is that of the request."""
    row["ot.function.class"], row["ot.is_request"] = "error", False
    for one in parts:
        if one.number == 0 and not one.form & ber.CONSTRUCTED:
            row["ot.transaction_id"] = ber.identifier(data, one)
            break
    asked = waiting.pop(row.get("ot.transaction_id", -1), None)
    if asked:
        row["ot.function.code"], row["ot.address"] = asked.service, asked.address
        row["ot.function.name"] = names.SERVICES.get(asked.service, (None, None))[0]
        row["ot.quantity"] = asked.quantity
    elif kind == 7:
        row["ot.function.name"] = "cancel"
    if kind == 4:
        reasons = [one for one in parts if one.number]
        if reasons:
            row["ot.status"] = f"{reasons[0].number}/{ber.integer(data, reasons[0])}"
        return
    for one in parts:
        if one.form & ber.CONSTRUCTED:
            row["ot.status"] = _error(data, ber.children(data, one))


def _error(data: bytes, parts: list[Item]) -> str | None:
    """Class and code of a ServiceError: [0] { [class] code }."""
    for one in parts:
        if one.number == 0:
            for code in ber.children(data, one):
                return names.service_error(code.number, ber.integer(data, code))
    return None


def _unconfirmed(data: bytes, parts: list[Item], row: Fields, extra: Fields) -> None:
    """Reports: in IEC 61850 the list is called RPT and begins with the report's own id."""
    row["ot.is_request"] = False
    one = next((part for part in parts if part.form & 0xC0 == ber.CONTEXT), None)
    if one is None:
        row["event.flags"] = ["undecoded"]
        return
    row["ot.function.name"] = names.UNCONFIRMED.get(one.number, f"Service {one.number}")
    inner = ber.children(data, one)
    if one.number or len(inner) < 2:
        return
    _variables(data, inner[:1], row, extra)
    found = ber.children(data, inner[1])
    _results(data, found, row, extra)
    row["ot.quantity"] = len(found)
    if row.get("ot.address") == "RPT" and found and found[0].number == 10:
        extra["list"], row["ot.address"] = "RPT", ber.text(data, found[0])


def _results(data: bytes, found: list[Item], row: Fields, extra: Fields) -> None:
    """Access results: data, or [0] an error."""
    codes = [ber.integer(data, one) for one in found if one.form == ber.CONTEXT and one.number == 0]
    row["ot.value"] = ",".join(ber.values(data, [one for one in found if one.number])) or None
    if codes:
        extra["failed"] = [names.access_error(code) for code in codes[:MAX_LISTED]]
        if len(codes) == len(found):
            row["ot.status"], row["ot.function.class"] = names.access_error(codes[0]), "error"


def _variables(data: bytes, parts: list[Item], row: Fields, extra: Fields) -> None:
    """A variable access specification: [0] a list of variables, or [1] the name of a list."""
    if not parts:
        return
    if parts[0].number == 1:
        row["ot.address"] = _name(data, parts[0])
        return
    found = []
    for one in ber.children(data, parts[0])[:MAX_LISTED]:
        inner = ber.children(data, one)
        found.append(_name(data, inner[0]) if inner else None)
    row["ot.quantity"] = len(ber.children(data, parts[0]))
    if found:
        row["ot.address"] = found[0]
    if len(found) > 1:
        extra["variables"] = found


def _name(data: bytes, one: Item) -> str | None:
    """An object's name in it: [0] of the device, [1] ``domain/item``, [2] of the association."""
    for inner in ber.children(data, one)[:1]:
        if inner.form == ber.CONTEXT and inner.number in (0, 2):
            return ber.text(data, inner)
        if inner.form == ber.CONTEXT | ber.CONSTRUCTED and inner.number == 1:
            return "/".join(ber.text(data, part) for part in ber.children(data, inner)[:2])
        if inner.form == ber.CONTEXT | ber.CONSTRUCTED and inner.number == 0:
            return _name(data, inner) if ber.children(data, inner) else None
    return None


def _name_list(data: bytes, parts: list[Item], row: Fields, extra: Fields) -> None:
    """Class of objects [0], where [1], after which name [2]."""
    for one in parts:
        inner = ber.children(data, one)
        if one.number == 0 and inner:
            extra["object_class"] = ber.integer(data, inner[0])
        elif one.number == 1 and inner and inner[0].number == 1:
            row["ot.address"] = ber.text(data, inner[0])
        elif one.number == 2:
            extra["continue_after"] = ber.text(data, one)


def _strings(data: bytes, one: Item) -> str | None:
    """The names in a request of any shape: at most four, joined by a slash."""
    if not one.form & ber.CONSTRUCTED:
        return ber.text(data, one) or None
    found: list[str] = []
    todo, steps = [one], 0
    while todo and len(found) < 4 and steps < 256:
        steps += 1
        part = todo.pop(0)
        inner = ber.children(data, part)
        if inner:
            todo = inner[:16] + todo
        elif (part.form == 0 and part.number in _STRINGS) or (part.form == ber.CONTEXT and part.end - part.begin > 1):
            raw = data[part.begin : part.end]
            if raw.isascii() and ber.text(data, part).isprintable() and b"\0" not in raw:
                found.append(ber.text(data, part))
    return "/".join(found) or None
