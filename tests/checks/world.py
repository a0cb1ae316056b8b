"""A small world for checks and scans: a register in 127/8, a real store, a fixed clock."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from cityguard import columns, ids
from cityguard.checks.base import Context, discover
from cityguard.checks.facts import Host
from cityguard.clock import Clock
from cityguard.config import ScanSettings, Settings
from cityguard.model import Asset, Department, EventBatch, Evidence, Segment, System
from cityguard.register.register import Register
from cityguard.store.embedded import EmbeddedStore

NOW = datetime(2026, 11, 21, 4, 0, tzinfo=UTC)
FAST = ScanSettings(rate_per_s=3000, per_host=8, timeout_s=2.0)


@dataclass
class World:
    """What the application offers to a scan."""

    store: EmbeddedStore
    register: Register
    settings: Settings
    clock: Clock = lambda: NOW

    def context(self, *, config_dir: Path | None = None, hosts: Mapping[str, Host] | None = None) -> Context:
        return Context(self.store, self.register, self.settings, NOW, config_dir, hosts or {})

    def add(self, dataset: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Enrich and store events; ``at`` of a row is its time, NOW minus a minute unless told."""
        number = np.arange(len(rows), dtype=np.int64)
        when = [row.get("at", NOW) for row in rows]
        ms = np.array([int(moment.timestamp() * 1000) - 60_000 for moment in when], dtype=np.int64)
        key = ids.source_key(dataset, repr(rows))
        table = pl.DataFrame(
            [{name: value for name, value in row.items() if name != "at"} for row in rows],
            infer_schema_length=None,
            schema_overrides={
                name: columns.BY_NAME[name].dtype for row in rows for name in row if name in columns.BY_NAME
            },
        ).with_columns(
            pl.Series("@timestamp", ms * 1000).cast(pl.Datetime("us", "UTC")),
            ids.event_ids(key, ms, number, np.zeros(len(rows), dtype=np.int64)),
        )
        batch = EventBatch(dataset, "test", columns.conform(dataset, table), part=key.hex())
        assert self.store.events.append(self.register.enrich(batch)) == len(rows)

    def ask(self, check: str, system: str = "web", **given: Any) -> list[Evidence]:
        """Run one check of one system."""
        one = self.register.system(system)
        assert one is not None
        return list(discover()[check].run(one, self.context(**given)))

    def ask_one(self, check: str, system: str = "web", **given: Any) -> Evidence:
        (found,) = self.ask(check, system, **given)
        return found


def register(**changes: Any) -> Register:
    """A web system in an open segment, a plant in an OT segment, an office where scans are not allowed."""
    given: dict[str, Any] = {
        "departments": (Department("data", "数据局"), Department("water", "水务局")),
        "systems": (
            System("web", "政务门户", "data", 3, 3, filing_number="320400-1", extensions=("cloud",)),
            System("plant", "水厂监控", "water", 3, 3, extensions=("ics",)),
        ),
        "assets": (
            Asset("web-1", "门户一", "web", ("127.10.0.1",), kind="server", ports=("443/tcp",)),
            Asset("web-2", "门户二", "web", ("127.10.0.2",), kind="server"),
            Asset("web-ot", "门户的采集机", "web", ("127.66.0.9",), kind="server"),
            Asset("web-office", "门户办公机", "web", ("127.20.0.5",), kind="server"),
            Asset("web-plc", "门户里的控制器", "web", ("127.10.0.77",), kind="plc"),
            Asset("web-nowhere", "没有网段", "web", ("127.99.0.1",), kind="server"),
            Asset("plc-1", "一号PLC", "plant", ("127.66.0.10",), kind="plc"),
            Asset("hmi-1", "操作员站", "plant", ("127.10.0.50",), kind="hmi"),
        ),
        "segments": (
            Segment("cloud", "政务云", ("127.10.0.0/24",), zone="政务云", scan="active"),
            Segment("office", "办公网", ("127.20.0.0/24",), zone="办公", scan="passive"),
            Segment("ot", "水厂控制网", ("127.66.0.0/24",), zone="工业互联网", ot=True, scan="passive"),
        ),
    }
    return Register(**{**given, **changes})


@contextmanager
def world(folder: Path, one: Register | None = None, **settings: Any) -> Iterator[World]:
    """A world over a store in ``folder``."""
    store = EmbeddedStore(folder / "store")
    try:
        yield World(store, one or register(), Settings(**{"home": str(folder), "scan": FAST, **settings}))
    finally:
        store.close()
