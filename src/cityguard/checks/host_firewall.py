"""Host firewall: denies by default, and no rule lets everything in."""

from __future__ import annotations

import re
from collections.abc import Iterator

from cityguard.checks import linux
from cityguard.checks.base import CONFIG_DAYS, CheckInfo, Context
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
    """The points of one host; none when neither listing was collected."""
    tables, nft = text.lines("iptables -S", "iptables-save"), text.lines("nft list ruleset")
    if not text.has("iptables -S", "iptables-save", "nft list ruleset"):
        return []
    chain = [line for line in nft if re.search(r"hook input\b", line)]
    last = [line for line in tables if line.startswith("-A INPUT")][-1:]
    denies = (
        any(re.match(r"(-P INPUT|:INPUT) (DROP|REJECT)", line) for line in tables)
        or any(re.match(r"-A INPUT -j (DROP|REJECT)", line) for line in last)
        or (bool(chain) and all("policy drop" in line for line in chain))
    )
    wide = [line for line in tables if line == "-A INPUT -j ACCEPT"] + [line for line in nft if line == "accept"]
    return [
        Point("default_deny", "yes" if denies else "no", denies),
        Point("any_any", str(len(wide)), not wide),
    ]
