"""Time stamps: every form against Python's own calendar."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cityguard import fast
from cityguard.decoders.times import parse

unhurried = settings(deadline=None, max_examples=40)

CITY = ZoneInfo("Asia/Shanghai")
NOW = datetime(2026, 1, 1, 0, 30, tzinfo=UTC)


def one(text: str | float, kind: str = "any", zone: ZoneInfo = CITY, now: datetime = NOW) -> datetime | None:
    return parse(pl.Series([text]), kind, zone, now)[0]


moments = st.datetimes(datetime(1971, 1, 1), datetime(2200, 1, 1)).map(lambda t: t.replace(tzinfo=UTC))
offsets = st.integers(-14 * 60, 14 * 60).map(lambda m: timezone(timedelta(minutes=m)))


@unhurried
@given(moments, offsets)
def test_iso_stamps_with_an_offset_come_back(moment: datetime, offset: timezone) -> None:
    assert one(moment.astimezone(offset).isoformat(), "iso") == moment


@unhurried
@given(moments)
def test_numbers_come_back(moment: datetime) -> None:
    assert one(moment.replace(microsecond=0).timestamp(), "epoch") == moment.replace(microsecond=0)
    assert one(str(int(moment.timestamp() * 1000)), "epoch_ms") is not None


@unhurried
@given(moments)
def test_local_stamps_are_read_in_their_zone(moment: datetime) -> None:
    moment = moment.replace(microsecond=0)
    local = moment.astimezone(ZoneInfo("Asia/Tokyo"))  # no clock changes since 1951
    assert one(local.strftime("%d/%b/%Y:%H:%M:%S"), "clf", ZoneInfo("Asia/Tokyo")) == moment
    assert one(local.strftime("%b %d %Y %H:%M:%S"), "syslog", ZoneInfo("Asia/Tokyo")) == moment


@unhurried
@given(moments, st.integers(-362, 0))
def test_a_stamp_without_a_year_gets_the_newest_one_not_ahead(now: datetime, days: int) -> None:
    moment = (now + timedelta(days=days)).replace(microsecond=0)
    text = moment.astimezone(UTC).strftime("%b %e %H:%M:%S")
    found = one(text, "syslog", ZoneInfo("UTC"), now)
    if (moment.month, moment.day) == (2, 29):  # not every year has it
        assert found is None or found <= now + timedelta(days=1)
    else:
        assert found == moment


def test_a_number_tells_its_unit_by_its_size() -> None:
    moment = datetime(2026, 3, 5, 6, 12, 9, tzinfo=UTC)
    assert {one(moment.timestamp() * scale) for scale in (1, 1e3, 1e6, 1e9)} == {moment}


def test_new_year_and_a_clock_a_little_ahead() -> None:
    assert one("Dec 31 23:59:59") == datetime(2025, 12, 31, 15, 59, 59, tzinfo=UTC)
    assert one("Jan  1 08:29:00") == datetime(2026, 1, 1, 0, 29, tzinfo=UTC)
    assert one("Jan  1 20:00:00") == datetime(2026, 1, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "2026-13-01 00:00:00",
        "2026-02-29 00:00:00",
        "2026-01-01 24:00:00",
        "Foo  1 00:00:00",
        "",
        "yesterday",
        "0000-01-01T00:00:00",
    ],
)
def test_what_is_no_moment_is_null(text: str) -> None:
    assert one(text) is None


@unhurried
@given(st.text(max_size=40))
def test_any_text_is_a_moment_or_null(text: str) -> None:
    one(text)


@unhurried
@given(st.floats(allow_nan=True, allow_infinity=True))
def test_any_number_is_a_moment_or_null(value: float) -> None:
    one(value, "epoch")


def test_a_leap_second_and_a_skipped_hour_are_kept() -> None:
    assert one("2016-12-31T23:59:60Z") == datetime(2017, 1, 1, tzinfo=UTC)
    assert one("2026-03-08 02:30:00", "iso", ZoneInfo("America/New_York")) is not None


def test_a_moment_no_calendar_here_holds_is_none() -> None:
    stamps = ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00Z"]
    assert parse(pl.Series(stamps), "iso", ZoneInfo("UTC"), NOW).is_null().to_list() == [True, True, False]
    assert parse(pl.Series([-1e11, -6.2e10]), "epoch", ZoneInfo("UTC"), NOW).is_null().to_list() == [True, False]


def test_milliseconds_after_a_colon_are_read_too() -> None:
    got = one("Mar  5 14:33:00:123 2026", now=datetime(2026, 4, 1, tzinfo=UTC))
    assert got == datetime(2026, 3, 5, 6, 33, 0, 123000, tzinfo=UTC)


def test_digits_that_count_from_1970_are_a_stamp_too() -> None:
    given = ["1772691129", "1772691129.5", "1772691129000", "1772691129000000000", "2026030506120", "42"]
    read = parse(pl.Series(given), "any", ZoneInfo("Asia/Shanghai"), NOW)
    assert [str(one) for one in read] == [
        "2026-03-05 06:12:09+00:00",
        "2026-03-05 06:12:09.500000+00:00",
        "2026-03-05 06:12:09+00:00",
        "2026-03-05 06:12:09+00:00",
        "None",
        "None",
    ]


def test_days_without_marks_and_offsets_of_whole_hours_are_read() -> None:
    later = datetime(2026, 4, 1, tzinfo=UTC)
    assert one("20260305 14:12:09", now=later) == datetime(2026, 3, 5, 6, 12, 9, tzinfo=UTC)
    assert one("2026-03-05 14:12:09.5-03", now=later) == datetime(2026, 3, 5, 17, 12, 9, 500000, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "20260305141209",
        "20260305T061209Z",
        "2026年3月5日 14:12:09",
        "2026/3/5 2:12:09 PM",
        "Thu Mar  5 14:12:09 2026",
        "Thu, 05 Mar 2026 14:12:09 +0800",
        "05-MAR-26 02:12:09 PM",
        "Mar  5, 2026 2:12:09 PM",
        "2026-03-05T14:12:09+08",
    ],
)
def test_further_spellings_are_the_same_moment(text: str) -> None:
    read = parse(pl.Series([text]), "any", ZoneInfo("Asia/Shanghai"), NOW)
    assert str(read[0]) == "2026-03-05 06:12:09+00:00"


def test_the_order_of_day_and_month_is_as_told() -> None:
    zone = ZoneInfo("Asia/Shanghai")
    for kind, texts in (("dmy", ["05/03/2026 14:12:09", "5.3.26 2:12:09 PM"]), ("mdy", ["03/05/2026 14:12:09"])):
        assert {str(one) for one in parse(pl.Series(texts), kind, zone, NOW)} == {"2026-03-05 06:12:09+00:00"}
    assert parse(pl.Series(["05/03/2026 14:12:09"]), "any", zone, NOW).to_list() == [None]


digits = st.tuples(
    st.integers(0, 9999),
    st.integers(0, 13),
    st.integers(0, 32),
    st.integers(0, 25),
    st.integers(0, 61),
    st.integers(0, 61),
)
ends = st.sampled_from(
    ["", "Z", "z", "+0800", "-05:30", "+08", " +0800", "+9999", ".5", ".1234567Z", ".1234567890", ".", ",5", "x"]
)


@pytest.mark.skipif(not fast.ON, reason="the extra [fast] is not there")
@unhurried
@given(
    st.lists(
        st.tuples(digits, st.sampled_from("T t"), ends) | st.text(max_size=24) | st.none(), min_size=1, max_size=40
    )
)
def test_compiled_code_and_the_pattern_read_the_same(
    drawn: list[tuple[tuple[int, ...], str, str] | str | None],
) -> None:
    texts = [
        "{:04}-{:02}-{:02}{}{:02}:{:02}:{:02}{}".format(*one[0][:3], one[1], *one[0][3:], one[2])
        if isinstance(one, tuple)
        else one
        for one in drawn
    ]
    column = pl.Series("s", texts, pl.String)
    for zone in (CITY, ZoneInfo("America/New_York")):
        compiled = parse(column, "iso", zone, NOW)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(fast, "ON", False)
            assert compiled.to_list() == parse(column, "iso", zone, NOW).to_list()


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize(
    ("text", "zone", "meant"),
    [
        ("2026-03-29 02:30:00", "Europe/Berlin", datetime(2026, 3, 29, 1, 30, tzinfo=UTC)),
        ("Mar 29 02:30:00 2026", "Europe/Berlin", datetime(2026, 3, 29, 1, 30, tzinfo=UTC)),
        ("2026-03-08 02:30:00", "America/New_York", datetime(2026, 3, 8, 7, 30, tzinfo=UTC)),
        ("1991-04-14 02:30:00", "Asia/Shanghai", datetime(1991, 4, 13, 18, 30, tzinfo=UTC)),
        ("2011-12-30 12:00:00", "Pacific/Apia", datetime(2011, 12, 30, 22, tzinfo=UTC)),
    ],
)
def test_an_hour_the_clock_skipped_is_read_by_the_offset_before(
    monkeypatch: pytest.MonkeyPatch, compiled: bool, text: str, zone: str, meant: datetime
) -> None:
    monkeypatch.setattr(fast, "ON", compiled and fast.ON)
    assert one(text, zone=ZoneInfo(zone)) == meant


@pytest.mark.parametrize("compiled", [True, False])
def test_an_offset_no_place_has_is_no_stamp(monkeypatch: pytest.MonkeyPatch, compiled: bool) -> None:
    monkeypatch.setattr(fast, "ON", compiled and fast.ON)
    for offset in ("+99:99", "+14:01", "-14:01", "+08:60", "-1500"):
        assert one(f"2026-03-05T14:12:09{offset}") is None
        assert one(f"05/Mar/2026:14:12:09 {offset}") is None
    assert one("2026-03-05T14:12:09+14:00") == datetime(2026, 3, 5, 0, 12, 9, tzinfo=UTC)
    assert one("2026-03-05T14:12:09-14:00") == datetime(2026, 3, 6, 4, 12, 9, tzinfo=UTC)
