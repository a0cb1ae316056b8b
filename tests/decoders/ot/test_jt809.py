"""JT/T 809 between vehicle platforms."""

from __future__ import annotations

import json
import struct
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.decoders.ot.talk import said, some

from cityguard.decoders.ot import jt809_pdu as pdu
from cityguard.decoders.ot.jt809 import PROTOCOLS, starts, within
from cityguard.decoders.wire import crc

JT809 = PROTOCOLS[0]
CENTRE = 0x005B5A01
SECOND = 1_793_581_200


def frame(message: int, body: bytes = b"", *, newer: bool = False, key: int = 0, **more: Any) -> bytes:
    """A whole frame; with a ``key`` its body is put under the stream of ``parameters``."""
    encrypted = key > 0
    if encrypted:
        body = pdu.deciphered(body, key, more.get("parameters", pdu.PUBLISHED[0]))
    time = struct.pack(">Q", SECOND) if newer else b""
    size = 22 + len(time) + len(body) + 4 + more.get("longer", 0)
    data = struct.pack(">IIHI3BBI", size, 5, message, CENTRE, 1, 2, 15, encrypted, key) + time + body
    data += (crc.ccitt(data) ^ more.get("check", 0)).to_bytes(2, "big")
    for plain, escaped in ((b"\x5a", b"\x5a\2"), (b"\x5e", b"\x5e\2"), (b"\x5b", b"\x5a\1"), (b"\x5d", b"\x5e\1")):
        data = data.replace(plain, escaped)
    return b"\x5b" + data + b"\x5d"


def login(password: bytes = b"Zk9x7Q2w", address: bytes = b"10.0.0.1", *, newer: bool = False) -> bytes:
    centre = struct.pack(">I", CENTRE) if newer else b""
    return struct.pack(">I", 10_001) + password.ljust(8, b"\0") + centre + address.ljust(32, b"\0") + b"\x27\x0f"


def vehicle(part: int, data: bytes = b"", plate: str = "粤A12345") -> bytes:
    return plate.encode("gb18030").ljust(21, b"\0") + b"\2" + struct.pack(">HI", part, len(data)) + data


def told(*frames: tuple[int, bytes]) -> list[dict[str, Any]]:
    return said(JT809, *frames, port=9000)


def test_a_login_tells_user_and_where_to_call_back_but_no_password() -> None:
    for newer in (False, True):
        (row,) = told((0, frame(0x1001, login(newer=newer), newer=newer)))
        assert some(row, "function.code", "function.name", "function.class", "unit_id") == (
            *(4097, "UP_CONNECT_REQ", "diagnostic"),
            str(CENTRE),
        )
        assert some(row, "encrypted", "target", "target_ip", "password.length", "password.verdict") == (
            *(False, "10.0.0.1:9999", "10.0.0.1"),
            *(8, "ok"),
        )
        assert json.loads(row["event.fields"])["jt809"]["user"] == 10_001
        assert row["ot.edition"] == ("2019" if newer else "2011")
        assert row.get("ot.time") == (datetime.fromtimestamp(SECOND, UTC) if newer else None)
        assert "Zk9x7Q2w" not in str(row)


def test_a_refused_login_is_an_error() -> None:
    accepted, refused = told((1, frame(0x1002, b"\0\0\0\0\7")), (1, frame(0x1002, b"\4\0\0\0\0")))
    assert some(accepted, "function.class", "status", "is_request") == ("diagnostic", "0", False)
    assert some(refused, "function.class", "status") == ("error", "4")


def test_listening_in_is_a_control_of_a_plate() -> None:
    (row,) = told((1, frame(0x9500, vehicle(0x9501, b"13900000000".ljust(20, b"\0")))))
    assert some(row, "function.code", "function.name", "function.class", "address", "value") == (
        *(0x9500, "DOWN_CTRL_MSG_MONITOR_VEHICLE_REQ", "control"),
        *("粤A12345", "listen"),
    )


def test_a_sub_type_without_a_plate_is_found() -> None:
    (row,) = told((1, frame(0x9300, struct.pack(">HI", 0x9301, 3) + b"abc")))
    assert some(row, "function.name", "address") == ("DOWN_PLATFORM_MSG_POST_QUERY_REQ", None)


def test_enciphering_with_published_parameters_is_seen_through() -> None:
    opened, second, shut = told(
        (0, frame(0x1001, login(b"123456"), key=9_999)),
        (1, frame(0x9500, vehicle(0x9502), key=7, parameters=pdu.PUBLISHED[1])),
        (0, frame(0x1001, login(), key=9_999, parameters=(11_111_111, 22_222_222, 33_333_333))),
    )
    assert some(opened, "encrypted", "flags", "password.verdict") == (True, ["xor_stream", "published_key"], "default")
    assert some(second, "flags", "value") == (["xor_stream", "published_key"], "photograph")
    assert some(shut, "encrypted", "flags", "password.length", "target") == (True, ["xor_stream"], None, None)


def test_a_wrong_check_and_a_wrong_length_are_told() -> None:
    bad, long = told((0, frame(0x1005, check=1)), (0, frame(0x1005, longer=7)))
    assert some(bad, "function.class", "status") == ("diagnostic", "crc_error")
    assert some(long, "status", "flags") == (None, ["length_error"])


def test_frames_are_known_by_their_content_alone() -> None:
    assert starts(frame(0x1005), False)
    assert starts(frame(0x1005, check=1), False)  # a wrong check is told
    assert not starts(frame(0x1005, check=1, longer=1), True)
    assert not starts(frame(0x7777), True)
    assert not starts(b'["a", [1, 2], "a long enough array of JSON"]', True)
    assert within(b"\x5b\x5bnoise" + frame(0x1005))
    assert not within(b"[1],[2],[3]" * 40)


@settings(max_examples=25, deadline=None)
@given(st.binary(max_size=160), st.integers(0, 3))
def test_any_octets_come_back_unharmed(data: bytes, key: int) -> None:
    told((0, data), (0, b"\x5b" + data + b"\x5d"))
    for message in (0x1001, 0x1002, 0x1003, 0x1200, 0x9500):
        told((0, frame(message, data, key=key)))
    assert pdu.unescaped(frame(0x1200, data)[1:-1])[22:-2] == data


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 300), max_size=6))
def test_where_a_stream_is_cut_does_not_matter(cuts: list[int]) -> None:
    stream = b"\0\x5b" + frame(0x1001, login()) + b"\x5d\x5b" + frame(0x9500, vehicle(0x9505)) + frame(0x1005, check=1)
    whole = told((0, stream))
    assert len(whole) == 3
    borders = sorted({0, len(stream), *(cut % len(stream) for cut in cuts)})
    pieces = told(*((0, stream[a:b]) for a, b in pairwise(borders)))
    keys = ("ot.function.name", "ot.status", "ot.value", "ot.password.hash")
    assert [[row[key] for key in keys] for row in pieces] == [[row[key] for key in keys] for row in whole]
