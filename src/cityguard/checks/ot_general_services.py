"""Mail, web, remote login and file transfer across the industrial border: none may cross (L3-ABS5-01)."""

from __future__ import annotations

from collections.abc import Iterator

from cityguard.checks.base import LOG_DAYS, MAX_LISTED, MET, OPEN, UNMET, CheckInfo, Context, evidence, for_ot, names
from cityguard.checks.ot_isolation import crossings
from cityguard.checks.ports import GENERAL
from cityguard.model import Evidence, System, Text

INFO = CheckInfo(
    id="ot_general_services",
    title=Text("通用服务穿越工控边界", "General services across the industrial border"),
    controls=("L1-ABS5-01", "L2-ABS5-01", "L3-ABS5-01", "L4-ABS5-01"),
    method="测试",
    valid_days=LOG_DAYS,
    applies=for_ot,
)


def run(system: System, ctx: Context) -> Iterator[Evidence]:
    """不符合 when one crosses, 符合 when traffic was seen and none does."""
    segments, rows = crossings(ctx, system)
    if rows is None:
        reason = Text("没有工控网段的流量记录", "no traffic of the industrial segments was collected")
        yield evidence(INFO, ctx, system, system, OPEN, reason, {"segments": segments})
        return
    general = [row for row in rows if row["destination.port"] in GENERAL]
    record = {"segments": segments, "crossings": general[:MAX_LISTED], "number": len(general)}
    if not general:
        reason = Text("未见通用服务穿越工控边界", "no general service crossed the industrial border")
        yield evidence(INFO, ctx, system, system, MET, reason, record)
        return
    listed = names(
        f"{row['source.ip']} -> {row['destination.ip']} {GENERAL[row['destination.port']]}" for row in general
    )
    reason = Text(f"通用服务穿越工控边界：{listed}", f"general services crossed the border: {listed}")
    yield evidence(INFO, ctx, system, system, UNMET, reason, record)
