"""Packets merged to flows."""

from __future__ import annotations

import ipaddress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from tests.decoders import wire
from tests.decoders.wire import ACK, CLIENT, FIN, RST, SERVER, START, SYN, ether, ip4, ip6, tcp, udp

from cityguard.decoders import flow

SECOND = 10**9


def segment(source: str, destination: str, ports: tuple[int, int], flags: int, payload: bytes = b"") -> bytes:
    return ether(ip4(source, destination, 6, tcp(*ports, payload, flags=flags)))


def there(flags: int, payload: bytes = b"") -> bytes:
    return segment(CLIENT, SERVER, (40000, 22), flags, payload)


def back(flags: int, payload: bytes = b"") -> bytes:
    return segment(SERVER, CLIENT, (22, 40000), flags, payload)


def flows(packets: list[bytes], **options: object) -> list[dict[str, object]]:
    return wire.table(wire.decode(packets, **options), "flow").to_dicts()  # type: ignore[arg-type]


def test_both_directions_make_one_flow() -> None:
    (row,) = flows([there(SYN), back(SYN | ACK), there(ACK, bytes(100)), back(ACK, bytes(10)), there(FIN | ACK)])
    assert (row["source.ip"], row["source.port"]) == (CLIENT, 40000)
    assert (row["destination.ip"], row["destination.port"]) == (SERVER, 22)
    assert (row["source.packets"], row["destination.packets"], row["network.packets"]) == (3, 2, 5)
    assert (row["source.bytes"], row["destination.bytes"], row["network.bytes"]) == (220, 90, 310)
    assert row["network.frame_bytes"] == 310 + 5 * 14
    assert row["tcp.flags"] == SYN | ACK | FIN
    assert row["event.duration"] == 4_000_000
    assert row["flow.state"] == "fin"
    assert row["log.offset"] == 1
    assert (row["source.mac"], row["destination.mac"]) == ("02:00:00:00:00:01", "02:00:00:00:00:02")
    assert row["network.transport"] == "tcp"
    assert row["network.protocol"] == "ssh"


def test_the_syn_decides_who_is_the_source_and_else_the_first_sender() -> None:
    assert flows([back(ACK), there(SYN)])[0]["source.ip"] == CLIENT
    assert flows([back(SYN | ACK), there(ACK)])[0]["source.ip"] == CLIENT
    assert flows([back(ACK), there(ACK)])[0]["source.ip"] == SERVER


@pytest.mark.parametrize(
    ("packets", "state"),
    [
        ([there(SYN)], "syn_only"),
        ([there(SYN), back(RST | ACK)], "rst"),
        ([there(SYN), back(SYN | ACK), there(ACK)], "established"),
        ([there(ACK), there(ACK)], "one_way"),
        ([ether(ip4(CLIENT, SERVER, 17, udp(1, 2, b"")))], None),
    ],
)
def test_the_state_tells_how_far_a_connection_came(packets: list[bytes], state: str | None) -> None:
    assert flows(packets)[0]["flow.state"] == state


def test_a_ping_and_its_answer_are_one_flow_and_an_error_is_its_own() -> None:
    ask, answer = bytes([8, 0]) + bytes(6), bytes([0, 0]) + bytes(6)
    rows = flows(
        [
            ether(ip4(CLIENT, SERVER, 1, ask)),
            ether(ip4(SERVER, CLIENT, 1, answer)),
            ether(ip4(SERVER, CLIENT, 1, bytes([3, 3]) + bytes(6))),
        ]
    )
    assert [(row["icmp.type"], row["icmp.code"], row["network.packets"]) for row in rows] == [(8, 0, 2), (3, 3, 1)]
    assert [row["source.port"] for row in rows] == [None, None]


def test_a_port_names_a_protocol_only_when_somebody_answered() -> None:
    assert flows([there(SYN)])[0]["network.protocol"] is None


def test_a_long_silence_ends_a_flow() -> None:
    packets = [there(ACK)] * 4
    times = [START, START + 299 * SECOND, START + 600 * SECOND, START + 601 * SECOND]
    rows = flows(packets, times=times)
    assert [(row["log.offset"], row["network.packets"]) for row in rows] == [(1, 2), (3, 2)]
    other = ether(ip6("2001:db8::1", "2001:db8::2", 17, udp(1, 2, b"")), 0x86DD)
    rows = flows([*packets, other], times=[*times, START + 2 * SECOND])
    assert [row["network.packets"] for row in rows] == [2, 2, 1]


def test_vlans_and_address_families_are_kept_apart() -> None:
    raw = ip4(CLIENT, SERVER, 17, udp(1, 2, b""))
    rows = flows([ether(raw), ether(b"\x00\x07\x08\x00" + raw, 0x8100), ether(b"\x00\x08\x08\x00" + raw, 0x8100)])
    assert [row["network.vlan.id"] for row in rows] == [None, 7, 8]


def test_unknown_times_become_null() -> None:
    (row,) = flows([there(ACK)], times=[0])
    assert row["@timestamp"] is None


# The first row of the baseline that comes with the specification (tcp.pcap).
def test_the_community_id_is_that_of_the_specification() -> None:
    (row,) = flows([ether(ip4("128.232.110.120", "66.35.250.204", 6, tcp(34855, 80)))])
    assert row["network.community_id"] == "1:LQU9qZlK+B5F3KDmev6m5PMibrg="
    (row,) = flows([ether(ip4("66.35.250.204", "128.232.110.120", 6, tcp(80, 34855)))])
    assert row["network.community_id"] == "1:LQU9qZlK+B5F3KDmev6m5PMibrg="


packet_of_some_flow = st.builds(
    lambda a, b, ports, proto, flags: ether(
        ip4(
            f"10.0.0.{a}",
            f"10.0.0.{b}",
            proto,
            tcp(*ports, flags=flags) if proto == 6 else udp(*ports, b"xy") if proto == 17 else bytes([8, 0, 0, 0]),
        )
    ),
    st.integers(1, 3),
    st.integers(1, 3),
    st.tuples(st.integers(1, 2), st.integers(1, 2)),
    st.sampled_from([1, 6, 17]),
    st.sampled_from([SYN, SYN | ACK, ACK, FIN, RST]),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(packet_of_some_flow, st.integers(0, 400)), min_size=1, max_size=40), st.integers(2, 6))
def test_where_a_capture_is_cut_in_pieces_changes_nothing(packets: list[tuple[bytes, int]], pieces: int) -> None:
    raw = [one for one, _ in packets]
    times = (START + np.cumsum([gap for _, gap in packets]) * SECOND).tolist()
    whole = wire.table(wire.decode(raw, times=times), "flow")
    cut = wire.table(wire.decode(raw, times=times, pieces=pieces), "flow")
    assert_frame_equal(whole, cut)
    assert whole["network.packets"].sum() == len(raw)


def test_flows_are_given_out_as_they_end_so_that_memory_stays_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow, "SWEEP", 10)
    packets = [ether(ip4(f"10.1.{at // 250}.{at % 250}", SERVER, 17, udp(1, 2, b""))) for at in range(200)]
    times = [START + at * 20 * SECOND for at in range(200)]
    whole = wire.decode(packets, times=times, pieces=20)
    sizes = [len(batch) for batch in whole.batches if batch.dataset == "flow"]
    assert sum(sizes) == 200
    assert len(sizes) > 5
    assert sizes[-1] < 100


def test_too_many_open_flows_are_given_out_early(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow, "SWEEP", 10)
    monkeypatch.setattr(flow, "MAX_OPEN", 50)
    packets = [ether(ip4(f"10.1.0.{at}", SERVER, 17, udp(1, 2, b""))) for at in range(200)]
    sizes = [len(batch) for batch in wire.decode(packets, pieces=10).batches]
    assert sum(sizes) == 200
    assert max(sizes) <= 100


def crafted() -> tuple[tuple[str, str], tuple[str, str]]:
    """Two pairs of hosts whose keys meet under a mix of multiply, xor and shift without a secret."""

    def state(*words: int) -> int:
        mixed = 0
        for word in words:
            mixed = (mixed ^ word) * 0x9E3779B97F4A7C15 % 2**64
            mixed ^= mixed >> 29
        return mixed

    client, server = (int(ipaddress.ip_address(one)) for one in ("2001:db8:1::66", "2001:db8:2::10"))
    (a_high, a_low), (b_high, b_low) = divmod(client, 2**64), divmod(server, 2**64)
    met = b_low ^ state(a_high, a_low, b_high) ^ state(a_high, 0x1234, b_high)
    decoy = a_high << 64 | 0x1234, b_high << 64 | met
    real, other = ([str(ipaddress.IPv6Address(one)) for one in pair] for pair in ((client, server), decoy))
    return (real[0], real[1]), (other[0], other[1])


def test_a_decoy_with_a_crafted_key_hides_no_request() -> None:
    real, decoy = crafted()

    def says(ends: tuple[str, str], payload: bytes, seq: int = 1) -> bytes:
        return ether(ip6(*ends, 6, tcp(40_000, 80, payload, seq=seq, flags=wire.ACK)), 0x86DD)

    packets = [
        says(decoy, b"POST / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n"),
        says(real, b"GET /shell?cmd=id HTTP/1.1\r\nHost: a\r\n\r\n", 101),
    ]
    found = wire.table(wire.decode(packets), "http")
    assert found["url.path"].to_list() == ["/", "/shell"]


@given(st.lists(st.tuples(*[st.sampled_from([0, 1, 2**31, 2**32, 2**63, 2**64 - 1])] * 6), min_size=2, unique=True))
def test_different_keys_have_different_digests_and_equal_ones_the_same(keys: list[tuple[int, ...]]) -> None:
    columns = np.array([*keys, *keys], np.uint64).T
    found = flow.digest(dict(zip(flow.KEYS, columns, strict=True)))
    assert found[: len(keys)].tolist() == found[len(keys) :].tolist()
    assert len(set(found.tolist())) == len(keys)
    alone = {name: column[:1] for name, column in zip(flow.KEYS, columns, strict=True)}
    assert flow.digest(alone)[0] == found[0]
