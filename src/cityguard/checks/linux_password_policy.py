"""Linux password policy: length, complexity and age, from login.defs, pwquality and PAM."""

from __future__ import annotations

from collections.abc import Iterator

from cityguard.checks import linux, pam
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
KINDS: tuple[pam.Kind, ...] = ("auth", "password")
CREDITS = ("dcredit", "ucredit", "lcredit", "ocredit")
MODULES = {"pam_pwquality": (8, 0), "pam_cracklib": (9, 1)}
"""Module -> its default minlen and credits."""


def run(system: System, ctx: Context) -> Iterator[Evidence]:
    """Length >= 8, three kinds of characters, changed within 90 days, no empty passwords."""
    return linux.per_host(INFO, system, ctx, look)


def look(text: Collected) -> list[Point]:
    """The points of one host. pwquality.conf counts only where PAM loads pam_pwquality."""
    found = pam.stacks(text, "password")
    loads, stacks = pam.loaded(found, lambda rule: rule.module in MODULES)
    rules = [_rules(text, one[0]) for one in stacks if one]
    least, kinds = min((one[0] for one in rules), default=0), min((one[1] for one in rules), default=0)
    longest = number(text.settings("login.defs").get("pass_max_days"))
    empty = any(
        "nullok" in rule.arguments for kind in KINDS for stack in pam.stacks(text, kind) for rule in stack.rules
    )
    return [
        Point("pam_pwquality", {True: "on", False: "off", None: ""}[loads], loads),
        Point("minlen", str(least or ""), loads and least >= 8),
        Point("minclass", str(kinds), loads and kinds >= 3),
        Point(
            "PASS_MAX_DAYS",
            str(longest or ""),
            longest is not None and 0 < longest <= 90 if text.has("login.defs") else None,
        ),
        Point("nullok", "yes" if empty else "no", not empty if found else None),
    ]


def _rules(text: Collected, rule: pam.Rule) -> tuple[int, int]:
    """The length a password must really have, and the kinds of characters; (0, 0) when faults only warn."""
    values = dict(rule.values)
    if rule.module == "pam_pwquality":  # arguments beat the file, the file its folder: pwquality.conf(5)
        folder = [title for title in sorted(text.sections) if "pwquality.conf.d/" in title]
        values = {**text.settings(*folder), **text.settings("pwquality.conf"), **values}
    if values.get("enforcing") == "0":
        return 0, 0
    length, credit = MODULES[rule.module]
    given = {name: number(values.get(name)) for name in CREDITS}
    credits_ = [credit if value is None else value for value in given.values()]
    minlen = number(values.get("minlen"))
    kinds = max(number(values.get("minclass")) or 0, sum(value < 0 for value in credits_))
    # A positive credit lets that many characters be missing.
    return (length if minlen is None else minlen) - sum(max(value, 0) for value in credits_), kinds
