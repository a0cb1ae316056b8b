"""Does every asset send its logs? One piece of evidence per asset, by what it wrote in the last day and week."""

from __future__ import annotations

from collections.abc import Iterator

from cityguard.checks import events
from cityguard.checks.base import LOG_DAYS, MET, PART, UNMET, CheckInfo, Context, evidence
from cityguard.model import Evidence, System, Text

INFO = CheckInfo(
    id="log_coverage",
    title=Text("日志采集覆盖", "Log coverage"),
    controls=(
        "L2-CES1-08",
        "L3-CES1-12",
        "L4-CES1-12",
        "L3-SMC1-10",
        "L4-SMC1-10",
        "L2-ABS1-08",
        "L3-ABS1-16",
        "L4-ABS1-18",
    ),
    method="核查",
    valid_days=LOG_DAYS,
)
FIELD_DEVICES = frozenset(("plc", "rtu", "ied", "dcs", "controller", "sensor", "camera", "terminal", "printer"))


def run(system: System, ctx: Context) -> Iterator[Evidence]:
    """符合 when the asset wrote in the last 24 hours, 部分符合 in the last week, 不符合 not at all.

    Field devices and ranges of terminals keep no logs of their own and are left out.
    """
    assets = [
        asset
        for asset in ctx.register.assets_of(system)
        if asset.kind.lower() not in FIELD_DEVICES and any("/" not in text for text in asset.addresses)
    ]
    day, week = events.writers(ctx, assets, 1), events.writers(ctx, assets, 7)
    for asset in assets:
        record = {"last_24h": day.of(asset), "last_7d": week.of(asset), "addresses": asset.addresses}
        if record["last_24h"]:
            reason = Text(f"24 小时内收到 {day.of(asset)} 条日志", f"{day.of(asset)} events in the last 24 hours")
            yield evidence(INFO, ctx, system, asset, MET, reason, record)
        elif record["last_7d"]:
            reason = Text("7 天内有日志，24 小时内没有", "events in the last 7 days, none in the last 24 hours")
            yield evidence(INFO, ctx, system, asset, PART, reason, record)
        else:
            reason = Text("7 天内未收到该资产的日志", "no event of the asset in the last 7 days")
            yield evidence(INFO, ctx, system, asset, UNMET, reason, record)
