"""Addresses that speak in the system's segments and that nobody registered."""

from __future__ import annotations

from collections.abc import Iterator

from cityguard.checks import events
from cityguard.checks.base import LOG_DAYS, MAX_LISTED, MET, OPEN, PART, CheckInfo, Context, evidence, names
from cityguard.model import Evidence, System, Term, Text

INFO = CheckInfo(
    id="unregistered_assets",
    title=Text("未登记资产", "Unregistered assets"),
    controls=("L2-MMS1-04", "L3-MMS1-04", "L4-MMS1-05", "L3-ABS1-02", "L4-ABS1-02"),
    method="测试",
    valid_days=LOG_DAYS,
)


def run(system: System, ctx: Context) -> Iterator[Evidence]:
    """部分符合 when unregistered addresses began traffic there: some of them may only be missing in the register.

    未判定 when none did, yet nothing at all was seen of one of the segments.
    """
    segments = sorted(
        {
            segment.id
            for asset in ctx.register.assets_of(system)
            for text in asset.addresses
            if (segment := ctx.register.segment_of(text.split("/")[0])) is not None
        }
    )
    inside = Term("source.segment", "in", segments)
    if not segments or not events.count(ctx, inside, dataset="flow"):
        reason = Text("系统所在网段没有流量记录", "no traffic was collected in the system's segments")
        yield evidence(INFO, ctx, system, system, OPEN, reason, {"segments": segments})
        return
    unknown = events.both(inside, Term("source.is_registered", "eq", False))
    rows = events.groups(ctx, unknown, ["source.ip", "source.segment"], dataset="flow")
    record = {"segments": segments, "unregistered": rows[:MAX_LISTED], "number": len(rows)}
    seen = {row["source.segment"] for row in events.groups(ctx, inside, ["source.segment"], dataset="flow")}
    if not rows and (silent := [segment for segment in segments if segment not in seen]):
        reason = Text(
            f"部分网段没有流量记录：{names(silent)}；其余未见未登记地址",
            f"no traffic was collected in some segments: {names(silent)}; no unregistered address in the others",
        )
        yield evidence(INFO, ctx, system, system, OPEN, reason, {**record, "silent": silent})
        return
    if not rows:
        reason = Text("系统所在网段未见未登记地址", "no unregistered address in the system's segments")
        yield evidence(INFO, ctx, system, system, MET, reason, record)
        return
    listed = names(row["source.ip"] for row in rows)
    reason = Text(f"发现 {len(rows)} 个未登记地址：{listed}", f"{len(rows)} unregistered addresses: {listed}")
    yield evidence(INFO, ctx, system, system, PART, reason, record)
