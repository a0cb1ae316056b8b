"""Linux login failures and idle sessions: lock after a few tries, end what nobody uses."""

from __future__ import annotations

import re
from collections.abc import Iterator

from cityguard.checks import linux
from cityguard.checks.base import CONFIG_DAYS, CheckInfo, Context
from cityguard.checks.linux import Collected, Point, number
from cityguard.model import Evidence, System, Text

INFO = CheckInfo(
    id="linux_lockout",
    title=Text("Linux 登录失败处理与超时", "Linux lockout and idle timeout"),
    controls=("L1-CES1-02", "L2-CES1-02", "L3-CES1-02", "L4-CES1-02"),
    method="核查",
    valid_days=CONFIG_DAYS,
)
PAM = ("common-auth", "system-auth", "password-auth", "pam.d/sshd", "pam.d/login")


def run(system: System, ctx: Context) -> Iterator[Evidence]:
    """Lock after at most 5 tries for at least 5 minutes; idle sessions end within 15 minutes."""
    return linux.per_host(INFO, system, ctx, look)


def look(text: Collected) -> list[Point]:
    """The points of one host."""
    locking = [line for line in text.lines(*PAM) if "pam_faillock" in line or "pam_tally2" in line]
    rules = {**dict(re.findall(r"(\w+)=(\d+)", " ".join(locking))), **text.settings("faillock.conf")}
    collected = text.has("faillock.conf", *PAM)
    tries, wait = number(rules.get("deny")), number(rules.get("unlock_time"))
    if locking and text.has("faillock.conf"):  # faillock's own defaults, see faillock.conf(5)
        tries, wait = tries if tries is not None else 3, wait if wait is not None else 600
    idle = _idle(text)
    return [
        Point("deny", str(tries or ""), tries is not None and 0 < tries <= 5 if collected else None),
        Point(
            "unlock_time",
            "" if wait is None else str(wait),
            wait is not None and (wait == 0 or wait >= 300) if collected else None,
        ),
        Point(
            "idle_seconds",
            str(idle or ""),
            idle is not None and 0 < idle <= 900 if text.has("sshd_config", "sshd -T", "profile", "bashrc") else None,
        ),
    ]


def _idle(text: Collected) -> int | None:
    spans = [
        int(match[1])
        for line in text.lines("profile", "bashrc", ".sh")
        if (match := re.search(r"\bTMOUT=(\d{1,6})", line))
    ]
    sshd = text.settings("sshd_config", "sshd -T")
    interval, most = number(sshd.get("clientaliveinterval")), number(sshd.get("clientalivecountmax"))
    if interval:
        spans.append(interval * (3 if most is None else max(most, 1)))
    return min((span for span in spans if span), default=None)
