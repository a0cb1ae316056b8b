"""Open ports against the register: every listening port should be known and needed."""

from __future__ import annotations

from collections.abc import Iterator

from cityguard.checks import probed
from cityguard.checks.base import MET, PART, SCAN_DAYS, UNMET, CheckInfo, Context, names
from cityguard.checks.facts import Host
from cityguard.checks.ports import CLEARTEXT, HIGH_RISK
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
    """不符合 for a high-risk port that nobody registered or that takes logins in the clear, 部分符合 for other ones.

    Being registered does not make a high-risk port harmless: somebody must show why it is needed and who may reach it.
    """
    return probed.per_asset(INFO, system, ctx, _judge)


def _judge(asset: Asset, hosts: list[Host]) -> probed.Judged:
    registered = {int(port.split("/")[0]) for port in asset.ports if port.endswith("/tcp")}
    found = {host.address: [port.number for port in host.open] for host in hosts}
    every = {number for numbers in found.values() for number in numbers}
    extra, risky = sorted(every - registered), sorted(every & HIGH_RISK.keys())
    record = {"registered": sorted(registered), "open": found, "high_risk": risky, "probed": len(hosts[0].probed)}
    if grave := [number for number in risky if number in CLEARTEXT or number not in registered]:
        listed = _named(grave)
        return UNMET, Text(f"高危端口开放：{listed}", f"high-risk ports open: {listed}"), record
    if risky:
        listed = _named(risky)
        reason = Text(
            f"已登记的高危端口开放，需说明必要性并限制来源：{listed}",
            f"registered high-risk ports open, to be justified and limited to known sources: {listed}",
        )
        return PART, reason, record
    if extra:
        listed = names(extra)
        return PART, Text(f"未登记的端口开放：{listed}", f"unregistered ports open: {listed}"), record
    return MET, Text("未发现登记以外的开放端口", "no port is open besides the registered ones"), record


def _named(numbers: list[int]) -> str:
    return names(f"{number}/{HIGH_RISK[number]}" for number in numbers)
