"""KNXnet/IP frames and the telegrams in them."""

from __future__ import annotations

import json
import struct

from tests.decoders.ot.talk import said, sent, some

from cityguard.decoders.ot.knxip import PROTOCOLS

KNX = PROTOCOLS[0]


def frame(service: int, body: bytes) -> bytes:
    return struct.pack(">BBHH", 6, 0x10, service, 6 + len(body)) + body


def telegram(apci: int, data: bytes = b"", *, group: bool = True, small: int = 0) -> bytes:
    size = 1 + len(data)
    head = bytes((0x29, 0, 0xBC, 0xE0 if group else 0x60, 0x11, 0x05, 0x0A, 0x03, size))
    return head + bytes((apci >> 8 & 3, apci & 0xFF | small)) + data


def test_switching_a_group_is_a_write_and_asking_it_a_read() -> None:
    on, ask = sent(KNX, (0, frame(0x0530, telegram(0x080, small=1))), (0, frame(0x0530, telegram(0))))
    assert some(on, "function.code", "function.name", "function.class") == (0x0530, "Routing Indication", "write")
    assert some(on, "address", "value") == ("1/2/3", "01")
    assert json.loads(on["event.fields"])["source"] == "1.1.5"
    assert some(ask, "function.class", "value") == ("read", None)


def test_a_tunnel_carries_channel_and_sequence() -> None:
    request = frame(0x0420, b"\x04\x21\x09\0" + telegram(0x080, b"\x0c\x1a"))
    row, ack = sent(KNX, (0, request), (1, frame(0x0421, b"\x04\x21\x09\0")))
    assert some(row, "unit_id", "transaction_id", "value", "is_request") == ("33", 9, "0c1a", True)
    assert some(ack, "status", "is_request") == ("0x00", False)


def test_restarting_and_reprogramming_a_device_are_told() -> None:
    restart, memory = sent(
        KNX,
        (0, frame(0x0530, telegram(0x380, group=False))),
        (0, frame(0x0530, telegram(0x280, b"\x10\x00\xff", group=False))),
    )
    assert some(restart, "function.class", "address") == ("control", "0.10.3")
    assert some(memory, "function.class") == ("program",)


def test_a_refused_connection_is_an_error() -> None:
    (row,) = sent(KNX, (1, frame(0x0206, b"\0\x24")))
    assert some(row, "function.class", "status") == ("error", "0x24")


def test_frames_over_tcp_come_in_any_pieces() -> None:
    stream = frame(0x0203, bytes(8)) + frame(0x0209, b"\x05\0" + bytes(8))
    assert [row["ot.function.code"] for row in said(KNX, *((0, bytes((byte,))) for byte in stream))] == [0x203, 0x209]
    assert KNX.starts(stream[:14], False)
    assert not KNX.starts(stream, False)
    assert not KNX.starts(b"\x06\x10\x99\x99\0\x06", True)


def test_keys_are_never_shown() -> None:
    key = bytes.fromhex("00c0ffee01")
    for apci in (0x3D1, 0x3D3):
        (row,) = sent(KNX, (0, frame(0x0530, telegram(apci, key, group=False))))
        assert "c0ffee" not in str(row)
        assert some(row, "value", "address") == (None, "0.10.3")
    for kind, prop, shown in ((17, 56, False), (11, 93, False), (11, 52, True)):
        body = struct.pack(">BHBBBB", 0xF6, kind, 1, prop, 0x10, 1) + key
        (row,) = sent(KNX, (0, frame(0x0310, b"\x04\x21\x09\0" + body)))
        assert ("c0ffee" in str(row)) == shown
        place = struct.pack(">HBBBBH", kind, 0, 0x10 | prop >> 8, prop, 1, 1)
        (row,) = sent(KNX, (0, frame(0x0530, telegram(0x1CE, place + key, group=False))))
        assert ("c0ffee" in str(row)) == shown
        assert some(row, "function.class") == ("program",)
