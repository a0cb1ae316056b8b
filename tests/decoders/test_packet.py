"""Headers of single packets, as columns."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.decoders import wire
from tests.decoders.wire import CLIENT, SERVER, ether, ip4, ip6, tcp, udp

from cityguard.decoders import address, packet
from cityguard.model import Frames

DATAGRAM = ip4(CLIENT, SERVER, 17, udp(1111, 53, b"payload"))
SIX = ip6("2001:db8::1", "2001:db8::2", 17, udp(1111, 53, b"payload"))


def one(raw: bytes, *, link: int = 1, wire_length: int | None = None) -> dict[str, object]:
    """The columns of a single packet that must decode."""
    piece = wire.frames([raw], link=link)
    if wire_length is not None:
        piece.wire[0] = wire_length
    found, reason = packet.decode(piece)
    assert reason.tolist() == [0]
    start = int(found.payload[0])
    return {
        "source": address.text(*found.source)[0],
        "destination": address.text(*found.destination)[0],
        "ports": (int(found.source_port[0]), int(found.destination_port[0])),
        "proto": int(found.proto[0]),
        "size": int(found.size[0]),
        "wire": int(found.wire[0]),
        "vlan": int(found.vlan[0]),
        "icmp": int(found.icmp[0]),
        "payload": piece.buffer[start : start + int(found.captured[0])].tobytes(),
        "claimed": int(found.claimed[0]),
    }


def reason(raw: bytes, *, link: int = 1) -> str:
    _, found = packet.decode(wire.frames([raw], link=link))
    return packet.REASONS[found[0]]


@pytest.mark.parametrize(
    ("link", "head"),
    [
        (1, wire.MACS + b"\x08\x00"),
        (0, struct.pack("<I", 2)),
        (0, struct.pack(">I", 2)),
        (108, struct.pack(">I", 2)),
        (101, b""),
        (12, b""),
        (228, b""),
        (113, bytes(14) + b"\x08\x00"),
        (276, b"\x08\x00" + bytes(18)),
        (9, b"\x00\x21"),
        (50, b"\xff\x03\x00\x21"),
        (104, b"\x0f\x00\x08\x00"),
    ],
)
def test_every_link_type_leads_to_the_same_packet(link: int, head: bytes) -> None:
    found = one(head + DATAGRAM, link=link)
    assert (found["source"], found["destination"], found["ports"]) == (CLIENT, SERVER, (1111, 53))
    assert found["payload"] == b"payload"


@pytest.mark.parametrize(
    ("tags", "vlan"),
    [
        (struct.pack(">HHH", 0x8100, 0xE007, 0x0800), 7),
        (struct.pack(">HHHHH", 0x88A8, 100, 0x8100, 7, 0x0800), 100),
        (struct.pack(">HIIB", 0x8847, 16 << 12, 17 << 12 | 0x100, 0)[:-1], -1),
        (struct.pack(">HBBHHH", 0x8864, 0x11, 0, 1, 2 + len(DATAGRAM), 0x21), -1),
    ],
)
def test_tags_labels_and_sessions_are_taken_off(tags: bytes, vlan: int) -> None:
    found = one(wire.MACS + tags + DATAGRAM)
    assert (found["source"], found["payload"], found["vlan"]) == (CLIENT, b"payload", vlan)


def test_snap_carries_an_ethertype_and_other_llc_does_not() -> None:
    snap = b"\xaa\xaa\x03\x00\x00\x00\x08\x00" + DATAGRAM
    assert one(wire.MACS + struct.pack(">H", len(snap)) + snap)["source"] == CLIENT
    assert reason(wire.MACS + struct.pack(">H", 38) + b"\x42\x42\x03" + bytes(35)) == "no IP"


def test_ip_options_and_ethernet_padding_are_not_payload() -> None:
    found = one(ether(ip4(CLIENT, SERVER, 17, udp(1, 2, b"x"), options=bytes(8))) + bytes(20))
    assert (found["payload"], found["size"], found["wire"]) == (b"x", 37, 71)


def test_a_packet_cut_by_snaplen_counts_at_its_full_length() -> None:
    raw = ether(ip4(CLIENT, SERVER, 6, tcp(1, 2, bytes(1000))))
    found = one(raw[:60], wire_length=len(raw))
    assert (found["size"], found["wire"], found["claimed"], len(found["payload"])) == (1040, 1054, 1000, 6)  # type: ignore[arg-type]
    assert one(raw[:38], wire_length=len(raw))["ports"] == (1, 2)


def test_a_length_beyond_the_frame_is_not_believed() -> None:
    raw = bytearray(ether(DATAGRAM))
    raw[16:18] = b"\xff\xff"
    assert one(bytes(raw))["size"] == len(DATAGRAM)


def test_only_the_first_fragment_has_ports() -> None:
    first = one(ether(ip4(CLIENT, SERVER, 17, udp(1, 2, bytes(8)), fragment=0x2000)))
    later = one(ether(ip4(CLIENT, SERVER, 17, bytes(16), fragment=0x0002)))
    assert (first["ports"], later["ports"], later["payload"]) == ((1, 2), (-1, -1), b"")
    fragment = struct.pack(">BBHI", 17, 0, 8 << 3 | 1, 1)
    assert one(ether(ip6("::1", "::2", 44, fragment + bytes(16)), 0x86DD))["ports"] == (-1, -1)


@pytest.mark.parametrize("chain", [(), (0,), (0, 60, 43), (51,), (60, 0, 60, 0, 60)])
def test_ipv6_extension_headers_are_walked(chain: tuple[int, ...]) -> None:
    following = [*chain[1:], 17]
    headers = b"".join(
        struct.pack(">BB", after, 1 if kind == 51 else 0) + bytes(10 if kind == 51 else 6)
        for kind, after in zip(chain, following, strict=False)
    )
    raw = ether(ip6("2001:db8::1", "2001:db8::2", chain[0] if chain else 17, headers + udp(5, 6, b"six")), 0x86DD)
    found = one(raw)
    assert (found["source"], found["ports"], found["payload"]) == ("2001:db8::1", (5, 6), b"six")
    assert found["size"] == len(raw) - 14


def test_icmp_has_type_and_code_instead_of_ports() -> None:
    found = one(ether(ip4(CLIENT, SERVER, 1, bytes([3, 1]) + bytes(6))))
    assert (found["icmp"], found["ports"]) == (3 << 8 | 1, (-1, -1))


def test_addresses_are_written_canonically() -> None:
    assert one(ether(SIX, 0x86DD))["source"] == "2001:db8::1"
    assert one(ether(ip6("::ffff:1.2.3.4", "::1.2.3.4", 17, udp(1, 2, b"")), 0x86DD))["source"] == "1.2.3.4"
    assert address.one(bytes(12) + b"\x01\x02\x03\x04") == "::102:304"


@pytest.mark.parametrize(
    ("raw", "link", "why"),
    [
        (ether(bytes(28), 0x0806), 1, "no IP"),
        (ether(bytes(28), 0x88CC), 1, "no IP"),
        (DATAGRAM, 147, "link type not supported"),
        (ether(DATAGRAM)[:30], 1, "cut short"),
        (b"\0" * 5, 1, "cut short"),
        (b"", 101, "cut short"),
        (ether(b"\x65" + DATAGRAM[1:]), 1, "bad IP header"),
        (ether(b"\x44" + DATAGRAM[1:]), 1, "bad IP header"),
        (ether(DATAGRAM[:2] + b"\x00\x05" + DATAGRAM[4:]), 1, "bad length"),
        (ether(b"\x40" + SIX[1:], 0x86DD), 1, "bad IP header"),
        (wire.MACS + b"\x81\x00\x00\x01" * 40 + b"\x08\x00" + DATAGRAM, 1, "no IP"),
    ],
)
def test_what_is_no_ip_packet_is_told_why(raw: bytes, link: int, why: str) -> None:
    assert reason(raw, link=link) == why


def test_a_piece_of_mixed_packets_keeps_their_numbers() -> None:
    piece = wire.frames([ether(DATAGRAM), ether(b"", 0x0806), ether(SIX, 0x86DD)])
    found, why = packet.decode(piece)
    assert found.number.tolist() == [1, 3]
    assert why.tolist() == [0, 1, 0]


def test_an_empty_piece_is_no_trouble() -> None:
    found, why = packet.decode(wire.frames([]))
    assert len(found) == len(why) == 0


SEEDS = [
    ether(DATAGRAM),
    ether(SIX, 0x86DD),
    ether(ip6("::1", "::2", 0, bytes([43, 0] + [0] * 6) + bytes([6, 0] + [0] * 6) + tcp(1, 2, b"x")), 0x86DD),
    wire.MACS + struct.pack(">HHHHH", 0x88A8, 100, 0x8100, 7, 0x0800) + DATAGRAM,
]


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(SEEDS), st.integers(0, 90), st.integers(0, 255), st.integers(0, 100)), max_size=5
    ),
    st.sampled_from([0, 1, 9, 101, 104, 113, 229, 276]),
)
def test_no_payload_ever_leaves_its_packet(changes: list[tuple[bytes, int, int, int]], link: int) -> None:
    packets = []
    for seed, at, value, end in changes:
        raw = bytearray(seed)
        raw[at % len(raw)] = value
        packets.append(bytes(raw[:end]))
    piece: Frames = wire.frames(packets, link=link)
    found, why = packet.decode(piece)
    assert len(found) == int((why == 0).sum())
    rows = found.number - 1
    some = found.captured > 0
    assert (found.payload >= piece.offset[rows])[some].all()
    assert (found.payload + found.captured <= (piece.offset + piece.length)[rows])[some].all()
    assert (np.stack([found.size, found.claimed, found.captured]) >= 0).all()
    assert (found.captured <= found.claimed).all()
