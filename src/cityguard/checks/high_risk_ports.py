"""High-risk services of the system used from other segments, as traffic shows."""

from __future__ import annotations

from collections.abc import Iterator

from cityguard.checks import events
from cityguard.checks.base import LOG_DAYS, MAX_LISTED, MET, PART, UNMET, CheckInfo, Context, evidence, names
from cityguard.checks.ports import HIGH_RISK
from cityguard.model import Evidence, System, Term, Text

INFO = CheckInfo(
    id="high_risk_ports",
    title=Text("高危端口跨网段访问", "High-risk ports used across segments"),
    controls=("L1-CES1-07", "L2-CES1-12", "L3-CES1-18", "L4-CES1-17"),
    method="测试",
    valid_days=LOG_DAYS,
)
BY = ("source.segment", "destination.ip", "destination.port", "destination.segment", "source.is_registered")


def run(system: System, ctx: Context) -> Iterator[Evidence]:
    """不符合 when an unregistered source uses one from another segment, 部分符合 when a registered one does."""
    where = events.both(events.to_system(system), Term("destination.port", "in", sorted(HIGH_RISK)), events.answered())
    rows = events.groups(ctx, where, BY, dataset="flow")
    crossing = [row for row in rows if row["source.segment"] != row["destination.segment"]]
    if not rows and not events.has_traffic(ctx, system):
        yield events.no_traffic(INFO, ctx, system)
        return
    record = {"days": events.TRAFFIC_DAYS, "crossing": crossing[:MAX_LISTED], "within": len(rows) - len(crossing)}
    if not crossing:
        reason = Text("未见跨网段的高危端口访问", "no high-risk port was used across segments")
        yield evidence(INFO, ctx, system, system, MET, reason, record)
        return
    strange = [row for row in crossing if not row["source.is_registered"]]
    listed = names(
        f"{row['source.segment'] or '?'} -> {row['destination.ip']}:{HIGH_RISK[row['destination.port']]}"
        for row in (strange or crossing)
    )
    reason = Text(f"高危端口被跨网段访问：{listed}", f"high-risk ports used across segments: {listed}")
    yield evidence(INFO, ctx, system, system, UNMET if strange else PART, reason, record)
