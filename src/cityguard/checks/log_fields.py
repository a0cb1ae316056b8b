"""Are the audit records whole? Logins should say who, from where and whether it worked."""

from __future__ import annotations

from collections.abc import Iterator

from cityguard.checks import events
from cityguard.checks.base import LOG_DAYS, MET, OPEN, PART, UNMET, CheckInfo, Context, evidence, names
from cityguard.model import Evidence, System, Term, Text

INFO = CheckInfo(
    id="log_fields",
    title=Text("审计记录字段完整", "Audit records are whole"),
    controls=("L2-CES1-09", "L3-CES1-13", "L4-CES1-13", "L2-ABS1-09", "L3-ABS1-17", "L4-ABS1-19"),
    method="核查",
    valid_days=LOG_DAYS,
)
WANTED = ("user.name", "event.outcome", "event.action")
ENOUGH = 0.95


def run(system: System, ctx: Context) -> Iterator[Evidence]:
    """符合 when at least 95 % of the login records carry every field, 不符合 when none does for some field."""
    where = events.written_by(ctx.register.assets_of(system))
    total = events.count(ctx, where, dataset="auth") if where is not None else 0
    if where is None or not total:
        reason = Text("最近 7 天没有该系统的登录日志", "no login record of the system in the last 7 days")
        yield evidence(INFO, ctx, system, system, OPEN, reason, {"records": 0})
        return
    share = {
        name: events.count(ctx, events.both(where, Term(name, "exists", True)), dataset="auth") / total
        for name in WANTED
    }
    poor = [f"{name} {value:.0%}" for name, value in share.items() if value < ENOUGH]
    verdict = MET if not poor else UNMET if min(share.values()) == 0 else PART
    reason = (
        Text(f"字段缺失：{names(poor)}", f"fields missing: {names(poor)}")
        if poor
        else Text(f"{total} 条登录记录字段完整", f"{total} login records are whole")
    )
    yield evidence(INFO, ctx, system, system, verdict, reason, {"records": total, "share": share})
