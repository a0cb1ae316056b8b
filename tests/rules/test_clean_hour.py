"""The sample city's hour without its intruder: no shipped rule may speak but those that are meant to."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl
from scripts.city import plan

from cityguard import content
from cityguard.collect import collect
from cityguard.detectors.rules import RuleDetector
from cityguard.model import EventBatch
from cityguard.register.register import Register
from cityguard.sigma.rule import Ruleset, load

CITY = Path(__file__).parents[2] / "examples" / "city"
PCAPS = Path(__file__).parents[2] / "pcaps"
NOW = datetime(2026, 3, 12, tzinfo=UTC)
INTRUDER = (plan.ATTACKER, plan.C2, plan.DROP, plan.VPN_CLIENT, plan.PHISHED)
HIS_WAY = {plan.JUMP, plan.HISTORIAN, plan.ENGINEERING}  # between two of these nobody else goes at night
TRACES = (*INTRUDER, plan.HISTORIAN, "198.51.100.77", "svc-maint", "ops-vpn01")
EXPECTED = {"cityguard.network.unregistered_host"}
"""The register of the sample city leaves some servers out, on purpose."""


def quiet_logs(folder: Path) -> list[Path]:
    """The city's logs without the lines that tell of the intrusion."""
    made = []
    for file in sorted((CITY / "logs").glob("*.gz")):
        lines = gzip.decompress(file.read_bytes()).decode().splitlines(keepends=True)
        kept = [line for line in lines if not any(trace in line for trace in TRACES)]
        assert 0.9 * len(lines) < len(kept) or len(kept) >= 30
        made.append(folder / file.stem)
        made[-1].write_text("".join(kept), encoding="utf-8")
    return made


def quiet(table: pl.DataFrame) -> pl.DataFrame:
    """Rows that do not belong to the intrusion."""
    if not {"source.ip", "destination.ip"} <= set(table.columns):
        return table
    ends = (pl.col("source.ip"), pl.col("destination.ip"))
    his = pl.any_horizontal(*(one.is_in(INTRUDER) for one in ends))
    his_way = pl.all_horizontal(*(one.is_in(HIS_WAY) for one in ends))
    written = pl.any_horizontal(*(one == plan.ENGINEERING for one in ends)) & pl.any_horizontal(
        *(one == plan.PLC for one in ends)
    )
    return table.filter(~(his | his_way | written).fill_null(False))


def batches(paths: list[Path]) -> Iterator[EventBatch]:
    register = Register.load(CITY / "register.yml", zone=ZoneInfo("Asia/Shanghai"))
    known = collect.Collectors.load(None)
    for path in paths:
        for chunk in collect.read(path, known, now=NOW, decoders={}):
            for batch in chunk.decoded.batches:
                one = register.enrich(batch)
                yield EventBatch(one.dataset, one.collector, quiet(one.table), one.segment, one.logsource, one.part)


def rules() -> Ruleset:
    return load([content.root() / "rules", CITY / "content" / "rules"])


def test_no_rule_fires_in_the_clean_hour_but_the_one_about_the_register(tmp_path: Path) -> None:
    ruleset = rules()
    detector = RuleDetector(ruleset, clock=lambda: NOW)
    paths = [*sorted((CITY / "flows").glob("*.gz")), *quiet_logs(tmp_path), PCAPS / "heating-maintenance.pcap"]
    rows, alerts = 0, []
    for batch in batches(paths):
        rows += batch.table.height
        alerts += detector.detect(batch)
    alerts += detector.finish()
    heads = {alert.rule_id: ruleset.head(alert.rule_id) for alert in alerts}
    assert rows > 25_000
    assert {head.name for head in heads.values() if head is not None} == EXPECTED
