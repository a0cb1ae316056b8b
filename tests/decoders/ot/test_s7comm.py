"""S7comm and S7comm-plus: jobs and answers, items and values, services, transfers, userdata, sessions."""

from __future__ import annotations

import json
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.decoders import wire

from cityguard.decoders.ot import s7comm, s7comm_items, s7comm_plus

CR = b"\x03\0\0\x16\x11\xe0\0\0\0\x01\0\xc1\x02\x01\0\xc2\x02\x01\x02\xc0\x01\x0a"
CC = b"\x03\0\0\x16\x11\xd0\0\x01\0\x02\0\xc1\x02\x01\0\xc2\x02\x01\x02\xc0\x01\x0a"


def cotp(unit: bytes) -> bytes:
    return struct.pack(">BBH", 3, 0, len(unit) + 7) + b"\x02\xf0\x80" + unit


def job(parameter: bytes, data: bytes = b"", reference: int = 7) -> bytes:
    return cotp(struct.pack(">BBHHHH", 0x32, 1, 0, reference, len(parameter), len(data)) + parameter + data)


def answer(parameter: bytes, data: bytes = b"", reference: int = 7, error: int = 0, kind: int = 3) -> bytes:
    head = struct.pack(">BBHHHHH", 0x32, kind, 0, reference, len(parameter), len(data), error)
    return cotp(head + parameter + data)


def userdata(kind: int, group: int, sub: int, data: bytes = b"", *, more: bytes = b"", reference: int = 7) -> bytes:
    parameter = b"\0\1\x12" + bytes((4 + len(more), 0x11, kind << 4 | group, sub, 0)) + more
    return cotp(struct.pack(">BBHHHH", 0x32, 7, 0, reference, len(parameter), len(data)) + parameter + data)


def item(kind: int, count: int, block: int, area: int, octet: int, bit: int = 0) -> bytes:
    place = (octet * 8 + bit if area not in (0x1C, 0x1D) else octet).to_bytes(3, "big")
    return b"\x12\x0a\x10" + struct.pack(">BHHB", kind, count, block, area) + place


def plus(body: bytes, version: int = 2, *, trailer: bool = True) -> bytes:
    end = bytes((0x72, version, 0, 0)) if trailer else b""
    return cotp(bytes((0x72, version)) + struct.pack(">H", len(body)) + body + end)


def ask(code: int, number: int = 1, session: int = 904, more: bytes = b"") -> bytes:
    return struct.pack(">BHHHHIB", 0x31, 0, code, 0, number, session, 0x34) + more


def rows(*said: tuple[int, bytes], mss: int = 1400, pieces: int = 1, port: int = 102) -> list[dict[str, Any]]:
    talker = wire.Talker(port).shake()
    for side, payload in ((0, CR), (1, CC), *said):
        talker.say(side, payload, mss=mss)
    return wire.table(wire.decode(talker.packets, pieces=pieces), "ot").to_dicts()


READ = job(b"\x04\x02" + item(2, 2, 1, 0x84, 10) + item(8, 1, 0, 0x83, 100))
READ_ANSWER = answer(b"\x04\x02", b"\xff\x04\0\x10\x01\x02" + b"\xff\x07\0\x04" + struct.pack(">f", 1.5))
WRITE = job(b"\x05\x01" + item(1, 1, 0, 0x82, 4, 3), b"\0\x03\0\x01\x01", 8)
PLUS = plus(ask(0x0542))


def test_a_read_and_its_answer_know_each_other() -> None:
    command, reply = rows((0, READ), (1, READ_ANSWER))
    assert (command["ot.message.type"], reply["ot.message.type"]) == ("job", "ack_data")
    assert (command["ot.is_request"], reply["ot.is_request"]) == (True, False)
    for row in (command, reply):
        assert (row["ot.protocol"], row["network.protocol"], row["ot.function.code"]) == ("s7comm", "s7comm", 4)
        assert (row["ot.function.name"], row["ot.function.class"], row["ot.transaction_id"]) == ("Read Var", "read", 7)
        assert (row["ot.address"], row["ot.quantity"]) == ("DB1.DBB10,MD100", 2)
    assert (command["ot.value"], reply["ot.value"], reply["ot.status"]) == (None, "1,2,1.5", "0x0000")


def test_a_write_tells_its_values_and_a_refusal_is_an_error() -> None:
    command, reply = rows((0, WRITE), (1, answer(b"\x05\x01", b"\x05", 8)))
    assert (command["ot.function.class"], command["ot.address"], command["ot.value"]) == ("write", "Q4.3", "1")
    assert (reply["ot.function.class"], reply["ot.status"], reply["ot.address"]) == ("error", "0x05", "Q4.3")
    assert json.loads(reply["event.fields"])["meaning"] == "address out of range"


def test_an_error_of_the_header_is_told() -> None:
    reply = rows((0, READ), (1, answer(b"", error=0x8104, kind=2)))[1]
    assert (reply["ot.message.type"], reply["ot.function.code"], reply["ot.status"]) == ("ack", 4, "0x8104")
    assert reply["ot.function.class"] == "error"


@pytest.mark.parametrize(
    ("raw", "address", "data", "value"),
    [
        (item(4, 1, 3, 0x84, 6), "DB3.DBW6", b"\x01\0", "256"),
        (item(5, 1, 0, 0x83, 6), "MW6", b"\xff\xfe", "-2"),
        (item(7, 1, 0, 0x83, 6), "MD6", b"\xff\xff\xff\xfe", "-2"),
        (item(1, 1, 2, 0x84, 0, 7), "DB2.DBX0.7", b"\x01", "1"),
        (item(1, 1, 0, 0x81, 0, 1), "I0.1", b"\0", "0"),
        (item(3, 5, 0, 0x83, 0), "MB0", b"motor", "motor"),
        (item(0x1D, 1, 0, 0x1D, 5), "T5", b"\0\x09", "9"),
        (item(2, 2, 0, 0x80, 256), "PB256", b"\x07\x08", "7,8"),
        (b"\x12\x07\xb0\x01\x04" + struct.pack(">HH", 12, 34), "DB12.DBB34", b"\x05", "5"),
    ],
)
def test_every_area_and_type_has_its_notation(raw: bytes, address: str, data: bytes, value: str) -> None:
    (found,) = s7comm_items.items(raw, 0, 1)
    assert found.address == address
    assert ",".join(s7comm_items.values(found, data, 16)) == value


def test_services_that_change_the_program_are_told_from_those_that_run_it() -> None:
    insert = b"\x28" + bytes(6) + b"\xfd\0\x0a\x01\0" + b"0A00001P" + b"\x05_INSE"
    start = b"\x28" + bytes(6) + b"\xfd\0\0\x09P_PROGRAM"
    stop = b"\x29" + bytes(5) + b"\x09P_PROGRAM"
    found = rows((0, job(insert)), (0, job(start)), (0, job(stop)))
    told = [(row["ot.function.code"], row["ot.function.class"], row["ot.value"]) for row in found]
    assert told == [(0x28, "program", "_INSE"), (0x28, "control", "P_PROGRAM"), (0x29, "control", "P_PROGRAM")]
    assert found[0]["ot.address"] == "DB1"


def test_transfers_tell_block_and_session() -> None:
    start = b"\x1d\0\0\0" + struct.pack(">I", 0) + b"\x09_0800001A"
    asked, given, upload = rows(
        (0, job(start)),
        (1, answer(b"\x1d\0\x01\0" + struct.pack(">I", 7) + b"\x0700216")),
        (0, job(b"\x1e\0\0\0\0\0\0\x07")),
    )
    assert (asked["ot.address"], asked["ot.function.class"]) == ("OB1", "program")
    assert json.loads(given["event.fields"]) == {"session": 7} == json.loads(upload["event.fields"])


def test_system_lists_tell_what_module_it_is() -> None:
    record = struct.pack(">H", 1) + b"6ES7 315-2EH14-0AB0 " + bytes(6)
    data = struct.pack(">HHHH", 0x11, 0, len(record), 1) + record
    asked, told = rows(
        (0, userdata(4, 4, 1, b"\xff\x09\0\x04\0\x11\0\0")),
        (1, userdata(8, 4, 1, b"\xff\x09" + struct.pack(">H", len(data)) + data, more=b"\0\0\0\0")),
    )
    assert (asked["ot.function.code"], asked["ot.function.name"], asked["ot.is_request"]) == (0x401, "Read SZL", True)
    assert (told["ot.address"], told["ot.value"]) == ("SZL 0x0011/0x0000", "6ES7 315-2EH14-0AB0")
    assert (told["ot.is_request"], told["ot.function.class"], told["ot.status"]) == (False, "read", "0x0000")


def test_a_list_in_several_parts_keeps_its_name() -> None:
    first = struct.pack(">HHHH", 0x1C, 0, 34, 1) + b"\0\1SNAP7-SERVER"
    head = b"\xff\x09" + struct.pack(">H", 100)
    one, other, alone = rows(
        (1, userdata(8, 4, 1, head + first, more=b"\x05\x01\0\0")),
        (1, userdata(8, 4, 1, head + bytes(20), more=b"\x05\0\0\0")),
        (1, userdata(8, 4, 1, head + first, more=b"\x05\0\0\0")),
    )
    assert one["ot.address"] == other["ot.address"] == alone["ot.address"] == "SZL 0x001c/0x0000"
    assert (one["ot.value"], other["ot.value"]) == ("SNAP7-SERVER", None)


def test_userdata_is_group_and_subfunction() -> None:
    clock, push, unknown, wrong = rows(
        (0, userdata(4, 7, 2)),
        (1, userdata(0, 4, 3)),
        (0, userdata(4, 2, 9)),
        (1, userdata(8, 5, 1, more=b"\0\0\xd6\x02")),
    )
    assert (clock["ot.function.code"], clock["ot.function.class"]) == (0x702, "write")
    assert (push["ot.is_request"], push["ot.function.class"]) == (False, None)
    assert unknown["ot.function.name"] == "Cyclic data 0x09"
    assert (wrong["ot.status"], wrong["ot.function.class"]) == ("0xd602", "error")


def test_messages_of_the_newer_protocol_have_function_sequence_and_session() -> None:
    session = ask(0x04CA, 1, 0x120)
    reply = struct.pack(">BHHHHB", 0x32, 0, 0x04CA, 0, 1, 0x36) + bytes(20)
    end = ask(0x04D4, 3, 904, struct.pack(">I", 904))
    found = rows((0, plus(session, 1)), (1, plus(reply, 1)), (0, PLUS), (0, plus(end)), (1, plus(b"\x33" + bytes(9))))
    assert {(row["ot.protocol"], row["network.protocol"]) for row in found} == {("s7comm_plus", "s7comm_plus")}
    assert [row["ot.function.code"] for row in found] == [0x04CA, 0x04CA, 0x0542, 0x04D4, None]
    assert [row["ot.function.class"] for row in found] == [None, None, "write", None, None]
    assert json.loads(found[2]["event.fields"]) == {"version": 2, "integrity": False, "session": 904}
    assert (found[2]["ot.transaction_id"], found[4]["ot.message.type"]) == (1, "notification")


def test_a_message_in_several_units_and_one_with_a_digest_are_one_row_each() -> None:
    first, last = plus(ask(0x056B) + bytes(50), trailer=False), plus(bytes(20))
    digest = plus(b"\x20" + bytes(32) + ask(0x054C), 3)
    found = rows((0, first), (0, last), (0, digest))
    assert [row["ot.function.name"] for row in found] == ["Invoke", "GetMultiVariables"]
    assert json.loads(found[1]["event.fields"])["integrity"] is True


def test_one_connection_may_speak_both() -> None:
    found = rows((0, READ), (0, PLUS))
    assert [row["ot.protocol"] for row in found] == ["s7comm", "s7comm_plus"]
    assert [row["network.protocol"] for row in found] == ["s7comm", "s7comm_plus"]


def test_other_ports_are_known_by_their_lengths_and_others_are_left_alone() -> None:
    assert len(rows((0, READ), port=1102)) == 1
    assert rows((0, cotp(b"\x60\x10 session of another")), port=102) == []
    assert not s7comm.starts(cotp(b"2\x01\0\0\0\0\0\x02\0\0\xf0\0\0\0\0"), False)


@pytest.mark.parametrize(("mss", "pieces"), [(25, 1), (40, 4), (1400, 7)])
def test_any_borders_give_the_same_rows(mss: int, pieces: int) -> None:
    said = [(0, READ), (1, READ_ANSWER), (0, WRITE + PLUS), (1, answer(b"\x05\x01", b"\xff", 8))]
    keys = ("ot.function.name", "ot.value", "ot.address", "ot.status", "event.fields", "ot.protocol", "source.port")
    wanted = [[row[key] for key in keys] for row in rows(*said)]
    assert len(wanted) == 5
    assert [[row[key] for key in keys] for row in rows(*said, mss=mss, pieces=pieces)] == wanted


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), st.sampled_from([1, 2, 3, 7]), st.binary(max_size=60)), max_size=5))
def test_no_message_raises(units: list[tuple[int, int, bytes]]) -> None:
    said = []
    for side, kind, raw in units:
        size = min(len(raw), 20)
        said.append((side, cotp(struct.pack(">BBHHHH", 0x32, kind, 0, 1, size, len(raw) - size) + raw)))
        said.append((side, cotp(b"\x32" + raw)))
        said.append((side, cotp(b"\x72" + raw)))
    for row in rows((0, READ), *said):
        json.loads(row.get("event.fields") or "{}")


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=60))
def test_no_list_or_service_raises(raw: bytes) -> None:
    s7comm_items.service(raw)
    s7comm_items.system_list(raw)
    s7comm_items.items(raw, 0, 255)
    list(s7comm_items.data_items(raw, 0, 255))
    s7comm_plus.Messages().unit(0, raw)
