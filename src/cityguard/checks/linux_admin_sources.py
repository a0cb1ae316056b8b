"""Linux administration only from certain addresses: AllowUsers, Match Address, hosts.allow or host firewall rules."""

from __future__ import annotations

import re
from collections.abc import Iterator

from cityguard.checks import linux
from cityguard.checks.base import CONFIG_DAYS, CheckInfo, Context
from cityguard.checks.linux import Collected, Point
from cityguard.model import Evidence, System, Text

INFO = CheckInfo(
    id="linux_admin_sources",
    title=Text("管理终端来源限制", "Administration from certain addresses only"),
    controls=("L2-CES1-13", "L3-CES1-19", "L4-CES1-18"),
    method="核查",
    valid_days=CONFIG_DAYS,
)


def run(system: System, ctx: Context) -> Iterator[Evidence]:
    """Met when any of the four ways restricts where SSH may come from."""
    return linux.per_host(INFO, system, ctx, look)


def look(text: Collected) -> list[Point]:
    """One point: the ways found. That there is none is only known when the host firewall was collected too."""
    if not text.has("sshd_config", "sshd -T", "hosts.allow", "iptables -S", "iptables-save"):
        return []
    ways = []
    sshd = text.lines("sshd_config", "sshd -T")
    if any(re.match(r"(?i)allowusers\s.*@[\d.:a-f/]+", line) for line in sshd):
        ways.append("AllowUsers")
    if any(re.match(r"(?i)match\s+address\s", line) for line in sshd):
        ways.append("Match Address")
    if any(line.lower().startswith("sshd") for line in text.lines("hosts.allow")):
        ways.append("hosts.allow")
    rules = text.lines("iptables -S", "iptables-save")
    if any("--dport 22" in rule and re.search(r"-s \d", rule) and "ACCEPT" in rule for rule in rules):
        ways.append("iptables")
    everything = text.has("iptables -S", "iptables-save", "nft list ruleset")
    return [Point("restricted_by", ",".join(ways), True if ways else False if everything else None)]
