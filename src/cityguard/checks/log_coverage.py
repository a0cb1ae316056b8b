"""Does every asset send its logs? One piece of evidence per asset, by what it wrote in the last day and week."""

from __future__ import annotations

from collections.abc import Iterator

from cityguard.checks import events
from cityguard.checks.base import LOG_DAYS, MET, OPEN, PART, CheckInfo, Context, evidence
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


def run(system: System, ctx: Context) -> Iterator[Evidence]:
    """符合 when the asset wrote in the last 24 hours, 部分符合 in the last week, 未判定 when nothing came.

    That nothing came says only that we did not receive it: the asset may well keep its logs elsewhere.
    """
    assets = ctx.register.assets_of(system)
    day, week = events.written(ctx, assets, days=1), events.written(ctx, assets, days=7)
    for asset in assets:
        today, lately = events.total(day.get(asset.id, ())), events.total(week.get(asset.id, ()))
        record = {"last_24h": today, "last_7d": lately, "addresses": asset.addresses}
        if today:
            reason = Text(f"24 小时内收到 {today} 条日志", f"{today} events in the last 24 hours")
            yield evidence(INFO, ctx, system, asset, MET, reason, record)
        elif lately:
            reason = Text("7 天内有日志，24 小时内没有", "events in the last 7 days, none in the last 24 hours")
            yield evidence(INFO, ctx, system, asset, PART, reason, record)
        else:
            reason = Text(
                "7 天内未收到该资产的日志，需核实其是否另有留存",
                "no event of the asset was received in the last 7 days; are its logs kept elsewhere?",
            )
            yield evidence(INFO, ctx, system, asset, OPEN, reason, record)
