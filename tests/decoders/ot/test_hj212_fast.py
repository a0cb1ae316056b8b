"""HJ 212 read together is HJ 212 read frame by frame, whatever is said and wherever it is cut."""

from __future__ import annotations

import itertools
import random

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from tests.decoders import wire
from tests.decoders.ot.test_hj212 import MN, OLD_MN, QN, UPLOAD, ciphered, frame, message

from cityguard import fast
from cityguard.decoders import flow, packet
from cityguard.decoders.ot.hj212 import Hj212
from cityguard.decoders.protocol import Out
from cityguard.model import Frames

SPLIT = (
    f"QN=20261102090000124;ST=32;CN=2061;PW=k3Vq9x;MN={MN};Flag=7;PNUM=2;PNO=1;CP=&&DataTime=20261102080000;a1-Avg=1&&"
)
SAID: list[list[bytes]] = [
    [
        frame(UPLOAD),
        frame(
            message(
                2051,
                "DataTime=20261102085900;w01018-Avg=2,w01018-Min=1,w01018-Flag=C;;w01018-Max=3;",
                qn="20261102090000125",
            )
        ),
        frame(SPLIT),
        frame(message(2011, "DataTime=20261102085930;a-Rtd=1,a-Flag=,b-Flag=Nn")),
        frame(message(2011, "DataTime=20261102085930;a-Rtd=//1;2//;PolId=x")),
        frame(message(2011, "DataTime=20261302085930;a-Rtd=1,a-Flag=9")),
        frame(message(2021, "DataTime=20240229235959;SB1-RS=1;SB2-RS=0", flag=9, pw="123456")),
        frame(message(2041, "DataTime=20250229235959;SB1-RT=1.1")),
        frame(message(2031, "")),
        frame(message(2011, "DataTime=20261102085930;a-PW=5;w=1")),
        frame(message(2011, "DataTime=20261102085930;温度-Rtd=1")),
        frame(message(2011, 'DataTime=20261102085930;a-Info="1\\')),
        frame(message(9011, "QnRtn=3", flag=4, st=91)),
        frame(message(9011, "QnRtn=1", flag=4, st=91)),
        frame(message(9012, "ExeRtn=1", flag=4, st=91)),
        frame(message(9012, "ExeRtn=12345", flag=4, st=91)),
        frame(message(9013, "", flag=4, st=91)),
        frame(message(9015, "", flag=9, st=91)),
        frame(message(9015, "x=1", flag=9, st=7)),
        frame(message(3020, "DataTime=20261102085930;PolId=w01018;i22002-Info=1")),
        frame(UPLOAD, check=0x1234),
        frame(UPLOAD, length=100),
        frame(UPLOAD, length=1500),
        frame(UPLOAD, end=b""),
        frame(UPLOAD.replace("QN=20261102090000123;", "")),
        frame(UPLOAD.replace("ST=32;", "ST=32;RF=1;")),
        frame(UPLOAD.replace("Flag=5", "Flag=40")),
        frame(UPLOAD.replace("PW=k3Vq9x;", "")),
        ciphered(b"DataTime=20261102085930;w01018-Rtd=23.7,w01018-Flag=M;tail=1", b"0" * 16),
        frame(message(3020, "DataTime=20261102090000;PolId=w01018;i11001-Info=//range 0,5;6//;i2-Info=//x//")),
        frame(message(3020, "PolId=w01018;i11001-Info=//range 0,5;6//y;i2-Info=//x")),
        frame(message(1011, "PolId=w01018;SystemTime=20261102090000", flag=4)),
        frame(message(9011, "QnRtn=3;PolId=w01018", flag=4, st=91)),
        frame(f"ST=91;CN=9012;PW=123456;MN={OLD_MN};CP=&&QN={QN};ExeRtn=1&&"),
        frame(f"ST=91;CN=9011;PW=123456;MN={OLD_MN};CP=&&QnRtn=1&&"),
        frame(f"ST=31;CN=2011;PW=123456;MN={OLD_MN};CP=&&DataTime=20261102090000;001-Rtd=7.1,001-Flag=N&&"),
        frame(f"ST=31;CN=3013;PW=123456;MN={OLD_MN};CP=&&PolId=011&&"),
        b"\0\xff##",
        b"##0100QN=2",
        b"#",
        frame(message(2011, "DataTime=20261102085930;Password=zQ8kp2;a-Key=zQ8kp2,SM4Key=zQ8kp2")),
    ],
    [
        frame(message(9014, "", flag=4, st=91)),
        frame(message(1012, "PolId=w01018;SystemTime=20261102090000")),
        frame(message(1062, "RtdInterval=3600")),
        frame(message(3021, "PolId=w01018;InfoId=i13008;i13008-Info=0.82")),
        frame(message(2031, "BeginTime=20261101000000;EndTime=20261102000000", qn="20261102090000125")),
        frame(message(3020, "PolId=w01018;InfoId=i11001")),
        frame(message(1011)),
        frame(message(1000, "OverTime=5;ReCount=3")),
        frame(message(1062, "RtdInterval=")),
        frame(message(3016, "PolId=w01018;Ctime=2")),
        frame(message(1022, "011-UpValue=900", flag=None)),
        frame(message(7777, "DataTime=20261102090000")),
        frame(message(3011, "PolId=w01018")),
        frame(message(2012)),
        frame(message(1072, "NewPW=zQ8kp2")),
        frame(message(2011)),
        b"\r\n",
    ],
]


def spoken(seed: int, messages: int, *, sound: bool) -> list[bytes]:
    """Packets of a few connections: whole frames in order, or cut, lost, repeated and out of order."""
    rng = random.Random(seed)
    talks = []
    for one in range(3):
        talk = wire.Talker(9000, 41_000 + one, source=f"10.0.0.{one + 1}")
        talk.packets += talk.shake().packets if rng.random() < 0.8 else []
        for _ in range(messages):
            side = int(rng.random() < 0.3)
            data = b"".join(rng.choice(SAID[side]) for _ in range(rng.choice((1, 1, 1, 2, 5))))
            borders = [0, *sorted(rng.randrange(len(data)) for _ in range(rng.choice((0, 0, 1, 3)))), len(data)]
            for begin, end in itertools.pairwise(borders):
                talk.say(side, data[begin:end])
        talks.append(talk.packets)
    packets = [packet for several in itertools.zip_longest(*talks) for packet in several if packet]
    if not sound:
        for _ in range(len(packets) // 20):
            at, what = rng.randrange(len(packets)), rng.random()
            if what < 0.4:
                packets.pop(at)
            elif what < 0.8:
                packets.insert(min(at + 3, len(packets)), packets[at])
            else:
                packets[at : at + 6] = packets[at : at + 6][::-1]
    return packets


def read(packets: list[bytes], borders: list[int], *, together: bool) -> pl.DataFrame:
    """The rows of some packets in pieces."""
    whole, reader = wire.frames(packets), packet.Reader()
    out = Out("hj212")
    speaker, tables = Hj212(out, fast=together), []
    columns = (whole.offset, whole.length, whole.number, whole.time, whole.wire, whole.link)
    for begin, end in itertools.pairwise([0, *sorted(borders), len(packets)]):
        found = reader.decode(Frames(whole.buffer, *(column[begin:end] for column in columns)))
        keys = flow.Keys(found.packets)
        tables.append(speaker.table(found.frames.buffer, found.packets, keys, flow.digest(keys.columns())))
    speaker.close()
    tables += [table for _, table in out.take()]
    every = pl.concat([table for table in tables if table.height], how="diagonal_relaxed")
    return every.select(sorted(every.columns)).sort("log.offset", maintain_order=True)


@pytest.mark.skipif(not fast.ON, reason="nothing is compiled")
@pytest.mark.parametrize("sound", [True, False])
@settings(max_examples=10, deadline=None)
@given(st.integers(0, 1 << 30), st.lists(st.integers(0, 400), max_size=4))
def test_read_together_or_one_by_one_in_any_pieces_it_says_the_same(sound: bool, seed: int, borders: list[int]) -> None:
    packets = spoken(seed, 12, sound=sound)
    places = [border % len(packets) for border in borders]
    alone = read(packets, [], together=False)
    for cut, together in (([], True), (places, True), (places, False)):
        other = read(packets, cut, together=together)
        missing = [pl.lit(None, alone[name].dtype).alias(name) for name in alone.columns if name not in other.columns]
        assert_frame_equal(other.with_columns(missing).select(alone.columns), alone)


@pytest.mark.skipif(not fast.ON, reason="nothing is compiled")
def test_ordinary_frames_are_read_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cityguard.decoders.ot.hj212_frame.read", lambda data: pytest.fail(f"alone: {data!r}"))
    ordinary = [SAID[0][one] for one in (0, 1, 2, 6, 12, 13, 14, 16, 17, 19, 29, 31, 33, 34, 35)]
    asked = SAID[1][:8]
    asked.pop(7)
    talk = wire.Talker(9000).shake()
    for data in ordinary:
        talk.say(0, data * 2)
    for data in asked:
        talk.say(1, data * 2)
    assert read(talk.packets, [5], together=True).height == 2 * len([*ordinary, *asked])
