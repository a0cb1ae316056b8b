"""BSAP: serial frames in datagrams, and BSAP/IP."""

from __future__ import annotations

import struct

from tests.decoders.ot.talk import sent, some

from cityguard.decoders.ot.bsap import PROTOCOLS
from cityguard.decoders.wire import crc

BSAP = PROTOCOLS[0]


def serial(inner: bytes) -> bytes:
    check = (crc.x25(inner + b"\x03") ^ 0xFFFF).to_bytes(2, "little")
    return b"\x10\x02" + inner.replace(b"\x10", b"\x10\x10") + b"\x10\x03" + check


def local(target: int, source: int, sequence: int, body: bytes) -> bytes:
    return serial(struct.pack("<BBBHBB", 1, 0x20, target, sequence, source, 0) + body)


def ip(function: int, *messages: bytes, sent: int = 9) -> bytes:
    head = struct.pack("<HHHII", 14, len(messages), function, sent, 8)
    return head + b"".join(struct.pack("<I", 4 + len(one)) + one for one in messages)


ASK = local(0xA0, 3, 77, b"\x04\x01\x40\x0f\x02@GV.A.\0@GV.B.\0")


def test_names_are_read_and_answered() -> None:
    ask, answer = sent(BSAP, (0, ASK), (1, local(3, 0xA0, 77, b"\0\2\1\2\3\4")))
    assert some(ask, "function.code", "function.name", "address") == (4, "Read Signal by Name", "@GV.A.,@GV.B.")
    assert some(ask, "quantity", "unit_id", "transaction_id") == (2, "1", 77)
    assert some(answer, "function.code", "address", "value", "status") == (4, "@GV.A.,@GV.B.", "01020304", "0x00")
    assert some(answer, "is_request") == (False,)


def test_an_error_in_the_answer_is_one() -> None:
    rows = sent(BSAP, (0, ASK), (1, local(3, 0xA0, 77, b"\x80\0")))
    assert some(rows[1], "function.class", "status") == ("error", "0x80")


def test_alarms_and_downloads_are_told_by_their_function() -> None:
    alarm, load = sent(BSAP, (0, local(0xA8, 3, 1, b"\1")), (0, local(0x78, 3, 2, b"\1")))
    assert some(alarm, "function.name", "function.class") == ("Alarm Acknowledge", "control")
    assert some(load, "function.class") == ("program",)


def test_messages_over_ip_give_a_row_each() -> None:
    write = struct.pack("<BIBB", 12, 9, 0xA0, 0) + b"\x84\x03\x01@GV.P.\0\x0a"
    read = struct.pack("<BIBB", 12, 10, 0xA0, 0) + b"\x04\x03\xd0\x01\x0f\x01@GV.Q.\0"
    one, two = sent(BSAP, (0, ip(6, write, read)))
    assert some(one, "function.class", "transaction_id") == ("write", 9)
    assert some(two, "address", "quantity") == ("@GV.Q.", 1)


def test_a_poll_has_no_function() -> None:
    (row,) = sent(BSAP, (0, struct.pack("<HHHII", 14, 0, 0, 0, 5)))
    assert some(row, "function.name", "function.code") == ("Poll", None)


def test_a_serial_frame_is_known_anywhere_by_its_check() -> None:
    assert BSAP.starts(ASK, False)
    assert not BSAP.starts(ASK[:-1] + b"\0", False)
    assert not BSAP.starts(ip(6), False)
    assert BSAP.starts(ip(6, bytes(20)), True)
