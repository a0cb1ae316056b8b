from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.decoders.ot.meter import gbt20999 as frame
from tests.decoders.ot.talk import said, sent, some

from cityguard.decoders.ot import gbt20999, gbt20999_frame

PROTOCOL = gbt20999.PROTOCOLS[0]
FLASH = bytes((18, 1, 0, 1, 1))


def heard(*chunks: tuple[int, bytes]) -> list[dict[str, Any]]:
    return said(PROTOCOL, *chunks, port=5051)


@pytest.mark.parametrize("counts", [True, False])
@pytest.mark.parametrize("new", [True, False])
def test_all_four_forms_of_check_and_length_are_read(counts: bool, new: bool) -> None:
    raw = frame(0x30, FLASH, counts=counts, new=new)
    for row in (*heard((0, raw)), *sent(PROTOCOL, (0, raw), port=5051)):
        assert some(row, "function.code", "function.name", "function.class", "unit_id", "address", "value") == (
            48,
            "set",
            "control",
            "00320402",
            "18.1.0.1",
            "01 yellow_flash",
        )
        assert some(row, "platform_id", "status", "transaction_id") == ("1", None, 1)
        assert row["ot.flags"] == [
            f"crc_variant:{'1005' if new else '1021'}",
            *([] if counts else ["length_without_crc"]),
        ]


def test_escapes_are_resolved_on_streams_and_bare_marks_are_read_by_the_length() -> None:
    item = bytes((9, 1, 7, 1, 0x7E, 0x7D, 0x5C))
    for raw in (frame(0x30, item, escape=True), frame(0x30, item)):
        (row,) = heard((0, raw))
        assert some(row, "address", "value", "function.class", "status") == ("9.1.7.1", "7e7d5c", "write", None)
        (row,) = sent(PROTOCOL, (0, raw), port=5051)
        assert row["ot.value"] == "7e7d5c"


def test_the_weightiest_thing_set_gives_the_class() -> None:
    for items, wanted in (
        ((bytes((9, 1, 1, 1, 0)),), "write"),
        ((bytes((9, 1, 1, 1, 0)), bytes((7, 1, 1, 1, 0))), "program"),
        ((bytes((7, 1, 1, 1, 0)), bytes((17, 4, 1, 1, 0x31))), "control"),
    ):
        (row,) = heard((0, frame(0x30, *items)))
        assert row["ot.function.class"] == wanted
    assert row["ot.value"] == "00,31 flash"


def test_answers_have_the_class_and_address_of_their_request() -> None:
    _, done = heard((0, frame(0x30, FLASH, serial=7)), (1, frame(0x40, serial=7)))
    assert some(done, "function.class", "address", "is_request") == ("control", "18.1.0.1", False)
    _, refused = heard((0, frame(0x30, FLASH, serial=7)), (1, frame(0x41, bytes((18, 1, 0, 1, 0x20)), serial=7)))
    assert some(refused, "function.class", "status") == ("error", "20 read_only")


def test_a_new_host_is_told_as_target() -> None:
    (row,) = heard((0, frame(0x30, bytes((2, 3, 1, 0, 203, 0, 113, 9)))))
    assert some(row, "function.class", "target", "target_ip") == ("program", "203.0.113.9", "203.0.113.9")


def test_a_wrong_check_is_one_only_after_ten_frames_of_a_form() -> None:
    good = frame(0x70)
    bad = good[:-3] + bytes((good[-3] ^ 1,)) + good[-2:]
    first = sent(PROTOCOL, (0, bad), port=5051)
    assert some(first[0], "status", "flags") == (None, ["crc_unknown"])
    told = sent(PROTOCOL, *[(0, good)] * 10, (0, bad), port=5051)
    assert some(told[-1], "status", "function.class") == ("crc_error", "diagnostic")


def test_a_wrong_length_is_told() -> None:
    raw = bytearray(frame(0x30, FLASH)[:-3])
    raw[2] += 1
    body = bytes(raw[1:])
    check = gbt20999_frame._check(body)
    (row,) = heard((0, b"~" + body + check.to_bytes(2, "big") + b"}"))
    assert row["ot.flags"] == ["crc_variant:1005", "length_error"]


def test_frames_are_found_over_borders_and_in_noise() -> None:
    one = frame(0x10, bytes((13, 2, 0, 0)))
    raw = b"\x00~\x00~\x00" + one + b"~" + one
    for cut in range(len(raw)):
        assert len(heard((0, raw[:cut]), (0, raw[cut:]))) == 2


def test_only_frames_with_a_right_check_are_recognised() -> None:
    one = frame(0x10, bytes((13, 2, 0, 0)))
    assert gbt20999.starts(one, False) and gbt20999.within(b"noise" + one)
    assert not gbt20999.starts(one[:-3] + b"\0\0}", False)


@settings(max_examples=80, deadline=None)
@given(st.binary(max_size=200), st.sampled_from(sorted(gbt20999_frame.TYPES)), st.booleans())
def test_any_bytes_raise_nothing(data: bytes, kind: int, escape: bool) -> None:
    gbt20999_frame.read(data)
    gbt20999.starts(data, False)
    gbt20999.within(data)
    item = bytes((2, 3, 1, 0)) + data
    assert len(heard((0, frame(kind, item, escape=escape)))) == 1
    heard((0, data), (1, b"~\0\x13\1\0" + data))
