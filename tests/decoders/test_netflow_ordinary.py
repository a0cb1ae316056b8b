"""Ordinary templates by compiled passes: the same rows as field by field, in one table for all of them."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from tests.decoders import wire
from tests.decoders.test_netflow import EXPORTED, UPTIME, a_set, nine, run, template, ten

from cityguard import fast
from cityguard.decoders import netflow
from cityguard.decoders.exports import groups, ordinary
from cityguard.decoders.exports.template import Template

Field = tuple[int, int]
MOMENTS = {21: UPTIME - 100, 22: UPTIME - 900, 150: EXPORTED - 9, 151: EXPORTED - 2}
MOMENTS |= {152: EXPORTED * 1000 - 9000, 153: EXPORTED * 1000 - 700}
CHOICES: list[list[list[Field]]] = [
    [[], [(8, 4), (12, 4)], [(27, 16), (28, 16)], [(8, 4), (12, 4), (27, 16), (28, 16)], [(8, 4)], [(28, 16)]],
    [[], [(7, 2), (11, 2)], [(11, 2)], [(7, 8), (11, 4)]],
    [[(4, 1)], []],
    [[], [(6, 1)], [(6, 2)], [(6, 8)]],
    [[], [(1, 4), (2, 4)], [(85, 8), (86, 8)], [(1, 8)], [(2, 3)]],
    [[], [(21, 4), (22, 4)], [(150, 4), (151, 4)], [(152, 8), (153, 8)], [(22, 4), (153, 8)], [(151, 4)]],
    [[], [(32, 2)], [(139, 2)]],
    [[], [(58, 2)], [(243, 2)]],
    [[], [(136, 1)], [(61, 1)], [(136, 1), (61, 1)]],
    [[], [(10, 4), (14, 4)], [(16, 4), (17, 2)], [(5, 1), (60, 1)], [(9, 1), (210, 3)], [(148, 8), (10, 2)]],
]
ENDS = [
    b"\0" * 16,
    b"\0" * 15 + b"\1",
    b"\0" * 10 + b"\xff\xff" + b"\xc0\xa8\x64\xc8",
    b"\0" * 10 + b"\xff\xff\0\0\0\0",
]
ENDS += [bytes.fromhex("20010db8000000000000000100020003"), b"\xfe\x80" + b"\0" * 13 + b"\x7f", b"\xff" * 16]
HALVES = [b"\0\0\0\0", b"\x0a\0\0\1", b"\xc0\xa8\x64\xc8", b"\xff\xff\xff\xff"]


@st.composite
def record(draw: st.DrawFn, fields: list[Field]) -> bytes:
    out = b""
    for number, size in fields:
        if size == 16:
            out += draw(st.sampled_from(ENDS))
        elif number in (8, 12):
            out += draw(st.sampled_from(HALVES))
        elif number == 4:
            out += draw(st.sampled_from([b"\1", b"\6", b"\x11", b"\x3a", b"\xfd", b"\0"]))
        elif number in MOMENTS:
            some = MOMENTS[number] + draw(st.integers(-1000, 1000))
            out += draw(st.sampled_from([some % (1 << 8 * size), 0, (1 << 8 * size) - 1])).to_bytes(size, "big")
        else:
            out += draw(st.sampled_from([b"\0", b"\1", b"\2", b"\x08", b"\xff"])).rjust(
                size, draw(st.sampled_from([b"\0", b"\xff"]))
            )
    return out


@st.composite
def exported(draw: st.DrawFn) -> list[bytes]:
    layouts = [
        [field for choice in CHOICES for field in draw(st.sampled_from(choice))] for _ in range(draw(st.integers(1, 3)))
    ]
    layouts = [layout for layout in layouts if layout] or [[(8, 4)]]
    learn = b"".join(template(256 + nth, layout) for nth, layout in enumerate(layouts))
    version = draw(st.sampled_from([9, 10]))
    sets = [a_set(0 if version == 9 else 2, learn)]
    if version == 10 and draw(st.booleans()):  # when it was started
        sets.append(a_set(3, struct.pack(">HHHHHHH", 999, 2, 1, 149, 4, 160, 8)))
        sets.append(a_set(999, struct.pack(">IQ", 1, EXPORTED * 1000 - UPTIME)))
    out = []
    for _ in range(draw(st.integers(1, 3))):
        for _ in range(draw(st.integers(0, 4))):
            nth = draw(st.integers(0, len(layouts) - 1))
            body = b"".join(draw(st.lists(record(layouts[nth]), max_size=3)))
            sets.append(a_set(256 + nth, body))
        out.append((nine if version == 9 else ten)(*sets, sequence=len(out)))
        sets = []
    return out


@settings(max_examples=80, deadline=None)
@given(exported(), st.booleans())
def test_compiled_passes_give_the_same_tables(datagrams: list[bytes], community_id: bool) -> None:
    tables = []
    for wanted in (False, True):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(fast, "ON", wanted and fast.ON)
            one = netflow.Exports(community_id=community_id)
            tables.append([batch.table for batch in run(*datagrams, one=one).batches])
    assert len(tables[0]) == len(tables[1])
    for plain, compiled in zip(*tables, strict=True):
        assert_frame_equal(plain, compiled)


SOFTFLOWD = [(8, 4), (12, 4), (22, 4), (21, 4), (1, 4), (2, 4), (10, 4), (14, 4), (61, 1), (136, 1), (7, 2), (11, 2)]
SOFTFLOWD += [(4, 1), (6, 1), (60, 1), (5, 1)]


def test_templates_of_everyday_exporters_are_ordinary_and_what_means_more_is_not() -> None:
    def fits(*fields: Field) -> bool:
        return ordinary.layout(Template(10, tuple((0, *field) for field in fields))) is not None

    assert fits(*SOFTFLOWD)
    assert not fits((8, 4), (12, 4), (7, 2), (225, 4))  # NAT
    assert not fits((8, 4), (12, 4), (56, 6))  # a station
    assert not fits((8, 4), (8, 4), (12, 4), (4, 1), (4, 1), (8, 4))  # a tunnel
    assert not fits((8, 4), (27, 16), (170, 16))
    assert not fits((8, 4), (12, 4), (152, 8), (161, 4))  # a duration besides
    assert not fits((8, 4), (12, 4), (34, 4))  # a rate
    assert not fits((8, 4), (12, 4), (371, 65_535))
    assert not fits(
        *((8, 4), *((number, 1) for number in range(184, 195)), *((number, 4) for number in range(400, 480)))
    )


def test_sets_of_several_templates_come_to_one_table(monkeypatch: pytest.MonkeyPatch) -> None:
    six = [(27, 16), (28, 16), *SOFTFLOWD[2:]]
    learn = a_set(0, template(1024, SOFTFLOWD) + template(2048, six))
    data = a_set(1024, b"\1" * 42) + a_set(2048, b"\2" * 66) + a_set(1024, b"\3" * 84)
    kept: list[int] = []
    table = groups.table
    monkeypatch.setattr(
        groups, "table", lambda some, *told, **more: kept.append(len(some)) or table(some, *told, **more)
    )
    found = wire.table(run(nine(learn, data, sequence=1), nine(data, sequence=2)), "flow", "netflow")
    assert kept == [2]
    assert found.height == 8
    assert found["source.ip"].to_list() == ["1.1.1.1", "3.3.3.3", "3.3.3.3", "202:202:202:202:202:202:202:202"] * 2
    assert np.diff(found["log.offset"].to_numpy()).tolist() == [0, 0, 0, 1, 0, 0, 0]
