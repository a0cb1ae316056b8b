"""Recognition must not depend on where a capture is cut."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from tests.decoders import wire
from tests.decoders.app import test_dtls, test_quic, test_ssh
from tests.decoders.app.test_dns import answer, answers, asks, query
from tests.decoders.app.test_http import GET, OK
from tests.decoders.app.test_tls import hello, record
from tests.decoders.ot.test_hj212 import UPLOAD, frame, message

from cityguard.decoders import capture, known
from cityguard.model import Frames

HELLO = record(1, hello([0x1301], [(0, b"\x00\x06\x00\x00\x03abc")]))
TUNNEL = b"CONNECT site.example:443 HTTP/1.1\r\nHost: site.example:443\r\n\r\n"


def streams() -> list[list[bytes]]:
    """Conversations in which what is spoken shows late, changes, or begins again."""
    upgraded = wire.Talker(5222, 41000).shake().say(0, b"<stream>").say(1, b"<features>").say(0, b"<starttls>")
    upgraded.say(1, b"<proceed>").say(0, HELLO)
    tunnel = wire.Talker(3128, 41001).shake().say(0, TUNNEL).say(1, b"HTTP/1.1 200 Established\r\n\r\n").say(0, HELLO)
    again = wire.Talker(80, 41002).shake().say(0, GET).say(1, OK)
    anew = wire.Talker(80, 41002)
    anew.seq = [900_000, 700_000]
    anew.shake().say(0, GET).say(1, OK)
    silent = wire.Talker(7777, 41003).shake()
    for turn in range(40):
        silent.say(turn % 2, b"\x01\x02\x03\x04\x05\x06\x07\x08")
    silent.say(0, GET)  # too late: it has been given up
    names = [asks(query(at), 5000 + at % 3) if at % 2 else answers(answer(number=at), 5000 + at % 3) for at in range(9)]
    shell = test_ssh.talk([44, 52, 52, 28], 2222)
    quic = [test_quic.asks(test_quic.initial(test_quic.crypto(test_quic.HELLO)), 4433)]
    stun = [test_dtls.packet(side, one) for side, one in [(0, test_dtls.BINDING)] * 6 + test_dtls.WHOLE]
    talks = [upgraded, tunnel, again, silent, shell]
    return [*(one.packets for one in talks), again.packets[:0] + anew.packets, names, quic, stun]


def mixed() -> list[bytes]:
    talks = streams()
    talks[2] += talks.pop(5)
    return [talk[at] for at in range(max(map(len, talks))) for talk in talks if at < len(talk)]


PACKETS = mixed()
DATASETS = ("flow", "dns", "http", "tls", "ssh")


def cut(borders: list[int]) -> dict[str, object]:
    whole, one, parts = wire.frames(PACKETS), capture.decoder({}), []
    places = sorted({0, len(PACKETS), *(border % len(PACKETS) for border in borders)})
    columns = (whole.offset, whole.length, whole.number, whole.time, whole.wire, whole.link)
    for begin, end in itertools.pairwise(places):
        parts.append(one.decode(Frames(whole.buffer, *(column[begin:end] for column in columns))))
    found = wire.merge([*parts, one.flush()])
    return {name: wire.table(found, name) for name in DATASETS}


WHOLE = cut([])


def test_every_conversation_is_found_once() -> None:
    heights = {name: WHOLE[name].height for name in DATASETS}  # type: ignore[attr-defined]
    assert heights == {"flow": 10, "dns": 9, "http": 3, "tls": 4, "ssh": 1}


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 10_000), min_size=1, max_size=12))
def test_rows_are_the_same_wherever_a_capture_is_cut(borders: list[int]) -> None:
    found = cut(borders)
    for name in DATASETS:
        left, right = WHOLE[name], found[name]
        order = sorted(left.columns)  # type: ignore[attr-defined]
        by = ["log.offset", "source.port"]
        assert_frame_equal(
            left.select(order).sort(by),  # type: ignore[attr-defined]
            right.select(order).sort(by),  # type: ignore[attr-defined]
        )


def test_packet_by_packet_is_the_same_too() -> None:
    found = cut(list(range(len(PACKETS))))
    for name in DATASETS:
        assert found[name].height == WHOLE[name].height, name  # type: ignore[attr-defined]


def test_what_is_known_is_bounded_and_the_older_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known, "MAX_KNOWN", 100)
    one = known.Known()
    for turn in range(50):
        keys = np.arange(turn * 10, turn * 10 + 10, dtype=np.uint64)
        one.tell(keys, np.full(10, 3))
    newest, oldest = np.arange(490, 500, dtype=np.uint64), np.arange(10, dtype=np.uint64)
    assert one.of(newest).tolist() == [3] * 10
    assert one.of(oldest).tolist() == [0] * 10


def test_what_was_looked_at_in_vain_may_be_told_later() -> None:
    one, key = known.Known(), np.array([7], np.uint64)
    for kind, held in ((known.NOTHING, known.NOTHING), (4, 4), (5, 4), (known.NOTHING, 4)):
        one.tell(key, np.array([kind]))
        assert one.of(key).tolist() == [held]


def test_packets_kept_for_later_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known, "MAX_CARRIED", 10)
    one = capture.decoder({})
    packets = [wire.Talker(7777, 30_000 + at).shake().say(0, b"hello").packets for at in range(100)]
    one.decode(wire.frames([packet for talk in packets for packet in talk]))
    assert len(one._carried[True]._packets) == 10  # type: ignore[attr-defined]


def noisy() -> list[bytes]:
    """A connection of frames that a serial gateway cuts, among noise; and one that never says anything sound."""
    station = wire.Talker(9212, 41010).shake()
    whole = b"\0\xff#" + frame(UPLOAD) * 2 + b"##" + frame(message(9015, flag=9))
    for begin, end in itertools.pairwise([0, 3, 4, 7, 60, 61, 190, len(whole) - 20, len(whole) - 1, len(whole)]):
        station.say(0, whole[begin:end])
    other = wire.Talker(9212, 41011).shake()
    for _ in range(20):
        other.say(0, b"##0100QN=1;" + bytes(30)).say(1, b"\0")
    order = itertools.zip_longest(station.packets, other.packets)
    return [packet for pair in order for packet in pair if packet is not None]


@pytest.mark.parametrize("border", range(0, 60, 3))
def test_frames_among_noise_are_known_wherever_a_capture_is_cut(border: int) -> None:
    packets = noisy()
    whole, one, parts = wire.frames(packets), capture.decoder({}), []
    columns = (whole.offset, whole.length, whole.number, whole.time, whole.wire, whole.link)
    for begin, end in itertools.pairwise(sorted({0, min(border, len(packets)), len(packets)})):
        parts.append(one.decode(Frames(whole.buffer, *(column[begin:end] for column in columns))))
    rows = wire.table(wire.merge([*parts, one.flush()]), "ot")
    assert rows["ot.function.code"].to_list() == [2011, 2011, 9015]
    assert rows["source.port"].unique().to_list() == [41010]
