"""What the Internet reaches: services of the system that answered addresses outside the city's networks."""

from __future__ import annotations

from collections.abc import Iterator

from cityguard.checks import events
from cityguard.checks.base import LOG_DAYS, MAX_LISTED, MET, PART, UNMET, CheckInfo, Context, evidence, names
from cityguard.checks.ports import ADMIN, HIGH_RISK
from cityguard.model import Evidence, Not, System, Term, Text

INFO = CheckInfo(
    id="internet_exposure",
    title=Text("互联网暴露面", "Exposure to the Internet"),
    controls=(
        *("L1-ABS1-01", "L2-ABS1-01", "L3-ABS1-01", "L4-ABS1-01"),
        *("L2-CES1-13", "L3-CES1-19", "L4-CES1-18"),
    ),
    method="测试",
    valid_days=LOG_DAYS,
)


def run(system: System, ctx: Context) -> Iterator[Evidence]:
    """不符合 for administration or high-risk ports reached from outside, 部分符合 for other unregistered ports."""
    where = events.both(events.to_system(system), Not(Term("source.segment", "exists", True)), events.answered())
    rows = events.groups(ctx, where, ["destination.asset", "destination.port", "source.ip"], dataset="flow", top=10_000)
    outside = [row for row in rows if events.is_outside(row["source.ip"], ctx)]
    if not outside and not events.has_traffic(ctx, system):
        yield events.no_traffic(INFO, ctx, system)
        return
    reached: dict[tuple[str, int], int] = {}
    for row in outside:
        if row["destination.port"] is not None:
            key = row["destination.asset"], row["destination.port"]
            reached[key] = reached.get(key, 0) + 1
    allowed = {(asset.id, int(port.split("/")[0])) for asset in ctx.register.assets_of(system) for port in asset.ports}
    grave = [key for key in reached if key[1] in HIGH_RISK or key[1] in ADMIN]
    extra = [key for key in reached if key not in allowed and key not in grave]
    record = {"reached": [[asset, port, sources] for (asset, port), sources in sorted(reached.items())][:MAX_LISTED]}
    if grave or extra:
        listed = names(f"{asset}:{port}" for asset, port in sorted(grave or extra))
        what = (
            Text("管理或高危端口", "administration or high-risk ports")
            if grave
            else Text("未登记端口", "unregistered ports")
        )
        reason = Text(f"互联网可达{what.zh}：{listed}", f"{what.en} reached from the Internet: {listed}")
    else:
        reason = Text(
            f"互联网仅到达 {len(reached)} 个登记端口", f"the Internet reached {len(reached)} ports, all registered"
        )
    yield evidence(INFO, ctx, system, system, UNMET if grave else PART if extra else MET, reason, record)
