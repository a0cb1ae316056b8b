"""OCPP-J over WebSocket."""

from __future__ import annotations

import base64
import json
import zlib
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.decoders import wire
from tests.decoders.ot.talk import said, some

from cityguard.decoders.app import websocket
from cityguard.decoders.app.websocket_frame import MAX_MESSAGE, Deflate, Side, unmasked
from cityguard.decoders.ot import ocpp_message as text

SOCKET = websocket.PROTOCOLS[0]
MASK = b"\x11\x22\x33\x44"


def upgrade(
    protocol: str = "ocpp1.6", path: str = "/steve/CP%20001", more: str = "", deflate: str = ""
) -> list[tuple[int, bytes]]:
    asks = f"GET {path} HTTP/1.1\r\nHost: c\r\nUpgrade: websocket\r\nSec-WebSocket-Protocol: ocpp1.6\r\n{more}\r\n"
    chosen = f"Sec-WebSocket-Protocol: {protocol}\r\n" if protocol else ""
    chosen += f"Sec-WebSocket-Extensions: {deflate}\r\n" if deflate else ""
    return [(0, asks.encode()), (1, f"HTTP/1.1 101 S\r\nUpgrade: WebSocket\r\n{chosen}\r\n".encode())]


def frame(side: int, data: bytes, *, opcode: int = 1, final: bool = True, packed: bool = False) -> tuple[int, bytes]:
    first = opcode | (0x80 if final else 0) | (0x40 if packed else 0)
    masked = 0x80 if side == 0 else 0
    size = len(data)
    wide = 0 if size < 126 else 2 if size < 65_536 else 8
    head = bytes((first, masked | {0: size, 2: 126, 8: 127}[wide])) + (size.to_bytes(wide, "big") if wide else b"")
    return side, head + (MASK + unmasked(data, MASK) if masked else data)


def call(side: int, action: str, payload: dict[str, Any], mark: str = "a1") -> tuple[int, bytes]:
    return frame(side, json.dumps([2, mark, action, payload]).encode())


def result(side: int, payload: dict[str, Any], mark: str = "a1") -> tuple[int, bytes]:
    return frame(side, json.dumps([3, mark, payload]).encode())


def told(*chunks: tuple[int, bytes], **given: str) -> list[dict[str, Any]]:
    return said(SOCKET, *upgrade(**given), *chunks, port=80)


def test_a_call_and_its_answer_share_action_and_class() -> None:
    ask, answer = told(
        call(1, "RemoteStartTransaction", {"idTag": "A1B2C3D4", "connectorId": 1}), result(0, {"status": "Accepted"})
    )
    assert some(ask, "function.name", "function.class", "address", "unit_id", "edition", "is_request") == (
        *("RemoteStartTransaction", "control", "1", "CP 001", "1.6"),
        True,
    )
    assert some(answer, "function.name", "function.class", "address", "status", "is_request", "message.type") == (
        *("RemoteStartTransaction", "control", "1", "Accepted"),
        *(False, "callresult"),
    )
    assert ask["network.protocol"] == "ocpp"
    assert "A1B2C3D4" not in str(ask)


def test_refusals_and_errors_are_of_class_error() -> None:
    rows = told(
        call(1, "Reset", {"type": "Hard"}),
        result(0, {"status": "Rejected"}),
        call(1, "ClearCache", {}, "a2"),
        frame(0, b'[4, "a2", "NotSupported", "no", {}]'),
        frame(0, b'[3, "unknown", {}]'),
    )
    assert some(rows[0], "value") == ("type=Hard",)
    assert some(rows[1], "function.class", "status") == ("error", "Rejected")
    assert some(rows[3], "function.name", "function.class", "status") == ("ClearCache", "error", "NotSupported")
    assert some(rows[4], "function.name", "function.class") == (None, None)


@pytest.mark.parametrize(
    ("action", "payload", "kind", "value", "target"),
    [
        ("UpdateFirmware", {"location": "http://203.0.113.9/f"}, "program", "http://203.0.113.9/f", "203.0.113.9"),
        ("UpdateFirmware", {"firmware": {"location": "https://h/f"}}, "program", "https://h/f", None),
        (
            "GetLog",
            {"log": {"remoteLocation": "ftp://u:geheim1@203.0.113.9/l"}},
            "read",
            "ftp://u:***@203.0.113.9/l",
            "203.0.113.9",
        ),
        ("ChangeConfiguration", {"key": "HeartbeatInterval", "value": "60"}, "write", "HeartbeatInterval=60", None),
        ("ChangeConfiguration", {"key": "AuthorizationKey", "value": "geheim1"}, "write", "AuthorizationKey=***", None),
        (
            "SetVariables",
            {
                "setVariableData": [
                    {
                        "component": {"name": "SecurityCtrlr"},
                        "variable": {"name": "SecurityProfile"},
                        "attributeValue": "1",
                    }
                ]
            },
            "write",
            "SecurityCtrlr.SecurityProfile=1",
            None,
        ),
        (
            "SetNetworkProfile",
            {"connectionData": {"ocppCsmsUrl": "wss://198.51.100.7/x"}},
            "program",
            "wss://198.51.100.7/x",
            "198.51.100.7",
        ),
        (
            "SetChargingProfile",
            {
                "csChargingProfiles": {
                    "chargingSchedule": {"chargingRateUnit": "W", "chargingSchedulePeriod": [{"limit": 0}]}
                }
            },
            "control",
            "limit=0W",
            None,
        ),
        (
            "ChangeAvailability",
            {"evse": {"id": 2, "connectorId": 1}, "operationalStatus": "Inoperative"},
            "control",
            None,
            None,
        ),
        ("GetVariables", {}, "read", None, None),
        ("NoSuchAction", {}, None, None, None),
    ],
)
def test_what_is_set_and_where_it_leads(
    action: str, payload: dict[str, Any], kind: str | None, value: str | None, target: str | None
) -> None:
    (row,) = told(call(1, action, payload))
    assert some(row, "function.class", "value", "target_ip") == (kind, value, target)
    assert "geheim1" not in str(row)


def test_a_password_at_the_upgrade_is_judged() -> None:
    given = base64.b64encode(b"CP 001:CP 001").decode()
    row, _ = told(call(0, "Heartbeat", {}), more=f"Authorization: Basic {given}\r\n")
    assert some(row, "function.name", "password.verdict", "password.length") == ("WebSocketUpgrade", "default", 6)
    assert given not in str(row)


def test_a_boot_tells_what_the_station_is_and_the_answer_the_time() -> None:
    boot = {"chargePointVendor": "V", "chargePointModel": "M", "firmwareVersion": "1.2"}
    ask, answer = told(
        call(0, "BootNotification", boot), result(1, {"status": "Accepted", "currentTime": "2026-11-02T01:00:00Z"})
    )
    assert some(ask, "station_kind", "function.class", "flags") == ("V M", "diagnostic", ["report"])
    assert answer["ot.time"].isoformat() == "2026-11-02T01:00:00+00:00"


def test_ocpp_is_known_without_a_subprotocol_and_other_content_is_left_alone() -> None:
    rows = told(frame(0, b"hello"), call(1, "SetVariables", {}), protocol="")
    assert [row["ot.edition"] for row in rows] == ["2.0.1"]
    assert not told(call(1, "Reset", {}), protocol="graphql-ws")
    assert not told(*(frame(0, b"chat") for _ in range(20)), protocol="")


def test_a_websocket_that_was_open_before_is_known_by_its_messages() -> None:
    stream = [call(1, "Reset", {"type": "Hard"}), result(0, {"status": "Accepted"})]
    for first, masked in ((stream, False), (stream[1:] + stream, True)):
        assert websocket.starts(first[0][1], False)
        talker = wire.Talker(9_017)
        for side, data in first:
            talker.say(side, data)
        table = wire.table(wire.decode(talker.packets), "ot")
        assert table["ot.function.name"].drop_nulls().to_list() == ["Reset", "Reset"]
        assert table.height == 2 + masked
    assert not websocket.starts(frame(1, b"[1, 2, 3]")[1], True)
    assert not websocket.starts(call(0, "x", {})[1], True)


def test_mqtt_in_a_websocket_is_read_too() -> None:
    connect = b"\x10\x0e\0\4MQTT\4\2\0\x3c\0\2c1"
    publish = b"\x30\x0c\0\6a/set!" + b"open"
    rows = told(frame(0, connect + publish[:4], opcode=2), frame(0, publish[4:], opcode=2), protocol="mqtt")
    assert [row.get("ot.value") for row in rows if row.get("ot.protocol") == "mqtt"] == ["open"]


def test_fragments_masks_and_pings_between_them() -> None:
    data = json.dumps([2, "a", "Heartbeat", {}]).encode()
    rows = told(
        frame(0, data[:5], final=False),
        frame(0, b"ping", opcode=9),
        frame(0, data[5:9], opcode=0, final=False),
        frame(0, data[9:], opcode=0),
    )
    assert [row["ot.function.name"] for row in rows] == ["Heartbeat"]


def deflated(*messages: bytes) -> list[bytes]:
    packer = zlib.compressobj(wbits=-15)
    return [(packer.compress(one) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4] for one in messages]


def test_compressed_messages_are_read_within_bounds() -> None:
    data = [json.dumps([2, f"a{n}", "Heartbeat", {}]).encode() for n in range(3)]
    offer = "permessage-deflate; client_max_window_bits=15"
    rows = told(*(frame(0, one, packed=True) for one in deflated(*data)), deflate=offer)
    assert [row["ot.request_id"] for row in rows] == ["a0", "a1", "a2"]
    bomb = frame(0, deflated(b"[" + b" " * 2_000_000)[0], packed=True)
    rows = told(bomb, call(0, "Heartbeat", {}), deflate=offer)
    assert [(row["ot.status"], row["ot.flags"]) for row in rows] == [("malformed", ["oversize"])]
    rows = told(frame(0, b"\xff\xff\xff", packed=True), deflate=offer)
    assert [row["ot.flags"] for row in rows] == [["deflate"]]


def test_a_gap_is_survived_where_a_segment_begins_with_a_frame() -> None:
    side = Side(masked=False)
    side.feed(frame(1, b"abc")[1][:3])
    side.gap()
    assert side.feed(b"\x00junk") == []
    assert [message.data for message in side.feed(frame(1, b"def")[1])] == [b"def"]
    packed = Side(masked=False, deflate=Deflate())
    packed.gap()
    assert packed.feed(frame(1, b"def")[1]) == []


def test_bounds_of_messages() -> None:
    assert text.read(b"[" * 20 + b"]" * 20) is None
    assert text.read(b'[2,"a","Heartbeat",' + b'{"a":' * 15 + b"1" + b"}" * 15 + b"]") is not None
    assert text.read(b'[2,"a","Heartbeat",' + b'{"a":' * 16 + b"1" + b"}" * 16 + b"]") is None
    assert text.read(b'[2,"' + b'\\"' * 400_000) is None
    assert text.read(b" " * (MAX_MESSAGE + 1)) is None
    (row,) = told(frame(1, b"x" * 70_000))
    assert some(row, "status", "flags") == ("malformed", ["json"])


def test_the_reader_follows_an_upgrade_in_a_capture() -> None:
    stream = [*upgrade(), call(1, "Reset", {"type": "Hard"}), result(0, {"status": "Accepted"})]
    talker = wire.Talker(9_017).shake()
    for side, data in stream:
        talker.say(side, data)
    decoded = wire.decode(talker.packets, pieces=2)
    assert wire.table(decoded, "ot")["ot.function.name"].to_list() == ["Reset", "Reset"]
    assert wire.table(decoded, "http")["http.response.status_code"].to_list() == [101]


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=80), st.integers(0, 15), st.booleans())
def test_any_octets_come_back_unharmed(data: bytes, opcode: int, packed: bool) -> None:
    told(
        (0, data), (1, data), frame(0, data, opcode=opcode, packed=packed), frame(1, data), deflate="permessage-deflate"
    )
    said(SOCKET, (0, data), (1, data), port=80)
    text.read(data)
    text.read(
        b'[2,"a","SetVariables",' + json.dumps({"setVariableData": [data.hex(), {"component": 3}]}).encode() + b"]"
    )


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 400), max_size=6))
def test_where_the_stream_is_cut_does_not_matter(cuts: list[int]) -> None:
    stream = b"".join(call(1, "Reset", {"type": "Soft"}, f"m{n}")[1] for n in range(4))
    borders = sorted({0, len(stream), *(cut % len(stream) for cut in cuts)})
    rows = told(*((1, stream[a:b]) for a, b in pairwise(borders)))
    assert [row["ot.request_id"] for row in rows] == ["m0", "m1", "m2", "m3"]
