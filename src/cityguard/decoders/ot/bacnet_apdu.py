"""BACnet service parameters (ANSI/ASHRAE 135, clauses 13-17 and 20) to address, quantity, value and details."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from cityguard.decoders.ot import bacnet_names as names

MAX_TAGS = 2_048
MAX_NESTED = 16
MAX_LISTED = 64
"""Properties of one message that are written out."""
MAX_VALUES = 16
MAX_TEXT = 256
_real = struct.Struct(">f").unpack
_double = struct.Struct(">d").unpack

Fields = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Tag:
    """One value and where it stands."""

    inside: tuple[int, ...]
    """Numbers of the opening tags around it."""
    context: bool
    number: int
    """Context tag, or application data type."""
    data: bytes


def tags(data: bytes) -> list[Tag]:
    """Read tags (20.2.1) until something does not fit."""
    found, stack, at = list[Tag](), tuple[int, ...](), 0
    end = len(data)
    while at < end and len(found) < MAX_TAGS:
        head = data[at]
        number, context, size = head >> 4, head & 8 > 0, head & 7
        at += 1
        if number == 15:
            if at >= end:
                break
            number = data[at]
            at += 1
        if context and size == 6:
            if len(stack) >= MAX_NESTED:
                break
            stack = (*stack, number)
            continue
        if context and size == 7:
            if not stack or stack[-1] != number:
                break
            stack = stack[:-1]
            continue
        if not context and number == 1:
            found.append(Tag(stack, False, 1, b"\1" if size else b"\0"))
            continue
        if size == 5:
            if at >= end:
                break
            size = data[at]
            at += 1
            if size >= 254:
                wide = 2 if size == 254 else 4
                size = int.from_bytes(data[at : at + wide], "big")
                at += wide
        if at + size > end:
            break
        found.append(Tag(stack, context, number, data[at : at + size]))
        at += size
    return found


def number(data: bytes) -> int:
    """An unsigned number; of one longer than eight octets, the last eight."""
    return int.from_bytes(data[-8:], "big")


def _signed(data: bytes) -> int:
    return int.from_bytes(data[-8:], "big", signed=True)


def _count(data: bytes) -> int:
    """A number as the column holds it: 31 bits."""
    return min(number(data), 0x7FFFFFFF)


def object_id(data: bytes) -> str | None:
    """``analog-input:1``; None when it is none."""
    if len(data) != 4:
        return None
    value = number(data)
    return f"{names.named(names.OBJECTS, value >> 22)}:{value & 0x3FFFFF}"


def value(tag: Tag, prop: int = -1) -> str:
    """The text of a value; context tagged ones are shown as bytes."""
    kind, data = tag.number, tag.data
    if tag.context:
        return "0x" + data[:32].hex()
    if kind == 0:
        return "null"
    if kind == 1:
        return "true" if data != b"\0" else "false"
    if kind == 2:
        return str(number(data))
    if kind == 3:
        return str(_signed(data))
    if kind == 4 and len(data) == 4:
        return str(np.float32(_real(data)[0]))
    if kind == 5 and len(data) == 8:
        return str(_double(data)[0])
    if kind == 7:
        return text(data)
    if kind == 8 and data:
        bits = "".join(f"{octet:08b}" for octet in data[1:33])
        return bits[: max(len(bits) - (data[0] & 7), 0)]
    if kind == 9:
        return names.named(names.ENUMERATED.get(prop, []), number(data))
    if kind == 10 and len(data) == 4:
        year = "*" if data[0] == 255 else str(1900 + data[0])
        return f"{year}-{_any(data[1])}-{_any(data[2])}"
    if kind == 11 and len(data) == 4:
        return f"{_any(data[0])}:{_any(data[1])}:{_any(data[2])}.{_any(data[3])}"
    if kind == 12:
        return object_id(data) or ""
    return "0x" + data[:32].hex()


def text(data: bytes) -> str:
    """A character string (20.2.9), printable and cut."""
    if not data:
        return ""
    code = {0: "utf-8", 3: "utf-32-be", 4: "utf-16-be", 5: "latin-1"}.get(data[0], "latin-1")
    raw = data[1 : 1 + 4 * MAX_TEXT].decode(code, "replace")[:MAX_TEXT]
    return "".join(char if char.isprintable() else "?" for char in raw)


def _any(octet: int) -> str:
    return "*" if octet == 255 else f"{octet:02d}"


def _place(target: str | None, prop: int, index: int | None) -> str:
    name = names.PROPERTIES.get(prop, str(prop))
    return f"{target or '?'}/{name}" + (f"[{index}]" if index is not None else "")


def _top(found: list[Tag]) -> dict[int, bytes]:
    """Context tags at the top, the first of each."""
    top: dict[int, bytes] = {}
    for tag in found:
        if tag.context and not tag.inside:
            top.setdefault(tag.number, tag.data)
    return top


def confirmed(service: int, data: bytes, row: Fields, extra: Fields) -> None:
    """What a confirmed request asks for."""
    found = tags(data)
    top = _top(found)
    if service in (8, 9, 12, 15, 26):
        _property(found, top, row, extra)
    elif service in (14, 16):
        _listed(list(_many(found, 0, 1, 2, None)), row, extra)
    elif service in (1, 31):
        _cov(found, top, row, extra)
    elif service == 17:
        row["ot.value"] = names.named(names.COMMUNICATION, number(top.get(1, b"")))
        extra |= {"minutes": number(top[0])} if 0 in top else {}
        extra |= {"password": True} if 2 in top else {}
    elif service == 20:
        row["ot.value"] = names.named(names.REINITIALIZE, number(top.get(0, b"")))
        extra |= {"password": True} if 1 in top else {}
    elif service in (5, 28):
        _subscribe(found, top, row, extra)
    elif service in (6, 7):
        _file(found, row, extra)
    elif service in (10, 11):
        _made(found, row)
    elif service in (2, 0):
        row["ot.address"] = object_id(top.get(2 if service == 2 else 1, b""))
    elif service == 27:
        row["ot.address"] = object_id(top.get(3, b""))
        row["ot.value"] = str(number(top.get(2, b"")))
    elif service == 18:
        extra |= {"vendor": number(top.get(0, b"")), "private_service": number(top.get(1, b""))}


def unconfirmed(service: int, data: bytes, row: Fields, extra: Fields) -> None:
    """What an unconfirmed request says."""
    found = tags(data)
    top = _top(found)
    plain = [tag for tag in found if not tag.context and not tag.inside]
    if service == 0 and len(plain) >= 4:
        row["ot.address"] = object_id(plain[0].data)
        extra |= {
            "max_apdu": number(plain[1].data),
            "segmentation": value(plain[2], 107),
            "vendor": number(plain[3].data),
        }
    elif service == 1 and len(plain) >= 3:
        row["ot.address"] = object_id(plain[1].data)
        extra |= {"device": object_id(plain[0].data), "object_name": text(plain[2].data)}
    elif service in (7, 8):
        if 0 in top and 1 in top:
            extra |= {"low": number(top[0]), "high": number(top[1])}
        if service == 7 and 2 in top:
            row["ot.address"] = object_id(top[2])
        if service == 7 and 3 in top:
            extra["object_name"] = text(top[3])
    elif service in (2, 11):
        _cov(found, top, row, extra)
    elif service == 3:
        row["ot.address"] = object_id(top.get(2, b""))
    elif service in (6, 9) and len(plain) >= 2:
        row["ot.value"] = f"{value(plain[0])} {value(plain[1])}"
    elif service == 4:
        extra |= {"vendor": number(top.get(0, b"")), "private_service": number(top.get(1, b""))}


def acknowledged(service: int, data: bytes, row: Fields, extra: Fields) -> None:
    """What a complex acknowledgement brings."""
    found = tags(data)
    top = _top(found)
    if service == 12:
        _property(found, top, row, extra)
    elif service == 14:
        _listed(list(_many(found, 2, 3, 4, 5)), row, extra)
    elif service == 26:
        _property(found, top, row, extra)
        row["ot.quantity"] = _count(top.get(4, b""))
    elif service == 10 and found:
        row["ot.address"] = object_id(found[0].data)
    elif service == 6:
        _octets(found, row)
    elif service == 3:
        row["ot.quantity"] = sum(not tag.context and tag.number == 12 for tag in found)


def error(data: bytes) -> tuple[str, str] | None:
    """Class and code of an error, the first there is (some services wrap it)."""
    found = [tag for tag in tags(data) if not tag.context and tag.number == 9]
    if len(found) < 2:
        return None
    code = number(found[1].data)
    return names.named(names.ERROR_CLASSES, number(found[0].data)), names.ERRORS.get(code, str(code))


def _property(found: list[Tag], top: dict[int, bytes], row: Fields, extra: Fields) -> None:
    """Object [0], property [1], index [2], value [3], priority [4]."""
    if 0 not in top or 1 not in top:
        return
    prop = number(top[1])
    row["ot.address"] = _place(object_id(top[0]), prop, number(top[2]) if 2 in top else None)
    values = [value(tag, prop) for tag in found if tag.inside[:1] == (3,)]
    if values:
        row["ot.value"] = ",".join(values[:MAX_VALUES])
        row["ot.quantity"] = len(values)
    if 4 in top and values:
        extra["priority"] = number(top[4])


def _many(found: list[Tag], prop: int, index: int, held: int, failed: int | None) -> Iterator[tuple[str, str | None]]:
    """Properties of several objects: (address, value); the object is [0], its properties stand in [1]."""
    target: str | None = None
    place, values, code = "", list[str](), -1
    for tag in found:
        if not tag.inside and tag.context and tag.number == 0:
            if place:
                yield place, ",".join(values[:MAX_VALUES]) or None
            target, place, values = object_id(tag.data), "", []
        elif tag.inside == (1,) and tag.context and tag.number == prop:
            if place:
                yield place, ",".join(values[:MAX_VALUES]) or None
            code, values = number(tag.data), []
            place = _place(target, code, None)
        elif tag.inside == (1,) and tag.context and tag.number == index and place:
            place = _place(target, code, number(tag.data))
        elif tag.inside[:2] == (1, held):
            values.append(value(tag, code))
        elif failed is not None and tag.inside == (1, failed) and not tag.context and tag.number == 9:
            name = names.ERRORS.get(number(tag.data), "") if values else ""
            values = [f"error:{name}" if name else "error"]
    if place:
        yield place, ",".join(values[:MAX_VALUES]) or None


def _listed(found: list[tuple[str, str | None]], row: Fields, extra: Fields) -> None:
    """Properties with their values, both in their order; one whose list is empty has an empty value."""
    if not found:
        return
    row["ot.address"], row["ot.quantity"] = ",".join(place for place, _ in found[:MAX_VALUES]), len(found)
    values = [text or "" for _, text in found[:MAX_VALUES]]
    if any(values):
        row["ot.value"] = ",".join(values)
    extra["properties"] = [{"address": place, "value": text} for place, text in found[:MAX_LISTED]]


def _cov(found: list[Tag], top: dict[int, bytes], row: Fields, extra: Fields) -> None:
    """A change of value: the device [1], the object [2], its values in [4]."""
    if 2 not in top:
        return
    extra["device"] = object_id(top.get(1, b""))
    target, listed, code = object_id(top[2]), list[tuple[str, str | None]](), -1
    for tag in found:
        if tag.inside == (4,) and tag.context and tag.number == 0:
            code = number(tag.data)
            listed.append((_place(target, code, None), None))
        elif tag.inside[:2] == (4, 2) and listed:
            place, before = listed[-1]
            listed[-1] = (place, f"{before},{value(tag, code)}" if before else value(tag, code))
    _listed(listed[:MAX_LISTED], row, extra)
    row.setdefault("ot.address", target)


def _subscribe(found: list[Tag], top: dict[int, bytes], row: Fields, extra: Fields) -> None:
    target = object_id(top.get(1, b""))
    inner = {tag.number: tag.data for tag in found if tag.inside == (4,) and tag.context}
    row["ot.address"] = _place(target, number(inner[0]), None) if 0 in inner else target
    extra |= {"process": number(top.get(0, b""))}
    extra |= {"lifetime": number(top[3])} if 3 in top else {}


def _file(found: list[Tag], row: Fields, extra: Fields) -> None:
    """The file's object and where in it."""
    if found and not found[0].context and found[0].number == 12:
        row["ot.address"] = object_id(found[0].data)
    inner = [tag for tag in found if tag.inside and not tag.context]
    if inner:
        extra["position"] = _signed(inner[0].data)
    if len(inner) >= 2:
        row["ot.quantity"] = _count(inner[1].data) if inner[1].number == 2 else len(inner[1].data)


def _octets(found: list[Tag], row: Fields) -> None:
    row["ot.quantity"] = sum(len(tag.data) for tag in found if tag.inside and tag.number == 6 and not tag.context)


def _made(found: list[Tag], row: Fields) -> None:
    """The object that is made or deleted: an identifier, or only its type."""
    if not found:
        return
    one = found[0]
    if one.context and one.number == 0:
        row["ot.address"] = names.named(names.OBJECTS, number(one.data))
    else:
        row["ot.address"] = object_id(one.data)
