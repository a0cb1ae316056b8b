"""Flow tables of an ordinary little network, and of hosts that misbehave."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from cityguard.model import EventBatch

START = datetime(2026, 3, 2, 0, 0, tzinfo=UTC)


def usual(days: float, *, hosts: int = 12, seed: int = 1, start: datetime = START, net: str = "10.1.0") -> pl.DataFrame:
    """Office hosts talking to a few servers, a handful of flows every five minutes."""
    rng = np.random.default_rng(seed)
    windows = int(days * 288)
    count = windows * hosts * 4
    window = np.repeat(np.arange(windows), hosts * 4)
    host = np.tile(np.repeat(np.arange(hosts), 4), windows)
    # a host rests now and then, so that numbers of flows differ
    keep = rng.random(count) < 0.8
    return table(
        start,
        seconds=(window * 300 + rng.integers(0, 300, count))[keep],
        source=[f"{net}.{10 + h}" for h in host[keep]],
        destination=[f"10.9.0.{d}" for d in rng.integers(1, 6, count)[keep]],
        port=rng.choice([53, 80, 443, 445], count)[keep],
        out=rng.lognormal(7, 1, count)[keep].astype(np.int64),
        back=rng.lognormal(9, 1, count)[keep].astype(np.int64),
        state=["syn_only" if x < 0.02 else "fin" for x in rng.random(count)[keep]],
    )


def scan(source: str, at: datetime, *, targets: int = 200) -> pl.DataFrame:
    """One host knocking at many doors within a minute."""
    return table(
        at,
        seconds=np.linspace(0, 60, targets).astype(np.int64),
        source=[source] * targets,
        destination=[f"10.8.{i // 200}.{i % 200 + 1}" for i in range(targets)],
        port=np.arange(targets) % 50 + 1,
        out=np.full(targets, 60),
        back=np.zeros(targets, dtype=np.int64),
        state=["syn_only"] * targets,
    )


def table(start: datetime, *, seconds, source, destination, port, out, back, state) -> pl.DataFrame:  # type: ignore[no-untyped-def]
    moments = [start + timedelta(seconds=int(s)) for s in seconds]
    stamp = int(start.timestamp()) + int(sum(map(ord, source[0] if len(source) else "")))
    return pl.DataFrame(
        {
            "@timestamp": pl.Series(moments, dtype=pl.Datetime("us", "UTC")),
            "event.id": [f"{stamp:016x}{i:016x}" for i in range(len(moments))],
            "source.ip": pl.Series(source, dtype=pl.String),
            "destination.ip": pl.Series(destination, dtype=pl.String),
            "destination.port": pl.Series(port, dtype=pl.Int32),
            "source.bytes": pl.Series(out, dtype=pl.Int64),
            "destination.bytes": pl.Series(back, dtype=pl.Int64),
            "source.packets": pl.Series([4] * len(moments), dtype=pl.Int64),
            "destination.packets": pl.Series([5] * len(moments), dtype=pl.Int64),
            "network.transport": ["tcp"] * len(moments),
            "event.duration": pl.Series([2_000_000_000] * len(moments), dtype=pl.Int64),
            "flow.state": pl.Series(state, dtype=pl.String),
            "source.segment": ["office"] * len(moments),
            "source.department": ["bureau"] * len(moments),
            "source.system": ["mail"] * len(moments),
        }
    )


def batch(rows: pl.DataFrame, part: str = "p1", dataset: str = "flow") -> EventBatch:
    return EventBatch(dataset, "test", rows, segment="seg-x", part=part)
