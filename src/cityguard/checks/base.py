"""What a check is: one file with ``INFO`` and ``run``; it asks facts of the context and answers with evidence."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import orjson

from cityguard import __version__, checks, crypto
from cityguard.checks.facts import Host
from cityguard.config import Settings
from cityguard.errors import InputError
from cityguard.ids import content_id
from cityguard.model import Asset, Evidence, EvidenceVerdict, System, Text
from cityguard.register.register import Register
from cityguard.store.base import Store

LOG_DAYS, SCAN_DAYS, CONFIG_DAYS, DRILL_DAYS = 7, 30, 30, 365
"""How long evidence of each kind stays valid; older evidence turns back into 待确认."""

MAX_RECORD = 32 << 10
MAX_LISTED = 50  # of anything, in a record

MET: EvidenceVerdict = "符合"
PART: EvidenceVerdict = "部分符合"
UNMET: EvidenceVerdict = "不符合"
NOT_APPLICABLE: EvidenceVerdict = "不适用"
OPEN: EvidenceVerdict = "未判定"


def always(system: System) -> bool:
    """The check is for every system."""
    return True


def for_ot(system: System) -> bool:
    """The check is for systems with the industrial extension."""
    return "ics" in system.extensions


@dataclass(frozen=True, slots=True)
class CheckInfo:
    """What a check says of itself.

    ``controls`` are unit codes of GB/T 28448 at every grade the check can speak for; ``active`` ones send packets.
    """

    id: str
    title: Text
    controls: tuple[str, ...]
    method: Literal["核查", "测试"]
    valid_days: int
    active: bool = False
    applies: Callable[[System], bool] = always


@dataclass(frozen=True, slots=True)
class Context:
    """All a check may look at. ``hosts`` is what this run's probes found, by address; empty when nothing was sent."""

    store: Store
    register: Register
    settings: Settings
    now: datetime
    config_dir: Path | None = None
    hosts: Mapping[str, Host] = field(default_factory=dict)

    def ago(self, days: float) -> datetime:
        """The moment ``days`` before now."""
        return self.now - timedelta(days=days)

    def hosts_of(self, asset: Asset) -> list[Host]:
        """What was probed of an asset, by address."""
        wanted = (host for host in self.hosts.values() if host.asset == asset.id)
        return sorted(wanted, key=lambda host: host.address)


Check = Callable[[System, Context], Iterable[Evidence]]


@dataclass(frozen=True, slots=True)
class Found:
    """A check as discovered."""

    info: CheckInfo
    run: Check


@cache
def discover() -> dict[str, Found]:
    """Every check of this package by id: a module that has ``INFO`` is one. Its file name is its id."""
    found: dict[str, Found] = {}
    for entry in sorted(pkgutil.iter_modules(checks.__path__), key=lambda item: item.name):
        module: ModuleType = importlib.import_module(f"{checks.__name__}.{entry.name}")
        if isinstance(info := getattr(module, "INFO", None), CheckInfo):
            found[info.id] = Found(info, module.run)
    return found


def choose(names: Iterable[str] | None) -> list[Found]:
    """The named checks, or all of them.

    Raises:
        InputError: there is no check of that name.
    """
    known = discover()
    if names is None:
        return list(known.values())
    for name in names:
        if name not in known:
            raise InputError(f"no check '{name}'", remedy=f"known: {', '.join(known)}")
    return [known[name] for name in sorted(set(names))]


def evidence(
    info: CheckInfo,
    ctx: Context,
    system: System,
    subject: System | Asset,
    verdict: EvidenceVerdict,
    reason: Text,
    record: Any = None,
    *,
    observed_at: datetime | None = None,
    valid_days: int | None = None,
) -> Evidence:
    """Make one piece of evidence. At most one per check and object: newer evidence of the pair replaces older.

    Args:
        record: the raw facts, plain data; kept as canonical JSON (sorted keys), cut at 32 KiB.
        observed_at: when the facts were true; now unless told.
        valid_days: how long it stays valid, where that is shorter than the check's own time.

    Returns:
        Evidence whose ``sha256`` and ``sm3`` are of ``record`` and whose ``id`` is of all of it.
    """
    text = _canonical(record)
    digest = crypto.digest(text.encode())
    facts: dict[str, Any] = {
        "check": info.id,
        "object": subject.id,
        "object_name": subject.name,
        "system": system.id,
        "controls": info.controls,
        "verdict": verdict,
        "reason": reason,
        "observed_at": observed_at or ctx.now,
        "collected_at": ctx.now,
        "valid_until": (observed_at or ctx.now) + timedelta(days=valid_days or info.valid_days),
        "method": info.method,
        "record": text,
        "sha256": digest.sha256,
        "sm3": digest.sm3,
        "tool_version": __version__,
    }
    return Evidence(id=content_id("evidence", orjson.dumps(facts, option=orjson.OPT_SORT_KEYS)), **facts)


def _canonical(record: Any) -> str:
    text = orjson.dumps(record, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS, default=str).decode()
    if len(text.encode()) <= MAX_RECORD:
        return text
    cut = {"cut": True, "begins": text.encode()[: MAX_RECORD // 2].decode(errors="ignore")}
    return orjson.dumps(cut, option=orjson.OPT_SORT_KEYS).decode()


def names(items: Iterable[object], most: int = 5) -> str:
    """A few names for a sentence: ``a, b, c … (+7)``."""
    listed = [str(item) for item in items]
    more = f" … (+{len(listed) - most})" if len(listed) > most else ""
    return ", ".join(listed[:most]) + more
