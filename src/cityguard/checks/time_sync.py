"""Do the clocks agree? The share of an asset's events whose time was far from ours when they came in."""

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
    """By asset: 符合 below 1 % of its events with clock_skew, 不符合 above 10 %."""
    assets = ctx.register.assets_of(system)
    written = events.written(ctx, assets, days=LOG_DAYS)
    flagged = events.written(ctx, assets, days=LOG_DAYS, where=Term("event.flags", "eq", "clock_skew"))
    for asset in assets:
        total, skewed = events.total(written.get(asset.id, ())), events.total(flagged.get(asset.id, ()))
        if not total:
            reason = Text("最近 7 天没有该资产自身的日志", "no log of the asset itself in the last 7 days")
            yield evidence(INFO, ctx, system, asset, OPEN, reason, {"events": 0})
            continue
        share = skewed / total
        verdict = MET if share < GOOD else PART if share <= POOR else UNMET
        reason = Text(
            f"{total} 条日志中 {share:.1%} 时钟偏差过大", f"{share:.1%} of {total} events came with a wrong clock"
        )
        yield evidence(INFO, ctx, system, asset, verdict, reason, {"events": total, "skewed": skewed})
