"""Floating-point values are the shortest text that means the same bits, in every protocol."""

from __future__ import annotations

import math
import struct

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.decoders.ot.talk import said, sent
from tests.decoders.ot.test_c37118 import C37, configuration, frame
from tests.decoders.ot.test_hart_ip import HART, message, token

from cityguard.decoders.ot import cip, s7comm_items
from cityguard.decoders.ot.dnp3_objects import Objects
from cityguard.decoders.ot.opcua_types import Reader
from cityguard.decoders.wire import ber
from cityguard.decoders.wire.numbers import double, single

BIG = 12345678.0


def bits(value: float, form: str) -> bytes:
    return struct.pack(form, value)


@settings(max_examples=200, deadline=None)
@given(st.floats(width=32))
@example(3.4028234663852886e38)
@example(-1.401298464324817e-45)
@example(16777217.0 - 1)
def test_a_single_is_found_again_from_its_text(value: float) -> None:
    text = single(value)
    assert math.isnan(value) if text == "nan" else bits(float(text), "<f") == bits(value, "<f")


@settings(max_examples=50, deadline=None)
@given(st.floats())
def test_a_double_is_found_again_from_its_text(value: float) -> None:
    text = double(value)
    assert math.isnan(value) if text == "nan" else bits(float(text), "<d") == bits(value, "<d")


@pytest.mark.parametrize(
    ("value", "text"), [(BIG, "12345678"), (0.1, "0.1"), (50.0, "50"), (math.inf, "inf"), (-math.inf, "-inf")]
)
def test_the_text_is_short(value: float, text: str) -> None:
    assert single(struct.unpack("<f", bits(value, "<f"))[0]) == text
    assert double(value) == text


def test_no_protocol_rounds_its_singles() -> None:
    big, little = bits(BIG, ">f"), bits(BIG, "<f")
    item = s7comm_items.Item("DB1.DBD0", next(kind for kind, told in s7comm_items.TYPES.items() if told[0] == "REAL"))
    assert s7comm_items.values(item, big, 1) == ["12345678"]
    assert cip._values(0xCA, little) == "12345678"
    assert Reader(b"\x0a" + little).variant() == "12345678"
    assert ber.leaf(b"\x08" + big, ber.Item(ber.CONTEXT, 7, 0, 5)) == "12345678"
    answer = token(1, b"\0\0\x20" + big, answers=True)
    assert sent(HART, (1, message(3, answer, kind=1)))[0]["ot.value"] == "12345678"
    data = frame(0, struct.pack(">HHHffH", 0, 1, 2, 50.000004, 0.0, 0))
    assert said(C37, (1, frame(3, configuration("X", floating=True))), (1, data))[1]["ot.value"] == "50.000004"


def test_doubles_of_dnp3_are_not_rounded() -> None:
    raw = b"\x1e\x06\x00\x01\x01\x01" + struct.pack("<d", 0.1 + 0.2)
    assert Objects(raw, 0, data=True).headers[0].values == ["0.30000000000000004"]
