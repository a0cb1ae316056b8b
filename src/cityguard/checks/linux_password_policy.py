"""Linux password policy: length, complexity and age, from login.defs, pwquality and PAM."""

from __future__ import annotations

import re
from collections.abc import Iterator

from cityguard.checks import linux
from cityguard.checks.base import CONFIG_DAYS, CheckInfo, Context
from cityguard.checks.linux import Collected, Point, number
from cityguard.model import Evidence, System, Text

INFO = CheckInfo(
    id="linux_password_policy",
    title=Text("Linux 口令策略", "Linux password policy"),
    controls=("L1-CES1-01", "L2-CES1-01", "L3-CES1-01", "L4-CES1-01"),
    method="核查",
    valid_days=CONFIG_DAYS,
)
PAM = ("common-password", "system-auth", "password-auth")
CREDITS = ("dcredit", "ucredit", "lcredit", "ocredit")


def run(system: System, ctx: Context) -> Iterator[Evidence]:
    """Length >= 8, three kinds of characters, changed within 90 days, no empty passwords."""
    return linux.per_host(INFO, system, ctx, look)


def look(text: Collected) -> list[Point]:
    """The points of one host."""
    defs, quality, pam = text.settings("login.defs"), text.settings("pwquality.conf"), text.lines(*PAM)
    rules = {
        **dict(
            re.findall(
                r"(\w+)=(-?\w+)", " ".join(line for line in pam if "pam_pwquality" in line or "pam_cracklib" in line)
            )
        ),
        **quality,
    }
    enforced = any("pam_pwquality" in line or "pam_cracklib" in line for line in pam)
    collected = text.has("login.defs", "pwquality.conf")
    least = number(rules.get("minlen")) or number(defs.get("pass_min_len"))
    kinds = max(number(rules.get("minclass")) or 0, sum((number(rules.get(name)) or 0) < 0 for name in CREDITS))
    longest = number(defs.get("pass_max_days"))
    points = [
        Point("minlen", str(least or ""), (least or 0) >= 8 if collected else None),
        Point("minclass", str(kinds), kinds >= 3 if collected else None),
        Point("PASS_MAX_DAYS", str(longest or ""), longest is not None and 0 < longest <= 90 if defs else None),
    ]
    if pam:
        points.append(Point("pam_pwquality", "on" if enforced else "off", enforced))
        empty = any("nullok" in line for line in pam)
        points.append(Point("nullok", "yes" if empty else "no", not empty))
    return points
