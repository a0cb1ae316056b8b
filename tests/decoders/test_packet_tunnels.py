"""Packets inside packets, and datagrams in fragments."""

from __future__ import annotations

import struct

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.decoders import wire
from tests.decoders.wire import CLIENT, SERVER, ether, ip4, ip6, udp

from cityguard.decoders import address, fragments, packet
from cityguard.decoders.packet import INCOMPLETE, OVERLAP

OUT, FAR = "198.51.100.1", "198.51.100.2"
INNER = ip4(CLIENT, SERVER, 17, udp(1111, 53, b"payload"))
INNER6 = ip6("2001:db8::1", "2001:db8::2", 17, udp(1111, 53, b"payload"))
FRAME = ether(INNER)
GTP = b"\x30\xff" + struct.pack(">HI", len(INNER), 7)
LONG_GTP = b"\x34\xff" + struct.pack(">HI", len(INNER) + 8, 7) + b"\0\0\0\x85" + b"\1\x10\5\0"


def over(proto: int, raw: bytes) -> bytes:
    return ether(ip4(OUT, FAR, proto, raw))


def port(number: int, raw: bytes) -> bytes:
    return over(17, udp(50_000, number, raw))


TUNNELS = {
    "ipip": over(4, INNER),
    "gre": over(47, b"\0\0\x08\0" + INNER),
    "gre with checksum, key and number": over(47, b"\xb0\0\x08\0" + bytes(12) + INNER),
    "gre with Ethernet": over(47, b"\0\0\x65\x58" + FRAME),
    "gre with a tag": over(47, b"\0\0\x81\0\0\x07\x08\0" + INNER),
    "gre PPTP": over(47, b"\x30\x81\x88\x0b" + bytes(12) + b"\xff\x03\0\x21" + INNER),
    "gre PPTP compressed": over(47, b"\x20\x01\x88\x0b" + bytes(4) + b"\x21" + INNER),
    "erspan I": over(47, b"\0\0\x88\xbe" + FRAME),
    "erspan II": over(47, b"\x10\0\x88\xbe" + bytes(4) + b"\x10" + bytes(7) + FRAME),
    "erspan III": over(47, b"\x10\0\x22\xeb" + bytes(4) + b"\x20" + bytes(10) + b"\1" + bytes(8) + FRAME),
    "etherip": over(97, b"\x30\0" + FRAME),
    "mpls": over(137, struct.pack(">I", 16 << 12 | 0x1FF) + INNER),
    "vxlan": port(4789, b"\x08\0\0\0\0\0\x07\0" + FRAME),
    "vxlan of Linux": port(8472, b"\x08\0\0\0\0\0\x07\0" + FRAME),
    "vxlan-gpe": port(4790, b"\x0c\0\0\1\0\0\x07\0" + INNER),
    "vxlan-gpe with a service header": port(
        4790, b"\x0c\0\0\4\0\0\x07\0" + struct.pack(">HBB", 2, 1, 1) + bytes(4) + INNER
    ),
    "geneve": port(6081, b"\2\0\x65\x58\0\0\7\0" + bytes(8) + FRAME),
    "gtp": port(2152, GTP + INNER),
    "gtp with an extension": port(2152, LONG_GTP + INNER),
    "l2tp": port(1701, b"\0\2\0\1\0\1" + b"\xff\3\0\x21" + INNER),
    "l2tp with lengths": port(1701, b"\x4a\2\0\x40\0\1\0\1" + bytes(4) + b"\0\2ab" + b"\0\x21" + INNER),
}


def read(raw: list[bytes], *, step: int = 1000, **options: object) -> pl.DataFrame:
    """Packets of some frames, as text; ``step`` of them at a time."""
    piece = wire.frames(raw)
    reader = packet.Reader(**options)  # type: ignore[arg-type]
    reads = [reader.decode(piece.take(np.arange(at, min(at + step, len(raw))))) for at in range(0, len(raw), step)]
    tables = []
    for one in [*reads, reader.flush()]:
        found = one.packets
        starts, ends = found.payload.tolist(), (found.payload + found.captured).tolist()
        outer = [found.outers[half][found.outer] if len(found.outers[0]) else found.source[0] for half in range(4)]
        inside = pl.Series(found.outer >= 0)
        none = pl.repeat(None, len(found), dtype=pl.String, eager=True)
        tables.append(
            pl.DataFrame(
                {
                    "number": found.number,
                    "source": address.text(*found.source),
                    "destination": address.text(*found.destination),
                    "port": found.destination_port,
                    "size": found.size,
                    "claimed": found.claimed,
                    "payload": [one.frames.buffer[s:e].tobytes() for s, e in zip(starts, ends, strict=True)],
                    "outer": address.text(outer[0], outer[1]).zip_with(inside, none),
                    "tunnel": found.tunnel,
                    "marks": found.marks,
                    "mac": [one.frames.buffer[at : at + 6].tobytes() if at >= 0 else b"" for at in found.mac.tolist()],
                },
                schema_overrides={"payload": pl.Binary, "mac": pl.Binary},
            )
        )
    return pl.concat(tables)


@pytest.mark.parametrize("name", TUNNELS)
def test_the_packet_inside_a_tunnel_is_the_one_that_counts(name: str) -> None:
    row = read([TUNNELS[name]]).row(0, named=True)
    assert (row["source"], row["destination"], row["port"], row["payload"]) == (CLIENT, SERVER, 53, b"payload")
    assert (row["outer"], row["size"]) == (OUT, len(INNER))
    assert packet.tunnel.NAMES[row["tunnel"]] == name.split()[0]


def test_ipv6_through_ipv4_and_teredo() -> None:
    plain, behind = over(41, INNER6), port(3544, INNER6)
    signed = port(3544, b"\0\1\0\0" + bytes(9) + b"\0\0" + bytes(6) + INNER6)
    answer = over(17, udp(3544, 50_000, INNER6))
    found = read([plain, behind, signed, answer])
    assert found["source"].to_list() == ["2001:db8::1"] * 4
    assert found["outer"].to_list() == [OUT] * 4


def test_tunnels_in_tunnels_keep_the_outermost_addresses() -> None:
    row = read([over(4, ip4("10.9.9.9", "10.9.9.8", 47, b"\0\0\x08\0" + INNER))]).row(0, named=True)
    assert (row["source"], row["outer"], row["tunnel"]) == (CLIENT, OUT, 1 << 4 | 3)


def test_nesting_ends() -> None:
    raw = INNER
    for _ in range(80):
        raw = ip4(OUT, FAR, 4, raw)
    assert read([ether(raw)])["source"].to_list() == [OUT]


@pytest.mark.parametrize(
    "raw",
    [
        over(4, b"\x55" + INNER[1:]),
        over(47, b"\0\0\x08\x06" + bytes(28)),
        over(47, b"\x40\0\x08\0" + bytes(4) + INNER),
        port(4789, b"\x08\0\0\0\0\0\x07\0" + wire.MACS + b"\x08\x06" + bytes(28)),
        port(4789, b"\0\0\0\0\0\0\x07\0" + FRAME),
        port(2152, b"\x30\1" + bytes(6) + INNER),
        over(17, udp(4789, 50_000, b"\x08\0\0\0\0\0\x07\0" + FRAME)),
        port(9999, b"\x08\0\0\0\0\0\x07\0" + FRAME),
        over(47, b"\0"),
        port(6081, b"\2"),
    ],
)
def test_what_carries_no_packet_stays_the_outer_one(raw: bytes) -> None:
    row = read([raw]).row(0, named=True)
    assert (row["source"], row["outer"], row["tunnel"], row["mac"]) == (OUT, None, 0, wire.MACS[:6])


def test_other_ports_can_be_those_of_vxlan() -> None:
    raw = port(9999, b"\x08\0\0\0\0\0\x07\0" + FRAME)
    assert read([raw], vxlan_ports=[9999])["source"].to_list() == [CLIENT]


@pytest.mark.parametrize(
    ("link", "head"),
    [
        (105, b"\x08\x01" + bytes(22) + b"\xaa\xaa\3\0\0\0\x08\0"),
        (105, b"\x88\x03" + bytes(22) + bytes(6) + b"\0\0" + b"\xaa\xaa\3\0\0\0\x08\0"),
        (127, b"\0\0\x0c\0" + bytes(8) + b"\x08\x02" + bytes(22) + b"\xaa\xaa\3\0\0\0\x08\0"),
        (192, b"\0\0\x0a\0\x69\0\0\0\0\0" + b"\x08\x02" + bytes(22) + b"\xaa\xaa\3\0\0\0\x08\0"),
        (119, bytes(144) + b"\x08\x02" + bytes(22) + b"\xaa\xaa\3\0\0\0\x08\0"),
        (163, b"\x80\x21\x10\2\0\0\0\x40" + bytes(56) + b"\x08\x02" + bytes(22) + b"\xaa\xaa\3\0\0\0\x08\0"),
        (107, b"\x18\x41\3\xcc"),
        (107, b"\x18\x41\3\0\x80\0\0\0\x08\0"),
        (107, b"\x18\x41\x08\0"),
        (182, b"\xc0\0\x18\x41\3\xcc"),
        (1, b"\1\0\x0c\0\0" + bytes(21) + wire.MACS + b"\x08\0"),
        (1, wire.MACS + b"\0\x40\x06\x06\x03"),
        (1, wire.MACS + b"\x88\x47" + struct.pack(">II", 16 << 12 | 0xFF, 17 << 12 | 0x1FF) + bytes(4) + wire.MACS
         + b"\x08\0"),
        (1, wire.MACS + b"\x88\x47" + struct.pack(">I", 16 << 12 | 0x1FF) + wire.MACS + b"\x08\0"),
        (51, b"\x11\0\0\1\0\x40\0\x21"),
        (100, b"\xaa\xaa\3\0\0\0\x08\0"),
        (117, b"\x3d" + bytes(63)),
        (239, b"\2\0\0\0" + b"\x06\0\1\0ab\0\0" + struct.pack("<HH", 4 + len(INNER), 9)),
        (258, b"\x0c\0\0\0\1\0\0\0\1\0\0\0" + wire.MACS + b"\x08\0"),
    ],
)  # fmt: skip
def test_rarer_links_lead_to_the_same_packet(link: int, head: bytes) -> None:
    found, reason = packet.decode(wire.frames([head + INNER], link=link))
    assert reason.tolist() == [0]
    assert address.text(*found.source).to_list() == [CLIENT]
    assert found.destination_port.tolist() == [53]


@pytest.mark.parametrize("frame", [b"\x08\x41" + bytes(22), b"\x48\1" + bytes(22), b"\x80\0" + bytes(22)])
def test_radio_frames_that_are_ciphered_or_hold_no_data_are_rejected(frame: bytes) -> None:
    _, reason = packet.decode(wire.frames([frame + b"\xaa\xaa\3\0\0\0\x08\0" + INNER], link=105))
    assert packet.REASONS[reason[0]] == "no IP"


# -------------------------------------------------------------- fragments

BODY = bytes(range(256)) * 8


def cut(number: int = 7, size: int = 512, *, body: bytes = udp(1111, 53, BODY)) -> list[bytes]:
    """A datagram in fragments."""
    out = []
    for at in range(0, len(body), size):
        more = 0x2000 if at + size < len(body) else 0
        out.append(ether(part(number, more | at >> 3, body[at : at + size])))
    return out


def part(number: int, word: int, data: bytes, proto: int = 17) -> bytes:
    raw = bytearray(ip4(CLIENT, SERVER, proto, data))
    raw[4:8] = struct.pack(">HH", number, word)
    return bytes(raw)


def test_a_datagram_in_fragments_is_whole_again_and_each_fragment_counts() -> None:
    raw = cut()
    found = read(raw)
    assert found["number"].to_list() == [1, 2, 3, 4, 5]
    assert found["port"].to_list() == [53] * 5
    assert found["payload"].to_list() == [b""] * 4 + [BODY]
    assert found["size"].sum() == sum(len(one) - 14 for one in raw)
    assert found["mac"].unique().to_list() == [wire.MACS[:6]]


def test_fragments_come_in_any_order_and_between_others() -> None:
    one, other = cut(7), cut(8)
    mixed = [one[2], other[0], ether(INNER), one[0], one[4], other[1], one[1], other[4], one[3], other[3], other[2]]
    found = read(mixed)
    assert found["number"].to_list() == [3, 1, 4, 5, 7, 9, 2, 6, 8, 10, 11]
    assert found.filter(pl.col("claimed") > 100)["payload"].to_list() == [BODY, BODY]


def test_ipv6_fragments_too() -> None:
    body = udp(1111, 53, BODY)

    def six(at: int, data: bytes, more: int) -> bytes:
        return ether(ip6("2001:db8::1", "2001:db8::2", 44, struct.pack(">BBHI", 17, 0, at | more, 99) + data), 0x86DD)

    found = read([six(1024, body[1024:], 0), six(0, body[:1024], 1)])
    assert found["port"].to_list() == [53, 53]
    assert found["payload"].to_list() == [b"", BODY]


def test_a_tunnel_in_fragments_leads_to_its_inner_packet() -> None:
    inner = ip4(CLIENT, SERVER, 17, udp(1111, 53, BODY))
    body = b"\0\0\x08\0" + inner
    raw = [ether(part(3, 0x2000 | at >> 3 if at < 1600 else at >> 3, body[at : at + 800], 47)) for at in (0, 800, 1600)]
    found = read(raw)
    assert found["payload"].to_list() == [b"", b"", BODY]
    assert found["size"].sum() == len(inner)


def test_a_datagram_without_its_first_fragment_is_a_packet_of_its_addresses() -> None:
    found = read(cut()[1:])
    assert found["port"].to_list() == [-1] * 4
    assert found["source"].to_list() == [CLIENT] * 4
    assert (found["marks"] & INCOMPLETE > 0).all()


def test_a_later_fragment_whose_options_the_capture_has_cut_still_counts() -> None:
    raw = bytearray(part(7, 64, b"\0" * 40))
    raw[0] = 0x4F  # 40 octets of options, of which 26 were kept
    piece = wire.frames([ether(bytes(raw[:46]))])
    piece.wire[0] = 400
    reader = packet.Reader()
    found = [reader.decode(piece), reader.flush()]
    assert sum(len(one.packets) for one in found) == 1
    assert address.text(*found[1].packets.source).to_list() == [CLIENT]


def test_a_datagram_without_its_last_fragment_comes_as_far_as_it_reaches() -> None:
    found = read(cut()[:2])
    assert found["port"].to_list() == [53, 53]
    assert found["payload"].to_list() == [b"", BODY[: 1024 - 8]]


def test_of_bytes_sent_twice_the_first_stay_and_the_datagram_is_marked() -> None:
    raw = cut()
    other = ether(part(7, 0x2000 | 64, b"\xee" * 512))
    found = read([raw[0], raw[1], other, *raw[2:]])
    assert found["payload"].to_list()[-1] == BODY
    assert (found["marks"] & OVERLAP > 0).all()
    again = read([raw[0], raw[1], raw[1], *raw[2:]])
    assert not (again["marks"] & OVERLAP > 0).any()


def test_fragments_held_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fragments, "MAX_DATAGRAMS", 5)
    raw = [cut(number)[0] for number in range(40)]
    piece = wire.frames(raw)
    reader = packet.Reader()
    assert len(reader.decode(piece).packets) == 35
    assert len(reader.flush().packets) == 5


def test_in_a_flood_fragments_without_room_are_packets_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fragments, "MAX_DATAGRAMS", 5)
    raw = [cut(number)[0] for number in range(40)]
    times = [1_700_000_000_000_000_000 + at * 1_000 for at in range(40)]
    reader = packet.Reader()
    passed = reader.decode(wire.frames(raw, times=times)).packets
    assert len(passed) == 35
    assert (passed.marks & INCOMPLETE > 0).all()
    assert passed.number.tolist() == list(range(6, 41))
    assert len(reader.flush().packets) == 5


some_frame = st.one_of(
    st.builds(
        lambda number, word, size, proto: ether(part(number, word, bytes(size), proto)),
        st.integers(1, 2),
        st.sampled_from([0x2000, 0x2001, 0x2002, 1, 2, 3, 0x3FFF, 0x1FFF]),
        st.integers(0, 40),
        st.sampled_from([4, 6, 17, 41, 47]),
    ),
    st.sampled_from([*TUNNELS.values()]),
    st.builds(lambda raw, head: head + raw, st.binary(max_size=120), st.sampled_from([b"", wire.MACS + b"\x08\0\x45"])),
    st.builds(
        lambda name, at, value: TUNNELS[name][:at] + bytes([value]) + TUNNELS[name][at + 1 :],
        st.sampled_from([*TUNNELS]),
        st.integers(0, 90),
        st.integers(0, 255),
    ),
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(1, 3), st.sampled_from([0x2000, 0x2001, 0x2002, 1, 2, 3]), st.sampled_from([8, 9, 16])),
        min_size=1,
        max_size=40,
    ),
    st.sampled_from([3, 1_024]),
)
def test_fragments_taken_in_stretches_come_to_the_same_as_one_by_one(
    parts: list[tuple[int, int, int]], chunk: int
) -> None:
    raw = [ether(part(number, word, bytes(size), 17)) for number, word, size in parts]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fragments, "_CHUNK", chunk)
        together = read(raw)
        patch.setattr(fragments.Fragments, "_roomy", lambda *_: False)
        assert together.equals(read(raw))


@settings(max_examples=100, deadline=None)
@given(st.lists(some_frame, min_size=1, max_size=30), st.integers(1, 7))
def test_any_frames_are_counted_once_however_they_are_cut(raw: list[bytes], step: int) -> None:
    whole = read(raw)
    assert whole.equals(read(raw, step=step))
    _, reason = packet.decode(wire.frames(raw))
    assert len(whole) == int((reason == 0).sum())


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.binary(max_size=120), min_size=1, max_size=10),
    st.sampled_from(
        [0, 1, 6, 8, 9, 10, 50, 51, 100, 104, 105, 107, 113, 117, 119, 123, 127, 163, 182, 192, 239, 258, 276]
    ),
)
def test_any_bytes_of_any_link_are_decoded_or_rejected(raw: list[bytes], link: int) -> None:
    found, reason = packet.decode(wire.frames(raw, link=link))
    assert len(found) == int((reason == 0).sum())
    assert (found.payload >= 0).all()
