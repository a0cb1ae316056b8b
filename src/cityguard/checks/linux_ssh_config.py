"""Linux SSH server: no root login, no empty passwords, few tries, and only from where administration happens."""

from __future__ import annotations

from collections.abc import Iterator

from cityguard.checks import linux
from cityguard.checks.base import CONFIG_DAYS, CheckInfo, Context
from cityguard.checks.linux import Collected, Point, number
from cityguard.model import Evidence, System, Text

INFO = CheckInfo(
    id="linux_ssh_config",
    title=Text("Linux SSH 配置", "Linux SSH configuration"),
    controls=("L1-CES1-04", "L2-CES1-05", "L3-CES1-06", "L4-CES1-06"),
    method="核查",
    valid_days=CONFIG_DAYS,
)


def run(system: System, ctx: Context) -> Iterator[Evidence]:
    """What sshd_config says; a keyword that is not there has OpenSSH's default."""
    return linux.per_host(INFO, system, ctx, look)


def look(text: Collected) -> list[Point]:
    """The points of one host."""
    if not text.has("sshd_config", "sshd -T"):
        return []
    said = text.settings("sshd_config", "sshd -T")
    root = said.get("permitrootlogin", "prohibit-password").lower()
    empty = said.get("permitemptypasswords", "no").lower()
    tries = number(said.get("maxauthtries")) or 6
    points = [
        Point("PermitRootLogin", root, root == "no"),
        Point("PermitEmptyPasswords", empty, empty == "no"),
        Point("MaxAuthTries", str(tries), tries <= 5),
    ]
    if "protocol" in said:
        points.append(Point("Protocol", said["protocol"], said["protocol"] == "2"))
    return points
