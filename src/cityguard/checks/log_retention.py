"""Logs kept for at least six months: as configured, and as really found in the store (网络安全法; L3-SMC1-10)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from cityguard.checks import events
from cityguard.checks.base import LOG_DAYS, MET, OPEN, PART, UNMET, CheckInfo, Context, evidence
from cityguard.config import MIN_RETENTION_DAYS
from cityguard.model import Evidence, Node, Query, System, Text

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


def run(system: System, ctx: Context) -> Iterator[Evidence]:
    """符合 when 180 days are configured and found. A younger collection is judged on what is configured: 部分符合."""
    where = events.written_by(ctx.register.assets_of(system))
    oldest = _oldest(ctx, where) if where is not None else None
    configured = ctx.settings.retention_days
    record = {"configured_days": configured, "oldest": oldest, "required_days": MIN_RETENTION_DAYS}
    if oldest is None:
        reason = Text("没有采集到该系统自身的日志", "no log written by the system itself was collected")
        yield evidence(INFO, ctx, system, system, OPEN, reason, record)
        return
    days = (ctx.now - oldest).days
    if configured < MIN_RETENTION_DAYS:
        reason = Text(f"留存配置仅 {configured} 天", f"only {configured} days are configured")
        yield evidence(INFO, ctx, system, system, UNMET, reason, record)
    elif days >= MIN_RETENTION_DAYS:
        reason = Text(f"配置 {configured} 天，已有 {days} 天日志", f"{configured} days configured, {days} days found")
        yield evidence(INFO, ctx, system, system, MET, reason, record)
    else:
        reason = Text(
            f"配置 {configured} 天，但目前只有 {days} 天日志，需确认此前的日志",
            f"{configured} days configured, but only {days} days found so far; where are the earlier logs?",
        )
        yield evidence(INFO, ctx, system, system, PART, reason, record)


def _oldest(ctx: Context, where: Node) -> datetime | None:
    found = ctx.store.events.query(Query(where=where, end=ctx.now, limit=1, newest_first=False))
    return found["@timestamp"][0] if found.height else None
