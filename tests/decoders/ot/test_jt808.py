"""JT/T 808 between vehicle terminals and their platform."""

from __future__ import annotations

import json
import struct
from datetime import UTC, datetime
from functools import partial, reduce
from itertools import pairwise
from operator import xor
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.decoders.ot import talk
from tests.decoders.ot.talk import sent, some

from cityguard.decoders.ot import jt808_pdu as pdu
from cityguard.decoders.ot.jt808 import PROTOCOLS, starts, within
from cityguard.decoders.wire.marked import MAX_LOST

JT808 = PROTOCOLS[0]
PHONE = "013912345678"


said = partial(talk.said, port=9_001)


def frame(
    message: int, body: bytes = b"", *, newer: bool = False, part: tuple[int, int] = (0, 0), **more: Any
) -> bytes:
    """A whole frame; ``part`` = total and number; ``attributes``, ``check`` and ``serial`` as given."""
    attributes = more.get("attributes", 0) | len(body) | (0x4000 if newer else 0) | (0x2000 if part[0] else 0)
    phone = bytes.fromhex(more.get("phone", PHONE).rjust(20 if newer else 12, "0"))
    head = struct.pack(">HH", message, attributes) + (b"\1" if newer else b"") + phone
    head += struct.pack(">H", more.get("serial", 7)) + (struct.pack(">HH", *part) if part[0] else b"")
    whole = head + body
    whole += bytes((reduce(xor, whole) ^ more.get("check", 0),))
    return b"\x7e" + whole.replace(b"\x7d", b"\x7d\1").replace(b"\x7e", b"\x7d\2") + b"\x7e"


def place(
    time: str = "261102091500", latitude: int = 31_773_214, longitude: int = 119_945_126, status: int = 3
) -> bytes:
    head = struct.pack(">IIIIHHH", 0, status, latitude, longitude, 12, 356, 126)
    return head + bytes.fromhex(time) + b"\x01\x04" + struct.pack(">I", 126)


def parameters(*given: tuple[int, bytes]) -> bytes:
    return bytes((len(given),)) + b"".join(struct.pack(">IB", code, len(raw)) + raw for code, raw in given)


def more(row: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(row["event.fields"])["jt808"]
    return found


@pytest.mark.parametrize("newer", [False, True])
def test_a_position_tells_where_when_and_how_fast(newer: bool) -> None:
    (row,) = sent(JT808, (0, frame(0x0200, place(), newer=newer)))
    unit = PHONE.rjust(20, "0") if newer else PHONE
    assert some(row, "function.code", "function.name", "function.class", "unit_id") == (
        512,
        "location_report",
        "read",
        unit,
    )
    assert row["ot.time"] == datetime(2026, 11, 2, 1, 15, tzinfo=UTC)
    assert row["ot.edition"] == ("2019" if newer else "2013")
    told = more(row)
    assert (told["latitude"], told["longitude"], told["speed"], told["mileage"]) == (31.773214, 119.945126, 35.6, 12.6)


def test_south_and_west_are_below_zero() -> None:
    told = more(sent(JT808, (0, frame(0x0200, place(status=3 | 4 | 8))))[0])
    assert (told["latitude"], told["longitude"]) == (-31.773214, -119.945126)


def test_each_parameter_is_a_row_and_a_server_is_a_target() -> None:
    body = parameters((0x13, b"203.0.113.50"), (0x18, struct.pack(">I", 7611)), (0x12, b"geheim1"))
    host, port, secret = sent(JT808, (1, frame(0x8103, body)))
    assert some(host, "function.class", "address", "value", "target", "target_ip", "quantity") == (
        *("program", "0x0013", "203.0.113.50", "203.0.113.50:7611", "203.0.113.50"),
        3,
    )
    assert some(port, "address", "value") == ("0x0018", "7611")
    assert some(secret, "address", "value", "password.length") == ("0x0012", None, 7)
    assert "geheim1" not in str(secret)


def test_controls_name_their_word_and_where_they_send_the_terminal() -> None:
    reset, sent_away = sent(
        JT808, (1, frame(0x8105, b"\4")), (1, frame(0x8105, b"\2" + b"1;K7;apn;u;pw99;203.0.113.5;7611;7612;60"))
    )
    assert some(reset, "function.class", "value") == ("control", "4")
    assert some(sent_away, "value", "target", "target_ip") == ("2", "203.0.113.5:7611", "203.0.113.5")
    assert "pw99" not in str(sent_away)


def test_authentication_codes_are_judged_and_not_kept() -> None:
    old, new, handed = sent(
        JT808,
        (0, frame(0x0102, b"345678")),
        (0, frame(0x0102, b"\5Zk9x7" + bytes(35), newer=True)),
        (1, frame(0x8100, b"\0\1\0Zk9x7")),
    )
    assert some(old, "password.verdict", "password.length") == ("default", 6)
    assert some(new, "password.verdict", "password.length") == ("ok", 5)
    assert new["ot.password.hash"] == handed["ot.password.hash"]
    assert "Zk9x7" not in str((old, new, handed))


def test_registrations_of_three_editions_tell_their_plate() -> None:
    plate = "苏A12345".encode("gb18030")
    area = struct.pack(">HH", 32, 100)
    bodies = (
        (False, area + b"MAKER" + b"M1".ljust(8, b"\0") + b"T000001" + b"\1" + plate, "2011"),
        (False, area + b"MAKER" + b"M1".ljust(20, b"\0") + b"T000001" + b"\1" + plate, "2013"),
        (
            True,
            area + b"MAKER".rjust(11, b"\0") + b"M1".rjust(30, b"\0") + b"T1".rjust(30, b"\0") + b"\2" + plate,
            "2019",
        ),
    )
    for newer, body, edition in bodies:
        (row,) = sent(JT808, (0, frame(0x0100, body, newer=newer)))
        assert some(row, "edition", "address", "station_kind") == (edition, "苏A12345", "M1")
        assert more(row)["maker"] == "MAKER"


def test_a_refusal_is_an_error() -> None:
    done, refused = sent(JT808, (0, frame(0x0001, b"\0\1\x81\x05\0")), (0, frame(0x0001, b"\0\1\x81\x05\3")))
    assert some(done, "function.class", "status", "address") == ("diagnostic", "0", "terminal_control")
    assert some(refused, "function.class", "status", "is_request") == ("error", "3", False)


def test_a_wrong_check_and_a_wrong_length_are_told() -> None:
    good = frame(0x0002)
    bad, short = said(JT808, (0, good + frame(0x8105, b"\4", check=1) + frame(0x0200, place(), attributes=64)))[1:]
    assert some(bad, "function.class", "status", "value") == ("control", "crc_error", None)
    assert short["ot.flags"] == ["length_error"]


def test_rsa_is_told_and_not_read() -> None:
    (row,) = sent(JT808, (1, frame(0x8103, b"\x9a" * 32, attributes=0x0400)))
    assert some(row, "encrypted", "flags", "value") == (True, ["rsa"], None)


def test_parts_are_put_together_with_the_last_one() -> None:
    body = parameters((0x13, b"198.51.100.7"), (0x55, struct.pack(">I", 180)))
    parts = [frame(0x8103, body[at : at + 9], part=(4, at // 9 + 1), serial=20 + at // 9) for at in range(0, 36, 9)]
    rows = said(JT808, *((1, part) for part in parts))
    assert [row["ot.flags"] for row in rows] == [["split"]] * 5
    assert [row["ot.address"] for row in rows] == [None, None, None, "0x0013", "0x0055"]
    assert [row["ot.value"] for row in rows][-1] == "180"


def test_a_picture_in_packets_is_told_with_the_last_one() -> None:
    body = struct.pack(">IBBBB", 5, 0, 0, 1, 2) + place()[:28] + b"\xff\xd8" + b"\x7e\x7d" * 40
    parts = [frame(0x0801, body[at : at + 30], part=(4, at // 30 + 1), serial=3 + at // 30) for at in range(0, 120, 30)]
    rows = said(JT808, (0, b"".join(parts)))
    assert [row["ot.address"] for row in rows] == [None, None, None, "2"]
    assert more(rows[-1])["media"] == {"id": 5, "type": "image", "format": "jpeg", "event": 1, "channel": 2, "size": 82}


def test_a_time_that_goes_back_and_a_place_out_of_reach_are_flagged() -> None:
    rows = sent(
        JT808,
        (0, frame(0x0200, place("261102091500"))),
        (0, frame(0x0200, place("261102091510"))),
        (0, frame(0x0200, place("261102091520", latitude=32_773_214))),
        (0, frame(0x0200, place("261102080000"))),
    )
    assert [row["ot.flags"] for row in rows] == [None, None, ["position_jump"], ["time_back"]]


def test_a_number_that_is_no_digits_is_unknown() -> None:
    (row,) = sent(JT808, (0, frame(0x0002, phone="A39123456789")))
    assert some(row, "function.name", "unit_id") == ("terminal_heartbeat", None)


def test_messages_of_makers_are_rows_without_a_class() -> None:
    (row,) = said(JT808, (0, frame(0xF123, b"abc")))
    assert some(row, "function.code", "function.name", "function.class") == (0xF123, "message_f123", None)
    assert not said(JT808, (0, frame(0xF123, b"abc", check=1)))


def test_frames_are_known_by_their_content_alone() -> None:
    heartbeat = frame(0x0002)
    assert starts(heartbeat, False)
    assert starts(frame(0x0002, check=1), False)  # a wrong check is told
    assert not starts(frame(0x0002, check=1, attributes=3), True)
    assert not starts(frame(0x7777), True)
    assert not starts(frame(0x0002, phone="0", check=1), True)
    assert not starts(frame(0x0002, phone="A39123456789", check=1), True)
    assert not starts(b"\x7e\xa0\x07\x03\x21\x93\x0f\x01\x7e", True)
    assert within(b"\x7e\x7enoise" + heartbeat)
    assert not within(b"\x7e" * 300)


def test_a_stream_of_noise_is_given_up_once() -> None:
    noise = b"\x7eab" * (MAX_LOST + 9)
    rows = said(JT808, (0, frame(0x0002)), (0, noise), (0, frame(0x0002)))
    assert [row["ot.status"] for row in rows] == [None, "malformed"]


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200), st.booleans())
def test_any_octets_come_back_unharmed(data: bytes, framed: bool) -> None:
    raw = b"\x7e" + data + b"\x7e" if framed else data
    found = pdu.read(raw)
    assert found is None or len(found.body) < len(raw)
    said(JT808, (0, raw), (1, frame(0x8103, data[:200])), (1, frame(0x8105, data[:200])), (0, frame(0x0100, data)))
    sent(JT808, (0, frame(0x0200, data)), (0, frame(0x0102, data, newer=True)), (1, frame(0x8108, data)))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 200), max_size=6))
def test_where_a_stream_is_cut_does_not_matter(cuts: list[int]) -> None:
    stream = b"\0\xff" + b"".join(
        (frame(0x0200, place()), b"\x7e\x7e", frame(0x8105, b"\4"), b"xx", frame(0x0102, b"\x7e\x7d1", check=1))
    )
    whole = said(JT808, (0, stream))
    borders = sorted({0, len(stream), *(cut % len(stream) for cut in cuts)})
    pieces = said(JT808, *((0, stream[a:b]) for a, b in pairwise(borders)))
    keys = ("ot.function.code", "ot.status", "ot.value", "ot.flags")
    assert [[row[key] for key in keys] for row in pieces] == [[row[key] for key in keys] for row in whole]
