"""TPKT and COTP: data units whole, whatever the segments and whatever lies between them."""

from __future__ import annotations

import itertools
import struct

from hypothesis import given, settings
from hypothesis import strategies as st

from cityguard.decoders.ot import tpkt
from cityguard.decoders.stream import Moment

AT = Moment(1, 1)
REQUEST = b"\x11\xe0\0\0\0\x01\0\xc1\x02\x01\0\xc2\x02\x01\x02\xc0\x01\x0a"


def packet(tpdu: bytes) -> bytes:
    return struct.pack(">BBH", 3, 0, len(tpdu) + 4) + tpdu


def data(unit: bytes, *, last: bool = True) -> bytes:
    return packet(b"\x02\xf0" + (b"\x80" if last else b"\0") + unit)


class Kept(tpkt.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.units: list[tuple[int, bytes]] = []
        self.others: list[int] = []

    def unit(self, side: int, data: bytes, at: Moment) -> None:
        self.units.append((side, data))

    def connect(self, side: int, kind: int, data: bytes, at: Moment) -> None:
        self.others.append(kind)


def fed(*parts: bytes) -> Kept:
    kept = Kept()
    for part in parts:
        kept.feed(0, part, AT)
    return kept


def test_a_unit_in_several_tpdus_is_given_once() -> None:
    kept = fed(packet(REQUEST), data(b"abc", last=False) + data(b"def") + data(b"g"))
    assert (kept.units, kept.others, kept.held) == ([(0, b"abcdef"), (0, b"g")], [tpkt.CR], 0)


def test_the_next_frame_is_found_behind_garbage() -> None:
    assert fed(b"\x03\0\xff\xff\xff\xff noise \x03", data(b"abc")).units == [(0, b"abc")]


def test_after_a_gap_half_a_unit_is_forgotten() -> None:
    kept = fed(data(b"abc", last=False))
    kept.gap(0)
    kept.feed(0, data(b"xyz"), AT)
    assert kept.units == [(0, b"xyz")]


def test_a_unit_without_end_is_given_cut_once() -> None:
    kept = fed(*[data(b"a" * 60_000, last=False)] * 6, data(b"end"), data(b"next"))
    assert [len(unit) for _, unit in kept.units] == [300_000, 4]


def test_the_first_unit_tells_who_speaks() -> None:
    assert tpkt.first(packet(REQUEST), True) == b""
    assert tpkt.first(packet(REQUEST) + data(b"2abc"), False) == b"2abc"
    assert tpkt.first(b"\x02\xf0\x802abc", True) == b"2abc"
    assert tpkt.first(b"\x02\xf0\x802abc", False) == b""


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200), st.lists(st.integers(0, 260), max_size=4), st.binary(max_size=40))
def test_any_bytes_split_anywhere_give_the_same_units(noise: bytes, cuts: list[int], unit: bytes) -> None:
    whole = noise + packet(REQUEST) + data(unit, last=False) + data(b"end")
    borders = sorted({0, len(whole), *(cut for cut in cuts if cut < len(whole))})
    parts = [whole[a:b] for a, b in itertools.pairwise(borders)]
    assert fed(*parts).units == fed(whole).units
    tpkt.first(whole, True)
