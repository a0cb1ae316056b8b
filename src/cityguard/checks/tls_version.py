"""TLS versions a server accepts: 1.2, 1.3 and TLCP are in order, SSL 3, TLS 1.0 and 1.1 are not (RFC 8996)."""

from __future__ import annotations

from collections.abc import Iterator

from cityguard.checks import probed
from cityguard.checks.base import MET, PART, SCAN_DAYS, UNMET, CheckInfo, Context, names
from cityguard.checks.facts import Host
from cityguard.checks.ports import CLEARTEXT
from cityguard.model import Asset, Evidence, System, Text

INFO = CheckInfo(
    id="tls_version",
    title=Text("TLS 协议版本", "TLS versions"),
    controls=(
        *("L1-CNS1-01", "L2-CNS1-03", "L3-CNS1-06", "L4-CNS1-07", "L3-CNS1-07", "L4-CNS1-08"),
        *("L1-CES1-10", "L2-CES1-18", "L3-CES1-25", "L4-CES1-24", "L3-CES1-27", "L4-CES1-27"),
    ),
    method="测试",
    valid_days=SCAN_DAYS,
    active=True,
)
GOOD = frozenset(("1.2", "1.3", "tlcp1.1"))


def run(system: System, ctx: Context) -> Iterator[Evidence]:
    """符合 when every TLS service takes only sound versions, 不符合 when one takes none or only cleartext answers."""
    return probed.per_asset(INFO, system, ctx, _judge, cleartext=CLEARTEXT)


def _judge(asset: Asset, hosts: list[Host]) -> probed.Judged | None:
    found = probed.services(hosts, lambda port: port.tls.versions if port.tls else None)
    if not found:
        return None
    old = {where: sorted(set(versions) - GOOD) for where, versions in found.items() if set(versions) - GOOD}
    if not old:
        return MET, Text("仅接受 TLS 1.2 及以上或 TLCP", "only TLS 1.2 and above, or TLCP, is accepted"), found
    listed = names(f"{where} {'/'.join(versions)}" for where, versions in old.items())
    only_old = [where for where, versions in found.items() if versions and not set(versions) & GOOD]
    return (
        UNMET if only_old else PART,
        Text(f"接受过时的协议版本：{listed}", f"outdated versions accepted: {listed}"),
        found,
    )
