"""Capture files: pcap and pcapng, whole, odd and damaged."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.decoders import wire

from cityguard.errors import DecodeError
from cityguard.model import Frames
from cityguard.sources import pcap

PACKETS = [b"first packet", b"second", b"", b"the fourth"]


def read(data: bytes) -> tuple[list[Frames], list[str]]:
    reader = pcap.frames(np.frombuffer(data, np.uint8))
    return list(reader), reader.notes


def items(data: bytes) -> list[bytes]:
    return [piece.item(at) for piece in read(data)[0] for at in range(len(piece))]


def block(kind: int, body: bytes, order: str = "<") -> bytes:
    body += bytes(-len(body) % 4)
    return struct.pack(order + "II", kind, len(body) + 12) + body + struct.pack(order + "I", len(body) + 12)


def section(order: str = "<") -> bytes:
    return block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1), order)


def interface(link: int = 1, snaplen: int = 0, options: bytes = b"", order: str = "<") -> bytes:
    return block(1, struct.pack(order + "HHI", link, 0, snaplen) + options, order)


def option(code: int, value: bytes, order: str = "<") -> bytes:
    return struct.pack(order + "HH", code, len(value)) + value + bytes(-len(value) % 4)


def enhanced(data: bytes, ticks: int = 0, which: int = 0, order: str = "<", captured: int | None = None) -> bytes:
    size = len(data) if captured is None else captured
    head = struct.pack(order + "IIIII", which, ticks >> 32, ticks & 0xFFFFFFFF, size, size + 5)
    return block(6, head + data, order)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("nano", [False, True])
def test_a_pcap_gives_its_packets_in_both_byte_orders_and_resolutions(order: str, nano: bool) -> None:
    (piece,), notes = read(wire.savefile(PACKETS, order=order, nano=nano, link=113))
    assert [piece.item(at) for at in range(4)] == PACKETS
    assert piece.number.tolist() == [1, 2, 3, 4]
    assert piece.time.tolist() == [1_700_000_000 * 10**9 + at * 10**6 for at in range(4)]
    assert piece.link.tolist() == [113] * 4
    assert notes == []


def test_a_packet_cut_by_snaplen_keeps_its_length_on_the_wire() -> None:
    data = wire.savefile([]) + struct.pack("<IIII", 1, 2, 4, 1500) + b"abcd"
    (piece,), _ = read(data)
    assert (piece.length[0], piece.wire[0]) == (4, 1500)


def test_a_pcap_cut_off_keeps_the_packets_before_and_says_so() -> None:
    data = wire.savefile(PACKETS)
    for end in range(25, len(data)):
        pieces, notes = read(data[:end])
        whole = [piece.item(at) for piece in pieces for at in range(len(piece))]
        assert whole == PACKETS[: len(whole)]
        assert len(notes) == (0 if data[:end] == wire.savefile(whole) else 1)


def test_a_record_of_an_insane_length_ends_the_file() -> None:
    for length in (0xFFFFFFFF, 1 << 31, pcap.MAX_PACKET + 1):
        data = wire.savefile(PACKETS) + struct.pack("<IIII", 1, 2, length, length) + bytes(100)
        pieces, notes = read(data)
        assert len(pieces[0]) == 4
        assert "after 4 packets" in notes[0]


def test_a_long_capture_comes_in_pieces_numbered_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pcap, "PIECE", 3)
    pieces, notes = read(wire.savefile([b"x"] * 8))
    assert [piece.number.tolist() for piece in pieces] == [[1, 2, 3], [4, 5, 6], [7, 8]]
    ng, _ = read(section() + interface() + enhanced(b"x") * 7)
    assert [piece.number.tolist() for piece in ng] == [[1, 2, 3], [4, 5, 6], [7]]
    assert notes == []


@pytest.mark.parametrize("form", ["pcap", "pcapng"])
def test_a_piece_ends_after_so_many_bytes_too(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pcap, "PIECE_BYTES", 3_000)
    packets = [bytes([at % 256]) * size for at, size in enumerate([1_000] * 10 + [9_000] + [10] * 300)]
    data = wire.savefile(packets)
    if form == "pcapng":
        data = section() + interface() + b"".join(enhanced(packet) for packet in packets)
    pieces, notes = read(data)
    spans = [int(piece.offset[-1] - piece.offset[0]) for piece in pieces]
    assert max(spans) <= 3_000 and len(pieces) >= 7
    assert [piece.item(at) for piece in pieces for at in range(len(piece))] == packets
    assert np.concatenate([piece.number for piece in pieces]).tolist() == list(range(1, len(packets) + 1))
    assert notes == []


@pytest.mark.parametrize("size", range(24, 80))
def test_wherever_a_piece_ends_no_packet_is_lost_and_a_cut_is_told(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pcap, "PIECE_BYTES", size)
    packets = [bytes([at]) * (at * 7 % 40) for at in range(30)]
    whole = wire.savefile(packets)
    assert (items(whole), read(whole)[1]) == (packets, [])
    assert items(whole[:-1]) == packets[:-1]
    assert "after 29 packets" in read(whole[:-1])[1][0]


@pytest.mark.parametrize("order", ["<", ">"])
def test_pcapng_interfaces_have_their_own_link_type_resolution_and_offset(order: str) -> None:
    fine = interface(113, options=option(9, b"\x09", order), order=order)
    binary = interface(
        101, options=option(9, b"\x8a", order) + option(14, struct.pack(order + "q", 7), order), order=order
    )
    data = section(order) + interface(1, order=order) + fine + binary
    data += enhanced(b"micro", 5_000_001, 0, order) + enhanced(b"nano", 5_000_000_001, 1, order)
    data += enhanced(b"binary", 5 * 1024 + 512, 2, order)
    (piece,), notes = read(data)
    assert piece.time.tolist() == [5_000_001_000, 5_000_000_001, 12_500_000_000]
    assert piece.link.tolist() == [1, 113, 101]
    assert piece.wire.tolist() == [10, 9, 11]
    assert notes == []


def test_simple_and_obsolete_packet_blocks_are_read() -> None:
    simple = block(3, struct.pack("<I", 100) + b"0123456789")
    obsolete = block(2, struct.pack("<HHIIII", 0, 0, 0, 3_000_000, 3, 60) + b"abc")
    (piece,), _ = read(section() + interface(snaplen=10) + simple + obsolete)
    assert [piece.item(at) for at in range(2)] == [b"0123456789", b"abc"]
    assert piece.wire.tolist() == [100, 60]
    assert piece.time.tolist() == [0, 3_000_000_000]


def test_a_new_section_starts_with_its_own_interfaces_and_byte_order() -> None:
    data = section() + interface(1) + enhanced(b"one") + section(">") + interface(101, order=">")
    pieces, _ = read(data + enhanced(b"two", order=">"))
    assert [(piece.item(0), int(piece.link[0]), int(piece.number[0])) for piece in pieces] == [
        (b"one", 1, 1),
        (b"two", 101, 2),
    ]


def test_a_packet_of_an_interface_that_is_not_there_has_no_link_type() -> None:
    (piece,), _ = read(section() + interface() + enhanced(b"lost", which=0xFFFFFFFF))
    assert piece.link.tolist() == [-1]


@pytest.mark.parametrize("length", [0, 8, 13, 0xFFFFFFFF, 0x7FFFFFFC])
def test_a_block_of_impossible_length_ends_the_file(length: int) -> None:
    data = section() + interface() + enhanced(b"kept") + struct.pack("<II", 6, length) + bytes(200)
    pieces, notes = read(data)
    assert pieces[0].item(0) == b"kept"
    assert "after 1 packets" in notes[0]


def test_a_packet_longer_than_its_block_is_cut_to_it() -> None:
    (piece,), notes = read(section() + interface() + enhanced(b"1234", captured=0x7FFFFFFF) + enhanced(b"next"))
    assert [piece.item(at) for at in range(2)] == [b"1234", b"next"]
    assert "longer than their block" in notes[0]


def test_interfaces_without_end_stop_the_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pcap, "MAX_INTERFACES", 100)
    pieces, notes = read(section() + enhanced(b"kept") + interface() * 1000 + enhanced(b"late"))
    assert sum(map(len, pieces)) == 1
    assert "more than 100 interfaces" in notes[0]


def test_many_interfaces_with_their_own_clocks_cost_no_more_than_few() -> None:
    kinds = b"".join(interface(options=option(14, struct.pack("<q", at))) for at in range(3000))
    (piece,), _ = read(section() + kinds + b"".join(enhanced(b"x", 0, at) for at in range(3000)))
    assert piece.time.tolist() == [at * 10**9 for at in range(3000)]


@pytest.mark.parametrize("data", [b"", b"\xd4\xc3\xb2\xa1", b"GET / HTTP/1.1\r\n\r\n" * 3, section()[:8], bytes(100)])
def test_what_is_no_capture_is_refused(data: bytes) -> None:
    with pytest.raises(DecodeError, match="not a capture"):
        pcap.frames(np.frombuffer(data, np.uint8))


def test_captures_are_told_from_other_files_by_their_first_bytes() -> None:
    assert pcap.sniff(wire.savefile([])[:4])
    assert pcap.sniff(section())
    assert not pcap.sniff(b"<14>")
    assert not pcap.sniff(b"")


SEEDS = [
    wire.savefile(PACKETS),
    section() + interface(options=option(9, b"\x06")) + enhanced(b"abc") + block(3, struct.pack("<I", 3) + b"xyz"),
]


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(SEEDS),
    st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=8),
    st.integers(0, 200),
)
def test_no_damage_leads_out_of_the_file(seed: bytes, changes: list[tuple[int, int]], end: int) -> None:
    data = bytearray(seed)
    for at, value in changes:
        data[at % len(data)] = value
    data = data[: max(end, 1)]
    try:
        pieces, _ = read(bytes(data))
    except DecodeError:
        return
    for piece in pieces:
        assert (piece.offset >= 0).all()
        assert (piece.length >= 0).all()
        assert (piece.offset + piece.length <= len(data)).all()
        assert (piece.time >= 0).all()
        assert (piece.wire >= piece.length).all()
