from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.decoders.ot.meter import cjt188 as frame
from tests.decoders.ot.talk import said, sent, some

from cityguard.decoders.ot import cjt188, cjt188_frame

METER = "33780026000417"
PROTOCOL = cjt188.PROTOCOLS[0]


def heard(*chunks: tuple[int, bytes]) -> list[dict[str, Any]]:
    return said(PROTOCOL, *chunks, port=10001)


def test_a_water_meter_is_read() -> None:
    now = bytes.fromhex("901f05563412002c000000002c001509021126200500")
    asked, told = heard((0, frame(0x10, METER, 0x01, b"\x90\x1f\x05")), (1, frame(0x10, METER, 0x81, now)))
    names = ("function.code", "function.name", "function.class", "unit_id", "address", "value", "is_request")
    assert some(asked, *names) == (1, "read_data", "read", METER, "901F", None, True)
    assert some(told, *names) == (1, "read_data", "read", METER, "901F", "1234.56", False)
    assert told["ot.station_kind"] == "10H cold water"
    assert told["ot.flags"] == ["battery_low"]
    assert '"valve": "closed"' in told["event.fields"] and '"unit": "m3"' in told["event.fields"]
    assert told["ot.time"].isoformat() == "2026-11-02T01:15:00+00:00"


def test_a_heat_meter_tells_heat_flow_and_temperatures() -> None:
    quantities = "".join(
        f"{number:02d}000000{unit}" for number, unit in ((10, "05"), (20, "05"), (30, "17"), (40, "35"), (50, "2c"))
    )
    now = bytes.fromhex("901f01" + quantities + "505500004500785600001509021126200000")
    found = cjt188_frame.read(frame(0x20, METER, 0x81, now))
    assert found is not None
    assert dict(found.readings) == {
        "settlement_heat": "0.10 kWh",
        "heat": "0.20 kWh",
        "power": "0.30 kW",
        "flow": "0.40 m3/h",
        "volume": "0.50 m3",
        "supply": "55.50",
        "return": "45.00",
        "hours": "5678",
    }
    assert (found.value, found.unit, found.valve) == ("0.20", "kWh", "open")


def test_a_valve_is_control_and_its_answer_has_the_address_of_the_request() -> None:
    shut, done = heard(
        (0, frame(0x30, METER, 0x04, b"\xa0\x17\x06\x99")), (1, frame(0x30, METER, 0x84, b"\xa0\x17\x06\x01\x00"))
    )
    assert some(shut, "function.name", "function.class", "address", "value") == (
        "write_data/valve",
        "control",
        "A017",
        "99",
    )
    assert some(done, "function.class", "address", "is_request") == ("control", "A017", False)
    assert '"valve": "closed"' in done["event.fields"]
    turned, refused = heard(
        (0, frame(0x30, METER, 0x04, b"\x17\xa0\x06\x55")), (1, frame(0x30, METER, 0xC4, b"\x06\x01\x02"))
    )
    assert some(turned, "address", "value", "flags") == ("A017", "55", ["di_turned"])
    assert some(refused, "function.class", "address", "status") == ("error", "A017", "0102")


def test_keys_are_never_shown() -> None:
    (row,) = heard((0, frame(0x30, METER, 0x04, b"\xa0\x14\x06\x01" + bytes(range(8)))))
    assert some(row, "function.class", "address", "value") == ("write", "A014", None)


def test_the_other_commands_have_their_names_and_classes() -> None:
    for code, data, wanted in (
        (0x03, b"\x81\x0a\x01", ("read_address", "read", "810A", None)),
        (0x09, b"\x81\x06\x01", ("read_key_version", "read", "8106", None)),
        (0x15, b"\xa0\x18\x01" + bytes.fromhex(METER)[::-1], ("write_address", "program", "A018", METER)),
        (0x16, b"\xa0\x16\x01\x12\x34", ("motor_sync", "write", "A016", "1234")),
        (
            0x04,
            b"\xa0\x15\x01" + bytes.fromhex("00150902112620"),
            ("write_data", "write", "A015", "2026-11-02T09:15:00"),
        ),
    ):
        (row,) = heard((0, frame(0x10, METER, code, data)))
        assert some(row, "function.name", "function.class", "address", "value") == wanted


def test_a_wrong_sum_is_told() -> None:
    (row,) = heard((0, frame(0x10, METER, 0x01, b"\x90\x1f\x05", sum_by=1)))
    assert some(row, "status", "function.class") == ("crc_error", "read")


@pytest.mark.parametrize("by", [-1, 1, 90])
def test_a_wrong_length_is_told_where_the_sum_finds_the_end(by: int) -> None:
    wrong = frame(0x10, METER, 0x01, b"\x90\x1f\x05", long_by=by)
    assert cjt188.starts(wrong, False) and cjt188.within(wrong)
    (row,) = heard((0, wrong))
    assert some(row, "address", "flags") == ("901F", ["length_error"])


def test_frames_are_found_over_borders_in_noise_and_in_datagrams() -> None:
    one = b"\xfe\xfe\xfe" + frame(0x10, METER, 0x01, b"\x90\x1f\x05")
    raw = b"\x00h\x10" + one + b"h" + one
    for cut in range(len(raw)):
        assert len(heard((0, raw[:cut]), (0, raw[cut:]))) == 2
    assert len(sent(PROTOCOL, (0, one + one), port=9000)) == 2


def test_only_sound_frames_are_recognised() -> None:
    one = frame(0x10, METER, 0x01, b"\x90\x1f\x05")
    assert cjt188.starts(b"\xfe" + one, False) and cjt188.within(b"noise" + one)
    assert not cjt188.starts(one[:-1], False)
    assert not cjt188.within(b"noise" + frame(0x10, METER, 0x01, b"\x90\x1f\x05", sum_by=3) + b"noise")


@settings(max_examples=60, deadline=None)
@given(
    st.binary(max_size=200),
    st.sampled_from(sorted(cjt188_frame.FUNCTIONS)),
    st.sampled_from([0, 0x80, 0xC0]),
    st.sampled_from([0x10, 0x20]),
)
def test_any_bytes_raise_nothing(data: bytes, code: int, form: int, kind: int) -> None:
    cjt188_frame.read(data)
    cjt188.starts(data, False)
    cjt188.within(data)
    assert len(heard((0, frame(kind, METER, code | form, data)))) == 1
    assert len(heard((0, frame(kind, METER, code | form, b"\x90\x1f\x01" + data)))) == 1
    heard((0, data), (1, b"h\x10" + data))
