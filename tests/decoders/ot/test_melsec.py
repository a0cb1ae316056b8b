"""MELSEC communication: binary 3E and 4E, ASCII, and MELSOFT's own frames."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.decoders.ot.talk import said, sent, some

from cityguard.decoders.ot import melsec_devices as devices
from cityguard.decoders.ot.melsec import PROTOCOLS

MELSEC = PROTOCOLS[0]
ROUTE = struct.pack("<BBHB", 0, 0xFF, 0x03FF, 0)


def request(command: int, sub: int, body: bytes, *, serial: int | None = None) -> bytes:
    head = b"\x50\0" if serial is None else b"\x54\0" + struct.pack("<HH", serial, 0)
    inner = struct.pack("<HHH", 16, command, sub) + body
    return head + ROUTE + struct.pack("<H", len(inner)) + inner


def response(body: bytes, *, end: int = 0, serial: int | None = None) -> bytes:
    head = b"\xd0\0" if serial is None else b"\xd4\0" + struct.pack("<HH", serial, 0)
    inner = struct.pack("<H", end) + body
    return head + ROUTE + struct.pack("<H", len(inner)) + inner


READ = request(0x0401, 0, b"\x64\0\0\xa8\2\0")


def test_a_batch_read_and_its_values() -> None:
    ask, answer = said(MELSEC, (0, READ), (1, response(struct.pack("<2H", 300, 4))))
    assert some(ask, "function.code", "function.class", "address", "quantity") == (0x0401, "read", "0000:D100", 2)
    assert some(answer, "address", "value", "status", "is_request") == ("0000:D100", "300,4", "0x0000", False)


def test_bits_are_two_in_a_byte() -> None:
    ask = request(0x1401, 1, b"\x10\0\0\x9d\4\0\x11\x01")
    (row,) = said(MELSEC, (0, ask))
    assert some(row, "address", "value", "function.class") == ("0001:Y10", "1,1,0,1", "write")


def test_stopping_and_resetting_are_control_and_files_are_programming() -> None:
    rows = said(MELSEC, (0, b"".join(request(code, 0, b"\1\0") for code in (0x1002, 0x1006, 0x1829))))
    assert [row["ot.function.class"] for row in rows] == ["control", "control", "program"]


@pytest.mark.parametrize("sub", [0x0080, 0x0082, 0x0083, 0x0040])
@pytest.mark.parametrize("command", [0x0401, 0x1401, 0x0403, 0x1402, 0x0406])
def test_devices_with_an_extension_are_not_read_as_plain_ones(command: int, sub: int) -> None:
    body = b"\0\0\x64\0\0\xa8\0\0\0\0\xf9\2\0\x11\x22"
    ask, answer = said(MELSEC, (0, request(command, sub, body)), (1, response(b"\1\2")))
    assert some(ask, "address", "quantity", "value") == (f"{sub:04x}:", None, None)
    assert some(answer, "address", "value") == (f"{sub:04x}:", None)


NARROW = (b"\x64\0\0\xa8", b"\x10\0\0\xb4", b"\5\0\0\xa8")
WIDE = (b"\x64\0\0\0\xa8\0", b"\x10\0\0\0\xb4\0", b"\5\0\0\0\xa8\0")


@pytest.mark.parametrize(("sub", "places"), [(0, NARROW), (2, WIDE)])
def test_random_reads_and_writes_tell_words_and_double_words(sub: int, places: tuple[bytes, ...]) -> None:
    read = request(0x0403, sub, b"\2\1" + b"".join(places))
    data = struct.pack("<HHI", 7, 65535, 4_000_000_000)
    values = (struct.pack("<H", 7), struct.pack("<H", 65535), struct.pack("<I", 4_000_000_000))
    write = request(0x1402, sub, b"\2\1" + b"".join(map(bytes.__add__, places, values)))
    ask, answer, wrote = said(MELSEC, (0, read), (1, response(data)), (0, write))
    for row in (ask, answer, wrote):
        assert some(row, "address", "quantity") == (f"{sub:04x}:D100,W10,D5", 3)
    assert [row["ot.value"] for row in (ask, answer, wrote)] == [None, "7,65535,4000000000", "7,65535,4000000000"]


@pytest.mark.parametrize(("sub", "place", "on"), [(1, b"\x32\0\0\x90", b"\1"), (3, b"\x32\0\0\0\x90\0", b"\1\0")])
def test_random_writes_of_bits(sub: int, place: bytes, on: bytes) -> None:
    off = bytes(len(on))
    (row,) = said(MELSEC, (0, request(0x1402, sub, b"\2" + place + off + place + on)))
    assert some(row, "address", "quantity", "value") == (f"{sub:04x}:M50,M50", 2, "0,1")


@pytest.mark.parametrize(("sub", "places"), [(0, NARROW), (2, WIDE)])
def test_blocks_tell_where_each_begins(sub: int, places: tuple[bytes, ...]) -> None:
    read = request(0x0406, sub, b"\1\1" + places[0] + b"\2\0" + places[1] + b"\1\0")
    write = request(0x1406, sub, b"\1\1" + places[0] + b"\2\0\1\0\2\0" + places[1] + b"\1\0\3\0")
    ask, answer, wrote = said(MELSEC, (0, read), (1, response(struct.pack("<3H", 9, 8, 7))), (0, write))
    for row in (ask, answer, wrote):
        assert some(row, "address", "quantity") == (f"{sub:04x}:D100,W10", 3)
    assert [row["ot.value"] for row in (ask, answer, wrote)] == [None, "9,8,7", "1,2,3"]


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from([0x0401, 0x1401, 0x0403, 0x1402, 0x0406, 0x1406, 0x0801, 0x0613]), st.integers(0, 3), st.binary()
)
def test_no_request_raises(command: int, sub: int, body: bytes) -> None:
    asked = devices.request(command, sub, body)
    devices.answered(asked, body)
    assert len((asked.value or "").split(",")) <= devices.MAX_VALUES


def test_the_wide_devices_of_ascii_give_their_subcommand_alone() -> None:
    inner = "0010" + "0401" + "0002" + "D***0000000100" + "0002"
    (row,) = said(MELSEC, (0, f"500000FF03FF00{len(inner):04X}{inner}".encode()))
    assert some(row, "function.code", "address", "quantity") == (0x0401, "0002:", None)


def test_a_serial_number_pairs_frames_of_4e() -> None:
    rows = sent(
        MELSEC,
        (0, request(0x0101, 0, b"", serial=5)),
        (1, response(b"Q03UDECPU       \x68\2", serial=5)),
        (1, response(b"", end=0xC059, serial=6)),
    )
    assert some(rows[1], "function.code", "value", "transaction_id") == (0x0101, "Q03UDECPU", 5)
    assert some(rows[2], "function.class", "status", "function.code") == ("error", "0xc059", None)


def test_the_same_in_ascii() -> None:
    inner = "0010" + "0401" + "0000" + "D*000100" + "0002"
    frame = f"500000FF03FF00{len(inner):04X}{inner}".encode()
    (row,) = said(MELSEC, (0, frame))
    assert some(row, "function.code", "address", "quantity") == (0x0401, "0000:D100", 2)
    assert MELSEC.starts(frame, False)


def test_melsoft_frames_are_named_and_not_read() -> None:
    (row,) = sent(MELSEC, (0, b"\x5a\0\0\1"), port=5560)
    assert some(row, "message.type", "function.code") == ("melsoft-search", None)
    assert row["event.flags"] == ["undecoded"]


def test_frames_come_in_any_pieces_and_unknown_commands_start_none() -> None:
    assert len(said(MELSEC, *((0, bytes((byte,))) for byte in b"\xee" + READ + READ))) == 2
    assert MELSEC.starts(READ, False)
    assert not MELSEC.starts(request(0x7777, 0, b""), True)
    assert not MELSEC.starts(b"\x50\0\0\0\0\0\0\0\0", True)
