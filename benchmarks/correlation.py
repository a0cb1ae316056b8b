"""Matches a second that correlations take: by type, batch size and number of groups, and what they hold at most.

    .venv/bin/python benchmarks/correlation.py [--matches N]

A match is one hit of a base rule: time, event id, group, value and the columns alerts are about. Base rules are not
evaluated here (benchmarks/sigma.py does). One correlation at a time; CPU seconds of the whole process, all threads.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import polars as pl

from cityguard import ids
from cityguard.model import EventBatch
from cityguard.sigma.correlation import Correlator
from cityguard.sigma.rule import load_bytes

ID = "6f1c1b8e-3a53-4c33-9d6b-2f0f5c1e8a0"
RULES = ("a", "b", "c")
START = int(datetime(2026, 3, 11, tzinfo=UTC).timestamp() * 1_000_000)
BASE = """title: {name}
id: {id}{n}
name: {name}
logsource: {{category: test}}
detection: {{s: {{kind: {name}}}, condition: s}}
---
"""
KINDS = {
    "event_count": ("a", "{gte: 15}"),
    "value_count": ("a", "{field: destination.port, gte: 15}"),
    "value_sum": ("a", "{field: source.bytes, gte: 20000000}"),
    "temporal": ("a, b, c", ""),
    "temporal_ordered": ("a, b, c", ""),
    "temporal a and (b or c)": ("a, b, c", "a and (b or c)"),
    "event_count lt": ("a", "{lt: 2}"),
    "value_avg": ("a", "{field: source.bytes, gt: 95000}"),
    "value_percentile": ("a", "{field: source.bytes, percentile: 95, gt: 99990}"),
    "temporal a and not b": ("a, b", "a and not b"),
}


@dataclass(frozen=True, slots=True)
class Speed:
    """One run."""

    kind: str
    batch: int
    groups: int
    matches: int
    cpu_s: float
    firings: int
    held: int
    evicted: int

    @property
    def per_second(self) -> float:
        return self.matches / self.cpu_s


def correlator(kind: str) -> Correlator:
    """One correlation over 5 minutes, grouped by source address."""
    rules, condition = KINDS[kind]
    text = "".join(BASE.format(name=name, n=n, id=ID) for n, name in enumerate(RULES))
    text += f"title: corr\nid: {ID}9\ncorrelation:\n  type: {kind.partition(' ')[0]}\n  rules: [{rules}]\n"
    text += "  group-by: [source.ip]\n  timespan: 5m\n" + (f"  condition: {condition}\n" if condition else "")
    made = load_bytes(text.encode())
    assert not made.faults, [str(fault) for fault in made.faults]
    return Correlator(made.correlations)


def batches(matches: int, size: int, groups: int, rate: int, seed: int = 1) -> Iterator[tuple[EventBatch, pl.Series]]:
    """Hits in time order, ``rate`` a second, one in fifty of ten busy groups; with the rule each belongs to."""
    chance = np.random.default_rng(seed)
    key = ids.source_key("benchmark")
    for begin in range(0, matches, size):
        count = min(size, matches - begin)
        number = np.arange(begin, begin + count, dtype=np.int64)
        time_us = START + number * 1_000_000 // rate + chance.integers(0, 500_000, count)
        group = chance.integers(0, groups, count)
        busy = chance.random(count) < 0.02
        group[busy] = chance.integers(0, 10, int(busy.sum()))
        address = pl.DataFrame({"a": group >> 16, "b": group >> 8 & 255, "c": group & 255}).select(
            pl.format("10.{}.{}.{}", "a", "b", "c")
        )
        table = pl.DataFrame(
            {
                "@timestamp": pl.Series(time_us).cast(pl.Datetime("us", "UTC")),
                "event.id": ids.event_ids(key, time_us // 1000, number, np.zeros(count, dtype=np.int64)),
                "event.ingested": pl.Series(time_us + 2_000_000).cast(pl.Datetime("us", "UTC")),
                "source.ip": address.to_series(),
                "destination.ip": pl.Series(["10.200.0.9"]).new_from_index(0, count),
                "destination.port": chance.integers(1, 200, count),
                "source.bytes": chance.integers(0, 100_000, count),
            }
        )
        # one in a thousand hits is of rule b or c: a success among failures
        rule = np.where(chance.random(count) < 0.001, chance.integers(1, 3, count), 0)
        yield EventBatch("flow", "benchmark", table, part=f"p{begin}"), pl.Series(rule)


def run(kind: str, *, matches: int = 1_000_000, size: int = 100_000, groups: int = 5_000, rate: int = 100) -> Speed:
    """Feed hits and settle once per simulated minute; only the correlator's time counts."""
    one, spent, firings, settled = correlator(kind), 0.0, 0, 0
    for batch, rule in batches(matches, size, groups, rate):
        hits = {f"{ID}{n}": batch.table.filter(rule == n) for n in range(len(RULES))}
        began = time.process_time()
        one.observe(batch)
        firings += len(one.feed({name: table for name, table in hits.items() if table.height}, batch))
        if one.received is not None and one.received - settled > 60_000_000:
            settled = one.received
            firings += len(one.settle())
        spent += time.process_time() - began
    fed = one.counters()
    return Speed(kind, size, groups, matches, spent, firings, fed["correlations.hits"], fed["correlations.evicted"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--matches", type=int, default=1_000_000)
    parser.add_argument("--kind", choices=KINDS)
    given = parser.parse_args()
    print("type                       batch   groups   matches/CPU s   firings     held    evicted")
    for kind in [given.kind] if given.kind else KINDS:
        for size in (100_000, 20_000, 2_000):
            told(run(kind, matches=given.matches, size=size))
    for groups in (1_000_000,):
        told(run("event_count", matches=4 * given.matches, size=20_000, groups=groups, rate=20_000))
    print(f"largest resident size {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


def told(one: Speed) -> None:
    counts = f"{one.firings:9} {one.held:8} {one.evicted:10}"
    print(f"{one.kind:24} {one.batch:8} {one.groups:8} {one.per_second:15,.0f} {counts}", flush=True)


if __name__ == "__main__":
    main()
