"""Facts of the 技术检测证据清单: what checks found on one system, with the hashes of the records behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from cityguard import __version__
from cityguard.compliance.verdicts import tally
from cityguard.ids import content_id
from cityguard.model import Department, Evidence, System, Text
from cityguard.report.evidence import EvidenceRow, ObjectRow, names, numbered, objects


@dataclass(frozen=True, slots=True)
class ScanFacts:
    """Everything the 技术检测证据清单 may say. Fields are documented in ``docs/reports.md``."""

    id: str
    number: str
    made_at: datetime
    made_on: str
    timezone: str
    city: str
    tool_version: str
    system_id: str
    system_name: str
    department_name: str
    window_start: datetime | None
    window_end: datetime | None
    checks: tuple[Text, ...]
    objects: tuple[ObjectRow, ...]
    counts: dict[str, int]
    findings: tuple[EvidenceRow, ...]
    evidence: tuple[EvidenceRow, ...]
    evidence_count: int


def scan_facts(
    system: System,
    department: Department | None,
    evidence: Sequence[Evidence],
    *,
    now: datetime,
    city: str = "",
    timezone: str = "Asia/Shanghai",
) -> ScanFacts:
    """Gather what the 技术检测证据清单 says. Pure: the same arguments give the same facts."""
    zone = ZoneInfo(timezone)
    rows = numbered([one for one in evidence if one.system == system.id], now, zone)
    on = now.astimezone(zone)
    name = content_id("cg-scan-report", "\x1f".join((system.id, on.isoformat(), *(row.id for row in rows))).encode())
    return ScanFacts(
        id=name,
        number=f"CG-SC-{on:%Y%m%d}-{name[:8].upper()}",
        made_at=now,
        made_on=f"{on:%Y%m%d}",
        timezone=timezone,
        city=city,
        tool_version=f"cityguard {__version__}",
        system_id=system.id,
        system_name=system.name,
        department_name=department.name if department else system.department,
        window_start=min((row.observed_at for row in rows), default=None),
        window_end=max((row.collected_at for row in rows), default=None),
        checks=names(rows),
        objects=objects(rows),
        counts=tally(row.verdict for row in rows),
        findings=tuple(row for row in rows if row.verdict in ("不符合", "部分符合")),
        evidence=tuple(rows),
        evidence_count=len(rows),
    )
