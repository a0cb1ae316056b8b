"""SSH protocol version as the banner tells: version 1 is broken, 1.99 still speaks it."""

from __future__ import annotations

from collections.abc import Iterator

from cityguard.checks import probed
from cityguard.checks.base import MET, PART, SCAN_DAYS, UNMET, CheckInfo, Context, names
from cityguard.checks.facts import Host
from cityguard.checks.ports import CLEARTEXT
from cityguard.model import Asset, Evidence, System, Text

INFO = CheckInfo(
    id="ssh_banner",
    title=Text("SSH 协议版本", "SSH protocol version"),
    controls=("L2-CES1-03", "L3-CES1-03", "L4-CES1-03", "L3-SMC1-08", "L4-SMC1-08"),
    method="测试",
    valid_days=SCAN_DAYS,
    active=True,
)
REMOTE = {number: CLEARTEXT[number] for number in (23, 512, 513, 514, 5900)}
"""Remote administration in the clear."""


def run(system: System, ctx: Context) -> Iterator[Evidence]:
    """不符合 when a server speaks only SSH 1 or is administered in the clear, 部分符合 when it still offers that."""
    return probed.per_asset(INFO, system, ctx, _judge, cleartext=REMOTE)


def _judge(asset: Asset, hosts: list[Host]) -> probed.Judged | None:
    found = probed.services(hosts, lambda port: port.ssh.banner if port.ssh else None)
    if not found:
        return None
    both = [where for where, banner in found.items() if banner.startswith("SSH-1.99-")]
    old = [where for where, banner in found.items() if banner.startswith("SSH-1.") and where not in both]
    if old or both:
        listed = names([*old, *both])
        return UNMET if old else PART, Text(f"仍支持 SSH 1：{listed}", f"SSH 1 still spoken: {listed}"), found
    return MET, Text("远程管理使用 SSH 2", "remote administration uses SSH 2"), found
