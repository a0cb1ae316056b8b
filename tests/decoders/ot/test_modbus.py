"""Modbus/TCP: PDUs, framing, and requests matched with their responses."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from tests.decoders import wire

from cityguard import fast
from cityguard.decoders import flow, packet
from cityguard.decoders.ot import modbus, modbus_columns, modbus_pdu
from cityguard.decoders.protocol import Out


def adu(pdu: bytes, transaction: int = 1, unit: int = 17) -> bytes:
    return struct.pack(">HHHB", transaction, 0, len(pdu) + 1, unit) + pdu


def rows(*said: tuple[int, bytes], mss: int = 1400, pieces: int = 1) -> list[dict[str, Any]]:
    talker = wire.Talker(502).shake()
    for side, payload in said:
        talker.say(side, payload, mss=mss)
    return wire.table(wire.decode(talker.packets, pieces=pieces), "ot").to_dicts()


READ = adu(b"\x03" + struct.pack(">HH", 100, 2))
READ_ANSWER = adu(b"\x03\x04" + struct.pack(">HH", 7, 65535))


def test_a_read_and_its_answer_are_two_rows_that_know_each_other() -> None:
    ask, answer = rows((0, READ), (1, READ_ANSWER))
    assert (ask["ot.is_request"], answer["ot.is_request"]) == (True, False)
    assert (ask["ot.message.type"], answer["ot.message.type"]) == ("request", "response")
    for row in (ask, answer):
        assert (row["ot.protocol"], row["network.protocol"]) == ("modbus", "modbus")
        assert (row["ot.function.code"], row["ot.function.name"]) == (3, "Read Holding Registers")
        assert (row["ot.function.class"], row["ot.unit_id"], row["ot.transaction_id"]) == ("read", "17", 1)
        assert (row["ot.address"], row["ot.quantity"]) == ("100", 2)
    assert (ask["ot.value"], answer["ot.value"]) == (None, "7,65535")
    assert (ask["destination.port"], answer["source.port"]) == (502, 502)


@pytest.mark.parametrize(
    ("pdu", "kind", "address", "quantity", "value"),
    [
        (b"\x01" + struct.pack(">HH", 1, 10), "read", "1", 10, None),
        (b"\x05" + struct.pack(">HH", 3, 0xFF00), "write", "3", 1, "1"),
        (b"\x05" + struct.pack(">HH", 3, 0), "write", "3", 1, "0"),
        (b"\x06" + struct.pack(">HH", 9, 500), "write", "9", 1, "500"),
        (b"\x0f" + struct.pack(">HHBB", 0, 5, 1, 0b10110), "write", "0", 5, "0,1,1,0,1"),
        (b"\x10" + struct.pack(">HHBHH", 40, 2, 4, 8, 9), "write", "40", 2, "8,9"),
        (b"\x16" + struct.pack(">HHH", 4, 1, 2), "write", "4", 1, "1,2"),
        (b"\x17" + struct.pack(">HHHHBH", 1, 2, 30, 1, 2, 5), "write", "30", 1, "5"),
        (b"\x18" + struct.pack(">H", 8), "read", "8", None, None),
        (b"\x07", "diagnostic", None, None, None),
        (b"\x08" + struct.pack(">HH", 0, 1), "diagnostic", "0", None, "1"),
        (b"\x08" + struct.pack(">HH", 1, 0), "control", "1", None, "0"),
        (b"\x08" + struct.pack(">HH", 4, 0), "control", "4", None, "0"),
        (b"\x11", "read", None, None, None),
        (b"\x2b\x0e\x01\x00", "read", "14", None, None),
        (b"\x5a\x00\x02", "read", "2", None, None),
        (b"\x5a\x00\x41", "control", "65", None, None),
        (b"\x63", None, None, None, None),
        (b"\x03", "read", None, None, None),
        (b"\x10" + struct.pack(">HHB", 40, 100, 200), "write", "40", 100, None),
    ],
)
def test_what_a_request_says(
    pdu: bytes, kind: str | None, address: str | None, quantity: int | None, value: str | None
) -> None:
    (row,) = rows((0, adu(pdu)))
    assert row["ot.function.code"] == pdu[0]
    found = (row["ot.function.class"], row["ot.address"], row["ot.quantity"], row["ot.value"])
    assert found == (kind, address, quantity, value)


def test_an_exception_is_an_error_with_its_code_and_the_function_asked() -> None:
    _, row = rows((0, READ), (1, adu(b"\x83\x02")))
    assert (row["ot.function.code"], row["ot.function.class"], row["ot.status"]) == (3, "error", "2")
    assert (row["ot.function.name"], row["ot.address"]) == ("Read Holding Registers", "100")


def test_answers_find_their_requests_by_transaction_and_unit_even_in_another_piece() -> None:
    asked = [adu(b"\x03" + struct.pack(">HH", at * 10, 1), at, 1) for at in range(4)]
    answers = [adu(b"\x03\x02\x00\x01", at, 1) for at in (2, 0, 3, 1)]
    for pieces in (1, 2, 5):
        found = rows(*((0, one) for one in asked), *((1, one) for one in answers), pieces=pieces)
        told = [(row["ot.transaction_id"], row["ot.address"]) for row in found if not row["ot.is_request"]]
        assert told == [(2, "20"), (0, "0"), (3, "30"), (1, "10")]


def test_a_transaction_number_used_again_belongs_to_the_latest_request() -> None:
    again = adu(b"\x03" + struct.pack(">HH", 200, 1))
    found = rows((0, READ), (1, READ_ANSWER), (0, again), (1, READ_ANSWER))
    assert [row["ot.address"] for row in found] == ["100", "100", "200", "200"]


def test_long_values_are_cut() -> None:
    _, row = rows((0, READ), (1, adu(b"\x03\xc8" + bytes(200))))
    assert row["ot.value"] == ",".join(["0"] * modbus_pdu.MAX_VALUES)


def test_pdus_side_by_side_and_across_segments_are_all_found() -> None:
    stream = READ + adu(b"\x06" + struct.pack(">HH", 1, 2), 2) + adu(b"\x07", 3)
    for mss in (1400, 13, 5, 1):
        assert [row["ot.function.code"] for row in rows((0, stream), mss=mss)] == [3, 6, 7]


def test_other_traffic_on_the_port_is_not_modbus() -> None:
    assert rows((0, b"GET / HTTP/1.1\r\n\r\n"), (1, bytes(3))) == []


def test_a_lost_segment_does_not_hide_what_follows_and_a_repeated_one_counts_once() -> None:
    talker = wire.Talker(502).shake().say(0, READ)
    late = talker.segment(0, adu(b"\x07", 9))
    talker.seq[0] += len(adu(b"\x07", 9))
    talker.say(0, adu(b"\x0b", 2)).say(0, adu(b"\x0c", 3))
    talker.packets += [talker.packets[-1], late, late, talker.packets[2]]
    codes = wire.table(wire.decode(talker.packets), "ot")["ot.function.code"].to_list()
    assert codes == [3, 11, 12, 7]


def test_a_new_connection_on_the_same_ports_starts_anew() -> None:
    one = wire.Talker(502).shake().say(0, READ)
    two = wire.Talker(502)
    two.seq = [5, 10]
    packets = one.packets + two.shake().say(0, READ).packets
    for pieces in range(1, len(packets) + 1):
        assert wire.table(wire.decode(packets, pieces=pieces), "ot").height == 2


@pytest.mark.parametrize("silent", [False, True])
def test_a_request_does_not_outlive_its_connection(silent: bool) -> None:
    """The answer on a connection opened anew belongs to no request of the one before it."""
    one = wire.Talker(502).shake().say(0, READ)
    two, three = wire.Talker(502), wire.Talker(502)
    two.seq, three.seq = [50_000, 90_000], [500_000, 900_000]
    packets = one.packets + two.shake().packets
    if not silent:
        packets += wire.Talker(502, client_port=40001).shake().say(0, READ).say(1, READ_ANSWER).packets
    packets += two.say(1, READ_ANSWER).say(0, READ).packets[-2:] + three.shake().say(1, READ_ANSWER).packets
    for pieces in range(1, len(packets) + 1):
        table = wire.table(wire.decode(packets, pieces=pieces), "ot")
        answers = table.filter(~pl.col("ot.is_request") & (pl.col("destination.port") == 40000))
        assert answers["ot.address"].to_list() == [None, None], pieces
        others = table.filter(~pl.col("ot.is_request") & (pl.col("destination.port") == 40001))
        assert others["ot.address"].to_list() == ([] if silent else ["100"])


def test_the_answer_of_a_read_and_write_is_about_what_was_read() -> None:
    ask = adu(b"\x17" + struct.pack(">HHHHBH", 11, 2, 30, 1, 2, 5))
    answer = adu(b"\x17\x04" + struct.pack(">HH", 7, 8))
    for pieces in (1, 2, 4):
        found = rows((0, ask), (1, answer), (0, READ), (1, READ_ANSWER), pieces=pieces)
        told = [(row["ot.address"], row["ot.quantity"], row["ot.value"]) for row in found]
        assert told == [("30", 1, "5"), ("11", 2, "7,8"), ("100", 2, None), ("100", 2, "7,65535")]


pdus = st.one_of(
    st.builds(
        lambda code, at, many: struct.pack(">BHH", code, at, many),
        st.integers(1, 6),
        st.integers(0, 999),
        st.integers(0, 99),
    ),
    st.builds(
        lambda code, body: bytes([code]) + body,
        st.sampled_from([1, 3, 15, 16, 22, 23, 43, 0x83, 0x90]),
        st.binary(max_size=60),
    ),
)


@settings(max_examples=120, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), pdus, st.integers(0, 3)), min_size=1, max_size=12), st.integers(1, 3))
def test_the_fast_path_and_the_exact_path_give_the_same_rows(said: list[tuple[int, bytes, int]], pieces: int) -> None:
    talker = wire.Talker(502).shake()
    for side, pdu, transaction in said:
        talker.say(side, adu(pdu, transaction))
    found = []
    for arrays in (True, False):
        one = modbus.Modbus(Out("modbus"), fast=arrays)
        tables = []
        for part in np.array_split(np.arange(len(talker.packets)), pieces):
            piece = wire.frames([talker.packets[at] for at in part])
            packets, _ = packet.decode(piece)
            keys = flow.Keys(packets)
            tables.append(one.table(piece.buffer, packets, keys, flow.digest(keys.columns())))
        assert (len(one._slow) == 0) == arrays  # each path was really taken
        found.append(pl.concat([table for table in tables if table.height]))
    assert_frame_equal(*found)
    assert found[0].height == len(said)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 1), st.sampled_from([READ, READ_ANSWER]), st.integers(0, 30), st.integers(0, 255)),
        max_size=8,
    ),
    st.integers(1, 40),
)
def test_no_bytes_raise_anything(said: list[tuple[int, bytes, int, int]], mss: int) -> None:
    talker = wire.Talker(502).shake()
    for side, payload, at, value in said:
        raw = bytearray(payload)
        raw[at % len(raw)] = value
        talker.say(side, bytes(raw), mss=mss)
    wire.decode(talker.packets, pieces=2)


def test_a_pdu_whose_rest_never_comes_is_a_row_of_its_head() -> None:
    talker = wire.Talker(502).shake()
    head = struct.pack(">HHHBBHH", 7, 0, 37, 1, 16, 100, 15)
    talker.say(0, head)
    talker.seq[0] += 40  # lost by the capture
    talker.say(0, struct.pack(">HHHBBHH", 8, 0, 6, 1, 3, 5, 2))
    first, second = wire.table(wire.decode(talker.packets), "ot").to_dicts()
    assert (first["ot.function.code"], first["ot.address"], first["event.flags"]) == (16, "100", ["truncated"])
    assert (second["ot.function.code"], second["event.flags"]) == (3, None)


@pytest.mark.skipif(not fast.ON, reason="the extra [fast] is not there")
@settings(max_examples=30, deadline=None)
@given(st.integers(1, 5), st.data())
def test_values_as_text_are_the_same_compiled_and_not(columns: int, data: st.DataObject) -> None:
    flat = data.draw(st.lists(st.sampled_from((0, 9, 10, 99, 100, 999, 1000, 9999, 10000, 65535)), max_size=20))
    numbers = np.array(flat[: len(flat) // columns * columns], np.int64).reshape(-1, columns)
    said = [",".join(map(str, row)) for row in numbers.tolist()]
    assert modbus_columns._joined(numbers).to_list() == said
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fast, "ON", False)
        assert modbus_columns._joined(numbers).to_list() == said
