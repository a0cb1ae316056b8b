"""Was the system assessed in time? Grade 3 and above every year, grade 2 every two years."""

from __future__ import annotations

from collections.abc import Iterator

from cityguard.checks.base import CONFIG_DAYS, MET, NOT_APPLICABLE, OPEN, UNMET, CheckInfo, Context, evidence
from cityguard.model import Evidence, System, Text

INFO = CheckInfo(
    id="assessment_due",
    title=Text("按期等级测评", "Assessed in time"),
    controls=("L2-CMS1-21", "L3-CMS1-29", "L4-CMS1-30"),
    method="核查",
    valid_days=CONFIG_DAYS,
)
CYCLE_DAYS = {2: 730, 3: 366, 4: 366}  # 公网安〔2025〕1846号: yearly from grade 3; two years at grade 2 is practice


def run(system: System, ctx: Context) -> Iterator[Evidence]:
    """By the register's date of the last assessment; without one nothing is said."""
    cycle = CYCLE_DAYS.get(system.grade)
    record = {"grade": system.grade, "last_assessed": system.last_assessed, "cycle_days": cycle}
    if cycle is None:
        reason = Text("二级以下无测评周期要求", "no cycle below grade 2")
        yield evidence(INFO, ctx, system, system, NOT_APPLICABLE, reason, record)
        return
    if system.last_assessed is None:
        reason = Text("台账未登记上次测评日期", "the register has no date of the last assessment")
        yield evidence(INFO, ctx, system, system, OPEN, reason, record)
        return
    age = (ctx.now.astimezone(ctx.settings.zone).date() - system.last_assessed).days
    reason = Text(f"上次测评距今 {age} 天，周期 {cycle} 天", f"assessed {age} days ago, cycle {cycle} days")
    yield evidence(INFO, ctx, system, system, MET if age <= cycle else UNMET, reason, record)
