"""GOOSE and sampled values: in Ethernet frames, with VLAN tags, and routed in UDP."""

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
from cityguard.decoders.ot import goose, sv

BLANK: dict[str, Any] = dict.fromkeys(columns.names("ot"))


def tlv(tag: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return bytes((tag,)) + (bytes((len(body),)) if len(body) < 128 else b"\x81" + bytes((len(body),))) + body


PDU = tlv(
    0x61,
    tlv(0x80, b"LD0/LLN0$GO$gcb"),
    tlv(0x81, b"\x07\xd0"),
    tlv(0x82, b"LD0/LLN0$ds"),
    tlv(0x83, b"trip"),
    tlv(0x84, struct.pack(">I", 1_700_000_000) + b"\x80\0\0\x0a"),
    tlv(0x85, b"\5"),
    tlv(0x86, b"\x01\0"),
    tlv(0x87, b"\0"),
    tlv(0x88, b"\1"),
    tlv(0x89, b"\0"),
    tlv(0x8A, b"\3"),
    tlv(0xAB, b"\x83\1\xff", b"\x84\2\6\x80", tlv(0xA2, b"\x86\1\7")),
)
SAMPLES = struct.pack(">8i", 100, 0, -200, 0, 300, 0, 0, 0)


def asdu(count: int) -> bytes:
    return tlv(
        0x30,
        tlv(0x80, b"MU01"),
        tlv(0x82, struct.pack(">H", count)),
        tlv(0x83, bytes(4)),
        tlv(0x85, b"\2"),
        tlv(0x87, SAMPLES),
    )


SAV = tlv(0x60, tlv(0x80, b"\2"), tlv(0xA2, asdu(7), asdu(8)))


def payload(pdu: bytes, application: int = 0x3001, reserved: int = 0) -> bytes:
    return struct.pack(">HHHH", application, 8 + len(pdu), reserved, 0) + pdu


def frames(*packets: bytes) -> list[dict[str, Any]]:
    return [BLANK | row for row in wire.table(wire.decode(packets), "ot").to_dicts()]


def routed(pdu: bytes, kind: int) -> bytes:
    header = struct.pack(">IIHIHHI", 0, 1, 1, 0, 0, 0, 0) + b"\0"
    element = struct.pack(">BBHH", kind, 0, 0x3001, len(pdu)) + pdu
    body = b"\x80" + bytes((len(header),)) + header + struct.pack(">I", len(element)) + element
    return b"\x01\x40" + bytes((0xA1 if kind == 0x81 else 0xA2, 0)) + body


def test_a_message_has_its_control_block_counters_and_values() -> None:
    (row,) = frames(wire.ether(payload(PDU) + bytes(20), 0x88B8))
    assert (row["ot.protocol"], row["ot.function.name"], row["ot.function.code"]) == ("goose", "GOOSE", None)
    assert (row["ot.address"], row["ot.value"]) == ("LD0/LLN0$GO$gcb", "true,10,7")
    assert (row["ot.unit_id"], row["ot.quantity"], row["ot.transaction_id"]) == (str(0x3001), 3, 256)
    extra = json.loads(row["event.fields"])
    assert (extra["stNum"], extra["sqNum"], extra["goID"], extra["t"]) == (5, 256, "trip", "1700000000.500000")
    assert (extra["time_allowed_to_live"], extra["simulation"]) == (2000, False)
    assert (row["source.mac"], row["source.ip"]) == ("02:00:00:00:00:01", None)


def test_simulated_and_tagged_messages_are_seen() -> None:
    tagged = struct.pack(">HH", 0x8064, 0x88B8) + payload(PDU, reserved=0x8000)
    (row,) = frames(wire.ether(tagged, 0x8100))
    assert (row["network.vlan.id"], json.loads(row["event.fields"])["simulation"]) == (100, True)


def test_a_message_that_is_cut_is_flagged() -> None:
    (row,) = frames(wire.ether(payload(PDU)[:60], 0x88B8))
    assert (row["event.flags"], row["ot.address"], row["ot.value"]) == (["truncated"], "LD0/LLN0$GO$gcb", None)


def test_each_asdu_of_sampled_values_is_a_row() -> None:
    one, two = frames(wire.ether(payload(SAV, 0x4000), 0x88BA))
    assert (one["ot.protocol"], one["ot.address"], one["ot.value"]) == ("sv", "MU01", "100,-200,300,0")
    assert [row["ot.transaction_id"] for row in (one, two)] == [7, 8]
    assert (one["ot.quantity"], json.loads(one["event.fields"])["smpSynch"]) == (4, 2)


@pytest.mark.parametrize(("pdu", "kind", "name"), [(PDU, 0x81, "goose"), (SAV, 0x82, "sv")])
def test_routed_messages_are_read(pdu: bytes, kind: int, name: str) -> None:
    packet = wire.ether(wire.ip4(wire.CLIENT, "239.0.0.1", 17, wire.udp(102, 102, routed(pdu, kind))))
    found = frames(packet)
    assert {row["ot.protocol"] for row in found} == {name}
    assert (found[0]["ot.unit_id"], found[0]["destination.ip"]) == (str(0x3001), "239.0.0.1")


def test_other_contents_are_rejected() -> None:
    assert not frames(wire.ether(b"\0" * 50, 0x88B8), wire.ether(payload(PDU), 0x88BA))


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=80), st.integers(0, 80))
def test_no_bytes_raise(data: bytes, cut: int) -> None:
    goose.starts(data, True)
    sv.starts(data, True)
    goose.message(PDU[:cut] + data, 1, False)
    sv.messages(SAV[:cut] + data, 1, False)
    goose.framed(data)
    goose.routed(routed(PDU, 0x81)[:cut] + data)
    (one,) = goose.PROTOCOLS
    assert len(talk.sent(one, (0, routed(PDU, 0x81)))) == 1
