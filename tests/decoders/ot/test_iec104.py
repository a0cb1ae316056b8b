"""IEC 60870-5-104: frames, objects with value, quality and time, and finding the way in a stream."""

from __future__ import annotations

import json
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.decoders import wire

from cityguard.decoders.ot import iec104
from cityguard.decoders.ot.iec104_types import TYPES

START_ACT, START_CON, TEST_ACT = (bytes((0x68, 4, octet, 0, 0, 0)) for octet in (0x07, 0x0B, 0x43))
TIME = struct.pack("<HBBBBB", 55773, 3, 9, 16, 7, 24)


def asdu(code: int, number: int, cause: int, objects: bytes, *, station: int = 400, origin: int = 0) -> bytes:
    return struct.pack("<BBBBH", code, number, cause, origin, station) + objects


def frame(body: bytes, sent: int = 1, received: int = 2) -> bytes:
    return struct.pack("<BBHH", 0x68, 4 + len(body), sent << 1, received << 1) + body


def io(address: int, element: bytes) -> bytes:
    return address.to_bytes(3, "little") + element


def one(body: bytes) -> dict[str, Any]:
    return iec104.read(frame(body))


def rows(*said: tuple[int, bytes], mss: int = 1400, pieces: int = 1, port: int = 2404) -> list[dict[str, Any]]:
    talker = wire.Talker(port).shake()
    for side, payload in said:
        talker.say(side, payload, mss=mss)
    return wire.table(wire.decode(talker.packets, pieces=pieces), "ot").to_dicts()


COMMAND = frame(asdu(45, 1, 6, io(4500, b"\x81")))
CONFIRM = frame(asdu(45, 1, 7, io(4500, b"\x81")))
MEASURED = frame(asdu(13, 2, 3, io(10, struct.pack("<fB", 1.5, 0)) + io(11, struct.pack("<fB", 0.1, 0x80))))


def test_a_command_and_its_confirmation_are_two_rows() -> None:
    talk = rows((0, START_ACT), (1, START_CON), (0, COMMAND), (1, CONFIRM + MEASURED), (0, b"\x68\x04\x01\0\x04\0"))
    assert [row["ot.message.type"] for row in talk] == ["u", "u", "i", "i", "i", "s"]
    assert [row["ot.function.name"] for row in talk[:2]] == ["STARTDT act", "STARTDT con"]
    ask, answer, measured = talk[2:5]
    assert (ask["ot.is_request"], answer["ot.is_request"], measured["ot.is_request"]) == (True, False, False)
    for row in (ask, answer):
        assert (row["ot.protocol"], row["network.protocol"]) == ("iec104", "iec104")
        assert (row["ot.function.code"], row["ot.function.name"], row["ot.function.class"]) == (
            45,
            "C_SC_NA_1",
            "control",
        )
        assert (row["ot.unit_id"], row["ot.address"], row["ot.value"]) == ("400", "4500", "1")
        assert json.loads(row["event.fields"])["quality"] == ["select"]
    assert (measured["ot.address"], measured["ot.value"], measured["ot.quantity"]) == ("10,11", "1.5,0.1", 2)
    assert json.loads(measured["event.fields"])["quality"] == ["", "iv"]


@pytest.mark.parametrize(
    ("code", "element", "value", "quality"),
    [
        (1, b"\x11", "1", "bl"),
        (3, b"\x02", "2", ""),
        (5, b"\xff\0", "-1", "transient"),
        (7, struct.pack("<IB", 0x80000001, 1), "2147483649", "ov"),
        (9, struct.pack("<hB", -16384, 0), "-0.5", ""),
        (11, struct.pack("<hB", -2, 0x40), "-2", "nt"),
        (15, struct.pack("<iB", -7, 0x20), "-7", "cy"),
        (20, struct.pack("<HHB", 3, 1, 0), "3", "changed=1"),
        (41, struct.pack("<HiB", 513, -7, 0x20) + TIME, "-7", "association=513+cy"),
        (46, b"\x06", "2", "execute+qu=1"),
        (48, struct.pack("<hB", 8192, 0x80), "0.25", "select"),
        (50, struct.pack("<fB", 3.14, 1), "3.14", "execute+ql=1"),
        (100, b"\x14", "20", ""),
        (103, TIME, "2024-07-16T09:03:55.773", ""),
        (110, struct.pack("<hB", 16384, 3), "0.5", "qpm=3"),
        (122, struct.pack("<HBB", 9, 1, 2), "9", "section=1+q=2"),
    ],
)
def test_every_kind_of_element_says_its_value(code: int, element: bytes, value: str, quality: str) -> None:
    row = one(asdu(code, 1, 6, io(7, element)))
    assert (row["ot.value"], row["ot.address"], row.get("event.flags")) == (value, "7", None)
    assert json.loads(row["event.fields"]).get("quality", [""]) == [quality]


def test_time_tags_are_told() -> None:
    assert json.loads(one(asdu(30, 1, 3, io(1, b"\x01" + TIME)))["event.fields"])["time"] == ["2024-07-16T09:03:55.773"]
    short = json.loads(one(asdu(2, 1, 3, io(1, b"\x01" + TIME[:3])))["event.fields"])
    assert short["time"] == ["03:55.773"]


def test_a_sequence_counts_its_addresses_and_keeps_all_of_them() -> None:
    row = one(asdu(1, 0x80 | 20, 20, io(1000, bytes(19) + b"\x01")))
    assert row["ot.address"].startswith("1000,1001,") and row["ot.address"].count(",") == 15
    extra = json.loads(row["event.fields"])
    assert (extra["addresses"][-1], extra["values"][-1], extra["cause_name"]) == (1019, "1", "interrogated by station")


@pytest.mark.parametrize("cause", [0x47, 44, 47])
def test_a_refusal_is_an_error_with_its_cause(cause: int) -> None:
    row = one(asdu(45, 1, cause, io(1, b"\0")))
    assert (row["ot.function.class"], row["ot.status"]) == ("error", str(cause & 0x3F))


def test_what_is_cut_or_unknown_is_flagged() -> None:
    assert one(asdu(13, 5, 3, io(1, bytes(5))))["event.flags"] == ["truncated"]
    unknown = one(asdu(200, 1, 3, io(1, b"abc")))
    assert (unknown["event.flags"], unknown["ot.function.name"]) == (["undecoded"], "Type 200")


def test_after_garbage_the_next_sure_frame_is_found() -> None:
    found = rows((0, START_ACT), (0, b"\x68\xff noise h\x04 " + COMMAND + MEASURED))
    assert [row["ot.function.name"] for row in found] == ["STARTDT act", "C_SC_NA_1", "M_ME_NC_1"]


def test_on_another_port_only_sure_frames_are_taken() -> None:
    assert len(rows((0, MEASURED + COMMAND), port=9999)) == 2
    assert rows((0, b"h\x08 hello!!"), port=9999) == []
    assert not iec104.starts(frame(asdu(13, 5, 3, io(1, bytes(5)))), False)


@pytest.mark.parametrize(("mss", "pieces"), [(1, 1), (7, 3), (1400, 9)])
def test_any_borders_give_the_same_rows(mss: int, pieces: int) -> None:
    said = [(0, START_ACT), (1, START_CON), (0, COMMAND), (1, CONFIRM + MEASURED), (0, TEST_ACT)]
    keys = ("ot.function.name", "ot.value", "ot.address", "event.fields", "source.port")
    wanted = [[row[key] for key in keys] for row in rows(*said)]
    assert [[row[key] for key in keys] for row in rows(*said, mss=mss, pieces=pieces)] == wanted


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(TYPES)), st.integers(0, 255), st.binary(max_size=60))
def test_no_asdu_raises(code: int, number: int, objects: bytes) -> None:
    row = one(asdu(code, number, 3, objects))
    assert json.loads(row["event.fields"])["cause"] == 3


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(st.binary(max_size=40), st.sampled_from([COMMAND, MEASURED, TEST_ACT])), max_size=5))
def test_no_stream_raises_and_little_is_kept(parts: list[bytes]) -> None:
    from cityguard.decoders.events import Talk
    from cityguard.decoders.protocol import Out
    from cityguard.decoders.stream import Moment

    ends = Talk((0, 1, 1), (0, 2, 2404), 6, False, 0)
    whole, split = Out("iec104"), Out("iec104")
    one, other = iec104.Iec104(whole).stream(ends), iec104.Iec104(split).stream(ends)
    one.feed(0, b"".join(parts), Moment(1, 1))
    for part in parts:
        other.feed(0, part, Moment(1, 1))
    assert one.held < 300 and other.held < 300
    assert [row.fields for row in [whole.rows("ot")]] == [row.fields for row in [split.rows("ot")]]
