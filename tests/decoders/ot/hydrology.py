"""Frames of SL 651 and SZY206 built by hand."""

from __future__ import annotations

from cityguard.decoders.ot import szy206_frame
from cityguard.decoders.wire import crc

STATION = "0099010001"
SENT = "261102090003"


def body(rest: str = "", *, serial: int = 8, sent: str = SENT) -> bytes:
    """Serial number, time sent, and what follows in hexadecimal."""
    return serial.to_bytes(2, "big") + bytes.fromhex(sent) + bytes.fromhex(rest)


def report(
    elements: str, *, station: str = STATION, observed: str = "2611020900", kind: str = "48", **more: str
) -> bytes:
    """The body of a report."""
    sent = more.get("sent", SENT)
    return body(f"f1f1{station}{kind}f0f0{observed}{elements}", sent=sent)


def frame(
    code: int, content: bytes, *, up: bool = True, end: int | None = None, station: str = STATION,
    password: str = "5a3c", part: tuple[int, int] | None = None, length: int | None = None, wrong: int = 0,
) -> bytes:  # fmt: skip
    """A HEX/BCD frame; ``part`` = total and number of several packets."""
    group = b"" if part is None else (part[0] << 12 | part[1]).to_bytes(3, "big")
    many = len(group) + len(content) if length is None else length
    way = many | (0 if up else 0x8000)
    addresses = bytes.fromhex("12" + station if up else station + "12")
    head = b"\x7e\x7e" + addresses + bytes.fromhex(password) + bytes([code]) + way.to_bytes(2, "big")
    last = end if end is not None else 3 if up else 5
    whole = head + (b"\x02" if part is None else b"\x16") + group + content + bytes([last])
    return whole + (crc.arc(whole, 0xFFFF) ^ wrong).to_bytes(2, "big")


def letters(
    code: int, text: str, *, up: bool = True, end: int | None = None, part: tuple[int, int] | None = None,
    length: int | None = None,
) -> bytes:  # fmt: skip
    """An ASCII frame."""
    group = "" if part is None else f"{part[0]:03X}{part[1]:03X}"
    many = len(group) + len(text) if length is None else length
    addresses = "12" + STATION if up else STATION + "12"
    head = f"{addresses}5A3C{code:02X}{'0' if up else '8'}{many:03X}".encode()
    last = end if end is not None else 3 if up else 5
    whole = b"\x01" + head + (b"\x02" if part is None else b"\x16") + (group + text).encode() + bytes([last])
    return whole + f"{crc.arc(whole, 0xFFFF):04X}".encode()


def resource(
    afn: int, content: str = "", *, up: bool = False, kind: int = 0, station: str = "3204021700", **more: int
) -> bytes:
    """A frame of SZY206; ``wrong`` is added to its check, ``divs`` splits it, ``told`` is another length."""
    control = (0x80 if up else 0x30) | kind | (0x40 if "divs" in more else 0)
    split = bytes([more["divs"]]) if "divs" in more else b""
    inner = bytes([control]) + split + bytes.fromhex(station) + bytes([afn]) + bytes.fromhex(content)
    check = (szy206_frame.crc8(inner) + more.get("wrong", 0)) & 0xFF
    told = more.get("told", len(inner))
    return bytes([0x68, told, 0x68]) + inner + bytes([check, 0x16])
