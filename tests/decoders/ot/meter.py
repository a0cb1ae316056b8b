"""Frames of meters and signal controllers, built from the layouts of their protocols."""

from __future__ import annotations

from cityguard.decoders.wire import crc

_X1005 = crc.forward(0x1005)


def dlt645(
    address: str, control: int, data: bytes = b"", *, wake: bytes = b"", sum_by: int = 0, long_by: int = 0
) -> bytes:
    """A frame of DL/T 645; ``data`` without 33h, ``sum_by`` and ``long_by`` put checksum and length wrong."""
    head = b"h" + bytes.fromhex(address)[::-1] + b"h" + bytes((control, len(data) + long_by))
    whole = head + bytes((octet + 0x33) & 0xFF for octet in data)
    return wake + whole + bytes(((sum(whole) + sum_by) & 0xFF, 0x16))


def cjt188(kind: int, address: str, control: int, data: bytes = b"", *, sum_by: int = 0, long_by: int = 0) -> bytes:
    """A frame of CJ/T 188."""
    head = bytes((0x68, kind)) + bytes.fromhex(address)[::-1] + bytes((control, len(data) + long_by))
    whole = head + data
    return whole + bytes(((sum(whole) + sum_by) & 0xFF, 0x16))


def dlt698(server: str, unit: bytes, *, control: int = 0x43, client: int = 0x10, flip: int = 0, form: int = 0) -> bytes:
    """A frame of DL/T 698.45; ``flip`` puts the last check wrong."""
    address = bytes.fromhex(server)[::-1]
    body = bytes((control, form | len(address) - 1)) + address + bytes((client,))
    length = 2 + len(body) + 2 + len(unit) + 2
    head = length.to_bytes(2, "little") + body
    head += crc.x25(head).to_bytes(2, "little")
    if control & 8:
        unit = bytes((octet + 0x33) & 0xFF for octet in unit)
    return b"h" + head + unit + (crc.x25(head + unit) ^ flip).to_bytes(2, "little") + b"\x16"


def gbt20999(
    kind: int, *items: bytes, counts: bool = True, new: bool = True, escape: bool = False, serial: int = 1
) -> bytes:
    """A frame of GB/T 20999: whether the length counts the check, which polynomial, with escapes or not."""
    values = b"".join(bytes((number, len(item))) + item for number, item in enumerate(items, 1))
    rest = bytes((1, 0, 1)) + bytes.fromhex("00320402") + bytes((1, serial, kind, len(items))) + values
    body = (len(rest) + (2 if counts else 0)).to_bytes(2, "big") + rest
    check = 0
    for octet in body:
        check = (check << 8 & 0xFF00) ^ _X1005[check >> 8 ^ octet]
    body += (check if new else crc.ccitt(body)).to_bytes(2, "big")
    if escape:
        body = b"".join(b"\x5c" + bytes((one,)) if one in b"\x7e\x7d\x5c" else bytes((one,)) for one in body)
    return b"~" + body + b"}"
