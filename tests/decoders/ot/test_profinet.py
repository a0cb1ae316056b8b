"""PROFINET: DCP and real-time frames on Ethernet, context management over UDP."""

from __future__ import annotations

import json
import struct
import uuid
from typing import Any

from tests.decoders import wire
from tests.decoders.ot.talk import sent, some

from cityguard.decoders.ot.profinet_io import PROTOCOLS

IO = PROTOCOLS[0]
ACTIVITY = uuid.UUID(int=77)


def ethernet(*payloads: bytes) -> list[dict[str, Any]]:
    packets = [wire.ether(payload, 0x8892) for payload in payloads]
    decoded = wire.decode(packets)
    assert decoded.rejected == 0
    return wire.table(decoded, "ot").to_dicts()


def dcp(frame: int, service: int, kind: int, blocks: bytes) -> bytes:
    return struct.pack(">HBBIHH", frame, service, kind, 0x01020304, 0, len(blocks)) + blocks


def block(option: int, sub: int, body: bytes) -> bytes:
    return struct.pack(">BBH", option, sub, len(body)) + body + b"\0" * (len(body) % 2)


def test_naming_a_station_is_programming_and_resetting_it_control() -> None:
    name, reset = ethernet(
        dcp(0xFEFD, 4, 0, block(2, 2, b"\0\1press-01") + block(5, 2, b"\0\0")),
        dcp(0xFEFD, 4, 0, block(5, 6, b"\0\2")),
    )
    assert some(name, "protocol", "function.code", "function.class") == ("profinet_dcp", 4, "program")
    assert some(name, "address", "value") == ("name of station,end transaction", "press-01")
    assert (name["source.mac"], name["source.ip"], name["network.protocol"]) == ("02:00:00:00:00:01", None, "profinet")
    assert some(reset, "function.class") == ("control",)


def test_what_a_device_answers_is_read() -> None:
    address = bytes((10, 1, 2, 3, 255, 255, 255, 0, 10, 1, 2, 1))
    found, refused = ethernet(
        dcp(0xFEFF, 5, 1, block(2, 2, b"\0\0valve") + block(1, 2, b"\0\1" + address)),
        dcp(0xFEFD, 4, 1, block(5, 4, b"\2\2\5")),
    )
    assert some(found, "value", "is_request") == ("valve,10.1.2.3/255.255.255.0/10.1.2.1", False)
    assert some(refused, "function.class", "status") == ("error", "5")


def test_the_response_of_a_set_is_about_what_was_set() -> None:
    def frame(back: bool, payload: bytes) -> bytes:
        ends = wire.ether(payload, 0x8892)
        return ends[6:12] + ends[:6] + ends[12:] if back else ends

    done = block(5, 4, b"\2\2\0") + block(5, 4, b"\5\2\0")
    name = block(2, 2, b"\0\1press-01") + block(5, 2, b"\0\0")
    packets = [
        frame(False, dcp(0xFEFD, 4, 0, name)),
        frame(True, dcp(0xFEFD, 4, 1, done)),
        frame(False, dcp(0xFEFD, 4, 0, block(5, 6, b"\0\2"))),
        frame(True, dcp(0xFEFD, 4, 5, b"")),
        frame(True, dcp(0xFEFD, 4, 1, block(5, 4, b"\5\6\0"))),
    ]
    for pieces in (1, 2, 5):
        rows = wire.table(wire.decode(packets, pieces=pieces), "ot").to_dicts()
        columns = ("address", "quantity", "function.class", "status")
        assert [some(row, *columns) for row in rows] == [
            ("name of station,end transaction", 2, "program", None),
            ("name of station,end transaction", 2, "program", "0"),
            ("reset to factory", 1, "control", None),
            ("reset to factory", 1, "error", "unsupported"),
            ("reset to factory", 1, "control", "0"),  # its request was not seen: its own block names the option
        ]


def test_cyclic_frames_alarms_and_clocks_have_no_code() -> None:
    rows = ethernet(b"\x80\x01" + bytes(40) + b"\0\1\x35\0", b"\xfc\x01" + bytes(20), b"\xff\x40" + bytes(40))
    names = [row["ot.function.name"] for row in rows]
    assert names == ["RT cyclic data", "Alarm high", "Clock synchronisation"]
    assert some(rows[0], "address", "status") == ("0x8001", "run,valid,good")
    assert {row.get("ot.function.code") for row in rows} == {None}


def rpc(kind: int, operation: int, body: bytes, *, order: str = ">", sequence: int = 4) -> bytes:
    def words(value: uuid.UUID) -> bytes:
        return value.bytes_le if order == "<" else value.bytes

    interface = uuid.UUID("dea00001-6c97-11d1-8271-00a02442df7d")
    head = bytes((4, kind, 0x20, 0, 0x10 if order == "<" else 0, 0, 0, 0))
    head += words(uuid.UUID(int=1)) + words(interface) + words(ACTIVITY)
    head += struct.pack(order + "IIIHHHHH", 0, 1, sequence, operation, 0xFFFF, 0xFFFF, len(body), 0) + b"\0\0"
    return head + body


def arguments(blocks: bytes, order: str = ">") -> bytes:
    return struct.pack(order + "5I", 0, len(blocks), len(blocks), 0, len(blocks)) + blocks


def test_connecting_names_the_controller_and_the_answer_repeats_the_block() -> None:
    content = bytes(50) + struct.pack(">H", 7) + b"panel-1"
    connect = struct.pack(">HHBB", 0x0101, 2 + len(content), 1, 0) + content
    answer = struct.pack(">HHBB", 0x8101, 2, 1, 0)
    ask, done = sent(IO, (0, rpc(0, 0, arguments(connect))), (1, rpc(2, 0, arguments(answer, "<"), order="<")))
    assert some(ask, "function.code", "function.class", "value") == (0x0101, "control", "panel-1")
    assert some(done, "function.code", "status", "is_request") == (0x0101, "0x00000000", False)
    assert json.loads(done["event.fields"])["blocks"] == ["0x8101"]


def test_a_record_that_is_written_has_its_place() -> None:
    content = bytes(18) + struct.pack(">IHHHHI", 0, 2, 1, 0, 0x8028, 4)
    write = struct.pack(">HHBB", 0x0008, 2 + len(content) + 24, 1, 0) + content + bytes(24) + b"\1\2\3\4"
    (row,) = sent(IO, (0, rpc(0, 3, arguments(write))))
    assert some(row, "function.class", "address", "quantity") == ("write", "0/2/1/0x8028", 4)


def test_a_fault_is_an_error_and_other_interfaces_are_not_taken() -> None:
    (row,) = sent(IO, (1, rpc(3, 0, b"\x1c\1\0\1")))
    assert some(row, "function.class", "message.type") == ("error", "fault")
    other = bytearray(rpc(0, 0, b""))
    other[24] ^= 1
    assert not IO.starts(bytes(other), True)
    assert IO.starts(rpc(0, 0, b""), False)
