"""HART-IP sessions and the HART commands in them."""

from __future__ import annotations

import struct

from tests.decoders.ot.talk import said, sent, some

from cityguard.decoders.ot.hart_ip import PROTOCOLS

HART = PROTOCOLS[0]
DEVICE = bytes.fromhex("a64e0000d2")


def message(what: int, body: bytes = b"", *, kind: int = 0, status: int = 0, sequence: int = 2) -> bytes:
    return struct.pack(">4B2H", 1, kind, what, status, sequence, 8 + len(body)) + body


def token(command: int, data: bytes = b"", *, answers: bool = False, short: int | None = None) -> bytes:
    address = bytes((0x80 | short,)) if short is not None else DEVICE
    delimiter = (0x06 if answers else 0x02) | (0 if short is not None else 0x80)
    frame = bytes((delimiter,)) + address + bytes((command, len(data))) + data
    check = 0
    for byte in frame:
        check ^= byte
    return frame + bytes((check,))


def test_a_session_is_opened_and_closed() -> None:
    opened, closed = sent(HART, (0, message(0, b"\1\0\0\x75\x30")), (0, message(1, sequence=3)))
    assert some(opened, "function.name", "value", "function.code") == ("Session Initiate", "primary,30000", None)
    assert some(closed, "function.name", "is_request") == ("Session Close", True)


def test_a_command_and_its_answer_know_the_device() -> None:
    values = b"\0\0" + struct.pack(">fBf", 12.5, 0x20, 3.25)
    ask, answer = sent(HART, (0, message(3, token(3))), (1, message(3, token(3, values, answers=True), kind=1)))
    assert some(ask, "function.code", "function.class", "address") == (3, "read", "264e0000d2")
    assert some(answer, "function.code", "value", "status", "is_request") == (3, "12.5,3.25", "0", False)


def test_writes_resets_and_locks_are_told_apart() -> None:
    said_ = sent(HART, *((0, message(3, token(command, b"\1", short=5))) for command in (6, 17, 42, 71, 41)))
    assert [row["ot.function.class"] for row in said_] == ["program", "write", "control", "control", "diagnostic"]
    assert {row["ot.unit_id"] for row in said_} == {"5"}


def test_a_refused_command_is_an_error() -> None:
    (row,) = sent(HART, (1, message(3, token(35, b"\x07\0", answers=True), kind=1)))
    assert some(row, "function.class", "status") == ("error", "7")
    (row,) = sent(HART, (1, message(3, b"", kind=1, status=9)))
    assert some(row, "function.class", "status") == ("error", "9")


def test_commands_beyond_a_byte_and_those_of_a_direct_pdu() -> None:
    (extended,) = sent(HART, (0, message(3, token(31, b"\x02\x01"))))
    assert some(extended, "function.code", "function.name") == (513, "Write Country Code")
    (direct,) = sent(HART, (0, message(4, b"\0\0" + struct.pack(">HB", 38, 0))))
    assert some(direct, "function.code", "function.class") == (38, "control")


def test_a_stream_is_found_again_after_what_does_not_fit() -> None:
    stream = b"\x09\x09" + message(2) + b"\x09\x07" + message(2, sequence=3)
    assert [row["ot.transaction_id"] for row in said(HART, (0, stream))] == [2, 3]
    assert len(said(HART, *((0, bytes((byte,))) for byte in message(2)))) == 1


def test_a_token_that_breaks_off_is_flagged() -> None:
    (row,) = sent(HART, (0, message(3, b"\x82\xa6")))
    assert row["event.flags"] == ["truncated"]
