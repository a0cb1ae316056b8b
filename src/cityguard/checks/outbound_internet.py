"""Connections the system's hosts begin to the Internet (违规外联): each needs somebody's approval."""

from __future__ import annotations

from collections.abc import Iterator

from cityguard.checks import events
from cityguard.checks.base import LOG_DAYS, MAX_LISTED, MET, PART, CheckInfo, Context, evidence, names
from cityguard.model import Evidence, Not, System, Term, Text

INFO = CheckInfo(
    id="outbound_internet",
    title=Text("违规外联", "Connections begun to the Internet"),
    controls=("L3-ABS1-03", "L4-ABS1-03", "L3-MMS1-24", "L4-MMS1-25"),
    method="测试",
    valid_days=LOG_DAYS,
)


def run(system: System, ctx: Context) -> Iterator[Evidence]:
    """部分符合 when there are any: traffic does not show which of them are approved."""
    where = events.both(events.from_system(system), Not(Term("destination.segment", "exists", True)), events.answered())
    rows = events.groups(ctx, where, ["source.asset", "destination.ip", "destination.port"], dataset="flow", top=10_000)
    outside = [row for row in rows if events.is_outside(row["destination.ip"], ctx)]
    if not outside and not events.has_traffic(ctx, system):
        yield events.no_traffic(INFO, ctx, system)
        return
    record = {"days": events.TRAFFIC_DAYS, "connections": outside[:MAX_LISTED], "number": len(outside)}
    if not outside:
        reason = Text("未见系统主机主动外联互联网", "no host of the system began a connection to the Internet")
        yield evidence(INFO, ctx, system, system, MET, reason, record)
        return
    listed = names(f"{row['source.asset']} -> {row['destination.ip']}:{row['destination.port']}" for row in outside)
    reason = Text(
        f"主动外联互联网，需核对审批：{listed}", f"connections to the Internet, approval to be shown: {listed}"
    )
    yield evidence(INFO, ctx, system, system, PART, reason, record)
