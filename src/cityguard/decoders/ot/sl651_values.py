"""Numbers, times and parameters as bodies of SL 651-2014 write them (annexes C and D)."""

from __future__ import annotations

from typing import NamedTuple

from cityguard.decoders.ot import sl651_names as names

Number = int | float | None


class Parameter(NamedTuple):
    """One parameter of the basic configuration or of running: its identifier and what it holds."""

    ident: int
    text: str
    """Its value as a column shows it."""
    channel: str = ""
    """Kind of the channel, for 04-0B."""
    address: str = ""
    port: int | None = None
    password: str = ""
    """For 03; never shown."""


def bcd(raw: bytes) -> int | None:
    """Packed decimal digits; None where a nibble is none."""
    text = raw.hex()
    return int(text) if text.isdigit() else None


def number(raw: bytes, decimals: int) -> Number:
    """An N(length, decimals) element: FF first = negative, all F = no value."""
    if not raw.strip(b"\xff"):
        return None
    negative = len(raw) > 1 and raw[0] == 0xFF
    digits = bcd(raw[1:] if negative else raw)
    if digits is None:
        return None
    if negative:
        digits = -digits
    return digits / 10**decimals if decimals else digits


def moment(raw: bytes) -> str:
    """YYMMDDHHmm or YYMMDDHHmmSS, in digits or packed, as ISO 8601 without a zone; "" = no time."""
    text = raw.hex() if len(raw) < 9 else raw.decode("latin-1")
    if len(text) not in (8, 10, 12) or not text.isascii() or not text.isdigit():
        return ""
    year, month, day, hour, minute, second = (text[at : at + 2] or "00" for at in range(0, 12, 2))
    if not ("01" <= month <= "12" and "01" <= day <= "31" and hour < "24" and minute < "60" and second < "60"):
        return ""
    date = f"20{year}-{month}-{day}T{hour}:{minute}"
    return f"{date}:{second}" if len(text) == 12 else date


def shown(value: object) -> str:
    """A value as text; one that is missing is M, as the ASCII form writes it."""
    if value is None:
        return "M"
    if isinstance(value, list | tuple):
        return " ".join(shown(one) for one in value)
    return str(value)


def bits(raw: bytes, most: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Numbers of what is on and off, counted from 1 at the lowest bit of the first octet."""
    flags = [bool(octet >> bit & 1) for octet in raw for bit in range(8)][:most]
    on = tuple(place for place, flag in enumerate(flags, 1) if flag)
    return on, tuple(place for place, flag in enumerate(flags, 1) if not flag)


def states(word: int) -> list[str]:
    """Names of what the status word tells to be so: faults, the door open, pumps running."""
    return [name for bit, name in enumerate(names.BITS) if bool(word >> bit & 1) != (bit in names.INVERTED)]


def parameter(ident: int, raw: bytes, decimals: int, *, running: bool) -> Parameter:
    """One parameter of functions 40-43.

    Args:
        ident: its identifier.
        raw: its data.
        decimals: of them, as its info octet tells.
        running: of 42 and 43, not of 40 and 41: identifiers mean something else.
    """
    if not running and ident == names.PASSWORD_ID:
        return Parameter(ident, "***", password=raw.hex().upper())
    if not running and ident in names.CHANNEL_IDS and raw:
        return _channel(ident, raw)
    if not running and ident in (0x02, 0x0D, 0x0E):
        return Parameter(ident, raw.hex().upper())
    if not running and ident == 0x0F:  # identification of the communication device: kind and its number in ASCII
        return Parameter(ident, raw[1:].decode("ascii", "replace")[:64])
    if not running and ident == 0x01:
        return Parameter(ident, "/".join(f"{octet:02X}" for octet in raw))
    value = number(raw, decimals)
    if value is None:
        return Parameter(ident, raw.hex().upper() if raw.strip(b"\xff") else "M")
    if not running and ident == 0x0C:
        return Parameter(ident, names.MODES.get(int(value), str(value)))
    return Parameter(ident, str(value))


def _channel(ident: int, raw: bytes) -> Parameter:
    kind = names.CHANNELS.get(raw[0], f"type {raw[0]}")
    digits = raw[1:].hex()
    return channel(ident, kind, digits)


def channel(ident: int, kind: str, digits: str) -> Parameter:
    """A channel by its kind and the digits of its address; IPv4: 12 of the address, 6 of the port."""
    if kind == "off":
        return Parameter(ident, kind, kind)
    parts = [digits[at : at + 3] for at in range(0, 12, 3)]
    if kind == "IPv4" and len(digits) >= 12 and digits.isdigit() and all(int(part) < 256 for part in parts):
        address = ".".join(str(int(part)) for part in parts)
        port = int(digits[12:18]) if digits[12:18] else None
        port = port if port is not None and port < 65_536 else None
        return Parameter(ident, address if port is None else f"{address}:{port}", kind, address, port)
    told = digits.upper().strip("F").lstrip("0") or digits
    return Parameter(ident, f"{kind} {told}"[:64], kind, told[:32])
