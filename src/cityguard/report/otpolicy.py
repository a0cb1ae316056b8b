"""Facts of the 工控策略报告: violations, lines that end or are not used, stations unknown or not heard."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from cityguard import __version__
from cityguard.ids import content_id
from cityguard.model import Text


@dataclass(frozen=True, slots=True)
class OtFacts:
    """Everything the 工控策略报告 may say. Fields are documented in ``docs/otpolicy.md``."""

    id: str
    number: str
    made_at: datetime
    made_on: str
    timezone: str
    city: str
    tool_version: str
    system_id: str
    window_start: datetime
    window_end: datetime
    events: int
    counts: dict[str, int]
    enforced: tuple[Text, ...]
    violations: tuple[Mapping[str, Any], ...]
    expiring: tuple[Mapping[str, Any], ...]
    unused: tuple[Mapping[str, Any], ...]
    unknown: tuple[Mapping[str, Any], ...]
    silent: tuple[Mapping[str, Any], ...]


def ot_facts(
    tables: Mapping[str, Any],
    start: datetime,
    end: datetime,
    events: int,
    *,
    now: datetime,
    city: str = "",
    timezone: str = "Asia/Shanghai",
) -> OtFacts:
    """Gather what the 工控策略报告 says, from rows of words. Pure: the same arguments give the same facts."""
    on = now.astimezone(ZoneInfo(timezone))
    counts = {name: len(tables[name]) for name in ("violations", "expiring", "unused", "unknown", "silent")}
    told = "\x1f".join((on.isoformat(), start.isoformat(), end.isoformat(), str(events), str(counts)))
    name = content_id("cg-ot-report", told.encode())
    return OtFacts(
        id=name,
        number=f"CG-OT-{on:%Y%m%d}-{name[:8].upper()}",
        made_at=now,
        made_on=f"{on:%Y%m%d}",
        timezone=timezone,
        city=city,
        tool_version=f"cityguard {__version__}",
        system_id="ot",
        window_start=start,
        window_end=end,
        events=events,
        counts=counts | {"lines": int(tables["lines"]), "stations": int(tables["stations"])},
        enforced=tuple(tables["enforced"]),
        violations=tuple(tables["violations"]),
        expiring=tuple(tables["expiring"]),
        unused=tuple(tables["unused"]),
        unknown=tuple(tables["unknown"]),
        silent=tuple(tables["silent"]),
    )
