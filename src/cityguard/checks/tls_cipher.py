"""TLS cipher suites: no suite without encryption, without authentication or with a broken cipher."""

from __future__ import annotations

from collections.abc import Iterator

from cityguard.checks import probed
from cityguard.checks.base import MET, PART, SCAN_DAYS, UNMET, CheckInfo, Context, names
from cityguard.checks.facts import Host
from cityguard.model import Asset, Evidence, System, Text

INFO = CheckInfo(
    id="tls_cipher",
    title=Text("TLS 加密套件", "TLS cipher suites"),
    controls=("L3-CNS1-07", "L4-CNS1-08", "L3-CES1-27", "L4-CES1-27", "L2-MMS1-19", "L3-MMS1-29", "L4-MMS1-30"),
    method="测试",
    valid_days=SCAN_DAYS,
    active=True,
)
BROKEN = frozenset(("null", "export", "anon", "des"))
WEAK = frozenset(("rc4", "3des"))  # static-rsa is recorded, and no fault by itself


def run(system: System, ctx: Context) -> Iterator[Evidence]:
    """不符合 for null, export, anonymous or DES suites; 部分符合 for RC4 and 3DES."""
    return probed.per_asset(INFO, system, ctx, _judge)


def _judge(asset: Asset, hosts: list[Host]) -> probed.Judged | None:
    found = probed.services(hosts, lambda port: port.tls)
    if not found:
        return None
    record = {where: {"chosen": tls.suites, "weak": dict(tls.weak)} for where, tls in found.items()}
    taken = {(group, where) for where, tls in found.items() for group, _ in tls.weak if group in BROKEN | WEAK}
    if not taken:
        return MET, Text("未发现弱加密套件", "no weak suite is accepted"), record
    listed = names(f"{group} @ {where}" for group, where in sorted(taken))
    verdict = UNMET if any(group in BROKEN for group, _ in taken) else PART
    return verdict, Text(f"接受弱加密套件：{listed}", f"weak suites accepted: {listed}"), record
