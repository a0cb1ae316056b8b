"""RTP with program streams: recognised by its pack header, joined with the call that announced it."""

from __future__ import annotations

import struct
from typing import Any

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.decoders import wire
from tests.decoders.ot.test_gb28181 import CAMERA, invite

from cityguard.decoders import capture
from cityguard.decoders.app import rtp
from cityguard.decoders.events import Talk
from cityguard.decoders.protocol import Out
from cityguard.decoders.stream import Moment
from cityguard.model import Decoded, EventBatch

PLATFORM, NVR, MEDIA = "10.71.0.5", "10.71.10.41", "10.71.0.6"
PACK = bytes.fromhex("000001ba44000400040100138ff8")
SSRC = 1_000_040_007


def packet(sequence: int = 1, ssrc: int = SSRC, payload: bytes = PACK + b"\0\0\1\xe0" + bytes(400)) -> bytes:
    return struct.pack(">BBHII", 0x80, 96, sequence, 90_000, ssrc) + payload


def udp(source: str, destination: str, ports: tuple[int, int], data: bytes) -> bytes:
    return wire.ether(wire.ip4(source, destination, 17, wire.udp(*ports, data)))


def tables(*pieces: list[bytes]) -> list[EventBatch]:
    decoder = capture.decoder({})
    found: list[Decoded] = []
    begun = 0
    for piece in pieces:
        times = [wire.START + (begun + at) * 10**6 for at in range(len(piece))]
        frames = wire.frames(piece, times=times)
        frames.number[:] += begun
        begun += len(piece)
        found.append(decoder.decode(frames))
    found.append(decoder.flush())
    return [batch for decoded in found for batch in decoded.batches if batch.table.height]


def rows(dataset: str, *pieces: list[bytes]) -> list[dict[str, Any]]:
    return [row for batch in tables(*pieces) if batch.dataset == dataset for row in batch.table.to_dicts()]


CALL = udp(PLATFORM, NVR, (5060, 5060), invite(MEDIA, "Playback"))
STREAM = [udp(NVR, MEDIA, (15_000, 30_000), packet(number)) for number in range(5)]


def test_media_are_joined_with_the_call_that_announced_them() -> None:
    for pieces in ([[CALL, *STREAM]], [[CALL], STREAM], [[CALL, STREAM[0]], STREAM[1:]]):
        media = [row for row in rows("ot", *pieces) if row["ot.message.type"] == "media"]
        (row,) = media
        assert (row["ot.function.name"], row["ot.unit_id"], row["ot.transaction_id"]) == ("RTP/PS", CAMERA, SSRC)
        assert (row["source.ip"], row["destination.ip"], row["log.offset"]) == (NVR, MEDIA, 2)
        assert row["ot.flags"] is None


def test_another_stream_on_the_announced_port_is_told() -> None:
    other = udp(NVR, MEDIA, (15_000, 30_000), packet(1, 77))
    (row,) = (row for row in rows("ot", [CALL, other]) if row["ot.message.type"] == "media")
    assert row["ot.flags"] == ["ssrc_differs"]


def test_a_call_that_comes_later_announced_nothing_before() -> None:
    assert not [row for row in rows("ot", [STREAM[0], CALL]) if row["ot.message.type"] == "media"]


def test_media_without_a_call_are_only_named() -> None:
    assert not rows("ot", STREAM)
    (flow,) = rows("flow", STREAM)
    assert flow["network.protocol"] == "rtp"


def test_media_over_tcp_whatever_the_pieces() -> None:
    data = struct.pack(">H", len(packet())) + packet()
    talk = wire.Talker(30_000).shake().say(0, data).say(0, data)
    ports = invite(wire.SERVER)
    call = udp(PLATFORM, wire.CLIENT, (5060, 5060), ports)
    for cut in (1, 3, 4, 5):
        packets = [call, *talk.packets]
        found = [row for row in rows("ot", packets[:cut], packets[cut:]) if row["ot.message.type"] == "media"]
        assert [row["ot.unit_id"] for row in found] == [CAMERA]


def test_what_is_no_picture_is_not_media() -> None:
    assert rtp.read(packet()) == rtp.Packet(96, 1, 90_000, SSRC)
    assert rtp.read(packet(payload=b"\0\0\1\xe0" + bytes(40))) is None
    assert rtp.read(packet(payload=PACK[:4] + bytes(40))) is None
    assert rtp.read(b"\x00" + packet()[1:]) is None
    assert rtp.framed(b"\0\5" + packet()) is None
    assert rtp.framed(b"\1\0" + packet()) is not None


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=80), st.integers(0, 60))
def test_any_bytes_never_raise(noise: bytes, place: int) -> None:
    data = bytearray(packet()[:60])
    data[place : place + len(noise)] = noise
    out = Out("rtp")
    speaker = rtp.Streams(out)
    talk = Talk((0, 1, 2), (0, 3, 4), 17, False, -1)
    speaker.datagram(bytes(data), talk, Moment(1, 1))
    parser = speaker.stream(talk)
    parser.feed(0, bytes(data), Moment(2, 2))
    speaker.close()
    assert not [table for _, table in out.take() if isinstance(table, pl.DataFrame)]
