"""Host firewall: denies by default, and no rule lets everything in."""

from __future__ import annotations

from collections.abc import Iterator

from cityguard.checks import firewall, linux
from cityguard.checks.base import CONFIG_DAYS, CheckInfo, Context, names
from cityguard.checks.linux import Collected, Point
from cityguard.model import Evidence, System, Text

INFO = CheckInfo(
    id="host_firewall",
    title=Text("主机防火墙默认拒绝", "Host firewall denies by default"),
    controls=("L1-CES1-07", "L2-CES1-12", "L3-CES1-18", "L4-CES1-17"),
    method="核查",
    valid_days=CONFIG_DAYS,
)


def run(system: System, ctx: Context) -> Iterator[Evidence]:
    """From ``iptables -S`` or ``nft list ruleset``."""
    return linux.per_host(INFO, system, ctx, look)


def look(text: Collected) -> list[Point]:
    """The points of one host; none when no listing says anything. One closed chain is enough: all must be passed."""
    bases = firewall.bases(text)
    if not bases:
        return []
    if any(base.is_closed for base in bases):
        return [Point("default_deny", "yes", True), Point("any_any", "0", True)]
    unsure = any(base.unsure for base in bases)
    wide = [rule.text for base in bases for rule in base.wide]
    denies = any(base.denies and not base.wide for base in bases)
    return [
        Point("default_deny", "yes" if denies else "no", None if unsure else False),
        Point("any_any", names(wide, 3) or "0", False if wide else None if unsure else True),
    ]
