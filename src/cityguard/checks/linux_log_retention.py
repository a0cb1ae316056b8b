"""Linux logs on the host itself: rotated so that six months remain, or sent to a host that keeps them."""

from __future__ import annotations

from collections.abc import Iterator

from cityguard.checks import linux
from cityguard.checks.base import CONFIG_DAYS, CheckInfo, Context
from cityguard.checks.linux import Collected, Point, number
from cityguard.config import MIN_RETENTION_DAYS
from cityguard.model import Evidence, System, Text

INFO = CheckInfo(
    id="linux_log_retention",
    title=Text("Linux 本机日志留存", "Linux logs kept on the host"),
    controls=("L3-SMC1-10", "L4-SMC1-10", "L2-CES1-10", "L3-CES1-14", "L4-CES1-14"),
    method="核查",
    valid_days=CONFIG_DAYS,
)
PERIOD_DAYS = {"daily": 1, "weekly": 7, "monthly": 30, "yearly": 365}


def run(system: System, ctx: Context) -> Iterator[Evidence]:
    """Rotation times period of at least 180 days."""
    return linux.per_host(INFO, system, ctx, look)


def look(text: Collected) -> list[Point]:
    """The points of one host: the global lines of logrotate.conf."""
    days, count = 7, None  # logrotate's own default period
    for line in text.lines("logrotate.conf"):
        if line.endswith("{"):
            break  # a single file's block
        days = PERIOD_DAYS.get(line, days)
        if line.startswith("rotate "):
            count = number(line.split()[1])
    kept = None if count is None else count * days
    known = text.has("logrotate.conf")
    return [Point("kept_days", str(kept or ""), kept is not None and kept >= MIN_RETENTION_DAYS if known else None)]
