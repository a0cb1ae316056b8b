"""SSH algorithms on offer in KEXINIT: key exchange, keys, ciphers and MACs that no longer hold (RFC 8758, 9142)."""

from __future__ import annotations

from collections.abc import Iterator

from cityguard.checks import probed
from cityguard.checks.base import MET, PART, SCAN_DAYS, UNMET, CheckInfo, Context, names
from cityguard.checks.facts import Host, Ssh
from cityguard.model import Asset, Evidence, System, Text

INFO = CheckInfo(
    id="ssh_algorithms",
    title=Text("SSH 算法强度", "SSH algorithms"),
    controls=("L2-CES1-03", "L3-CES1-03", "L4-CES1-03", "L3-SMC1-08", "L4-SMC1-08"),
    method="测试",
    valid_days=SCAN_DAYS,
    active=True,
)
WEAK_KEX = frozenset(
    ("diffie-hellman-group1-sha1", "diffie-hellman-group14-sha1", "diffie-hellman-group-exchange-sha1", "rsa1024-sha1")
)
WEAK_KEYS = frozenset(("ssh-dss", "ssh-rsa"))  # ssh-rsa signs with SHA-1


def run(system: System, ctx: Context) -> Iterator[Evidence]:
    """不符合 when no encryption is on offer, 部分符合 when weak algorithms are."""
    return probed.per_asset(INFO, system, ctx, _judge)


def _judge(asset: Asset, hosts: list[Host]) -> probed.Judged | None:
    found = probed.services(hosts, lambda port: port.ssh if port.ssh and port.ssh.kex else None)
    if not found:
        return None
    weak = {where: weak_of(ssh) for where, ssh in found.items()}
    record = {where: {"offer": found[where], "weak": weak[where]} for where in found}
    bad = {name for listed in weak.values() for name in listed}
    if not bad:
        return MET, Text("SSH 算法均为推荐强度", "every SSH algorithm on offer holds"), record
    listed = names(sorted(bad))
    verdict = UNMET if "none" in bad else PART
    return verdict, Text(f"提供弱 SSH 算法：{listed}", f"weak SSH algorithms on offer: {listed}"), record


def weak_of(ssh: Ssh) -> list[str]:
    """The weak algorithms among a server's offers."""
    ciphers = [name for name in ssh.ciphers if name == "none" or name.endswith("-cbc") or name.startswith("arcfour")]
    macs = [
        name for name in ssh.macs if name == "none" or "md5" in name or "sha1-96" in name or name == "hmac-ripemd160"
    ]
    kex, keys = [name for name in ssh.kex if name in WEAK_KEX], [name for name in ssh.host_keys if name in WEAK_KEYS]
    return [*kex, *keys, *ciphers, *macs]
