"""sFlow v5 datagrams."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.decoders import wire
from tests.decoders.test_netflow import run
from tests.decoders.wire import CLIENT, SERVER, ether, ip4, ip6, tcp, udp

from cityguard.decoders import netflow
from cityguard.model import Decoded

AGENT = bytes([192, 0, 2, 7])


def part(kind: int, body: bytes) -> bytes:
    return struct.pack(">II", kind, len(body)) + body


def datagram(*samples: bytes, sequence: int = 1, sub: int = 0, agent: bytes = AGENT) -> bytes:
    kind = 1 if len(agent) == 4 else 2
    return (
        struct.pack(">II", 5, kind)
        + agent
        + struct.pack(">IIII", sub, sequence, 1000, len(samples))
        + b"".join(samples)
    )


def raw(packet: bytes, *, kind: int = 1, length: int = 0, stripped: int = 4) -> bytes:
    head = struct.pack(">IIII", kind, length or len(packet) + stripped, stripped, len(packet))
    return part(1, head + packet + bytes(-len(packet) % 4))


def flow(*records: bytes, inside: int = 3, outside: int = 4, rate: int = 512) -> bytes:
    return part(1, struct.pack(">IIIIIIII", 1, 3, rate, 9000, 2, inside, outside, len(records)) + b"".join(records))


def expanded(*records: bytes) -> bytes:
    return part(
        3, struct.pack(">IIIIIIIIIII", 1, 0, 3, 100, 9000, 2, 0, 70_000, 0, 80_000, len(records)) + b"".join(records)
    )


def text(value: bytes) -> bytes:
    return struct.pack(">I", len(value)) + value + bytes(-len(value) % 4)


PACKET = ether(ip4(CLIENT, SERVER, 6, tcp(1234, 443, b"x" * 100, flags=0x18)))
COUNTERS = struct.pack(">IIQIIQIIIIIIQIIIIIII", 7, 6, 10**9, 1, 3, 5000, 10, 1, 2, 0, 1, 0, 6000, 20, 3, 4, 0, 0, 1, 0)[
    :88
]


def rows(*datagrams: bytes, dataset: str = "flow") -> list[dict[str, Any]]:
    return wire.table(run(*datagrams), dataset, "netflow").to_dicts()


@pytest.mark.parametrize("sample", [flow(raw(PACKET)), expanded(raw(PACKET))], ids=["flow", "expanded"])
def test_a_sampled_header_is_a_row_and_counts_for_many(sample: bytes) -> None:
    (row,) = rows(datagram(sample))
    assert (row["source.ip"], row["source.port"], row["destination.ip"], row["destination.port"]) == (
        CLIENT,
        1234,
        SERVER,
        443,
    )
    assert (row["network.transport"], row["tcp.flags"], row["source.packets"]) == ("tcp", 0x18, 1)
    assert (row["source.bytes"], row["network.frame_bytes"]) == (len(PACKET) - 14, len(PACKET) + 4)
    assert row["flow.sampling"] in (512, 100)
    assert (row["observer.ip"], row["sflow.agent"]) == ("192.0.2.1", "192.0.2.7")
    assert row["observer.ingress.interface.id"] in (3, 70_000)
    assert row["source.mac"] == PACKET[6:12].hex(":")
    assert row["network.community_id"] is not None


def test_an_interface_that_is_none_or_many_is_unknown() -> None:
    (row,) = rows(datagram(flow(raw(PACKET), inside=0x3FFFFFFF, outside=0x80000003)))
    assert (row["observer.ingress.interface.id"], row["observer.egress.interface.id"]) == (None, None)


def test_ip_headers_without_a_link_and_ipv6_are_read() -> None:
    four, six = PACKET[14:], ip6("2001:db8::1", "2001:db8::2", 17, udp(53, 4000, b"x" * 20))
    found = rows(datagram(flow(raw(four, kind=11)), flow(raw(six, kind=12))))
    assert [row["source.ip"] for row in found] == [CLIENT, "2001:db8::1"]
    assert [row["network.transport"] for row in found] == ["tcp", "udp"]


def test_what_an_agent_worked_out_itself_stands_in_for_a_header() -> None:
    four = struct.pack(">II4s4sIIII", 1400, 17, bytes([10, 0, 0, 1]), bytes([10, 0, 0, 2]), 53, 4000, 0, 8)
    ethernet = struct.pack(">I6s2x6s2xI", 1418, bytes(5) + b"\1", bytes(5) + b"\2", 0x0800)
    (row,) = rows(datagram(flow(part(3, four), part(2, ethernet))))
    assert (row["source.ip"], row["destination.port"], row["network.transport"]) == (CLIENT, 4000, "udp")
    assert (row["source.bytes"], row["network.frame_bytes"], row["ipClassOfService"]) == (1400, 1418, 8)
    assert row["source.mac"] == "00:00:00:00:00:01"


def test_switch_router_gateway_user_url_and_nat_are_added() -> None:
    gateway = struct.pack(">I4sIIII", 1, AGENT, 65_000, 65_001, 65_002, 1) + struct.pack(">IIII", 2, 2, 64_496, 64_497)
    gateway += struct.pack(">III", 1, 65_000 << 16 | 7, 100)
    records = [
        part(1001, struct.pack(">IIII", 30, 1, 40, 2)),
        part(1002, struct.pack(">I4sII", 1, AGENT, 24, 16)),
        part(1003, gateway),
        part(1004, struct.pack(">I", 106) + text(b"alice") + struct.pack(">I", 106) + text(b"bob")),
        part(1005, struct.pack(">I", 1) + text(b"/index") + text(b"www.example")),
        part(1007, struct.pack(">I4sI4s", 1, AGENT, 1, AGENT)),
        part(4242 << 12 | 1, b"unknown!"),
    ]
    (row,) = rows(datagram(flow(raw(PACKET), *records)))
    assert (row["dot1qPriority"], row["postVlanId"], row["ipNextHopIPv4Address"]) == (1, 40, "192.0.2.7")
    assert (row["source.as.number"], row["destination.as.number"]) == (65_001, 64_497)
    assert (row["bgpDestinationAsPath"], row["bgpCommunities"]) == ("64496 64497", "65000:7")
    assert (row["user.name"], row["destinationUserName"]) == ("alice", "bob")
    assert (row["httpRequestTarget"], row["source.nat.ip"]) == ("/index", "192.0.2.7")


def test_counters_are_rows_of_the_host_and_what_is_not_known_is_named() -> None:
    body = part(1, COUNTERS) + part(2001, bytes(12))
    sample = part(2, struct.pack(">III", 55, 7, 2) + body)
    wide = part(4, struct.pack(">IIII", 56, 0, 8, 1) + part(1, COUNTERS))
    one, two = rows(datagram(sample, wide), dataset="host")
    assert (one["ifIndex"], one["ifSpeed"], one["ifInOctets"], one["sflow.others"]) == (7, 10**9, 5000, "0.2001:12")
    assert (one["sflow.sequence"], one["sflow.source"], two["sflow.source"]) == (55, 7, 8)
    assert rows(datagram(sample)) == []


def test_a_dropped_packet_is_told_with_its_reason() -> None:
    sample = part(5, struct.pack(">IIIIIIII", 1, 0, 1, 256, 1, 2, 262, 2) + raw(PACKET) + part(1038, text(b"drop_fn")))
    (row,) = rows(datagram(sample))
    assert (row["event.action"], row["sflow.dropReason"], row["sflow.function"]) == ("dropped", 262, "drop_fn")
    assert row["source.ip"] == CLIENT


def test_lost_datagrams_are_counted_per_agent_and_sub_agent() -> None:
    sample = flow(raw(PACKET))
    found = run(datagram(sample), datagram(sample, sub=1, sequence=9), datagram(sample, sequence=4))
    assert found.notes == ("2 datagrams lost from exporter 192.0.2.1 192.0.2.7",)
    flags = wire.table(found, "flow", "netflow")["event.flags"].to_list()
    assert flags == [None, None, ["sequence_gap"]]


def test_it_is_recognised_by_all_its_marks_and_inside_captures() -> None:
    good = datagram(flow(raw(PACKET)))
    assert netflow.is_export(good)
    assert not netflow.is_export(good + b"x")
    assert not netflow.is_export(good[:-1])
    found = wire.decode([ether(ip4("192.0.2.9", SERVER, 17, udp(5000, 6343, good)))], only="netflow")
    assert wire.table(found, "flow", "netflow")["observer.ip"].to_list() == ["192.0.2.9"]


@pytest.mark.parametrize("cut", range(0, 120, 7))
def test_what_is_cut_short_costs_only_the_rest(cut: int) -> None:
    whole = datagram(flow(raw(PACKET)), flow(raw(PACKET)), sequence=2)
    found = run(datagram(flow(raw(PACKET))), whole[: len(whole) - cut])
    assert _count(found) >= 1
    assert found.rejected + len(found.notes) == (1 if cut else 0)


def _count(found: Decoded) -> int:
    return sum(map(len, found.batches))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=8), st.integers(0, 3))
def test_no_bytes_raise_anything(changes: list[tuple[int, int]], which: int) -> None:
    samples = [flow(raw(PACKET), part(1005, struct.pack(">I", 1) + text(b"/") + text(b"h"))), expanded(raw(PACKET))]
    samples += [part(2, struct.pack(">III", 55, 7, 1) + part(1, COUNTERS)), flow(part(1003, bytes(60)))]
    damaged = bytearray(datagram(samples[which], samples[0]))
    for at, value in changes:
        damaged[at % len(damaged)] = value
    found = run(bytes(damaged))
    assert found.rejected <= 1
