"""Lines of many kinds of device in one stream are each read by the collector that knows them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from cityguard.collect.collect import Live, read
from cityguard.collect.collectors import Collectors
from cityguard.collect.families import Families
from cityguard.model import Chunk
from cityguard.sources import lines

NOW = datetime(2026, 3, 6, tzinfo=UTC)
MIXED = (
    "<190>Mar  5 2026 06:12:09 FW-01 %%01POLICY/6/POLICYDENY(l):vsys=public, protocol=6, source-ip=198.51.100.23",
    "Mar  5 14:12:09 web01 sshd[812]: Failed password for root from 203.0.113.66 port 40112 ssh2",
    "<34>Mar  5 14:12:09 web01 app: something else",
    '{"timestamp":"2026-03-05T14:12:09.1+0800","flow_id":1,"event_type":"flow","src_ip":"10.20.3.15"}',
    "no header at all",
    "Mar  5 14:12:10 web01 sshd[812]: Failed password for li01 from 203.0.113.66 port 40113 ssh2",
)
KINDS = ("huawei-usg", "linux-auth", "syslog", "suricata-eve", "syslog", "linux-auth")


@pytest.fixture(scope="module")
def collectors() -> Collectors:
    return Collectors.load()


def _rows(chunks: list[Chunk]) -> list[tuple[int, int, str, str]]:
    names = ["event.sequence", "log.offset", "observer.name", "event.id"]
    rows = [row for chunk in chunks for batch in chunk.decoded.batches for row in batch.table.select(names).iter_rows()]
    return sorted(rows)


def test_each_line_goes_to_the_collector_that_knows_it(collectors: Collectors) -> None:
    families = Families(collectors, collectors["syslog"])
    which = families.of(pl.Series(MIXED))
    assert tuple(families.known[at].name for at in which) == KINDS


def test_a_file_of_many_kinds_keeps_place_and_order(collectors: Collectors, tmp_path: Path) -> None:
    path = tmp_path / "mixed.log"
    path.write_text("\n".join(MIXED) + "\n")
    chunks = list(read(path, collectors, collector="syslog", now=NOW))
    rows = _rows(chunks)
    assert [row[0] for row in rows] == list(range(len(MIXED)))
    assert tuple(row[2] for row in rows) == KINDS
    assert len({row[3] for row in rows}) == len(MIXED)
    assert sum(chunk.received for chunk in chunks) == len(MIXED)
    assert rows == _rows(list(read(path, collectors, collector="syslog", now=NOW)))


def test_a_live_source_gives_the_same_rows_however_its_lines_come(collectors: Collectors) -> None:
    raw = [line.encode() for line in MIXED]

    def rows(pieces: list[slice]) -> list[tuple[int, int, str, str]]:
        live = Live(collectors["syslog"], source="in", key="k", collectors=collectors)
        starts = [piece.start for piece in pieces]
        return _rows(
            [
                live.chunk(lines.one_each(raw[piece], first=start), now=NOW)
                for piece, start in zip(pieces, starts, strict=True)
            ]
        )

    whole = rows([slice(0, 6)])
    assert [row[2] for row in whole] == list(KINDS)
    assert rows([slice(0, 2), slice(2, 6)]) == whole


def test_without_the_others_a_collector_reads_all_itself(collectors: Collectors) -> None:
    live = Live(collectors["syslog"], source="in", key="k")
    chunk = live.chunk(lines.one_each([line.encode() for line in MIXED]), now=NOW)
    assert {row[2] for row in _rows([chunk])} == {"syslog"}
