"""Do the clocks agree? The share of the system's events whose time was far from ours when they came in."""

from __future__ import annotations

from collections.abc import Iterator

from cityguard.checks import events
from cityguard.checks.base import LOG_DAYS, MET, OPEN, PART, UNMET, CheckInfo, Context, evidence
from cityguard.model import Evidence, System, Term, Text

INFO = CheckInfo(
    id="time_sync",
    title=Text("时钟同步", "Clock synchronisation"),
    controls=("L4-SMC1-13", "L2-CES1-09", "L3-CES1-13", "L4-CES1-13"),
    method="核查",
    valid_days=LOG_DAYS,
)
GOOD, POOR = 0.01, 0.10


def run(system: System, ctx: Context) -> Iterator[Evidence]:
    """符合 below 1 % of events with clock_skew, 不符合 above 10 %."""
    where = events.written_by(ctx.register.assets_of(system))
    total = events.count(ctx, where, dataset=None) if where is not None else 0
    if where is None or not total:
        reason = Text("最近 7 天没有该系统自身的日志", "no log of the system itself in the last 7 days")
        yield evidence(INFO, ctx, system, system, OPEN, reason, {"events": 0})
        return
    skewed = events.count(ctx, events.both(where, Term("event.flags", "eq", "clock_skew")), dataset=None)
    share = skewed / total
    verdict = MET if share < GOOD else PART if share <= POOR else UNMET
    reason = Text(
        f"{total} 条日志中 {share:.1%} 时钟偏差过大", f"{share:.1%} of {total} events came with a wrong clock"
    )
    yield evidence(INFO, ctx, system, system, verdict, reason, {"events": total, "skewed": skewed})
