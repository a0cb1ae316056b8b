"""Linux clock: a time server is configured."""

from __future__ import annotations

from collections.abc import Iterator

from cityguard.checks import linux
from cityguard.checks.base import CONFIG_DAYS, CheckInfo, Context
from cityguard.checks.linux import Collected, Point
from cityguard.model import Evidence, System, Text

INFO = CheckInfo(
    id="linux_time_sync",
    title=Text("Linux 时钟源", "Linux time source"),
    controls=("L4-SMC1-13",),
    method="核查",
    valid_days=CONFIG_DAYS,
)
FILES = ("chrony.conf", "ntp.conf", "timesyncd.conf")


def run(system: System, ctx: Context) -> Iterator[Evidence]:
    """Met when chrony, ntpd or timesyncd names a server."""
    return linux.per_host(INFO, system, ctx, look)


def look(text: Collected) -> list[Point]:
    """One point: the servers named. A text without any of the files proves nothing."""
    if not text.has(*FILES):
        return []
    lines = text.lines(*FILES)
    servers = [line.split()[1] for line in lines if line.startswith(("server ", "pool ", "peer "))]
    servers += [line.partition("=")[2].strip() for line in lines if line.startswith("NTP=") and line != "NTP="]
    return [Point("servers", ",".join(servers), bool(servers))]
