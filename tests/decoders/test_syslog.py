"""Syslog headers: both standards, and lines that follow neither."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from cityguard import fast
from cityguard.decoders import envelope, syslog, syslogscan
from cityguard.sources.lines import one_each

unhurried = settings(deadline=None, max_examples=40)

name = st.from_regex(r"[a-z][a-z0-9-]{0,10}", fullmatch=True)
words = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=30)


@unhurried
@given(st.integers(0, 191), name, name, st.integers(1, 99999), words)
def test_rfc_3164_fields_come_back(pri: int, host: str, program: str, pid: int, message: str) -> None:
    row = envelope.header(pl.Series([f"<{pri}>Mar  5 14:12:09 {host} {program}[{pid}]: x {message}"])).row(
        0, named=True
    )
    assert (row["pri"], row["host"], row["program"], row["pid"]) == (pri, host, program, str(pid))
    assert (row["severity"], row["facility"], row["message"]) == (pri % 8, pri // 8, f"x {message}")


@unhurried
@given(st.integers(0, 191), name, name, st.text(st.sampled_from('ab]"\\ ='), max_size=12), words)
def test_rfc_5424_structured_data_ends_where_it_ends(
    pri: int, host: str, program: str, value: str, message: str
) -> None:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("]", "\\]")
    line = f'<{pri}>1 2026-03-05T14:12:09Z {host} {program} - ID1 [a@1 k="{escaped}"][b@1] {message}'
    row = envelope.header(pl.Series([line])).row(0, named=True)
    assert (row["host"], row["program"], row["pid"], row["msgid"], row["message"]) == (
        host,
        program,
        None,
        "ID1",
        message,
    )


@unhurried
@given(st.lists(st.binary(max_size=60), min_size=1, max_size=8))
def test_any_bytes_are_a_message_and_no_item_is_lost(items: list[bytes]) -> None:
    decoded = syslog.decoder({}).decode(one_each(items))
    assert sum(len(batch) for batch in decoded.batches) + decoded.rejected == len(items)


def test_a_newline_inside_one_datagram_stays_one_event() -> None:
    forged = b'<13>1 2026-03-05T14:12:09Z h app - - [x k="\n<13>1 2026-03-05T14:12:09Z evil su - - -"] real'
    decoded = syslog.decoder({}).decode(one_each([forged]))
    assert decoded.batches[0].table.height == 1
    assert decoded.batches[0].table["host"][0] == "h"


def test_a_priority_beyond_the_standard_has_a_severity_and_no_facility() -> None:
    row = envelope.header(pl.Series(["<902>Mar  5 14:12:09 h app: m"])).row(0, named=True)
    assert (row["severity"], row["facility"]) == (902 % 8, None)


def test_gbk_lines_are_read_and_flagged_each_on_its_own() -> None:
    items = [
        "<13>Mar  5 14:12:09 h app: 登录失败".encode("gb18030"),
        "<13>Mar  5 14:12:09 h app: 登录".encode(),
        b"\xff\xfe\xfa\xff",
    ]
    table = syslog.decoder({}).decode(one_each(items)).batches[0].table
    assert table["message"].to_list()[:2] == ["登录失败", "登录"]
    assert table["event.flags"].to_list() == [["gb18030"], None, ["undecoded"]]


piece = st.sampled_from(
    [
        "<13>",
        "<999>",
        "<-1>",
        "<>",
        "Mar  5 14:12:09",
        "Mar 15 14:12:09",
        "2026-03-05T14:12:09.1+08:00",
        "2026",
        "Z",
        "DST",
        " ",
        "  ",
        "web01",
        "10.0.0.1",
        "::1",
        "中",
        "%",
        "sshd",
        "app[12]",
        "a[b:c]",
        "[",
        "]",
        ":",
        ": ",
        "message",
        "x: y",
        "\n",
    ]
)


@unhurried
@given(st.lists(st.lists(piece, max_size=9).map("".join), min_size=1, max_size=8))
def test_plain_headers_by_position_equal_those_by_pattern(kinds: list[str]) -> None:
    plain = "<13>Mar  5 14:12:09 web01 sshd[{}]: 登录 failed: x"
    lines = pl.Series([plain.format(n) for n in range(envelope.MIN_PLAIN)] + kinds * envelope.MIN_PLAIN)
    assert envelope._once(lines).equals(envelope._matched(lines))


def test_many_lines_of_both_plain_forms_and_others_keep_their_order() -> None:
    forms = [
        "<13>Mar  5 14:12:09 web01 a[1]: m",
        "2026-03-05T14:12:09Z 10.0.0.1 b: m",
        "<5>1 2026-03-05T14:12:09Z h c - - - m",
        "free",
    ]
    found = envelope.header(pl.Series(forms * 100))
    assert found["program"].to_list() == ["a", "b", "c", None] * 100
    assert found["host"].to_list() == ["web01", "10.0.0.1", "h", None] * 100


def test_lines_of_applications_have_their_own_time_and_no_host() -> None:
    lines = [
        "2026-03-05 10:00:01,123 INFO  city.App - started",
        "[2026-03-05 10:00:02] worker: done",
        "2026-03-05T10:00:03Z WARN slow",
    ]
    table = envelope.header(pl.Series(lines))
    assert table["stamp"].to_list() == ["2026-03-05 10:00:01,123", "2026-03-05 10:00:02", "2026-03-05T10:00:03Z"]
    assert table["host"].to_list() == [None, None, None]
    assert table["message"].to_list() == ["INFO  city.App - started", "worker: done", "WARN slow"]


pieces = st.tuples(
    st.sampled_from(["<13>", "", "<1>", "<12345>", "<>", "<-5>"]),
    st.sampled_from(
        [
            "Mar  5 14:12:09",
            "2026-03-05T14:12:09",
            "2026-03-05T4:12:09.12,5Z",
            "2026-03-05T14:12:09+0800",
            "Mar 5 14:12:09",
        ]
    ),
    st.sampled_from([" ", "  ", ""]),
    st.sampled_from(["web01", "10.0.0.1", "Z", "UTC", "fe80::1", "h%x", "1234.5", "中"]),
    st.sampled_from([" sshd", " " + "a" * 64, " " + "a" * 65, " %ASA", ": x", " 中"]),
    st.sampled_from(["[12]", "", "[]", "[a%b]", "[" + "1" * 21 + "]"]),
    st.sampled_from([": ", ":", "", ":\t ", ":\u00a0"]),
    st.sampled_from(["message", "", "<13>Mar  5 14:12:09 in sshd: y", "中文"]),
).map("".join)


@pytest.mark.skipif(not fast.ON, reason="the extra [fast] is not there")
@unhurried
@given(st.lists(pieces | st.text(max_size=30), min_size=1, max_size=30))
def test_compiled_code_cuts_where_the_patterns_do(drawn: list[str]) -> None:
    lines = pl.Series([f"<13>Mar  5 14:12:{n % 60:02d} host sshd[{n}]: ok" for n in range(envelope.MIN_PLAIN)] + drawn)
    compiled = envelope.header(lines)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fast, "ON", False)
        assert_frame_equal(compiled, envelope.header(lines))


@pytest.mark.skipif(not fast.ON, reason="the extra [fast] is not there")
def test_plain_headers_are_cut_by_compiled_code() -> None:
    lines = ["<13>Mar  5 14:12:09 web sshd[5]: x", "2026-03-05T14:12:09.5+08:00 10.0.0.1 a/b:y", "none"]
    made = syslogscan.read(pl.Series(lines))
    assert made is not None
    assert made[1].tolist() == [True, True, False]
    assert made[0].rows() == [
        ("13", "Mar  5 14:12:09", "web", "sshd", "5", "x"),
        (None, "2026-03-05T14:12:09.5+08:00", "10.0.0.1", "a/b", None, "y"),
    ]
