"""MELSEC communication: binary 3E and 4E, ASCII, and MELSOFT's own frames."""

from __future__ import annotations

import struct

from tests.decoders.ot.talk import said, sent, some

from cityguard.decoders.ot.melsec import PROTOCOLS

MELSEC = PROTOCOLS[0]
ROUTE = struct.pack("<BBHB", 0, 0xFF, 0x03FF, 0)


def request(command: int, sub: int, body: bytes, *, serial: int | None = None) -> bytes:
    head = b"\x50\0" if serial is None else b"\x54\0" + struct.pack("<HH", serial, 0)
    inner = struct.pack("<HHH", 16, command, sub) + body
    return head + ROUTE + struct.pack("<H", len(inner)) + inner


def response(body: bytes, *, end: int = 0, serial: int | None = None) -> bytes:
    head = b"\xd0\0" if serial is None else b"\xd4\0" + struct.pack("<HH", serial, 0)
    inner = struct.pack("<H", end) + body
    return head + ROUTE + struct.pack("<H", len(inner)) + inner


READ = request(0x0401, 0, b"\x64\0\0\xa8\2\0")


def test_a_batch_read_and_its_values() -> None:
    ask, answer = said(MELSEC, (0, READ), (1, response(struct.pack("<2H", 300, 4))))
    assert some(ask, "function.code", "function.class", "address", "quantity") == (0x0401, "read", "0000:D100", 2)
    assert some(answer, "address", "value", "status", "is_request") == ("0000:D100", "300,4", "0x0000", False)


def test_bits_are_two_in_a_byte() -> None:
    ask = request(0x1401, 1, b"\x10\0\0\x9d\4\0\x11\x01")
    (row,) = said(MELSEC, (0, ask))
    assert some(row, "address", "value", "function.class") == ("0001:Y10", "1,1,0,1", "write")


def test_stopping_and_resetting_are_control_and_files_are_programming() -> None:
    rows = said(MELSEC, (0, b"".join(request(code, 0, b"\1\0") for code in (0x1002, 0x1006, 0x1829))))
    assert [row["ot.function.class"] for row in rows] == ["control", "control", "program"]


def test_a_serial_number_pairs_frames_of_4e() -> None:
    rows = sent(
        MELSEC,
        (0, request(0x0101, 0, b"", serial=5)),
        (1, response(b"Q03UDECPU       \x68\2", serial=5)),
        (1, response(b"", end=0xC059, serial=6)),
    )
    assert some(rows[1], "function.code", "value", "transaction_id") == (0x0101, "Q03UDECPU", 5)
    assert some(rows[2], "function.class", "status", "function.code") == ("error", "0xc059", None)


def test_the_same_in_ascii() -> None:
    inner = "0010" + "0401" + "0000" + "D*000100" + "0002"
    frame = f"500000FF03FF00{len(inner):04X}{inner}".encode()
    (row,) = said(MELSEC, (0, frame))
    assert some(row, "function.code", "address", "quantity") == (0x0401, "0000:D100", 2)
    assert MELSEC.starts(frame, False)


def test_melsoft_frames_are_named_and_not_read() -> None:
    (row,) = sent(MELSEC, (0, b"\x5a\0\0\1"), port=5560)
    assert some(row, "message.type", "function.code") == ("melsoft-search", None)
    assert row["event.flags"] == ["undecoded"]


def test_frames_come_in_any_pieces_and_unknown_commands_start_none() -> None:
    assert len(said(MELSEC, *((0, bytes((byte,))) for byte in b"\xee" + READ + READ))) == 2
    assert MELSEC.starts(READ, False)
    assert not MELSEC.starts(request(0x7777, 0, b""), True)
    assert not MELSEC.starts(b"\x50\0\0\0\0\0\0\0\0", True)
