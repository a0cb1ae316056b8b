"""What the border firewall does for the system: does it deny, and does it let anything from anywhere in?"""

from __future__ import annotations

from collections.abc import Iterator

from cityguard.checks import events
from cityguard.checks.base import LOG_DAYS, MAX_LISTED, MET, OPEN, PART, UNMET, CheckInfo, Context, evidence, names
from cityguard.model import Evidence, System, Text

INFO = CheckInfo(
    id="firewall_policy",
    title=Text("边界访问控制策略", "Border access policy"),
    controls=("L1-ABS1-02", "L2-ABS1-02", "L3-ABS1-05", "L4-ABS1-07"),
    method="测试",
    valid_days=LOG_DAYS,
)
WIDE = 20  # different ports one rule lets through to one system
DENIED = frozenset(("deny", "denied", "drop", "dropped", "block", "blocked", "reject", "rejected", "discard"))


def run(system: System, ctx: Context) -> Iterator[Evidence]:
    """符合 when denials are seen and no rule is wide open; 不符合 when one is and nothing is ever denied."""
    rows = events.groups(
        ctx, events.to_system(system), ["event.action", "event.outcome", "rule.name"], dataset="firewall"
    )
    if not rows:
        reason = Text("最近 7 天没有涉及该系统的防火墙日志", "no firewall log about the system in the last 7 days")
        yield evidence(INFO, ctx, system, system, OPEN, reason, {"records": 0})
        return
    denied = sum(row["count"] for row in rows if _is_denied(row["event.action"], row["event.outcome"]))
    wide = _wide(ctx, system)
    record = {"records": sum(row["count"] for row in rows), "denied": denied, "wide": wide[:MAX_LISTED]}
    verdict = MET if denied and not wide else UNMET if wide and not denied else PART
    if wide:
        listed = names(f"{name} ({ports} ports)" for name, ports in wide)
        reason = Text(f"策略过宽：{listed}；拒绝 {denied} 次", f"rules wide open: {listed}; {denied} denials")
    elif denied:
        reason = Text(f"见到 {denied} 次拒绝，未见过宽策略", f"{denied} denials, no rule wide open")
    else:
        reason = Text("未见任何拒绝记录，需核对默认策略", "no denial was logged; look at the default policy")
    yield evidence(INFO, ctx, system, system, verdict, reason, record)


def _is_denied(action: str | None, outcome: str | None) -> bool:
    return (action or "").lower() in DENIED or outcome == "failure"


def _wide(ctx: Context, system: System) -> list[tuple[str, int]]:
    rows = events.groups(
        ctx,
        events.to_system(system),
        ["rule.name", "destination.port", "event.action", "event.outcome"],
        dataset="firewall",
        top=10_000,
    )
    ports: dict[str, set[int]] = {}
    for row in rows:
        if row["rule.name"] and row["destination.port"] and not _is_denied(row["event.action"], row["event.outcome"]):
            ports.setdefault(row["rule.name"], set()).add(row["destination.port"])
    return sorted((name, len(found)) for name, found in ports.items() if len(found) >= WIDE)
