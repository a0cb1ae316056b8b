"""EtherNet/IP and CIP: messages, what is inside them, requests matched with their responses."""

from __future__ import annotations

import json
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.decoders import wire
from tests.decoders.ot import talk

from cityguard import columns
from cityguard.decoders.ot import cip, cip_path, enip

SESSION = 0x11020100
BLANK: dict[str, Any] = dict.fromkeys(columns.names("ot"))


def message(command: int, data: bytes = b"", *, status: int = 0, context: int = 0, session: int = SESSION) -> bytes:
    return struct.pack("<HHIIQI", command, len(data), session, status, context, 0) + data


def rr(data: bytes, context: int = 1) -> bytes:
    return message(0x6F, struct.pack("<IHHHHHH", 0, 10, 2, 0, 0, 0xB2, len(data)) + data, context=context)


def unit(data: bytes, sequence: int, connection: int = 0x80000001) -> bytes:
    body = struct.pack("<H", sequence) + data
    return message(0x70, struct.pack("<IHHHHIHH", 0, 0, 2, 0xA1, 4, connection, 0xB1, len(body)) + body)


def asked(service: int, path: bytes, data: bytes = b"") -> bytes:
    return bytes((service, len(path) // 2)) + path + data


def answer(service: int, data: bytes = b"", status: int = 0, extended: bytes = b"") -> bytes:
    return bytes((service | 0x80, 0, status, len(extended) // 2)) + extended + data


def place(klass: int, instance: int, *attribute: int) -> bytes:
    return bytes((0x20, klass, 0x24, instance)) + (bytes((0x30, attribute[0])) if attribute else b"")


def rows(*said: tuple[int, bytes], mss: int = 1400, pieces: int = 1, port: int = 44818) -> list[dict[str, Any]]:
    talker = wire.Talker(port).shake()
    for side, payload in said:
        talker.say(side, payload, mss=mss)
    return [BLANK | row for row in wire.table(wire.decode(talker.packets, pieces=pieces), "ot").to_dicts()]


def embedded(*said: tuple[int, bytes]) -> list[dict[str, Any]]:
    return [row for row in rows(*said) if row["ot.protocol"] == "cip"]


def test_a_session_is_registered_and_its_end_is_seen() -> None:
    register = message(0x65, b"\1\0\0\0", session=0)
    ask, told, end = rows((0, register), (1, message(0x65, b"\1\0\0\0")), (0, message(0x66)))
    assert [row["ot.function.name"] for row in (ask, told, end)] == [
        "RegisterSession",
        "RegisterSession",
        "UnRegisterSession",
    ]
    assert [row["ot.is_request"] for row in (ask, told, end)] == [True, False, True]
    assert json.loads(told["event.fields"])["session"] == SESSION


def test_a_refused_command_is_an_error() -> None:
    _, refused = rows((0, message(0x64)), (1, message(0x64, status=1)))
    assert (refused["ot.function.class"], refused["ot.status"]) == ("error", "0x01")


def test_an_attribute_read_and_its_answer_know_each_other() -> None:
    found = rows((0, rr(asked(0x0E, place(0xF5, 1, 5)))), (1, rr(answer(0x0E, b"\1\2\3"))))
    assert [row["ot.protocol"] for row in found] == ["enip", "cip"] * 2
    ask, told = found[1], found[3]
    for row in (ask, told):
        assert (row["ot.function.code"], row["ot.function.name"]) == (0x0E, "Get_Attribute_Single")
        assert (row["ot.address"], row["ot.function.class"], row["ot.transaction_id"]) == ("0xF5/1/5", "read", 1)
    assert (told["ot.value"], told["ot.status"]) == ("0x010203", "0x00")
    assert (ask["destination.port"], told["source.port"]) == (44818, 44818)
    assert ask["network.protocol"] == "enip"


def test_an_error_answer_has_its_general_and_extended_status() -> None:
    _, told = embedded((0, rr(asked(0x10, place(1, 1, 7), b"\5"))), (1, rr(answer(0x10, b"", 1, b"\x00\x01"))))
    assert (told["ot.function.class"], told["ot.status"], told["ot.address"]) == ("error", "0x01/0x0100", "0x01/1/7")
    assert json.loads(told["event.fields"])["status"] == "Connection failure"


def test_connected_messages_are_matched_by_their_sequence() -> None:
    tag = b"\x91\x05Pump1\x00"
    ask, other, told = embedded(
        (0, unit(asked(0x4D, tag, struct.pack("<HHi", 0xC4, 1, -7)), 9)),
        (0, unit(asked(0x4C, b"\x91\x04Tank", b"\1\0"), 10)),
        (1, unit(answer(0x4D), 9, 0x4001)),
    )
    assert (ask["ot.function.name"], ask["ot.function.class"], ask["ot.address"]) == ("Write_Tag", "write", "Pump1")
    assert (ask["ot.value"], ask["ot.quantity"]) == ("-7", 1)
    assert (other["ot.address"], other["ot.function.class"]) == ("Tank", "read")
    assert (told["ot.address"], told["ot.transaction_id"], told["ot.function.class"]) == ("Pump1", 9, "write")


def test_values_of_a_tag_are_read_by_their_type() -> None:
    _, told = embedded(
        (0, unit(asked(0x4C, b"\x91\x04Tank\x28\x03", b"\2\0"), 1)),
        (1, unit(answer(0x4C, struct.pack("<Hff", 0xCA, 1.5, -2)), 1)),
    )
    assert (told["ot.address"], told["ot.value"], told["ot.quantity"]) == ("Tank[3]", "1.5,-2", 2)


def test_embedded_services_are_rows_after_their_packet() -> None:
    one, two = asked(0x0E, place(1, 1, 1)), asked(0x05, place(1, 1))
    packet = asked(0x0A, place(2, 1), struct.pack("<HHH", 2, 6, 6 + len(one)) + one + two)
    first, second = answer(0x0E, b"\1\0"), answer(0x05, b"", 0x10)
    told = answer(0x0A, struct.pack("<HHH", 2, 6, 6 + len(first)) + first + second, 0x1E)
    found = embedded((0, unit(packet, 3)), (1, unit(told, 3)))
    assert [row["ot.function.code"] for row in found] == [0x0A, 0x0E, 0x05, 0x0A, 0x0E, 0x05]
    assert [row["ot.function.class"] for row in found] == [None, "read", "control", "error", "read", "error"]
    assert [row["ot.address"] for row in found[3:]] == ["0x02/1", "0x01/1/1", "0x01/1"]


def test_an_unconnected_send_is_unwrapped_and_answered_by_what_is_inside() -> None:
    inner = asked(0x07, place(0x8E, 1))
    wrapped = struct.pack("<BBH", 5, 240, len(inner)) + inner + b"\1\0" + b"\1\3"
    outer, inside, told = embedded((0, rr(asked(0x52, place(6, 1), wrapped), 5)), (1, rr(answer(0x07), 5)))
    assert (outer["ot.function.name"], inside["ot.function.name"]) == ("Unconnected_Send", "Stop")
    assert (inside["ot.function.class"], inside["ot.unit_id"], inside["ot.address"]) == ("control", "3", "0x8E/1")
    assert (told["ot.function.name"], told["ot.address"], told["ot.unit_id"]) == ("Stop", "0x8E/1", "3")


def test_a_forward_open_tells_its_connections() -> None:
    body = struct.pack("<BBIIHHIB3x", 7, 249, 0, 0x1234, 8, 1, 99, 1)
    body += struct.pack("<IHIHB", 10000, 0x43F4, 20000, 0x43F8, 0xA3) + b"\2\x20\x02\x24\x01"
    told = struct.pack("<IIHHIII", 0x80FE0001, 0x1234, 8, 1, 99, 10000, 20000) + b"\0\0"
    ask, done = embedded((0, rr(asked(0x54, place(6, 1), body))), (1, rr(answer(0x54, told))))
    extra = json.loads(ask["event.fields"])
    assert (extra["connection.serial"], extra["transport_class"], extra["path"]) == (8, 3, "0x02/1")
    assert (extra["size.o_t"], extra["size.t_o"]) == (0x1F4, 0x1F8)
    assert json.loads(done["event.fields"])["connection.o_t"] == 0x80FE0001
    close = struct.pack("<BBHHIBB", 7, 249, 8, 1, 99, 2, 0) + place(2, 1)
    (end,) = embedded((0, rr(asked(0x4E, place(6, 1), close))))
    assert (end["ot.function.name"], json.loads(end["event.fields"])["connection.serial"]) == ("Forward_Close", 8)


@pytest.mark.parametrize(
    ("path", "address"),
    [
        (place(0x8E, 1) + place(0x74, 1), "0x8E/1/0x74/1"),
        (b"\x21\x00\x07\x03\x25\x00\x20\x24", "0x307/9248"),
        (b"\x20\x04\x2c\x65", "0x04/101"),
        (b"\x34\x04" + bytes(8) + b"\x20\x04\x24\x97", "0x04/151"),
        (b"\x01\x00\x20\x02\x24\x01", "0x02/1"),
        (b"\x15\x0910.0.0.12\x00" + b"\x20\x02\x24\x01", "0x02/1"),
        (b"\x91\x03Abc\x00\x91\x01x\x00\x28\x07", "Abc.x[7]"),
        (b"", None),
    ],
)
def test_paths_lead_to_objects_and_tags(path: bytes, address: str | None) -> None:
    found = cip_path.read(path)
    assert (found.address, found.sound) == (address, True)


@pytest.mark.parametrize(
    ("service", "path", "kind"),
    [
        (0x4B, place(0x8E, 1) + place(0x74, 1), "control"),
        (0x06, place(0x8E, 1), "control"),
        (0x4C, place(0x37, 1), "program"),
        (0x08, place(0x68, 1), "program"),
        (0x04, place(0xF6, 1), "write"),
        (0x53, b"\x91\x02ab", "write"),
        (0x4C, place(0x72, 0), None),
    ],
)
def test_what_a_service_does_depends_on_its_object(service: int, path: bytes, kind: str | None) -> None:
    (row,) = embedded((0, rr(asked(service, path))))
    assert row["ot.function.class"] == kind


def test_a_pccc_command_is_classed_by_its_function() -> None:
    body = b"\x07\x01\x00\x01\x00\x00\x00" + struct.pack("<BBHB", 0x0F, 0, 77, 0xAA) + b"\2\7\x89\0\0\1\0"
    (row,) = embedded((0, rr(asked(0x4B, place(0x67, 1), body))))
    extra = json.loads(row["event.fields"])
    assert (row["ot.function.name"], row["ot.function.class"]) == ("Execute_PCCC", "write")
    assert (extra["pccc.function"], extra["pccc.transaction"]) == (0xAA, 77)


def datagrams(port: int, *said: bytes) -> list[dict[str, Any]]:
    packets = [wire.ether(wire.ip4(wire.CLIENT, wire.SERVER, 17, wire.udp(50000, port, one))) for one in said]
    return [BLANK | row for row in wire.table(wire.decode(packets), "ot").to_dicts()]


def test_an_identity_is_read_from_udp() -> None:
    identity = struct.pack("<H", 1) + struct.pack(">HH4s8x", 2, 44818, bytes((10, 0, 0, 2)))
    identity += struct.pack("<HHHBBHI", 1, 14, 58, 4, 3, 0x30, 0x524D8E) + b"\x05ENBT1\x03"
    told = message(0x63, struct.pack("<HHH", 1, 0x0C, len(identity)) + identity, session=0)
    (row,) = datagrams(44818, told)
    extra = json.loads(row["event.fields"])
    assert (extra["identity.vendor"], extra["identity.product_name"], extra["identity.ip"]) == (1, "ENBT1", "10.0.0.2")
    assert (extra["identity.revision"], extra["identity.state"]) == ("4.3", 3)


def test_cyclic_data_is_its_own_kind() -> None:
    (row,) = datagrams(2222, struct.pack("<HHHIIHH", 2, 0x8002, 8, 0xABCD, 7, 0xB1, 6) + b"\1\0\2\0\3\0")
    assert (row["ot.protocol"], row["ot.function.code"], row["ot.message.type"]) == ("cip", None, "io")
    assert (row["ot.address"], row["ot.quantity"], row["ot.transaction_id"]) == ("0x0000ABCD", 6, 7)


def test_it_is_known_on_another_port_by_its_content() -> None:
    found = rows((0, message(0x65, b"\1\0\0\0", session=0)), (0, rr(asked(1, place(1, 1)))), port=5000)
    assert [row["ot.function.name"] for row in found] == ["RegisterSession", "SendRRData", "Get_Attributes_All"]
    assert not rows((0, b"\x6f\0" + b"\x41" * 60), port=5000)


CONVERSATION = (
    (0, message(0x65, b"\1\0\0\0", session=0)),
    (1, message(0x65, b"\1\0\0\0")),
    (0, rr(asked(0x0E, place(1, 1, 7))) + unit(asked(0x4C, b"\x91\x02ab", b"\1\0"), 4)),
    (1, rr(answer(0x0E, b"\5abcde"))),
    (1, unit(answer(0x4C, b"\xc3\0\x09\0"), 4)),
)


@pytest.mark.parametrize("mss", [1, 7, 23, 24, 25, 60])
@pytest.mark.parametrize("pieces", [1, 3])
def test_borders_of_segments_and_pieces_change_nothing(mss: int, pieces: int) -> None:
    def told(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{name: one for name, one in row.items() if name.startswith("ot.")} for row in found]

    assert told(rows(*CONVERSATION, mss=mss, pieces=pieces)) == told(rows(*CONVERSATION))


def test_after_a_gap_reading_goes_on_at_the_next_message() -> None:
    talker = wire.Talker(44818).shake().say(0, rr(asked(1, place(1, 1))))
    lost = rr(asked(1, place(2, 1)))
    talker.say(0, lost[:30])
    talker.seq[0] += len(lost) - 30
    for number in range(80):
        talker.say(0, rr(asked(1, place(4, 1)), context=number + 10))
    found = wire.table(wire.decode(talker.packets), "ot").to_dicts()
    assert [row["ot.address"] for row in found if row["ot.protocol"] == "cip"] == ["0x01/1"] + ["0x04/1"] * 80


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=120), st.binary(max_size=60))
def test_no_bytes_raise(data: bytes, more: bytes) -> None:
    (protocol,) = enip.PROTOCOLS
    enip.starts(data, True)
    enip.starts(b"\x6f\0" + data, False)
    asked_rows, known = cip.request(data)
    cip.response(b"\x8a\0\0\0" + data, known)
    cip_path.read(data)
    talk.said(protocol, (0, message(0x6F, data) + more), (1, rr(data)), (0, unit(asked(0x0A, place(2, 1), data), 1)))
    talk.sent(protocol, (0, message(0x63, data)))
    assert len(asked_rows) <= 1 + cip.MAX_EMBEDDED


def test_embedded_messages_may_not_overlap() -> None:
    inner = asked(0x0A, place(2, 1), b"")
    body = struct.pack("<H60H", 60, *([122, 400] * 30)) + inner * 60
    rows_of, _ = cip.request(asked(0x0A, place(2, 1), body))
    assert len(rows_of) <= 3


def test_requests_that_wait_are_bounded_and_counted() -> None:
    waiting = enip.Waiting()
    for number in range(5000):
        _, one = cip.request(asked(0x0E, place(1, 1, number % 100)))
        assert one is not None
        waiting.ask((1, number), one)
        assert waiting.held <= enip.MAX_WAITING
    assert waiting.answer((1, 0), 0x0E) is None
    found = waiting.answer((1, 4999), 0x0E)
    assert found is not None
    assert found.address == "0x01/1/99"
    assert waiting.held < enip.MAX_WAITING
