"""What the data identifiers of DL/T 645 stand for: octets, decimals, sign (2007 annex A, 1997 annex A).

From public implementations, not from the text of the standard. Numbers are BCD, lowest octet first.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache

CITY = timezone(timedelta(hours=8))
MAX_VALUES = 16
MAX_RAW = 64
"""Octets of data without a known layout that are shown, in hexadecimal."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Numbers of one identifier."""

    octets: int
    decimals: int
    signed: bool = False
    kind: str = "number"
    """``number``, ``demand`` (3 octets and the minute it occurred in 5), ``date``, ``clock``, ``moment``, ``digits``,
    ``bits`` (hexadecimal), ``secret`` (never shown)."""


_ENERGY, _DEMAND = Layout(4, 2), Layout(8, 4, kind="demand")
_SIGNED_ENERGY = Layout(4, 2, signed=True)
_INSTANT = {
    0x01: Layout(2, 1),
    0x02: Layout(3, 3, signed=True),
    0x03: Layout(3, 4, signed=True),
    0x04: Layout(3, 4, signed=True),
    0x05: Layout(3, 4, signed=True),
    0x06: Layout(2, 3, signed=True),
    0x07: Layout(2, 1),
    0x08: Layout(2, 2),
    0x09: Layout(2, 2),
    0x0A: Layout(2, 2),
    0x0B: Layout(2, 2),
}
_OTHER_INSTANT = {
    1: Layout(3, 3, signed=True),
    2: Layout(2, 2),
    3: Layout(3, 4, signed=True),
    4: Layout(3, 4, signed=True),
    5: Layout(3, 4, signed=True),
    6: Layout(3, 4, signed=True),
    7: Layout(2, 1, signed=True),
    8: Layout(2, 2),
    9: Layout(2, 2),
    10: Layout(4, 0),
}
_DATE, _CLOCK, _MOMENT = Layout(4, 0, kind="date"), Layout(3, 0, kind="clock"), Layout(7, 0, kind="moment")
_DIGITS, _SECRET, _BYTE = Layout(6, 0, kind="digits"), Layout(0, 0, kind="secret"), Layout(1, 0)
_PARAMETERS = {
    0x04000101: _DATE,
    0x04000102: _CLOCK,
    0x0400010C: _MOMENT,
    0x04000103: _BYTE,
    0x04000104: _BYTE,
    0x04000105: Layout(2, 0),
    0x04000401: _DIGITS,
    0x04000402: _DIGITS,
}
_SMALL = frozenset((0x0400_02, 0x0400_03))


@lru_cache(8_192)
def layout(di: int, edition: str) -> Layout | None:
    """How the data of an identifier is laid out; None = not known."""
    if edition == "1997":
        return _old(di)
    high, second, third, low = di >> 24, di >> 16 & 0xFF, di >> 8 & 0xFF, di & 0xFF
    if high == 0:
        return _SIGNED_ENERGY if second in (0, 3, 4) else _ENERGY
    if high == 1:
        return _DEMAND
    if high == 2:
        return _OTHER_INSTANT.get(low) if second == 0x80 and third == 0 else _INSTANT.get(second)
    if high == 7 or di >> 8 == 0x04000C:
        return _SECRET
    if di >> 8 == 0x040005:
        return Layout(2, 0, kind="bits")
    if di >> 8 in _SMALL:
        return _BYTE
    return _PARAMETERS.get(di)


def _old(di: int) -> Layout | None:
    """1997: two octets; 9xxx energy, Axxx demand, B6xx instantaneous, Cxxx parameters."""
    kind, group = di >> 12, di >> 4
    if kind == 9:
        return _ENERGY
    if kind == 0xA:
        return Layout(3, 4)
    if group in (0xB61, 0xB62, 0xB63, 0xB64, 0xB65):
        return (Layout(2, 0), Layout(2, 2), Layout(3, 4), Layout(2, 2), Layout(2, 3))[group - 0xB61]
    fixed = {0xC010: _DATE, 0xC011: _CLOCK, 0xC032: _DIGITS, 0xC033: _DIGITS, 0xC034: _DIGITS}
    return _SECRET if di in (0xC212, 0xC213) else fixed.get(di)


def is_block(di: int, edition: str) -> bool:
    """Whether an identifier asks for all of its kind at once."""
    if edition == "1997":
        return di & 0xF == 0xF or di & 0xF0 == 0xF0
    return di >> 8 & 0xFF == 0xFF or di & 0xFF == 0xFF


def digits(octets: bytes) -> str | None:
    """BCD digits, lowest octet first; None where a nibble is no digit."""
    text = octets[::-1].hex()
    return text if text.isdigit() else None


def number(octets: bytes, form: Layout) -> str | None:
    """One BCD number with its decimals: ``229.8``; the highest bit is the sign where there is one."""
    negative = form.signed and bool(octets) and octets[-1] & 0x80 > 0
    if negative:
        octets = octets[:-1] + bytes((octets[-1] & 0x7F,))
    text = digits(octets)
    if text is None:
        return None
    whole = str(int(text[: len(text) - form.decimals] or "0"))
    fraction = f".{text[len(text) - form.decimals :]}" if form.decimals else ""
    return ("-" if negative else "") + whole + fraction


def value(di: int, edition: str, data: bytes) -> str | None:
    """The data behind an identifier as text: numbers with commas between, times as ISO 8601, the rest in hexadecimal.

    None = secret, empty, or digits that are none.
    """
    form = layout(di, edition)
    if not data or (form is not None and form.kind == "secret"):
        return None
    if form is None:
        return data[:MAX_RAW].hex()
    if len(data) == form.octets:
        return _one(data, form)
    if is_block(di, edition) and len(data) % form.octets == 0:
        parts = [data[at : at + form.octets] for at in range(0, len(data), form.octets)][:MAX_VALUES]
        return ",".join(_one(part, form) or "" for part in parts)
    return data[:MAX_RAW].hex()


def _one(data: bytes, form: Layout) -> str | None:
    if form.kind == "number":
        return number(data, form)
    if form.kind == "bits":
        return data[::-1].hex()
    text = digits(data)
    if text is None or form.kind == "digits":
        return text
    if form.kind == "date":
        return f"20{text[:2]}-{text[2:4]}-{text[4:6]} weekday {int(text[6:])}"
    if form.kind == "clock":
        return f"{text[:2]}:{text[2:4]}:{text[4:]}"
    if form.kind == "moment":
        told = moment(data[:3] + data[4:])
        return told.strftime("%Y-%m-%dT%H:%M:%S") if told else None
    quantity = number(data[:3], Layout(3, form.decimals))
    when = text[:10]  # YYMMDDhhmm of the five octets behind the number
    return quantity if quantity is None else f"{quantity} 20{when[:2]}-{when[2:4]}-{when[4:6]}T{when[6:8]}:{when[8:]}"


def moment(data: bytes) -> datetime | None:
    """A time of six BCD octets, seconds first, in the city's time zone; None where it is none."""
    text = digits(data)
    if text is None or len(text) != 12:
        return None
    year, month, day, hour, minute, second = (int(text[at : at + 2]) for at in range(0, 12, 2))
    try:
        return datetime(2000 + year, month, day, hour, minute, second, tzinfo=CITY)
    except ValueError:
        return None


def utc(when: datetime) -> datetime:
    """The same moment as the columns hold it."""
    return when.astimezone(UTC)
