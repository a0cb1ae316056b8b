"""Linux administration only from certain addresses: AllowUsers or host firewall rules."""

from __future__ import annotations

from collections.abc import Iterator

from cityguard.checks import firewall, linux, sshd
from cityguard.checks.base import CONFIG_DAYS, CheckInfo, Context
from cityguard.checks.linux import Collected, Point, number
from cityguard.model import Evidence, System, Text

INFO = CheckInfo(
    id="linux_admin_sources",
    title=Text("管理终端来源限制", "Administration from certain addresses only"),
    controls=("L2-CES1-13", "L3-CES1-19", "L4-CES1-18"),
    method="核查",
    valid_days=CONFIG_DAYS,
)


EVERYBODY = frozenset(("*", "0.0.0.0/0", "::/0", "*.*.*.*", ""))


def run(system: System, ctx: Context) -> Iterator[Evidence]:
    """Met when AllowUsers names an address for everybody it lets in, or the host firewall does for the SSH port."""
    return linux.per_host(INFO, system, ctx, look)


def look(text: Collected) -> list[Point]:
    """One point: the ways found. Hints that prove nothing (hosts.allow, Match Address) keep it open."""
    said, bases = sshd.read(text), firewall.bases(text)
    if said is None and not bases:
        return []
    ways: list[str] = []
    hints: list[str] = []
    if said is not None:
        users = [user for value in said.values("allowusers") for user in value.split()]
        if users and all(_is_bound(user) for user in users):
            # An Include that was not collected may add users from anywhere.
            (ways if said.unsure_from is None else hints).append("AllowUsers")
        if any(criteria.lower().startswith("address") for criteria, _, _ in said.blocks):
            hints.append("Match Address")
    if any(line.lower().startswith(("sshd", "all")) for line in text.lines("hosts.allow")):
        hints.append("hosts.allow")  # OpenSSH has not read it since 6.7, some distributions still do
    ports = [number(value) or 22 for value in (said.values("port") if said is not None else ())] or [22]
    if any(_guards(base, ports) for base in bases):
        ways.append("firewall")
    is_open = bool(bases) and not hints and not any(base.unsure for base in bases)
    return [
        Point(
            "restricted_by",
            ",".join([*ways, *(f"{hint}?" for hint in hints)]),
            bool(ways) or (None if not is_open else False),
        )
    ]


def _is_bound(user: str) -> bool:
    host = user.partition("@")[2]
    return host not in EVERYBODY and not host.startswith("!") and not host.endswith("/0")


def _guards(base: firewall.Base, ports: list[int]) -> bool:
    return base.is_closed and not any(rule.lets_anybody_to(port) for rule in base.rules for port in ports)
