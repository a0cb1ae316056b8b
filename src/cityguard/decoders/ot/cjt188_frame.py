"""One frame of CJ/T 188 (water, gas and heat meters): what it says; nothing here makes rows.

``68 T address(7) C L DI(2) serial data CS 16``: addresses and numbers are BCD, lowest octet first, CS the sum of all
before it. From public implementations: the refusal bit (40h), the units and the layout of 901F are unconfirmed, and so
is the order of the identifier's octets, which makers write either way.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from cityguard.decoders.ot import dlt645_data
from cityguard.decoders.wire import summed

START, END = 0x68, 0x16
LEAST, MOST = 13, 13 + 255
_HEAD = 11

_DIGITS = bytes((*(octet for octet in range(0xA0) if octet & 15 < 10), 0xAA, 0xFF))
"""Two digits, two times any, or unused."""

FUNCTIONS: dict[int, tuple[str, str]] = {
    0x01: ("read_data", "read"),
    0x03: ("read_address", "read"),
    0x04: ("write_data", "write"),
    0x09: ("read_key_version", "read"),
    0x15: ("write_address", "program"),
    0x16: ("motor_sync", "write"),
}
"""Control code without 80h (answer) and 40h (refusal): name and class."""
TYPES = {
    0x10: "cold water",
    0x11: "hot water",
    0x12: "drinking water",
    0x13: "reclaimed water",
    0x20: "heat",
    0x21: "cooling",
    0x30: "gas",
    0x40: "electric",
}
NOW, VALVE, KEY, TIME = 0x901F, 0xA017, 0xA014, 0xA015
_WRITTEN = frozenset(range(0xA010, 0xA01A))
_VALVE = {0x55: "open", 0x99: "close"}
_STATES = {0: "open", 1: "closed", 3: "abnormal"}
UNITS = {
    0x02: "Wh", 0x05: "kWh", 0x08: "MWh", 0x0A: "MWh*100", 0x01: "J", 0x0B: "kJ", 0x0E: "MJ", 0x11: "GJ",
    0x13: "GJ*100", 0x14: "W", 0x17: "kW", 0x1A: "MW", 0x29: "L", 0x2C: "m3", 0x32: "L/h", 0x35: "m3/h",
}  # fmt: skip
_QUANTITY, _TEMPERATURE = dlt645_data.Layout(4, 2), dlt645_data.Layout(3, 2)
_HOURS = dlt645_data.Layout(3, 0)


@dataclass(frozen=True, slots=True)
class Frame:
    """Everything a frame says."""

    type: int
    address: str
    """14 digits, highest first."""
    control: int
    data: bytes
    is_sound: bool
    """The checksum is right."""
    length_ok: bool = True
    """The frame is as long as it tells."""
    di: int | None = None
    turned: bool = False
    """The octets of the identifier came lowest first."""
    serial: int | None = None
    value: str | None = None
    unit: str | None = None
    valve: str | None = None
    """Of a command ``open`` or ``close``, of an answer also ``closed`` and ``abnormal``."""
    battery_low: bool | None = None
    time: datetime | None = None
    readings: tuple[tuple[str, str], ...] = ()
    """Of an answer to 901F: name, and number with its unit."""

    @property
    def code(self) -> int:
        return self.control & 0x3F

    @property
    def answers(self) -> bool:
        return self.control & 0x80 > 0

    @property
    def refused(self) -> bool:
        return self.control & 0x40 > 0

    @property
    def station_kind(self) -> str:
        """``10H cold water``."""
        word = TYPES.get(self.type)
        return f"{self.type:02X}H {word}" if word else f"{self.type:02X}H"

    @property
    def name(self) -> str:
        name = FUNCTIONS[self.code][0]
        return f"{name}/valve" if self.di == VALVE and self.code == 0x04 else name

    @property
    def kind(self) -> str:
        if self.refused:
            return "error"
        return "control" if self.di == VALVE and self.code == 0x04 else FUNCTIONS[self.code][1]


def size(data: bytes | bytearray, at: int) -> int:
    """Octets of the frame at a place: 0 = more is needed to tell, -1 = none begins here."""
    room = len(data) - at
    if data[at] != START:
        return -1
    if room < _HEAD:
        return 0 if room < 2 or _is_type(data[at + 1]) else -1
    if not _heads(data, at):
        return -1
    whole = LEAST + data[at + 10]
    if room < whole:
        return 0
    return whole if data[at + whole - 1] == END else -1


def _heads(data: bytes | bytearray, at: int) -> bool:
    """Whether type, control code and address of a head can be; it is all there."""
    return _is_type(data[at + 1]) and data[at + 9] & 0x3F in FUNCTIONS and _addressed(data, at + 2)


def _is_type(octet: int) -> bool:
    return octet == 0xAA or (0x10 <= octet <= 0x49 and octet & 15 < 10)


def _addressed(data: bytes | bytearray, at: int) -> bool:
    """Whether seven octets are digits, or AA for any; the maker's two may be any BCD."""
    return not data[at : at + 7].translate(None, _DIGITS)


def broken(data: bytes | bytearray, at: int) -> int:
    """Octets of a frame whose head is sound and whose sum is right, but not its length; 0 = there is none.

    What has a second 68h where DL/T 645 has it is a frame of that, whose sum is the same.
    """
    if len(data) - at < LEAST or data[at + 7] == START or data[at + 1] not in TYPES or not _heads(data, at):
        return 0
    return summed.end(data, at, LEAST, MOST)


def read(frame: bytes) -> Frame | None:
    """What the octets from 68h to 16h say; None where they are no frame."""
    if len(frame) < LEAST or frame[0] != START:
        return None
    whole = size(frame, 0) == len(frame)
    if not whole and broken(frame, 0) != len(frame):
        return None
    plain = Frame(
        frame[1], frame[8:1:-1].hex().upper(), frame[9], frame[_HEAD:-2], summed.checked(frame, 0, len(frame)), whole
    )  # fmt: skip
    if len(plain.data) < 2 or plain.refused:
        return replace(plain, serial=plain.data[0] if plain.data else None)
    di, turned = _identifier(plain.data)
    found = replace(plain, di=di, turned=turned, serial=plain.data[2] if len(plain.data) > 2 else None)
    rest = plain.data[3:]
    if not rest:
        return found
    return _answer(found, rest) if plain.answers else _request(found, rest)


def _identifier(data: bytes) -> tuple[int, bool]:
    """The data identifier, whichever way its octets came; and whether lowest first."""
    straight, turned = data[0] << 8 | data[1], data[1] << 8 | data[0]
    known = straight == NOW or straight in _WRITTEN or straight >> 8 in (0xD1, 0xD2)
    other = turned == NOW or turned in _WRITTEN or (turned >> 8 in (0xD1, 0xD2) and turned & 0xF0 == 0x20)
    return (turned, True) if other and not known else (straight, False)


def _request(found: Frame, rest: bytes) -> Frame:
    if found.di == VALVE:
        return replace(found, value=f"{rest[0]:02X}", valve=_VALVE.get(rest[0]))
    if found.di == KEY:
        return found
    if found.code == 0x15:
        return replace(found, value=rest[:7][::-1].hex().upper())
    if found.di == TIME and len(rest) == 7:
        when = _moment(rest)
        return replace(found, time=when, value=when.strftime("%Y-%m-%dT%H:%M:%S") if when else None)
    return replace(found, value=rest[: dlt645_data.MAX_RAW].hex())


def _answer(found: Frame, rest: bytes) -> Frame:
    if found.code == 0x03:
        return replace(found, value=found.address)
    if found.di == VALVE and len(rest) >= 1:
        return replace(found, valve=_STATES.get(rest[0] & 3), battery_low=rest[0] & 4 > 0)
    if found.code != 0x01 or found.di == KEY:
        return found
    if found.di != NOW:
        number = dlt645_data.number(rest[:4], _QUANTITY) if len(rest) == 5 else rest[: dlt645_data.MAX_RAW].hex()
        return replace(found, value=number, unit=UNITS.get(rest[4]) if len(rest) == 5 else None)
    return _now(found, rest)


_FLOWS = ("volume", "settlement_volume")
_HEATS = ("settlement_heat", "heat", "power", "flow", "volume")


def _now(found: Frame, rest: bytes) -> Frame:
    """Present readings: two quantities of a flow meter, or five, temperatures and hours of a heat meter."""
    heat = found.type >> 4 == 2
    names = _HEATS if heat else _FLOWS
    told, first, unit = list[tuple[str, str]](), None, None
    for place, name in enumerate(names):
        part = rest[5 * place : 5 * place + 5]
        if len(part) < 5:
            break
        number = dlt645_data.number(part[:4], _QUANTITY)
        if name == ("heat" if heat else "volume"):
            first, unit = number, UNITS.get(part[4])
        if number is not None:
            told.append((name, f"{number} {UNITS.get(part[4], f'{part[4]:02X}h')}"))
    rest = rest[5 * len(names) :]
    if heat and len(rest) >= 9:
        for name, form in (("supply", _TEMPERATURE), ("return", _TEMPERATURE), ("hours", _HOURS)):
            number = dlt645_data.number(rest[:3], form)
            if number is not None:
                told.append((name, number))
            rest = rest[3:]
    state = rest[7] if len(rest) >= 9 else None
    return replace(
        found,
        value=first,
        unit=unit,
        readings=tuple(told),
        time=_moment(rest[:7]) if len(rest) >= 7 else None,
        valve=_STATES.get(state & 3) if state is not None else None,
        battery_low=state & 4 > 0 if state is not None else None,
    )


def _moment(data: bytes) -> datetime | None:
    """A time of seven BCD octets, seconds first, the century last."""
    when = dlt645_data.moment(data[:6])
    return when if data[6] == 0x20 else None
