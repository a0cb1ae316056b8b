"""One frame of DL/T 645 (2007 and 1997): what it says, password included; nothing here makes rows.

``68 address(6) 68 C L data CS 16``: BCD and data lowest octet first, data octets + 33h, CS the sum of all before it.
Layouts of the commands are those of public implementations; the relay's words are unconfirmed but for 1A to 3B.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime

from cityguard.decoders.ot import dlt645_data
from cityguard.decoders.wire import summed

START, END = 0x68, 0x16
LEAST, MOST = 12, 12 + 255
_DIGITS = bytes((*(octet for octet in range(0xA0) if octet & 15 < 10), 0xAA))
"""Two digits, or two times any."""
_PLAIN = bytes((octet - 0x33) & 0xFF for octet in range(256))

FUNCTIONS: dict[int, tuple[str, str, str]] = {
    0x01: ("read_data", "read", "1997"),
    0x02: ("read_more", "read", "1997"),
    0x03: ("security_authentication", "diagnostic", "2007"),
    0x04: ("write_data", "write", "1997"),
    0x08: ("broadcast_time", "write", ""),
    0x0A: ("write_address", "program", "1997"),
    0x0C: ("change_baud", "write", "1997"),
    0x0F: ("change_password", "write", "1997"),
    0x10: ("demand_clear", "control", "1997"),
    0x11: ("read_data", "read", "2007"),
    0x12: ("read_more", "read", "2007"),
    0x13: ("read_address", "read", "2007"),
    0x14: ("write_data", "write", "2007"),
    0x15: ("write_address", "program", "2007"),
    0x16: ("freeze", "write", "2007"),
    0x17: ("change_baud", "write", "2007"),
    0x18: ("change_password", "write", "2007"),
    0x19: ("demand_clear", "control", "2007"),
    0x1A: ("meter_clear", "control", "2007"),
    0x1B: ("event_clear", "control", "2007"),
    0x1C: ("relay_control", "control", "2007"),
    0x1D: ("multifunction_output", "control", "2007"),
}
"""Control code without direction, refusal and more: name, class, edition ("" = both)."""
ERRORS = ("other", "no_data", "password_or_right", "baud", "year_zones", "day_slots", "tariffs")
RELAY = {
    0x1A: "trip",
    0x1B: "permit_close",
    0x1C: "close",
    0x2A: "alarm",
    0x2B: "alarm_off",
    0x3A: "keep_power",
    0x3B: "keep_power_off",
}
BROADCAST, WILDCARD = "999999999999", "AAAAAAAAAAAA"
_BAUDS = {0x02: 600, 0x04: 1200, 0x08: 2400, 0x10: 4800, 0x20: 9600, 0x40: 19200}
_ADMITTED = frozenset((0x19, 0x1A, 0x1B, 0x1C))
"""Commands that begin with password and operator."""
_CIPHERED, _SEALED = 0x98, 0x99
"""Password levels that mean: data enciphered with a check, data in clear with a check. There is no password then."""


@dataclass(frozen=True, slots=True)
class Frame:
    """Everything a frame says."""

    address: str
    """Meter, 12 digits, highest first; A stands for any digit."""
    control: int
    code: int
    data: bytes
    """Without the 33h."""
    is_sound: bool
    """The checksum is right."""
    length_ok: bool = True
    """The frame is as long as it tells."""
    name: str = ""
    kind: str | None = None
    edition: str | None = None
    di: int | None = None
    value: str | None = None
    time: datetime | None = None
    password: str | None = None
    level: int | None = None
    operator: str | None = None
    command: str | None = None
    """Word of a relay command."""
    until: str | None = None
    encrypted: bool = False
    sealed: bool = False
    error: bytes = b""
    error_bits: tuple[str, ...] = field(default=())
    sequence: int | None = None

    @property
    def from_meter(self) -> bool:
        return self.control & 0x80 > 0

    @property
    def refused(self) -> bool:
        return self.control & 0x40 > 0

    @property
    def more(self) -> bool:
        return self.control & 0x20 > 0

    @property
    def identifier(self) -> str | None:
        """The data identifier as it is written: eight hexadecimal digits, four in 1997."""
        if self.di is None:
            return None
        return f"{self.di:04X}" if self.edition == "1997" else f"{self.di:08X}"


def size(data: bytes | bytearray, at: int) -> int:
    """Octets of the frame at a place: 0 = more is needed to tell, -1 = none begins here."""
    room = len(data) - at
    if data[at] != START:
        return -1
    if room < 10:
        return 0 if room < 8 or data[at + 7] == START else -1
    if not _heads(data, at):
        return -1
    whole = LEAST + data[at + 9]
    if room < whole:
        return 0
    return whole if data[at + whole - 1] == END else -1


def _heads(data: bytes | bytearray, at: int) -> bool:
    """Whether second start, control code and address of a head can be; it is all there."""
    return data[at + 7] == START and data[at + 8] & 0x1F in FUNCTIONS and _addressed(data, at + 1)


def _addressed(data: bytes | bytearray, at: int) -> bool:
    """Whether six octets are digits, or AA for any."""
    return not data[at : at + 6].translate(None, _DIGITS)


def fills(data: bytes) -> bool:
    """Whether some octets are one frame, no more and no less."""
    return (
        len(data) >= LEAST
        and data[0] == START == data[7]
        and len(data) == LEAST + data[9]
        and data[-1] == END
        and data[8] & 0x1F in FUNCTIONS
        and not data[1:7].translate(None, _DIGITS)
    )


def broken(data: bytes | bytearray, at: int) -> int:
    """Octets of a frame whose head is sound and whose sum is right, but not its length; 0 = there is none."""
    return summed.end(data, at, LEAST, MOST) if len(data) - at >= LEAST and _heads(data, at) else 0


def read(frame: bytes) -> Frame | None:
    """What the octets from 68h to 16h say; None where they are no frame."""
    if len(frame) < LEAST or frame[0] != START:
        return None
    whole = size(frame, 0) == len(frame)
    if not whole and broken(frame, 0) != len(frame):
        return None
    control, data = frame[8], frame[10:-2].translate(_PLAIN)
    code = control & 0x1F
    name, kind, edition = FUNCTIONS[code]
    if code == 0x03 and not data:
        name, kind, edition = "read_again", "read", "1997"
    plain = Frame(
        frame[6:0:-1].hex().upper(),
        control,
        code,
        data,
        summed.checked(frame, 0, len(frame)),
        whole,
        name,
        kind,
        edition or None,
    )
    if plain.refused:
        bits = int.from_bytes(data, "little")
        names = tuple(word for bit, word in enumerate(ERRORS) if bits >> bit & 1) if len(data) == 1 else ()
        return replace(plain, error=data[:8][::-1], error_bits=names, kind="error")
    return _answer(plain) if plain.from_meter else _request(plain)


def _identified(plain: Frame) -> tuple[int | None, bytes]:
    """The data identifier and what follows it."""
    wide = 2 if plain.edition == "1997" else 4
    if len(plain.data) < wide:
        return None, plain.data
    return int.from_bytes(plain.data[:wide], "little"), plain.data[wide:]


def _answer(plain: Frame) -> Frame:
    code = plain.code
    if code in (0x01, 0x02, 0x11, 0x12):
        di, rest = _identified(plain)
        sequence = None
        if code in (0x02, 0x12) and rest:
            rest, sequence = rest[:-1], rest[-1]
        if di is None:
            return plain
        told = dlt645_data.value(di, plain.edition or "", rest)
        return replace(plain, di=di, value=told, sequence=sequence, time=_clock(di, rest))
    if code == 0x13 and len(plain.data) == 6:
        return replace(plain, value=plain.data[::-1].hex().upper())
    if code == 0x17 and len(plain.data) == 1:
        return replace(plain, value=_baud(plain.data[0]))
    return plain


def _clock(di: int, data: bytes) -> datetime | None:
    """The time a meter tells where it tells all of it."""
    return dlt645_data.moment(data[:3] + data[4:]) if di == 0x0400010C and len(data) == 7 else None


def _baud(bits: int) -> str | None:
    rate = _BAUDS.get(bits)
    return str(rate) if rate else None


def _admission(plain: Frame, rest: bytes, operator: bool) -> tuple[Frame, bytes]:
    """Password of four octets (level first) and, in 2007, an operator of four; what follows."""
    wide = 8 if operator else 4
    if len(rest) < wide:  # whatever it is, a password may be in it
        return plain, b""
    level = rest[0]
    secret = None if level in (_CIPHERED, _SEALED) else rest[3:0:-1].hex().upper()
    who = rest[7:3:-1].hex().upper() if operator else None
    found = replace(
        plain, level=level, password=secret, operator=who, encrypted=level == _CIPHERED, sealed=level == _SEALED
    )
    return found, rest[wide:]


def _change(plain: Frame, rest: bytes) -> Frame:
    """A password is changed: the new one counts, which stands behind that in force."""
    found, new = _admission(plain, rest, False)
    return _admission(plain, new, False)[0] if len(new) >= 4 else found


def _request(plain: Frame) -> Frame:
    code, data = plain.code, plain.data
    if code in (0x01, 0x02, 0x11, 0x12):
        di, rest = _identified(plain)
        return replace(plain, di=di, sequence=rest[0] if code in (0x02, 0x12) and len(rest) == 1 else None)
    if code in (0x04, 0x14):
        return _write(plain)
    if code == 0x08:
        when = dlt645_data.moment(data)
        return replace(plain, time=when, value=when.strftime("%Y-%m-%dT%H:%M:%S") if when else None)
    if code in (0x0A, 0x15) and len(data) == 6:
        return replace(plain, value=data[::-1].hex().upper())
    if code == 0x16 and len(data) == 4:
        return replace(plain, value=dlt645_data.digits(data))
    if code in (0x0C, 0x17) and len(data) == 1:
        return replace(plain, value=_baud(data[0]))
    if code == 0x18 and len(data) >= 4:
        di, rest = _identified(plain)
        return replace(_change(plain, rest), di=di)
    if code == 0x0F:
        return _change(plain, data)
    if code == 0x10:
        return _admission(plain, data, False)[0]
    if code in _ADMITTED:
        return _command(*_admission(plain, data, True))
    if code == 0x1D and len(data) == 1:
        return replace(plain, value=str(data[0]))
    return plain


def _write(plain: Frame) -> Frame:
    di, rest = _identified(plain)
    if di is None:
        return plain
    found, rest = _admission(plain, rest, plain.code == 0x14)
    told = None if found.encrypted or found.sealed else dlt645_data.value(di, plain.edition or "", rest)
    return replace(found, di=di, value=told, time=_clock(di, rest))


def _command(admitted: Frame, rest: bytes) -> Frame:
    """What follows password and operator: the relay's word and until when it holds, or events to clear."""
    if admitted.encrypted or not rest:
        return admitted
    if admitted.code == 0x1B and len(rest) >= 4:
        return replace(admitted, di=int.from_bytes(rest[:4], "little"))
    if admitted.code != 0x1C:
        return admitted
    word = RELAY.get(rest[0])
    until = dlt645_data.moment(rest[2:8])
    return replace(
        admitted,
        value=f"{rest[0]:02X} {word}" if word else f"{rest[0]:02X}",
        command=word,
        until=until.strftime("%Y-%m-%dT%H:%M:%S") if until else None,
    )
