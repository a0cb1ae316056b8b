"""Is the industrial zone apart? Connections that begin outside it and are answered inside it (GB/T 22239 x.5)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from cityguard.checks import events
from cityguard.checks.base import (
    LOG_DAYS,
    MAX_LISTED,
    MET,
    OPEN,
    PART,
    UNMET,
    CheckInfo,
    Context,
    evidence,
    for_ot,
    names,
)  # fmt: skip
from cityguard.model import Evidence, Node, Not, System, Term, Text

INFO = CheckInfo(
    id="ot_isolation",
    title=Text("工控区与其他区域隔离", "Industrial zone kept apart"),
    controls=("L1-CNS5-01", "L2-CNS5-01", "L3-CNS5-01", "L4-CNS5-01"),
    method="测试",
    valid_days=LOG_DAYS,
    applies=for_ot,
)
BY = ("source.ip", "source.segment", "destination.ip", "destination.port")


def run(system: System, ctx: Context) -> Iterator[Evidence]:
    """不符合 when an address outside every segment or an unregistered one gets in, 部分符合 for registered ones."""
    segments, rows = crossings(ctx, system)
    if rows is None:
        reason = Text("没有工控网段的流量记录", "no traffic of the industrial segments was collected")
        yield evidence(INFO, ctx, system, system, OPEN, reason, {"segments": segments})
        return
    record = {"segments": segments, "crossings": rows[:MAX_LISTED], "number": len(rows)}
    if not rows:
        reason = Text("未见由外部发起进入工控区的连接", "no connection from outside into the industrial zone")
        yield evidence(INFO, ctx, system, system, MET, reason, record)
        return
    strange = [row for row in rows if ctx.register.find_asset(row["source.ip"] or "") is None]
    listed = names(
        f"{row['source.ip']} -> {row['destination.ip']}:{row['destination.port']}" for row in (strange or rows)
    )
    reason = Text(f"外部进入工控区的连接：{listed}", f"connections into the industrial zone: {listed}")
    yield evidence(INFO, ctx, system, system, UNMET if strange else PART, reason, record)


def crossings(
    ctx: Context, system: System, *, only: Node | None = None, by: Sequence[str] = BY
) -> tuple[list[str], list[dict[str, Any]] | None]:
    """The system's OT segments, and answered flows into them from any other place; None without any traffic there.

    Args:
        only: of these flows alone. The store is asked for them, so that no busy pair hides a rare one.
        by: columns to count by.
    """
    every = sorted(segment.id for segment in ctx.register.segments if segment.ot)
    own = sorted(
        {
            segment.id
            for asset in ctx.register.assets_of(system)
            for text in asset.addresses
            if (segment := ctx.register.segment_of(text.split("/")[0])) is not None and segment.ot
        }
    )
    inside = Term("destination.segment", "in", own)
    if not own or not events.count(ctx, inside, dataset="flow"):
        return own, None
    where = events.both(
        inside, Not(Term("source.segment", "in", every)), events.answered(), *([] if only is None else [only])
    )
    return own, events.groups(ctx, where, by, dataset="flow")
