from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from tests.decoders.ot.meter import dlt645 as frame
from tests.decoders.ot.talk import START, ends, rows, said, sent, some

from cityguard.decoders.ot import dlt645, dlt645_data, dlt645_frame
from cityguard.decoders.protocol import Out
from cityguard.decoders.stream import Moment

METER = "990126000101"
PROTOCOL = dlt645.PROTOCOLS[0]
VOLTAGE = bytes.fromhex("02010100")[::-1]
ADMITTED = bytes.fromhex("02000000") + bytes.fromhex("04030201")


def heard(*chunks: tuple[int, bytes]) -> list[dict[str, Any]]:
    return said(PROTOCOL, *chunks, port=10001)


def test_a_read_and_its_answer_are_two_rows_with_the_value_as_the_meter_shows_it() -> None:
    asked, told = heard((0, frame(METER, 0x11, VOLTAGE)), (1, frame(METER, 0x91, VOLTAGE + b"\x98\x22")))
    names = ("function.code", "function.name", "function.class", "unit_id", "address", "value", "is_request", "edition")
    assert some(asked, *names) == (17, "read_data", "read", METER, "02010100", None, True, "2007")
    assert some(told, *names) == (17, "read_data", "read", METER, "02010100", "229.8", False, "2007")


def test_numbers_are_read_by_their_identifier() -> None:
    cases = {
        ("00010000", "78563412"): "123456.78",
        ("00000000", "78563492"): "-123456.78",
        ("02020100", "005080"): "-5.000",
        ("02030000", "563412"): "12.3456",
        ("02060000", "9908"): "0.899",
        ("02800002", "9849"): "49.98",
        ("02010100", "9a22"): None,
        ("01010000", "563412" + "1509021126"): "12.3456 2026-11-02T09:15",
        ("0400010C", "00150901021126"): "2026-11-02T09:15:00",
        ("04000101", "01021126"): "2026-11-02 weekday 1",
        ("04000102", "001509"): "09:15:00",
        ("04000501", "0180"): "8001",
        ("04000401", "010100260199"): METER,
        ("04000C01", "00000000"): None,
        ("0201FF00", "982299229722"): "229.8,229.9,229.7",
        ("03110001", "0102"): "0102",
        ("02010100", ""): None,
    }
    for (di, data), wanted in cases.items():
        assert dlt645_data.value(int(di, 16), "2007", bytes.fromhex(data)) == wanted, di
    assert dlt645_data.value(0x9010, "1997", bytes.fromhex("78563412")) == "123456.78"
    assert dlt645_data.value(0xB611, "1997", bytes.fromhex("2002")) == "220"


def test_a_broadcast_of_the_time_tells_how_far_it_is_off() -> None:
    (row,) = heard((0, frame("999999999999", 0x08, bytes.fromhex("001509021126"))))
    assert some(row, "function.name", "function.class", "value", "flags", "address") == (
        "broadcast_time",
        "write",
        "2026-11-02T09:15:00",
        ["broadcast"],
        None,
    )
    assert row["ot.time"] == datetime(2026, 11, 2, 1, 15, tzinfo=UTC)
    assert row["ot.time_offset"] == datetime(2026, 11, 2, 1, 15, tzinfo=UTC).timestamp() - (START // 10**9)


def test_a_password_is_judged_and_stays_out_of_the_row() -> None:
    data = bytes.fromhex("04000101")[::-1] + bytes.fromhex("02563412") + bytes.fromhex("0403020101021126")
    (row,) = heard((0, frame(METER, 0x14, data)))
    assert some(row, "function.name", "address", "value", "password.verdict", "password.length") == (
        "write_data",
        "04000101",
        "2026-11-02 weekday 1",
        "default",
        6,
    )
    assert "123456" not in str({name: one for name, one in row.items() if name != "ot.password.hash"})
    assert dlt645_frame.read(frame(METER, 0x14, data)).password == "123456"  # type: ignore[union-attr]


def test_what_holds_a_password_is_never_shown() -> None:
    di = bytes.fromhex("04000C05")[::-1]
    chunks = [
        (0, frame(METER, 0x14, di + ADMITTED + bytes.fromhex("02654321"))),
        (1, frame(METER, 0x91, di + bytes.fromhex("02654321"))),
        (0, frame(METER, 0x18, di + bytes.fromhex("02000000") + bytes.fromhex("02654321"))),
        (1, frame(METER, 0x98, bytes.fromhex("02654321"))),
        (0, frame(METER, 0x03, bytes.fromhex("070000ff")[::-1] + b"\x65\x43\x21" * 8)),
    ]
    for row in heard(*chunks):
        assert row["ot.value"] is None
    for code, head in ((0x18, di), (0x0F, b"")):
        (changed,) = heard((0, frame(METER, code, head + bytes.fromhex("0256739102111111"))))
        assert some(changed, "password.verdict", "password.length") == ("default", 6)


def test_the_relay_s_word_and_until_when_it_holds() -> None:
    (row,) = heard((0, frame(METER, 0x1C, ADMITTED + b"\x1a\x00" + bytes.fromhex("000010021126"))))
    assert some(row, "function.name", "function.class", "value") == ("relay_control", "control", "1A trip")
    assert '"until": "2026-11-02T10:00:00"' in row["event.fields"]
    sealed = bytes.fromhex("98000000") + bytes.fromhex("04030201") + bytes(20)
    (row,) = heard((0, frame(METER, 0x1C, sealed)))
    assert some(row, "value", "encrypted", "password.verdict") == (None, True, None)


def test_refusals_are_errors_with_the_address_of_what_was_refused() -> None:
    data = bytes.fromhex("04000101")[::-1] + ADMITTED + bytes.fromhex("01021126")
    _, refused = heard((0, frame(METER, 0x14, data)), (1, frame(METER, 0xD4, b"\x04")))
    assert some(refused, "function.class", "status", "address", "is_request") == ("error", "04", "04000101", False)
    assert '"errors": ["password_or_right"]' in refused["event.fields"]


def test_a_confirmed_write_has_the_address_of_its_request() -> None:
    data = bytes.fromhex("04000101")[::-1] + ADMITTED + bytes.fromhex("01021126")
    told = heard((0, frame(METER, 0x14, data)), (1, frame(METER, 0x94)), (1, frame("990126000102", 0x94)))
    assert [row["ot.address"] for row in told] == ["04000101", "04000101", None]


def test_both_editions_have_their_own_codes() -> None:
    old = heard(
        (0, frame(METER, 0x01, b"\x10\x90")),
        (1, frame(METER, 0x81, b"\x10\x90" + bytes.fromhex("78563412"))),
        (0, frame(METER, 0x0F, bytes(8))),
        (0, frame(METER, 0x03)),
        (0, frame(METER, 0x10, bytes(4))),
    )
    wanted = [
        ("read_data", "read", "9010", None),
        ("read_data", "read", "9010", "123456.78"),
        ("change_password", "write", None, None),
        ("read_again", "read", None, None),
        ("demand_clear", "control", None, None),
    ]
    assert [some(row, "function.name", "function.class", "address", "value") for row in old] == wanted
    assert {row["ot.edition"] for row in old} == {"1997"}


def test_the_other_commands_have_their_names_and_classes() -> None:
    for code, data, wanted in (
        (0x12, VOLTAGE + b"\x01", ("read_more", "read", "02010100", None)),
        (0x13, b"", ("read_address", "read", None, None)),
        (0x15, bytes.fromhex("990126000109")[::-1], ("write_address", "program", None, "990126000109")),
        (0x16, bytes.fromhex("99999999"), ("freeze", "write", None, "99999999")),
        (0x17, b"\x08", ("change_baud", "write", None, "2400")),
        (0x19, ADMITTED, ("demand_clear", "control", None, None)),
        (0x1A, ADMITTED, ("meter_clear", "control", None, None)),
        (0x1B, ADMITTED + b"\xff" * 4, ("event_clear", "control", "FFFFFFFF", None)),
        (0x1D, b"\x02", ("multifunction_output", "control", None, "2")),
    ):
        (row,) = heard((0, frame("AAAAAAAAAAAA", code, data)))
        assert some(row, "function.name", "function.class", "address", "value") == wanted
        assert row["ot.flags"] == ["wildcard"]


def test_a_wrong_sum_is_told_and_the_class_stays() -> None:
    (row,) = heard((0, frame(METER, 0x11, VOLTAGE, sum_by=1)))
    assert some(row, "status", "function.class", "unit_id") == ("crc_error", "read", METER)


@pytest.mark.parametrize("by", [-2, 1, 40])
def test_a_wrong_length_is_told_where_the_sum_finds_the_end(by: int) -> None:
    wrong, right = frame(METER, 0x11, VOLTAGE, long_by=by), frame(METER, 0x11, VOLTAGE)
    assert dlt645.starts(wrong, False) and dlt645.within(wrong)
    for raw in (wrong, wrong + right, right + wrong):
        told = heard((0, raw))
        assert [row["ot.function.name"] for row in told] == ["read_data"] * (len(raw) // len(right))
        assert sum(row["ot.flags"] == ["length_error"] for row in told if "ot.flags" in row) == 1
    assert len(sent(PROTOCOL, (0, wrong), port=9000)) == 1
    assert not dlt645.within(b"noise" + wrong) and dlt645.within(b"noise\xfe\xfe" + wrong)


def test_frames_are_found_among_noise_and_over_borders() -> None:
    one, two = frame(METER, 0x11, VOLTAGE, wake=b"\xfe" * 4), frame(METER, 0x91, VOLTAGE + b"\x98\x22")
    raw = b"\x00\xffh\x01" + one + b"hhh" + two + one + b"\x13"
    whole = heard((0, raw))
    assert [row["ot.value"] for row in whole] == [None, "229.8", None]
    for cut in range(len(raw)):
        parts = heard((0, raw[:cut]), (0, raw[cut:]))
        assert [row["ot.value"] for row in sorted(parts, key=lambda row: row["log.offset"])] == [None, "229.8", None]


def test_a_frame_behind_a_false_beginning_is_found_when_the_connection_ends() -> None:
    false = b"h" + bytes(6) + b"h\x11\xff"
    (row,) = heard((0, false + frame(METER, 0x11, VOLTAGE)))
    assert row["ot.unit_id"] == METER


def test_a_stream_of_noise_is_given_up_with_one_row() -> None:
    noise = (frame(METER, 0x11, VOLTAGE) + b"\x00") * 1_200
    told = heard((0, noise))
    assert [row["ot.status"] for row in told if row.get("ot.status")] == ["malformed"]
    assert len(told) == 1_001 + 1


def test_noise_in_small_pieces_is_one_run() -> None:
    told = heard(*[(0, b"\x00\x01")] * 1_500, (0, frame(METER, 0x11, VOLTAGE)))
    assert [row["ot.function.name"] for row in told] == ["read_data"]


def test_noise_between_segments_of_one_frame_each_is_a_run_every_time() -> None:
    told = heard(*[(0, frame(METER, 0x11, VOLTAGE)), (0, b"\x00")] * 1_200)
    assert [row["ot.status"] for row in told if row.get("ot.status")] == ["malformed"]


def test_datagrams_hold_one_or_more_frames() -> None:
    one = frame(METER, 0x11, VOLTAGE, wake=b"\xfe")
    told = sent(PROTOCOL, (0, one + one), (1, frame(METER, 0x91, VOLTAGE + b"\x98\x22")), port=9000)
    assert [row["ot.value"] for row in told] == [None, None, "229.8"]
    assert not dlt645.Dlt645(Out("dlt645")).datagram(b"\x00\x01", ends(9000, 17), Moment(1, START))


def test_only_sound_frames_are_recognised() -> None:
    one = frame(METER, 0x11, VOLTAGE, wake=b"\xfe\xfe")
    assert dlt645.starts(one, False)
    assert not dlt645.starts(one[:-1], False)
    assert not dlt645.starts(one[:5] + b"\x99" + one[6:] + b"\x00", False)
    assert dlt645.within(b"noise" + one + b"noise")
    assert not dlt645.within(b"noise" + frame(METER, 0x11, VOLTAGE, sum_by=1) + b"noise")
    assert dlt645.within(b"noise" + frame(METER, 0x11, VOLTAGE, wake=b"\xfe" * 4, sum_by=1) + b"noise")


meters = st.sampled_from([METER, "000000000001", "AAAAAAAAAAAA", "999999999999", "123456789012"])
dis = st.sampled_from(
    [
        0x02010100,
        0x02020100,
        0x00010000,
        0x00000000,
        0x02800002,
        0x0201FF00,
        0x0202FF00,
        0x0001FF00,
        0x04000101,
        0x04000C01,
    ]
)


@st.composite
def frames(draw: st.DrawFn) -> bytes:
    """Reads, answers, and everything else, some of it wrong."""
    control = draw(st.sampled_from([0x11, 0x91, 0xB1, 0xD1, 0x14, 0x94, 0xD4, 0x08, 0x1C, 0x01, 0x81]))
    di = draw(dis).to_bytes(4, "little")
    bcd = st.integers(0, 99).map(lambda number: int(str(number), 16))
    rest = bytes(draw(st.lists(st.one_of(bcd, st.integers(0, 255)), max_size=6)))
    number = bytes(draw(st.lists(bcd, min_size=4, max_size=4)))
    data = draw(
        st.sampled_from([di + rest, di + number[:2], di + number[:3], di + number * 5, di + number[:3] * 3, di, rest])
    )
    wrong = draw(st.sampled_from([(0, 0), (0, 0), (0, 0), (1, 0), (0, 1), (0, -1)]))
    return frame(draw(meters), control, data, sum_by=wrong[0], long_by=max(wrong[1], -len(data)))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), frames(), st.booleans()), min_size=1, max_size=30))
def test_the_columns_are_those_of_the_frames_read_one_by_one_wherever_pieces_end(
    parts: list[tuple[int, bytes, bool]],
) -> None:
    tables = []
    for fast, pieces in ((False, 7), (True, 7), (True, 1_000)):
        out = Out("dlt645")
        speaker = dlt645.Dlt645(out, fast=fast)
        parsers = [speaker.stream(ends(10001)), speaker.stream(ends(10002))]
        for number, (side, data, other) in enumerate(parts, 1):
            parsers[other].feed(side, data, Moment(number, START + number * 10**9))
            if number % pieces == 0:  # a piece is over
                speaker.expire(0)
        for parser in parsers:
            parser.close()
        speaker.close()
        every = pl.concat([table for _, table in out.take()], how="diagonal")
        columns = sorted(name for name in every.columns if every[name].null_count() < every.height)
        tables.append(every.select(columns).sort("log.offset"))
    assert_frame_equal(tables[0], tables[1])
    assert_frame_equal(tables[1], tables[2])


def test_an_answer_too_short_for_an_identifier_is_no_number() -> None:
    _, told = heard((0, frame(METER, 0x11, VOLTAGE)), (1, frame(METER, 0x91, b"\0\0\0")))
    assert some(told, "value", "address") == (None, "02010100")


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_raise_nothing(data: bytes) -> None:
    dlt645_frame.read(data)
    dlt645_frame.read(b"h" + bytes(6) + b"h" + data)
    dlt645.starts(data, False)
    dlt645.within(data)
    heard((0, data), (1, b"h" + data), (0, b"\x16"))
    assert isinstance(rows(Out("dlt645")), list)
