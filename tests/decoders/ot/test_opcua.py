"""OPC UA binary: connection, secure conversation, services and built-in types."""

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
from cityguard.decoders.ot import opcua, opcua_types
from cityguard.decoders.protocol import Out
from cityguard.decoders.stream import Moment

NONE = b"http://opcfoundation.org/UA/SecurityPolicy#None"
BASIC = b"http://opcfoundation.org/UA/SecurityPolicy#Basic256Sha256"
BLANK: dict[str, Any] = dict.fromkeys(columns.names("ot"))


def text(value: bytes | None) -> bytes:
    return struct.pack("<i", -1) if value is None else struct.pack("<i", len(value)) + value


def chunk(kind: bytes, body: bytes, last: bytes = b"F") -> bytes:
    return kind + last + struct.pack("<I", 8 + len(body)) + body


def hello() -> bytes:
    return chunk(b"HEL", struct.pack("<5I", 0, 65535, 65535, 0, 0) + text(b"opc.tcp://plc:4840"))


def acknowledge() -> bytes:
    return chunk(b"ACK", struct.pack("<5I", 0, 65535, 65535, 0, 0))


def opened(body: bytes, policy: bytes = NONE, request: int = 1) -> bytes:
    return chunk(b"OPN", struct.pack("<I", 7) + text(policy) + text(None) * 2 + struct.pack("<II", 1, request) + body)


def msg(body: bytes, request: int = 2, kind: bytes = b"MSG", last: bytes = b"F") -> bytes:
    return chunk(kind, struct.pack("<4I", 7, 1, request, request) + body, last)


def ask(kind: int, body: bytes = b"") -> bytes:
    head = b"\0\0" + struct.pack("<qII", 0, 77, 0) + text(None) + struct.pack("<I", 5000) + b"\0\0\0"
    return b"\1\0" + struct.pack("<H", kind) + head + body


def answer(kind: int, body: bytes = b"", status: int = 0) -> bytes:
    head = struct.pack("<qII", 0, 77, status) + b"\0" + struct.pack("<i", -1) + b"\0\0\0"
    return b"\1\0" + struct.pack("<H", kind) + head + body


def rows(*said: tuple[int, bytes], mss: int = 1400, pieces: int = 1, port: int = 4840) -> list[dict[str, Any]]:
    talker = wire.Talker(port).shake()
    for side, payload in said:
        talker.say(side, payload, mss=mss)
    return [BLANK | row for row in wire.table(wire.decode(talker.packets, pieces=pieces), "ot").to_dicts()]


def extra(row: dict[str, Any]) -> dict[str, Any]:
    return dict(json.loads(row["event.fields"]))


NODE = b"\3\1\0" + text(b"pump")
READ = ask(631, struct.pack("<dIi", 0, 2, 1) + NODE + struct.pack("<I", 13) + text(None) + b"\0\0" + text(None))
VALUE = answer(634, struct.pack("<i", 1) + b"\1\x0a" + struct.pack("<f", 1.5) + struct.pack("<i", 0))
WRITE = ask(673, struct.pack("<i", 1) + NODE + struct.pack("<I", 13) + text(None) + b"\1\6" + struct.pack("<i", 42))
OPENED = (0, opened(ask(446, struct.pack("<III", 0, 0, 1) + text(None) + struct.pack("<I", 3600))))


def test_a_connection_begins_with_hello_and_a_channel() -> None:
    body = struct.pack("<IIIqI", 0, 7, 1, 0, 3600) + text(None)
    found = rows((0, hello()), (1, acknowledge()), OPENED, (1, opened(answer(449, body))))
    assert [row["ot.function.name"] for row in found] == [
        "Hello",
        "Acknowledge",
        "OpenSecureChannelRequest",
        "OpenSecureChannelResponse",
    ]
    assert [row["ot.message.type"] for row in found] == ["hel", "ack", "opn", "opn"]
    assert [row["ot.function.code"] for row in found] == [None, None, 446, 449]
    assert [row["ot.is_request"] for row in found] == [True, False, True, False]
    assert found[0]["ot.address"] == "opc.tcp://plc:4840"
    assert (extra(found[2])["security_mode"], extra(found[3])["token"]) == ("None", 1)


def test_a_read_and_its_values_know_each_other() -> None:
    one, two = rows((0, msg(READ)), (1, msg(VALUE)))
    for row in (one, two):
        assert (row["ot.protocol"], row["ot.function.class"], row["ot.address"]) == ("opcua", "read", "ns=1;s=pump")
        assert (row["ot.quantity"], row["ot.transaction_id"], extra(row)["request_handle"]) == (1, 2, 77)
    assert (one["ot.function.code"], two["ot.function.code"]) == (631, 634)
    assert (two["ot.value"], two["ot.status"]) == ("1.5", "Good")


def test_every_node_of_a_message_is_told_with_its_value() -> None:
    def node(number: int) -> bytes:
        return bytes((0, number))

    def what(number: int) -> bytes:
        return node(number) + struct.pack("<I", 13) + text(None)

    write = b"".join(what(20 + at) + b"\1\6" + struct.pack("<i", at) for at in range(20))
    read = b"".join(what(20 + at) + b"\0\0" + text(None) for at in range(3))
    values = b"".join(b"\1\6" + struct.pack("<i", at) for at in (5, 6, 7))
    found = rows(
        (0, msg(ask(673, struct.pack("<i", 20) + write))),
        (1, msg(answer(676, struct.pack("<i", 20) + bytes(80) + struct.pack("<i", 0)))),
        (0, msg(ask(631, struct.pack("<dIi", 0, 2, 3) + read))),
        (1, msg(answer(634, struct.pack("<i", 3) + values + struct.pack("<i", 0)))),
    )
    written, listed = ",".join(f"i={20 + at}" for at in range(16)), "i=20,i=21,i=22"
    assert [row["ot.address"] for row in found] == [written, written, listed, listed]
    assert [row["ot.quantity"] for row in found] == [20, 20, 3, 3]
    assert [row["ot.value"] for row in found] == [",".join(map(str, range(16))), None, None, "5,6,7"]


def test_a_write_has_its_value_and_a_refusal_is_an_error() -> None:
    one, two = rows((0, msg(WRITE)), (1, msg(answer(676, struct.pack("<iIi", 1, 0x803B0000, 0)))))
    assert (one["ot.function.class"], one["ot.value"], one["ot.address"]) == ("write", "42", "ns=1;s=pump")
    assert (two["ot.function.class"], two["ot.status"], two["ot.address"]) == ("error", "BadNotWritable", "ns=1;s=pump")


def test_a_fault_answers_any_request() -> None:
    one, two = rows((0, msg(WRITE)), (1, msg(answer(397, status=0x80250000))))
    assert (two["ot.function.name"], two["ot.function.class"]) == ("ServiceFault", "error")
    assert (two["ot.status"], extra(two)["request"]) == ("BadSessionIdInvalid", "WriteRequest")
    assert one["ot.address"] == two["ot.address"]


def test_a_call_is_control() -> None:
    body = struct.pack("<i", 1) + b"\0\x55" + NODE + struct.pack("<i", 2) + b"\1\1" + b"\x0c" + text(b"now")
    (row,) = rows((0, msg(ask(712, body))))
    assert (row["ot.function.class"], row["ot.address"], row["ot.value"]) == ("control", "i=85/ns=1;s=pump", "true,now")


def test_a_session_tells_who_logs_in_but_not_the_password() -> None:
    token = text(b"policy") + text(b"operator") + text(b"secret") + text(None)
    body = text(None) * 2 + struct.pack("<ii", 0, 0) + b"\1\0" + struct.pack("<H", 324) + b"\1" + text(token)
    (row,) = rows((0, msg(ask(467, body + text(None) * 2))))
    told = extra(row)
    assert (told["user_token"], told["user"], told["password"]) == ("UserName", "operator", True)
    assert "secret" not in str(row)


def test_what_is_encrypted_keeps_its_headers() -> None:
    found = rows((0, opened(bytes(200), BASIC)), (0, msg(bytes(range(100)))), (1, msg(bytes(range(100, 200)))))
    assert [row["event.flags"] for row in found] == [["encrypted"]] * 3
    assert [row["ot.function.code"] for row in found] == [None] * 3
    assert [row["ot.is_request"] for row in found] == [True, True, False]
    assert extra(found[0])["security_policy"].endswith("Basic256Sha256")


def test_chunks_are_put_together_and_an_abort_ends_them() -> None:
    parts = [(0, msg(READ[:30], last=b"C")), (0, msg(READ[30:60], last=b"C")), (0, msg(READ[60:]))]
    abort = msg(struct.pack("<I", 0x80040000) + text(b"full"), 3, last=b"A")
    found = rows(OPENED, *parts, (0, msg(WRITE[:30], 3, last=b"C")), (0, abort))
    assert [row["ot.function.name"] for row in found[1:]] == ["ReadRequest", "Abort"]
    assert (found[1]["ot.address"], found[2]["ot.status"]) == ("ns=1;s=pump", "BadResourceUnavailable")


def test_the_error_message_is_read() -> None:
    (_, row) = rows((0, hello()), (1, chunk(b"ERR", struct.pack("<I", 0x807F0000) + text(b"unknown channel"))))
    assert (row["ot.status"], row["ot.function.class"]) == ("BadTcpSecureChannelUnknown", "error")
    assert extra(row)["reason"] == "unknown channel"


def test_it_is_known_on_any_port_from_any_clear_message() -> None:
    assert [row["ot.function.code"] for row in rows((0, hello()), (0, msg(READ)), port=9999)] == [None, 631]
    assert [row["ot.function.code"] for row in rows((0, msg(READ)), port=9999)] == [631]
    assert not rows((0, msg(bytes(80))), port=9999)


def test_after_a_gap_reading_goes_on_at_the_next_message() -> None:
    talker = wire.Talker(4840).shake().say(0, hello()).say(0, msg(READ, 2))
    talker.seq[0] += 500
    for request in range(70):
        talker.say(0, b"xx" + msg(READ, request + 10))
    found = wire.table(wire.decode(talker.packets), "ot").to_dicts()
    assert [row["ot.transaction_id"] for row in found] == [None, 2, *range(10, 80)]


def test_messages_in_chunks_are_bounded() -> None:
    parser = opcua.Opcua(Out("opcua")).stream(talk.ends(4840))
    for number in range(200):
        request = number % 20 + 2
        parser.feed(0, msg(READ[:30] + bytes(20_000), request, last=b"C"), Moment(number, number))
        assert parser.held <= opcua.MAX_MESSAGE


CONVERSATION = ((0, hello()), (1, acknowledge()), OPENED, (0, msg(READ)), (1, msg(VALUE)), (0, msg(WRITE, 3)))


@pytest.mark.parametrize("mss", [8, 13, 50])
@pytest.mark.parametrize("pieces", [1, 4])
def test_borders_of_segments_and_pieces_change_nothing(mss: int, pieces: int) -> None:
    def told(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{name: one for name, one in row.items() if name.startswith("ot.")} for row in found]

    assert told(rows(*CONVERSATION, mss=mss, pieces=pieces)) == told(rows(*CONVERSATION))


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b"\0", ""),
        (b"\1\1", "true"),
        (b"\2\xff", "-1"),
        (b"\x0b" + struct.pack("<d", 0.1), "0.1"),
        (b"\x0c" + text(b"abc"), "abc"),
        (b"\x0e" + bytes(range(16)), "03020100-0504-0706-0809-0a0b0c0d0e0f"),
        (b"\x0f" + text(b"\1\2"), "0x0102"),
        (b"\x11\2\2\0" + struct.pack("<I", 70000), "ns=2;i=70000"),
        (b"\x13" + struct.pack("<I", 0x80340000), "BadNodeIdUnknown"),
        (b"\x14\1\0" + text(b"q"), "1:q"),
        (b"\x15\2" + text(b"label"), "label"),
        (b"\x86" + struct.pack("<iii", 2, 5, 6), "5,6"),
        (b"\x8c" + struct.pack("<i", 2) + text(b"a") + text(None), "a,"),
        (b"\xc6" + struct.pack("<iiiiiii", 4, 1, 2, 3, 4, 2, 2) + struct.pack("<i", 2), "1,2,3,4"),
        (b"\x17\1\6" + struct.pack("<i", 9), "9"),
        (b"\x18\6" + struct.pack("<i", 9), "9"),
    ],
)
def test_values_of_every_type_have_a_text(raw: bytes, value: str) -> None:
    assert opcua_types.Reader(raw).variant() == value


def test_nesting_and_lengths_are_bounded() -> None:
    with pytest.raises(opcua_types.Short):
        opcua_types.Reader(b"\x18" * 100).variant()
    with pytest.raises(opcua_types.Short):
        opcua_types.Reader(b"\x86" + struct.pack("<i", 2**31 - 1)).variant()
    with pytest.raises(opcua_types.Short):
        opcua_types.Reader(b"\x98" + struct.pack("<i", 50_000) + bytes(50_000)).variant()


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(sorted(opcua.names.SERVICES)), st.binary(max_size=120), st.integers(0, 100))
def test_no_bytes_raise(kind: int, data: bytes, cut: int) -> None:
    (protocol,) = opcua.PROTOCOLS
    opcua.starts(data, True)
    found = talk.said(
        protocol,
        (0, msg(ask(kind, data))),
        (1, msg(answer(kind, data))),
        (0, msg(READ[:cut] + data, 5)),
        (0, data),
        (0, msg(data, 6, last=b"A")),
        (1, opened(data) + chunk(b"ERR", data + bytes(8))),
    )
    assert len(found) >= 2
