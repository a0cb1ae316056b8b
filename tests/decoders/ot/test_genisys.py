"""GENISYS messages: escapes, checks, pairs of data."""

from __future__ import annotations

from tests.decoders.ot.talk import said, some

from cityguard.decoders.ot.genisys import PROTOCOLS
from cityguard.decoders.wire import crc

GENISYS = PROTOCOLS[0]


def message(header: int, station: int, data: bytes = b"") -> bytes:
    body = bytes((header, station)) + data
    body += crc.arc(body, 0xFFFF).to_bytes(2, "little")
    escaped = b"".join(bytes((0xF0, byte & 0x0F)) if byte >= 0xF0 else bytes((byte,)) for byte in body[1:])
    return bytes((header,)) + escaped + b"\xf6"


ACKNOWLEDGE = b"\xf1\x01\xf6"


def test_controls_are_told_with_their_bytes() -> None:
    control, back, run = said(
        GENISYS,
        (0, message(0xFC, 1, b"\x02\xf6")),
        (1, message(0xF3, 1, b"\x02\xf6")),
        (0, message(0xFE, 1)),
    )
    assert some(control, "function.name", "function.class", "unit_id") == ("Control Data", "control", "1")
    assert some(control, "address", "value", "quantity") == ("2", "246", 1)
    assert some(back, "message.type", "is_request") == ("response", False)
    assert some(run, "function.name") == ("Execute Controls",)


def test_indications_are_reads() -> None:
    poll, data, done = said(GENISYS, (0, message(0xFB, 9)), (1, message(0xF2, 9, b"\0\1\1\2") + ACKNOWLEDGE))
    assert some(poll, "function.code", "unit_id") == (0xFB, "9")
    assert some(data, "function.class", "address", "value") == ("read", "0,1", "1,2")
    assert some(done, "function.name", "value") == ("Acknowledge Client", None)


def test_a_wrong_check_is_flagged() -> None:
    bad = bytearray(message(0xFC, 1, b"\2\1"))
    bad[3] ^= 4
    (row,) = said(GENISYS, (0, bytes(bad)))
    assert row["event.flags"] == ["bad_checksum"]


def test_messages_come_in_any_pieces_and_are_known_by_their_check() -> None:
    stream = b"\0\x11" + message(0xFC, 1, b"\2\xf1") + message(0xFB, 1)
    assert len(said(GENISYS, *((0, bytes((byte,))) for byte in stream))) == 2
    assert GENISYS.starts(message(0xFB, 1), False)
    assert not GENISYS.starts(ACKNOWLEDGE, False)
    assert GENISYS.starts(ACKNOWLEDGE, True)
    assert not GENISYS.starts(b"\xfb\1\2\3\xf6", True)
