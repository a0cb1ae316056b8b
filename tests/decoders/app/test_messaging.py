"""MQTT and SIP."""

from __future__ import annotations

import json

from tests.decoders.ot.talk import said, sent, some

from cityguard.decoders.app import mqtt, sip

MQTT, SIP = mqtt.PROTOCOLS[0], sip.PROTOCOLS[0]


def text(value: bytes) -> bytes:
    return len(value).to_bytes(2, "big") + value


def packet(head: int, body: bytes) -> bytes:
    return bytes((head, len(body))) + body


CONNECT = packet(0x10, text(b"MQTT") + b"\x04\xc2\0\x3c" + text(b"meter-7") + text(b"anna") + text(b"geheim1"))


def test_a_client_its_user_and_its_topics() -> None:
    rows = said(
        MQTT,
        (0, CONNECT),
        (1, packet(0x20, b"\0\0")),
        (0, packet(0x82, b"\0\1" + text(b"city/+/alarm") + b"\0")),
        (0, packet(0x30, text(b"city/valve/1") + b"open")),
    )
    login = next(row for row in rows if row["event.action"] == "login")
    publish = next(row for row in rows if row["event.action"] == "publish")
    subscribe = next(row for row in rows if row["event.action"] == "subscribe")
    assert (login["user.name"], login["event.outcome"]) == ("anna", "success")
    assert json.loads(login["event.fields"])["mqtt"]["client"] == "meter-7"
    assert json.loads(publish["event.fields"])["mqtt"] == {
        "topic": "city/valve/1",
        "qos": 0,
        "retain": False,
        "bytes": 4,
    }
    assert json.loads(subscribe["event.fields"])["mqtt"]["topics"] == ["city/+/alarm"]
    assert "geheim1" not in str(rows)


def test_a_refused_client_is_a_failure_and_pieces_do_not_matter() -> None:
    stream = [(0, bytes((byte,))) for byte in CONNECT]
    (row,) = said(MQTT, *stream, (1, packet(0x20, b"\0\5")))
    assert (row["event.outcome"], row["event.code"]) == ("failure", "5")
    assert MQTT.starts(CONNECT, False)
    assert not MQTT.starts(b"\x10\x0c\0\4HTTP\4\0\0\0", True)


def published(topic: bytes, payload: bytes, head: int = 0x30) -> bytes:
    return packet(head, text(topic) + (b"\0\7" if head & 6 else b"") + payload)


def test_a_command_topic_is_a_write_and_its_secrets_are_hidden() -> None:
    rows = said(
        MQTT,
        (0, CONNECT),
        (1, packet(0x20, b"\0\0")),
        (1, published(b"city/lamp/7/set", b'{"on": true, "level": 40, "pwd": "geheim1"}', 0x33)),
        (1, published(b"city/lamp/7/state", b"on")),
        (1, published(b"$SYS/broker/uptime/set", b"1")),
    )
    (act,) = [row for row in rows if row.get("ot.protocol")]
    assert some(act, "protocol", "function.class", "address", "unit_id", "value", "flags") == (
        *("mqtt", "write", "city/lamp/7/set", "city/lamp/7"),
        *("on=true,level=40,pwd=***", ["retained"]),
    )
    assert json.loads(act["event.fields"])["mqtt"]["client"] == "meter-7"
    assert "geheim1" not in str(rows)


def test_a_report_that_names_its_meter_is_a_read() -> None:
    stream = (
        CONNECT + published(b"gas/up", b'{"imei": "860000000000001", "volume": 12.5}') + published(b"gas/up", b"{}")
    )
    (report,) = [row for row in said(MQTT, (0, stream)) if row.get("ot.protocol")]
    assert some(report, "function.class", "unit_id", "value") == ("read", "860000000000001", None)


def test_a_meter_in_a_payload_is_a_row_of_its_own() -> None:
    valve = "6830170400260078330404a0170699e216"
    for payload in (bytes.fromhex(valve), valve.encode(), json.dumps({"data": valve}).encode()):
        found = said(MQTT, (0, CONNECT), (1, published(b"meters/9/down", payload)))
        assert [row["ot.protocol"] for row in found if row.get("ot.protocol")] == ["mqtt", "cjt188"]


def message(first: str, number: str = "1 REGISTER", **more: str) -> bytes:
    headers = {"From": "<sip:34020000@city>", "To": "<sip:34020000@city>", "Call-ID": "c1", "CSeq": number} | more
    return "\r\n".join((first, *(f"{name}: {value}" for name, value in headers.items()), "", "")).encode()


def test_a_registration_is_a_login_once_it_is_answered() -> None:
    ask = message("REGISTER sip:city SIP/2.0", "2 REGISTER", Authorization='Digest username="cam-1", response="f00"')
    (row,) = sent(
        SIP,
        (0, ask),
        (0, ask),
        (1, message("SIP/2.0 100 Trying", "2 REGISTER")),
        (1, message("SIP/2.0 200 OK", "2 REGISTER")),
    )
    assert (row["event.action"], row["user.name"], row["event.outcome"]) == ("login", "cam-1", "success")
    (row,) = sent(SIP, (0, message("REGISTER sip:city SIP/2.0")), (1, message("SIP/2.0 403 Forbidden")))
    assert (row["event.outcome"], row["event.code"], row["user.name"]) == ("failure", "403", "34020000")


def test_messages_on_a_stream_are_cut_by_their_length() -> None:
    call = message("INVITE sip:b@city SIP/2.0", "1 INVITE", **{"Content-Length": "5"}) + b"v=0\r\n"
    end = message("BYE sip:b@city SIP/2.0", "2 BYE", **{"Content-Length": "0"})
    stream = call + end
    for step in (1, 7, len(stream)):
        rows = said(SIP, *((0, stream[at : at + step]) for at in range(0, len(stream), step)))
        assert [row["event.action"] for row in rows] == ["invite", "bye"]
