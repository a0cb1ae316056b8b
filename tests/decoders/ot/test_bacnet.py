"""BACnet/IP: link, network and application layer, objects and values, segments, matching."""

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
from cityguard.decoders.ot import bacnet, bacnet_apdu

BLANK: dict[str, Any] = dict.fromkeys(columns.names("ot"))


def bvlc(data: bytes, function: int = 10) -> bytes:
    return struct.pack(">BBH", 0x81, function, 4 + len(data)) + data


def npdu(apdu: bytes, control: bytes = b"\0") -> bytes:
    return bvlc(b"\1" + control + apdu)


def confirmed(service: int, data: bytes, invoke: int = 1) -> bytes:
    return npdu(bytes((0x00, 0x05, invoke, service)) + data, b"\4")


def target(kind: int, instance: int, tag: int = 0x0C) -> bytes:
    return bytes((tag,)) + struct.pack(">I", kind << 22 | instance)


def rows(*said: tuple[int, bytes], pieces: int = 1, port: int = 47808) -> list[dict[str, Any]]:
    ends = ((wire.CLIENT, 50000), (wire.SERVER, port))
    packets = []
    for side, data in said:
        (source, source_port), (destination, destination_port) = ends[side], ends[1 - side]
        datagram = wire.udp(source_port, destination_port, data)
        packets.append(wire.ether(wire.ip4(source, destination, 17, datagram)))
    return [BLANK | row for row in wire.table(wire.decode(packets, pieces=pieces), "ot").to_dicts()]


PRESENT = target(2, 7) + b"\x19\x55"
REAL = b"\x3e\x44" + struct.pack(">f", 21.5) + b"\x3f"


def test_a_property_is_read_and_its_value_comes_back() -> None:
    ask, told = rows((0, confirmed(12, PRESENT)), (1, npdu(b"\x30\x01\x0c" + PRESENT + REAL)))
    for row in (ask, told):
        assert (row["ot.function.code"], row["ot.function.name"]) == (12, "readProperty")
        assert (row["ot.function.class"], row["ot.address"]) == ("read", "analog-value:7/present-value")
        assert (row["ot.transaction_id"], row["ot.protocol"]) == (1, "bacnet")
    assert (ask["ot.message.type"], told["ot.message.type"]) == ("confirmed-request", "complex-ack")
    assert (ask["ot.value"], told["ot.value"]) == (None, "21.5")


def test_a_write_has_its_value_and_priority_and_its_ack_its_object() -> None:
    ask, told = rows((0, confirmed(15, PRESENT + REAL + b"\x49\x08")), (1, npdu(b"\x20\x01\x0f")))
    assert (ask["ot.function.class"], ask["ot.value"]) == ("write", "21.5")
    assert json.loads(ask["event.fields"])["priority"] == 8
    assert (told["ot.message.type"], told["ot.address"]) == ("simple-ack", "analog-value:7/present-value")


def test_errors_rejects_and_aborts_tell_why_and_for_what() -> None:
    error = npdu(b"\x50\x01\x0f\x91\x02\x91\x28")
    asks = [(0, confirmed(15, PRESENT + REAL, invoke)) for invoke in (1, 2, 3)]
    found = rows(*asks, (1, error), (1, npdu(b"\x60\x02\x09")), (1, npdu(b"\x71\x03\x04")))[3:]
    assert [row["ot.message.type"] for row in found] == ["error", "reject", "abort"]
    assert [row["ot.status"] for row in found] == [
        "write-access-denied",
        "unrecognized-service",
        "segmentation-not-supported",
    ]
    assert {row["ot.function.class"] for row in found} == {"error"}
    assert {(row["ot.function.code"], row["ot.address"]) for row in found} == {(15, "analog-value:7/present-value")}


def test_several_properties_are_listed_in_order() -> None:
    ask = target(0, 1) + b"\x1e\x09\x55\x09\x6f\x1f" + target(8, 29) + b"\x1e\x09\x4c\x19\x03\x1f"
    told = target(0, 1) + b"\x1e\x29\x55\x4e\x44" + struct.pack(">f", 3) + b"\x4f"
    told += b"\x29\x6f\x5e\x91\x02\x91\x20\x5f\x1f"
    one, two = rows((0, confirmed(14, ask)), (1, npdu(b"\x30\x01\x0e" + told)))
    listed = [entry["address"] for entry in json.loads(one["event.fields"])["properties"]]
    assert (one["ot.quantity"], one["ot.address"]) == (3, ",".join(listed))
    assert listed[0] == "analog-input:1/present-value"
    assert listed[1:] == ["analog-input:1/status-flags", "device:29/object-list[3]"]
    values = [entry["value"] for entry in json.loads(two["event.fields"])["properties"]]
    assert values == ["3.0", "error:unknown-property"]


@pytest.mark.parametrize(
    ("service", "data", "kind", "value"),
    [
        (17, b"\x09\x05\x19\x01\x2d\x04\x00abc", "control", "disable"),
        (20, b"\x09\x00", "control", "coldstart"),
        (7, b"\xc4" + struct.pack(">I", 10 << 22) + b"\x0e\x31\x00\x62\x68\x69\x0f", "program", None),
        (6, b"\xc4" + struct.pack(">I", 10 << 22) + b"\x0e\x31\x00\x21\x40\x0f", "read", None),
        (11, b"\xc4" + struct.pack(">I", 5 << 22 | 3), "program", None),
        (5, b"\x09\x01" + target(3, 4, 0x1C) + b"\x29\x01\x39\x3c", "read", None),
    ],
)
def test_services_are_classed(service: int, data: bytes, kind: str, value: str | None) -> None:
    (row,) = rows((0, confirmed(service, data)))
    assert (row["ot.function.class"], row["ot.value"]) == (kind, value)
    assert service in (17, 20) or row["ot.address"].partition(":")[0] in ("file", "binary-value", "binary-input")


def test_every_object_of_a_write_is_told_with_its_value() -> None:
    def one(instance: int, value: float) -> bytes:
        return target(2, instance) + b"\x1e\x09\x55\x2e\x44" + struct.pack(">f", value) + b"\x2f\x1f"

    ask, ack = rows((0, confirmed(16, one(7, 1.5) + one(8, 2.5))), (1, npdu(b"\x20\x01\x10")))
    both = "analog-value:7/present-value,analog-value:8/present-value"
    assert (ask["ot.address"], ask["ot.value"], ask["ot.quantity"]) == (both, "1.5,2.5", 2)
    assert (ack["ot.address"], ack["ot.quantity"]) == (both, 2)


@pytest.mark.parametrize("answer", [b"\x20\x01\x0f", b"\x50\x01\x0f\x91\x02\x91\x28"])
@pytest.mark.parametrize(
    ("here", "there"), [(b"\0\5\1\x0a", b"\0\6\1\x0b"), (b"", b"\0\6\1\x0b"), (b"\0\5\1\x0a", b"")]
)
def test_answers_through_routers_find_their_request(answer: bytes, here: bytes, there: bytes) -> None:
    """Each side may lie behind a router: what a request calls its source is its answer's destination."""

    def routed(goes: bytes, comes: bytes, apdu: bytes, control: int = 0) -> bytes:
        head = bytes((1, control | (0x20 if goes else 0) | (0x08 if comes else 0)))
        return bvlc(head + goes + comes + (b"\xff" if goes else b"") + apdu)

    write = bytes((0x00, 0x05, 1, 15)) + PRESENT + REAL
    elsewhere = routed(b"\0\x63\1\1", here, bytes((0x00, 0x05, 1, 15)) + target(2, 9) + b"\x19\x55" + REAL, 4)
    _, _, told = rows((0, routed(there, here, write, 4)), (0, elsewhere), (1, routed(here, there, answer)))
    assert told["ot.address"] == "analog-value:7/present-value"


def test_a_password_is_told_of_but_never_shown() -> None:
    (row,) = rows((0, confirmed(20, b"\x09\x01\x1d\x07\x00secret")))
    assert json.loads(row["event.fields"])["password"] is True
    assert "secret" not in str(row)


def test_discovery_is_read() -> None:
    who = npdu(b"\x10\x08\x0a\x00\x6c\x1a\x00\x6d", b"\x20\xff\xff\x00\xff")
    iam = npdu(b"\x10\x00" + target(8, 108, 0xC4) + b"\x22\x04\x00\x91\x03\x21\x2a")
    have = npdu(b"\x10\x01" + target(8, 1, 0xC4) + target(4, 9, 0xC4) + b"\x75\x04\x00fan")
    asked, here, has = rows((0, who), (1, iam), (1, have))
    assert (asked["ot.function.name"], json.loads(asked["event.fields"])["low"]) == ("who-Is", 108)
    assert (here["ot.address"], json.loads(here["event.fields"])["vendor"]) == ("device:108", 42)
    assert (has["ot.address"], json.loads(has["event.fields"])["object_name"]) == ("binary-output:9", "fan")


def test_a_change_of_value_is_read() -> None:
    data = b"\x09\x12" + target(8, 4, 0x1C) + target(0, 10, 0x2C) + b"\x39\x00\x4e\x09\x55\x2e\x44"
    data += struct.pack(">f", 65) + b"\x2f\x09\x6f\x2e\x82\x04\x00\x2f\x4f"
    (row,) = rows((0, npdu(b"\x10\x02" + data)))
    assert (row["ot.address"], row["ot.value"]) == (
        "analog-input:10/present-value,analog-input:10/status-flags",
        "65.0,0000",
    )


def test_functions_of_the_link_layer_and_messages_of_the_network_are_rows() -> None:
    found = rows(
        (0, bvlc(b"\0\x3c", 5)),
        (1, bvlc(b"\0\x30", 0)),
        (0, bvlc(b"\1\x80\x00\0\5")),
        (1, bvlc(b"\1\x80\x01\0\5\0\6")),
    )
    assert [row["ot.function.name"] for row in found] == [
        "Register-Foreign-Device",
        "BVLC-Result",
        "Who-Is-Router-To-Network",
        "I-Am-Router-To-Network",
    ]
    assert [row["ot.message.type"] for row in found] == ["bvlc", "bvlc", "network", "network"]
    assert (found[0]["ot.value"], found[1]["ot.status"]) == ("60", "register-foreign-device-nak")
    assert (found[1]["ot.function.class"], found[3]["ot.value"]) == ("error", "5,6")


def test_a_forwarded_message_keeps_who_sent_it() -> None:
    (row,) = rows((0, bvlc(bytes((10, 9, 8, 7)) + b"\xba\xc0" + b"\1\0\x10\x08", 4)))
    extra = json.loads(row["event.fields"])
    assert (row["ot.function.name"], extra["forwarded_from"]) == ("who-Is", "10.9.8.7:47808")


def test_a_routed_answer_is_matched_to_its_network() -> None:
    ask = npdu(b"\x00\x05\x01\x0c" + PRESENT, b"\x24\x00\x05\x01\x3d\xff")
    other = npdu(b"\x00\x05\x01\x0c" + target(4, 1) + b"\x19\x55", b"\x24\x00\x06\x01\x3d\xff")
    error = npdu(b"\x50\x01\x0c\x91\x01\x91\x1f", b"\x08\x00\x05\x01\x3d")
    *_, told = rows((0, ask), (0, other), (1, error))
    assert (told["ot.status"], told["ot.address"]) == ("unknown-object", "analog-value:7/present-value")
    assert json.loads(told["event.fields"])["snet"] == 5


def test_segments_are_put_together() -> None:
    told = PRESENT + b"\x3e\x75\x0b\x00" + b"ten letters"[:10] + b"\x3f"
    parts = [(1, npdu(bytes((0x3C, 1, 0, 4, 12)) + told[:9])), (1, npdu(bytes((0x38, 1, 1, 4, 12)) + told[9:]))]
    found = rows((0, confirmed(12, PRESENT)), parts[0], (0, npdu(b"\x40\x01\x00\x04")), parts[1])
    assert [row["ot.function.code"] for row in found] == [12, 12, None, 12]
    assert (found[1]["ot.value"], found[3]["ot.value"]) == (None, "ten letter")
    assert found[2]["ot.message.type"] == "segment-ack"


def test_a_length_that_is_too_long_is_flagged_and_the_rest_is_read() -> None:
    data = bytearray(confirmed(12, PRESENT))
    data[3] += 4
    (row,) = rows((0, bytes(data)))
    assert (row["event.flags"], row["ot.address"]) == (["truncated"], "analog-value:7/present-value")


def test_messages_in_ethernet_frames_are_read() -> None:
    frame = b"\x82\x82\x03" + b"\1\0\x10\x08"
    packet = wire.MACS + struct.pack(">H", len(frame)) + frame + bytes(40)
    (row,) = wire.table(wire.decode([packet]), "ot").to_dicts()
    assert (row["ot.function.name"], row["source.mac"]) == ("who-Is", "02:00:00:00:00:01")


def test_other_ports_need_a_whole_message() -> None:
    assert [row["ot.function.name"] for row in rows((0, confirmed(12, PRESENT)), port=50123)] == ["readProperty"]
    assert not rows((0, confirmed(12, PRESENT) + b"more"), port=50123)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"\x00", "null"),
        (b"\x11", "true"),
        (b"\x22\x01\x00", "256"),
        (b"\x31\xff", "-1"),
        (b"\x55\x08" + struct.pack(">d", 0.1), "0.1"),
        (b"\x62\xab\xcd", "0xabcd"),
        (b"\x75\x03\x04\x00A", "A"),
        (b"\x82\x04\xa0", "1010"),
        (b"\xa4\x7a\x01\x1f\xff", "2022-01-31"),
        (b"\xb4\x0c\x1e\x00\xff", "12:30:00.*"),
        (b"\xc4\x02\x00\x00\x01", "device:1"),
    ],
)
def test_values_of_every_type_have_a_text(raw: bytes, text: str) -> None:
    (tag,) = bacnet_apdu.tags(raw)
    assert bacnet_apdu.value(tag) == text


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=100), st.integers(0, 255), st.integers(0, 40))
def test_no_bytes_raise(data: bytes, first: int, service: int) -> None:
    (protocol,) = bacnet.PROTOCOLS
    bacnet.starts(data, False)
    messages = [bvlc(data, first % 13), npdu(bytes((first,)) + data), confirmed(service, data)]
    messages += [npdu(bytes((0x10, service)) + data), npdu(bytes((0x30, 1, service)) + data)]
    assert len(talk.sent(protocol, *((number % 2, one) for number, one in enumerate(messages)))) == 5
    assert len(bacnet_apdu.tags(data)) <= len(data)
