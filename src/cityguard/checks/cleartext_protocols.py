"""Logins in the clear: flows to telnet, FTP, rlogin, mail and plain HTTP services of the system."""

from __future__ import annotations

from collections.abc import Iterator

from cityguard.checks import events
from cityguard.checks.base import LOG_DAYS, MET, PART, UNMET, CheckInfo, Context, evidence, names
from cityguard.checks.ports import CLEARTEXT
from cityguard.model import Evidence, System, Term, Text

INFO = CheckInfo(
    id="cleartext_protocols",
    title=Text("明文协议流量", "Cleartext protocols in traffic"),
    controls=(
        *("L2-CES1-03", "L3-CES1-03", "L4-CES1-03", "L3-CNS1-07", "L4-CNS1-08"),
        *("L3-CES1-27", "L4-CES1-27", "L3-SMC1-08", "L4-SMC1-08"),
    ),
    method="测试",
    valid_days=LOG_DAYS,
)
MILD = frozenset((80, 8080, 20, 389))  # often a redirect, a data channel, or StartTLS: a person must look


def run(system: System, ctx: Context) -> Iterator[Evidence]:
    """不符合 when a login protocol without encryption was used, 部分符合 when only plain HTTP and the like was.

    Assets no flow was seen of are 未判定 each: what the others do says nothing about them.
    """
    where = events.both(events.to_system(system), Term("destination.port", "in", sorted(CLEARTEXT)), events.answered())
    rows = events.groups(ctx, where, ["destination.ip", "destination.port"], dataset="flow")
    if not rows and not events.has_traffic(ctx, system):
        yield events.no_traffic(INFO, ctx, system)
        return
    yield from events.unseen(INFO, ctx, system)
    if not rows:
        reason = Text("未见明文登录协议流量", "no cleartext login protocol was seen")
        yield evidence(INFO, ctx, system, system, MET, reason, {"days": events.TRAFFIC_DAYS, "flows": []})
        return
    worst = [row for row in rows if row["destination.port"] not in MILD]
    listed = names(
        f"{CLEARTEXT[row['destination.port']]} {events.said(row, 'destination.ip')}" for row in (worst or rows)
    )
    reason = Text(f"发现明文协议：{listed}", f"cleartext protocols in use: {listed}")
    verdict = UNMET if worst else PART
    yield evidence(INFO, ctx, system, system, verdict, reason, {"days": events.TRAFFIC_DAYS, "flows": rows[:50]})
