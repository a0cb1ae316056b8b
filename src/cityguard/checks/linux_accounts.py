"""Linux accounts: one root, nobody without a password, no default account that can log in."""

from __future__ import annotations

from collections.abc import Iterator

from cityguard.checks import linux
from cityguard.checks.base import CONFIG_DAYS, CheckInfo, Context
from cityguard.checks.linux import Collected, Point
from cityguard.model import Evidence, System, Text

INFO = CheckInfo(
    id="linux_accounts",
    title=Text("Linux 账户", "Linux accounts"),
    controls=(
        "L1-CES1-05",
        "L2-CES1-06",
        "L3-CES1-07",
        "L4-CES1-07",
        "L1-CES1-01",
        "L2-CES1-01",
        "L3-CES1-01",
        "L4-CES1-01",
    ),
    method="核查",
    valid_days=CONFIG_DAYS,
)
DEFAULT = frozenset(("games", "news", "uucp", "lp", "gopher", "ftp", "guest", "test", "operator", "halt", "shutdown"))
NO_LOGIN = ("nologin", "false", "sync", "halt", "shutdown")


def run(system: System, ctx: Context) -> Iterator[Evidence]:
    """From /etc/passwd and ``passwd -Sa``; hashes are never collected."""
    return linux.per_host(INFO, system, ctx, look)


def look(text: Collected) -> list[Point]:
    """The points of one host."""
    accounts = [parts for line in text.lines("/etc/passwd") if len(parts := line.split(":")) == 7]
    states = [line.split() for line in text.lines("passwd -Sa", "passwd -S -a")]
    roots = sorted(parts[0] for parts in accounts if parts[2] == "0")
    doubled = len({parts[2] for parts in accounts}) < len(accounts)
    usable = sorted(parts[0] for parts in accounts if parts[0] in DEFAULT and not parts[6].endswith(NO_LOGIN))
    empty = sorted(parts[0] for parts in states if len(parts) > 1 and parts[1] == "NP")
    return [
        Point("uid_0", ",".join(roots), roots == ["root"] if accounts else None),
        Point("unique_uid", "no" if doubled else "yes", not doubled if accounts else None),
        Point("default_accounts", ",".join(usable), not usable if accounts else None),
        Point("empty_passwords", ",".join(empty), not empty if states else None),
    ]
