"""Linux audit: auditd with rules that cover accounts and commands, and records that leave the host."""

from __future__ import annotations

import re
from collections.abc import Iterator

from cityguard.checks import linux
from cityguard.checks.base import CONFIG_DAYS, CheckInfo, Context
from cityguard.checks.linux import Collected, Point
from cityguard.model import Evidence, System, Text

INFO = CheckInfo(
    id="linux_audit",
    title=Text("Linux 安全审计", "Linux audit"),
    controls=(
        *("L2-CES1-08", "L3-CES1-12", "L4-CES1-12", "L2-CES1-10", "L3-CES1-14", "L4-CES1-14"),
        *("L3-CES1-15", "L4-CES1-15"),
    ),
    method="核查",
    valid_days=CONFIG_DAYS,
)
ACCOUNTS = ("/etc/passwd", "/etc/shadow", "/etc/sudoers")


def run(system: System, ctx: Context) -> Iterator[Evidence]:
    """Rules on account files and on commands; auditd running; logs sent to another host."""
    return linux.per_host(INFO, system, ctx, look)


def _leaves(line: str) -> bool:
    return bool(re.search(r"\s@@?[\w\[(]", line)) or "omfwd" in line or "network(" in line


def look(text: Collected) -> list[Point]:
    """The points of one host."""
    rules = [line for line in text.lines("audit.rules", "auditctl -l") if line.startswith(("-w", "-a", "-A"))]
    logs = [line for title, lines in text.sections.items() if "syslog" in title for line in lines]
    watched = [path for path in ACCOUNTS if any(path in rule for rule in rules)]
    commands = any("execve" in rule for rule in rules)
    remote = any(_leaves(line) for line in logs)
    has_audit = text.has("audit.rules", "auditctl -l", "auditd.conf")
    running = text.lines("systemctl is-active auditd")
    return [
        Point("audit_rules", str(len(rules)), bool(rules) if has_audit else None),
        Point("account_files", ",".join(watched), len(watched) >= 2 if has_audit else None),
        Point("execve", "on" if commands else "off", commands if has_audit else None),
        Point("remote_log", "yes" if remote else "no", remote if logs else None),
        Point("auditd", running[0] if running else "", running[0] == "active" if running else None),
    ]
