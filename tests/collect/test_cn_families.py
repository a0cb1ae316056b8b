"""Every collector's own test lines, no collector named, find that collector; traps of domestic devices hold for all."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from cityguard.collect import collect
from cityguard.collect.chunks import Chunks
from cityguard.collect.collectors import Collector
from cityguard.collect.families import Families
from cityguard.decoders.text import text
from cityguard.sources.lines import one_each

NOW = datetime(2026, 3, 6, tzinfo=UTC)
DOMESTIC = (
    *("huawei-usg", "h3c", "hillstone", "dptech", "dptech-flow", "dptech-dsp", "topsec", "venustech", "leadsec"),
    *("venus-json", "venus-osm", "tianyue-das", "qianxin-nsg", "qianxin-waf", "qianxin-sslvpn", "qianxin-tianqing"),
    *("skyeye", "skyeye-pairs", "sangfor-af", "sangfor-ac", "sangfor-sip", "sangfor-edr", "sangfor-atrust"),
    *("sangfor-das", "nsfocus-ips", "nsfocus-waf", "nsfocus-uts", "nsfocus-osms", "nsfocus-das", "acm", "dbapp-waf"),
    *("dbapp-apt", "antiy", "jumpserver", "qizhi", "fort", "secfox", "dm-sqllog", "server-audit", "oracle-unified"),
    *("tidb-audit", "opengauss-audit", "db-audit-views", "safeline", "modsecurity-json", "elkeid", "cloud-flow"),
    *(
        "aliyun-actiontrail",
        "huaweicloud-cts",
        "tencentcloud-audit",
        "cloud-flow-huawei",
        "kylin-kysec",
        "ruijie",
        "webray-waf",
        "topsec-edr",
        "netentsec",
        "sangfor-ad",
        "jhsec",
        "infogo-asm",
    ),
)
SHARED = {"syslog", "ndjson", "zeek"}
"""They take what nobody else knows, or lines that only make sense under a header."""


@pytest.fixture(scope="module")
def known() -> collect.Collectors:
    return collect.Collectors.load()


@pytest.fixture(scope="module")
def families(known: collect.Collectors) -> Families:
    return Families(known, known["syslog"])


_OWN: dict[str, list[str]] = {}


def own(one: Collector) -> list[str]:
    """Test lines that the collector's own decoder reads."""
    if one.name not in _OWN:
        lines = [line for test in one.tests for line in test.lines]
        made = one.decoder().decode(one_each([line.encode() for line in lines])).batches
        good = {int(number) for batch in made for number in batch.table["log.offset"].to_list()}
        _OWN[one.name] = [line for index, line in enumerate(lines) if index in good]
    return _OWN[one.name]


def taken(families: Families, lines: list[str]) -> list[str]:
    return [families.known[index].name for index in families.of(pl.Series(lines, dtype=pl.String))]


def row(one: Collector, raw: bytes) -> dict[str, object]:
    frames = one_each([raw])
    chunk = Chunks(one, "s", "p", "k", NOW, None).chunk(frames, one.decoder().decode(frames))
    return next(row for batch in chunk.decoded.batches for row in batch.table.iter_rows(named=True))


@pytest.mark.parametrize("name", DOMESTIC)
def test_own_lines_find_their_collector_one_by_one(name: str, known: collect.Collectors, families: Families) -> None:
    lines = own(known[name])
    assert lines
    assert taken(families, lines) == [name] * len(lines)


def test_no_collector_of_the_folder_takes_a_domestic_line_from_another(
    known: collect.Collectors, families: Families
) -> None:
    others = [
        one for one in known if one.kind == "lines" and one.name not in (*DOMESTIC, *SHARED) and one.module != "table"
    ]
    stolen = [(one.name, who) for one in others for who in taken(families, own(one)) if who in DOMESTIC]
    assert stolen == []


def test_lines_a_collector_refuses_are_not_recognised_as_its_own(known: collect.Collectors, families: Families) -> None:
    refused = 0
    for name in DOMESTIC:
        good = set(own(known[name]))
        lines = [line for test in known[name].tests for line in test.lines if line not in good]
        refused += len(lines)
        assert name not in taken(families, lines)
    assert refused >= 10


@pytest.mark.parametrize("name", DOMESTIC[::4])
def test_a_file_of_own_lines_is_recognised(name: str, known: collect.Collectors, tmp_path: Path) -> None:
    lines = [line.replace("\n", " ") for line in own(known[name])]
    if len({line.lstrip()[:1] == "{" for line in lines}) > 1:  # JSON bare and behind a header do not mix in a file
        lines = [line for line in lines if line.lstrip()[:1] == "{"]
    path = tmp_path / "log"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    chunks = list(collect.read(path, known, now=NOW))
    assert {chunk.source for chunk in chunks} == {name}
    assert sum(chunk.decoded.rejected for chunk in chunks) == 0


def behind(known: collect.Collectors) -> Iterator[tuple[str, str]]:
    """Lines with a syslog header of their own, one a collector."""
    for name in DOMESTIC:
        yield from [(name, line) for line in own(known[name]) if line.startswith("<")][:1]


KEYS = ("event.action", "source.ip", "source.port", "destination.ip", "user.name", "rule.name", "event.outcome")


def test_relays_tails_marks_and_encodings_change_nothing(known: collect.Collectors, families: Families) -> None:
    tried = 0
    for name, line in behind(known):
        one = known[name]
        plain = row(one, line.encode())
        forms = {
            "relay": b"Mar  5 16:06:37 10.1.1.5 " + line.encode(),
            "nul": line.encode() + b"\0",
            "crlf": line.encode() + b"\r\n",
            "mark": b"\xef\xbb\xbf" + line.encode(),
            "gbk": line.encode("gb18030"),
        }
        for form, raw in forms.items():
            changed = row(one, raw)
            same = {key: plain.get(key) for key in KEYS if key in plain}
            assert {key: changed.get(key) for key in same} == same, (name, form)
            if form == "gbk" and not line.isascii():
                assert changed["event.flags"] == ["gb18030"]
            tried += 1
        assert taken(families, ["Mar  5 16:06:37 10.1.1.5 " + line]) == [name]
    assert tried > 100


@pytest.mark.parametrize("name", DOMESTIC)
def test_long_lines_of_an_attacker_cost_little_and_raise_nothing(name: str, known: collect.Collectors) -> None:
    one = known[name]
    pieces = ('a="b ', "[a:", "1.1.1.1:1->", "(通过账号", ",|;`$", "Mar  5 14:12:09 ")
    first = own(one)[0]
    frames = one_each([(first + piece * (16384 // len(piece))).encode() for piece in pieces])
    chunk = Chunks(one, "s", "p", "k", NOW, None).chunk(frames, one.decoder().decode(frames))
    events = sum(len(batch) for batch in chunk.decoded.batches)
    assert events + chunk.decoded.rejected >= len(pieces)


@pytest.mark.parametrize(
    ("raw", "value", "flags"),
    [
        ("风险:低".encode("gb18030"), "风险:低", ["gb18030"]),
        ("risk:低".encode("gb18030") + b"\r\n\0", "risk:低", ["gb18030"]),
        ("risk:低".encode()[:-1], "risk:", ["truncated"]),
        ("风险:低".encode("gb18030")[:-1] + b"\0", "风险:", ["truncated", "gb18030"]),
    ],
)
def test_a_line_cut_inside_a_character_is_told_from_one_in_gb18030(raw: bytes, value: str, flags: list[str]) -> None:
    read = text(one_each([raw]))
    assert read.values.to_list() == [value]
    assert read.flags.to_list() == [flags]


def test_statements_over_many_lines_are_one_event_each(known: collect.Collectors, tmp_path: Path) -> None:
    head = "2026-03-05 14:12:{:02d}.548 (EP[0] sess:0x7f01 thrd:4146 user:APP trxid:1 stmt:0x7 appname:x ip:10.1.1.9) "
    tail = " EXECTIME: 35(ms) ROWCOUNT: 2(rows) EXEC_ID: 9."
    text = "".join(
        head.format(n) + "[SEL] select a,\n" + "  b,\n" * 6 + "  '中文'\nfrom t." + tail + "\n" for n in range(30)
    )
    path = tmp_path / "dmsql_DMSERVER_20260305_141200.log"
    path.write_bytes(text.encode("gb18030"))
    chunks = list(collect.read(path, known, now=NOW))
    assert {chunk.source for chunk in chunks} == {"dm-sqllog"}
    rows = pl.concat([batch.table for chunk in chunks for batch in chunk.decoded.batches])
    assert rows["db.statement"].unique().to_list() == ["select a,\n" + "  b,\n" * 6 + "  '中文'\nfrom t"]
    assert rows.height == 30
    assert rows["db.rows_affected"].to_list() == [2] * 30
