"""Omron FINS over UDP and TCP."""

from __future__ import annotations

import struct

import pytest
from tests.decoders.ot.talk import said, sent, some

from cityguard.decoders.ot.omron_fins import PROTOCOLS

FINS = PROTOCOLS[0]


def frame(code: int, body: bytes, *, sid: int = 7, answers: bool = False) -> bytes:
    icf = 0xC0 if answers else 0x80
    return bytes((icf, 0, 2, 0, 5, 0, 0, 6, 0, sid)) + code.to_bytes(2, "big") + body


READ = frame(0x0101, b"\x82\0\x64\0\0\2")
WORDS = frame(0x0101, b"\0\0" + struct.pack(">2H", 11, 22), answers=True)


def test_a_read_is_answered_with_the_address_of_its_request() -> None:
    asked, answer = sent(FINS, (0, READ), (1, WORDS))
    assert some(asked, "function.code", "function.class", "address", "quantity") == (0x0101, "read", "82:100.0", 2)
    assert some(answer, "address", "value", "status", "is_request") == ("82:100.0", "11,22", "0x0000", False)
    assert (answer["source.ip"], answer["source.port"]) == ("10.0.0.2", 9600)


def test_bits_are_read_as_bytes() -> None:
    bits = frame(0x0101, b"\x30\0\x01\x04\0\3"), frame(0x0101, b"\0\0\1\0\1", answers=True)
    assert some(sent(FINS, (0, bits[0]), (1, bits[1]))[1], "address", "value") == ("30:1.4", "1,0,1")


def test_a_write_says_what_is_written() -> None:
    (row,) = sent(FINS, (0, frame(0x0102, b"\x82\0\x0a\0\0\1\x12\x34")))
    assert some(row, "function.name", "function.class", "value") == ("Memory Area Write", "write", "4660")


def test_stopping_the_cpu_is_control_and_clearing_its_program_is_programming() -> None:
    stop, clear = sent(FINS, (0, frame(0x0402, b"\xff\xff")), (0, frame(0x0308, b"\0\0\0\0\0\0", sid=8)))
    assert some(stop, "function.name", "function.class", "address") == ("Stop", "control", "program 65535")
    assert some(clear, "function.class") == ("program",)


def test_an_error_keeps_its_code_and_flags_of_the_cpu_are_none() -> None:
    bad, warned = frame(0x0101, b"\x11\x03", answers=True), frame(0x0101, b"\0\x40" + b"\0\1", answers=True)
    assert some(sent(FINS, (0, READ), (1, bad))[1], "function.class", "status") == ("error", "0x1103")
    assert some(sent(FINS, (0, READ), (1, warned))[1], "function.class") == ("read",)


def test_fins_over_tcp_is_framed_by_its_header_and_may_come_in_any_pieces() -> None:
    node = b"FINS" + struct.pack(">IIII", 12, 0, 0, 0)
    ask = b"FINS" + struct.pack(">III", 8 + len(READ), 2, 0) + READ
    whole = said(FINS, (0, node + ask))
    assert [row["ot.function.name"] for row in whole] == ["FINS/TCP client_address", "Memory Area Read"]
    pieces = [(0, (node + ask)[at : at + 1]) for at in range(len(node + ask))]
    assert [row["ot.function.name"] for row in said(FINS, *pieces)] == [row["ot.function.name"] for row in whole]
    assert FINS.starts(node, False)
    assert not FINS.starts(READ, False)
    assert FINS.starts(READ, True)
    assert not FINS.starts(b"\x80\0\2\0\5\0\0\6\0\7\xee\xee", True)


def test_the_clock_and_a_file_are_told() -> None:
    clock, file = sent(
        FINS,
        (0, frame(0x0702, bytes.fromhex("251121153045"))),
        (0, frame(0x2203, b"\0\0" + b"LADDER  OBJ\0" + bytes(8), sid=9)),
    )
    assert some(clock, "value") == ("2025-11-21T15:30:45",)
    assert some(file, "address", "function.class") == ("LADDER  OBJ", "program")


def test_renaming_a_file_tells_both_names() -> None:
    (row,) = sent(FINS, (0, frame(0x2208, b"\x80\0" + b"LADDER  OBJ\0" + b"OTHER   OBJ\0" + b"\0\0")))
    assert some(row, "address", "value", "function.class") == ("LADDER  OBJ", "OTHER   OBJ", "program")


@pytest.mark.parametrize("code", [0x0304, 0x0305])
def test_the_password_of_a_program_area_is_never_shown(code: int) -> None:
    (row,) = sent(FINS, (0, frame(code, struct.pack(">HBII", 0xFFFF, 1, 0, 0xFFFFFFFF) + b"PASS")))
    assert some(row, "address", "value", "function.class") == ("program 65535:0-4294967295", None, "program")
    assert "PASS" not in str(row) and b"PASS".hex() not in str(row)


@pytest.mark.parametrize("area", [0x06, 0x31, 0x41, 0x46, 0x71, 0x72, 0x73, 0x2F, 0xE0, 0xE8, 0xEC])
def test_bits_and_flags_are_a_byte_each(area: int) -> None:
    ask = frame(0x0101, bytes((area, 0, 1, 0, 0, 3)))
    answer = frame(0x0101, b"\0\0\1\0\1", answers=True)
    assert some(sent(FINS, (0, ask), (1, answer))[1], "value") == ("1,0,1",)


@pytest.mark.parametrize(("area", "value"), [(0xB1, "1,2"), (0xA0, "1,2"), (0xDC, "65538"), (0xC0, "0x00010002")])
def test_words_and_longer_items_have_their_own_size(area: int, value: str) -> None:
    count = value.count(",") + 1
    ask = frame(0x0101, bytes((area, 0, 1, 0, 0, count)))
    answer = frame(0x0101, b"\0\0" + struct.pack(">HH", 1, 2), answers=True)
    assert some(sent(FINS, (0, ask), (1, answer))[1], "value") == (value,)
