"""The register: both file forms, every fault with its place, and enrichment that equals a plain loop."""

from __future__ import annotations

import ipaddress
import re
import zipfile
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import openpyxl
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cityguard.errors import ContentErrors, InputError
from cityguard.model import Asset, Department, EventBatch, Segment, System
from cityguard.register import asset_kinds
from cityguard.register.lookup import PrefixTable, parse
from cityguard.register.register import Register

GOOD = """\
departments:
  - id: water
    name: 水务局
    leader: 王分管
    phone: "0519-0000"
  - {id: water-east, name: 东区分局, parent: water}
systems:
  - id: scada
    name: 供水调度
    department: water
    s_grade: 2
    a_grade: 3
    filing_expires: 2027-01-01
    extensions: [ics]
    rto_hours: 4
assets:
  - {id: plc-1, name: 一号泵站PLC, system: scada, addresses: [10.9.0.10], kind: plc}
  - {id: hist, name: historian, system: scada, addresses: [10.8.0.5, "2001:db8::5"], ports: [443/tcp]}
  - {id: pool, name: 终端池, system: scada, addresses: [10.8.0.0/28]}
segments:
  - {id: ot, name: 泵站, cidrs: [10.9.0.0/24], zone: 工业互联网, ot: true, scan: passive}
  - {id: dmz, name: 隔离区, cidrs: [10.8.0.0/16, "2001:db8::/64"], zone: 专用网络区, department: water-east}
  - {id: inner, name: 内层, cidrs: [10.8.7.0/24]}
"""


@pytest.fixture
def good(tmp_path: Path) -> Register:
    path = tmp_path / "register.yml"
    path.write_text(GOOD, encoding="utf-8")
    return Register.load(path)


def faults(path: Path) -> list[str]:
    with pytest.raises(ContentErrors) as caught:
        Register.load(path)
    return [str(fault) for fault in caught.value.faults]


# ---------------------------------------------------------------- lookups


def test_a_register_answers_who_and_where(good: Register) -> None:
    system = good.system("scada")
    assert system is not None and system.grade == 3 and system.filing_expires == date(2027, 1, 1)
    assert [asset.id for asset in good.assets_of(system)] == ["plc-1", "hist", "pool"]
    assert good.department("nobody") is None
    for ip, asset, segment in [
        ("10.9.0.10", "plc-1", "ot"),
        ("10.8.0.5", "hist", "dmz"),  # the single address beats the range that holds it
        ("10.8.0.6", "pool", "dmz"),
        ("10.8.7.1", None, "inner"),
        ("2001:db8::5", "hist", "dmz"),
        ("::ffff:10.8.0.5", "hist", "dmz"),
        ("192.0.2.1", None, None),
        ("not an address", None, None),
    ]:
        found, where = good.find_asset(ip), good.segment_of(ip)
        assert (found and found.id, where and where.id) == (asset, segment), ip


# ---------------------------------------------------------------- files


def test_yaml_and_xlsx_round_trip_exactly(good: Register, tmp_path: Path) -> None:
    for save, name in ((good.save_yaml, "again.yml"), (good.save_xlsx, "again.xlsx")):
        save(tmp_path / name)
        assert Register.load(tmp_path / name) == good
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again.xlsx", "again.yml", "register.yml"]


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Zl", "Zp"]), max_size=12).map(str.strip)
WORDS = st.lists(TEXT.filter(lambda text: text and not set(text) & set(",;，；、")), max_size=3).map(tuple)


@settings(max_examples=25, deadline=None)
@given(name=TEXT, phone=st.sampled_from(["", "05190000", "=1+1", "@cmd", "1e5", "yes", "_x0041_"]), backup=TEXT,
       groups=WORDS, hours=st.none() | st.floats(0, 1e6), day=st.none() | st.dates(date(1970, 1, 1), date(2199, 1, 1)),
       ot=st.booleans())  # fmt: skip
def test_whatever_text_is_written_comes_back(
    tmp_path_factory: pytest.TempPathFactory, name: str, phone: str, backup: str, groups: tuple[str, ...],
    hours: float | None, day: date | None, ot: bool,
) -> None:  # fmt: skip
    register = Register(
        (Department("d", name, phone=phone),),
        (System("s", name, "d", 1, 1, filing_expires=day, rto_hours=hours, backup=backup),),
        (Asset("a", name, "s", groups=groups),),
        (Segment("n", name, ("10.0.0.0/8",), ot=ot),),
    )
    folder = tmp_path_factory.mktemp("round")
    register.save_yaml(folder / "r.yml")
    assert Register.load(folder / "r.yml") == register
    register.save_xlsx(folder / "r.xlsx")
    if name:  # an empty cell says nothing, so a required name cannot be empty in a workbook
        assert Register.load(folder / "r.xlsx") == register


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        ("plc", "plc"), ("PLC", "plc"), (" ＰＬＣ ", "plc"), ("PLC控制器", "plc"), ("可编程逻辑控制器", "plc"),
        ("PLC (S7-1200)", "plc"), ("PLC（S7-1200）", "plc"), ("plc-gateway", "gateway"), ("网关", "gateway"),
        ("Remote  Terminal Unit", "rtu"), ("RTU/DTU", "rtu"), ("信号机", "signal"), ("传感器", "sensor"),
        ("操作员站", "hmi"), ("工程师站", "engineering"), ("服务器", "server"), ("防火墙", "security"), ("", ""),
    ],
)  # fmt: skip
def test_what_people_call_a_kind_becomes_its_one_name(tmp_path: Path, word: str, kind: str) -> None:
    path = tmp_path / "register.yml"
    path.write_text(GOOD.replace("kind: plc", f'kind: "{word}"'), encoding="utf-8")
    loaded = Register.load(path)
    assert loaded.assets[0].kind == kind
    loaded.save_xlsx(tmp_path / "again.xlsx")
    workbook = openpyxl.load_workbook(tmp_path / "again.xlsx")
    workbook["资产"]["E2"] = word
    workbook.save(tmp_path / "again.xlsx")
    assert Register.load(tmp_path / "again.xlsx") == loaded


@pytest.mark.parametrize(
    ("word", "remedy"),
    [
        ("thing", "known: server virtual application database"),
        ("plcc", "did you mean 'plc'?"),
        ("可编程逻辑控制", "did you mean '可编程逻辑控制器'?"),
        ("plc plus server", "known: "),
        ("PLC (a) (b)", "known: "),
        ("x" * 400, "known: "),
    ],
)
def test_a_kind_of_no_known_name_is_a_fault(tmp_path: Path, word: str, remedy: str) -> None:
    path = tmp_path / "register.yml"
    path.write_text(GOOD.replace("kind: plc", f'kind: "{word}"'), encoding="utf-8")
    (fault,) = faults(path)
    assert fault.startswith(f"{path}:17: kind: '{word[:64]}' is no kind of asset; {remedy}")
    with pytest.raises(ContentErrors, match="is no kind of asset"):
        Register((Department("d", "甲"),), (System("s", "甲", "d"),), (Asset("a", "甲", "s", kind=word),))


def test_no_word_means_two_kinds() -> None:
    words = [word for kind, also in asset_kinds.ALIASES.items() for word in (kind, *also)]
    assert len(words) == len(set(words)) and all(asset_kinds.normal(word) in asset_kinds.KINDS for word in words)
    assert set(asset_kinds.KINDS) >= asset_kinds.PROCESS


@given(st.text(max_size=40))
def test_whatever_a_kind_is_called_naming_it_twice_changes_nothing(text: str) -> None:
    assert asset_kinds.normal(asset_kinds.normal(text)) == asset_kinds.normal(text)


def test_the_page_lists_every_kind_and_which_are_never_probed() -> None:
    page = (Path(__file__).parents[2] / "docs" / "register.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (.+) \| (yes|never) \|$", page, re.MULTILINE)
    assert [(kind, probed) for kind, _, probed in rows] == [
        (kind, "never" if kind in asset_kinds.PROCESS else "yes") for kind in asset_kinds.KINDS
    ]
    for kind, words, _ in rows:
        assert tuple(words.split(", ")) == asset_kinds.ALIASES[kind]


def test_the_sample_city_loads() -> None:
    city = Register.load(Path(__file__).parents[2] / "examples" / "city" / "register.yml")
    assert {asset.kind for asset in city.assets} <= set(asset_kinds.KINDS)


def test_a_text_that_looks_like_a_formula_is_written_as_text(tmp_path: Path) -> None:
    Register((Department("d", "=HYPERLINK(1)", leader="+1", contact="@x"),)).save_xlsx(tmp_path / "r.xlsx")
    sheet = openpyxl.load_workbook(tmp_path / "r.xlsx")["部门"]
    assert [cell.data_type for cell in sheet[2]][:4] == ["s"] * 4


def book(path: Path, sheets: dict[str, list[list[Any]]]) -> Path:
    workbook = openpyxl.Workbook()
    workbook.remove(workbook.worksheets[0])
    for title, rows in sheets.items():
        sheet = workbook.create_sheet(title)
        for row in rows:
            sheet.append(row)
    workbook.save(path)
    return path


def test_a_workbook_as_people_write_it_is_understood(tmp_path: Path) -> None:
    path = book(
        tmp_path / "r.xlsx",
        {
            "部门": [["编号", "名称", "电话"], ["d", " 一局 ", 5190000], [None, None, None]],
            "systems": [["id", "name", "department", "S级", "A级", "RTO小时", "备案到期"],
                        ["s", "甲", "d", 2, "", 4, datetime(2027, 5, 1)]],
            "资产": [["编号", "名称", "系统", "地址", "开放端口"],
                    ["a", "甲", "s", "10.0.0.1、10.0.0.2", "443/tcp\n22/tcp"]],
            "网段": [["编号", "名称", "网段", "工控"], ["n", "甲", "10.0.0.0/8", "是"]],
        },
    )  # fmt: skip
    assert faults(path) == [f"{path}!systems:2: S2A0 is no valid combination; both from 1 to 4, or both 0 (not graded)"]
    workbook = openpyxl.load_workbook(path)
    workbook["systems"]["E2"] = 3
    workbook.save(path)
    register = Register.load(path)
    assert register.departments == (Department("d", "一局", phone="5190000"),)
    assert register.systems[0] == System("s", "甲", "d", 2, 3, filing_expires=date(2027, 5, 1), rto_hours=4.0)
    assert register.assets[0].addresses == ("10.0.0.1", "10.0.0.2")
    assert register.assets[0].ports == ("443/tcp", "22/tcp")
    assert register.segments[0].ot is True


# ---------------------------------------------------------------- faults


def test_every_fault_of_a_yaml_file_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "bad.yml"
    path.write_text(
        """\
departments:
  - {id: a, name: 甲, phone: 123}
  - {id: a, name: 乙}
systems:
  - id: s
    name: 系统
    department: aa
    s_grade: 7
    a_grade: 1
  - {id: t, name: 系统, departmnt: a}
assets:
  - {id: x, name: 机, system: s, addresses: [10.0.0.300, 10.0.0.1/8], ports: [https]}
  - {id: y, name: 机, system: ss, addresses: [10.1.1.1]}
  - {id: z, name: 机, system: s, addresses: [10.1.1.1]}
segments:
  - {id: m, name: 段, cidrs: [10.0.0.0/8], ot: true, scan: active}
  - {id: n, name: 段, cidrs: [10.0.0.0/8], scan: activ}
racks: []
""",
        encoding="utf-8",
    )
    found = faults(path)
    for expected in [
        ":2: phone: Expected `str`, got `int`; put it in quotes",
        ":7: department: unknown department 'aa'; did you mean 'a'?",
        ":8: s_grade: 7; 0 (not graded) to 4",
        ":10: systems: unknown key 'departmnt'; did you mean 'department'?",
        ":10: systems: 'department' is missing",
        ":12: addresses: '10.0.0.300' is not an address or network; write an address or a network such as 10.1.2.0/24",
        ":12: addresses: '10.0.0.1/8' has host bits set; did you mean 10.0.0.0/8?",
        ":12: ports: 'https'; write e.g. 443/tcp",
        ":13: system: unknown system 'ss'; did you mean 's'?",
        f":14: addresses: '10.1.1.1' twice; first at {path}:13",
        ":16: scan: active on an ot segment; nothing is ever sent into an OT segment: scan: passive",
        ":17: scan: 'activ'; did you mean 'active'?",
        f":17: cidrs: '10.0.0.0/8' twice; first at {path}:16",
        ":18: unknown key 'racks'; did you mean 'assets'?",
    ]:
        if expected.startswith(":18"):
            assert any(fault.startswith(f"{path}:18: unknown key 'racks'") for fault in found)
        else:
            assert f"{path}{expected}" in found
    assert len(found) == 14  # the broken department 'a' makes no further faults


def test_twice_used_ids_and_circles_of_departments_are_faults(tmp_path: Path) -> None:
    path = tmp_path / "bad.yml"
    path.write_text("departments:\n- {id: a, name: x, parent: b}\n- {id: b, name: x}\n- {id: b, name: y}\n")
    assert [fault.split(": ", 1)[1] for fault in faults(path)] == [f"id: 'b' twice in departments; first at {path}:3"]
    path.write_text("departments:\n- {id: a, name: x, parent: b}\n- {id: b, name: x, parent: a}\n")
    assert [fault.split(": ", 1)[1] for fault in faults(path)] == [
        "parent: 'a' is above itself",
        "parent: 'b' is above itself",
    ]


@pytest.mark.parametrize(
    ("sheets", "expected"),
    [
        ({"部门": [["编号", "名字"], ["d", "x"]]}, "!部门:1: unknown column '名字'; did you mean '名称'?"),
        ({"部们": [["编号"]]}, ": unknown sheet '部们'; did you mean '部门'?"),
        ({"部门": [["编号", "名称"], ["d", "=1+1"]]}, "!部门:2: name: a formula; paste the value instead"),
        ({"部门": [["编号", "名称"], ["d", "x"], ["e", None]]}, "!部门:3: departments: 'name' is missing"),
        ({"部门": [["编号", "id", "名称"]]}, "!部门:1: column 'id' twice; delete one"),
    ],
)
def test_faults_of_a_workbook_name_sheet_and_row(tmp_path: Path, sheets: dict[str, Any], expected: str) -> None:
    path = book(tmp_path / "bad.xlsx", sheets)
    assert f"{path}{expected}" in faults(path)


def test_hostile_workbooks_are_refused_whole(tmp_path: Path) -> None:
    path = tmp_path / "r.xlsx"
    for raw in (b"", b"PK\x03\x04 nonsense", b"a,b\n"):
        path.write_bytes(raw)
        with pytest.raises(InputError, match="not an XLSX workbook"):
            Register.load(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/workbook.xml", b"\0" * (129 << 20))
    assert path.stat().st_size < 1 << 20
    with pytest.raises(InputError, match="unpacks to more"):
        Register.load(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("xl/workbook.xml", '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aa">]><x>&a;</x>')
    with pytest.raises(InputError, match="DOCTYPE"):
        Register.load(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("nothing.txt", "x")
    with pytest.raises(InputError, match="not an XLSX workbook"):
        Register.load(path)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_no_bytes_make_a_register_file_fail_otherwise(tmp_path_factory: pytest.TempPathFactory, raw: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.yml"
    for head in (b"", b"departments:\n- ", b"assets:\n- id: "):
        path.write_bytes(head + raw)
        try:
            Register.load(path)
        except (InputError, ContentErrors) as error:
            assert str(path) in str(error)


# ---------------------------------------------------------------- enrichment

ADDRESS = st.one_of(
    st.integers(0, 2**32 - 1).map(lambda number: str(ipaddress.IPv4Address(number))),
    st.integers(0, 255).map(lambda last: f"10.0.0.{last}"),
    st.integers(0, 2**128 - 1).map(lambda number: str(ipaddress.IPv6Address(number))),
    st.integers(0, 255).map(lambda last: f"2001:db8::{last:x}"),
    st.sampled_from(["0.0.0.0", "255.255.255.255", "10.0.0.01", "1.2.3", "1.2.3.4.5", "300.1.1.1", "", "::", "x"]),
)
NETWORK = st.builds(
    lambda address, length: ipaddress.ip_network(f"{address}/{length}", strict=False),
    ADDRESS.filter(lambda text: parse(text) is not None and text != "::"),
    st.integers(0, 32),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(NETWORK, max_size=12), st.lists(ADDRESS | st.none(), min_size=1, max_size=20))
def test_the_prefix_table_equals_a_plain_loop(networks: list[Any], addresses: list[str | None]) -> None:
    table = PrefixTable((network, owner) for owner, network in enumerate(networks))

    def plain(text: str | None) -> int:
        address = parse(text) if text is not None else None
        holders = [
            (network.prefixlen, -owner)
            for owner, network in enumerate(networks)
            if address is not None and network.version == address.version and address in network
        ]
        return -max(holders)[1] if holders else -1

    column = pl.Series(addresses, dtype=pl.String)
    assert table.find_all(column).tolist() == [plain(text) for text in addresses]
    assert [table.find(text) for text in addresses if text is not None] == [
        plain(text) for text in addresses if text is not None
    ]


def flows(rows: list[dict[str, Any]], dataset: str = "flow") -> EventBatch:
    schema = {"@timestamp": pl.Datetime("us", "UTC")} if any("@timestamp" in row for row in rows) else {}
    return EventBatch(dataset, "test", pl.DataFrame(rows, schema_overrides=schema), part="p")


def test_enrichment_tells_both_ends_and_keeps_the_rows(good: Register) -> None:
    batch = flows(
        [
            {"source.ip": "10.8.0.5", "destination.ip": "10.9.0.10"},
            {"source.ip": "10.8.9.9", "destination.ip": "192.0.2.7"},
            {"source.ip": None, "destination.ip": "2001:db8::77"},
        ]
    )
    rich = good.enrich(batch)
    assert (rich.dataset, rich.collector, rich.part) == ("flow", "test", "p")
    assert rich.table["source.ip"].to_list() == ["10.8.0.5", "10.8.9.9", None]
    told = rich.table.select(pl.col("^source[.].*$")).drop("source.ip").rows()
    assert told == [
        ("hist", "scada", "water", "dmz", "专用网络区", 3, True),
        (None, None, "water-east", "dmz", "专用网络区", None, False),
        (None, None, None, None, None, None, None),
    ]
    told = rich.table.select(pl.col("^destination[.].*$")).drop("destination.ip").rows()
    assert told == [
        ("plc-1", "scada", "water", "ot", "工业互联网", 3, True),
        (None, None, None, None, None, None, False),
        (None, None, "water-east", "dmz", "专用网络区", None, False),
    ]
    assert good.enrich(rich).table.equals(rich.table)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(NETWORK, max_size=6, unique=True),
    st.lists(NETWORK, max_size=6, unique=True),
    st.lists(ADDRESS | st.none(), max_size=12),
)
def test_enrichment_equals_asking_row_by_row(own: list[Any], around: list[Any], addresses: list[str | None]) -> None:
    register = Register(
        (Department("d", "甲"),),
        (System("s", "甲", "d", 2, 2),),
        tuple(Asset(f"a{n}", "机", "s", (str(network),)) for n, network in enumerate(own)),
        tuple(Segment(f"n{n}", "段", (str(network),), zone=f"z{n % 2}") for n, network in enumerate(around)),
    )
    column = pl.Series("source.ip", addresses, dtype=pl.String)
    rich = register.enrich(EventBatch("flow", "test", column.to_frame())).table
    for row in rich.to_dicts():
        asset = register.find_asset(row["source.ip"]) if row["source.ip"] is not None else None
        segment = register.segment_of(row["source.ip"]) if row["source.ip"] is not None else None
        assert row["source.asset"] == (asset.id if asset else None)
        assert row["source.department"] == ("d" if asset else None)
        assert row["source.grade"] == (2 if asset else None)
        assert (row["source.segment"], row["source.zone"]) == ((segment.id, segment.zone) if segment else (None, None))
        assert row["source.is_registered"] == (None if row["source.ip"] is None else asset is not None)


def test_a_host_event_is_told_by_its_host(good: Register) -> None:
    rich = good.enrich(
        flows(
            [
                {"host.name": "HISTORIAN.water.example", "host.ip": None, "source.ip": None},
                {"host.name": "unknown", "host.ip": "10.9.0.10", "source.ip": None},
                {"host.name": "historian", "host.ip": None, "source.ip": "192.0.2.9"},
                {"host.name": "unknown", "host.ip": None, "source.ip": None},
            ],
            "auth",
        )
    ).table
    assert rich["source.asset"].to_list() == ["hist", "plc-1", None, None]
    assert rich["source.segment"].to_list() == ["dmz", "ot", None, None]
    assert rich["source.is_registered"].to_list() == [True, True, False, None]
    assert rich["destination.asset"].to_list() == [None, None, "hist", None]
    assert rich["destination.is_registered"].to_list() == [None, None, True, None]


def test_a_batch_without_addresses_gets_only_the_calendar(good: Register) -> None:
    batch = flows([{"@timestamp": datetime(2026, 11, 20, 16, 30, tzinfo=UTC)}])
    assert good.enrich(batch).table.columns == ["@timestamp", "calendar.workday", "calendar.hour"]


def test_the_calendar_is_the_citys(good: Register) -> None:
    moments = [
        datetime(2026, 11, 20, 15, 59, tzinfo=UTC),  # Friday 23:59 in the city
        datetime(2026, 11, 20, 16, 0, tzinfo=UTC),  # Saturday 00:00
        datetime(2026, 9, 30, 16, 0, tzinfo=UTC),  # Thursday 1 October, a holiday
    ]
    register = Register(
        good.departments, good.systems, good.assets, good.segments, holidays=frozenset([date(2026, 10, 1)])
    )
    rich = register.enrich(flows([{"@timestamp": moment} for moment in moments])).table
    assert rich["calendar.hour"].to_list() == [23, 0, 0]
    assert rich["calendar.workday"].to_list() == [True, False, False]
    assert rich.schema["calendar.hour"] == pl.Int32


def test_an_empty_register_and_an_empty_batch_do_no_harm(good: Register) -> None:
    batch = flows([{"source.ip": "10.0.0.1", "destination.ip": None}])
    assert Register().enrich(batch).table["source.is_registered"].to_list() == [False]
    assert good.enrich(EventBatch("flow", "test", batch.table.clear())).table.height == 0


def test_whether_an_address_a_command_sends_a_device_to_is_an_asset(good: Register) -> None:
    table = pl.DataFrame({"ot.protocol": ["hj212"] * 3, "ot.target_ip": ["10.9.0.10", "203.0.113.9", None]})
    found = good.enrich(EventBatch("ot", "capture", table)).table
    assert found["ot.target_registered"].to_list() == [True, False, None]
    assert "ot.target_registered" not in good.enrich(EventBatch("ot", "capture", table.drop("ot.target_ip"))).table
