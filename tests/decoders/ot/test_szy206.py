"""SZY206-2016 and SL/T 427-2021, stations of water resources."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.decoders.ot.hydrology import resource
from tests.decoders.ot.talk import ends, rows, said, sent, some

from cityguard.decoders.ot import szy206_frame, szy206_rows
from cityguard.decoders.ot.szy206 import PROTOCOLS, Szy206, starts, within
from cityguard.decoders.protocol import Out
from cityguard.decoders.stream import Moment
from cityguard.decoders.wire.sought import MAX_RUNS

SZY206 = PROTOCOLS[0]
TP5, TP7 = "0015090200", "00150902112600"


def one(raw: bytes) -> dict[str, Any]:
    (row,) = said(SZY206, (0, raw), port=5060)
    return row


def parts(raw: bytes) -> tuple[str, str, str]:
    found = szy206_frame.read(raw)
    return found.data.hex(), found.password, found.tp.hex()


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (resource(0x92, "01" + "1234" + TP5), ("01", "1234", TP5)),
        (resource(0x93, "f2" + "1234" + TP7), ("f2", "1234", TP7)),
        (resource(0x92, "01" + TP5), ("01", "", TP5)),
        (resource(0x92, "01"), ("01", "", "")),
        (resource(0x92, "01" + "1234"), ("01", "1234", "")),
        (resource(0x96, "0000" + "1234" + TP5), ("0000", "1234", TP5)),
        (resource(0x32, "1234" + TP5), ("", "1234", TP5)),
        (resource(0xC0, "00"), ("00", "", "")),
        (resource(0xC0, "01" + TP5), ("01", "", TP5)),
        (resource(0xC0, "02" + TP7), ("02", "", TP7)),
        (resource(0x02, "f2", up=True), ("f2", "", "")),
        (resource(0xC0, "150000" + "00000000" + TP5, up=True, kind=1), ("15000000000000", "", TP5)),
        (resource(0xC0, "150000" + "00000000" + TP7, up=True, kind=1), ("15000000000000", "", TP7)),
        (resource(0x15, "00150000" + "1234" + TP5), ("00150000", "1234", TP5)),
        (resource(0x17, "00150000000000" * 2 + "1234" + TP7), ("00150000000000" * 2, "1234", TP7)),
        (resource(0xA1, "0100" + "0500" + "1234" + TP5), ("01000500", "1234", TP5)),
        (resource(0x20, "010203" + "1234" + TP7), ("010203", "1234", TP7)),
    ],
)
def test_password_and_time_are_told_from_data_by_what_lets_the_body_parse(raw: bytes, told: tuple[str, ...]) -> None:
    assert parts(raw) == told


def test_a_command_tells_what_is_switched() -> None:
    row = one(resource(0x92, "01" + "1234" + TP5))
    assert some(row, "function.code", "function.name", "function.class", "unit_id", "address", "value") == (
        146, "start_pump_or_valve", "control", "3204021700", "pump 1", "01",
    )  # fmt: skip
    assert some(row, "is_request", "edition", "message.type", "flags") == (True, "2016", "down", ["tp_5"])
    gate = one(resource(0x93, "f3" + "1234" + TP7))
    assert some(gate, "address", "edition", "time") == ("valve 3", "2021", datetime(2026, 11, 2, 1, 15, tzinfo=UTC))


def test_a_time_without_month_is_the_one_nearest_to_the_capture() -> None:
    frame = szy206_frame.read(resource(0x92, "01" + "1234" + "0000003100"))
    captured = int(datetime(2026, 11, 1, 4, tzinfo=UTC).timestamp() * 1e9)
    assert szy206_rows.moment(frame, captured) == datetime(2026, 10, 30, 16, tzinfo=UTC)


def test_passwords_are_judged_and_no_row_holds_one() -> None:
    computed = one(resource(0x92, "01" + "1234" + TP5))
    none = one(resource(0x92, "01" + "0000" + TP5))
    given_ = one(resource(0x96, "1234" + "8765" + TP5))
    assert [row["ot.password.verdict"] for row in (computed, none, given_)] == ["ok", "weak", "default"]
    assert "8765" not in json.dumps(given_, default=str).replace(given_["ot.password.hash"], "")
    assert given_.get("ot.value") is None


def test_an_acknowledgement_may_set_mode_and_clock() -> None:
    row = one(resource(0xC0, "03" + TP5))
    assert some(row, "is_request", "value", "flags") == (
        False, "03", ["acknowledgement", "sets_mode", "sets_clock", "tp_5"],
    )  # fmt: skip
    assert row["ot.function.class"] == "write"
    assert one(resource(0xC0, ""))["ot.function.class"] == "read"
    assert json.loads(row["event.fields"])["mode"] == "debugging or repair"


def test_a_conversation_may_begin_with_a_command_of_a_wrong_check() -> None:
    order = bytearray(resource(0x92, "01" + "1234" + TP5))
    order[-2] ^= 1
    assert starts(bytes(order), False) and within(b"\x00\xff" + order)
    assert one(bytes(order))["ot.status"] == "crc_error"
    order[4] = 0x98  # a province there is none of
    assert not starts(bytes(order), False) and not within(bytes(order))


def test_reports_tell_rain_and_flow() -> None:
    rain = one(resource(0xC0, "250100" + "00000100" + TP5, up=True, kind=1))
    assert some(rain, "value", "station_kind", "is_request") == ("12.5", "1 rain", False)
    flow = one(resource(0xB0, "5634120000" + "00000000" + TP5, up=True, kind=3))
    assert some(flow, "value", "station_kind") == ("123.456", "3 flow")
    assert szy206_rows.numbers(bytes.fromhex("5634120000" + "56341200f0"), 5, 3) == ["123.456", "-123.456"]


def test_a_report_of_the_newer_edition_is_told_apart() -> None:
    row = one(bytes.fromhex("681568b40102030405c05545040020700030151412052600ad16"))
    assert some(row, "value", "station_kind", "edition", "flags") == ("44.555", "4 velocity", "2021", ["tp_7"])
    assert row["ot.time"] == datetime(2026, 5, 12, 6, 15, 30, tzinfo=UTC)
    level = one(resource(0xC0, "65780300" + "00000000" + TP7, up=True, kind=2))
    assert level["ot.value"] == "37.865"


def test_channels_that_are_set_tell_where_reports_go() -> None:
    row = one(resource(0xA2, "02cb007142138800" + "aaaa" + "1234" + TP7))
    assert some(row, "function.name", "function.class", "target") == ("set_channels", "program", "IPv4 CB007142138800")
    assert row["ot.value"] == "IPv4 CB007142138800,off"


def test_an_answer_to_a_switching_says_that_it_is_done() -> None:
    row = one(resource(0x92, "a1", up=True))
    assert some(row, "address", "flags", "is_request") == ("1", ["acknowledgement", "done"], False)


def test_events_are_no_time() -> None:
    events = "0100" * 2 + "0500" + "0000" * 13 + "00050001000500"
    assert one(resource(0x5D, events, up=True))["ot.flags"] is None


def test_the_clock_set_is_told() -> None:
    assert one(resource(0x11, "301509021126" + "1234" + TP5))["ot.value"] == "2026-11-02T09:15:30"


def test_a_wrong_check_and_a_wrong_length_are_told() -> None:
    good = resource(0x02, "f2", up=True)
    rows_ = said(SZY206, (0, good + resource(0x92, "011234" + TP5, wrong=1)), port=5060)
    assert [row["ot.status"] for row in rows_] == [None, "crc_error"]
    assert rows_[1]["ot.function.class"] == "control"
    rows_ = said(SZY206, (0, good + resource(0x92, "011234" + TP5, told=9) + good), port=5060)
    assert [row["ot.status"] for row in rows_] == [None, "length_error", None]


def test_split_messages_and_broadcasts_are_marked() -> None:
    row = one(resource(0x61, "ff" * 20, up=True, divs=3))
    assert (row["ot.flags"], json.loads(row["event.fields"])["divs"]) == (["split"], 3)
    assert "broadcast" in one(resource(0x91, "01" + "1234" + TP5, station="320402ffff"))["ot.flags"]


def test_functions_of_makers_have_no_class() -> None:
    assert one(resource(0x97, "01" + "8765" + TP5))["ot.value"] is None
    assert some(one(resource(0xE0, "00")), "function.name", "function.class") == ("vendor_function", None)
    assert some(one(resource(0x07, "00")), "function.name", "function.class") == ("unknown_function", None)


def test_a_frame_is_known_anywhere_and_what_begins_alike_is_not() -> None:
    good = resource(0x02, "f2", up=True)
    assert starts(good, False)
    assert within(b"\0h\0" + good)
    iec101 = bytes.fromhex("6809096808010164010601000000007516")
    gdw376 = bytes.fromhex("6832003200684b0434010001025e0000000000c816")
    meter = bytes.fromhex("68452301000000681104333334" + "33b116")
    for other in (b"", b"h", b"h" * 80, iec101, gdw376, meter, resource(0x92, "01", wrong=1), good[:-1]):
        assert not starts(other, False)
        assert not within(other)


def test_datagrams_hold_several_frames() -> None:
    found = sent(SZY206, (0, resource(0x02, "f0", up=True) + resource(0x92, "01" + "1234" + TP5)), port=5060)
    assert [row["ot.value"] for row in found] == ["F0", "01"]
    speaker = Szy206(Out("szy206"))
    assert not speaker.datagram(b"hhhh", ends(5060, 17), Moment(1, 1))


STREAM = b"".join(
    (
        resource(0x02, "f2", up=True),
        b"\x68\x00\xff",
        resource(0x92, "01" + "1234" + TP5),
        resource(0x96, "0000" + "1234" + TP5, wrong=9),
        b"\x68\x0f\x68",
        resource(0xC0, "150000" + "00000000" + TP5, up=True, kind=1),
    )
)


@pytest.mark.parametrize("at", range(1, len(STREAM)))
def test_where_segments_are_cut_changes_nothing(at: int) -> None:
    def plain(found: list[dict[str, Any]]) -> list[str]:
        skipped = ("log.offset", "@timestamp", "ot.time_offset")
        return [json.dumps({k: v for k, v in row.items() if k not in skipped}, default=str) for row in found]

    cut = said(SZY206, (0, STREAM[:at]), (0, STREAM[at:]), port=5060)
    assert plain(cut) == plain(said(SZY206, (0, STREAM), port=5060))


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=80), st.integers(0, 255), st.booleans())
def test_no_bytes_trip_the_reader(data: bytes, afn: int, up: bool) -> None:
    for raw in (data, b"h" + data, b"h" + bytes([len(data)]) + b"h" + data):
        szy206_frame.read(raw)
        starts(raw, False)
        within(raw)
    said(SZY206, (0, resource(afn, data.hex(), up=up, kind=afn & 15)), (1, data), port=5060)


def test_a_stream_of_noise_is_given_up_once() -> None:
    good = resource(0x02, "f2", up=True)
    out = Out("szy206")
    speaker = Szy206(out)
    parser = speaker.stream(ends(5060))
    for number in range(MAX_RUNS + 5):
        if not parser.done:
            parser.feed(0, good + b"\0", Moment(number + 1, number + 1))
    assert parser.done
    assert [row["ot.status"] for row in rows(out)].count("malformed") == 1
