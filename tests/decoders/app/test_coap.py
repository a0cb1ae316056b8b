"""CoAP, and LwM2M over it."""

from __future__ import annotations

import json
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.decoders.ot.talk import rows, some

from cityguard.decoders.app import coap_message as coap
from cityguard.decoders.app import lwm2m
from cityguard.decoders.app.coap import PROTOCOLS, starts
from cityguard.decoders.events import Talk
from cityguard.decoders.protocol import Out
from cityguard.decoders.stream import Moment

COAP = PROTOCOLS[0]
START = 1_700_000_000 * 10**9
TALK = Talk((0, 0xFFFF_0A00_0001, 40_000), (0, 0xFFFF_0A00_0002, 5683), 17, False, -1)
VALVE = bytes.fromhex("6830170400260078330404a0170699e216")


def options(*given: tuple[int, bytes]) -> bytes:
    found, last = b"", 0
    for number, value in sorted(given, key=lambda one: one[0]):
        parts, more = [], b""
        for size in (number - last, len(value)):
            parts.append(size if size < 13 else 13 if size < 269 else 14)
            more += b"" if size < 13 else bytes((size - 13,)) if size < 269 else struct.pack(">H", size - 269)
        found += bytes((parts[0] << 4 | parts[1],)) + more + value
        last = number
    return found


def message(code: int, path: str = "", payload: bytes = b"", *extra: tuple[int, bytes], **more: Any) -> bytes:
    token = more.get("token", b"\xa1")
    head = struct.pack(">BBH", 0x40 | more.get("kind", 0) << 4 | len(token), code, more.get("number", 1)) + token
    path, _, query = path.partition("?")
    parts = [(11, one.encode()) for one in path.split("/") if one]
    queries = [(15, one.encode()) for one in query.split("&") if one]
    return head + options(*parts, *queries, *extra) + (b"\xff" + payload if payload else b"")


def told(*datagrams: tuple[int, bytes]) -> list[dict[str, Any]]:
    out = Out("coap")
    assert COAP.speaker is not None
    speaker = COAP.speaker(out)
    for number, (side, data) in enumerate(datagrams, 1):
        speaker.datagram(data, TALK.turned() if side else TALK, Moment(number, START + number))
    return rows(out)


REGISTER = (0, message(2, "rd?ep=urn:imei:860000000000001&lt=300&lwm2m=1.0&b=U", b'</>;rt="oma",</3/0>,</5/0>,</19/0>'))


def test_a_registration_gives_its_endpoint_to_what_follows() -> None:
    register, done, ask, answer = told(
        REGISTER,
        (1, message(65, "", b"", (8, b"rd"), (8, b"5a"), kind=2)),
        (1, message(1, "3/0/0", number=9, token=b"\2")),
        (0, message(69, "", b"Maker", number=9, token=b"\2", kind=2)),
    )
    assert some(
        register, "protocol", "function.name", "function.class", "unit_id", "address", "quantity", "edition"
    ) == (
        *("lwm2m", "register", "diagnostic", "urn:imei:860000000000001", "/rd"),
        *(3, "1.0"),
    )
    assert some(done, "function.name", "status", "is_request") == ("register", "2.01", False)
    assert some(ask, "function.name", "function.class", "unit_id") == ("read", "read", "urn:imei:860000000000001")
    assert some(answer, "address", "status", "unit_id") == ("/3/0/0", "2.05", "urn:imei:860000000000001")


@pytest.mark.parametrize(
    ("code", "path", "payload", "name", "kind", "value"),
    [
        (2, "3/0/4", b"", "reboot", "control", None),
        (2, "3/0/5", b"", "factory_reset", "control", None),
        (2, "5/0/2", b"", "firmware_update", "program", None),
        (3, "5/0/1", b"coap://198.51.100.7/fw", "write", "program", "coap://198.51.100.7/fw"),
        (3, "4/0", b"", "write", "write", None),
        (3, "1/0/1", b"86400", "write", "write", "86400"),
        (3, "3/0?pmin=10", b"", "write_attributes", "write", None),
        (3, "0/1", b"\xc1\x02\x03", "write", "program", None),
        (4, "0/1", b"", "delete", "program", None),
        (2, "bs?ep=meter-1", b"", "bootstrap_request", "program", None),
        (1, "6/0", b"", "read", "read", None),
        (3, "lamp/7", b"on", "PUT", "write", None),
        (1, ".well-known/core", b"", "GET", "read", None),
    ],
)
def test_methods_and_paths_tell_what_is_done(
    code: int, path: str, payload: bytes, name: str, kind: str, value: str | None
) -> None:
    (row,) = told((1, message(code, path, payload)))
    assert some(row, "function.name", "function.class", "value") == (name, kind, value)


def test_firmware_is_fetched_from_where_tlv_says() -> None:
    uri = b"http://203.0.113.9/fw.bin"
    (row,) = told((1, message(3, "5/0", b"\xc8\x01" + bytes((len(uri),)) + uri, (12, struct.pack(">H", 11_542)))))
    assert some(row, "target", "target_ip") == (uri.decode(), "203.0.113.9")


def test_keys_of_object_0_are_judged_and_not_kept() -> None:
    uri, key = b"coaps://203.0.113.9:5684", b"Zk9x7Q2wZk9x7Q2w"
    tlv = b"\xc8\x00" + bytes((len(uri),)) + uri + b"\xc8\x05" + bytes((len(key),)) + key
    whole, alone = told(
        (1, message(3, "0/1", tlv, (12, struct.pack(">H", 11_542)))), (1, message(3, "0/1/5", key, number=2))
    )
    assert some(whole, "function.class", "target_ip", "password.length") == ("program", "203.0.113.9", 16)
    assert alone["ot.password.hash"] == whole["ot.password.hash"]
    assert "Zk9x7" not in str((whole, alone))
    assert key.hex() not in str((whole, alone))


def test_a_meter_behind_object_19_is_a_row_of_its_own() -> None:
    down, meter = told((1, message(3, "19/1/0", VALVE, (12, b"\x2a"))))
    assert some(down, "function.class", "station_kind") == ("write", "binary")
    assert some(meter, "protocol", "function.class", "unit_id", "value") == (
        "cjt188",
        "control",
        "33780026000417",
        "99",
    )


def test_observing_goes_on_and_each_notice_is_told() -> None:
    ask = message(1, "19/0/0", b"", (6, b""), token=b"\7")
    notices = [message(69, "", VALVE, (6, bytes((n,))), token=b"\7", number=50 + n, kind=1) for n in (1, 2)]
    first = message(69, "", b"", (6, b"\1"), token=b"\7", kind=2)
    found = told((1, ask), (0, first), *((0, one) for one in notices))
    assert [row["ot.function.name"] for row in found if row["ot.protocol"] == "lwm2m"] == ["observe"] * 2 + [
        "notify"
    ] * 2
    assert sum(row["ot.protocol"] == "cjt188" for row in found) == 2


def test_a_message_sent_again_is_told_once_and_a_stranger_answers_nobody() -> None:
    assert len(told(REGISTER, REGISTER)) == 1
    assert not told((1, message(69, "", b"x")))
    assert not told((0, b"\x40\0\0\1"))


def test_blocks_are_put_together_for_the_last_row() -> None:
    uri = b"http://203.0.113.9/firmware/of/a/long/name.bin"
    blocks = [uri[at : at + 16] for at in range(0, len(uri), 16)]
    sent = [
        (
            1,
            message(
                3,
                "5/0/1",
                part,
                (27, bytes((n << 4 | (8 if n + 1 < len(blocks) else 0),))),
                number=n + 1,
                token=bytes((n,)),
            ),
        )
        for n, part in enumerate(blocks)
    ]
    found = told(*sent)
    assert len(found) == 2
    assert found[-1]["ot.target"] == uri.decode()
    assert json.loads(found[0]["event.fields"])["coap"]["block"] == {"number": 0, "more": True, "size": 16}


def test_a_refusal_is_an_error() -> None:
    _, answer = told((1, message(2, "3/0/4")), (0, message(129, kind=2)))
    assert some(answer, "function.name", "function.class", "status") == ("reboot", "error", "4.01")


def test_content_tells_on_any_port() -> None:
    assert starts(message(1, "3/0"), False)
    assert starts(message(69, "", b"x"), True)
    assert not starts(message(69, "", b"x"), False)
    assert not starts(message(1, "a", b"", (2, b"x")), False)
    assert not starts(b"\x40\x01\0\1", False)
    assert not starts(b"\x16\xfe\xfd" + bytes(20), True)


@settings(max_examples=120, deadline=None)
@given(
    st.binary(max_size=80), st.sampled_from([1, 2, 3, 4, 65, 69]), st.sampled_from(["0/1", "5/0", "19/1/0", "rd?ep=a"])
)
def test_any_octets_come_back_unharmed(data: bytes, code: int, path: str) -> None:
    coap.read(data)
    list(lwm2m.resources(data))
    told((0, data), (1, message(code, path, data)), (1, message(code, path, data, (27, data[:3]), (12, data[:2]))))
