"""DLMS/COSEM over HDLC and over the wrapper."""

from __future__ import annotations

import struct

import pytest
from tests.decoders.ot.talk import said, sent, some

from cityguard.decoders.ot.dlms import PROTOCOLS
from cityguard.decoders.wire import crc

DLMS = PROTOCOLS[0]
ENERGY = b"\0\3" + bytes((1, 0, 1, 8, 0, 255)) + b"\2\0"


def hdlc(control: int, unit: bytes = b"", *, target: int = 3, source: int = 0x21) -> bytes:
    size = 5 + (2 + len(unit) if unit else 0) + 2
    head = struct.pack(">H", 0xA000 | size) + bytes((target, source, control))
    if unit:
        head += crc.x25(head).to_bytes(2, "little") + unit
    return b"\x7e" + head + crc.x25(head).to_bytes(2, "little") + b"\x7e"


def wrapped(unit: bytes, *, client: int = 16, meter: int = 1) -> bytes:
    answers = unit[0] in (0x61, 0xC4, 0xC5, 0xC7)
    ends = (meter, client) if answers else (client, meter)
    return struct.pack(">HHHH", 1, *ends, len(unit)) + unit


GET, GOT = b"\xc0\x01\xc1" + ENERGY, b"\xc4\x01\xc1\0\6\0\0\x04\xd2"


def test_a_register_is_read_over_the_wrapper() -> None:
    ask, answer = said(DLMS, (0, wrapped(GET)), (1, wrapped(GOT)))
    assert some(ask, "function.code", "function.class", "address") == (0xC0, "read", "3/1-0:1.8.0*255/2")
    assert some(answer, "address", "value", "status", "unit_id") == ("3/1-0:1.8.0*255/2", "1234", "0", "1")


def test_setting_and_acting_are_told() -> None:
    stamp = b"\xc1\x01\xc2\0\x08" + bytes((0, 0, 1, 0, 0, 255)) + b"\2\0\x12\x07\xe8"
    cut = b"\xc3\x01\xc3\0\x46" + bytes((0, 0, 96, 3, 10, 255)) + b"\1\1\x0f\0"
    write, act, refused = sent(DLMS, (0, wrapped(stamp)), (0, wrapped(cut)), (1, wrapped(b"\xc7\x01\xc3\x03")))
    assert some(write, "function.class", "value") == ("write", "2024")
    assert some(act, "function.class", "address") == ("control", "70/0-0:96.3.10*255/1")
    assert some(refused, "function.class", "status", "address") == ("error", "3", "70/0-0:96.3.10*255/1")


@pytest.mark.parametrize(
    ("tag", "kind", "number"),
    [(0xC1, 15, 7), (0xC3, 15, 2), (0xC3, 12, 5), (0xC3, 64, 2), (0xC1, 19, 9), (0xC1, 44, 5)],
)
def test_passwords_and_keys_are_never_shown(tag: int, kind: int, number: int) -> None:
    place = struct.pack(">H", kind) + bytes((0, 0, 40, 0, 0, 255, number))
    given = bytes((tag, 1, 0xC1)) + place + (b"\0" if tag == 0xC1 else b"\1") + b"\x09\x06secret"
    (row,) = sent(DLMS, (0, wrapped(given)))
    assert some(row, "address", "value") == (f"{kind}/0-0:40.0.0*255/{number}", None)
    assert b"secret".hex() not in str(row)


def test_a_password_that_is_read_is_not_shown() -> None:
    asked = b"\xc0\x01\xc1\0\x13" + bytes((0, 0, 20, 0, 0, 255)) + b"\x09\0"
    row = sent(DLMS, (0, wrapped(asked)), (1, wrapped(b"\xc4\x01\xc1\0\x09\x06secret")))[1]
    assert some(row, "address", "value", "status") == ("19/0-0:20.0.0*255/9", None, "0")


def test_frames_of_hdlc_carry_units_and_names_of_their_own() -> None:
    rows = said(
        DLMS,
        (0, hdlc(0x93)),
        (1, hdlc(0x73, target=0x21, source=3)),
        (0, hdlc(0x10, b"\xe6\xe6\0" + GET)),
        (1, hdlc(0x30, b"\xe6\xe7\0" + GOT, target=0x21, source=3)),
        (0, hdlc(0x31)),
    )
    assert [row.get("ot.function.name") for row in rows] == ["SNRM", "UA", "Get Request", "Get Response", "RR"]
    assert some(rows[3], "value", "unit_id") == ("1234", "1")
    assert some(rows[0], "function.code", "message.type") == (None, "snrm")


def test_enciphered_units_give_their_tag() -> None:
    (row,) = sent(DLMS, (0, wrapped(b"\xc8\x20" + bytes(30))))
    assert some(row, "function.name", "address") == ("Global Get Request", None)


def test_frames_come_in_any_pieces_and_are_known_by_their_check() -> None:
    stream = b"\x99" + hdlc(0x93) + hdlc(0x10, b"\xe6\xe6\0" + GET)
    assert len(said(DLMS, *((0, bytes((byte,))) for byte in stream))) == 2
    assert DLMS.starts(hdlc(0x93), False)
    assert not DLMS.starts(hdlc(0x93)[:-2] + b"\0\x7e", False)
    assert not DLMS.starts(wrapped(GET), False)
    assert DLMS.starts(wrapped(GET), True)
