from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.decoders.ot.meter import dlt645
from tests.decoders.ot.meter import dlt698 as frame
from tests.decoders.ot.talk import said, sent, some

from cityguard.decoders.ot import dlt698, dlt698_data, dlt698_frame, dlt698_unit

METER = "260407001533"
PROTOCOL = dlt698.PROTOCOLS[0]
CLOCK = bytes.fromhex("1c07ea0b02091500")
TRIP = bytes.fromhex("070101800081000101020451f20502011100120000030100")


def heard(*chunks: tuple[int, bytes]) -> list[dict[str, Any]]:
    return said(PROTOCOL, *chunks, port=10001)


def test_a_read_and_its_answer() -> None:
    asked, told = heard(
        (0, frame(METER, bytes.fromhex("0501024000020000"))),
        (1, frame(METER, bytes.fromhex("8501024000020001") + CLOCK + b"\0\0", control=0xC3)),
    )
    names = ("function.code", "function.name", "function.class", "unit_id", "address", "value", "is_request")
    assert some(asked, *names) == (5, "GET-Request", "read", METER, "40000200", None, True)
    assert some(told, *names) == (5, "GET-Response", "read", METER, "40000200", "2026-11-02T09:21:00", False)


def test_a_list_of_objects_and_a_refusal_among_them() -> None:
    asked = bytes.fromhex("05020302400002002000020000")
    told = bytes.fromhex("85020302400002000004200002000101031208fc1208fd1208fe0000")
    one, two = heard((0, frame(METER, asked)), (1, frame(METER, told, control=0xC3)))
    assert some(one, "address", "quantity") == ("40000200,20000200", 2)
    assert some(two, "function.class", "status", "value") == ("error", "4", "[2300,2301,2302]")


def test_a_trip_is_control_and_names_itself() -> None:
    (row,) = heard((0, frame(METER, TRIP)))
    assert some(row, "function.name", "function.class", "address", "value") == (
        "ACTION-Request",
        "control",
        "80008100",
        "trip",
    )
    assert '"data": "[[F2050201,0,0,true]]"' in row["event.fields"]


def test_a_restart_and_a_file_are_programs() -> None:
    for omd, word in (("43000100", "restart"), ("F0010700", "start_transfer")):
        (row,) = heard((0, frame(METER, bytes.fromhex("070101" + omd + "0000"))))
        assert some(row, "function.class", "value") == ("program", word)


def test_what_stands_under_a_check_is_read_and_what_is_enciphered_is_not() -> None:
    sealed = bytes((0x10, 0, len(TRIP))) + TRIP + bytes.fromhex("0110") + bytes(16)
    (row,) = heard((0, frame(METER, sealed)))
    assert some(row, "function.code", "function.name", "function.class", "address", "value", "flags", "encrypted") == (
        16,
        "SECURITY-Request",
        "control",
        "80008100",
        "trip",
        ["sealed"],
        False,
    )
    (row,) = heard((0, frame(METER, bytes((0x10, 1, len(TRIP))) + TRIP)))
    assert some(row, "function.name", "function.class", "address", "encrypted") == (
        "SECURITY-Request",
        None,
        None,
        True,
    )


def test_passwords_are_judged_or_left_out() -> None:
    connect = (
        bytes.fromhex("02010010") + bytes(8 + 16) + bytes.fromhex("04000400010400000000640106") + b"123456" + b"\0"
    )
    (row,) = heard((0, frame(METER, connect)))
    assert some(row, "function.name", "password.verdict", "password.length") == ("CONNECT-Request", "default", 6)
    (row,) = heard((0, frame(METER, bytes.fromhex("060101440102000906") + b"123456" + b"\0")))
    assert some(row, "function.name", "address", "value") == ("SET-Request", "44010200", None)
    assert "123456" not in row["event.fields"]
    dial = bytes.fromhex("0601014500020002030a05636d6e65740a04757365720a06") + b"zQ8kp2" + b"\0"
    (row,) = heard((0, frame(METER, dial)))
    assert some(row, "function.name", "address", "value") == ("SET-Request", "45000200", None)
    assert "zQ8kp2" not in str(row) and b"zQ8kp2".hex() not in str(row).lower()


def test_a_new_master_station_is_told_as_target() -> None:
    unit = bytes.fromhex("06010145000300010102020904cb0071091213ba00")
    (row,) = heard((0, frame(METER, unit)))
    assert some(row, "function.class", "target", "target_ip") == ("write", "203.0.113.9:5050", "203.0.113.9")


def test_links_log_in_beat_and_leave() -> None:
    login = bytes.fromhex("010000003c07ea0b0201091500007b")
    (row,) = heard((1, frame(METER, login, control=0x81, client=0)))
    assert some(row, "function.name", "function.class", "is_request") == ("LINK-Request", "diagnostic", True)
    assert '"link": "login"' in row["event.fields"] and '"heartbeat": 60' in row["event.fields"]


def test_a_proxy_s_frame_is_a_row_of_its_own() -> None:
    inside = dlt645("990126000101", 0x1A, bytes.fromhex("0200000004030201"), wake=b"\xfe" * 4)
    unit = bytes.fromhex("090701f20102010302080100000a000a") + bytes((len(inside),)) + inside + b"\0"
    proxy, meter = heard((0, frame(METER, unit)))
    assert some(proxy, "function.name", "address") == ("PROXY-Request", "F2010201")
    assert some(meter, "protocol", "function.name", "unit_id", "password.verdict") == (
        "dlt645",
        "meter_clear",
        "990126000101",
        "default",
    )


def test_a_unit_in_parts_is_one_row() -> None:
    unit = bytes.fromhex("850102200002000101031208fc1208fd1208fe0000")
    first, last = b"\x00\x00" + unit[:9], b"\x01\x80" + unit[9:]
    (row,) = heard(
        (1, frame(METER, first, control=0xE3)),
        (0, frame(METER, b"\x00\x40", control=0x63)),
        (1, frame(METER, last, control=0xE3)),
    )
    assert some(row, "address", "value") == ("20000200", "[2300,2301,2302]")


def test_a_scrambled_unit_is_read() -> None:
    (row,) = heard((0, frame(METER, TRIP, control=0x4B)))
    assert row["ot.value"] == "trip"


def test_a_wrong_check_is_told_and_a_cut_frame_is() -> None:
    (row,) = heard((0, frame(METER, TRIP, flip=1)))
    assert some(row, "status", "function.class") == ("crc_error", "control")
    whole = frame(METER, TRIP)
    told = heard((0, whole[:-4] + whole))
    assert [row["event.flags"] for row in told] == [["truncated"], None]


def test_broadcasts_are_marked() -> None:
    (row,) = heard((0, frame("AA", TRIP, form=0xC0)))
    assert some(row, "unit_id", "flags") == ("AA", ["broadcast"])


def test_frames_are_found_over_borders_in_noise_and_in_datagrams() -> None:
    one = frame(METER, bytes.fromhex("0501024000020000"))
    raw = b"\x00h\x17\x00\x43" + one + b"hh" + one
    for cut in range(len(raw)):
        assert len(heard((0, raw[:cut]), (0, raw[cut:]))) == 2
    assert len(sent(PROTOCOL, (0, b"\xfe" + one + one), port=9000)) == 2


def test_only_sound_frames_are_recognised() -> None:
    one = frame(METER, bytes.fromhex("0501024000020000"))
    assert dlt698.starts(one, False) and dlt698.starts(b"\xfe\xfe" + one, False) and dlt698.within(b"noise" + one)
    assert dlt698.within(b"noise" + frame(METER, bytes.fromhex("0501024000020000"), flip=1) + b"noise")
    assert not dlt698.starts(bytes.fromhex("680407000000"), True)  # STARTDT of IEC 60870-5-104
    assert not dlt698.starts(bytes.fromhex("680e0000000046010400010000000000"), False)
    assert not dlt698.starts(one[:6] + b"\x99" + one[7:], False)


def test_values_are_bounded() -> None:
    deep = b"\x02\x01" * 40 + b"\x00"
    for data in (deep, b"\x01\x84\xff\xff\xff\xff", b"\x01\x82\xff\xff" + b"\x00" * 60_000):
        try:
            dlt698_data.Reader(data).value()
        except dlt698_data.Short:
            continue
        raise AssertionError(data[:4])
    nested = bytes((0x10, 0, 4, 0x10, 0, 1, 5))
    assert dlt698_unit.read(nested) is not None


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200), st.sampled_from([1, 2, 3, 5, 6, 7, 8, 9, 16, 110, 129, 133, 134, 135, 136, 137, 144]))
def test_any_bytes_raise_nothing(data: bytes, tag: int) -> None:
    dlt698_frame.read(data)
    dlt698_unit.read(data)
    dlt698.starts(data, False)
    dlt698.within(data)
    assert len(heard((0, frame(METER, bytes((tag,)) + data)))) >= 1
    heard((0, data), (1, b"h" + data))
