"""Stations of the register: files, faults, and what enrichment says of messages; equal to a plain loop."""

from __future__ import annotations

import ipaddress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import openpyxl
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cityguard import content
from cityguard.errors import ContentErrors, InputError
from cityguard.model import EventBatch, Station
from cityguard.register import station_lists, stations, windows
from cityguard.register.register import Register

WATER = Station(
    "9901A00000000000000000E1",
    "一号排口",
    "hj212",
    platforms=("10.69.0.5",),
    carriers=("10.69.10.0/24",),
    period_s=600,
    periods=("2051=600",),
    limits=("w01018=0..60",),
    maintenance=("workday 09:00-11:00", "周六 22:00-04:00", "2026-03-20T22:00/2026-03-21T04:00"),
)
PLC = Station("plc-2", "水厂控制器2", "modbus", unit="1", addresses=("10.66.10.12",), platforms=("10.66.10.5",))
PUMP = Station("pump", "泵站", "modbus", addresses=("10.66.20.0/24",))
MINE = ("ot.station.id", "ot.station.registered", "ot.platform.registered", "ot.carrier.registered")


def row(protocol: str, unit: str | None, source: str, destination: str, **more: Any) -> dict[str, Any]:
    at = more.pop("at", datetime(2026, 3, 11, 2, 0, tzinfo=UTC))  # a Wednesday, 10:00 in the city
    return {
        "@timestamp": at,
        "ot.protocol": protocol,
        "ot.unit_id": unit,
        "source.ip": source,
        "destination.ip": destination,
        "ot.function.class": more.get("klass", "read"),
        "ot.address": more.get("address"),
        "ot.value": more.get("value"),
    }


def enriched(rows: list[dict[str, Any]], *listed: Station) -> pl.DataFrame:
    schema = {"@timestamp": pl.Datetime("us", "UTC"), **dict.fromkeys(list(rows[0])[1:], pl.String())}
    table = pl.DataFrame(rows, schema=schema)
    return Register(stations=listed).enrich(EventBatch("ot", "pcap", table)).table


def told(one: dict[str, Any], *listed: Station) -> tuple[Any, ...]:
    return enriched([one], *listed).select(MINE).row(0)


def test_a_report_to_the_registered_platform_from_a_carrier_address_is_as_registered() -> None:
    good = row("hj212", "9901a00000000000000000e1", "10.69.10.21", "10.69.0.5")
    assert told(good, WATER) == (WATER.id, True, True, True)


def test_an_order_from_elsewhere_is_not_from_the_platform() -> None:
    bad = row("hj212", WATER.id, "10.69.10.99", "10.69.10.21", klass="write")
    assert told(bad, WATER) == (WATER.id, True, False, True)


def test_a_report_in_the_stations_name_from_another_network_is_told() -> None:
    assert told(row("hj212", WATER.id, "203.0.113.9", "10.69.0.5"), WATER) == (WATER.id, True, True, False)


def test_a_station_nobody_listed_is_told_once_some_of_its_protocol_are_listed() -> None:
    strange = row("hj212", "FF", "10.69.10.21", "10.69.0.5")
    assert told(strange, WATER) == (None, False, None, None)
    assert told(row("sl651", "0099010001", "10.70.10.31", "10.70.0.5"), WATER) == (None, None, None, None)
    assert told(row("hj212", None, "10.69.10.21", "10.69.0.5"), WATER) == (None, None, None, None)


def test_units_behind_an_address_are_known_by_the_address() -> None:
    assert told(row("modbus", "1", "10.66.10.5", "10.66.10.12"), WATER, PLC, PUMP) == ("plc-2", True, True, True)
    assert told(row("modbus", "1", "10.66.10.12", "10.66.0.20"), PLC, PUMP) == ("plc-2", True, False, True)
    assert told(row("modbus", "2", "10.66.10.5", "10.66.10.12"), PLC, PUMP) == (None, False, None, None)
    assert told(row("modbus", "9", "10.66.10.5", "10.66.20.7"), PLC, PUMP) == ("pump", True, None, True)


def test_a_register_without_stations_adds_no_column() -> None:
    table = enriched([row("hj212", "A", "10.0.0.1", "10.0.0.2")])
    assert not [name for name in table.columns if name in stations.COLUMNS]


@pytest.mark.parametrize(
    ("at", "inside"),
    [
        ("2026-03-11T10:59:59+08:00", True),
        ("2026-03-11T11:00:00+08:00", False),
        ("2026-03-14T10:00:00+08:00", False),  # Saturday
        ("2026-03-14T23:30:00+08:00", True),
        ("2026-03-15T03:59:00+08:00", True),  # Saturday's window goes on into Sunday
        ("2026-03-15T04:00:00+08:00", False),
        ("2026-03-20T23:00:00+08:00", True),
        ("2026-03-21T04:00:00+08:00", False),
    ],
)
def test_maintenance_windows_are_kept_in_the_citys_time(at: str, inside: bool) -> None:
    moment = datetime.fromisoformat(at).astimezone(UTC)
    table = enriched([row("hj212", WATER.id, "10.69.10.21", "10.69.0.5", at=moment)], WATER)
    assert table["ot.station.in_maintenance"].to_list() == [inside]


@pytest.mark.parametrize(
    ("address", "value", "klass", "over"),
    [
        ("w01018", "61", "write", True),
        ("W01018", "60", "write", False),
        ("w01018/UpValue", "10,70", "program", True),
        ("w01018", "61", "read", None),
        ("w01001", "99", "write", None),
        ("w01018", "many", "write", None),
    ],
)
def test_a_value_written_is_held_to_the_limits(address: str, value: str, klass: str, over: bool | None) -> None:
    one = row("hj212", WATER.id, "10.69.0.5", "10.69.10.21", address=address, value=value, klass=klass)
    assert enriched([one], WATER)["ot.station.limit_exceeded"].to_list() == [over]


@pytest.mark.parametrize("suffix", ["yml", "xlsx"])
def test_stations_come_back_from_both_kinds_of_file(tmp_path: Path, suffix: str) -> None:
    book = Register(stations=(WATER, PLC, PUMP))
    path = tmp_path / f"r.{suffix}"
    (book.save_xlsx if suffix == "xlsx" else book.save_yaml)(path)
    assert Register.load(path) == book


def test_a_bureaus_own_workbook_is_understood(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.title = "站点"
    sheet.append(["编号", "名称", "协议", "平台地址", "上报周期秒", "分类周期", "维护窗口"])
    sheet.append(
        ["0099010001", "一号水文站", "sl651", "10.70.0.5、10.70.0.6", 3600, "50=300；52=3600", "每天 08:00-09:00"]
    )
    book.save(tmp_path / "s.xlsx")
    (one,) = Register.load(tmp_path / "s.xlsx").stations
    assert one.platforms == ("10.70.0.5", "10.70.0.6")
    assert stations.periods(one) == {"": 3600.0, "50": 300.0, "52": 3600.0}


def test_a_list_is_merged_by_id_or_takes_the_place_of_all(tmp_path: Path) -> None:
    book = Register(stations=(WATER, PLC))
    path = tmp_path / "list.yml"
    path.write_text(
        "stations:\n  - {id: plc-2, name: 新名, protocol: modbus, unit: '1', addresses: [10.66.10.12]}\n"
        "  - {id: '0099010001', name: 水文站, protocol: sl651}\n",
        encoding="utf-8",
    )
    made, fresh, changed = station_lists.merged(book, path)
    assert (fresh, changed, [one.id for one in made.stations]) == (1, 1, [WATER.id, "plc-2", "0099010001"])
    assert made.station("plc-2") is not None
    whole, _, _ = station_lists.merged(book, path, whole=True)
    assert [one.id for one in whole.stations] == ["plc-2", "0099010001"]


def workbook(path: Path, *rows: list[Any]) -> Path:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.title = "站点"
    for row in rows:
        sheet.append(row)
    book.save(path)
    return path


@pytest.mark.parametrize(
    ("row", "column"),
    [
        ([34020000001320000001, "摄像机", "gb28181", ""], "编号"),
        ([12345678, "电表", "dlt645", ""], "编号"),
        (["cam", "摄像机", "gb28181", 34020000001320000001], "设备标识"),
    ],
)
def test_an_id_in_a_number_cell_is_refused_since_its_digits_may_be_lost(
    tmp_path: Path, row: list[Any], column: str
) -> None:
    path = workbook(tmp_path / "s.xlsx", ["编号", "名称", "协议", "设备标识"], row)
    with pytest.raises(ContentErrors) as caught:
        station_lists.read(path, Register())
    (fault,) = caught.value.faults
    assert f"{column}: a number cell" in str(fault)
    assert "format the column as text" in str(fault)


def test_a_column_a_list_lacks_keeps_its_values_and_every_change_is_told(tmp_path: Path) -> None:
    book = Register(stations=(WATER, PLC))
    path = workbook(tmp_path / "s.xlsx", ["编号", "上报周期秒"], [WATER.id, 900])
    made, fresh, changed = station_lists.merged(book, path)
    assert (fresh, changed) == (0, 1)
    assert made.stations == (replace(WATER, period_s=900.0), PLC)
    (told,) = station_lists.changes(book, made)
    assert (told.id, told.values) == (WATER.id, (("period_s", WATER.period_s, 900.0),))
    path = workbook(tmp_path / "t.xlsx", ["编号", "平台地址"], [WATER.id, None])
    emptied, _, _ = station_lists.merged(book, path)
    assert emptied.station(WATER.id) == replace(WATER, platforms=()), "an empty cell of a column that is there"
    with pytest.raises(ContentErrors, match="'name' is missing"):
        station_lists.merged(book, path, whole=True)


def test_a_register_that_could_not_be_read_again_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "register.yml"
    station_lists.save(Register(stations=(WATER,)), path)
    many = Register(stations=tuple(Station(f"{n:012d}", "表", "dlt645", platforms=("10.72.0.5",)) for n in range(200)))
    monkeypatch.setattr(content, "MAX_NODES", 1_000)
    with pytest.raises(InputError, match="too large"):
        station_lists.save(many, path)
    assert Register.load(path).stations == (WATER,)
    assert [one.name for one in tmp_path.iterdir()] == ["register.yml"]
    station_lists.save(many, tmp_path / "register.xlsx")
    assert len(Register.load(tmp_path / "register.xlsx").stations) == 200


def test_a_list_with_a_fault_or_with_assets_is_refused_whole(tmp_path: Path) -> None:
    path = tmp_path / "list.yml"
    path.write_text(
        "stations:\n  - {id: a, name: 甲, protocol: hj212, system: none}\nassets:\n  - {id: b, name: 乙, system: s}\n",
        encoding="utf-8",
    )
    with pytest.raises(ContentErrors) as caught:
        station_lists.merged(Register(), path)
    assert "unknown system" in str(caught.value)
    assert "has no assets" in str(caught.value)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"protocol": "HJ 212"}, "protocol"),
        ({"period_s": 0}, "period_s: 0; seconds, more than 0"),
        ({"protocol": "hj213"}, "did you mean protocol 'hj212'?"),
        ({"periods": ("2051",)}, "code=seconds"),
        ({"limits": ("w01018=9..1",)}, "low..high"),
        ({"maintenance": ("sometimes",)}, "workday 09:00-11:00"),
        ({"platforms": ("10.1.2.3/24",)}, "host bits"),
        ({"protocol": "modbus"}, "neither addresses nor a unit"),
        ({"system": "none"}, "unknown system"),
    ],
)
def test_a_fault_of_a_station_is_named_with_its_remedy(change: dict[str, Any], fault: str) -> None:
    given = {"id": "A1", "name": "站", "protocol": "hj212"} | change
    with pytest.raises(ContentErrors) as caught:
        Register(stations=(Station(**given),))
    assert fault in str(caught.value)
    assert len(caught.value.faults) == 1


def test_two_stations_that_nothing_tells_apart_are_a_fault() -> None:
    with pytest.raises(ContentErrors, match="cannot be told"):
        Register(stations=(Station("a", "甲", "hj212", unit="X1"), Station("b", "乙", "hj212", unit="x1")))


def _plain(one: dict[str, Any], listed: list[Station]) -> tuple[str | None, bool | None]:
    def holds(networks: tuple[str, ...], ip: str) -> bool:
        return any(ipaddress.ip_address(ip) in ipaddress.ip_network(text) for text in networks)

    ends = (one["source.ip"], one["destination.ip"])
    for station in listed:
        if station.protocol == one["ot.protocol"] and station.unit.lower() == (one["ot.unit_id"] or "").lower():
            registered = any(holds(station.platforms, ip) for ip in ends) if station.platforms else None
            return station.id, registered
    return None, None


_IPS = st.sampled_from(["10.0.0.1", "10.0.0.2", "10.0.1.1", "10.1.0.1", "2001:db8::1"])
_NETS = st.lists(
    st.sampled_from(["10.0.0.1", "10.0.0.0/24", "10.0.0.0/16", "10.0.0.0/8", "2001:db8::/32"]), unique=True, max_size=3
)


@settings(max_examples=40, deadline=None)
@given(st.lists(_NETS, max_size=4), st.lists(st.tuples(st.integers(0, 5), _IPS, _IPS), min_size=1, max_size=8))
def test_a_batch_says_what_a_loop_over_its_rows_says(
    platforms: list[list[str]], ends: list[tuple[int, str, str]]
) -> None:
    listed = [Station(f"s{i}", "站", "hj212", unit=f"U{i}", platforms=tuple(p)) for i, p in enumerate(platforms)]
    rows = [row("hj212", f"u{unit}", source, destination) for unit, source, destination in ends]
    table = enriched(rows, *listed)
    if not listed:
        return
    found = table.select("ot.station.id", "ot.platform.registered").rows()
    assert found == [_plain(one, listed) for one in rows]


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(
        ["workday 22:00-04:00", "周六 22:00-04:00", "restday 0:00-24:00", "fri-mon 08:30-09:15", "daily 9:00-9:01"]
    ),
    st.datetimes(datetime(2026, 3, 1), datetime(2026, 3, 31)),
)
def test_a_moment_is_in_a_window_for_one_as_for_many(text: str, at: datetime) -> None:
    held = windows.table("s", [(0, [text])]).with_columns(
        pl.lit(at).cast(pl.Datetime("us")).alias("at"), pl.lit(at.weekday() < 5).alias("workday")
    )
    assert held.select(windows.is_open().alias("x"))["x"].to_list() == [windows.holds(windows.parse(text), at)]


@given(st.text(max_size=30))
@settings(max_examples=60, deadline=None)
def test_any_text_is_a_window_or_a_value_error(text: str) -> None:
    try:
        windows.parse(text)
    except ValueError:
        return
