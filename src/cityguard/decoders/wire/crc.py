"""Check sums of field buses, by table."""

from __future__ import annotations

import binascii


def reflected(polynomial: int) -> tuple[int, ...]:
    """The table of a 16-bit CRC that shifts right, for its reversed polynomial."""
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (polynomial if value & 1 else 0)
        table.append(value)
    return tuple(table)


def forward(polynomial: int) -> tuple[int, ...]:
    """The table of a 16-bit CRC that shifts left."""
    table = []
    for byte in range(256):
        value = byte << 8
        for _ in range(8):
            value = (value << 1 ^ (polynomial if value & 0x8000 else 0)) & 0xFFFF
        table.append(value)
    return tuple(table)


_ARC, _X25, _DNP = reflected(0xA001), reflected(0x8408), reflected(0xA6BC)


def arc(data: bytes, start: int = 0) -> int:
    """CRC-16/ARC; with ``start`` 0xFFFF that of Modbus RTU."""
    value = start
    for byte in data:
        value = value >> 8 ^ _ARC[(value ^ byte) & 0xFF]
    return value


def modbus(data: bytes) -> int:
    """The check of Modbus on serial lines (V1.02, 6.2.2), ROC Plus and GENISYS; its low octet comes first."""
    return arc(data, 0xFFFF)


def hj212(data: bytes) -> int:
    """The check of HJ 212 (2017, annex A): the register's low half is dropped before each octet, so that eight bits of
    strength are left.
    """
    value = 0xFFFF
    for byte in data:
        value = _ARC[value >> 8 ^ byte]
    return value


def dnp(data: bytes) -> int:
    """The check of a DNP3 block (IEEE 1815, 9.2.4.2)."""
    value = 0
    for byte in data:
        value = value >> 8 ^ _DNP[(value ^ byte) & 0xFF]
    return value ^ 0xFFFF


def ccitt(data: bytes, start: int = 0xFFFF) -> int:
    """CRC-CCITT, most significant bit first."""
    return binascii.crc_hqx(data, start)


def x25(data: bytes) -> int:
    """The frame check sequence of HDLC (ISO/IEC 13239)."""
    value = 0xFFFF
    for byte in data:
        value = value >> 8 ^ _X25[(value ^ byte) & 0xFF]
    return value ^ 0xFFFF


def parity(data: bytes) -> int:
    """All octets combined by exclusive or: folded in halves."""
    size = 1 << (len(data) - 1).bit_length() if data else 1
    value = int.from_bytes(data, "big")
    while size > 1:
        size >>= 1
        value = (value >> 8 * size) ^ (value & (1 << 8 * size) - 1)
    return value
