"""Logs kept for at least six months: as configured, and as really found in the store (网络安全法; L3-SMC1-10)."""

from __future__ import annotations

from collections.abc import Iterator

from cityguard.checks import events
from cityguard.checks.base import LOG_DAYS, MET, OPEN, PART, UNMET, CheckInfo, Context, evidence
from cityguard.config import MIN_RETENTION_DAYS
from cityguard.model import Evidence, EvidenceVerdict, System, Text

INFO = CheckInfo(
    id="log_retention",
    title=Text("日志留存不少于六个月", "Logs kept at least six months"),
    controls=(
        *("L3-SMC1-10", "L4-SMC1-10", "L2-ABS1-10", "L3-ABS1-18", "L4-ABS1-20"),
        *("L2-CES1-10", "L3-CES1-14", "L4-CES1-14"),
    ),
    method="核查",
    valid_days=LOG_DAYS,
)


DAY_S = 86_400
SPARE_DAYS = 9  # of 180 without a log: maintenance, a quiet day
MARGIN_DAYS = 7  # looked at before the 180


def run(system: System, ctx: Context) -> Iterator[Evidence]:
    """By asset: 符合 when 180 days are configured and logs of (nearly) every one of them are there.

    部分符合 when days are missing or the collection is younger; 未判定 when the asset sent us nothing at all.
    """
    assets = ctx.register.assets_of(system)
    written = events.written(ctx, assets, days=MIN_RETENTION_DAYS + MARGIN_DAYS, interval_s=DAY_S)
    for asset in assets:
        days = sorted({(ctx.now - row["bucket"]).days for row in written.get(asset.id, ())})
        yield evidence(INFO, ctx, system, asset, *_judge(days, ctx.settings.retention_days))


def _judge(days: list[int], configured: int) -> tuple[EvidenceVerdict, Text, dict[str, int | None]]:
    """Judge by the ages, in days, of the days there are logs of."""
    covered, oldest = sum(day < MIN_RETENTION_DAYS for day in days), max(days, default=None)
    record = {
        "configured_days": configured,
        "required_days": MIN_RETENTION_DAYS,
        "covered_days": covered,
        "oldest_days": oldest,
    }
    if oldest is None:
        return OPEN, Text("没有采集到该资产自身的日志", "no log written by the asset itself was collected"), record
    if configured < MIN_RETENTION_DAYS:
        return UNMET, Text(f"留存配置仅 {configured} 天", f"only {configured} days are configured"), record
    if oldest < MIN_RETENTION_DAYS:
        reason = Text(
            f"配置 {configured} 天，但目前最早的日志只有 {oldest} 天，需确认此前的日志",
            f"{configured} days configured, but only {oldest} days found so far; where are the earlier logs?",
        )
        return PART, reason, record
    if covered < MIN_RETENTION_DAYS - SPARE_DAYS:
        reason = Text(
            f"近 {MIN_RETENTION_DAYS} 天中仅 {covered} 天有日志",
            f"logs of only {covered} of the last {MIN_RETENTION_DAYS} days",
        )
        return PART, reason, record
    reason = Text(
        f"配置 {configured} 天，近 {MIN_RETENTION_DAYS} 天中 {covered} 天有日志",
        f"{configured} days configured, logs of {covered} of the last {MIN_RETENTION_DAYS} days",
    )
    return MET, reason, record
