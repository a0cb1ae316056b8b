"""ROC Plus messages."""

from __future__ import annotations

from tests.decoders.ot.talk import said, sent, some

from cityguard.decoders.ot.roc_plus import PROTOCOLS
from cityguard.decoders.wire import crc

ROC = PROTOCOLS[0]


def message(code: int, data: bytes = b"", *, answers: bool = False) -> bytes:
    ends = b"\3\4\1\2" if answers else b"\1\2\3\4"
    raw = ends + bytes((code, len(data))) + data
    return raw + crc.arc(raw, 0xFFFF).to_bytes(2, "little")


def test_parameters_are_read_and_written_at_their_points() -> None:
    read, write = said(ROC, (0, message(180, b"\2\x65\0\1\x67\1\2") + message(181, b"\1\x66\0\3\x01")))
    assert some(read, "function.class", "quantity", "address") == ("read", 2, "101.0.1,103.1.2")
    assert some(write, "function.class", "address", "value", "unit_id") == ("write", "102.0.3", "01", "1")


def test_the_clock_a_login_a_reset_and_a_file() -> None:
    rows = sent(
        ROC,
        (0, message(8, b"\x1e\x2d\x0c\x0f\x03\xe8\x07")),
        (0, message(17, b"LOI\x01\x02")),
        (0, message(148)),
        (0, message(203, b"\1")),
    )
    assert [row["ot.function.class"] for row in rows] == ["write", "control", "control", "program"]
    assert some(rows[0], "value") == ("2024-03-15T12:45:30",)
    assert some(rows[1], "value") == ("LOI",)
    assert "0102" not in str(rows[1])  # the password behind the operator


def test_an_answer_comes_from_the_device_and_an_error_is_one() -> None:
    answer, error = said(ROC, (1, message(7, bytes(8), answers=True) + message(255, b"\x0d\0", answers=True)))
    assert some(answer, "is_request", "unit_id") == (False, "1")
    assert some(error, "function.class", "status") == ("error", "13")


def test_a_message_needs_a_known_opcode_and_the_right_check() -> None:
    good = message(6)
    assert ROC.starts(good, True)
    assert not ROC.starts(good, False)
    assert not ROC.starts(good[:-1] + b"\0", True)
    assert not ROC.starts(message(99), True)
    assert len(said(ROC, *((0, bytes((byte,))) for byte in b"\7" + good + good))) == 2
