"""Linux SSH server: no root login, no empty passwords, few tries, and only from where administration happens."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from cityguard.checks import linux, sshd
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


def _no(value: str) -> bool:
    return value.lower() == "no"


def _few(value: str) -> bool:
    tries = number(value)
    return tries is not None and 0 < tries <= 5


WANTED: dict[str, tuple[str, str, Callable[[str], bool]]] = {
    "permitrootlogin": ("PermitRootLogin", "prohibit-password", _no),
    "permitemptypasswords": ("PermitEmptyPasswords", "no", _no),
    "maxauthtries": ("MaxAuthTries", "6", _few),
    "protocol": ("Protocol", "2", lambda value: value == "2"),
}
"""Keyword -> its usual spelling, OpenSSH's default, and whether a value holds."""


def run(system: System, ctx: Context) -> Iterator[Evidence]:
    """What ``sshd -T`` says, else the files; a keyword that is not there has OpenSSH's default."""
    return linux.per_host(INFO, system, ctx, look)


def look(text: Collected) -> list[Point]:
    """The points of one host, and one more for every Match block that loosens something."""
    said = sshd.read(text)
    if said is None:
        return []
    points = []
    for keyword, (name, default, holds) in WANTED.items():
        if keyword == "protocol" and not said.values(keyword):
            continue  # gone since OpenSSH 7.6, which speaks 2 alone
        value, sure = said.value(keyword, default)
        points.append(Point(name, value, holds(value) if sure else None))
    for criteria, keyword, value in said.blocks:
        if keyword in WANTED and not WANTED[keyword][2](value):
            points.append(Point(f"{WANTED[keyword][0]} (Match {criteria[:80]})", value, False))
    return points
