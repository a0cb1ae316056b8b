"""Open ports against the register: every listening port should be known and needed."""

from __future__ import annotations

from collections.abc import Iterator

from cityguard.checks import probed
from cityguard.checks.base import MET, PART, SCAN_DAYS, UNMET, CheckInfo, Context, names
from cityguard.checks.facts import Host
from cityguard.checks.ports import HIGH_RISK
from cityguard.model import Asset, Evidence, System, Text

INFO = CheckInfo(
    id="open_ports",
    title=Text("开放端口与登记一致", "Open ports equal the registered ones"),
    controls=(
        *("L1-CES1-06", "L2-CES1-11", "L3-CES1-17", "L4-CES1-16"),
        *("L1-CES1-07", "L2-CES1-12", "L3-CES1-18", "L4-CES1-17"),
    ),
    method="测试",
    valid_days=SCAN_DAYS,
    active=True,
)


def run(system: System, ctx: Context) -> Iterator[Evidence]:
    """符合 when nothing unregistered is open, 不符合 when an unregistered high-risk port is."""
    return probed.per_asset(INFO, system, ctx, _judge)


def _judge(asset: Asset, hosts: list[Host]) -> probed.Judged:
    registered = {int(port.split("/")[0]) for port in asset.ports if port.endswith("/tcp")}
    found = {host.address: [port.number for port in host.open] for host in hosts}
    extra = sorted({number for numbers in found.values() for number in numbers} - registered)
    record = {"registered": sorted(registered), "open": found, "probed": len(hosts[0].probed)}
    if not extra:
        return MET, Text("未发现登记以外的开放端口", "no port is open besides the registered ones"), record
    risky = [f"{number}/{HIGH_RISK[number]}" for number in extra if number in HIGH_RISK]
    if risky:
        listed = names(risky)
        return UNMET, Text(f"未登记的高危端口开放：{listed}", f"unregistered high-risk ports open: {listed}"), record
    listed = names(extra)
    return PART, Text(f"未登记的端口开放：{listed}", f"unregistered ports open: {listed}"), record
