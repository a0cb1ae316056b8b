"""Bodies of SL 651-2014 in HEX/BCD: elements with their guides, identifiers asked for, parameters and commands.

Head of a body (6.6): serial 2, time sent 6; upward F1F1 and the station's address, F0F0 and the time of observation,
then elements; downward what is asked or ordered. What does not fit stops the body; what is done stays.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from cityguard.decoders.ot import sl651_names as names
from cityguard.decoders.ot import sl651_values as values
from cityguard.decoders.ot.sl651_values import Parameter

MAX_ELEMENTS = 256
MAX_LISTED = 512
MAX_TEXT = 512

Value = int | float | str | list[int | float | None] | None


class Element(NamedTuple):
    """One element: its symbol, its guide in hexadecimal, what it holds."""

    name: str
    guide: str
    value: Value


class Control(NamedTuple):
    """An order to pumps, valves or gates, or their state."""

    many: int
    """As told: octets of the list; for gates their number."""
    bits: str
    """The list in hexadecimal."""
    on: tuple[int, ...]
    off: tuple[int, ...]
    openings: tuple[int | None, ...] = ()
    """Of gates, in centimetres."""


@dataclass(slots=True)
class Body:
    """What a body says; filled from the front."""

    serial: int | None = None
    sent: str = ""
    """ISO 8601 in the zone of the city."""
    station: str = ""
    kind: int | None = None
    """Class of the station."""
    observed: str = ""
    elements: list[Element] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    """Identifiers a query names: symbols of elements, or parameters in hexadecimal."""
    parameters: list[Parameter] = field(default_factory=list)
    control: Control | None = None
    passwords: tuple[str, ...] = ()
    """Old and new of a change, or the new one of its confirmation; never shown."""
    order: str = ""
    """Data of an order that is no list: FF of 4F, the card's state of 4B."""
    identifier: str = ""
    """97 or 98."""
    status: int | None = None
    picture: int = 0
    text: str = ""
    step: str = ""
    period: tuple[str, str] | None = None
    counts: list[int] = field(default_factory=list)
    """Of events, from the first kind on."""
    whole: bool = True
    """False = something in it could not be read."""


def read(code: int, raw: bytes, *, up: bool, size: int = 0) -> Body:
    """Read the body of a message; never raises.

    Args:
        code: the function.
        raw: the body, all packets of it together.
        up: from the station.
        size: its octets, where ``raw`` does not hold them all.
    """
    body = Body()
    if len(raw) < 8:
        body.whole = False
        return body
    body.serial, body.sent = int.from_bytes(raw[:2], "big"), values.moment(raw[2:8])
    at = 8
    if up and raw[at : at + 2] == b"\xf1\xf1" and len(raw) >= at + 7:
        body.station, at = raw[at + 2 : at + 7].hex().upper(), at + 7
        if at < len(raw) and raw[at] < 0xF0 and (code in names.CLASSED or _is_class(raw, at)):  # else a mark
            body.kind, at = raw[at], at + 1
    if up and raw[at : at + 2] == b"\xf0\xf0" and len(raw) >= at + 7:
        body.observed, at = values.moment(raw[at + 2 : at + 7]), at + 7
    _rest(body, code, raw, at, up=up, size=max(size, len(raw)))
    return body


def _is_class(raw: bytes, at: int) -> bool:
    """A class of station with the time of observation behind it, where a function tells it too."""
    return raw[at] in names.CLASSES and raw[at + 1 : at + 3] == b"\xf0\xf0"


def _rest(body: Body, code: int, raw: bytes, at: int, *, up: bool, size: int) -> None:
    rest = raw[at:]
    if not rest:
        return
    if code in (0x4C, 0x4D, 0x4E):
        body.control = _gates(rest) if code == 0x4E else _switches(rest)
        body.whole = body.control is not None
    elif code in (0x47, 0x48):
        body.identifier = f"{rest[0]:02X}"
    elif code in (0x4B, 0x4F):
        body.order = rest[: MAX_TEXT // 2].hex().upper()
    elif code == 0x49:
        _passwords(body, rest)
    elif code in (0x40, 0x41, 0x42, 0x43):
        _parameters(body, rest, code, told=up or code in (0x40, 0x42))
    elif code == 0x45 and up:
        body.text = _text(rest[1 : 1 + rest[0]] if rest[0] < len(rest) else rest)
    elif code == 0x50 and up:
        body.counts = [int.from_bytes(rest[place : place + 2], "big") for place in range(0, min(len(rest) - 1, 64), 2)]
    elif code == 0x46 and up and len(rest) == 4:  # the word alone, as some send it
        body.elements.append(Element("ZT", "45", _value(body, names.STATUS, rest, 0)))
    elif up or code == 0x30:
        _elements(body, raw, at, size, listed=code in (0x31, 0x38))
    else:
        _asked(body, rest, period=code == 0x38)


def _switches(rest: bytes) -> Control | None:
    many = rest[0]
    listed = rest[1 : 1 + many]
    if not many or len(listed) < many:
        return None
    return Control(many, listed.hex().upper(), *values.bits(listed, 8 * many))


def _gates(rest: bytes) -> Control | None:
    many = rest[0]
    wide = (many + 7) // 8
    listed = rest[1 : 1 + wide]
    if not many or len(listed) < wide:
        return None
    found = [rest[at : at + 2] for at in range(1 + wide, min(len(rest), 1 + wide + 2 * many) - 1, 2)]
    openings = tuple(values.bcd(one) for one in found)
    return Control(many, listed.hex().upper(), *values.bits(listed, many), openings)


def _passwords(body: Body, rest: bytes) -> None:
    """``03 10`` and two octets, once or twice; the info octet tells how many octets."""
    found, at = list[str](), 0
    while at + 2 < len(rest) and rest[at] == names.PASSWORD_ID and len(found) < 2:
        wide = rest[at + 1] >> 3
        found.append(rest[at + 2 : at + 2 + wide].hex().upper())
        at += 2 + wide
    body.passwords, body.whole = tuple(found), at == len(rest) and bool(found)


def _parameters(body: Body, rest: bytes, code: int, *, told: bool) -> None:
    at = 0
    while at + 2 <= len(rest) and len(body.parameters) + len(body.asked) < MAX_ELEMENTS:
        ident, info = rest[at], rest[at + 1]
        at += 2
        if not told:
            body.asked.append(f"{ident:02X}")
            continue
        data = rest[at : at + (info >> 3)]
        if len(data) < info >> 3:
            body.whole = False
            return
        at += len(data)
        body.parameters.append(values.parameter(ident, data, info & 7, running=code in (0x42, 0x43)))
    body.whole = at == len(rest)


def _asked(body: Body, rest: bytes, *, period: bool) -> None:
    """Guides with their info octets; a query of a period has its ends, and a step, before them."""
    at = 0
    if period and len(rest) >= 8:
        body.period = (values.moment(rest[:4]), values.moment(rest[4:8]))
        at = 8
    while at < len(rest) and len(body.asked) < MAX_ELEMENTS:
        guide, wide = _guide(rest, at)
        info = rest[at + wide] if at + wide < len(rest) else 0
        if guide == names.STEP and info >> 3 == 3:
            body.step = step(rest[at + 2 : at + 5])
            at += 5
            continue
        body.asked.append(name(guide))
        at += wide + 1


def _guide(raw: bytes, at: int) -> tuple[int, int]:
    """A guide and how many octets it has: an extended one begins with FF."""
    if raw[at] == 0xFF and at + 1 < len(raw):
        return 0xFF00 | raw[at + 1], 2
    return raw[at], 1


def name(guide: int) -> str:
    """Symbol of an element, or its guide in hexadecimal."""
    return names.ELEMENTS.get(guide) or f"{guide:02X}"


def step(raw: bytes) -> str:
    """A time step of days, hours and minutes as the standard's DRxnn: DRD01, DRH01, DRN05."""
    for letter, octet in zip("DHN", raw, strict=False):
        if octet:
            return f"DR{letter}{octet:02X}"
    return ""


def _elements(body: Body, raw: bytes, at: int, size: int, *, listed: bool) -> None:
    """Elements one after another; behind a time step the values of one fill the rest."""
    end = len(raw)
    while at + 2 <= end and len(body.elements) < MAX_ELEMENTS:
        guide, wide = _guide(raw, at)
        info = raw[at + wide] if at + wide < end else 0
        begin = at + wide + 1
        if guide in (names.PICTURE, names.TEXT) and info == guide:
            _last(body, guide, raw[begin:], size - begin)
            return
        if guide == 0xF0 and info == 0xF0:  # several observations in one message
            at += 7
            continue
        many = info >> 3
        if guide == names.RAIN:
            many = 12
        elif guide in names.LEVELS:
            many = 24
        data = raw[begin : begin + many]
        if len(data) < many or not many:
            body.whole = False
            return
        at = begin + many
        if guide == names.STEP:
            body.step = step(data)
            continue
        value: Value
        if listed and body.step and guide not in names.LEVELS and guide != names.RAIN:
            places = range(begin, min(end - many + 1, begin + many * MAX_LISTED), many)
            value = [values.number(raw[place : place + many], info & 7) for place in places]
            at = begin + many * len(places)
        else:
            value = _value(body, guide, data, info & 7)
        body.elements.append(Element(name(guide), f"{guide:02X}", value))
    body.whole = body.whole and at == end


def _value(body: Body, guide: int, data: bytes, decimals: int) -> Value:
    if guide == names.RAIN:
        return [None if octet == 0xFF else octet / 10 for octet in data]
    if guide in names.LEVELS:
        words = (int.from_bytes(data[place : place + 2], "big") for place in range(0, 24, 2))
        return [None if word == 0xFFFF else word / 100 for word in words]
    if guide == names.STATUS:
        body.status = int.from_bytes(data, "big")
        return data.hex().upper()
    if guide == names.DURATION and len(data) == 2 and not decimals and data.hex().isdigit():
        return f"{data[0]:02X}.{data[1]:02X}"
    return values.number(data, decimals)


def _last(body: Body, guide: int, data: bytes, size: int) -> None:
    """A picture or a text: all that follows."""
    if guide == names.PICTURE:
        body.picture = size
        body.elements.append(Element("PIC", "F3", size))
        return
    body.text = _text(data)
    body.elements.append(Element("RGZS", "F2", body.text))


def _text(raw: bytes) -> str:
    for encoding in ("ascii", "utf-8", "gb18030"):
        try:
            text = raw[: 4 * MAX_TEXT].decode(encoding)
            break
        except UnicodeDecodeError:
            continue
    else:
        text = raw.decode("latin-1")
    return "".join(one for one in text if one.isprintable())[:MAX_TEXT]
