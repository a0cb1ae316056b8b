"""Beckhoff ADS over TCP, and the discovery of routers."""

from __future__ import annotations

import json
import struct

from tests.decoders.ot.talk import said, sent, some

from cityguard.decoders.ot.ads import PROTOCOLS

ADS = PROTOCOLS[0]
PLC, PANEL = bytes((5, 13, 117, 96, 1, 1)), bytes((192, 168, 1, 99, 1, 1))


def packet(command: int, body: bytes, *, answers: bool = False, invoke: int = 3, error: int = 0) -> bytes:
    ends = (PANEL, 32_905, PLC, 851) if answers else (PLC, 851, PANEL, 32_905)
    head = struct.pack("<6sH6sHHHIII", *ends, command, 5 if answers else 4, len(body), error, invoke)
    return struct.pack("<HI", 0, len(head) + len(body)) + head + body


READ = packet(2, struct.pack("<III", 0x4020, 8, 4))
VALUE = packet(2, struct.pack("<II", 0, 4) + b"\1\2\3\4", answers=True)


def test_a_read_is_answered_with_the_address_of_its_request() -> None:
    ask, answer = said(ADS, (0, READ), (1, VALUE))
    assert some(ask, "function.code", "function.class", "address", "quantity") == (2, "read", "0x4020:0x8", 4)
    assert some(ask, "unit_id", "transaction_id") == ("851", 3)
    assert some(answer, "address", "value", "status", "unit_id") == ("0x4020:0x8", "01020304", "0x0", "851")
    assert json.loads(ask["event.fields"])["ams.target"] == "5.13.117.96.1.1"


def test_writes_and_state_changes_say_what_they_set() -> None:
    write, stop = said(
        ADS, (0, packet(3, struct.pack("<III", 0x4020, 0, 2) + b"\xff\0") + packet(5, b"\6\0\0\0\0\0\0\0"))
    )
    assert some(write, "function.class", "value") == ("write", "ff00")
    assert some(stop, "function.class", "value") == ("control", "stop,0")


def test_asking_a_handle_by_name_is_no_write() -> None:
    ask = packet(9, struct.pack("<IIII", 0xF003, 0, 4, 6) + b"MAIN.x")
    write = packet(9, struct.pack("<IIII", 0xF081, 1, 4, 6) + bytes(6), invoke=4)
    rows = said(ADS, (0, ask + write))
    assert [row["ot.function.class"] for row in rows] == ["read", "write"]
    assert rows[0]["ot.value"] == "MAIN.x"


def test_an_error_is_told() -> None:
    ask, answer = said(ADS, (0, READ), (1, packet(2, struct.pack("<I", 0x706), answers=True)))
    assert some(answer, "function.class", "status") == ("error", "0x706")
    assert some(ask, "function.class") == ("read",)


def test_packets_come_in_any_pieces_and_behind_garbage() -> None:
    stream = b"\xff\xfe" + READ + READ
    assert len(said(ADS, *((0, bytes((byte,))) for byte in stream))) == 2
    assert ADS.starts(READ, False)
    assert not ADS.starts(READ[:30], True)


def test_adding_a_route_is_programming() -> None:
    (row,) = sent(ADS, (0, b"\x71\x14\x66\x03" + struct.pack("<II", 1, 6) + PANEL + bytes(6)))
    assert some(row, "function.name", "function.class") == ("Add Route", "program")
