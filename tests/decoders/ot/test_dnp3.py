"""DNP3: link frames and their checksums, transport segments, objects and points, masters and outstations paired."""

from __future__ import annotations

import json
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.decoders import wire

from cityguard.decoders.ot import dnp3
from cityguard.decoders.ot.dnp3_objects import Objects
from cityguard.decoders.wire import crc

MASTER, STATION = 1, 10


def frame(data: bytes, *, control: int = 0xC4, to: int = STATION, by: int = MASTER) -> bytes:
    head = struct.pack("<BBBBHH", 5, 0x64, 5 + len(data), control, to, by)
    out = head + struct.pack("<H", crc.dnp(head))
    for at in range(0, len(data), 16):
        block = data[at : at + 16]
        out += block + struct.pack("<H", crc.dnp(block))
    return out


def ask(code: int, objects: bytes = b"", sequence: int = 3) -> bytes:
    return frame(bytes((0xC0, 0xC0 | sequence, code)) + objects)


def respond(objects: bytes = b"", sequence: int = 3, iin: int = 0, code: int = 129) -> bytes:
    data = bytes((0xC0, 0xC0 | sequence, code)) + struct.pack(">H", iin) + objects
    return frame(data, control=0x44, to=MASTER, by=STATION)


def rows(*said: tuple[int, bytes], mss: int = 1400, pieces: int = 1, port: int = 20000) -> list[dict[str, Any]]:
    talker = wire.Talker(port).shake()
    for side, payload in said:
        talker.say(side, payload, mss=mss)
    return wire.table(wire.decode(talker.packets, pieces=pieces), "ot").to_dicts()


def objects(raw: bytes, *, data: bool = True) -> list[dict[str, Any]]:
    return [one.told() for one in Objects(raw, 0, data=data).headers]


CROB = bytes((12, 1, 0x28)) + struct.pack("<HH", 1, 7) + struct.pack("<BBIIB", 0x41, 1, 100, 200, 0)
OPERATE = ask(5, CROB)
READ = ask(1, bytes((60, 2, 6, 60, 1, 6)))


def test_the_checksum_is_the_standards_own() -> None:
    assert crc.dnp(b"\x05\x64\x05\xc0\x01\x00\x00\x04") == 0x21E9


def test_a_control_and_its_response_are_two_rows() -> None:
    command, answer = rows((0, OPERATE), (1, respond(CROB)))
    assert (command["ot.function.code"], command["ot.function.name"]) == (5, "DIRECT_OPERATE")
    assert (command["ot.function.class"], command["ot.is_request"]) == ("control", True)
    assert (answer["ot.function.code"], answer["ot.status"], answer["ot.is_request"]) == (129, "0x0000", False)
    assert (answer["ot.function.class"], answer["ot.message.type"]) == (None, "response")
    for row in (command, answer):
        assert (row["ot.protocol"], row["network.protocol"], row["ot.unit_id"]) == ("dnp3", "dnp3", str(STATION))
        assert (row["ot.address"], row["ot.value"], row["ot.quantity"]) == ("12.1:7", "PULSE_ON+CLOSE", 1)
        assert row["ot.transaction_id"] == 3
    assert json.loads(command["event.fields"])["objects"][0]["control"] == [[0x41, 1, 100, 200]]


def test_an_empty_response_knows_what_was_asked() -> None:
    answer = rows((0, READ), (1, respond(iin=0x1000)))[1]
    assert (answer["ot.address"], answer["ot.status"]) == ("60.2,60.1", "0x1000")
    assert json.loads(answer["event.fields"])["indications"] == ["NEED_TIME"]


@pytest.mark.parametrize(("iin", "status"), [(0x0002, 0), (0x0000, 4)])
def test_a_refusal_is_an_error(iin: int, status: int) -> None:
    answer = rows((0, OPERATE), (1, respond(CROB[:-1] + bytes((status,)), iin=iin)))[1]
    assert answer["ot.function.class"] == "error"
    assert answer["ot.status"] == f"0x{iin:04x}" + (f" status={status}" if status else "")


@pytest.mark.parametrize(
    ("raw", "name", "values", "more"),
    [
        (b"\x01\x01\x00\x00\x09\xff\x02", "1.1", ["1"] * 8 + ["0", "1"], {}),
        (b"\x01\x02\x00\x00\x01\x81\x01", "1.2", ["1", "0"], {"flags": [0x81, 1]}),
        (
            b"\x02\x02\x28\x01\0\x05\0\x81" + (1000).to_bytes(6, "little"),
            "2.2",
            ["1"],
            {"times": [1000], "indexes": [5]},
        ),
        (b"\x03\x01\x00\x00\x03\xe4", "3.1", ["0", "1", "2", "3"], {}),
        (b"\x04\x03\x17\x01\x02\x81\x0a\0", "4.3", ["2"], {"times": [10], "indexes": [2]}),
        (b"\x14\x01\x01\0\0\0\0\x01" + struct.pack("<I", 4_000_000_000), "20.1", ["4000000000"], {"flags": [1]}),
        (b"\x15\x0a\x00\x00\x00\x07\0", "21.10", ["7"], {}),
        (b"\x1e\x02\x00\x01\x01\x01" + struct.pack("<h", -5), "30.2", ["-5"], {"first": 1}),
        (b"\x1e\x05\x00\x01\x01\x01" + struct.pack("<f", 0.1), "30.5", ["0.1"], {}),
        (b"\x20\x08\x17\x01\x09\x01" + struct.pack("<d", 2.5) + bytes(6), "32.8", ["2.5"], {"times": [0]}),
        (b"\x29\x02\x17\x01\x03" + struct.pack("<hB", 500, 0), "41.2", ["500"], {"status": [0]}),
        (b"\x2b\x05\x17\x01\x03\x02" + struct.pack("<f", 7.5), "43.5", ["7.5"], {"status": [2]}),
        (b"\x32\x01\x07\x01" + (1_097_487_541_483).to_bytes(6, "little"), "50.1", ["1097487541483"], {}),
        (b"\x34\x02\x07\x01\x10\x27", "52.2", ["10000"], {}),
        (b"\x50\x01\x00\x07\x07\x00", "80.1", ["0"], {"first": 7}),
        (b"\x6e\x05\x00\x00\x00hello", "110.5", ["hello"], {}),
        (b"\x00\xf2\x00\x00\x00\x01\x04v1.0", "0.242", ["v1.0"], {}),
    ],
)
def test_every_kind_of_object_says_its_points(raw: bytes, name: str, values: list[str], more: dict[str, Any]) -> None:
    one = objects(raw)[0]
    assert (one["object"], one["values"]) == (name, values)
    assert more.items() <= one.items()
    assert Objects(raw, 0, data=True).whole


def test_files_are_told_by_name_and_mode() -> None:
    name = b"C:/plc.cfg"
    command = struct.pack("<HH6sHIIHHH", 26, len(name), bytes(6), 0, 0, 99, 2, 1024, 1) + name
    one = objects(bytes((70, 3, 0x5B, 1)) + struct.pack("<H", len(command)) + command)[0]
    assert (one["values"], one["mode"], one["bytes"]) == (["C:/plc.cfg"], "write", 99)
    row = rows((0, ask(27, bytes((70, 3, 0x5B, 1)) + struct.pack("<H", len(command)) + command)))[0]
    assert (row["ot.function.name"], row["ot.function.class"], row["ot.value"]) == (
        "DELETE_FILE",
        "program",
        "C:/plc.cfg",
    )


def test_a_read_of_single_points_lists_their_indexes() -> None:
    assert objects(b"\x1e\x00\x17\x02\x03\x09\x3c\x02\x06", data=False) == [
        {"object": "30.0", "qualifier": 0x17, "count": 2, "indexes": [3, 9]},
        {"object": "60.2", "qualifier": 6},
    ]


def test_a_fragment_in_several_segments_is_one_row() -> None:
    body = bytes((0xC3, 129, 0, 0)) + b"\x1e\x02\x00\x00\x63" + b"\x01\x05\x00" * 100
    parts = [body[at : at + 100] for at in range(0, len(body), 100)]
    said = []
    for nth, part in enumerate(parts):
        head = (0x40 if nth == 0 else 0) | (0x80 if nth == len(parts) - 1 else 0) | nth + 60 & 63
        said.append((1, frame(bytes((head,)) + part, control=0x44, to=MASTER, by=STATION)))
    (row,) = rows(*said)
    assert (row["ot.address"], row["ot.quantity"], row.get("event.flags")) == ("30.2:0-99", 100, None)
    assert rows(*said[1:]) == []  # without its beginning it is none


def test_link_frames_without_data_are_rows_of_their_own() -> None:
    status, answer = rows((0, frame(b"", control=0xC9)), (1, frame(b"", control=0x0B, to=MASTER, by=STATION)))
    assert (status.get("ot.function.code"), status["ot.message.type"]) == (None, "request_link_status")
    assert (answer["ot.message.type"], answer["ot.is_request"], answer["ot.unit_id"]) == (
        "link_status",
        False,
        str(STATION),
    )


def test_a_wrong_checksum_is_flagged_and_what_follows_is_found() -> None:
    bad = bytearray(OPERATE)
    bad[-1] ^= 1
    garbled, whole = rows((0, bytes(bad) + b"\x05\x64\xff noise" + READ))
    assert (garbled["event.flags"], garbled.get("ot.function.code")) == (["undecoded"], None)
    assert whole["ot.function.name"] == "READ"


def test_unknown_objects_are_flagged() -> None:
    row = rows((0, ask(2, bytes((99, 9, 7, 1, 0)))))[0]
    assert (row["event.flags"], row["ot.address"]) == (["undecoded"], "99.9")


def test_datagrams_and_other_ports_are_known_by_the_checksum() -> None:
    def datagram(source: int, destination: int, data: bytes) -> bytes:
        ends = (wire.CLIENT, wire.SERVER) if source != 20000 else (wire.SERVER, wire.CLIENT)
        return wire.ether(wire.ip4(*ends, 17, wire.udp(source, destination, data)))

    found = wire.table(wire.decode([datagram(1128, 20000, READ), datagram(20000, 1128, respond())]), "ot").to_dicts()
    assert [row["ot.address"] for row in found] == ["60.2,60.1"] * 2
    assert len(rows((0, OPERATE), port=7777)) == 1
    assert not dnp3.starts(b"\x05\x64\x05\xc0\x01\x00\x00\x04\x00\x00", True)


@pytest.mark.parametrize(("mss", "pieces"), [(1, 1), (11, 4), (1400, 5)])
def test_any_borders_give_the_same_rows(mss: int, pieces: int) -> None:
    said = [(0, OPERATE), (1, respond(CROB)), (0, READ + ask(13)), (1, respond(iin=1))]
    keys = ("ot.function.name", "ot.value", "ot.address", "ot.status", "event.fields", "source.port")
    wanted = [[row[key] for key in keys] for row in rows(*said)]
    assert [[row[key] for key in keys] for row in rows(*said, mss=mss, pieces=pieces)] == wanted


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=80), st.booleans())
def test_no_objects_raise(raw: bytes, data: bool) -> None:
    json.dumps(objects(raw, data=data))
    for code in (0, 1, 2, 5, 129, 200):
        rows_ = Objects(bytes((code,)) + raw, 0, data=data)
        assert len(rows_.headers) <= 64


@settings(max_examples=20, deadline=None)
@given(st.lists(st.one_of(st.binary(max_size=40).map(frame), st.binary(max_size=30)), max_size=5))
def test_no_stream_raises(parts: list[bytes]) -> None:
    rows((0, READ), *((0, part) for part in parts))
