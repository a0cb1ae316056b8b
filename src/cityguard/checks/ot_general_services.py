"""Mail, web, remote login and file transfer across the industrial border: none may cross (L3-ABS5-01)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cityguard.checks.base import LOG_DAYS, MAX_LISTED, MET, OPEN, UNMET, CheckInfo, Context, evidence, for_ot, names
from cityguard.checks.ot_isolation import BY, crossings
from cityguard.checks.ports import GENERAL, GENERAL_PROTOCOLS
from cityguard.model import Evidence, Or, System, Term, Text

INFO = CheckInfo(
    id="ot_general_services",
    title=Text("通用服务穿越工控边界", "General services across the industrial border"),
    controls=("L1-ABS5-01", "L2-ABS5-01", "L3-ABS5-01", "L4-ABS5-01"),
    method="测试",
    valid_days=LOG_DAYS,
    applies=for_ot,
)
ONLY = Or((
    Term("destination.port", "in", sorted(GENERAL)),
    Term("network.protocol", "in", GENERAL_PROTOCOLS),
))  # fmt: skip


def run(system: System, ctx: Context) -> Iterator[Evidence]:
    """不符合 when one crosses, by its port or by what was spoken; 符合 when traffic was seen and none does."""
    segments, general = crossings(ctx, system, only=ONLY, by=(*BY, "network.protocol"))
    if general is None:
        reason = Text("没有工控网段的流量记录", "no traffic of the industrial segments was collected")
        yield evidence(INFO, ctx, system, system, OPEN, reason, {"segments": segments})
        return
    record = {"segments": segments, "crossings": general[:MAX_LISTED], "number": len(general)}
    if not general:
        reason = Text("未见通用服务穿越工控边界", "no general service crossed the industrial border")
        yield evidence(INFO, ctx, system, system, MET, reason, record)
        return
    listed = names(f"{row['source.ip']} -> {row['destination.ip']} {_service(row)}" for row in general)
    reason = Text(f"通用服务穿越工控边界：{listed}", f"general services crossed the border: {listed}")
    yield evidence(INFO, ctx, system, system, UNMET, reason, record)


def _service(row: dict[str, Any]) -> str:
    port, spoken = row["destination.port"], row["network.protocol"]
    return f"{spoken}:{port}" if spoken in GENERAL_PROTOCOLS else GENERAL[port]
