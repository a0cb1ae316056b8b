"""Modbus on other ports, in datagrams, and serial frames on TCP; single PDUs read as arrays of them are."""

from __future__ import annotations

import json
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.decoders import wire
from tests.decoders.ot.test_modbus import adu

from cityguard.decoders.ot import modbus_other, modbus_pdu
from cityguard.decoders.wire import crc


def rtu(pdu: bytes, unit: int = 17) -> bytes:
    frame = bytes((unit,)) + pdu
    return frame + struct.pack("<H", crc.modbus(frame))


def ascii_line(pdu: bytes, unit: int = 17) -> bytes:
    frame = bytes((unit,)) + pdu
    return b":" + (frame + bytes((-sum(frame) & 0xFF,))).hex().upper().encode() + b"\r\n"


def rows(*said: tuple[int, bytes], mss: int = 1400, pieces: int = 1, port: int = 10502) -> list[dict[str, Any]]:
    talker = wire.Talker(port).shake()
    for side, payload in said:
        talker.say(side, payload, mss=mss)
    return wire.table(wire.decode(talker.packets, pieces=pieces), "ot").to_dicts()


READ, ANSWER = b"\x03" + struct.pack(">HH", 100, 2), b"\x03\x04" + struct.pack(">HH", 7, 65535)
WRITE = b"\x10" + struct.pack(">HHB", 40, 2, 4) + b"\0\1\0\2"


def test_the_serial_checksum_is_the_standards_own() -> None:
    assert rtu(bytes.fromhex("030000000a"), 1) == bytes.fromhex("01030000000ac5cd")


@pytest.mark.parametrize(
    ("form", "port"), [(adu, 10502), (rtu, 502), (rtu, 4001), (ascii_line, 502), (ascii_line, 777)]
)
@pytest.mark.parametrize("pieces", [1, 3])
def test_every_framing_is_known_by_its_content(form: Any, port: int, pieces: int) -> None:
    ask, answer, write, failed = rows(
        *((0, form(READ)), (1, form(ANSWER)), (0, form(WRITE)), (1, form(b"\x90\x02"))), port=port, pieces=pieces
    )
    assert [row["ot.is_request"] for row in (ask, answer, write, failed)] == [True, False, True, False]
    assert (ask["ot.protocol"], ask["network.protocol"], ask["ot.unit_id"]) == ("modbus", "modbus", "17")
    assert (answer["ot.address"], answer["ot.quantity"], answer["ot.value"]) == ("100", 2, "7,65535")
    assert (write["ot.value"], write["ot.function.class"]) == ("1,2", "write")
    assert (failed["ot.status"], failed["ot.function.class"], failed["ot.address"]) == ("2", "error", "40")
    assert ask["ot.transaction_id"] == (1 if form is adu else None)


def test_serial_frames_may_lie_across_segments() -> None:
    found = rows((0, rtu(READ)), (1, rtu(ANSWER)), (0, rtu(WRITE) + rtu(READ)), mss=9)
    assert [row["ot.function.code"] for row in found] == [3, 3, 16, 3]


@pytest.mark.parametrize("broken", [rtu(READ)[:-1] + b"\xee", rtu(READ)[:5], rtu(READ) + b"\x11", bytes(40)])
def test_a_wrong_checksum_costs_no_frame_but_its_own(broken: bytes) -> None:
    other = rtu(b"\x03" + struct.pack(">HH", 7, 1))
    found = rows((0, rtu(READ)), (0, broken), (0, other), (1, rtu(b"\x03\x02\0\5")), port=4001)
    assert [(row["ot.address"], row["ot.is_request"]) for row in found][-2:] == [("7", True), ("7", False)]
    assert len(found) == (4 if broken.startswith(rtu(READ)) else 3)


def test_datagrams_are_paired_by_their_ends_and_transaction() -> None:
    def datagram(source: int, destination: int, data: bytes) -> bytes:
        ends = (wire.SERVER, wire.CLIENT) if source == 502 else (wire.CLIENT, wire.SERVER)
        return wire.ether(wire.ip4(*ends, 17, wire.udp(source, destination, data)))

    found = wire.table(wire.decode([datagram(1500, 502, adu(READ)), datagram(502, 1500, adu(ANSWER))]), "ot").to_dicts()
    assert [(row["ot.address"], row["ot.is_request"]) for row in found] == [("100", True), ("100", False)]


@pytest.mark.parametrize(
    "payload",
    [
        rtu(READ)[:-1] + b"\0",
        b"GET / HTTP/1.1\r\n\r\n",
        adu(b"\x03" + struct.pack(">HH", 0, 200)),
        adu(b"\x63\0\0"),
        adu(READ) + b"\0",
        b":110300640002\r\n",
        rtu(b"\x02\x03\x04\x07\0", 1),
    ],
)
def test_what_does_not_keep_to_the_standard_is_not_taken(payload: bytes) -> None:
    assert not modbus_other.starts(payload, False)
    assert not modbus_other.starts_datagram(payload, False)


@pytest.mark.parametrize(
    ("pdu", "asks", "start", "many", "value", "more"),
    [
        (b"\x14\x07\x06\0\4\0\1\0\2", True, 4 << 16 | 1, 2, None, {"records": [[4, 1, 2]]}),
        (b"\x14\x06\x05\x06\0\1\0\2", False, None, None, "1,2", {}),
        (b"\x15\x0b\x06\0\4\0\7\0\2\0\5\0\6", True, 4 << 16 | 7, 2, "5,6", {"records": [[4, 7, 2]]}),
        (b"\x16\0\4\0\xf2\0\x25", True, 4, 1, "242,37", {"and_mask": 242, "or_mask": 37}),
        (b"\x17\0\3\0\6\0\x0e\0\2\4\0\xff\0\1", True, 14, 2, "255,1", {"read_address": 3, "read_quantity": 6}),
        (b"\x17\4\0\1\0\2", False, None, None, "1,2", {}),
        (b"\x18\0\6\0\2\1\xb8\x12\x84", False, None, 2, "440,4740", {}),
        (b"\x08\0\x0b\0\x05", False, 11, None, "5", {"subfunction": "Return Bus Message Count"}),
        (b"\x07\x6d", False, None, None, "109", {}),
        (b"\x0b\xff\xff\0\7", False, None, None, "7", {"busy": True}),
        (b"\x0c\x08\0\0\1\\8\1\x21\x20\0".replace(rb"\8", b"\x08"), False, None, None, "32,0", {}),
        (b"\x11\x05Motor", False, None, None, "Motor", {}),
        (
            b"\x2b\x0e\1\1\0\0\2\0\3Acm\1\2V1",
            False,
            14,
            2,
            "Acm,V1",
            {"read_code": 1, "conformity": 1, "objects": {"0": "Acm", "1": "V1"}},
        ),
        (b"\x5a\x01\x20", True, 0x20, None, None, {"session": 1, "umas": 0x20}),
    ],
)
def test_functions_without_a_columnar_form(
    pdu: bytes, asks: bool, start: int | None, many: int | None, value: str | None, more: dict[str, Any]
) -> None:
    said = modbus_pdu.read(pdu, asks)
    assert (said.start, said.many, said.value) == (start, many, value)
    assert more.items() <= said.more.items()
    in_column = rows((0 if asks else 1, adu(pdu)), port=502)[0]
    assert (in_column["ot.value"], in_column["ot.quantity"]) == (value, many)
    assert in_column["ot.address"] == modbus_pdu.place(said.code, start)
    assert (in_column["event.fields"] is None) == (not said.more)


def test_the_answer_of_a_read_and_write_on_a_serial_line_is_about_what_was_read() -> None:
    ask, answer = b"\x17" + struct.pack(">HHHHBH", 11, 2, 30, 1, 2, 5), b"\x17\x04" + struct.pack(">HH", 7, 8)
    found = rows((0, rtu(READ)), (0, rtu(ask)), (1, rtu(answer)), port=4001)[1:]
    assert [(row["ot.address"], row["ot.quantity"]) for row in found] == [("30", 1), ("11", 2)]


def test_an_answer_of_umas_is_of_the_function_asked() -> None:
    stop, done, failed = rows(
        (0, adu(b"\x5a\x01\x41")), (1, adu(b"\x5a\x01\xfe")), (1, adu(b"\x5a\x01\xfd\x80")), port=502
    )
    assert [row["ot.function.name"] for row in (stop, done)] == ["UMAS Stop PLC"] * 2
    assert (stop["ot.function.class"], done["ot.function.class"]) == ("control", "control")
    assert (failed["ot.function.class"], failed["ot.status"]) == ("error", "128")


@settings(max_examples=50, deadline=None)
@given(st.binary(min_size=1, max_size=40), st.booleans())
def test_single_pdus_say_what_arrays_of_them_say(pdu: bytes, asks: bool) -> None:
    said = modbus_pdu.read(pdu, asks)
    json.loads(said.text or "{}")
    row = rows((0 if asks else 1, adu(pdu)), port=502)[0]
    assert (row["ot.function.code"], row["ot.value"], row["ot.quantity"]) == (said.code, said.value, said.many)
    assert row["ot.address"] == modbus_pdu.place(said.code, said.start)
    assert row["ot.function.class"] == modbus_pdu.klass(said.code, said.start, failed=said.failed)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), st.binary(max_size=30)), max_size=6))
def test_no_line_raises(parts: list[tuple[int, bytes]]) -> None:
    for form in (rtu, ascii_line, adu):
        rows((0, form(READ)), *parts, port=9000)
