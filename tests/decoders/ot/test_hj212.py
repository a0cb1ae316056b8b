"""HJ 212 frames built by hand: what they say, how they are found again, what never enters a row."""

from __future__ import annotations

import itertools
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.decoders.ot.talk import said, sent, some

from cityguard.decoders.ot import hj212, hj212_frame, hj212_row
from cityguard.decoders.wire import crc

HJ212 = hj212.PROTOCOLS[0]
MN = "A1B2C3D4E5F60718293A4B5C"
OLD_MN = "32040200000001"
QN = "20261102090000123"


def frame(data: str | bytes, *, check: int | None = None, length: int | None = None, end: bytes = b"\r\n") -> bytes:
    data = data.encode() if isinstance(data, str) else data
    check = crc.hj212(data) if check is None else check
    return b"##%04d%s%04X%s" % (len(data) if length is None else length, data, check, end)


def message(cn: int, cp: str = "", *, flag: int | None = 5, st: int = 32, qn: str = QN, pw: str = "k3Vq9x") -> str:
    marks = "" if flag is None else f"Flag={flag};"
    head = f"QN={qn};" if qn else ""
    return f"{head}ST={st};CN={cn};PW={pw};MN={MN};{marks}CP=&&{cp}&&"


def one(data: bytes, port: int = 9000) -> dict[str, Any]:
    (row,) = said(HJ212, (0, data), port=port)
    return row


UPLOAD = message(2011, "DataTime=20261102085930;w01018-Rtd=23.7,w01018-Flag=N;w21003-Rtd=1.4,w21003-Flag=D")


def test_the_check_is_the_one_of_the_standards_example() -> None:
    data = b"QN=20160801085857223;ST=32;CN=1062;PW=100000;MN=010000A8900016F000169DC0;Flag=5;CP=&&RtdInterval=30&&"
    assert crc.hj212(data) == 0x1C80
    assert hj212_frame.read(frame(data)).crc_ok


def test_an_upload_tells_station_time_factors_and_flags() -> None:
    row = one(frame(UPLOAD))
    assert some(row, "function.code", "function.name", "function.class") == (2011, "realtime_data", "read")
    assert some(row, "unit_id", "quantity", "value", "address") == (MN, 2, None, None)
    assert some(row, "message.type", "is_request", "edition") == ("upload", False, "2017")
    assert some(row, "station_kind", "request_id", "flags") == ("32 water source", QN, ["D", "N"])
    assert row["ot.time"] == datetime(2026, 11, 2, 0, 59, 30, tzinfo=UTC)
    assert row["ot.time_offset"] == pytest.approx(row["ot.time"].timestamp() - row["@timestamp"].timestamp(), abs=1e-3)
    assert json.loads(row["event.fields"])["CP"].startswith("DataTime=20261102085930;w01018-Rtd=23.7")


@pytest.mark.parametrize(
    ("cn", "cp", "klass", "address", "value"),
    [
        (1012, "PolId=w01018;SystemTime=20261102090000", "write", "w01018", "20261102090000"),
        (1062, "RtdInterval=3600", "write", None, "3600"),
        (1000, "OverTime=5;ReCount=3", "write", None, "OverTime=5,ReCount=3"),
        (3021, "PolId=w01018;InfoId=i13008;i13008-Info=0.82", "program", "w01018/i13008", "0.82"),
        (3011, "PolId=a21026", "control", "a21026", None),
        (2012, "", "control", None, None),
        (2031, "BeginTime=20261101000000;EndTime=20261102000000", "read", None, None),
        (3020, "PolId=w01018;InfoId=i11001", "diagnostic", "w01018/i11001", None),
    ],
)
def test_what_a_platform_asks(cn: int, cp: str, klass: str, address: str | None, value: str | None) -> None:
    row = one(frame(message(cn, cp)))
    assert some(row, "function.class", "address", "value") == (klass, address, value)
    assert some(row, "message.type", "is_request") == ("request", True)


def test_answers_have_class_and_address_of_what_they_answer() -> None:
    asks = frame(message(3011, "PolId=w01018"))
    ready = frame(message(9011, "QnRtn=1", flag=4, st=91))
    done = frame(message(9012, "ExeRtn=1", flag=4, st=91))
    failed = frame(message(9012, "ExeRtn=6", flag=4, st=91))
    rows = said(HJ212, (1, asks), (0, ready + done + failed), port=9000)
    assert [some(row, "function.class", "address", "status") for row in rows] == [
        ("control", "w01018", None),
        ("control", "w01018", "1"),
        ("control", "w01018", "1"),
        ("error", "w01018", "6"),
    ]
    alone = one(frame(message(9014, "", flag=4, st=91)))
    assert some(alone, "function.name", "function.class", "message.type") == ("data_answer", None, "response")


def test_the_first_edition_repeats_the_number_inside_and_has_no_flag() -> None:
    data = f"ST=91;CN=9011;PW=123456;MN={OLD_MN};CP=&&QN={QN};QnRtn=2&&"
    row = one(frame(data))
    assert some(row, "edition", "request_id", "status", "function.class") == ("2005", QN, "2", "error")
    moved = one(frame(f"ST=32;CN=1032;PW=123456;MN={OLD_MN};CP=&&AlarmTarget=203.0.113.7&&"))
    assert some(moved, "target", "target_ip", "value") == ("203.0.113.7", "203.0.113.7", "203.0.113.7")
    operated = one(frame(f"ST=32;CN=3013;PW=123456;MN={OLD_MN};CP=&&PolId=011&&"))
    assert some(operated, "function.name") == ("operate_equipment",)


def test_passwords_and_keys_never_enter_a_row() -> None:
    rows = [
        one(frame(message(1072, "NewPW=zQ8kp2"))),
        one(frame(message(1014, "SKCreateTime=20261102090000;NewSK=31323334353637383930", flag=9))),
        one(frame(UPLOAD)),
    ]
    for secret in ("zQ8kp2", "k3Vq9x", "31323334353637383930"):
        assert not any(secret in str(row) for row in rows)
    assert some(rows[0], "password.verdict", "password.length", "value") == ("ok", 6, None)
    assert some(rows[1], "value", "encrypted", "is_request") == (None, False, True)
    assert one(frame(message(2011, pw="123456")))["ot.password.verdict"] == "default"
    odd = one(frame(message(2011, "DataTime=20261102085930;x-PW=zQ8kp2,newpw=zQ8kp2;w01018-Rtd=1")))
    assert "zQ8kp2" not in str(odd)
    for name in ("Password", "NewPassword", "SM4Key", "a-Key"):
        assert "zQ8kp2" not in str(one(frame(message(1072, f"{name}=zQ8kp2"))))
    weak = one(frame(message(1072, "NewPW=888888")))
    assert weak["ot.password.verdict"] == "default"
    assert rows[2]["ot.password.hash"] != weak["ot.password.hash"]


def test_a_wrong_check_is_told_and_keeps_its_class_and_the_modbus_form_is_right() -> None:
    bad = one(frame(message(3011, "PolId=w01018"), check=0x1234))
    assert some(bad, "status", "function.class", "address") == ("crc_error", "control", "w01018")
    other = one(frame(UPLOAD, check=crc.modbus(UPLOAD.encode())))
    assert some(other, "status", "flags") == (None, ["D", "N", "crc_variant:modbus"])


@pytest.mark.parametrize("lost", [b"##9999QN=", b"##0300QN=20261102090500000;ST=32;", frame(UPLOAD)[:100]])
def test_a_frame_behind_the_head_of_one_that_was_cut_off_is_read_for_itself(lost: bytes) -> None:
    rows = said(HJ212, (0, lost + frame(UPLOAD) * 2), port=9000)
    assert [some(row, "status", "request_id") for row in rows] == [(None, QN)] * 2


@pytest.mark.parametrize("length", [17, 300, 1024, 1500, 9999])
def test_a_wrong_length_is_told_and_what_follows_is_not_lost(length: int) -> None:
    rows = said(HJ212, (0, frame(UPLOAD, length=length) + frame(UPLOAD) * 3), port=9000)
    assert [some(row, "status", "function.code") for row in rows] == [("length_error", 2011)] + [(None, 2011)] * 3
    assert "length_error" in rows[0]["ot.flags"]


def test_octets_are_counted_not_characters_and_old_loggers_speak_gbk() -> None:
    for encoding in ("utf-8", "gbk"):
        text = message(3020, "DataTime=20261102090000;PolId=w01018;i11001-Info=//量程切换;0,5//").encode(encoding)
        row = one(frame(text))
        assert some(row, "message.type", "address", "status") == ("upload", "w01018", None)
        assert "量程切换;0,5" in row["event.fields"]


def test_packets_of_a_split_message_are_rows_with_how_many_there_are() -> None:
    data = f"QN={QN};ST=32;CN=2061;PW=k3Vq9x;MN={MN};Flag=6;PNUM=3;PNO=2;CP=&&DataTime=20261102080000;a-Avg=1&&"
    row = one(frame(data))
    assert some(row, "quantity", "flags") == (3, ["split"])
    assert json.loads(row["event.fields"])["PNO"] == "2"


def ciphered(cp: bytes, key: bytes, *, written: bool = False) -> bytes:
    """A frame of 2025 whose CP is ciphered but for what is less than a group."""
    clear = message(2011, "%s", flag=9).encode().replace(b"%s", cp)
    whole = len(cp) // 16 * 16
    machine = Cipher(algorithms.SM4(key), modes.ECB()).encryptor()
    hidden = machine.update(cp[:whole])
    if written:
        hidden = b"{" + b",".join(b"0x%02X" % byte for byte in hidden) + b"}"
    return frame(clear.replace(cp, hidden + cp[whole:]), check=crc.hj212(clear))


@pytest.mark.parametrize("written", [False, True])
def test_the_published_test_key_is_tried_on_ciphered_data(written: bool) -> None:
    cp = b"DataTime=20261102085930;w01018-Rtd=23.7,w01018-Flag=M;tail=1"
    row = one(ciphered(cp, hj212_frame.TEST_KEY, written=written))
    assert some(row, "encrypted", "status", "quantity") == (True, "encrypted", 1)
    assert row["ot.flags"] == ["M", "test_key"]
    assert row["ot.time"] == datetime(2026, 11, 2, 0, 59, 30, tzinfo=UTC)
    hidden = one(ciphered(cp, bytes(range(16)), written=written))
    assert some(hidden, "encrypted", "status", "message.type", "flags") == (True, "encrypted", "upload", None)
    assert "CP" not in json.loads(hidden["event.fields"])


def test_written_octets_may_stand_close_together_or_apart() -> None:
    for between in (b"", b", ", b","):
        cp = b"{" + between.join(b"0x%02x" % byte for byte in range(16, 33)) + b"}x=1"
        data = message(2011, "%s", flag=9).encode().replace(b"%s", cp)
        assert some(one(frame(data, check=0)), "status", "encrypted") == ("encrypted", True)


def test_ciphered_octets_that_look_like_marks_do_not_end_a_frame() -> None:
    cp = b"\x01&&\r\n##0010QN=\xff\x80"
    data = message(2011, "%s", flag=9).encode().replace(b"%s", cp)
    rows = said(HJ212, (0, frame(data, check=0x0000) + frame(UPLOAD)), port=9000)
    assert [some(row, "status") for row in rows] == [("encrypted",), (None,)]


def test_a_frame_without_the_end_of_its_line_is_told_by_its_check() -> None:
    for end in (b"", b"\r", b"\n"):
        rows = said(HJ212, (0, frame(UPLOAD, end=end) + frame(UPLOAD, end=end)), port=9000)
        assert [row["ot.status"] for row in rows] == [None, None]


def test_a_connection_of_heads_alone_is_given_up_with_one_row() -> None:
    rows = said(HJ212, *((0, b"##0009QN=x" + b"\0" * 30) for _ in range(1_200)), port=9000)
    assert [row["ot.status"] for row in rows] == ["malformed"]


def test_datagrams_hold_whole_frames() -> None:
    rows = sent(HJ212, (0, frame(UPLOAD) + frame(message(9015, flag=9))), port=9000)
    assert [row["ot.function.code"] for row in rows] == [2011, 9015]


def test_it_is_known_by_its_head_wherever_it_stands() -> None:
    assert HJ212.within is not None
    assert HJ212.within(b"\0\xffnoise" + frame(UPLOAD))
    assert HJ212.within(frame(UPLOAD)[:120])
    for text in (b"## 0202 heading", b"##0202 not this", b"##0009QN=1;ST=2;", b"##" * 40):
        assert not HJ212.within(text)
    assert HJ212.starts(frame(UPLOAD), False)
    assert not HJ212.starts(b"\0" + frame(UPLOAD), False)


PIECES = st.lists(
    st.one_of(
        st.sampled_from([frame(UPLOAD), frame(UPLOAD, length=90), frame(UPLOAD, check=1), b"##", b"##0100QN=", b"&&"]),
        st.binary(max_size=40),
    ),
    max_size=8,
)


def untimed(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: row[key] for key in row if key not in ("@timestamp", "log.offset", "ot.time_offset")} for row in rows]


@settings(max_examples=60, deadline=None)
@given(PIECES, st.lists(st.integers(0, 3_000), max_size=5))
def test_any_bytes_give_the_same_rows_however_they_are_cut(parts: list[bytes], borders: list[int]) -> None:
    whole = b"".join(parts)
    places = [0, *sorted({min(border, len(whole)) for border in borders}), len(whole)]
    cut = [(0, whole[begin:end]) for begin, end in itertools.pairwise(places)]
    assert untimed(said(HJ212, *cut, port=9000)) == untimed(said(HJ212, (0, whole), port=9000))


@settings(max_examples=100, deadline=None)
@given(st.one_of(st.binary(max_size=300), st.binary(max_size=80).map(lambda raw: frame(UPLOAD.encode() + raw))))
def test_any_bytes_can_be_read(data: bytes) -> None:
    json.dumps(hj212_row.row(hj212_frame.read(data), 1), default=str)
