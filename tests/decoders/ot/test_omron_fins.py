"""Omron FINS over UDP and TCP."""

from __future__ import annotations

import struct

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
