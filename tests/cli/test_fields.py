"""``decode --jsonl`` keeps the vocabulary: what it prints, what tables hold and what docs/fields.md says are one."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from tests.cli.test_cli import run

from cityguard import columns
from cityguard.cli import reading
from cityguard.collect import collect
from cityguard.collect.collectors import Collectors

ROOT = Path(__file__).parents[2]
KNOWN = Collectors.load()
DOCUMENTED = set(
    re.findall(r"^\| `([^`]+)` \|", (ROOT / "docs" / "fields.md").read_text(encoding="utf-8"), re.MULTILINE)
)
KINDS: dict[str, type | tuple[type, ...]] = {
    "keyword": str,
    "text": str,
    "ip": str,
    "json": str,
    "time": str,
    "port": int,
    "int": int,
    "long": int,
    "double": (int, float),
    "bool": bool,
    "keywords": list,
}


def check(row: dict[str, Any], *, native: bool) -> None:
    """A row's names are those of its dataset, each of its kind; ``native`` = the source's own may stand beside them."""
    known = {one.name: one for one in columns.DATASETS[row["event.dataset"]]}
    for name, value in row.items():
        if name not in known:
            assert native, f"{name} is no column of {row['event.dataset']}"
            assert name not in columns.BY_NAME, f"{name} is a column, but not of {row['event.dataset']}"
            continue
        assert name in DOCUMENTED, f"{name} is not in docs/fields.md"
        assert isinstance(value, KINDS[known[name].kind]), f"{name}: {value!r} is no {known[name].kind}"
        if known[name].kind == "time":
            assert datetime.fromisoformat(value).utcoffset() is not None


def test_every_column_of_every_dataset_is_documented() -> None:
    assert {*columns.BY_NAME, *columns.DATASETS} == DOCUMENTED


def test_captures_print_columns_of_their_datasets_alone() -> None:
    printed = run("decode", "--jsonl", *sorted((ROOT / "pcaps").glob("*.pcap"))).stdout
    rows = [json.loads(line) for line in printed.splitlines()]
    assert {"flow", "ot", "dns", "http", "tls"} <= {row["event.dataset"] for row in rows}
    for row in rows:
        check(row, native=False)


@pytest.mark.parametrize("collector", sorted(one.name for one in KNOWN if one.kind == "lines"))
def test_logs_print_columns_of_their_datasets_and_names_of_their_own(collector: str, tmp_path: Path) -> None:
    file = tmp_path / "some.log"
    for sample in KNOWN[collector].tests:
        if not sample.lines:
            continue
        file.write_text("\n".join(sample.lines) + "\n", encoding="utf-8", errors="surrogateescape")
        for chunk in collect.read(file, KNOWN, collector=collector, now=datetime(2026, 1, 1, tzinfo=UTC)):
            for batch in chunk.decoded.batches:
                for row in reading.rows(batch):
                    check(json.loads(orjson.dumps(row, default=str)), native=True)
