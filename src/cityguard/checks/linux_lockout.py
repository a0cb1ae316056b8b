"""Linux login failures and idle sessions: lock after a few tries, end what nobody uses."""

from __future__ import annotations

import re
from collections.abc import Iterator

from cityguard.checks import linux, pam, sshd
from cityguard.checks.base import CONFIG_DAYS, CheckInfo, Context, names
from cityguard.checks.linux import Collected, Point, number
from cityguard.model import Evidence, System, Text

INFO = CheckInfo(
    id="linux_lockout",
    title=Text("Linux 登录失败处理与超时", "Linux lockout and idle timeout"),
    controls=("L1-CES1-02", "L2-CES1-02", "L3-CES1-02", "L4-CES1-02"),
    method="核查",
    valid_days=CONFIG_DAYS,
)


def run(system: System, ctx: Context) -> Iterator[Evidence]:
    """Lock after at most 5 tries for at least 5 minutes; idle sessions end within 15 minutes."""
    return linux.per_host(INFO, system, ctx, look)


def look(text: Collected) -> list[Point]:
    """The points of one host. faillock.conf counts only where PAM loads pam_faillock."""
    said = sshd.read(text)
    loads, stacks = pam.loaded(pam.stacks(text, "auth"), _locks)
    if loads and said is not None and said.value("usepam", "yes")[0].lower() == "no":
        loads = False  # logins over SSH pass PAM by
    limits = [_limits(text, rules) for rules in stacks if rules]
    tries, waits = sorted({one[0] for one in limits}), sorted({one[1] for one in limits})
    idle = _idle(text, said)
    return [
        Point("lockout_loaded", {True: "yes", False: "no", None: ""}[loads], loads),
        Point("deny", names(tries), loads and all(0 < one <= 5 for one in tries)),
        Point("unlock_time", names(waits), loads and all(one == 0 or one >= 300 for one in waits)),
        Point(
            "idle_seconds",
            str(idle or ""),
            idle is not None and 0 < idle <= 900 if said is not None or text.has("profile", "bashrc") else None,
        ),
    ]


def _locks(rule: pam.Rule) -> bool:
    # Without authfail, pam_faillock counts nothing: pam_faillock(8).
    return rule.module == "pam_tally2" or (rule.module == "pam_faillock" and "authfail" in rule.arguments.split())


def _limits(text: Collected, rules: list[pam.Rule]) -> tuple[int, int]:
    """Tries (0 = never locked) and seconds (0 = until an administrator unlocks) of one stack."""
    last = rules[-1]
    if last.module == "pam_tally2":  # its defaults: no lock, no end
        return number(last.values.get("deny")) or 0, number(last.values.get("unlock_time")) or 0
    values = {**text.settings("faillock.conf"), **last.values}  # arguments beat the file: pam_faillock(8)
    tries, wait = number(values.get("deny")), number(values.get("unlock_time"))
    wait = 0 if values.get("unlock_time") == "never" else wait
    return 3 if tries is None else tries, 600 if wait is None else wait


def _idle(text: Collected, said: sshd.Sshd | None) -> int | None:
    spans = [
        int(match[1])
        for line in text.lines("profile", "bashrc", ".sh")
        if (match := re.search(r"\bTMOUT=(\d{1,6})", line))
    ]
    if said is not None:
        (interval, sure), (most, _) = said.value("clientaliveinterval", "0"), said.value("clientalivecountmax", "3")
        if sure and number(interval):
            spans.append((number(interval) or 0) * max(number(most) or 0, 1))
    return min((span for span in spans if span), default=None)
