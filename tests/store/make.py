"""Events and records for the store's tests: small, real, the same on every run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from cityguard import ids
from cityguard.model import (
    Alert,
    Assessment,
    Chunk,
    Decoded,
    DrillCheck,
    DrillRun,
    DrillStep,
    EventBatch,
    Evidence,
    JobRun,
    Text,
)

NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


def flows(
    part: str = "p1", rows: int = 20, start: datetime = NOW, step: timedelta = timedelta(seconds=1), **columns: Any
) -> EventBatch:
    """A batch of flows, one each ``step`` from ``start``; ``columns`` sets columns (a list or one value)."""
    when = [start + step * number for number in range(rows)]
    ms = np.array([int(moment.timestamp() * 1000) for moment in when], dtype=np.int64)
    number = np.arange(rows, dtype=np.int64)
    table = pl.DataFrame(
        {
            "@timestamp": pl.Series(when, dtype=pl.Datetime("us", "UTC")),
            "event.id": ids.event_ids(ids.source_key(part), ms, number, np.zeros(rows, dtype=np.int64)),
            "source.ip": [f"10.{n % 4}.0.{n % 250}" for n in range(rows)],
            "source.port": [40_000 + n for n in range(rows)],
            "destination.ip": ["192.0.2.1" if n % 2 else "2001:db8::5" for n in range(rows)],
            "destination.port": pl.Series([(22, 80, 443)[n % 3] for n in range(rows)], dtype=pl.Int32),
            "network.transport": ["tcp"] * rows,
            "network.bytes": [n * 1_000_000_000 for n in range(rows)],
        },
        strict=False,
    )
    for name, value in columns.items():
        values = value if isinstance(value, list) else [value] * rows
        table = table.with_columns(pl.Series(name.replace("__", "."), values, strict=False))
    return EventBatch("flow", "netflow", table, part=part)


def logins(part: str, messages: list[str], start: datetime = NOW, **columns: Any) -> EventBatch:
    """A batch of dataset ``auth`` with the given messages."""
    base = flows(part, len(messages), start, message=messages, **columns)
    table = base.table.select(
        "@timestamp", "event.id", "source.ip", pl.exclude("^network.*|source.*|dest.*|@.*|event.id$")
    )
    return EventBatch("auth", "sshd", table, part=part)


def alert(name: str = "a1", part: str = "p1", at: datetime = NOW, **changes: Any) -> Alert:
    """An alert seen at one moment."""
    given: dict[str, Any] = {
        "id": ids.content_id("test", name.encode()),
        "rule_id": "5a3f0f52-1e0f-4d7a-9d3c-000000000001",
        "title": Text("口令爆破", "Password guessing"),
        "level": "high",
        "source": "sigma",
        "first_seen": at,
        "last_seen": at,
        "reason": Text("同一地址多次登录失败，疑似横向移动", "many failed logins from one address"),
        "tags": ("attack.credential_access", "attack.t1110"),
        "entities": {"source.ip": "10.0.0.7", "destination.ip": "192.0.2.1", "user.name": "root"},
        "department": "卫健局",
        "part": part,
        "event_ids": (f"{name}-{part}-1",),
    }
    return Alert(**{**given, **changes})


def evidence(name: str = "e1", system: str = "his", check: str = "tls", at: datetime = NOW) -> Evidence:
    """A piece of evidence."""
    return Evidence(
        id=ids.content_id("evidence", name.encode()),
        check=check,
        object="web-01",
        object_name="门户",
        system=system,
        controls=("L3-CES1-01",),
        verdict="不符合",
        reason=Text("证书已过期", "certificate expired"),
        observed_at=at,
        collected_at=at,
        valid_until=at + timedelta(days=30),
        method="测试",
        record="notAfter=…",
    )


def run(job: str = "scan", slot: datetime = NOW, owner: str = "n1", lease: timedelta = timedelta(minutes=5)) -> JobRun:
    """A run that wants a slot; its lease counts from the slot."""
    return JobRun(f"{job}-{owner}", job, slot, owner, 0, slot, slot + lease)


def chunk(source: str = "s1", part: str = "p1", received: int = 10, rejected: int = 2, dropped: int = 1) -> Chunk:
    """A piece of input of which some was rejected and some dropped."""
    rows = received - rejected - dropped
    return Chunk(source, part, "line", received, Decoded((flows(part, rows),), (), rejected), dropped)


def assessment(name: str, system: str = "his", at: datetime = NOW) -> Assessment:
    """A small assessment."""
    return Assessment(
        id=name,
        system=system,
        system_name="医院信息系统",
        department="卫健局",
        s_grade=3,
        a_grade=3,
        catalogue="gbt22239",
        scoring="points",
        made_at=at,
        results=(),
        counts={"符合": 1},
        rate={"all": 0.5, "none": None},
        conclusion="基本符合",
    )


def drill(name: str, system: str = "his", at: datetime = NOW) -> DrillRun:
    """A drill that went well."""
    return DrillRun(
        id=name,
        plan="p",
        title="恢复演练",
        system=system,
        kind="tar",
        backup="b.tar",
        backup_sha256="0" * 64,
        backup_taken=at - timedelta(hours=3),
        started=at,
        ended=at + timedelta(minutes=3),
        steps=(DrillStep(Text("解包", "unpack"), at, at, "ok"),),
        checks=(DrillCheck("files", "3", "3", True),),
        rto_target_s=3_600.0,
        rto_actual_s=180.5,
        rpo_target_s=None,
        rpo_actual_s=10_800.0,
        files=3,
        bytes=1_024,
        residue_removed=True,
        conclusion="成功",
        reason=Text("全部一致", "all equal"),
    )
