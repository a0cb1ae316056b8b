"""Exported flows beyond the everyday: old versions, tunnels, NAT, names, losses, and both ways of speed."""

from __future__ import annotations

import struct
import time
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from tests.decoders import wire
from tests.decoders.test_netflow import (
    DATA,
    EXPORTED,
    LEARN,
    SEEDS,
    UPTIME,
    A,
    B,
    a_set,
    nine,
    rows,
    run,
    template,
    ten,
)
from tests.decoders.wire import CLIENT, SERVER

from cityguard import fast
from cityguard.decoders import address, netflow
from cityguard.decoders.exports import fixed, loops, values
from cityguard.model import Frames


def head(version: int, count: int, size: int, tail: bytes = b"") -> bytes:
    return struct.pack(">HHIII", version, count, UPTIME, EXPORTED, 500_000_000)[:size] + tail


TIMES = struct.pack(">II", UPTIME - 5000, UPTIME - 1000)
ENDS = A + B + bytes(4) + struct.pack(">HHII", 3, 4, 10, 1500) + TIMES + struct.pack(">HH", 1234, 443)
ONE = head(1, 1, 16) + ENDS + bytes(2) + bytes([6, 8, 0x1B]) + bytes(11)
SEVEN = head(7, 1, 16, bytes(8)) + ENDS + bytes([0, 0x1B, 6, 8]) + struct.pack(">HHBBH4s", 1, 2, 24, 16, 0, B)


def eight(kind: int, record: bytes, sequence: int = 0, count: int = 1) -> bytes:
    return head(8, count, 16) + struct.pack(">IBBBBI", sequence, 0, 0, kind, 2, 0) + record


@pytest.mark.parametrize("datagram", [ONE, SEVEN], ids=["v1", "v7"])
def test_the_older_fixed_formats_are_read(datagram: bytes) -> None:
    (row,) = rows(datagram)
    assert (row["source.ip"], row["source.port"], row["destination.ip"], row["destination.port"]) == (
        CLIENT,
        1234,
        SERVER,
        443,
    )
    assert (row["network.transport"], row["tcp.flags"], row["source.bytes"], row["source.packets"]) == (
        "tcp",
        27,
        1500,
        10,
    )
    assert row["event.start"] == datetime.fromtimestamp(EXPORTED - 4.5, UTC)
    assert netflow.is_export(datagram)


@pytest.mark.parametrize("kind", sorted(fixed.V8))
def test_every_aggregation_of_v8_is_read_and_its_prefixes_are_ends(kind: int) -> None:
    layout = fixed.V8[kind]
    record = b"".join(
        {
            (0, 2): struct.pack(">I", 7),
            (0, 1): struct.pack(">I", 900),
            (0, 44): A,
            (0, 8): A,
            (0, 45): B,
            (0, 12): B,
        }.get((enterprise, number), bytes(length))
        for enterprise, number, length in layout.fields
    )
    (row,) = rows(eight(kind, record))
    assert (row["source.packets"], row["source.bytes"]) == (7, 900)
    told = {number for _, number, _ in layout.fields}
    assert row["source.ip"] == (CLIENT if told & {8, 44} else None)
    assert row["destination.ip"] == (SERVER if told & {12, 45} else None)


def test_an_aggregation_nobody_published_is_rejected() -> None:
    assert run(eight(15, bytes(40))).rejected == 1


@pytest.mark.parametrize(
    "datagram", [head(5, 55_582, 16, bytes(8)) + ENDS + bytes(16), eight(3, bytes(32), count=9_999)]
)
def test_a_lying_count_makes_no_flows(datagram: bytes) -> None:
    found = run(datagram)
    assert sum(map(len, found.batches)) == 1
    assert "counts more records" in found.notes[0]


def test_option_records_never_become_flows() -> None:
    learn = a_set(3, struct.pack(">HHHHHHHHH", 300, 3, 1, 8, 4, 12, 4, 1, 4))
    assert rows(ten(learn, a_set(300, A + B + bytes(4)))) == []


def test_the_inner_packet_of_a_tunnel_is_the_flow_and_the_outer_one_is_kept() -> None:
    fields = [
        (27, 16),
        (28, 16),
        (7, 2),
        (11, 2),
        (4, 1),
        (5, 1),
        (31, 4),
        (8, 4),
        (12, 4),
        (7, 2),
        (11, 2),
        (4, 1),
        (5, 1),
    ]
    one, two = bytes(15) + b"\x01", bytes(15) + b"\x02"
    record = one + two + struct.pack(">HHBBI", 0, 0, 4, 1, 77) + A + B + struct.pack(">HHBB", 1234, 443, 6, 2)
    (row,) = rows(ten(a_set(2, template(256, fields)), a_set(256, record)))
    assert (row["source.ip"], row["destination.ip"], row["source.port"], row["network.transport"]) == (
        CLIENT,
        SERVER,
        1234,
        "tcp",
    )
    assert (row["outer.source.ip"], row["outer.destination.ip"], row["outerProtocolIdentifier"]) == ("::1", "::2", 4)
    assert (row["ipClassOfService"], row["outerIpClassOfService"], row["outerFlowLabelIPv6"]) == (2, 1, 77)


def test_nat_and_firewall_events_are_named() -> None:
    fields = [
        (8, 4),
        (225, 4),
        (7, 2),
        (227, 2),
        (12, 4),
        (4, 1),
        (233, 1),
        (33002, 2),
        (40000, 8),
        (323, 8),
        (231, 4),
        (232, 4),
    ]
    record = A + bytes([192, 0, 2, 1]) + struct.pack(">HH", 1234, 4000) + B + bytes([6, 3]) + struct.pack(">H", 1001)
    record += b"alice\0\0\0" + struct.pack(">QII", EXPORTED * 1000 - 250, 100, 200)
    (row,) = rows(nine(a_set(0, template(256, fields)), a_set(256, record)))
    assert (row["event.action"], row["source.nat.ip"], row["source.nat.port"]) == ("flow_denied", "192.0.2.1", 4000)
    assert (row["user.name"], row["firewallExtendedEvent"]) == ("alice", 1001)
    assert (row["source.bytes"], row["destination.bytes"], row["network.bytes"]) == (100, 200, 300)
    assert row["@timestamp"] == datetime.fromtimestamp(EXPORTED - 0.25, UTC)


def test_names_of_interfaces_and_vrfs_come_from_options_and_hold_from_there_on() -> None:
    fields = [(8, 4), (12, 4), (10, 4), (234, 4)]
    learn = a_set(2, template(256, fields))
    data = a_set(256, A + B + struct.pack(">II", 7, 9))
    names = a_set(
        3,
        struct.pack(">HHHHHHH", 300, 2, 1, 10, 4, 82, 8) + struct.pack(">HHHHHHHHH", 301, 3, 1, 234, 4, 236, 4, 90, 8),
    )
    vrf = struct.pack(">I4sHHI", 9, b"blue", 0, 65000, 12)
    told = ten(names, a_set(300, struct.pack(">I8s", 7, b"eth0")), a_set(301, vrf), learn)
    changed = ten(a_set(300, struct.pack(">I8s", 7, b"eth1")), sequence=3)
    found = rows(told, ten(data, sequence=2), changed, ten(data, sequence=4))
    assert [row["observer.ingress.interface.name"] for row in found] == ["eth0", "eth1"]
    assert {(row["ingressVRFName"], row["mplsVpnRouteDistinguisher"]) for row in found} == {("blue", "0:65000:12")}


def test_uptime_of_ipfix_is_counted_from_the_boot_that_options_tell() -> None:
    learn = a_set(3, struct.pack(">HHHHHHH", 300, 2, 1, 149, 4, 160, 8))
    flows = a_set(2, template(256, [(8, 4), (22, 4), (21, 4)]))
    data = a_set(256, A + struct.pack(">II", 5000, 9000))
    told = a_set(300, struct.pack(">IQ", 1, (EXPORTED - 100) * 1000))
    assert rows(ten(flows, data))[0]["event.start"] is None
    assert rows(ten(flows, data))[0]["event.duration"] == 4 * 10**9
    (row,) = rows(ten(learn, told, flows, data))
    assert row["event.start"] == datetime.fromtimestamp(EXPORTED - 95, UTC)


def test_a_sampler_of_the_record_is_looked_up_in_the_table_its_exporter_sent() -> None:
    samplers = a_set(1, struct.pack(">HHHHHHHHH", 300, 4, 8, 1, 4, 48, 1, 50, 2) + bytes(2))
    table = a_set(300, b"".join(bytes(4) + struct.pack(">BH", nth, rate) for nth, rate in ((1, 10), (2, 20))))
    learn = a_set(0, template(256, [(8, 4), (12, 4), (48, 1)]))
    data = a_set(256, A + B + b"\x02" + A + B + b"\x01" + A + B + b"\x09")
    found = rows(nine(samplers, table, learn, data))
    assert [row["flow.sampling"] for row in found] == [20, 10, None]


def test_structured_data_is_passed_over_and_what_nobody_named_is_kept() -> None:
    fields = struct.pack(">HHHHHHHH", 8, 4, 291, 65_535, 0x8000 | 7, 2, 0, 4242) + struct.pack(">HH", 12, 4)
    learn = a_set(2, struct.pack(">HH", 256, 4) + fields)
    (row,) = rows(ten(learn, a_set(256, A + b"\x03abc" + struct.pack(">H", 77) + B)))
    assert (row["source.ip"], row["destination.ip"], row["element.4242.7"]) == (CLIENT, SERVER, 77)
    assert "basicList" not in row


def test_late_datagrams_and_lost_ones_are_told_apart_and_marked() -> None:
    data = [
        ten(LEARN, DATA),
        ten(DATA, sequence=1),
        ten(DATA, sequence=5),
        ten(DATA, sequence=3),
        ten(DATA, sequence=6),
    ]
    found = run(*data)
    flags = [row["event.flags"] for row in wire.table(found, "flow", "netflow").to_dicts()]
    assert flags == [None, None, ["sequence_gap"], ["out_of_order"], None]
    assert found.notes == ("2 records lost from exporter 192.0.2.1", "1 datagrams out of order from exporter 192.0.2.1")


def test_an_exporter_that_was_restarted_is_not_late_for_ever() -> None:
    early = [ten(LEARN, DATA, sequence=5_000), *(ten(DATA, sequence=at) for at in range(100))]
    assert "8 datagrams out of order" in run(*early).notes[0]


def test_tiny_records_do_not_grow_beyond_measure() -> None:
    learn = a_set(2, template(256, [(7, 1)]))
    found = run(ten(learn, a_set(256, bytes(60_000))))
    assert sum(map(len, found.batches)) == 7_500


def test_times_of_any_size_fit() -> None:
    for number, size in ((152, 8), (150, 4), (156, 8), (22, 4), (161, 8), (162, 8), (323, 8)):
        fields = [(8, 4), (number, size)]
        assert len(rows(ten(a_set(2, template(256, fields)), a_set(256, A + b"\xff" * size)))) == 1


DATAGRAMS = [*SEEDS, ONE, SEVEN, eight(5, bytes(40)), ten(LEARN, DATA, sequence=9), ten(DATA, sequence=1)]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(DATAGRAMS), min_size=1, max_size=8), st.data())
def test_the_same_rows_whatever_the_pieces(datagrams: list[bytes], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(datagrams)))
    frames = wire.frames(datagrams, link=0)
    peers = ["192.0.2.1"] * len(datagrams)
    whole = netflow.Exports()
    one = wire.merge([whole.decode_from(frames, peers), whole.flush()])
    parted = netflow.Exports()
    pieces = [frames.take(np.arange(cut)), frames.take(np.arange(cut, len(datagrams)))]
    two = wire.merge([*(parted.decode_from(piece, peers[: len(piece)]) for piece in pieces), parted.flush()])
    assert _sorted(one) == _sorted(two)
    assert one.rejected == two.rejected


def _sorted(found: Any) -> list[str]:
    plain = (
        {name: value for name, value in row.items() if value is not None}
        for batch in found.batches
        for row in batch.table.to_dicts()
    )
    return sorted(repr(sorted(row.items())) for row in plain)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(DATAGRAMS), st.binary(max_size=40), st.integers(0, 200)), min_size=1, max_size=6)
)
def test_compiled_loops_give_the_same_tables(parts: list[tuple[bytes, bytes, int]]) -> None:
    damaged = [raw[:at] + noise + raw[at + len(noise) :] for raw, noise, at in parts]
    tables = []
    for wanted in (False, True):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(fast, "ON", wanted and fast.ON)
            tables.append([batch.table for batch in run(*damaged).batches])
    assert len(tables[0]) == len(tables[1])
    for one, other in zip(*tables, strict=True):
        assert_frame_equal(one, other)


def test_addresses_are_written_alike_by_both_ways() -> None:
    some = np.array([0, 1, 0xFFFFFFFF, 0x0A000001, 0xC0A80A64, 0x7F000001, 0x01020304], np.uint32)
    text, offsets = values.dotted(some)
    assert bytes(text)[offsets[3] : offsets[4]] == b"10.0.0.1"
    compiled, where = loops.dotted(some)
    assert (bytes(compiled), where.tolist()) == (bytes(text), offsets.tolist())


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(*[st.sampled_from([0, 1, 0xFFFF, 0x10000, 1 << 48, (1 << 64) - 1, 0xFFFF_0000_0001])] * 2)))
def test_ipv6_is_written_alike_by_both_ways(some: list[tuple[int, int]]) -> None:
    pairs = np.array(some, np.uint64).reshape(-1, 2)
    found = address.text(pairs[:, 0], pairs[:, 1]).to_list()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fast, "ON", False)
        assert found == address.text(pairs[:, 0], pairs[:, 1]).to_list()
    assert found == [address.one(struct.pack(">QQ", *one)) for one in pairs.tolist()]


def test_many_sets_of_one_datagram_take_no_time() -> None:
    begin = time.process_time()
    run(ten(*(a_set(300 + at % 50, b"") for at in range(10_000))))
    assert time.process_time() - begin < 5


def test_frames_of_nothing_give_nothing() -> None:
    empty = np.zeros(0, np.int64)
    frames = Frames(np.zeros(0, np.uint8), empty, empty, empty, empty, empty, np.zeros(0, np.int32))
    assert netflow.Exports().decode_from(frames, []).batches == ()
